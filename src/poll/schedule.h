/* When to poll: a fixed grid with jitter. Pure: the caller brings the clock. */
#ifndef QE_POLL_SCHEDULE_H
#define QE_POLL_SCHEDULE_H

#include <stdint.h>

/* The grid is anchored once, so late polls never shift it; each point is moved by up to a tenth of
 * the interval, so sources and replicas that started together do not stay together. */
struct qe_schedule {
    int64_t first_mono_ms;
    int64_t interval_ms;
    uint64_t seed;
};

/* The first point lies half to a whole interval after now: every seed gets its own offset. */
void qe_schedule_init(struct qe_schedule *schedule, int64_t interval_ms, uint64_t seed,
                      int64_t now_mono_ms);
/* The first point after now. Points that passed meanwhile are skipped, never made up for. */
int64_t qe_schedule_next_ms(const struct qe_schedule *schedule, int64_t now_mono_ms);

#endif
