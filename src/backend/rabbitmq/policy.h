/* Policies and operator policies: which rules hold for which queue or exchange. Pure. */
#ifndef QE_BACKEND_RABBITMQ_POLICY_H
#define QE_BACKEND_RABBITMQ_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"
#include "util/json.h"
#include "util/regex.h"

/* Keys that matter here, from a queue's arguments or from a policy's definition. */
struct qe_rmq_rules {
    char *dead_letter_exchange; /* owned, as the others; NULL: not set; "": the default exchange */
    char *dead_letter_key;
    char *alternate_exchange;
    char *overflow;             /* what happens to a message that comes when the queue is full */
    double max_length_messages; /* < 0: not set, as the others */
    double max_length_bytes;
    double message_ttl_ms;
    double delivery_limit; /* INFINITY: said to have none */
};
void qe_rmq_rules_init(struct qe_rmq_rules *rules);
void qe_rmq_rules_deinit(struct qe_rmq_rules *rules); /* = {0} is fine */
/* Reads "<prefix>dead-letter-exchange" and its like; what is none of the type it should be is not
 * set. `object` may be anything. */
int qe_rmq_rules_parse(const struct qe_json *object, const char *prefix, struct qe_rmq_rules *out,
                       struct qe_err *err) QE_MUST_CHECK;

/* What a policy applies to: bits. */
#define QE_RMQ_APPLIES_CLASSIC 1u
#define QE_RMQ_APPLIES_QUORUM 2u
#define QE_RMQ_APPLIES_STREAM 4u
#define QE_RMQ_APPLIES_EXCHANGE 8u

struct qe_rmq_policy {
    char *vhost;              /* owned */
    char *name;               /* owned */
    struct qe_regex *pattern; /* owned; NULL: cannot be read here, and matches nothing */
    unsigned applies;
    double priority;
    struct qe_rmq_rules rules; /* owned */
};

struct qe_rmq_policies {
    struct qe_rmq_policy *items; /* owned; by vhost, then the highest priority first */
    size_t count;
    size_t capacity;
    struct qe_err doubtful; /* QE_OK, or which policy's pattern cannot be read here */
};

/* The answer of GET /api/policies or /api/operator-policies; adds to *out. */
int qe_rmq_policies_parse(const struct qe_json *array, struct qe_rmq_policies *out,
                          struct qe_err *err) QE_MUST_CHECK;
void qe_rmq_policies_deinit(struct qe_rmq_policies *policies); /* = {0} is fine */
/* What to look for. */
struct qe_rmq_subject {
    const char *vhost;
    const char *name;
    unsigned applies;
    const char *policy; /* which one the broker says it is; NULL or "": it does not say */
};
/* The one that holds: as the broker says, or else, of those that match, the one with the highest
 * priority. NULL: none. *out_doubtful becomes true where one that cannot be read here may hold
 * instead, and stays as it is otherwise. */
const struct qe_rmq_rules *qe_rmq_policies_find(const struct qe_rmq_policies *policies,
                                                const struct qe_rmq_subject *subject,
                                                bool *out_doubtful);

#endif
