/* How often a queue is read. Pure: the caller brings the time and the number of the poll.
 *
 * A queue that stays empty is read by every second poll, every fourth, ... up to max_interval.
 * Dead-letter queues, queues with messages, and queues that changed lately are read by every poll,
 * unless the budget forbids. Which poll of a period it is depends on the queue, so that reads do
 * not bunch. */
#ifndef QE_BACKEND_SQS_CADENCE_H
#define QE_BACKEND_SQS_CADENCE_H

#include <stdbool.h>
#include <stdint.h>

/* For all queues of a handle; may change from poll to poll. */
struct qe_cadence_rules {
    bool adaptive;
    int64_t max_interval_ms;  /* no queue waits longer, as far as polls come in time */
    int64_t poll_interval_ms; /* as measured; 0: not known yet, and every poll reads everything */
    uint32_t quiet_floor;     /* what the budget asks for, in polls; 0 counts as 1 */
    uint32_t busy_floor;
};

/* Now, in both ways of counting. */
struct qe_cadence_now {
    int64_t mono_ms;
    uint64_t poll; /* goes up by one with each */
};

/* What one reading said. */
struct qe_cadence_reading {
    bool is_busy;         /* holds messages, or is a dead-letter queue, or somebody works on it */
    uint64_t fingerprint; /* of everything read: another value is a change */
};

/* Of one queue; = {0}: never read. */
struct qe_cadence {
    int64_t read_mono_ms;  /* 0: never, or the last reading failed */
    int64_t quiet_mono_ms; /* since when it is empty and unchanged; 0: it is not */
    uint64_t next_poll;    /* which reads it again */
    uint64_t fingerprint;
    uint32_t
        period; /* polls from reading to reading, the budget's floor left aside; 0 counts as 1 */
    bool is_busy;
};

/* The longest period that keeps max_interval, in polls: at least 1. */
uint32_t qe_cadence_longest(const struct qe_cadence_rules *rules);
/* Whether this poll reads the queue. */
bool qe_cadence_is_due(const struct qe_cadence *cadence, const struct qe_cadence_rules *rules,
                       struct qe_cadence_now now);
/* Notes a reading and plans the next. spread: any number that is the queue's own. Returns how much
 * longer than one poll interval the next reading is away. */
int64_t qe_cadence_read(struct qe_cadence *cadence, const struct qe_cadence_rules *rules,
                        struct qe_cadence_now now, struct qe_cadence_reading reading,
                        uint32_t spread);
/* The queue could not be read: the next poll tries again. */
void qe_cadence_failed(struct qe_cadence *cadence);

#endif
