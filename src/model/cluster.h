/* The machines behind a source, as far as the broker tells of them: immutable once filled, counted,
 * shared by the snapshots that show it. Filled on one thread, read on any. */
#ifndef QE_MODEL_CLUSTER_H
#define QE_MODEL_CLUSTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

#define QE_NODES_MAX 256

struct qe_node {
    char *name; /* owned; copied by qe_cluster_add() */
    bool is_up;
    bool details_known; /* the rest; a node that is down tells nothing */
    bool has_memory_alarm;
    bool has_disk_alarm;
    size_t partitions_count; /* nodes that it has lost sight of while they ran on */
};

struct qe_cluster {
    atomic_size_t refs;
    struct qe_node *items; /* owned */
    size_t count;
    size_t capacity;
};

struct qe_cluster *qe_cluster_new(struct qe_err *err) QE_MUST_CHECK; /* with one reference */
/* Adds a copy of `node`, before the cluster is shown to anybody. QE_ERR_NOMEM; QE_ERR_LIMIT past
 * QE_NODES_MAX. */
int qe_cluster_add(struct qe_cluster *cluster, const struct qe_node *node,
                   struct qe_err *err) QE_MUST_CHECK;
struct qe_cluster *qe_cluster_acquire(struct qe_cluster *cluster);
void qe_cluster_release(struct qe_cluster *cluster); /* accepts NULL */

#endif
