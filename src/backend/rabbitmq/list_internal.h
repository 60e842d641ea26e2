/* One list in the making: what list.c, list_ask.c and list_take.c share. */
#ifndef QE_BACKEND_RABBITMQ_LIST_INTERNAL_H
#define QE_BACKEND_RABBITMQ_LIST_INTERNAL_H

#include "backend/rabbitmq/internal.h"
#include "backend/rabbitmq/topology.h"

struct qe_rmq_listing {
    struct qe_rmq *self;
    int64_t deadline_mono_ms;
    struct qe_rmq_table *table;               /* owned */
    struct qe_rmq_policies policies;          /* owned */
    struct qe_rmq_policies operator_policies; /* owned */
    bool policies_known;
    struct qe_rmq_topology topology; /* owned */
    char **vhosts;                   /* owned, as each */
    size_t vhosts_count;
    size_t vhosts_capacity;
    bool *vhost_is_blind;      /* owned; parallel: its exchanges or bindings cannot be read */
    bool *vhost_is_flooded;    /* owned; parallel: any of its queues may get dead letters */
    struct qe_rmq_call *calls; /* owned; of the phase that runs */
    size_t calls_count;
};

/* What could not be found out: the first thing is told. */
void qe_rmq_note_incomplete(struct qe_rmq_listing *listing, const struct qe_err *why);
/* SIZE_MAX: none of that name. */
size_t qe_rmq_listing_vhost(const struct qe_rmq_listing *listing, const char *name);

/* --- list_ask.c: the phases, one after the other --- */

/* The broker: version, nodes, virtual hosts, policies. */
int qe_rmq_list_ask_broker(struct qe_rmq_listing *listing, struct qe_err *err) QE_MUST_CHECK;
/* The queues of each virtual host. */
int qe_rmq_list_ask_queues(struct qe_rmq_listing *listing, struct qe_err *err) QE_MUST_CHECK;
/* Exchanges and bindings, where dead letters go through one. */
int qe_rmq_list_ask_topology(struct qe_rmq_listing *listing, struct qe_err *err) QE_MUST_CHECK;
void qe_rmq_listing_drop_calls(struct qe_rmq_listing *listing);

/* --- list_take.c --- */

/* Takes an answer to one of their calls: a qe_rmq_take_fn. */
int qe_rmq_list_take(void *context, const struct qe_rmq_call *call, const char *body,
                     size_t body_bytes, struct qe_err *err);
int qe_rmq_listing_add_vhost(struct qe_rmq_listing *listing, const char *name,
                             struct qe_err *err) QE_MUST_CHECK;

#endif
