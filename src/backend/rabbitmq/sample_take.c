/* What a poll's answers say, queue by queue. */
#include "backend/rabbitmq/family.h"
#include "backend/rabbitmq/sample_internal.h"

static void take_fresh(struct qe_rmq_sampling *sampling, struct qe_rmq_record *record,
                       const struct qe_rmq_reading *reading)
{
    record->fresh = *reading;
    record->fresh_poll = sampling->self->poll;
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

/* --- the text of a node's metrics --- */

static size_t number_of(void *context, const struct qe_rmq_named *queue)
{
    const struct qe_rmq_table *table = context;
    const struct qe_rmq_record *record =
        qe_rmq_table_find(table, queue->vhost, queue->vhost_bytes, queue->name, queue->name_bytes);

    /* None: newer than the last list, or called otherwise. */
    return record == NULL ? SIZE_MAX : (size_t)(record - table->items);
}

/* A queue that moves may be told of by two nodes for a while: the first one counts. */
static int take_told(struct qe_rmq_sampling *sampling, const struct qe_rmq_call *call,
                     const struct qe_rmq_told *told, struct qe_err *err)
{
    struct qe_rmq_table *table = sampling->self->table;

    for (size_t i = 0; i < told->count; i++) {
        const struct qe_rmq_told_queue *item = &told->items[i];
        struct qe_rmq_record *record = NULL;

        if (item->reading.known == 0) {
            continue;
        }
        record = &table->items[item->queue];
        if (call->index == QE_RMQ_FOR_DEPTHS) {
            if (record->fresh_poll != sampling->self->poll) {
                take_fresh(sampling, record, &item->reading);
            }
        } else if (record->held[QE_RMQ_EXTRA_METRICS].read_mono_ms != sampling->poll.now_mono_ms &&
                   qe_rmq_hold(record, QE_RMQ_EXTRA_METRICS, &item->reading, &sampling->poll,
                               err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Another broker's queues may happen to have the same names. */
static int note_node(struct qe_rmq_sampling *sampling, const char *node, struct qe_err *err)
{
    const struct qe_rmq_nodes *nodes = &sampling->self->nodes;

    if (node[0] == '\0') {
        return qe_err_set(err, QE_ERR_PROTOCOL, "no answer of rabbitmq_prometheus");
    }
    if (nodes->count > 0 && qe_rmq_nodes_find(nodes, node) == NULL) {
        return qe_err_set(err, QE_ERR_INVALID, "node %s is none of this cluster", node);
    }
    return qe_rmq_nodes_find(&sampling->told_nodes, node) != NULL
               ? 0
               : qe_rmq_nodes_add(&sampling->told_nodes, node, err);
}

static int read_text(struct qe_rmq_sampling *sampling, const struct qe_rmq_call *call,
                     struct qe_rmq_told *told, const char *body, size_t body_bytes,
                     struct qe_err *err)
{
    struct qe_rmq_families families;
    int rc = -1;

    qe_rmq_families_init(&families, number_of, sampling->self->table, told);
    if (qe_rmq_families_feed(&families, body, body_bytes, err) == 0 &&
        qe_rmq_families_end(&families, err) == 0 && note_node(sampling, families.node, err) == 0) {
        rc = take_told(sampling, call, told, err);
        qe_rmq_told_end(told);
    }
    qe_rmq_families_deinit(&families);
    return rc;
}

static int take_text(struct qe_rmq_sampling *sampling, const struct qe_rmq_call *call,
                     const char *body, size_t body_bytes, struct qe_err *err)
{
    struct qe_rmq_told brief = {0}; /* what is asked but now and then is not remembered */
    const bool is_depths = call->index == QE_RMQ_FOR_DEPTHS;
    const int rc = read_text(sampling, call,
                             is_depths ? &sampling->self->endpoints[call->endpoint].told : &brief,
                             body, body_bytes, err);

    qe_rmq_told_deinit(&brief);
    return rc;
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
