/* A queue as a series of readings. */
#ifndef QE_TESTS_UNIT_MODEL_FIXTURE_BACKLOG_H
#define QE_TESTS_UNIT_MODEL_FIXTURE_BACKLOG_H

#include <math.h>
#include <string.h>

#include "model/backlog.h"
#include "support/check.h"

#define WINDOW_MS 300000
#define STEP_MS 15000
#define UNKNOWN (-1.0)

/* A queue as a function of time, read every STEP_MS. */
struct reading {
    double ready, in_flight, consumers, acknowledged; /* < 0: not known */
    uint64_t own_settled;
};
typedef struct reading series_fn(int step);

struct watch {
    struct qe_backlog backlog;
    int64_t now_mono_ms;
    uint64_t own_in_hand;
    bool is_stream;
    bool is_dead_letter_queue;
};

static inline void set_known(struct qe_sample *sample, enum qe_field field, double value)
{
    if (value >= 0) {
        qe_sample_set(sample, field, value);
    }
}

static inline enum qe_backlog_state read_sample(struct watch *watch, const struct qe_sample *sample,
                                                uint64_t own_settled)
{
    qe_backlog_observe(&watch->backlog, &(struct qe_backlog_reading){
                                            .sample = sample,
                                            .now_mono_ms = watch->now_mono_ms,
                                            .window_ms = WINDOW_MS,
                                            .own_settled = own_settled,
                                            .own_in_hand = watch->own_in_hand,
                                            .is_stream = watch->is_stream,
                                            .may_stand_still = watch->is_dead_letter_queue});
    watch->now_mono_ms += STEP_MS;
    return (enum qe_backlog_state)watch->backlog.state;
}

static inline enum qe_backlog_state read_one(struct watch *watch, struct reading reading)
{
    struct qe_sample sample = {0};

    set_known(&sample, QE_FIELD_READY_MESSAGES, reading.ready);
    set_known(&sample, QE_FIELD_IN_FLIGHT_MESSAGES, reading.in_flight);
    set_known(&sample, QE_FIELD_CONSUMERS, reading.consumers);
    set_known(&sample, QE_FIELD_ACKNOWLEDGED_TOTAL, reading.acknowledged);
    return read_sample(watch, &sample, reading.own_settled);
}

static inline enum qe_backlog_state read_some(struct watch *watch, series_fn *series, int from,
                                              int to)
{
    enum qe_backlog_state state = QE_BACKLOG_UNKNOWN;

    for (int step = from; step < to; step++) {
        state = read_one(watch, series(step));
    }
    return state;
}

/* A jitter of about `share`, the same in each run. */
static inline double jittered(double value, double share, int step)
{
    return value * (1 + share * sin(step * 12.9898));
}

static inline struct reading nothing(int step)
{
    (void)step;
    return (struct reading){0, 0, 2, 100, 0};
}
static inline struct reading nobody_there(int step)
{
    (void)step;
    return (struct reading){40, 0, 0, 100, 0};
}
static inline struct reading flowing(int step)
{
    return (struct reading){jittered(1000, 0.05, step), 5, 2, step * 50.0, 0};
}
static inline struct reading falling(int step)
{
    return (struct reading){6000 - 100.0 * step, 0, 2, step * 100.0, 0};
}
static inline struct reading sqs_held(int step)
{
    (void)step;
    return (struct reading){40, 3, UNKNOWN, UNKNOWN, 0};
}
static inline struct reading sqs_empty(int step)
{
    (void)step;
    return (struct reading){0, 0, UNKNOWN, UNKNOWN, 0};
}

#endif
