/* What a queue is, from the management API: kind, limits, where it dead-letters. Pure. */
#ifndef QE_BACKEND_RABBITMQ_DEFINITION_H
#define QE_BACKEND_RABBITMQ_DEFINITION_H

#include <stdbool.h>

#include "backend/rabbitmq/policy.h"
#include "model/queue.h"
#include "util/json.h"

struct qe_rmq_definition {
    char *vhost;  /* owned */
    char *name;   /* owned */
    char *node;   /* owned; that leads it; "" unknown */
    char *policy; /* owned; that holds, as the broker says; "" it does not say */
    enum qe_queue_kind kind;
    bool is_exclusive;
    bool has_priorities;
    bool is_single_active;     /* only one consumer at a time gets its messages */
    bool is_down;              /* its node is, or it has no majority */
    bool is_doubtful;          /* a policy that cannot be read here may say otherwise */
    struct qe_rmq_rules rules; /* owned; by arguments, then with those of policies too */
    bool has_own_limit;        /* the answer itself told how often it delivers */
};

/* One element of GET /api/queues. Every member but name and vhost may be absent. QE_ERR_PROTOCOL
 * for what is no queue. Ownership: *out is the caller's. Source: RabbitMQ's management HTTP API. */
int qe_rmq_definition_parse(const struct qe_json *queue, struct qe_rmq_definition *out,
                            struct qe_err *err) QE_MUST_CHECK;
/* The node that leads it, or, of a classic queue, that has it, as such an element tells; "": it
 * does not. Borrowed. */
const char *qe_rmq_leader_of(const struct qe_json *queue);
void qe_rmq_definition_deinit(struct qe_rmq_definition *definition); /* = {0} is fine */
/* Adds what policies say and arguments do not; limits are the smaller of both. version_major: from
 * 4 on, a quorum queue without a limit has one of 20. */
int qe_rmq_definition_apply(struct qe_rmq_definition *definition,
                            const struct qe_rmq_policies *policies,
                            const struct qe_rmq_policies *operator_policies, unsigned version_major,
                            struct qe_err *err) QE_MUST_CHECK;
/* Says of the queue what working on it goes by: its kind, and how it delivers. */
void qe_rmq_definition_tell(const struct qe_rmq_definition *definition, struct qe_queue *out);
/* It may refuse what is published to it, which counts as published all the same. */
bool qe_rmq_definition_refuses(const struct qe_rmq_definition *definition);

#endif
