/* SQS moves a DLQ's messages by itself: StartMessageMoveTask, List and Cancel. Not every endpoint
 * that speaks SQS knows these. */
#include <string.h>

#include "backend/sqs/work.h"
#include "util/mem.h"
#include "util/text.h"

#define RATE_MAX 500
#define COUNT_MAX 9007199254740992.0 /* 2^53: exact in a double */
/* Times before this are seconds: AWS's own documentation leaves the unit open. */
#define UNIX_MS_MIN 100000000000.0
#define HANDLE_MAX_BYTES 4096

static int no_redrive(const struct qe_aws_call *call, const char *queue, struct qe_err *err)
{
    struct qe_err why = *err;

    return qe_err_set(err, QE_ERR_UNSUPPORTED,
                      "queue \"%s\": this endpoint does not know message move tasks (%s: %.200s); "
                      "messages can be received and sent instead",
                      queue, call->target, why.message);
}

/* An endpoint that does not know the operation says so, or breaks: AWS itself gives every error a
 * code. */
static int explain(const struct qe_aws_call *call, const char *queue, struct qe_err *err)
{
    bool is_unknown = qe_aws_call_has_code(call, "UnknownOperationException") ||
                      qe_aws_call_has_code(call, "InvalidAction") ||
                      (call->status == 500 && call->code[0] == '\0') || call->status == 404 ||
                      call->status == 501;

    if (is_unknown && err->code != QE_ERR_NOT_FOUND) {
        return no_redrive(call, queue, err);
    }
    if (qe_aws_call_has_code(call, "UnsupportedOperation")) {
        /* One spelling for "never heard of it", "runs already" and "is no dead-letter queue". */
        if (strstr(err->message, "already") != NULL || strstr(err->message, "active") != NULL ||
            strstr(err->message, "running") != NULL) {
            err->code = QE_ERR_INVALID;
        } else {
            err->code = QE_ERR_UNSUPPORTED;
        }
    }
    return qe_err_wrap(err, "queue \"%s\"", queue);
}

static int ask(struct qe_sqs *sqs, const char *queue, struct qe_json **out, struct qe_err *err)
{
    struct qe_aws_call *call = &sqs->work->call;

    (void)qe_strbuf_append_char(&call->body, '}');
    return qe_sqs_ask(sqs, call, out, err) == 0 ? 0 : explain(call, queue, err);
}

/* The ARN of a queue: listed, or asked for. Borrowed. */
static const char *find_arn(struct qe_sqs *sqs, const struct qe_queue *queue,
                            int64_t deadline_mono_ms, struct qe_err *err)
{
    if (qe_sqs_work_begin(sqs, err) != 0) {
        return NULL;
    }
    if (queue->arn[0] != '\0') {
        return queue->arn;
    }
    struct qe_sqs_queue *own = qe_sqs_queue_find(sqs, queue, deadline_mono_ms, err);

    if (own == NULL || qe_sqs_queue_learn(sqs, own, false, deadline_mono_ms, err) != 0) {
        return NULL;
    }
    if (own->facts_error.code != QE_OK) {
        *err = own->facts_error;
        (void)qe_err_wrap(err, "queue \"%s\": its ARN is not known", queue->name);
        return NULL;
    }
    if (own->arn[0] == '\0') {
        (void)qe_err_set(err, QE_ERR_PROTOCOL, "queue \"%s\": its attributes hold no QueueArn",
                         queue->name);
        return NULL;
    }
    return own->arn;
}

static void append_member(struct qe_strbuf *out, const char *key, const char *value)
{
    (void)qe_strbuf_append_text(out, key);
    qe_sqs_append_text(out, value, strlen(value));
}

int qe_sqs_redrive_start(void *self, const struct qe_queue *dlq, const struct qe_queue *to,
                         uint64_t messages_per_second, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_sqs *sqs = self;
    struct qe_json *answer = NULL;

    if (messages_per_second > RATE_MAX) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED,
                          "%llu messages per second: SQS moves 1 to %d, or as fast as it likes",
                          (unsigned long long)messages_per_second, RATE_MAX);
    }
    const char *source_arn = find_arn(sqs, dlq, deadline_mono_ms, err);

    if (source_arn == NULL) {
        return -1;
    }
    const char *target_arn = to == NULL ? NULL : find_arn(sqs, to, deadline_mono_ms, err);

    if (to != NULL && target_arn == NULL) {
        return -1;
    }
    struct qe_aws_call *call = &sqs->work->call;

    qe_sqs_call_init(sqs, call, QE_SQS_START_MESSAGE_MOVE_TASK, deadline_mono_ms);
    call->no_retry = true; /* a second start would be told that one runs: our own */
    append_member(&call->body, "{\"SourceArn\":", source_arn);
    if (target_arn != NULL) {
        append_member(&call->body, ",\"DestinationArn\":", target_arn);
    }
    if (messages_per_second > 0) {
        (void)qe_strbuf_printf(&call->body, ",\"MaxNumberOfMessagesPerSecond\":%llu",
                               (unsigned long long)messages_per_second);
    }
    if (ask(sqs, dlq->name, &answer, err) != 0) {
        return -1;
    }
    qe_json_destroy(answer);
    return 0;
}

/* --- what runs --- */

static enum qe_redrive_state state_of(const char *status)
{
    static const struct {
        const char *name;
        enum qe_redrive_state state;
    } rows[] = {
        {"RUNNING", QE_REDRIVE_RUNNING},       {"COMPLETED", QE_REDRIVE_COMPLETED},
        {"CANCELLING", QE_REDRIVE_CANCELLING}, {"CANCELLED", QE_REDRIVE_CANCELLED},
        {"FAILED", QE_REDRIVE_FAILED},
    };

    for (size_t i = 0; status != NULL && i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(status, rows[i].name) == 0) {
            return rows[i].state;
        }
    }
    return QE_REDRIVE_NONE;
}

static uint64_t count_of(const struct qe_json *task, const char *name, uint64_t unknown)
{
    double number = 0;

    if (!qe_json_number(qe_json_get(task, name), &number) || number < 0 || number > COUNT_MAX) {
        return unknown;
    }
    return (uint64_t)number;
}

/* The newest task's JSON, in *out_answer, which the caller destroys; NULL: none. */
static int ask_newest(struct qe_sqs *sqs, const struct qe_queue *dlq, int64_t deadline_mono_ms,
                      struct qe_json **out_answer, const struct qe_json **out_task,
                      struct qe_err *err)
{
    const char *arn = find_arn(sqs, dlq, deadline_mono_ms, err);

    if (arn == NULL) {
        return -1;
    }
    struct qe_aws_call *call = &sqs->work->call;

    qe_sqs_call_init(sqs, call, QE_SQS_LIST_MESSAGE_MOVE_TASKS, deadline_mono_ms);
    append_member(&call->body, "{\"SourceArn\":", arn);
    (void)qe_strbuf_append_text(&call->body, ",\"MaxResults\":1");
    if (ask(sqs, dlq->name, out_answer, err) != 0) {
        return -1;
    }
    *out_task = qe_json_first(qe_json_get(*out_answer, "Results"));
    return 0;
}

int qe_sqs_redrive_status(void *self, const struct qe_queue *dlq, int64_t deadline_mono_ms,
                          struct qe_redrive_task *out, struct qe_err *err)
{
    struct qe_redrive_task task = {.to_move_messages = UINT64_MAX};
    const struct qe_json *newest = NULL;
    struct qe_json *answer = NULL;
    double started = 0;

    if (ask_newest(self, dlq, deadline_mono_ms, &answer, &newest, err) != 0) {
        return -1;
    }
    if (newest != NULL) {
        const char *reason = qe_json_text(qe_json_get(newest, "FailureReason"));

        task.state = state_of(qe_json_text(qe_json_get(newest, "Status")));
        task.moved_messages = count_of(newest, "ApproximateNumberOfMessagesMoved", 0);
        task.to_move_messages = count_of(newest, "ApproximateNumberOfMessagesToMove", UINT64_MAX);
        if (qe_json_number(qe_json_get(newest, "StartedTimestamp"), &started) && started > 0 &&
            started < COUNT_MAX) {
            task.started_unix_ms = (int64_t)(started < UNIX_MS_MIN ? started * 1000 : started);
        }
        if (task.state == QE_REDRIVE_FAILED && reason != NULL) {
            size_t bytes = qe_text_cut(reason, strlen(reason), sizeof task.reason - 1);

            memcpy(task.reason, reason, bytes);
        }
    }
    qe_json_destroy(answer);
    *out = task;
    return 0;
}

int qe_sqs_redrive_cancel(void *self, const struct qe_queue *dlq, int64_t deadline_mono_ms,
                          struct qe_err *err)
{
    struct qe_sqs *sqs = self;
    const struct qe_json *newest = NULL;
    struct qe_json *answer = NULL;
    char handle[HANDLE_MAX_BYTES] = "";

    if (ask_newest(sqs, dlq, deadline_mono_ms, &answer, &newest, err) != 0) {
        return -1;
    }
    const char *text = qe_json_text(qe_json_get(newest, "TaskHandle"));

    if (state_of(qe_json_text(qe_json_get(newest, "Status"))) == QE_REDRIVE_RUNNING &&
        text != NULL && strlen(text) < sizeof handle) {
        memcpy(handle, text, strlen(text));
    }
    qe_json_destroy(answer);
    answer = NULL;
    if (handle[0] == '\0') {
        return qe_err_set(err, QE_ERR_NOT_FOUND, "queue \"%s\": no redrive is running", dlq->name);
    }
    struct qe_aws_call *call = &sqs->work->call;

    qe_sqs_call_init(sqs, call, QE_SQS_CANCEL_MESSAGE_MOVE_TASK, deadline_mono_ms);
    append_member(&call->body, "{\"TaskHandle\":", handle);
    if (ask(sqs, dlq->name, &answer, err) != 0) {
        return -1;
    }
    qe_json_destroy(answer);
    return 0;
}
