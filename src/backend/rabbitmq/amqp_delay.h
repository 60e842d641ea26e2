/* Delays: what is known to be there for them, and declared. See amqp_delay.c and amqp_plugin.c. */
#ifndef QE_BACKEND_RABBITMQ_AMQP_DELAY_H
#define QE_BACKEND_RABBITMQ_AMQP_DELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/rabbitmq/amqp_wire.h"

/* = {0} is valid and empty. */
struct qe_amqp_names {
    char **items; /* owned, as each */
    size_t count;
    size_t capacity;
};

/* What is known to be there, for delays, in one vhost. */
struct qe_amqp_delays {
    struct qe_amqp_channel channel;
    struct qe_amqp_connection own; /* for a declaration that may end its connection; not kept */
    struct qe_amqp_channel own_channel;
    bool has_ways;                /* from every tier to every landing queue */
    bool has_plugin;              /* its exchange, and the way from there to every bound queue */
    uint32_t declared_tiers;      /* bits */
    struct qe_amqp_names targets; /* queues that have a landing queue */
    struct qe_amqp_names bound;   /* queues that the plugin's messages come to */
    int64_t known_until_mono_ms;
    int64_t stopped_until_mono_ms; /* none is tried until then */
    struct qe_err stopped_why;
};

/* Where a message is published that is to wait, with its queue as routing key. */
struct qe_amqp_delay_way {
    const char *exchange; /* static; "": straight to the queue */
    int64_t header_ms;    /* that the plugin is to read; 0: none. It takes none that is mandatory */
};

void qe_amqp_delays_init(struct qe_amqp_delays *self, struct qe_amqp_connection *connection);
void qe_amqp_delays_deinit(struct qe_amqp_delays *self); /* twice is safe */
/* Before a message is published that is to come to queue `target` after so long: looks for the
 * queue, and declares what such a delay needs, unless that is known to be there. QE_ERR_NOT_FOUND:
 * there is no such queue; QE_ERR_LIMIT: no delay is that long. */
int qe_amqp_delays_prepare(struct qe_amqp_delays *self, const char *target, int64_t delay_ms,
                           int64_t deadline_mono_ms, struct qe_err *err) QE_MUST_CHECK;
/* The way of what was prepared. */
struct qe_amqp_delay_way qe_amqp_delays_way(const struct qe_amqp_delays *self, const char *target,
                                            int64_t delay_ms);
/* Both, for who has many to settle: what does not work, within a second, is not tried for a while.
 * QE_ERR_THROTTLED: nothing is taken now. */
int qe_amqp_delays_try(struct qe_amqp_delays *self, const char *target, int64_t delay_ms,
                       int64_t deadline_mono_ms, struct qe_amqp_delay_way *out,
                       struct qe_err *err) QE_MUST_CHECK;
void qe_amqp_delays_stop(struct qe_amqp_delays *self, const struct qe_err *why);
/* After a message did not get through: what ended it may have been that a delay's exchange or queue
 * was deleted, or the plugin disabled. */
void qe_amqp_delays_forget(struct qe_amqp_delays *self, const struct qe_err *result);
/* The name of the queue in which due messages wait that `target` does not take. */
void qe_amqp_delay_landing(const char *target, char out[QE_AMQP_SHORT_MAX_BYTES + 1]);

/* --- between amqp_delay.c and amqp_plugin.c --- */

struct qe_amqp_declaring {
    struct qe_amqp_delays *self;
    struct qe_amqp_channel *channel; /* borrowed; one of self's */
    int64_t deadline_mono_ms;
};
/* `argument`: its only one, of text; "" none. */
int qe_amqp_declare_exchange(const struct qe_amqp_declaring *declaring, const char *name,
                             const char *type, const char *argument, const char *value,
                             struct qe_err *err) QE_MUST_CHECK;
int qe_amqp_bind_queue(const struct qe_amqp_declaring *declaring, const char *queue,
                       const char *exchange, const char *key, struct qe_err *err) QE_MUST_CHECK;
/* Whether it is there. */
int qe_amqp_check_target(const struct qe_amqp_declaring *declaring, const char *target,
                         struct qe_err *err) QE_MUST_CHECK;
/* What every way needs, unless that is known to be there. */
int qe_amqp_declare_ways(const struct qe_amqp_declaring *declaring,
                         struct qe_err *err) QE_MUST_CHECK;
bool qe_amqp_names_have(const struct qe_amqp_names *names, const char *name);
void qe_amqp_names_clear(struct qe_amqp_names *names);
/* Without memory for it, nothing is known any more. */
void qe_amqp_names_add(struct qe_amqp_names *names, const char *name);

/* The plugin is asked for, and safe for this queue, as of the newest list that is known of. */
bool qe_amqp_plugin_suits(const struct qe_amqp_delays *self, const char *target);
/* As qe_amqp_delays_prepare(). QE_ERR_UNSUPPORTED: the broker has no such plugin. */
int qe_amqp_plugin_prepare(struct qe_amqp_delays *self, const char *target, int64_t delay_ms,
                           int64_t deadline_mono_ms, struct qe_err *err) QE_MUST_CHECK;

#endif
