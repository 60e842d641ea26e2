#include "model/cluster.h"

#include "util/mem.h"

struct qe_cluster *qe_cluster_new(struct qe_err *err)
{
    struct qe_cluster *cluster = qe_calloc(1, sizeof *cluster);

    if (cluster == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for the nodes of a source");
        return NULL;
    }
    atomic_init(&cluster->refs, 1);
    return cluster;
}

int qe_cluster_add(struct qe_cluster *cluster, const struct qe_node *node, struct qe_err *err)
{
    struct qe_node copy = *node;

    if (cluster->count >= QE_NODES_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "more than %d nodes", QE_NODES_MAX);
    }
    copy.name = qe_strdup(node->name);
    if (copy.name == NULL || qe_grow(&cluster->items, cluster->count, &cluster->capacity,
                                     QE_NODES_MAX, sizeof copy) != 0) {
        qe_free(copy.name);
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for node %s", node->name);
    }
    cluster->items[cluster->count++] = copy;
    return 0;
}

struct qe_cluster *qe_cluster_acquire(struct qe_cluster *cluster)
{
    atomic_fetch_add_explicit(&cluster->refs, 1, memory_order_relaxed);
    return cluster;
}

void qe_cluster_release(struct qe_cluster *cluster)
{
    if (cluster == NULL ||
        atomic_fetch_sub_explicit(&cluster->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < cluster->count; i++) {
        qe_free(cluster->items[i].name);
    }
    qe_free(cluster->items);
    qe_free(cluster);
}
