#include "backend/rabbitmq/nodes.h"

#include <string.h>

#include "util/mem.h"

#define UPTIME_MAX_MS 9007199254740992.0

void qe_rmq_nodes_deinit(struct qe_rmq_nodes *nodes)
{
    for (size_t i = 0; i < nodes->count; i++) {
        qe_free(nodes->items[i].name);
    }
    qe_free(nodes->items);
    *nodes = (struct qe_rmq_nodes){0};
}

static bool flag_of(const struct qe_json *object, const char *key, bool *out)
{
    return qe_json_bool(qe_json_get(object, key), out);
}

static struct qe_rmq_node node_parse(const struct qe_json *object)
{
    struct qe_rmq_node node = {.uptime_ms = -1};
    double number = 0;

    if (!flag_of(object, "running", &node.is_running)) {
        node.is_running = false;
    }
    const bool memory_known = flag_of(object, "mem_alarm", &node.has_memory_alarm);
    const bool disk_known = flag_of(object, "disk_free_alarm", &node.has_disk_alarm);

    node.alarms_known = node.is_running && memory_known && disk_known;
    node.partitions_count = qe_json_count(qe_json_get(object, "partitions"));
    if (qe_json_number(qe_json_get(object, "uptime"), &number) && number >= 0 &&
        number < UPTIME_MAX_MS) {
        node.uptime_ms = (int64_t)number;
    }
    return node;
}

static int add(struct qe_rmq_nodes *nodes, const char *name, struct qe_rmq_node node,
               struct qe_err *err)
{
    if (nodes->count >= QE_RMQ_NODES_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "more than %d nodes", QE_RMQ_NODES_MAX);
    }
    node.name = qe_strdup(name);
    if (node.name == NULL || qe_grow(&nodes->items, nodes->count, &nodes->capacity,
                                     QE_RMQ_NODES_MAX, sizeof node) != 0) {
        qe_free(node.name);
        return qe_err_set(err, QE_ERR_NOMEM, "node %s", name);
    }
    nodes->items[nodes->count++] = node;
    return 0;
}

int qe_rmq_nodes_add(struct qe_rmq_nodes *nodes, const char *name, struct qe_err *err)
{
    return add(nodes, name, (struct qe_rmq_node){.uptime_ms = -1}, err);
}

int qe_rmq_nodes_parse(const struct qe_json *array, struct qe_rmq_nodes *out, struct qe_err *err)
{
    struct qe_rmq_nodes nodes = {0};

    if (!qe_json_is_array(array)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "nodes are no list");
    }
    for (const struct qe_json *at = qe_json_first(array); at != NULL; at = qe_json_next(at)) {
        const char *name = qe_json_text(qe_json_get(at, "name"));
        const int rc = name == NULL ? qe_err_set(err, QE_ERR_PROTOCOL, "a node without a name")
                                    : add(&nodes, name, node_parse(at), err);

        if (rc != 0) {
            qe_rmq_nodes_deinit(&nodes);
            return -1;
        }
    }
    *out = nodes;
    return 0;
}

const struct qe_rmq_node *qe_rmq_nodes_find(const struct qe_rmq_nodes *nodes, const char *name)
{
    for (size_t i = 0; i < nodes->count; i++) {
        if (strcmp(nodes->items[i].name, name) == 0) {
            return &nodes->items[i];
        }
    }
    return NULL;
}

bool qe_rmq_nodes_same_running(const struct qe_rmq_nodes *a, const struct qe_rmq_nodes *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct qe_rmq_node *other = qe_rmq_nodes_find(b, a->items[i].name);

        if (other == NULL || other->is_running != a->items[i].is_running) {
            return false;
        }
    }
    return true;
}

bool qe_rmq_nodes_restarted(const struct qe_rmq_nodes *before, const struct qe_rmq_nodes *after)
{
    for (size_t i = 0; i < after->count; i++) {
        const struct qe_rmq_node *old = qe_rmq_nodes_find(before, after->items[i].name);

        if (old != NULL && after->items[i].uptime_ms < old->uptime_ms) {
            return true;
        }
    }
    return !qe_rmq_nodes_same_running(before, after);
}

int64_t qe_rmq_nodes_least_uptime_ms(const struct qe_rmq_nodes *nodes)
{
    int64_t least_ms = -1;

    for (size_t i = 0; i < nodes->count; i++) {
        const struct qe_rmq_node *node = &nodes->items[i];

        if (node->is_running && node->uptime_ms >= 0 &&
            (least_ms < 0 || node->uptime_ms < least_ms)) {
            least_ms = node->uptime_ms;
        }
    }
    return least_ms;
}
