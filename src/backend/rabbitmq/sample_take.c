/* What a poll's answers say, queue by queue. */
#include "backend/rabbitmq/family.h"
#include "backend/rabbitmq/sample_internal.h"

static void take_fresh(struct qe_rmq_sampling *sampling, struct qe_rmq_record *record,
                       const struct qe_rmq_reading *reading)
{
    record->fresh = *reading;
    record->fresh_poll = sampling->self->poll;
    record->fresh_endpoint = SIZE_MAX;
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
    if (taking->call->index == QE_RMQ_FOR_DEPTHS) {
        take_fresh(sampling, record, &reading);
    }
    return taking->call->operation == QE_RMQ_STATISTICS_OF
               ? qe_rmq_hold(record, QE_RMQ_EXTRA_STATISTICS, &reading, &sampling->poll, err)
               : 0;
}

static int take_nodes(struct qe_rmq_sampling *sampling, const struct qe_json *json,
                      struct qe_err *err)
{
    struct qe_rmq *self = sampling->self;
    struct qe_rmq_nodes nodes = {0};

    if (qe_rmq_nodes_parse(json, &nodes, err) != 0) {
        return -1;
    }
    sampling->nodes_told = true;
    sampling->nodes_changed =
        self->nodes.count > 0 && !qe_rmq_nodes_same_running(&self->nodes, &nodes);
    sampling->nodes_restarted =
        self->nodes.count > 0 && qe_rmq_nodes_restarted(&self->nodes, &nodes);
    qe_rmq_nodes_deinit(&self->nodes);
    self->nodes = nodes;
    return 0;
}

/* A queue that moves may be told of by two nodes for a while: the first one counts. */
static int take_value(void *context, const struct qe_rmq_named *queue, enum qe_rmq_value value,
                      double number, struct qe_err *err)
{
    const struct taking *answer = context;
    struct qe_rmq_sampling *sampling = answer->sampling;
    const uint64_t poll = sampling->self->poll;
    struct qe_rmq_record *record = qe_rmq_table_find(
        sampling->self->table, queue->vhost, queue->vhost_bytes, queue->name, queue->name_bytes);

    (void)err;
    if (record == NULL) { /* newer than the last list, or called otherwise */
        return 0;
    }
    if (answer->call->index == QE_RMQ_FOR_EXTRA_METRICS) {
        if (record->extra_poll != poll) {
            record->extra_poll = poll;
            record->extra = (struct qe_rmq_reading){0};
        }
        qe_rmq_set(&record->extra, value, number);
        return 1;
    }
    if (record->fresh_poll != poll) {
        record->fresh_poll = poll;
        record->fresh_endpoint = answer->call->endpoint;
        record->fresh = (struct qe_rmq_reading){0};
    }
    if (record->fresh_endpoint == answer->call->endpoint) {
        sampling->depths_count += value == QE_RMQ_READY ? 1 : 0;
        qe_rmq_set(&record->fresh, value, number);
    }
    return 1;
}

/* What another broker says of queues that happen to have the same names. */
static void forget_told(struct qe_rmq_sampling *sampling, const struct qe_rmq_call *call)
{
    const struct qe_rmq_table *table = sampling->self->table;

    for (size_t i = 0; i < table->count; i++) {
        struct qe_rmq_record *record = &table->items[i];

        if (call->index == QE_RMQ_FOR_EXTRA_METRICS) {
            record->extra_poll = 0;
        } else if (record->fresh_endpoint == call->endpoint) {
            record->fresh_poll = 0;
        }
    }
}

static int take_text(struct qe_rmq_sampling *sampling, const struct qe_rmq_call *call,
                     const char *body, size_t body_bytes, struct qe_err *err)
{
    struct taking answer = {.sampling = sampling, .call = call};
    struct qe_rmq_families families = {.value = take_value, .context = &answer};

    if (qe_rmq_families_read(&families, body, body_bytes, err) != 0) {
        return -1;
    }
    if (families.node[0] == '\0') {
        return qe_err_set(err, QE_ERR_PROTOCOL, "no answer of rabbitmq_prometheus");
    }
    if (sampling->self->nodes.count > 0 &&
        qe_rmq_nodes_find(&sampling->self->nodes, families.node) == NULL) {
        forget_told(sampling, call);
        return qe_err_set(err, QE_ERR_INVALID, "node %s is none of this cluster", families.node);
    }
    return qe_rmq_nodes_find(&sampling->told_nodes, families.node) != NULL
               ? 0
               : qe_rmq_nodes_add(&sampling->told_nodes, families.node, err);
}

int qe_rmq_take_answer(void *context, const struct qe_rmq_call *call, const char *body,
                       size_t body_bytes, struct qe_err *err)
{
    struct taking taking = {.sampling = context, .call = call};
    struct qe_json *json = NULL;
    int rc = 0;

    if (call->is_text) {
        return take_text(context, call, body, body_bytes, err);
    }
    if (call->operation != QE_RMQ_NODES) {
        return qe_json_each(body, body_bytes, take_queue, &taking, err);
    }
    json = qe_json_parse(body, body_bytes, err);
    rc = json == NULL ? -1 : take_nodes(context, json, err);
    qe_json_destroy(json);
    return rc;
}
