/* Delays: a message waits in a queue whose messages expire after so long, a tier, and is
 * dead-lettered from there to a queue of its own target, the landing queue, which hands it on at
 * once. The queue it is for travels as routing key.
 *
 *   exchange qe.delay.5s -> queue qe.delay.5s (5 s) -> exchange qe.delay.due
 *            -> queue qe.delay.to.orders (0 s) -> queue orders
 *
 * Each of these queues keeps a message that cannot be delivered when it is due, and tries again (a
 * quorum queue, "at-least-once"). RabbitMQ has at most 32 messages of such a queue under way: what
 * waits for a target that is gone or full fills the landing queue of this target, and holds up
 * nobody else. What has no landing queue any more goes to its target by way of qe.delay.missing.
 *
 * Per-message expirations in one queue would not do: only the first message of a queue expires. A
 * tier for each target would: at the price of 22 quorum queues for it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"
#include "util/text.h"

#define DUE QE_RMQ_DELAY_PREFIX "due"
#define MISSING QE_RMQ_DELAY_MISSING
#define LANDING QE_RMQ_DELAY_PREFIX "to."
/* What is there may be deleted without a word to us: it is looked for again after so long. */
#define KNOWN_MS 60000
/* How long the declaration of a delay queue may take, and how long none is used when one failed. */
#define PATIENCE_MS 1000
#define STOPPED_MS 30000
#define TARGETS_MAX 1000 /* past these, all are looked for again */
#define HASH_BYTES 18    /* a dot, 16 digits, a zero */

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

/* Its own channel: a declaration that is refused ends it, and with it nothing else. */
static void closed(void *owner, const struct qe_err *why)
{
    (void)owner;
    (void)why;
}

static const struct qe_amqp_events s_events = {.closed = closed};

void qe_amqp_delays_init(struct qe_amqp_delays *self, struct qe_amqp_connection *connection)
{
    *self = (struct qe_amqp_delays){
        .channel = {.connection = connection, .events = &s_events, .owner = self},
        .own = {.rmq = connection->rmq, .vhost = connection->vhost, .role = "delays", .fd = -1},
        .own_channel = {.connection = &self->own, .events = &s_events, .owner = self}};
}

static void forget_all(struct qe_amqp_delays *self)
{
    qe_amqp_names_clear(&self->targets);
    qe_amqp_names_clear(&self->bound);
    self->declared_tiers = 0;
    self->has_ways = false;
    self->has_plugin = false;
    self->known_until_mono_ms = 0;
}

static void names_deinit(struct qe_amqp_names *names)
{
    qe_amqp_names_clear(names);
    qe_free(names->items);
    *names = (struct qe_amqp_names){0};
}

void qe_amqp_delays_deinit(struct qe_amqp_delays *self)
{
    names_deinit(&self->targets);
    names_deinit(&self->bound);
}

/* --- declaring --- */

/* A queue that hands its messages on to `exchange` after so long. */
static int declare_queue(const struct qe_amqp_declaring *declaring, const char *name,
                         int64_t ttl_ms, const char *exchange, struct qe_err *err)
{
    amqp_table_entry_t arguments[] = {
        text_argument("x-queue-type", "quorum"),
        text_argument("x-dead-letter-exchange", exchange),
        text_argument("x-dead-letter-strategy", "at-least-once"),
        text_argument("x-overflow", "reject-publish"),
        {.key = qe_amqp_text("x-message-ttl"),
         .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = ttl_ms}},
    };
    amqp_queue_declare_t waiting = {
        .queue = qe_amqp_text(name),
        .durable = 1,
        .arguments = {.num_entries = sizeof arguments / sizeof arguments[0], .entries = arguments}};

    return qe_amqp_call(declaring->channel, AMQP_QUEUE_DECLARE_METHOD, &waiting,
                        declaring->deadline_mono_ms, err);
}

int qe_amqp_declare_exchange(const struct qe_amqp_declaring *declaring, const char *name,
                             const char *type, const char *argument, const char *value,
                             struct qe_err *err)
{
    amqp_table_entry_t entry = text_argument(argument, value);
    amqp_exchange_declare_t way = {
        .exchange = qe_amqp_text(name),
        .type = qe_amqp_text(type),
        .durable = 1,
        .arguments = {.num_entries = argument[0] != '\0' ? 1 : 0, .entries = &entry}};

    return qe_amqp_call(declaring->channel, AMQP_EXCHANGE_DECLARE_METHOD, &way,
                        declaring->deadline_mono_ms, err);
}

int qe_amqp_bind_queue(const struct qe_amqp_declaring *declaring, const char *queue,
                       const char *exchange, const char *key, struct qe_err *err)
{
    amqp_queue_bind_t bind = {.queue = qe_amqp_text(queue),
                              .exchange = qe_amqp_text(exchange),
                              .routing_key = qe_amqp_text(key)};

    return qe_amqp_call(declaring->channel, AMQP_QUEUE_BIND_METHOD, &bind,
                        declaring->deadline_mono_ms, err);
}

int qe_amqp_declare_ways(const struct qe_amqp_declaring *declaring, struct qe_err *err)
{
    if (declaring->self->has_ways) {
        return 0;
    }
    if (declare_queue(declaring, MISSING, 0, "", err) != 0 ||
        qe_amqp_declare_exchange(declaring, MISSING, "fanout", "", "", err) != 0 ||
        qe_amqp_bind_queue(declaring, MISSING, MISSING, "", err) != 0 ||
        qe_amqp_declare_exchange(declaring, DUE, "direct", "alternate-exchange", MISSING, err) !=
            0) {
        return qe_err_wrap(err, "queue %s and exchange %s, for delays, cannot be declared", MISSING,
                           DUE);
    }
    declaring->self->has_ways = true;
    return 0;
}

static int declare_tier(const struct qe_amqp_declaring *declaring, size_t tier, struct qe_err *err)
{
    const char *name = s_tiers[tier].name;

    return declare_queue(declaring, name, s_tiers[tier].ms, DUE, err) == 0 &&
                   qe_amqp_declare_exchange(declaring, name, "fanout", "", "", err) == 0 &&
                   qe_amqp_bind_queue(declaring, name, name, "", err) == 0
               ? 0
               : qe_err_wrap(err, "queue and exchange %s, for delays, cannot be declared", name);
}

/* Of a name that is too long, what has room, and a hash of all of it. */
void qe_amqp_delay_landing(const char *target, char out[QE_AMQP_SHORT_MAX_BYTES + 1])
{
    const size_t room = QE_AMQP_SHORT_MAX_BYTES - (sizeof LANDING - 1);
    const size_t bytes = strlen(target);
    char hash[HASH_BYTES] = "";
    size_t kept = bytes;

    if (bytes > room) {
        kept = qe_text_cut(target, bytes, room - (HASH_BYTES - 1));
        (void)snprintf(
            hash, sizeof hash, ".%016" PRIx64,
            qe_amqp_publish_key(amqp_empty_bytes, qe_amqp_text(target), amqp_empty_bytes));
    }
    (void)snprintf(out, QE_AMQP_SHORT_MAX_BYTES + 1, "%s%.*s%s", LANDING, (int)kept, target, hash);
}

/* Whether it is there. Who may not ask (the queue is another connection's own, or RabbitMQ 4.3
 * wants `configure` for it) is not told, and the message waits in any case. */
int qe_amqp_check_target(const struct qe_amqp_declaring *declaring, const char *target,
                         struct qe_err *err)
{
    amqp_queue_declare_t look = {.queue = qe_amqp_text(target), .passive = 1};
    struct qe_amqp_channel *channel = declaring->channel;
    struct qe_err why = {0};

    if (qe_amqp_call(channel, AMQP_QUEUE_DECLARE_METHOD, &look, declaring->deadline_mono_ms,
                     &why) == 0) {
        return 0;
    }
    if (why.code == QE_ERR_AUTH) {
        return qe_amqp_channel_open(channel, declaring->deadline_mono_ms, err);
    }
    *err = why;
    return -1;
}

static int declare_landing(const struct qe_amqp_declaring *declaring, const char *target,
                           struct qe_err *err)
{
    char landing[QE_AMQP_SHORT_MAX_BYTES + 1];

    qe_amqp_delay_landing(target, landing);
    return declare_queue(declaring, landing, 0, "", err) == 0 &&
                   qe_amqp_bind_queue(declaring, landing, DUE, target, err) == 0
               ? 0
               : qe_err_wrap(err, "queue %s, for delays, cannot be declared", landing);
}

/* --- what is known to be there --- */

void qe_amqp_names_clear(struct qe_amqp_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        qe_free(names->items[i]);
    }
    names->count = 0;
}

bool qe_amqp_names_have(const struct qe_amqp_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

void qe_amqp_names_add(struct qe_amqp_names *names, const char *name)
{
    char *copy = qe_strdup(name);

    if (copy == NULL ||
        qe_grow(&names->items, names->count, &names->capacity, TARGETS_MAX, sizeof(char *)) != 0) {
        qe_free(copy);
        qe_amqp_names_clear(names);
        return;
    }
    names->items[names->count++] = copy;
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

struct qe_amqp_delay_way qe_amqp_delays_way(const struct qe_amqp_delays *self, const char *target,
                                            int64_t delay_ms)
{
    return qe_amqp_plugin_suits(self, target)
               ? (struct qe_amqp_delay_way){.exchange = QE_RMQ_DELAY_EXCHANGE,
                                            .header_ms = delay_ms}
               : (struct qe_amqp_delay_way){.exchange = s_tiers[find_tier(delay_ms)].name};
}

static int declare_all(struct qe_amqp_delays *self, const char *target, size_t tier,
                       int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_amqp_declaring declaring = {
        .self = self, .channel = &self->channel, .deadline_mono_ms = deadline_mono_ms};
    const bool is_new = !qe_amqp_names_have(&self->targets, target);

    if (qe_amqp_channel_open(&self->channel, deadline_mono_ms, err) != 0 ||
        (is_new && qe_amqp_check_target(&declaring, target, err) != 0) ||
        qe_amqp_declare_ways(&declaring, err) != 0) {
        return -1;
    }
    if ((self->declared_tiers & UINT32_C(1) << tier) == 0 &&
        declare_tier(&declaring, tier, err) != 0) {
        return -1;
    }
    self->declared_tiers |= UINT32_C(1) << tier;
    if (is_new && declare_landing(&declaring, target, err) != 0) {
        return -1;
    }
    if (is_new) {
        qe_amqp_names_add(&self->targets, target);
    }
    return 0;
}

int qe_amqp_delays_prepare(struct qe_amqp_delays *self, const char *target, int64_t delay_ms,
                           int64_t deadline_mono_ms, struct qe_err *err)
{
    const size_t tier = find_tier(delay_ms);
    const int64_t now = qe_clock_mono_ms();

    if (now >= self->known_until_mono_ms) {
        forget_all(self);
        self->known_until_mono_ms = now + KNOWN_MS;
    }
    if (qe_amqp_plugin_suits(self, target)) {
        return qe_amqp_plugin_prepare(self, target, delay_ms, deadline_mono_ms, err);
    }
    if (tier == TIERS_COUNT) {
        return qe_err_set(err, QE_ERR_LIMIT, "a delay is at most 7d");
    }
    return (self->declared_tiers & UINT32_C(1) << tier) != 0 &&
                   qe_amqp_names_have(&self->targets, target)
               ? 0
               : declare_all(self, target, tier, deadline_mono_ms, err);
}

/* A delay queue may be out of order (a quorum queue without its majority, or half lost in a crash
 * of the broker), or not be ours to declare: it must not hold up all that is settled, again and
 * again. */
void qe_amqp_delays_stop(struct qe_amqp_delays *self, const struct qe_err *why)
{
    self->stopped_until_mono_ms = qe_clock_mono_ms() + STOPPED_MS;
    self->stopped_why = *why;
}

int qe_amqp_delays_try(struct qe_amqp_delays *self, const char *target, int64_t delay_ms,
                       int64_t deadline_mono_ms, struct qe_amqp_delay_way *out, struct qe_err *err)
{
    const int64_t now = qe_clock_mono_ms();
    const int64_t patience = now + PATIENCE_MS;
    const struct qe_amqp_connection *connection = self->channel.connection;

    if (connection->is_blocked) { /* it would cost the call's whole time, and the delay */
        return qe_err_set(err, QE_ERR_THROTTLED,
                          "RabbitMQ takes no messages at the moment: %s (a resource alarm)",
                          connection->blocked_why);
    }
    if (now < self->stopped_until_mono_ms) {
        *err = self->stopped_why;
        return -1;
    }
    if (qe_amqp_delays_prepare(self, target, delay_ms,
                               patience < deadline_mono_ms ? patience : deadline_mono_ms,
                               err) != 0) {
        if (err->code != QE_ERR_NOT_FOUND && err->code != QE_ERR_LIMIT) {
            qe_amqp_delays_stop(self, err);
        }
        return -1;
    }
    *out = qe_amqp_delays_way(self, target, delay_ms);
    return 0;
}

void qe_amqp_delays_forget(struct qe_amqp_delays *self, const struct qe_err *result)
{
    if (result->code == QE_ERR_NOT_FOUND || result->code == QE_ERR_NETWORK ||
        (result->code == QE_ERR_INVALID && self->has_plugin)) {
        forget_all(self);
    }
}
