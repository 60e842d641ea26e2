/* How far this machine's clock is off, learnt from the Date headers of answers. One thread. */
#ifndef QE_AWS_SKEW_H
#define QE_AWS_SKEW_H

#include <stdbool.h>
#include <stdint.h>

#include "net/http_client.h"

/* Beyond this much, signatures of the wrong time are what is refused (AWS allows 5 to 15 minutes);
 * the SDKs' own threshold. */
#define QE_AWS_SKEW_MIN_MS 240000

struct qe_aws_skew {
    bool is_known;
    bool is_ignored;   /* AWS_DISABLE_CLOCK_SKEW_CORRECTION: learnt, but not used */
    int64_t offset_ms; /* the service's clock minus ours */
};

/* Takes the Date of a complete answer. False when it says nothing: no Date or a bad one, an Age (a
 * cache's answer, of another time), or one that took longer than 15 minutes. */
bool qe_aws_skew_learn(struct qe_aws_skew *skew, const struct qe_http_reply *reply);
/* What to add to our time before signing. */
int64_t qe_aws_skew_offset_ms(const struct qe_aws_skew *skew);
/* Whether what has been learnt since an attempt was signed with `used_offset_ms` explains why it
 * was refused, so that signing it again may help. */
bool qe_aws_skew_explains(const struct qe_aws_skew *skew, int64_t used_offset_ms);

#endif
