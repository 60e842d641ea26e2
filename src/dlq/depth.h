/* What a broker says of a queue's depth: approximate on most of them. */
#ifndef QE_DLQ_DEPTH_H
#define QE_DLQ_DEPTH_H

#include <stdint.h>

#include "backend/backend.h"
#include "model/queue.h"

#define QE_DLQ_UNKNOWN UINT64_MAX

struct qe_dlq_depth {
    uint64_t ready; /* QE_DLQ_UNKNOWN where it is not told, as below */
    uint64_t in_flight;
};

/* As of now. Where the broker does not tell, or not in time, nothing is known. Thread: the one that
 * opened the handle. */
void qe_dlq_depth_read(const struct qe_driver *driver, void *handle, const struct qe_queue *queue,
                       int64_t call_timeout_ms, struct qe_dlq_depth *out);

#endif
