/* The text of a node's metrics, read as it comes: megabytes of it need not be kept. */
#include "backend/rabbitmq/family.h"
#include "backend/rabbitmq/sample_internal.h"
#include "util/mem.h"

struct qe_rmq_text {
    struct qe_rmq_families families;
    struct qe_rmq_told *told; /* borrowed: the endpoint's, or `brief` */
    struct qe_rmq_told brief; /* what is asked but now and then is not remembered */
};

void qe_rmq_text_destroy(struct qe_rmq_text *text)
{
    if (text != NULL) {
        qe_rmq_families_deinit(&text->families);
        qe_rmq_told_deinit(&text->brief);
        qe_free(text);
    }
}

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
                qe_rmq_take_fresh(sampling, record, &item->reading);
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

int qe_rmq_feed_text(void *context, struct qe_rmq_call *call, const char *piece, size_t piece_bytes,
                     struct qe_err *err)
{
    struct qe_rmq_sampling *sampling = context;

    if (call->text == NULL) {
        call->text = qe_calloc(1, sizeof *call->text);
        if (call->text == NULL) {
            return qe_err_set(err, QE_ERR_NOMEM, "metrics of a node");
        }
        call->text->told = call->index == QE_RMQ_FOR_DEPTHS
                               ? &sampling->self->endpoints[call->endpoint].told
                               : &call->text->brief;
        qe_rmq_families_init(&call->text->families, number_of, sampling->self->table,
                             call->text->told);
    }
    return qe_rmq_families_feed(&call->text->families, piece, piece_bytes, err);
}

int qe_rmq_take_text(struct qe_rmq_sampling *sampling, const struct qe_rmq_call *call,
                     struct qe_err *err)
{
    struct qe_rmq_text *text = call->text;
    int rc = -1;

    if (text == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "an empty answer");
    }
    if (qe_rmq_families_end(&text->families, err) == 0 &&
        note_node(sampling, text->families.node, err) == 0) {
        rc = take_told(sampling, call, text->told, err);
        qe_rmq_told_end(text->told);
    }
    return rc;
}
