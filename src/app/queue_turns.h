/* For each queue that was ever worked on, what its consumers before and after a reload take turns
 * by. Main thread only. */
#ifndef QE_APP_QUEUE_TURNS_H
#define QE_APP_QUEUE_TURNS_H

#include "consumer/turns.h"
#include "model/stats.h"
#include "util/err.h"

struct qe_queue_turns;

/* That of the queue with these statistics, which are its own for the life of the registry; made
 * when it has none. Borrowed from *list, which is NULL at first. */
struct qe_turns *qe_queue_turns_find(struct qe_queue_turns **list,
                                     const struct qe_consumer_stats *stats,
                                     struct qe_err *err) QE_MUST_CHECK;
/* Accepts NULL. No consumer is left. */
void qe_queue_turns_destroy(struct qe_queue_turns *list);

#endif
