/* When a failed attempt is made again: the SDKs' standard retry mode of 2026. Pure: time and chance
 * come in.
 *
 * A pause is a random share of 50 ms (1 s when throttled), doubled per attempt, 20 s at most. A
 * bucket of 500 tokens, shared by all calls of a client, ends retries when everything fails: each
 * costs 14 (5 when throttled), given back when it helped; a call that needs none puts one in.
 * Source: AWS SDKs and Tools Reference Guide, "Retry behavior", and the SDKs' code. */
#ifndef QE_AWS_RETRY_H
#define QE_AWS_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "aws/error.h"

#define QE_AWS_ATTEMPTS_DEFAULT 3
#define QE_AWS_ATTEMPTS_MAX 100
#define QE_AWS_QUOTA_TOKENS 500

/* One thread. Begins full. */
struct qe_aws_quota {
    unsigned tokens;
};
void qe_aws_quota_init(struct qe_aws_quota *quota);
/* A call has succeeded; paid: what its last retry cost, 0 when it needed none. */
void qe_aws_quota_give_back(struct qe_aws_quota *quota, unsigned paid);

struct qe_aws_retry_question {
    enum qe_aws_retry why;
    unsigned attempts; /* made so far, 1 at least */
    unsigned max_attempts;
    bool is_long_poll;
    int64_t retry_after_ms; /* what the service asked for; below 0: nothing */
    int64_t now_mono_ms;
    int64_t deadline_mono_ms;
    double chance; /* [0, 1) */
};

enum qe_aws_retry_answer {
    QE_AWS_GIVE_UP = 0,
    QE_AWS_TRY_AGAIN,        /* after the pause */
    QE_AWS_PAUSE_AND_GIVE_UP /* a long poll with an empty bucket: its caller's loop must not spin */
};

struct qe_aws_retry_verdict {
    enum qe_aws_retry_answer answer;
    int64_t pause_ms; /* the pause ends before the deadline; 0 when given up */
    unsigned paid;    /* taken from the quota */
};
struct qe_aws_retry_verdict qe_aws_retry_decide(struct qe_aws_quota *quota,
                                                const struct qe_aws_retry_question *question);

#endif
