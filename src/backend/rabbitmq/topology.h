/* Exchanges and bindings: which queues a message reaches. Pure. */
#ifndef QE_BACKEND_RABBITMQ_TOPOLOGY_H
#define QE_BACKEND_RABBITMQ_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/rabbitmq/policy.h"
#include "model/queue.h"
#include "util/err.h"
#include "util/json.h"

enum qe_rmq_exchange_type {
    QE_RMQ_DIRECT = 0,
    QE_RMQ_FANOUT,
    QE_RMQ_TOPIC,
    QE_RMQ_OTHER /* headers, and what plugins bring: each binding may match */
};

struct qe_rmq_exchange {
    char *vhost; /* owned, as all */
    char *name;
    char *alternate; /* NULL: none */
    enum qe_rmq_exchange_type type;
};

struct qe_rmq_binding {
    char *vhost; /* owned, as all */
    char *source;
    char *destination;
    char *key;
    bool is_to_exchange;
};

struct qe_rmq_topology {
    struct qe_rmq_exchange *exchanges; /* owned; sorted once it is sealed, as all */
    size_t exchanges_count;
    size_t exchanges_capacity;
    struct qe_rmq_binding *bindings; /* by vhost, source, key */
    size_t bindings_count;
    size_t bindings_capacity;
    size_t *by_destination; /* owned; indexes of bindings, by vhost, destination */
    uint64_t steps;         /* bindings looked at so far */
};

void qe_rmq_topology_deinit(struct qe_rmq_topology *topology); /* = {0} is fine */
/* The answer of GET /api/exchanges. Policies give alternate exchanges, too. */
int qe_rmq_topology_add_exchanges(struct qe_rmq_topology *topology, const struct qe_json *array,
                                  const struct qe_rmq_policies *policies,
                                  struct qe_err *err) QE_MUST_CHECK;
/* The answer of GET /api/bindings; those of the default exchange are passed over, since it leads to
 * the queue that is called as the key. */
int qe_rmq_topology_add_bindings(struct qe_rmq_topology *topology, const struct qe_json *array,
                                 struct qe_err *err) QE_MUST_CHECK;
/* After the last of them, before the first question. */
int qe_rmq_topology_seal(struct qe_rmq_topology *topology, struct qe_err *err) QE_MUST_CHECK;

/* Whether a topic exchange hands a message with `key` to a binding with `pattern`. */
bool qe_rmq_topic_matches(const char *pattern, const char *key);

/* Queues that were reached: borrowed names, no name twice. */
struct qe_rmq_targets {
    const char *names[QE_LINKS_MAX];
    size_t count;
    bool is_cut; /* there are more, or the search was given up */
};
/* Adds the queues that a message reaches which is published to `exchange` with `key`. key NULL: it
 * may be any. The default exchange ("") leads to `key`, if there is one, whether or not such a
 * queue exists. An exchange that does not exist leads nowhere. */
void qe_rmq_topology_reach(struct qe_rmq_topology *topology, const char *vhost,
                           const char *exchange, const char *key, struct qe_rmq_targets *out);

/* The keys of messages in a queue, as its bindings tell. */
struct qe_rmq_keys {
    const char *keys[QE_LINKS_MAX]; /* borrowed */
    size_t count;
    bool is_any; /* some binding lets keys in that it does not tell */
};
void qe_rmq_topology_keys(const struct qe_rmq_topology *topology, const char *vhost,
                          const char *queue, struct qe_rmq_keys *out);

#endif
