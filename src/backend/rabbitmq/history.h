/* How old a queue's oldest ready message is, from nothing but its publish counter and its depth.
 * Pure.
 *
 * Of n different messages the oldest is at least as old as the n-th newest of all that came in,
 * which is the one with which the counter passed published - n. When that was is in the pairs
 * (time, counter) that were kept. Sound means that the real age is never below the estimate.
 *
 * The broker takes the counter and the depth at times that lie some seconds apart, so a depth may
 * hold messages that the counter does not know yet. Hence a depth is judged by the counter of a
 * reading that is QE_RMQ_SETTLE_MS younger: the estimate is as of the older one, and never above
 * what the younger says by itself. Nothing is said
 *   - when the pairs do not reach back so far, or the counters were set back (broker restart);
 *   - when a message was delivered again since then: what is taken twice is not taken in order;
 *   - when nothing is ready but something in flight: that may be of any age;
 *   - once the queue held more than was ever counted: something comes in uncounted.
 * The caller leaves out queues that are known to get uncounted messages (dead-letter queues), or to
 * count some that they refuse, and those that messages leave out of order (priorities, streams).
 * One thread. */
#ifndef QE_BACKEND_RABBITMQ_HISTORY_H
#define QE_BACKEND_RABBITMQ_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

#define QE_RMQ_HISTORY_PAIRS 32
/* A counter of a reading that is younger by this knows of all that was in the older one's depth.
 * Source: RabbitMQ's collectors of the management plugin look every 5 s. */
#define QE_RMQ_SETTLE_MS 15000

struct qe_rmq_history; /* at most QE_RMQ_HISTORY_PAIRS pairs; older ones lie further apart */

/* What one reading says. */
struct qe_rmq_history_point {
    int64_t mono_ms;
    double published;
    double delivered;
    double redelivered;
    double ready;
    double in_flight;
};

struct qe_rmq_history *qe_rmq_history_new(struct qe_err *err) QE_MUST_CHECK;
void qe_rmq_history_destroy(struct qe_rmq_history *history); /* accepts NULL */
/* Notes a reading; readings come in the order of time. -1, out of memory: it is not noted whole,
 * and what is said later is sound. */
int qe_rmq_history_note(struct qe_rmq_history *history, const struct qe_rmq_history_point *point,
                        struct qe_err *err) QE_MUST_CHECK;
/* The age, after the reading noted last, and when it was that; false: unknown. */
bool qe_rmq_history_age(const struct qe_rmq_history *history, double *out_seconds,
                        int64_t *out_as_of_mono_ms);

#endif
