/* Delays: what is known to be there for them. See amqp_delay.c and amqp_plugin.c. */
#ifndef QE_BACKEND_RABBITMQ_AMQP_DELAY_H
#define QE_BACKEND_RABBITMQ_AMQP_DELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/rabbitmq/amqp_wire.h"

/* What is known to be there, for delays, in one vhost: see amqp_delay.c. */
struct qe_amqp_delays {
    struct qe_amqp_channel channel;
    bool has_ways;           /* from every tier to every landing queue */
    uint32_t declared_tiers; /* bits */
    char **targets;          /* owned, as each; queues that have a landing queue */
    size_t targets_count;
    size_t targets_capacity;
    int64_t known_until_mono_ms;
    int64_t stopped_until_mono_ms; /* none is tried until then */
    struct qe_err stopped_why;
};
void qe_amqp_delays_init(struct qe_amqp_delays *self, struct qe_amqp_connection *connection);
void qe_amqp_delays_deinit(struct qe_amqp_delays *self); /* twice is safe */
/* Before a message is published that is to come to queue `target` after so long: looks for the
 * queue, and declares what such a delay needs, unless that is known to be there. QE_ERR_NOT_FOUND:
 * there is no such queue; QE_ERR_LIMIT: no delay is that long. */
int qe_amqp_delays_prepare(struct qe_amqp_delays *self, const char *target, int64_t delay_ms,
                           int64_t deadline_mono_ms, struct qe_err *err) QE_MUST_CHECK;
/* The same for who has many to settle: what does not work, within a second, is not tried for a
 * while. QE_ERR_THROTTLED: nothing is taken now. */
int qe_amqp_delays_try(struct qe_amqp_delays *self, const char *target, int64_t delay_ms,
                       int64_t deadline_mono_ms, const char **out_exchange,
                       struct qe_err *err) QE_MUST_CHECK;
void qe_amqp_delays_stop(struct qe_amqp_delays *self, const struct qe_err *why);
/* Where it is published then, with the target as routing key. Static. */
const char *qe_amqp_delay_exchange(int64_t delay_ms);
/* After a message did not get through: what ended it may have been that a delay's exchange or queue
 * was deleted. */
void qe_amqp_delays_forget(struct qe_amqp_delays *self, const struct qe_err *result);
/* The name of the queue in which due messages wait that `target` does not take. */
void qe_amqp_delay_landing(const char *target, char out[QE_AMQP_SHORT_MAX_BYTES + 1]);

#endif
