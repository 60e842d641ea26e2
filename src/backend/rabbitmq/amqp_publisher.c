/* Publishing with confirms: a window of messages that the broker has not confirmed yet. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/hash.h"
#include "util/text.h"

/* What goes into a socket that is ready for some, at once: the library waits for the rest. */
#define SMALL_BODY_BYTES 65536

/* Parts are told apart by a zero behind each. */
static uint64_t add_bytes(uint64_t hash, amqp_bytes_t bytes)
{
    return qe_hash_bytes(qe_hash_bytes(hash, bytes.bytes, bytes.len), "", 1);
}

/* What a return is recognised by. An exclusive or: the id comes later than the rest. */
uint64_t qe_amqp_publish_key(amqp_bytes_t exchange, amqp_bytes_t routing_key, amqp_bytes_t id)
{
    const uint64_t start = QE_HASH_START;
    const uint64_t route = exchange.len + routing_key.len == 0
                               ? 0
                               : add_bytes(add_bytes(start, exchange), routing_key);

    return route ^ (id.len == 0 ? 0 : add_bytes(start, id));
}

static void finish(const struct qe_amqp_publisher *self, const struct qe_amqp_pending *pending,
                   const struct qe_err *result)
{
    if (self->batch != NULL) {
        self->batch->done(self->batch->context, pending->index, result);
    }
}

/* --- what the broker says --- */

static void confirm_one(struct qe_amqp_publisher *self, struct qe_amqp_pending *pending,
                        bool accepted)
{
    struct qe_err result = {0};

    if (pending->is_done) {
        return;
    }
    if (!accepted) {
        (void)qe_err_set(&result, QE_ERR_THROTTLED,
                         "RabbitMQ refuses it: the queue is full (overflow reject-publish), or "
                         "cannot take it");
    } else if (pending->is_returned) {
        (void)qe_err_set(&result, QE_ERR_NOT_FOUND, "RabbitMQ has no queue for it (%s)",
                         pending->reason);
    }
    pending->is_done = true;
    self->is_proven = true;
    self->window_bytes -= pending->bytes;
    finish(self, pending, &result);
}

static struct qe_amqp_pending *pending_at(struct qe_amqp_publisher *self, size_t i)
{
    return &self->window[(self->window_first + i) % QE_AMQP_WINDOW];
}

void qe_amqp_publisher_confirmed(void *publisher, uint64_t tag, bool multiple, bool accepted)
{
    struct qe_amqp_publisher *self = publisher;

    if (tag == 0 && multiple) {
        tag = UINT64_MAX; /* all of them */
    }
    for (size_t i = 0; i < self->window_count && self->first_tag + i <= tag; i++) {
        if (multiple || self->first_tag + i == tag) {
            confirm_one(self, pending_at(self, i), accepted);
        }
    }
    for (; self->window_count > 0 && pending_at(self, 0)->is_done; self->window_count--) {
        self->window_first = (self->window_first + 1) % QE_AMQP_WINDOW;
        self->first_tag++;
    }
}

/* Comes before the confirm of the same message. Of several that are under way to one place with one
 * id, which publishers choose, nothing tells which one it is: all of them count as returned. One
 * that has arrived may so be sent again; the other way round, one would be lost. */
void qe_amqp_publisher_returned(void *publisher, const struct qe_amqp_content *content)
{
    struct qe_amqp_publisher *self = publisher;

    for (size_t i = 0; i < self->window_count; i++) {
        struct qe_amqp_pending *pending = pending_at(self, i);

        if (pending->key == content->key && !pending->is_done) {
            pending->is_returned = true;
            (void)snprintf(pending->reason, sizeof pending->reason, "%.100s", content->reason);
        }
    }
}

static void fail_window(struct qe_amqp_publisher *self, const struct qe_err *why)
{
    for (size_t i = 0; i < self->window_count; i++) {
        if (!pending_at(self, i)->is_done) {
            finish(self, pending_at(self, i), why);
        }
    }
    self->window_count = 0;
    self->window_bytes = 0;
}

/* Confirms of what is left behind come later, and are passed over: their tags are not the window's.
 */
static void leave_behind(struct qe_amqp_publisher *self, const struct qe_err *why)
{
    self->first_tag += self->window_count;
    fail_window(self, why);
}

/* Why the channel was closed is the fault of one message. Of several it is not known which: those
 * before it have arrived. */
void qe_amqp_publisher_closed(void *publisher, const struct qe_err *why)
{
    struct qe_amqp_publisher *self = publisher;
    const bool is_lost = self->channel->connection->state == NULL;
    struct qe_err result = *why;

    self->is_confirming = false;
    if ((is_lost || self->window_count > 1) && !qe_err_is_retryable(why->code)) {
        (void)qe_err_set(&result, QE_ERR_NETWORK, "it is not known whether it arrived: %s",
                         why->message);
    }
    fail_window(self, &result);
}

static const struct qe_amqp_events s_events = {.confirmed = qe_amqp_publisher_confirmed,
                                               .returned = qe_amqp_publisher_returned,
                                               .closed = qe_amqp_publisher_closed};

void qe_amqp_publisher_init(struct qe_amqp_publisher *self, struct qe_rmq *rmq,
                            struct qe_amqp_connection *connection)
{
    *self = (struct qe_amqp_publisher){.rmq = rmq};
    self->own_channel =
        (struct qe_amqp_channel){.connection = connection, .events = &s_events, .owner = self};
    self->channel = &self->own_channel;
    init_amqp_pool(&self->pool, 4096);
}

void qe_amqp_publisher_deinit(struct qe_amqp_publisher *self)
{
    empty_amqp_pool(&self->pool);
}

/* --- publishing --- */

int qe_amqp_publisher_open(struct qe_amqp_publisher *self, int64_t deadline_mono_ms,
                           struct qe_err *err)
{
    amqp_confirm_select_t select = {0};

    /* What the broker said meanwhile: it may have ended. */
    (void)!qe_amqp_drain(self->channel->connection, &(struct qe_err){0});
    if (qe_amqp_channel_open(self->channel, deadline_mono_ms, err) != 0) {
        return -1;
    }
    if (!self->is_confirming) {
        if (qe_amqp_call(self->channel, AMQP_CONFIRM_SELECT_METHOD, &select, deadline_mono_ms,
                         err) != 0) {
            return -1;
        }
        self->is_confirming = true;
        self->is_proven = false;
        self->first_tag = 1;
        self->window_first = 0;
    }
    return 0;
}

static bool is_writable(const struct qe_amqp_connection *connection)
{
    struct pollfd one = {.fd = connection->fd, .events = POLLOUT};

    return poll(&one, 1, 0) == 1 && (one.revents & POLLOUT) != 0;
}

static int too_late(const struct qe_amqp_publisher *self, struct qe_err *err)
{
    const struct qe_amqp_connection *connection = self->channel->connection;

    return connection->is_blocked
               ? qe_err_set(err, QE_ERR_THROTTLED,
                            "RabbitMQ takes no messages at the moment: %s (a resource alarm)",
                            connection->blocked_why)
               : qe_err_set(err, QE_ERR_TIMEOUT, "RabbitMQ does not confirm in time");
}

static bool is_over(const struct qe_amqp_publisher *self, int64_t deadline_mono_ms)
{
    return qe_clock_mono_ms() >= deadline_mono_ms ||
           (self->batch->is_brief && self->channel->connection->is_blocked);
}

/* Waits until another message of so many bytes may go. The first one on a channel goes alone: where
 * it ends the channel (no such exchange, no permission), that is its own result. */
static int wait_room(struct qe_amqp_publisher *self, size_t bytes, int64_t deadline_mono_ms,
                     struct qe_err *err)
{
    struct qe_amqp_connection *connection = self->channel->connection;

    while (self->channel->number != 0) {
        const bool is_full =
            self->window_count == QE_AMQP_WINDOW ||
            (self->window_count > 0 &&
             (!self->is_proven || self->window_bytes + bytes > QE_AMQP_WINDOW_BYTES));

        if (!connection->is_blocked && !is_full && is_writable(connection)) {
            return 0;
        }
        if (is_over(self, deadline_mono_ms)) {
            return too_late(self, err);
        }
        if (qe_amqp_wait(self->rmq, connection->is_blocked || is_full ? NULL : connection, false,
                         deadline_mono_ms, err) != 0) {
            return -1;
        }
    }
    *err = self->channel->closed;
    return -1;
}

/* The library would wait for ever for a broker that stands still: the kernel ends the connection
 * when nothing was taken for so long. */
static void set_untaken_ms(const struct qe_amqp_connection *connection, int64_t ms)
{
    const unsigned untaken_ms = ms < 1 ? 1 : (unsigned)ms;

    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &untaken_ms, sizeof untaken_ms);
}

static int publish(struct qe_amqp_publisher *self, const struct qe_amqp_letter *letter,
                   size_t index, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_amqp_connection *connection = self->channel->connection;
    const bool is_large = letter->body_bytes > SMALL_BODY_BYTES;
    const amqp_bytes_t exchange = qe_amqp_text(letter->exchange);
    const amqp_bytes_t routing_key = qe_amqp_text(letter->routing_key);
    amqp_basic_properties_t properties;
    amqp_bytes_t body = {.len = letter->body_bytes};

    memcpy(&body.bytes, &letter->body, sizeof body.bytes); /* which the library only reads */
    if (qe_amqp_write(letter, &self->pool, &properties, err) != 0) {
        return -1;
    }
    struct qe_amqp_pending *pending = pending_at(self, self->window_count);

    pending->index = index;
    pending->key = qe_amqp_publish_key(exchange, routing_key, properties.message_id);
    pending->bytes = letter->body_bytes;
    pending->is_returned = false;
    pending->is_done = false;
    self->window_count++;
    self->window_bytes += pending->bytes;
    if (is_large) {
        set_untaken_ms(connection, deadline_mono_ms - qe_clock_mono_ms());
    }
    const int status = amqp_basic_publish(connection->state, self->channel->number, exchange,
                                          routing_key, letter->is_mandatory, 0, &properties, body);

    if (status != AMQP_STATUS_OK) {
        struct qe_err why = {0};

        (void)qe_amqp_fail(&why, status, "the connection is lost");
        qe_amqp_connection_lose(connection, &why); /* tells this one's result, too */
    } else if (is_large) {
        set_untaken_ms(connection, QE_AMQP_UNTAKEN_MS);
    }
    return 0;
}

static void publish_each(struct qe_amqp_publisher *self, const struct qe_amqp_batch *batch,
                         int64_t deadline_mono_ms)
{
    struct qe_err end = {0}; /* no more of them can go */

    for (size_t i = 0; i < batch->count; i++) {
        struct qe_amqp_letter letter = {.exchange = ""};
        struct qe_err err = end;

        if (err.code == QE_OK && batch->fill(batch->context, i, &letter, &err) == 0) {
            if (wait_room(self, letter.body_bytes, deadline_mono_ms, &err) != 0) {
                end = err;
            } else {
                (void)!publish(self, &letter, i, deadline_mono_ms, &err);
            }
        }
        recycle_amqp_pool(&self->pool);
        if (err.code != QE_OK) {
            batch->done(batch->context, i, &err);
        }
    }
}

int qe_amqp_publish_all(struct qe_amqp_publisher *self, const struct qe_amqp_batch *batch,
                        int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_err late = {0};

    if (qe_amqp_publisher_open(self, deadline_mono_ms, err) != 0) {
        for (size_t i = 0; i < batch->count; i++) {
            batch->done(batch->context, i, err);
        }
        return -1;
    }
    self->batch = batch;
    publish_each(self, batch, deadline_mono_ms);
    while (self->window_count > 0) {
        if (is_over(self, deadline_mono_ms)) {
            (void)too_late(self, &late);
        }
        if (late.code != QE_OK ||
            qe_amqp_wait(self->rmq, NULL, false, deadline_mono_ms, &late) != 0) {
            if (self->channel->connection->is_blocked) {
                /* The broker has them and takes them when the alarm is over. On a new connection,
                 * which is told of the alarm by its first message, each try would add another. */
                leave_behind(self, &late);
            } else {
                qe_amqp_connection_lose(self->channel->connection, &late);
            }
        }
    }
    self->batch = NULL;
    return 0;
}
