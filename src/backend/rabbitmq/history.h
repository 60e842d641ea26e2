/* How old a queue's oldest message is, from nothing but its publish counter and its depth. Pure.
 *
 * A queue of n ready messages that is taken from in order holds the n newest: its oldest is the one
 * with which the counter passed published - n. When that was is in the pairs (time, counter) that
 * were kept. Sound means that the real age is never below the estimate. Nothing is said
 *   - when the pairs do not reach back so far, or the counter was set back (broker restart);
 *   - when a message was delivered again since then: what is taken twice is not taken in order;
 *   - when nothing is ready but something in flight: that may be of any age.
 * The caller leaves out queues that messages come into uncounted (dead-letter queues) or leave out
 * of order (priorities, streams). One thread. */
#ifndef QE_BACKEND_RABBITMQ_HISTORY_H
#define QE_BACKEND_RABBITMQ_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

#define QE_RMQ_HISTORY_PAIRS 32

struct qe_rmq_history; /* at most QE_RMQ_HISTORY_PAIRS pairs; older ones lie further apart */

/* What one reading says. */
struct qe_rmq_history_point {
    int64_t mono_ms;
    double published;
    double redelivered;
    double ready;
    double in_flight;
};

struct qe_rmq_history *qe_rmq_history_new(struct qe_err *err) QE_MUST_CHECK;
void qe_rmq_history_destroy(struct qe_rmq_history *history); /* accepts NULL */
/* Notes a reading; readings come in the order of time. */
void qe_rmq_history_note(struct qe_rmq_history *history, const struct qe_rmq_history_point *point);
/* The age as of `point`, the reading noted last; false: unknown. */
bool qe_rmq_history_age(const struct qe_rmq_history *history,
                        const struct qe_rmq_history_point *point, double *out_seconds);

#endif
