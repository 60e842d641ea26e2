/* What one answer says of a queue's state. Pure. */
#ifndef QE_BACKEND_RABBITMQ_READING_H
#define QE_BACKEND_RABBITMQ_READING_H

#include <stdbool.h>
#include <stdint.h>

#include "util/json.h"

enum qe_rmq_value {
    QE_RMQ_READY = 0, /* messages */
    QE_RMQ_UNACKNOWLEDGED,
    QE_RMQ_PENDING, /* dead-lettered at least once and not yet confirmed */
    QE_RMQ_CONSUMERS,
    QE_RMQ_BYTES,
    QE_RMQ_HEAD_TIMESTAMP, /* Unix seconds */
    QE_RMQ_PUBLISHED,      /* counters since the broker began */
    QE_RMQ_DELIVERED,
    QE_RMQ_ACKNOWLEDGED,
    QE_RMQ_REDELIVERED,
    QE_RMQ_MESSAGES, /* all that it holds, in whatever state */
    QE_RMQ_VALUE_COUNT
};

struct qe_rmq_reading {
    uint32_t known; /* bit per enum qe_rmq_value */
    bool is_down;   /* the queue's node is */
    bool has_state; /* some state is told */
    double values[QE_RMQ_VALUE_COUNT];
};

static inline bool qe_rmq_has(const struct qe_rmq_reading *reading, enum qe_rmq_value value)
{
    return (reading->known & (UINT32_C(1) << (unsigned)value)) != 0;
}

static inline void qe_rmq_set(struct qe_rmq_reading *reading, enum qe_rmq_value value,
                              double number)
{
    reading->known |= UINT32_C(1) << (unsigned)value;
    reading->values[value] = number;
}

/* One element of GET /api/queues, of any of its forms. A member that is missing, null, or not a
 * number from 0 on is not known. Source: RabbitMQ's management HTTP API. */
void qe_rmq_reading_parse(const struct qe_json *queue, struct qe_rmq_reading *out);

#endif
