/* Delays by the delayed-message plugin (rabbitmq_delayed_message_exchange), for who asks for it.
 *
 *   exchange qe.delay.plugin (x-delayed-message) -> exchange qe.delay.plugin.due -> queue orders
 *
 * The plugin hands a due message on once and waits for no confirm, so it is used only where that
 * arrives: in classic queues, which take what comes even while the broker starts. A quorum
 * queue has no leader then, and all that had come due meanwhile would be lost, at each restart of a
 * single node; so would be what a full queue refuses. For those, and for queues that nothing is
 * known of, the delay's queues of amqp_delay.c stand in.
 *
 * The way has two exchanges because an alternate exchange of the first one would get each message
 * at once: the plugin routes to nothing until it is due. For the same reason none is mandatory. */
#include <inttypes.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"

#define PLUGIN_DUE QE_RMQ_DELAY_EXCHANGE ".due"
#define DELAY_MAX_MS UINT32_MAX /* past it, the plugin hands on at once */
#define CLOSE_MS 200

bool qe_amqp_plugin_suits(const struct qe_amqp_delays *self, const char *target)
{
    const struct qe_amqp_connection *connection = self->channel.connection;
    const struct qe_amqp_facts facts = qe_amqp_facts_of(connection->rmq, connection->vhost, target);

    return connection->rmq->settings->delay_method == QE_RMQ_DELAY_PLUGIN && facts.is_known &&
           facts.kind == QE_KIND_CLASSIC && !facts.may_refuse;
}

/* A broker without the plugin ends the connection: it must be none that others use. */
static int declare_plugin(struct qe_amqp_delays *self, int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_amqp_declaring declaring = {
        .self = self, .channel = &self->own_channel, .deadline_mono_ms = deadline_mono_ms};
    struct qe_err why = {0};
    const int rc =
        qe_amqp_channel_open(&self->own_channel, deadline_mono_ms, &why) == 0
            ? qe_amqp_declare_exchange(&declaring, QE_RMQ_DELAY_EXCHANGE, "x-delayed-message",
                                       "x-delayed-type", "fanout", &why)
            : -1;

    qe_amqp_connection_close(&self->own, CLOSE_MS);
    if (rc != 0 && strstr(why.message, "exchange type ") != NULL) { /* unknown, or invalid */
        return qe_err_set(err, QE_ERR_UNSUPPORTED,
                          "source %s: its broker lacks what delay_method: plugin needs: "
                          "`rabbitmq-plugins enable rabbitmq_delayed_message_exchange`, or "
                          "delay_method: queues",
                          self->own.rmq->source);
    }
    if (rc != 0) {
        *err = why;
        return qe_err_wrap(err, "exchange %s cannot be declared", QE_RMQ_DELAY_EXCHANGE);
    }
    return 0;
}

static int bind_exchange(const struct qe_amqp_declaring *declaring, struct qe_err *err)
{
    amqp_exchange_bind_t bind = {.destination = qe_amqp_text(PLUGIN_DUE),
                                 .source = qe_amqp_text(QE_RMQ_DELAY_EXCHANGE)};

    return qe_amqp_call(declaring->channel, AMQP_EXCHANGE_BIND_METHOD, &bind,
                        declaring->deadline_mono_ms, err);
}

static int declare_way(const struct qe_amqp_declaring *declaring, struct qe_err *err)
{
    struct qe_amqp_delays *self = declaring->self;

    if (self->has_plugin) {
        return 0;
    }
    if (declare_plugin(self, declaring->deadline_mono_ms, err) != 0 ||
        qe_amqp_declare_ways(declaring, err) != 0) {
        return -1;
    }
    if (qe_amqp_declare_exchange(declaring, PLUGIN_DUE, "direct", "alternate-exchange",
                                 QE_RMQ_DELAY_MISSING, err) != 0 ||
        bind_exchange(declaring, err) != 0) {
        return qe_err_wrap(err, "exchange %s cannot be declared and bound", PLUGIN_DUE);
    }
    self->has_plugin = true;
    return 0;
}

int qe_amqp_plugin_prepare(struct qe_amqp_delays *self, const char *target, int64_t delay_ms,
                           int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_amqp_declaring declaring = {
        .self = self, .channel = &self->channel, .deadline_mono_ms = deadline_mono_ms};

    if (delay_ms > DELAY_MAX_MS) {
        return qe_err_set(err, QE_ERR_LIMIT, "the plugin delays by at most %" PRIu32 " ms (49d)",
                          DELAY_MAX_MS);
    }
    if (self->has_plugin && qe_amqp_names_have(&self->bound, target)) {
        return 0;
    }
    if (qe_amqp_channel_open(&self->channel, deadline_mono_ms, err) != 0 ||
        qe_amqp_check_target(&declaring, target, err) != 0 || declare_way(&declaring, err) != 0) {
        return -1;
    }
    if (qe_amqp_bind_queue(&declaring, target, PLUGIN_DUE, target, err) != 0) {
        return qe_err_wrap(err, "queue %s cannot be bound to exchange %s", target, PLUGIN_DUE);
    }
    qe_amqp_names_add(&self->bound, target);
    return 0;
}
