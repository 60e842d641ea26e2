/* One queue's deliveries, from the broker to whoever receives. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"
#include "util/text.h"

#define HELD_MAX 1000000
#define RECEIPT_BYTES 48
#define EPOCH_DIGITS 16
#define PREFETCH_MAX UINT16_MAX

/* --- what the broker says --- */

static int hold_take(struct qe_amqp_consumer *consumer, struct qe_message *message,
                     struct qe_err *err)
{
    struct qe_message_list *held = &consumer->held;

    if (qe_grow(&held->items, held->count, &held->capacity, HELD_MAX, sizeof *message) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "%zu messages held", held->count);
    }
    held->items[held->count++] = *message;
    *message = (struct qe_message){0};
    return 0;
}

static int set_receipt(const struct qe_amqp_consumer *consumer, uint64_t tag,
                       struct qe_message *message, struct qe_err *err)
{
    char text[RECEIPT_BYTES];

    (void)snprintf(text, sizeof text, "%016" PRIx64 ".%" PRIu64, consumer->epoch, tag);
    char *receipt = qe_strdup(text);

    if (receipt == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "a receipt");
    }
    qe_free(message->receipt);
    message->receipt = receipt;
    return 0;
}

/* What cannot be kept is not lost: its delivery stays open, in the ledger, so that no ack of later
 * ones settles it; and the receive that is told of the trouble closes the channel, which gives all
 * of them back. */
static int keep(struct qe_amqp_consumer *consumer, struct qe_amqp_content *content,
                struct qe_err *err)
{
    if (!consumer->is_auto_acked &&
        qe_amqp_ledger_add(&consumer->ledger, content->tag, content->round, err) != 0) {
        return -1;
    }
    if (content->err.code != QE_OK) {
        *err = content->err;
        return -1;
    }
    if (content->redelivered) {
        consumer->released_mono_ms = 0; /* it is back */
    }
    return set_receipt(consumer, content->tag, &content->message, err) == 0 &&
                   hold_take(consumer, &content->message, err) == 0
               ? 0
               : -1;
}

static void delivered(void *owner, struct qe_amqp_content *content)
{
    struct qe_amqp_consumer *consumer = owner;
    struct qe_err err = {0};

    if (keep(consumer, content, &err) != 0) {
        consumer->trouble = err;
        consumer->must_reset = true;
    }
}

static void cancelled(void *owner, uint32_t round)
{
    struct qe_amqp_consumer *consumer = owner;

    if (consumer->is_consuming && round == consumer->round) {
        consumer->is_consuming = false;
        (void)qe_err_set(&consumer->trouble, QE_ERR_NOT_FOUND,
                         "RabbitMQ ended the deliveries of queue %s: it was deleted, or moves",
                         consumer->queue);
    }
}

static void drop_held(struct qe_amqp_consumer *consumer)
{
    for (size_t i = consumer->held_first; i < consumer->held.count; i++) {
        qe_message_deinit(&consumer->held.items[i]);
    }
    consumer->held.count = 0;
    consumer->held_first = 0;
}

/* All that was out or held is the broker's again, and comes anew. */
static void closed(void *owner, const struct qe_err *why)
{
    struct qe_amqp_consumer *consumer = owner;

    drop_held(consumer);
    qe_amqp_ledger_clear(&consumer->ledger);
    consumer->copies.count = 0;
    consumer->epoch = 0;
    consumer->is_consuming = false;
    consumer->must_reset = false;
    consumer->trouble = *why;
    if (consumer->requester != NULL) {
        qe_amqp_publisher_closed(consumer->requester, why);
    }
}

static void confirmed(void *owner, uint64_t tag, bool multiple, bool accepted)
{
    struct qe_amqp_consumer *consumer = owner;

    if (consumer->requester != NULL) {
        qe_amqp_publisher_confirmed(consumer->requester, tag, multiple, accepted);
    }
}

static void returned(void *owner, const struct qe_amqp_content *content)
{
    struct qe_amqp_consumer *consumer = owner;

    if (consumer->requester != NULL) {
        qe_amqp_publisher_returned(consumer->requester, content);
    }
}

static const struct qe_amqp_events s_events = {.delivered = delivered,
                                               .returned = returned,
                                               .confirmed = confirmed,
                                               .cancelled = cancelled,
                                               .closed = closed};

/* --- life --- */

struct qe_amqp_consumer *qe_amqp_consumer_new(struct qe_rmq *rmq,
                                              struct qe_amqp_connection *connection,
                                              const char *vhost, const char *queue,
                                              struct qe_err *err)
{
    struct qe_amqp_consumer *consumer = qe_calloc(1, sizeof *consumer);

    if (consumer == NULL || (consumer->vhost = qe_strdup(vhost)) == NULL ||
        (consumer->queue = qe_strdup(queue)) == NULL) {
        qe_amqp_consumer_destroy(consumer);
        (void)qe_err_set(err, QE_ERR_NOMEM, "queue %s", queue);
        return NULL;
    }
    consumer->rmq = rmq;
    consumer->channel =
        (struct qe_amqp_channel){.connection = connection, .events = &s_events, .owner = consumer};
    return consumer;
}

void qe_amqp_consumer_destroy(struct qe_amqp_consumer *consumer)
{
    if (consumer == NULL) {
        return;
    }
    drop_held(consumer);
    qe_message_list_deinit(&consumer->held);
    qe_amqp_ledger_deinit(&consumer->ledger);
    qe_amqp_copies_deinit(&consumer->copies);
    qe_amqp_content_reset(&consumer->channel.content);
    if (consumer->requester != NULL) {
        qe_amqp_publisher_deinit(consumer->requester);
        qe_free(consumer->requester);
    }
    qe_free(consumer->vhost);
    qe_free(consumer->queue);
    qe_free(consumer);
}

int qe_amqp_consumer_open(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms,
                          struct qe_err *err)
{
    if (consumer->channel.number != 0) {
        return 0;
    }
    if (qe_amqp_channel_open(&consumer->channel, deadline_mono_ms, err) != 0) {
        return -1;
    }
    for (; consumer->epoch == 0;) {
        consumer->epoch = qe_random_next(&consumer->rmq->work->random);
    }
    consumer->trouble.code = QE_OK;
    return 0;
}

/* --- consuming --- */

static int begin_round(struct qe_amqp_consumer *consumer, size_t prefetch, int64_t deadline_mono_ms,
                       struct qe_err *err)
{
    char tag[16];
    amqp_basic_qos_t qos = {.prefetch_count = consumer->prefetch};
    amqp_basic_consume_t consume = {.queue = qe_amqp_text(consumer->queue),
                                    .no_ack = consumer->is_auto_acked};

    consumer->prefetch = (uint16_t)(prefetch < PREFETCH_MAX ? prefetch : PREFETCH_MAX);
    qos.prefetch_count = consumer->prefetch;
    consumer->round++;
    (void)snprintf(tag, sizeof tag, "%" PRIu32, consumer->round);
    consume.consumer_tag = qe_amqp_text(tag);
    if (qe_amqp_call(&consumer->channel, AMQP_BASIC_QOS_METHOD, &qos, deadline_mono_ms, err) != 0) {
        return -1;
    }
    /* Before its answer, which a cancel may follow at once: the queue was deleted meanwhile. */
    consumer->is_consuming = true;
    if (qe_amqp_call(&consumer->channel, AMQP_BASIC_CONSUME_METHOD, &consume, deadline_mono_ms,
                     err) != 0) {
        consumer->is_consuming = false;
        return -1;
    }
    consumer->begun_mono_ms = qe_clock_mono_ms();
    consumer->has_settled = false;
    return 0;
}

/* What is already under way stays, and is handed out. */
static int end_round(struct qe_amqp_consumer *consumer, struct qe_err *err)
{
    char tag[16];
    amqp_basic_cancel_t cancel = {.nowait = 1};

    (void)snprintf(tag, sizeof tag, "%" PRIu32, consumer->round);
    cancel.consumer_tag = qe_amqp_text(tag);
    consumer->is_consuming = false;
    return qe_amqp_tell(&consumer->channel, AMQP_BASIC_CANCEL_METHOD, &cancel, err);
}

/* Who settles what it has wants as many at a time again; who only collects wants `max` more. */
int qe_amqp_consume(struct qe_amqp_consumer *consumer, size_t max, int64_t deadline_mono_ms,
                    struct qe_err *err)
{
    const size_t target = consumer->ledger.count + max;
    const size_t in_round = qe_amqp_ledger_count_round(&consumer->ledger, consumer->round);
    const bool is_too_small =
        in_round >= consumer->prefetch || target > consumer->prefetch + consumer->prefetch / 4;
    const bool is_too_large = consumer->prefetch > 2 * target;

    if (consumer->is_consuming && (consumer->is_auto_acked || (!is_too_small && !is_too_large))) {
        return 0;
    }
    if (qe_amqp_consumer_open(consumer, deadline_mono_ms, err) != 0) {
        return -1;
    }
    const bool is_steady = consumer->is_consuming && consumer->has_settled;

    if (consumer->is_consuming && end_round(consumer, err) != 0) {
        return -1;
    }
    return begin_round(consumer, is_steady ? target : max, deadline_mono_ms, err);
}

/* --- handing out --- */

size_t qe_amqp_held_count(const struct qe_amqp_consumer *consumer)
{
    return consumer->held.count - consumer->held_first;
}

int qe_amqp_hand_out(struct qe_amqp_consumer *consumer, size_t max, struct qe_message_list *out,
                     struct qe_err *err)
{
    struct qe_message_list *held = &consumer->held;
    size_t count = 0;

    for (; count < max && consumer->held_first < held->count; count++) {
        if (qe_grow(&out->items, out->count, &out->capacity, HELD_MAX, sizeof *out->items) != 0) {
            if (count > 0) {
                break;
            }
            return qe_err_set(err, QE_ERR_NOMEM, "%zu messages", out->count);
        }
        out->items[out->count++] = held->items[consumer->held_first++];
    }
    if (consumer->held_first == held->count) {
        held->count = 0;
        consumer->held_first = 0;
    }
    return 0;
}

static int copy_text(const char *from, char **to, struct qe_err *err)
{
    char *copy = qe_strdup(from);

    if (copy == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "a message");
    }
    qe_free(*to);
    *to = copy;
    return 0;
}

int qe_amqp_hold_again(struct qe_amqp_consumer *consumer, const struct qe_message *message,
                       struct qe_err *err)
{
    struct qe_message copy = {0};
    char *body = qe_memdup(message->body, message->body_bytes);
    int rc = body == NULL ? qe_err_set(err, QE_ERR_NOMEM, "a message") : 0;

    rc = rc == 0 ? qe_message_init(&copy, err) : rc;
    if (rc != 0) {
        qe_free(body);
        return rc;
    }
    qe_free(copy.body);
    copy.body = body;
    copy.body_bytes = message->body_bytes;
    copy.sent_unix_ms = message->sent_unix_ms;
    copy.receives = message->receives;
    if (copy_text(message->id, &copy.id, err) != 0 ||
        copy_text(message->receipt, &copy.receipt, err) != 0 ||
        copy_text(message->correlation_id, &copy.correlation_id, err) != 0 ||
        copy_text(message->reply_to, &copy.reply_to, err) != 0 ||
        qe_attributes_copy(&copy.attributes, &message->attributes, err) != 0 ||
        hold_take(consumer, &copy, err) != 0) {
        qe_message_deinit(&copy);
        return -1;
    }
    return 0;
}

uint64_t qe_amqp_receipt_tag(const struct qe_amqp_consumer *consumer, const char *receipt)
{
    char epoch[EPOCH_DIGITS + 2];
    struct qe_err ignored = {0};
    uint64_t tag = 0;

    (void)snprintf(epoch, sizeof epoch, "%016" PRIx64 ".", consumer->epoch);
    if (consumer->epoch == 0 || !qe_text_starts_with(receipt, epoch) ||
        qe_text_to_u64(receipt + strlen(epoch), UINT64_MAX, &tag, &ignored) != 0) {
        return 0;
    }
    return tag;
}
