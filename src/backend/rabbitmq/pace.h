/* How often something dear may be asked: so that answering takes no more than a share of the
 * broker's time. Pure. */
#ifndef QE_BACKEND_RABBITMQ_PACE_H
#define QE_BACKEND_RABBITMQ_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is asked more rarely than this says nothing of use: it is asked only to see whether it has
 * become cheaper. */
#define QE_RMQ_PACE_MAX_MS INT64_C(300000)

#define QE_RMQ_PACE_MEASURES 3

struct qe_rmq_pace {
    /* What one answer takes: a guess, then the shortest of the last few, since an answer takes
     * longer than it costs when the broker, the network or we have something else to do. 0 unknown
     */
    double cost_seconds;
    double measures[QE_RMQ_PACE_MEASURES];
    size_t measures_count; /* ever */
    int64_t asked_mono_ms; /* when it was asked last, with or without an answer; 0 never */
};

/* Time between two answers of use; 0: each poll may ask; < 0: there are none, it is too dear. */
int64_t qe_rmq_pace_interval_ms(const struct qe_rmq_pace *pace, double max_load,
                                int64_t poll_interval_ms);
bool qe_rmq_pace_is_due(const struct qe_rmq_pace *pace, double max_load, int64_t poll_interval_ms,
                        int64_t now_mono_ms);
/* One answer has come, and took so long. */
void qe_rmq_pace_note(struct qe_rmq_pace *pace, double seconds, int64_t now_mono_ms);
/* It was asked, and what came says nothing of what an answer costs. */
void qe_rmq_pace_note_failure(struct qe_rmq_pace *pace, int64_t now_mono_ms);
/* Before anything was measured. */
void qe_rmq_pace_expect(struct qe_rmq_pace *pace, double seconds);

#endif
