/* Which queues a queue dead-letters into. Pure. */
#ifndef QE_BACKEND_RABBITMQ_DEAD_LETTER_H
#define QE_BACKEND_RABBITMQ_DEAD_LETTER_H

#include "backend/rabbitmq/record.h"
#include "backend/rabbitmq/topology.h"

struct qe_rmq_dead_letters {
    struct qe_rmq_targets targets; /* queues of the table, in the same vhost */
    bool is_known;                 /* no targets then means "has none" */
    bool is_unroutable; /* it has a dead-letter exchange, and that reaches no queue: lost */
    bool may_reach_itself;
    bool may_reach_others; /* than the targets: any queue of the vhost */
};

/* A queue without a routing key of its own for dead letters hands on the message's: those are its
 * name and the keys of its bindings, and where a binding does not tell its keys, each queue that
 * the exchange may reach is a target. topology NULL: it could not be read. */
void qe_rmq_dead_letters_find(struct qe_rmq_topology *topology, const struct qe_rmq_table *table,
                              const struct qe_rmq_definition *queue,
                              struct qe_rmq_dead_letters *out);

#endif
