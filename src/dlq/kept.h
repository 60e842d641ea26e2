/* What could not be given back at the end of a look or a redrive. */
#ifndef QE_DLQ_KEPT_H
#define QE_DLQ_KEPT_H

#include <stdbool.h>

#include "backend/backend.h"
#include "util/err.h"

/* Once it is to stop, whoever waits is not kept waiting for a broker that does not answer: giving
 * back ends when so long nothing was taken. */
#define QE_DLQ_STOP_MS 5000

struct qe_dlq_kept {
    struct qe_unreturned left; /* they come back when their visibility ends */
    struct qe_err why;         /* of the first that was refused; QE_OK: see left.in_doubt */
};
/* Before the first is given back: the driver takes nothing more ahead. What goes back would else
 * come again at once, and a broker may count that as one more delivery. */
void qe_dlq_kept_begin(const struct qe_driver *driver, void *handle, const struct qe_queue *queue);
/* One more, which was not taken. */
void qe_dlq_kept_add(struct qe_dlq_kept *kept, const struct qe_message *message,
                     const struct qe_err *why);
/* What the driver has received ahead, at the end: given back, and the rest added. */
void qe_dlq_kept_end(struct qe_dlq_kept *kept, const struct qe_driver *driver, void *handle,
                     const struct qe_queue *queue);
bool qe_dlq_kept_any(const struct qe_dlq_kept *kept);

#endif
