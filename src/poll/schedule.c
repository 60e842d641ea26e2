#include "poll/schedule.h"

#include "util/clock.h"

#define JITTER_SHARE 0.1

/* The same point gets the same jitter whenever it is asked for: that keeps this stateless. */
static double unit_of(uint64_t seed, uint64_t point)
{
    struct qe_random random;
    uint64_t mixed = seed ^ (point * UINT64_C(0x9e3779b97f4a7c15));

    qe_random_init(&random, mixed == 0 ? 1 : mixed); /* 0 would mean: from the kernel */
    return qe_random_unit(&random);
}

static int64_t point_at(const struct qe_schedule *schedule, int64_t index)
{
    double jitter = (2 * unit_of(schedule->seed, (uint64_t)index + 1) - 1) * JITTER_SHARE;

    return schedule->first_mono_ms + index * schedule->interval_ms +
           (int64_t)(jitter * (double)schedule->interval_ms);
}

void qe_schedule_init(struct qe_schedule *schedule, int64_t interval_ms, uint64_t seed,
                      int64_t now_mono_ms)
{
    double offset = 0.5 + unit_of(seed, 0) / 2;

    schedule->interval_ms = interval_ms < 1 ? 1 : interval_ms;
    schedule->seed = seed;
    schedule->first_mono_ms = now_mono_ms + (int64_t)(offset * (double)schedule->interval_ms);
}

int64_t qe_schedule_next_ms(const struct qe_schedule *schedule, int64_t now_mono_ms)
{
    int64_t index = (now_mono_ms - schedule->first_mono_ms) / schedule->interval_ms - 1;
    int64_t point;

    if (index < 0) {
        index = 0;
    }
    for (point = point_at(schedule, index); point <= now_mono_ms; index++) {
        point = point_at(schedule, index + 1);
    }
    return point;
}
