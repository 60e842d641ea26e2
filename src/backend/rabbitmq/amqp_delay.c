/* Delays: a message waits in a queue whose messages expire after so long, and is dead-lettered from
 * there to the queue it is for. One exchange and one queue of the same name for each length; the
 * queue it is for travels as routing key. Such a queue keeps a message that cannot be delivered
 * when it is due, and tries again (a quorum queue, "at-least-once").
 *
 * Per-message expirations in one queue would not do: only the first message of a queue expires. */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"

static const struct {
    const char *name;
    int64_t ms;
} s_tiers[] = {
    {QE_RMQ_DELAY_PREFIX "100ms", 100},    {QE_RMQ_DELAY_PREFIX "250ms", 250},
    {QE_RMQ_DELAY_PREFIX "500ms", 500},    {QE_RMQ_DELAY_PREFIX "1s", 1000},
    {QE_RMQ_DELAY_PREFIX "2s", 2000},      {QE_RMQ_DELAY_PREFIX "5s", 5000},
    {QE_RMQ_DELAY_PREFIX "10s", 10000},    {QE_RMQ_DELAY_PREFIX "20s", 20000},
    {QE_RMQ_DELAY_PREFIX "30s", 30000},    {QE_RMQ_DELAY_PREFIX "1m", 60000},
    {QE_RMQ_DELAY_PREFIX "2m", 120000},    {QE_RMQ_DELAY_PREFIX "5m", 300000},
    {QE_RMQ_DELAY_PREFIX "10m", 600000},   {QE_RMQ_DELAY_PREFIX "20m", 1200000},
    {QE_RMQ_DELAY_PREFIX "30m", 1800000},  {QE_RMQ_DELAY_PREFIX "1h", 3600000},
    {QE_RMQ_DELAY_PREFIX "2h", 7200000},   {QE_RMQ_DELAY_PREFIX "6h", 21600000},
    {QE_RMQ_DELAY_PREFIX "12h", 43200000}, {QE_RMQ_DELAY_PREFIX "1d", 86400000},
    {QE_RMQ_DELAY_PREFIX "2d", 172800000}, {QE_RMQ_DELAY_PREFIX "7d", 604800000},
};
#define TIERS_COUNT (sizeof s_tiers / sizeof s_tiers[0])

static amqp_table_entry_t text_argument(const char *name, const char *value)
{
    return (amqp_table_entry_t){
        .key = qe_amqp_text(name),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text(value)}};
}

static int declare(struct qe_amqp_channel *channel, size_t tier, int64_t deadline_mono_ms,
                   struct qe_err *err)
{
    const amqp_bytes_t name = qe_amqp_text(s_tiers[tier].name);
    amqp_table_entry_t arguments[] = {
        text_argument("x-queue-type", "quorum"),
        text_argument("x-dead-letter-exchange", ""),
        text_argument("x-dead-letter-strategy", "at-least-once"),
        text_argument("x-overflow", "reject-publish"),
        {.key = qe_amqp_text("x-message-ttl"),
         .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = s_tiers[tier].ms}},
    };
    amqp_exchange_declare_t in = {.exchange = name, .type = qe_amqp_text("fanout"), .durable = 1};
    amqp_queue_declare_t waiting = {
        .queue = name,
        .durable = 1,
        .arguments = {.num_entries = sizeof arguments / sizeof arguments[0], .entries = arguments}};
    amqp_queue_bind_t bind = {.queue = name, .exchange = name};

    if (qe_amqp_call(channel, AMQP_QUEUE_DECLARE_METHOD, &waiting, deadline_mono_ms, err) != 0 ||
        qe_amqp_call(channel, AMQP_EXCHANGE_DECLARE_METHOD, &in, deadline_mono_ms, err) != 0 ||
        qe_amqp_call(channel, AMQP_QUEUE_BIND_METHOD, &bind, deadline_mono_ms, err) != 0) {
        return qe_err_wrap(err, "queue and exchange %s, for delays, cannot be declared",
                           s_tiers[tier].name);
    }
    return 0;
}

static size_t find_tier(int64_t delay_ms)
{
    size_t tier = 0;

    while (tier < TIERS_COUNT && s_tiers[tier].ms < delay_ms) {
        tier++;
    }
    return tier;
}

int64_t qe_rmq_delay_ms(int64_t asked_ms)
{
    const size_t tier = find_tier(asked_ms);

    return asked_ms <= 0 || tier == TIERS_COUNT ? asked_ms : s_tiers[tier].ms;
}

int qe_amqp_delay_exchange(struct qe_amqp_channel *channel, uint32_t *in_out_declared,
                           int64_t delay_ms, int64_t deadline_mono_ms, const char **out_exchange,
                           struct qe_err *err)
{
    const size_t tier = find_tier(delay_ms);

    if (tier == TIERS_COUNT) {
        return qe_err_set(err, QE_ERR_LIMIT, "a delay is at most 7d");
    }
    if ((*in_out_declared & UINT32_C(1) << tier) == 0) {
        if (declare(channel, tier, deadline_mono_ms, err) != 0) {
            return -1;
        }
        *in_out_declared |= UINT32_C(1) << tier;
    }
    *out_exchange = s_tiers[tier].name;
    return 0;
}

void qe_amqp_delays_forget(uint32_t *declared, const struct qe_err *result)
{
    if (result->code == QE_ERR_NOT_FOUND) {
        *declared = 0;
    }
}
