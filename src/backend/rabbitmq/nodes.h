/* The nodes of the cluster, as GET /api/nodes and /api/overview tell of them. */
#ifndef QE_BACKEND_RABBITMQ_NODES_H
#define QE_BACKEND_RABBITMQ_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/json.h"

#define QE_RMQ_NODES_MAX 256

struct qe_rmq_node {
    char *name; /* owned */
    bool is_running;
    bool alarms_known; /* a node that is down tells of none */
    bool has_memory_alarm;
    bool has_disk_alarm;
    size_t partitions_count; /* nodes that it has lost sight of while they ran on */
    int64_t uptime_ms;       /* < 0 unknown */
};

struct qe_rmq_nodes {
    struct qe_rmq_node *items; /* owned; as the broker orders them */
    size_t count;
    size_t capacity;
};

void qe_rmq_nodes_deinit(struct qe_rmq_nodes *nodes); /* = {0} is fine */
/* The answer of GET /api/nodes. Ownership: *out is the caller's. */
int qe_rmq_nodes_parse(const struct qe_json *array, struct qe_rmq_nodes *out,
                       struct qe_err *err) QE_MUST_CHECK;
/* One more, of which nothing but its name is known. */
int qe_rmq_nodes_add(struct qe_rmq_nodes *nodes, const char *name,
                     struct qe_err *err) QE_MUST_CHECK;
/* NULL: none of that name. */
const struct qe_rmq_node *qe_rmq_nodes_find(const struct qe_rmq_nodes *nodes, const char *name);
/* The same nodes run. */
bool qe_rmq_nodes_same_running(const struct qe_rmq_nodes *a, const struct qe_rmq_nodes *b);
/* Some node has begun, ended or begun anew between the two: counters that it kept are gone. */
bool qe_rmq_nodes_restarted(const struct qe_rmq_nodes *before, const struct qe_rmq_nodes *after);
/* The shortest time that a running node has been up; < 0 unknown. */
int64_t qe_rmq_nodes_least_uptime_ms(const struct qe_rmq_nodes *nodes);

#endif
