/* What the answers to a list's questions say. */
#include <string.h>

#include "backend/rabbitmq/list_internal.h"
#include "util/mem.h"
#include "util/text.h"

#define VHOSTS_MAX 100000
/* What statistics of one queue, and what a node's queue_metrics of one, cost before they are
 * measured: RabbitMQ 3.10 on one slow core. */
#define STATISTICS_SECONDS_PER_QUEUE 0.0004
#define METRICS_SECONDS_PER_QUEUE 0.00006

static void take_version(struct qe_rmq *self, const struct qe_json *overview)
{
    const char *version = qe_json_text(qe_json_get(overview, "rabbitmq_version"));
    struct qe_err ignored = {0};
    uint64_t major = 0;
    char text[8] = {0};

    if (version != NULL) {
        const size_t bytes = strcspn(version, ".");

        memcpy(text, version, bytes < sizeof text ? bytes : 0);
    }
    self->version_major = qe_text_to_u64(text, 1000, &major, &ignored) == 0 ? (unsigned)major : 0;
}

static int take_overview(struct qe_rmq_listing *listing, const struct qe_json *json,
                         struct qe_err *err)
{
    struct qe_rmq *self = listing->self;
    bool flag = false;
    double queues = 0;

    take_version(self, json);
    self->has_statistics = !(qe_json_bool(qe_json_get(json, "disable_stats"), &flag) && flag);
    if (qe_json_number(qe_json_get(qe_json_get(json, "object_totals"), "queues"), &queues)) {
        qe_rmq_pace_expect(&self->paces[QE_RMQ_EXTRA_STATISTICS],
                           queues * STATISTICS_SECONDS_PER_QUEUE);
        qe_rmq_pace_expect(&self->paces[QE_RMQ_EXTRA_METRICS], queues * METRICS_SECONDS_PER_QUEUE);
    }
    return qe_rmq_find_endpoints(self, json, err);
}

int qe_rmq_listing_add_vhost(struct qe_rmq_listing *listing, const char *name, struct qe_err *err)
{
    char *copy = qe_strdup(name);

    if (copy == NULL || qe_grow(&listing->vhosts, listing->vhosts_count, &listing->vhosts_capacity,
                                VHOSTS_MAX, sizeof copy) != 0) {
        qe_free(copy);
        return qe_err_set(err, QE_ERR_NOMEM, "virtual host %s", name);
    }
    listing->vhosts[listing->vhosts_count++] = copy;
    return 0;
}

static int take_vhosts(struct qe_rmq_listing *listing, const struct qe_json *json,
                       struct qe_err *err)
{
    if (!qe_json_is_array(json)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "virtual hosts are no list");
    }
    for (const struct qe_json *at = qe_json_first(json); at != NULL; at = qe_json_next(at)) {
        const char *name = qe_json_text(qe_json_get(at, "name"));

        if (name == NULL) {
            return qe_err_set(err, QE_ERR_PROTOCOL, "a virtual host without a name");
        }
        if (qe_rmq_listing_add_vhost(listing, name, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int take_queue(void *context, const struct qe_json *queue, struct qe_err *err)
{
    struct qe_rmq_listing *listing = context;
    struct qe_rmq_definition definition;

    return qe_rmq_definition_parse(queue, &definition, err) != 0
               ? -1
               : qe_rmq_table_add_take(listing->table, &definition, err);
}

static int take_json(struct qe_rmq_listing *listing, const struct qe_rmq_call *call,
                     const struct qe_json *json, struct qe_err *err)
{
    switch (call->operation) {
    case QE_RMQ_OVERVIEW:
        return take_overview(listing, json, err);
    case QE_RMQ_VHOSTS:
        return take_vhosts(listing, json, err);
    case QE_RMQ_NODES:
        return qe_rmq_take_nodes(listing->self, json, NULL, err);
    case QE_RMQ_POLICIES:
        return qe_rmq_policies_parse(
            json, call->index == 0 ? &listing->policies : &listing->operator_policies, err);
    case QE_RMQ_EXCHANGES:
        return qe_rmq_topology_add_exchanges(&listing->topology, json, &listing->policies, err);
    case QE_RMQ_BINDINGS:
        return qe_rmq_topology_add_bindings(&listing->topology, json, err);
    case QE_RMQ_QUEUES:
    case QE_RMQ_TOTALS_OF:
    case QE_RMQ_STATISTICS_OF:
    case QE_RMQ_NODE_METRICS:
    case QE_RMQ_OPERATION_COUNT:
        break;
    }
    return 0;
}

int qe_rmq_list_take(void *context, const struct qe_rmq_call *call, const char *body,
                     size_t body_bytes, struct qe_err *err)
{
    if (call->operation == QE_RMQ_QUEUES) {
        return qe_json_each(body, body_bytes, take_queue, context, err);
    }
    struct qe_json *json = qe_json_parse(body, body_bytes, err);
    const int rc = json == NULL ? -1 : take_json(context, call, json, err);

    qe_json_destroy(json);
    return rc;
}
