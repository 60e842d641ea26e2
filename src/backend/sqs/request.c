/* One call: what it is called on the wire, what it costs, what is counted of it. */
#include <math.h>

#include "backend/sqs/internal.h"

#define CREDENTIALS_LOOK_MS 1000 /* how often the stats learn of the credentials, at most */

static const char *const s_targets[QE_SQS_OPERATION_COUNT] = {
    [QE_SQS_LIST_QUEUES] = "AmazonSQS.ListQueues",
    [QE_SQS_GET_QUEUE_URL] = "AmazonSQS.GetQueueUrl",
    [QE_SQS_GET_QUEUE_ATTRIBUTES] = "AmazonSQS.GetQueueAttributes",
    [QE_SQS_LIST_QUEUE_TAGS] = "AmazonSQS.ListQueueTags",
    [QE_SQS_GET_METRIC_DATA] = "GraniteServiceVersion20100801.GetMetricData",
    [QE_SQS_SEND_MESSAGE_BATCH] = "AmazonSQS.SendMessageBatch",
    [QE_SQS_RECEIVE_MESSAGE] = "AmazonSQS.ReceiveMessage",
    [QE_SQS_DELETE_MESSAGE_BATCH] = "AmazonSQS.DeleteMessageBatch",
    [QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH] = "AmazonSQS.ChangeMessageVisibilityBatch",
    [QE_SQS_PURGE_QUEUE] = "AmazonSQS.PurgeQueue",
    [QE_SQS_START_MESSAGE_MOVE_TASK] = "AmazonSQS.StartMessageMoveTask",
    [QE_SQS_LIST_MESSAGE_MOVE_TASKS] = "AmazonSQS.ListMessageMoveTasks",
    [QE_SQS_CANCEL_MESSAGE_MOVE_TASK] = "AmazonSQS.CancelMessageMoveTask",
};

/* --- what is counted --- */

static void look_at_credentials(struct qe_sqs *sqs)
{
    int64_t now = qe_clock_mono_ms();

    if (sqs->credentials_seen_mono_ms != 0 &&
        now - sqs->credentials_seen_mono_ms < CREDENTIALS_LOOK_MS) {
        return;
    }
    int64_t expires_unix_ms = qe_aws_provider_expires_unix_ms(sqs->provider);

    sqs->credentials_seen_mono_ms = now;
    atomic_store(&sqs->stats->credentials_expiry_unix_ms, expires_unix_ms);
    atomic_store(&sqs->stats->has_credentials, expires_unix_ms != 0);
    atomic_store(&sqs->stats->credentials_refresh_failures,
                 (int64_t)qe_aws_provider_refresh_failures(sqs->provider));
}

static void on_attempt(void *self, const struct qe_aws_call *call, enum qe_err_code code,
                       double duration_seconds)
{
    struct qe_sqs *sqs = self;

    qe_api_stats_count(sqs->stats, call->operation, code, duration_seconds);
    if (sqs->stats != NULL) {
        look_at_credentials(sqs);
    }
}

static void on_retried(void *self, const struct qe_aws_call *call)
{
    struct qe_sqs *sqs = self;

    (void)call;
    if (sqs->stats != NULL) {
        qe_counter_add(&sqs->stats->retries, 1);
    }
}

static void on_throttled(void *self, const struct qe_aws_call *call)
{
    struct qe_sqs *sqs = self;

    (void)call;
    if (sqs->stats != NULL) {
        qe_counter_add(&sqs->stats->throttles, 1);
    }
}

static void on_billed(void *self, const struct qe_aws_call *call)
{
    struct qe_sqs *sqs = self;
    enum qe_sqs_billed service =
        call->service == QE_AWS_CLOUDWATCH ? QE_SQS_BILLED_CLOUDWATCH : QE_SQS_BILLED_SQS;

    if (call->operation == QE_SQS_GET_QUEUE_ATTRIBUTES ||
        call->operation == QE_SQS_GET_METRIC_DATA) {
        sqs->watch_dollars += call->dollars;
    }
    qe_api_stats_bill(sqs->stats, service, call->billable, call->dollars);
}

static void on_clock_skew(void *self, double seconds)
{
    struct qe_sqs *sqs = self;

    sqs->clock_skew_ms = llround(seconds * 1000);
    if (sqs->stats != NULL) {
        atomic_store(&sqs->stats->clock_skew_ms, sqs->clock_skew_ms);
        atomic_store(&sqs->stats->has_clock_skew, true);
    }
}

struct qe_aws_client *qe_sqs_client_new(struct qe_sqs *sqs, struct qe_err *err)
{
    const struct qe_aws_client_options options = {
        .provider = sqs->provider,
        .observer = {.self = sqs,
                     .attempt = on_attempt,
                     .retried = on_retried,
                     .throttled = on_throttled,
                     .billed = on_billed,
                     .clock_skew = on_clock_skew},
        .ca_file = sqs->settings->ca_file,
        .connections_max = (size_t)sqs->settings->concurrency,
    };

    return qe_aws_client_new(&options, err);
}

/* --- one call --- */

void qe_sqs_call_price(const struct qe_sqs *sqs, struct qe_aws_call *call, double units)
{
    const struct qe_sqs_cost_settings *cost = &sqs->settings->cost;

    call->billable = units;
    call->dollars =
        units * (call->service == QE_AWS_CLOUDWATCH ? cost->cloudwatch_dollars_per_thousand / 1e3
                                                    : cost->sqs_dollars_per_million / 1e6);
}

void qe_sqs_call_price_work(const struct qe_sqs *sqs, struct qe_aws_call *call, double units,
                            enum qe_sqs_tariff tariff)
{
    const struct qe_sqs_cost_settings *cost = &sqs->settings->cost;
    double per_million = cost->sqs_dollars_per_million;

    if (tariff == QE_SQS_TARIFF_FIFO) {
        per_million = cost->sqs_fifo_dollars_per_million;
    } else if (tariff == QE_SQS_TARIFF_FAIR) {
        per_million += cost->sqs_fair_dollars_per_million;
    }
    call->billable = units;
    call->dollars = units * (per_million / 1e6);
}

void qe_sqs_call_init(struct qe_sqs *sqs, struct qe_aws_call *call, enum qe_sqs_operation operation,
                      int64_t deadline_mono_ms)
{
    qe_aws_call_reset(call);
    qe_strbuf_reset(&call->body);
    call->service = operation == QE_SQS_GET_METRIC_DATA ? QE_AWS_CLOUDWATCH : QE_AWS_SQS;
    call->target = s_targets[operation];
    call->operation = operation;
    call->deadline_mono_ms = deadline_mono_ms;
    call->reply_max_bytes = QE_SQS_REPLY_MAX_BYTES;
    call->is_long_poll = false;
    call->no_retry = false;
    qe_sqs_call_price(sqs, call, 1);
}

void qe_sqs_count_nonsense(const struct qe_sqs *sqs, const struct qe_aws_call *call,
                           enum qe_err_code code)
{
    if (sqs->stats != NULL) {
        qe_counter_add(&sqs->stats->failures[call->operation][code], 1);
    }
}

int qe_sqs_parse(const struct qe_sqs *sqs, const struct qe_aws_call *call,
                 struct qe_json **out_json, struct qe_err *err)
{
    struct qe_json *json = NULL;

    if (call->reply_body.length_bytes > 0) {
        json = qe_json_parse(call->reply_body.data, call->reply_body.length_bytes, err);
        if (json == NULL) {
            qe_sqs_count_nonsense(sqs, call, err->code);
            return qe_err_wrap(err, "%s", s_targets[call->operation]);
        }
    }
    *out_json = json;
    return 0;
}

int qe_sqs_ask(struct qe_sqs *sqs, struct qe_aws_call *call, struct qe_json **out_json,
               struct qe_err *err)
{
    if (qe_strbuf_error(&call->body, err) != 0 || qe_aws_do(sqs->client, call, err) != 0) {
        return -1;
    }
    return qe_sqs_parse(sqs, call, out_json, err);
}

bool qe_sqs_take_interrupt(struct qe_sqs *sqs)
{
    return atomic_exchange(&sqs->interrupted, false);
}

static int cancelled(struct qe_err *err)
{
    return qe_err_set(err, QE_ERR_CANCELLED, "interrupted");
}

int qe_sqs_ask_interruptible(struct qe_sqs *sqs, struct qe_aws_call *call,
                             struct qe_json **out_json, struct qe_err *err)
{
    enum qe_http_event event = QE_HTTP_INTERRUPTED;
    struct qe_aws_call *done = NULL;

    if (qe_sqs_take_interrupt(sqs)) {
        return cancelled(err);
    }
    if (qe_strbuf_error(&call->body, err) != 0 || qe_aws_start(sqs->client, call, err) != 0) {
        return -1;
    }
    while (event == QE_HTTP_INTERRUPTED) {
        event = qe_aws_wait(sqs->client, 0, true, &done);
        if (event == QE_HTTP_INTERRUPTED && qe_sqs_take_interrupt(sqs)) {
            qe_aws_abort(sqs->client);
            return cancelled(err);
        }
    }
    if (event != QE_HTTP_REPLY || done != call) {
        qe_aws_abort(sqs->client);
        return qe_err_set(err, QE_ERR_PROTOCOL, "%s: the call was lost", call->target);
    }
    if (call->err.code != QE_OK) {
        *err = call->err;
        return -1;
    }
    return qe_sqs_parse(sqs, call, out_json, err);
}

/* --- bodies --- */

void qe_sqs_append_text(struct qe_strbuf *out, const char *text, size_t bytes)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0; /* where the run of bytes that stand for themselves began */

    (void)qe_strbuf_append_char(out, '"');
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

        (void)qe_strbuf_append(out, text + plain, i - plain);
        plain = i + 1;
        if (c >= 0x20) {
            escape[1] = (char)c;
        }
        (void)qe_strbuf_append(out, escape, c >= 0x20 ? 2 : sizeof escape);
    }
    (void)qe_strbuf_append(out, text + plain, bytes - plain);
    (void)qe_strbuf_append_char(out, '"');
}
