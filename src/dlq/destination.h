/* Where a dead-lettered message belongs. */
#ifndef QE_DLQ_DESTINATION_H
#define QE_DLQ_DESTINATION_H

#include "model/message.h"
#include "model/queue.h"
#include "util/err.h"

/* What is known about one dead-letter queue. */
struct qe_dlq_origins {
    const struct qe_queue *from;       /* borrowed */
    const struct qe_queue_set *queues; /* borrowed; NULL: nothing is listed */
    struct qe_queue **named;           /* owned, and what they point at: known by name only */
    size_t named_count;
    size_t named_capacity;
};
void qe_dlq_origins_deinit(struct qe_dlq_origins *origins);

/* The queue that the message names; else the only one whose link leads to `from`. QE_ERR_NOT_FOUND
 * with what to do when there is none, QE_ERR_NOMEM. Borrowed from `origins`. */
const struct qe_queue *qe_dlq_origin_of(struct qe_dlq_origins *origins,
                                        const struct qe_message *message,
                                        struct qe_err *err) QE_MUST_CHECK;

#endif
