/* At most so many per second: a token bucket. Pure: the caller brings the time. */
#ifndef QE_BACKEND_SQS_RATE_H
#define QE_BACKEND_SQS_RATE_H

#include <stdint.h>

struct qe_rate {
    double per_second; /* 0: no limit */
    double burst;      /* at most so many at once; below 1 counts as 1 */
    double tokens;
    int64_t filled_mono_us; /* 0: never used, and full */
};

/* 0: go, and one token is gone. Else how long until there is one again, in ms, at least 1. */
int64_t qe_rate_take(struct qe_rate *rate, int64_t now_mono_us);

#endif
