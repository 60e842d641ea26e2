/* What one poll asks for. */
#include "backend/rabbitmq/sample_internal.h"
#include "util/mem.h"

#define TOTALS_QUERY                                                                               \
    "?disable_stats=true&enable_queue_totals=true"                                                 \
    "&columns=vhost,name,node,leader,state,messages,messages_ready,messages_unacknowledged"
#define STATISTICS_QUERY                                                                           \
    "?columns=vhost,name,node,leader,state,messages,messages_ready,messages_unacknowledged,"       \
    "messages_dlx,consumers,message_bytes,head_message_timestamp,message_stats.publish,"           \
    "message_stats.deliver_get,message_stats.ack,message_stats.redeliver"
#define COARSE_QUERY "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count"
#define METRICS_QUERY "/metrics/detailed?family=queue_metrics"

void qe_rmq_forget_calls(struct qe_rmq_sampling *sampling)
{
    for (size_t i = 0; i < sampling->calls_count; i++) {
        qe_rmq_call_deinit(&sampling->calls[i]);
    }
    qe_free(sampling->calls);
    sampling->calls = NULL;
    sampling->calls_count = 0;
    sampling->calls_capacity = 0;
}

/* "<base><path>", with `part` for the %s of the path. */
struct question {
    enum qe_rmq_operation operation;
    enum qe_rmq_purpose purpose;
    const char *base;
    const char *path;
    const char *part;
};

static int add_call(struct qe_rmq_sampling *sampling, const struct question *question,
                    struct qe_err *err)
{
    struct qe_rmq_call call;

    if (qe_rmq_call_init(&call, question->operation, question->base, question->path, question->part,
                         err) != 0) {
        return -1;
    }
    if (qe_grow(&sampling->calls, sampling->calls_count, &sampling->calls_capacity, QE_QUEUES_MAX,
                sizeof call) != 0) {
        qe_rmq_call_deinit(&call);
        return qe_err_set(err, QE_ERR_NOMEM, "requests of a poll");
    }
    call.index = question->purpose;
    sampling->calls[sampling->calls_count++] = call;
    return 0;
}

/* All virtual hosts in one answer, unless only some are wanted. */
static int ask_management(struct qe_rmq_sampling *sampling, enum qe_rmq_operation operation,
                          enum qe_rmq_purpose purpose, struct qe_err *err)
{
    const struct qe_rmq *self = sampling->self;
    const bool is_totals = operation == QE_RMQ_TOTALS_OF;
    struct question question = {.operation = operation,
                                .purpose = purpose,
                                .base = self->base_url,
                                .path = is_totals ? "/api/queues" TOTALS_QUERY
                                                  : "/api/queues" STATISTICS_QUERY,
                                .part = ""};

    if (self->settings->vhosts.count == 0) {
        return add_call(sampling, &question, err);
    }
    question.path = is_totals ? "/api/queues/%s" TOTALS_QUERY : "/api/queues/%s" STATISTICS_QUERY;
    for (size_t i = 0; i < self->vhosts_count; i++) {
        question.part = self->vhosts[i];
        if (add_call(sampling, &question, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* When the answer to something must be there that this poll can do without. */
static int64_t half_way(const struct qe_rmq_sampling *sampling)
{
    const int64_t now_mono_ms = sampling->poll.now_mono_ms;

    return now_mono_ms + (sampling->deadline_mono_ms - now_mono_ms) / 2;
}

static int ask_metrics(struct qe_rmq_sampling *sampling, enum qe_rmq_purpose purpose,
                       struct qe_err *err)
{
    const struct qe_rmq *self = sampling->self;
    const bool is_extra = purpose == QE_RMQ_FOR_EXTRA_METRICS;
    const bool is_narrow = self->vhosts_count == 1 && self->settings->vhosts.count == 1;
    const char *path = is_extra ? METRICS_QUERY : COARSE_QUERY;

    /* What a firewall swallows must leave time for the other way. */
    const int64_t deadline_mono_ms =
        self->settings->method == QE_RMQ_AUTO && !self->management_failed ? half_way(sampling) : 0;

    if (is_narrow) {
        path = is_extra ? METRICS_QUERY "&vhost=%s" : COARSE_QUERY "&vhost=%s";
    }
    for (size_t i = 0; i < self->endpoints_count; i++) {
        const struct question question = {.operation = QE_RMQ_NODE_METRICS,
                                          .purpose = purpose,
                                          .base = self->endpoints[i].url,
                                          .path = path,
                                          .part = is_narrow ? self->vhosts[0] : ""};
        struct qe_rmq_call *call = NULL;

        if (add_call(sampling, &question, err) != 0) {
            return -1;
        }
        call = &sampling->calls[sampling->calls_count - 1];
        call->is_text = true;
        call->is_anonymous = !self->endpoints[i].is_configured;
        call->endpoint = i;
        call->deadline_mono_ms = deadline_mono_ms;
    }
    return 0;
}

int qe_rmq_ask_depths(struct qe_rmq_sampling *sampling, struct qe_err *err)
{
    switch (sampling->poll.way) {
    case QE_RMQ_METRICS:
        return ask_metrics(sampling, QE_RMQ_FOR_DEPTHS, err);
    case QE_RMQ_TOTALS:
        return ask_management(sampling, QE_RMQ_TOTALS_OF, QE_RMQ_FOR_DEPTHS, err);
    case QE_RMQ_STATISTICS:
    case QE_RMQ_AUTO:
        break;
    }
    return ask_management(sampling, QE_RMQ_STATISTICS_OF, QE_RMQ_FOR_DEPTHS, err);
}

static bool is_due(const struct qe_rmq *self, enum qe_rmq_extra extra)
{
    return qe_rmq_pace_is_due(&self->paces[extra], self->settings->statistics_max_load,
                              self->poll_interval_ms, self->poll_mono_ms);
}

int qe_rmq_ask_extras(struct qe_rmq_sampling *sampling, struct qe_err *err)
{
    struct qe_rmq *self = sampling->self;

    if (!self->has_statistics && self->settings->method == QE_RMQ_AUTO &&
        self->settings->statistics_max_load > 0) {
        (void)qe_err_set(&sampling->extra_error, QE_ERR_UNSUPPORTED,
                         "the broker's statistics are off: no message counters, and no ages by "
                         "them; with statistics_max_load: 0 they are not missed");
    }
    const bool wants_statistics = sampling->poll.way != QE_RMQ_STATISTICS && self->has_statistics &&
                                  is_due(self, QE_RMQ_EXTRA_STATISTICS);

    if (wants_statistics &&
        ask_management(sampling, QE_RMQ_STATISTICS_OF, QE_RMQ_FOR_EXTRA_STATISTICS, err) != 0) {
        return -1;
    }
    if (!wants_statistics && sampling->poll.way == QE_RMQ_METRICS &&
        is_due(self, QE_RMQ_EXTRA_METRICS)) {
        return ask_metrics(sampling, QE_RMQ_FOR_EXTRA_METRICS, err);
    }
    return 0;
}

/* The nodes' state must not make a poll late that goes well without it. */
int qe_rmq_ask_nodes(struct qe_rmq_sampling *sampling, struct qe_err *err)
{
    const struct question question = {.operation = QE_RMQ_NODES,
                                      .purpose = QE_RMQ_FOR_NODES,
                                      .base = sampling->self->base_url,
                                      .path = QE_RMQ_NODES_PATH,
                                      .part = ""};

    if (add_call(sampling, &question, err) != 0) {
        return -1;
    }
    sampling->calls[sampling->calls_count - 1].deadline_mono_ms = half_way(sampling);
    return 0;
}
