/* What a poll's answers say, queue by queue. */
#include "backend/rabbitmq/sample_internal.h"

void qe_rmq_take_fresh(struct qe_rmq_sampling *sampling, struct qe_rmq_record *record,
                       const struct qe_rmq_reading *reading)
{
    record->fresh = *reading;
    record->fresh_poll = sampling->self->poll;
    record->told_ways |= 1U << (unsigned)sampling->poll.way;
    sampling->depths_count += qe_rmq_has(reading, QE_RMQ_READY) ? 1 : 0;
}

/* One answer, while it is read. */
struct taking {
    struct qe_rmq_sampling *sampling;
    const struct qe_rmq_call *call;
};

static int take_queue(void *context, const struct qe_json *queue, struct qe_err *err)
{
    const struct taking *taking = context;
    struct qe_rmq_sampling *sampling = taking->sampling;
    const char *vhost = qe_json_text(qe_json_get(queue, "vhost"));
    const char *name = qe_json_text(qe_json_get(queue, "name"));
    struct qe_rmq_record *record = NULL;
    struct qe_rmq_reading reading;

    if (vhost == NULL || name == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "a queue without name or vhost");
    }
    record = qe_rmq_table_get(sampling->self->table, vhost, name);
    if (record == NULL) { /* newer than the last list */
        return 0;
    }
    qe_rmq_reading_parse(queue, &reading);
    if (qe_rmq_record_lead(record, qe_rmq_leader_of(queue), sampling->poll.now_mono_ms, err) != 0) {
        return -1;
    }
    if (taking->call->index == QE_RMQ_FOR_DEPTHS) {
        qe_rmq_take_fresh(sampling, record, &reading);
    }
    if (taking->call->operation != QE_RMQ_STATISTICS_OF) {
        return 0;
    }
    record->tells_state = record->tells_state || reading.has_state;
    return qe_rmq_is_false_zero(sampling->self, QE_RMQ_STATISTICS, record, &reading,
                                sampling->poll.now_mono_ms)
               ? 0
               : qe_rmq_hold(record, QE_RMQ_EXTRA_STATISTICS, &reading, &sampling->poll, err);
}

int qe_rmq_take_nodes(struct qe_rmq *self, const struct qe_json *json, bool *out_changed,
                      struct qe_err *err)
{
    struct qe_rmq_nodes nodes = {0};

    if (qe_rmq_nodes_parse(json, &nodes, err) != 0) {
        return -1;
    }
    if (self->nodes.count > 0 && qe_rmq_nodes_restarted(&self->nodes, &nodes)) {
        self->nodes_restarted = true;
        self->nodes_changed_mono_ms = qe_clock_mono_ms();
    }
    if (out_changed != NULL) {
        *out_changed = self->nodes.count > 0 && !qe_rmq_nodes_same_running(&self->nodes, &nodes);
    }
    qe_rmq_nodes_deinit(&self->nodes);
    self->nodes = nodes;
    return 0;
}

int qe_rmq_take_answer(void *context, const struct qe_rmq_call *call, const char *body,
                       size_t body_bytes, struct qe_err *err)
{
    struct taking taking = {.sampling = context, .call = call};
    struct qe_json *json = NULL;
    int rc = 0;

    if (call->is_text) {
        return qe_rmq_take_text(context, call, err);
    }
    if (call->operation != QE_RMQ_NODES) {
        return qe_json_each(body, body_bytes, take_queue, &taking, err);
    }
    json = qe_json_parse(body, body_bytes, err);
    rc = json == NULL
             ? -1
             : qe_rmq_take_nodes(taking.sampling->self, json, &taking.sampling->nodes_changed, err);
    taking.sampling->nodes_told = taking.sampling->nodes_told || rc == 0;
    qe_json_destroy(json);
    return rc;
}
