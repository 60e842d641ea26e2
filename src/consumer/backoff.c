#include "consumer/backoff.h"

int64_t qe_backoff_ceiling_ms(const struct qe_backoff *backoff, uint64_t attempt)
{
    int64_t ceiling = backoff->initial_ms < 0 ? 0 : backoff->initial_ms;

    if (ceiling == 0) {
        return 0;
    }
    for (uint64_t i = 1; i < attempt && ceiling < backoff->max_ms; i++) {
        if (ceiling > backoff->max_ms / 2) {
            return backoff->max_ms;
        }
        ceiling *= 2;
    }
    return ceiling < backoff->max_ms ? ceiling : backoff->max_ms;
}

int64_t qe_backoff_ms(const struct qe_backoff *backoff, uint64_t attempt, struct qe_random *random)
{
    double ceiling = (double)qe_backoff_ceiling_ms(backoff, attempt);

    return (int64_t)(qe_random_unit(random) * (ceiling + 1));
}
