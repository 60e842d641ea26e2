/* How long to wait before trying again. Pure. */
#ifndef QE_CONSUMER_BACKOFF_H
#define QE_CONSUMER_BACKOFF_H

#include <stdint.h>

#include "util/clock.h"

struct qe_backoff {
    int64_t initial_ms;
    int64_t max_ms;
};

/* initial x 2^(attempt - 1), at most max; attempt 0 counts as 1. */
int64_t qe_backoff_ceiling_ms(const struct qe_backoff *backoff, uint64_t attempt);
/* Full jitter: anything from 0 to the ceiling, so that what failed together does not return
 * together.
 * Source: Amazon Builders' Library, "Timeouts, retries, and backoff with jitter". */
int64_t qe_backoff_ms(const struct qe_backoff *backoff, uint64_t attempt, struct qe_random *random);

#endif
