#include "backend/rabbitmq/pace.h"

#include <math.h>

#define DUE_EARLY 0.9 /* polls have jitter: what is due just after this poll is due now */

static double apart_ms(const struct qe_rmq_pace *pace, double max_load)
{
    return pace->cost_seconds * 1e3 / max_load;
}

int64_t qe_rmq_pace_interval_ms(const struct qe_rmq_pace *pace, double max_load,
                                int64_t poll_interval_ms)
{
    if (max_load <= 0 || apart_ms(pace, max_load) > (double)QE_RMQ_PACE_MAX_MS) {
        return -1;
    }
    const double interval_ms = apart_ms(pace, max_load);

    return interval_ms <= (double)poll_interval_ms ? 0 : (int64_t)interval_ms;
}

bool qe_rmq_pace_is_due(const struct qe_rmq_pace *pace, double max_load, int64_t poll_interval_ms,
                        int64_t now_mono_ms)
{
    if (max_load <= 0) {
        return false;
    }
    if (pace->asked_mono_ms == 0) {
        return qe_rmq_pace_interval_ms(pace, max_load, poll_interval_ms) >= 0;
    }
    return apart_ms(pace, max_load) <= (double)poll_interval_ms ||
           (double)(now_mono_ms - pace->asked_mono_ms) >= DUE_EARLY * apart_ms(pace, max_load);
}

void qe_rmq_pace_note(struct qe_rmq_pace *pace, double seconds, int64_t now_mono_ms)
{
    const size_t kept = pace->measures_count < QE_RMQ_PACE_MEASURES ? pace->measures_count + 1
                                                                    : QE_RMQ_PACE_MEASURES;

    pace->measures[pace->measures_count++ % QE_RMQ_PACE_MEASURES] = seconds;
    pace->cost_seconds = seconds;
    for (size_t i = 0; i < kept; i++) {
        pace->cost_seconds = fmin(pace->cost_seconds, pace->measures[i]);
    }
    pace->asked_mono_ms = now_mono_ms;
}

void qe_rmq_pace_note_failure(struct qe_rmq_pace *pace, int64_t now_mono_ms)
{
    pace->asked_mono_ms = now_mono_ms;
}

void qe_rmq_pace_expect(struct qe_rmq_pace *pace, double seconds)
{
    if (pace->measures_count == 0) {
        pace->cost_seconds = seconds;
    }
}
