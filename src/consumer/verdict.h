/* What is done with a message, given what came of it. Pure. */
#ifndef QE_CONSUMER_VERDICT_H
#define QE_CONSUMER_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/backoff.h"
#include "consumer/handler.h"
#include "model/message.h"

struct qe_verdict {
    enum qe_settle_verb verb;
    int64_t delay_ms;           /* RELEASE */
    bool unhandled;             /* RELEASE: no handler saw it */
    enum qe_fail_reason reason; /* DEAD_LETTER: its `reason` label, if there is no other */
    const char *label;          /* DEAD_LETTER: the handler's own; borrowed as qe_handled's */
    char text[360];             /* DEAD_LETTER: what is kept with the message: "reason: detail" */
    bool denied;                /* it belongs into a dead-letter queue, and there is none */
};

/* What the consumer knows beside the handler's own words. */
struct qe_circumstances {
    uint32_t receives;
    uint64_t max_receives; /* 0: the queue's own policy decides */
    struct qe_backoff retry;
    bool can_dead_letter; /* false: the driver has no such verb */
    bool stopped;         /* the handler was cancelled because the consumer stops */
};

/* The `reason` label of what failed: the handler's own word, or that of the closed set. */
const char *qe_verdict_reason(const struct qe_handled *handled);
/* `random` is for the jitter. */
void qe_verdict_decide(const struct qe_handled *handled, const struct qe_circumstances *at,
                       struct qe_random *random, struct qe_verdict *out);
/* True, with a verdict: the message has come so often and is not to be handled again. Its handler
 * may end this whole process each time, so that no outcome is ever known. Past twice the limit:
 * after a restart nobody knows which of the receives were given back unhandled. */
bool qe_verdict_refuse(const struct qe_circumstances *at, struct qe_verdict *out);
/* The way out when a message belongs into a dead-letter queue and there is none: back, as late as
 * the policy allows. Never an acknowledgement. */
void qe_verdict_without_dead_letter_queue(const struct qe_circumstances *at,
                                          struct qe_verdict *out);
/* True when the error of a failed dead-letter settlement means that there is no dead-letter queue,
 * so trying again is useless. */
bool qe_verdict_lacks_dead_letter_queue(enum qe_err_code code);

#endif
