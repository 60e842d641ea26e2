#include "backend/rabbitmq/reading.h"

#include <string.h>

static void take(const struct qe_json *object, const char *key, enum qe_rmq_value value,
                 struct qe_rmq_reading *out)
{
    double number = 0;

    if (qe_json_number(qe_json_get(object, key), &number) && number >= 0) {
        qe_rmq_set(out, value, number);
    }
}

/* The counters come in groups, each with its first event: where some are, the others are 0. But a
 * queue that only dead letters come into never gets one of published messages. */
static void take_counters(const struct qe_json *stats, struct qe_rmq_reading *out)
{
    if (qe_json_first(stats) == NULL || !qe_json_is_object(stats)) {
        return;
    }
    qe_rmq_set(out, QE_RMQ_DELIVERED, 0);
    qe_rmq_set(out, QE_RMQ_ACKNOWLEDGED, 0);
    qe_rmq_set(out, QE_RMQ_REDELIVERED, 0);
    take(stats, "publish", QE_RMQ_PUBLISHED, out);
    take(stats, "deliver_get", QE_RMQ_DELIVERED, out);
    take(stats, "ack", QE_RMQ_ACKNOWLEDGED, out);
    take(stats, "redeliver", QE_RMQ_REDELIVERED, out);
}

void qe_rmq_reading_parse(const struct qe_json *queue, struct qe_rmq_reading *out)
{
    const char *state = qe_json_text(qe_json_get(queue, "state"));

    *out = (struct qe_rmq_reading){.is_down = state != NULL && strcmp(state, "down") == 0,
                                   .has_state = state != NULL};
    take(queue, "messages", QE_RMQ_MESSAGES, out);
    take(queue, "messages_ready", QE_RMQ_READY, out);
    take(queue, "messages_unacknowledged", QE_RMQ_UNACKNOWLEDGED, out);
    take(queue, "messages_dlx", QE_RMQ_PENDING, out);
    take(queue, "consumers", QE_RMQ_CONSUMERS, out);
    take(queue, "message_bytes", QE_RMQ_BYTES, out);
    take(queue, "head_message_timestamp", QE_RMQ_HEAD_TIMESTAMP, out);
    take_counters(qe_json_get(queue, "message_stats"), out);
}
