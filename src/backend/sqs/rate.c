#include "backend/sqs/rate.h"

#include <math.h>

int64_t qe_rate_take(struct qe_rate *rate, int64_t now_mono_us)
{
    const double burst = fmax(1, rate->burst);

    if (!(rate->per_second > 0)) {
        return 0;
    }
    const double passed_s = (double)(now_mono_us - rate->filled_mono_us) / 1e6;

    rate->tokens =
        rate->filled_mono_us == 0 ? burst : fmin(burst, rate->tokens + passed_s * rate->per_second);
    rate->filled_mono_us = now_mono_us;
    if (rate->tokens >= 1) {
        rate->tokens -= 1;
        return 0;
    }
    const double wait_ms = ceil((1 - rate->tokens) / rate->per_second * 1e3);

    return wait_ms < 1 ? 1 : wait_ms > 1e9 ? 1000000000 : (int64_t)wait_ms;
}
