/* Longer visibility, and what both extend and settle know of a delivery's time. */
#include "backend/sqs/batch.h"
#include "backend/sqs/message.h"
#include "util/mem.h"

struct extension {
    struct qe_message *message; /* the one asked for; those behind it come with it */
    struct qe_message **behind; /* owned; of a FIFO queue */
    size_t behind_count;
    int64_t seconds;
    struct qe_err err; /* of `message` */
    bool is_stale;
};

bool qe_sqs_is_stale(const struct qe_sqs *sqs, const struct qe_sqs_queue *queue,
                     const struct qe_message *message, int64_t now_mono_ms)
{
    int64_t until = message->visible_until_mono_ms;

    if (message->receipt[0] == '\0' ||
        (until > 0 && until + qe_sqs_span_margin_ms(message->tag) <= now_mono_ms)) {
        return true;
    }
    return qe_sqs_ring_has(&sqs->work->settled, qe_sqs_receipt_number(queue, message->receipt));
}

int64_t qe_sqs_visibility_seconds(const struct qe_message *message, int64_t ms, int64_t now_mono_ms)
{
    int64_t received = qe_sqs_span_received_mono_ms(message->tag);
    int64_t most = QE_SQS_VISIBILITY_MAX_SECONDS;
    int64_t seconds = ms <= 0 ? 0 : (ms + 999) / 1000;

    if (received > 0 && now_mono_ms > received) {
        most -= (now_mono_ms - received + qe_sqs_span_margin_ms(message->tag)) / 1000 + 1;
    }
    most = most < 0 ? 0 : most;
    return seconds < most ? seconds : most;
}

/* --- for batch.c: item 0 is the message, those after it are behind it --- */

static void append(void *context, size_t item, struct qe_strbuf *out)
{
    const struct extension *extension = context;
    const struct qe_message *message = item == 0 ? extension->message : extension->behind[item - 1];

    qe_sqs_append_visibility(out, message->receipt, extension->seconds);
}

static void done(void *context, size_t item, const struct qe_sqs_outcome *outcome)
{
    struct extension *extension = context;

    if (item == 0 && outcome->answer == NULL) {
        extension->err = *outcome->err;
        extension->is_stale = outcome->is_stale;
    } else if (item > 0 && outcome->answer == NULL) {
        extension->behind[item - 1] = NULL; /* it lapses as it would have */
    }
}

/* --- the slot --- */

static int stale(const struct qe_queue *queue, const struct qe_message *message, struct qe_err *err)
{
    return qe_err_set(err, QE_ERR_NOT_FOUND,
                      "queue \"%s\": message %s: the receipt is stale: it was settled, removed or "
                      "delivered again",
                      queue->name, message->id);
}

/* Those of the same group that were received behind it live as long as it does. */
static int collect_behind(struct qe_sqs_queue *queue, struct extension *extension,
                          struct qe_err *err)
{
    struct qe_message *message = NULL;
    size_t from = 0;

    if (!queue->is_fifo || queue->held.count == 0) {
        return 0;
    }
    extension->behind = qe_calloc(queue->held.count, sizeof(struct qe_message *));
    if (extension->behind == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", queue->name);
    }
    while ((message = qe_sqs_hold_behind(queue, extension->message, &from)) != NULL) {
        extension->behind[extension->behind_count++] = message;
    }
    return 0;
}

static void take_extended(struct qe_message *message, int64_t asked_mono_ms, int64_t seconds)
{
    const struct qe_sqs_span span = {
        .received_mono_ms = qe_sqs_span_received_mono_ms(message->tag),
        .margin_ms = qe_clock_mono_ms() - asked_mono_ms,
    };

    message->visible_until_mono_ms = asked_mono_ms + seconds * 1000;
    message->tag = qe_sqs_span_pack(&span);
}

static int run(struct qe_sqs *sqs, struct qe_sqs_queue *queue, struct extension *extension,
               int64_t deadline_mono_ms, struct qe_err *err)
{
    size_t count = extension->behind_count + 1;
    size_t *items = qe_calloc(count, sizeof *items);

    if (items == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", queue->name);
    }
    for (size_t i = 0; i < count; i++) {
        items[i] = i;
    }
    const struct qe_sqs_batch batch = {
        .operation = QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH,
        .queue = queue,
        .items = items,
        .items_count = count,
        .deadline_mono_ms = deadline_mono_ms,
        .context = extension,
        .append = append,
        .done = done,
    };
    int rc = qe_sqs_batch_run(sqs, &batch, err);

    qe_free(items);
    if (rc == 0 && extension->err.code != QE_OK) {
        *err = extension->err;
        rc = -1;
    }
    return rc == 0 ? 0 : qe_err_wrap(err, "queue \"%s\"", queue->name);
}

int qe_sqs_extend(void *self, const struct qe_queue *queue, struct qe_message *message,
                  int64_t by_ms, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_sqs *sqs = self;
    struct qe_sqs_queue *own = qe_sqs_queue_find(sqs, queue, deadline_mono_ms, err);
    struct extension extension = {.message = message};
    int64_t asked = qe_clock_mono_ms();

    if (own == NULL) {
        return -1;
    }
    if (qe_sqs_is_stale(sqs, own, message, asked)) {
        return stale(queue, message, err);
    }
    extension.seconds = qe_sqs_visibility_seconds(message, by_ms, asked);
    if (extension.seconds == 0 && by_ms > 0) {
        return qe_err_set(err, QE_ERR_LIMIT,
                          "queue \"%s\": message %s: SQS keeps a delivery for 12 h at most, and "
                          "these are over",
                          queue->name, message->id);
    }
    int rc = collect_behind(own, &extension, err);

    if (rc == 0) {
        rc = run(sqs, own, &extension, deadline_mono_ms, err);
    }
    if (rc == 0) {
        take_extended(message, asked, extension.seconds);
        qe_sqs_hold_extended(own, qe_sqs_receipt_number(own, message->receipt),
                             message->visible_until_mono_ms);
    } else if (extension.is_stale) {
        rc = stale(queue, message, err);
    }
    for (size_t i = 0; rc == 0 && i < extension.behind_count; i++) {
        if (extension.behind[i] != NULL) {
            take_extended(extension.behind[i], asked, extension.seconds);
        }
    }
    qe_free(extension.behind);
    return rc;
}
