/* One queue's deliveries, from the broker to whoever receives. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "backend/rabbitmq/record.h"
#include "util/mem.h"
#include "util/number.h"
#include "util/text.h"

#define PREFETCH_MAX UINT16_MAX

#define TAG_BYTES 16

static struct qe_amqp_facts facts_from(const struct qe_queue *queue)
{
    return (struct qe_amqp_facts){.is_known = queue->delivery_known,
                                  .kind = queue->kind,
                                  .is_single_active = queue->is_single_active,
                                  .may_refuse = queue->may_refuse,
                                  .deliveries_most = queue->deliveries_most};
}

static struct qe_amqp_facts choose(const struct qe_rmq *rmq,
                                   const struct qe_amqp_consumer *consumer, const char *vhost,
                                   const char *queue)
{
    const struct qe_rmq_record *record =
        rmq->table == NULL ? NULL : qe_rmq_table_get(rmq->table, vhost, queue);
    struct qe_queue listed = {.deliveries_most = -1};

    if (consumer != NULL && consumer->told.is_known) {
        return consumer->told;
    }
    if (record != NULL) {
        qe_rmq_definition_tell(&record->definition, &listed);
    }
    return facts_from(&listed);
}

struct qe_amqp_facts qe_amqp_facts_of(const struct qe_rmq *rmq, const char *vhost,
                                      const char *queue)
{
    return choose(rmq, qe_amqp_consumer_find(rmq, vhost, queue), vhost, queue);
}

static struct qe_amqp_facts facts_of(const struct qe_amqp_consumer *consumer)
{
    return choose(consumer->rmq, consumer, consumer->vhost, consumer->queue);
}

void qe_amqp_consumer_heed(struct qe_amqp_consumer *consumer, const struct qe_queue *queue)
{
    consumer->kind = queue->kind;
    if (queue->delivery_known) {
        consumer->told = facts_from(queue);
    }
}

bool qe_amqp_is_past_limit(const struct qe_amqp_consumer *consumer,
                           const struct qe_message *message)
{
    const struct qe_amqp_facts facts = facts_of(consumer);

    return facts.is_known && facts.deliveries_most >= 0 &&
           message->receives > facts.deliveries_most;
}

bool qe_amqp_is_lost_in_place(const struct qe_amqp_consumer *consumer,
                              const struct qe_message *message)
{
    return qe_amqp_is_past_limit(consumer, message) && !consumer->is_own &&
           !qe_amqp_has_expiration(message);
}

bool qe_amqp_is_single_active(const struct qe_amqp_consumer *consumer)
{
    return facts_of(consumer).is_single_active;
}

bool qe_amqp_minds_returns(const struct qe_amqp_consumer *consumer)
{
    const struct qe_amqp_facts facts = facts_of(consumer);

    return facts.is_known && facts.kind == QE_KIND_QUORUM;
}

/* Nobody else could take what goes back, or not without overtaking. */
static bool may_pause(const struct qe_amqp_consumer *consumer)
{
    return !consumer->is_own && !qe_amqp_is_single_active(consumer);
}

/* --- what the broker says --- */

static int set_receipt(const struct qe_amqp_consumer *consumer, uint64_t tag,
                       struct qe_message *message, struct qe_err *err)
{
    const size_t epoch_bytes = sizeof consumer->epoch - 1;
    char *receipt = qe_calloc(1, epoch_bytes + QE_NUMBER_MAX_BYTES + 1);

    if (receipt == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "a receipt");
    }
    memcpy(receipt, consumer->epoch, epoch_bytes);
    (void)qe_number_write_u64(tag, receipt + epoch_bytes);
    qe_free(message->receipt);
    message->receipt = receipt;
    return 0;
}

/* While frames are read nothing may be lost: what cannot be written shows when they are. */
static void say(struct qe_amqp_consumer *consumer, amqp_method_number_t method, void *decoded)
{
    (void)amqp_send_method(consumer->channel.connection->state, consumer->channel.number, method,
                           decoded);
}

/* Pushed behind the end of its round. */
static void pass_back(struct qe_amqp_consumer *consumer, uint64_t tag)
{
    amqp_basic_nack_t nack = {.delivery_tag = tag, .requeue = 1};

    say(consumer, AMQP_BASIC_NACK_METHOD, &nack);
    consumer->released_mono_ms = qe_clock_mono_ms();
}

static void make_tag(const struct qe_amqp_consumer *consumer, char out[TAG_BYTES])
{
    (void)snprintf(out, TAG_BYTES, "%" PRIu32, consumer->round);
}

/* Bodies are larger than those that the prefetch was made for. */
static void heed_bytes(struct qe_amqp_consumer *consumer, size_t body_bytes)
{
    const size_t usual = consumer->usual_bytes - consumer->usual_bytes / 8;

    consumer->usual_bytes = usual > body_bytes ? usual : body_bytes;
    if (consumer->held_bytes > QE_AMQP_HELD_MAX_BYTES && consumer->is_consuming &&
        may_pause(consumer)) {
        amqp_basic_cancel_t cancel = {.nowait = 1};
        char tag[TAG_BYTES];

        make_tag(consumer, tag);
        cancel.consumer_tag = qe_amqp_text(tag);
        say(consumer, AMQP_BASIC_CANCEL_METHOD, &cancel);
        consumer->is_consuming = false;
        consumer->is_full = true;
    }
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
    content->message.is_last_delivery = qe_amqp_is_past_limit(consumer, &content->message);
    consumer->has_had_last =
        consumer->has_had_last || qe_amqp_is_lost_in_place(consumer, &content->message);
    return set_receipt(consumer, content->tag, &content->message, err) == 0 &&
                   (consumer->is_auto_acked || /* never copied, and nothing would forget them */
                    qe_amqp_raws_put(&consumer->raws, content->tag, &content->raw, err) == 0) &&
                   qe_amqp_hold_take(consumer, &content->message, err) == 0
               ? 0
               : -1;
}

/* Passed back, the broker would drop it. Still, it is not to take all memory. */
static bool must_hold(const struct qe_amqp_consumer *consumer, const struct qe_message *message)
{
    return qe_amqp_is_lost_in_place(consumer, message) &&
           consumer->held_bytes <= 2 * QE_AMQP_HELD_MAX_BYTES;
}

static void delivered(void *owner, struct qe_amqp_content *content)
{
    struct qe_amqp_consumer *consumer = owner;
    const size_t body_bytes = content->message.body_bytes;
    struct qe_err err = {0};

    if (consumer->is_full && !content->is_got && !must_hold(consumer, &content->message)) {
        pass_back(consumer, content->tag);
    } else if (keep(consumer, content, &err) != 0) {
        consumer->trouble = err;
        consumer->must_reset = true;
    } else {
        heed_bytes(consumer, body_bytes);
    }
}

/* Of a subscription nobody else gets what is published while it is away. */
static void tell_gap(struct qe_amqp_consumer *consumer)
{
    if (consumer->topic != NULL) {
        (void)qe_err_wrap(&consumer->trouble,
                          "the subscription to topic %.60s is made anew, and "
                          "what is published until then is missed",
                          consumer->topic);
    } else if (consumer->is_auto_acked) {
        (void)qe_err_wrap(&consumer->trouble,
                          "replies to what was requested before cannot come any more");
    }
}

static void forget_declared(struct qe_amqp_consumer *consumer)
{
    qe_free(consumer->declared);
    consumer->declared = NULL;
    consumer->is_bound = false;
}

static void cancelled(void *owner, uint32_t round)
{
    struct qe_amqp_consumer *consumer = owner;

    if (consumer->is_consuming && round == consumer->round) {
        consumer->is_consuming = false;
        (void)qe_err_set(&consumer->trouble, QE_ERR_NOT_FOUND,
                         "RabbitMQ ended the deliveries of queue %s: it was deleted, or moves",
                         consumer->queue);
        forget_declared(consumer);
        tell_gap(consumer);
    }
}

/* All that was out or held is the broker's again, and comes anew. */
static void closed(void *owner, const struct qe_err *why)
{
    struct qe_amqp_consumer *consumer = owner;

    qe_amqp_drop_held(consumer);
    qe_amqp_ledger_clear(&consumer->ledger);
    consumer->copies.count = 0;
    qe_amqp_raws_clear(&consumer->raws);
    qe_amqp_postponed_clear(&consumer->postponed);
    consumer->epoch[0] = '\0';
    consumer->is_consuming = false;
    consumer->is_paused = false;
    consumer->must_copy = false;
    consumer->has_had_last = false;
    consumer->is_full = false;
    consumer->must_reset = false;
    consumer->trouble = *why;
    /* An exclusive queue outlives its channel. */
    if (consumer->channel.connection->state == NULL) {
        forget_declared(consumer);
        tell_gap(consumer);
    }
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

const char *qe_amqp_queue_name(const struct qe_amqp_consumer *consumer)
{
    return consumer->declared != NULL ? consumer->declared : consumer->queue;
}

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
    qe_amqp_drop_held(consumer);
    qe_message_list_deinit(&consumer->held);
    qe_amqp_ledger_deinit(&consumer->ledger);
    qe_amqp_copies_deinit(&consumer->copies);
    qe_amqp_raws_deinit(&consumer->raws);
    qe_amqp_postponed_deinit(&consumer->postponed);
    qe_amqp_content_reset(&consumer->channel.content);
    if (consumer->requester != NULL) {
        qe_amqp_publisher_deinit(consumer->requester);
        qe_free(consumer->requester);
    }
    qe_free(consumer->vhost);
    qe_free(consumer->queue);
    qe_free(consumer->topic);
    qe_free(consumer->key);
    qe_free(consumer->declared);
    qe_free(consumer);
}

int qe_amqp_consumer_open(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms,
                          struct qe_err *err)
{
    if (consumer->channel.number != 0) {
        return consumer->topic == NULL || consumer->is_bound
                   ? 0
                   : qe_amqp_declare_subscription(consumer, deadline_mono_ms, err);
    }
    if (qe_amqp_channel_open(&consumer->channel, deadline_mono_ms, err) != 0) {
        return -1;
    }
    (void)snprintf(consumer->epoch, sizeof consumer->epoch, "%016" PRIx64 ".",
                   qe_random_next(&consumer->rmq->work->random));
    consumer->trouble.code = QE_OK;
    return consumer->topic == NULL ? 0
                                   : qe_amqp_declare_subscription(consumer, deadline_mono_ms, err);
}

/* --- consuming --- */

/* Of as many, no more than we would hold if all were as large as the largest were lately. */
static size_t fit(const struct qe_amqp_consumer *consumer, size_t prefetch)
{
    size_t most = PREFETCH_MAX;

    if (consumer->usual_bytes >= QE_AMQP_HELD_MAX_BYTES) {
        most = 1;
    } else if (consumer->usual_bytes > QE_AMQP_HELD_MAX_BYTES / PREFETCH_MAX) {
        most = QE_AMQP_HELD_MAX_BYTES / consumer->usual_bytes;
    }
    return prefetch < most ? prefetch : most;
}

static int begin_round(struct qe_amqp_consumer *consumer, size_t prefetch, int64_t deadline_mono_ms,
                       struct qe_err *err)
{
    char tag[TAG_BYTES];
    amqp_basic_qos_t qos = {0};
    amqp_basic_consume_t consume = {.queue = qe_amqp_text(qe_amqp_queue_name(consumer)),
                                    .no_ack = consumer->is_auto_acked};

    consumer->prefetch = (uint16_t)prefetch;
    qos.prefetch_count = consumer->prefetch;
    consumer->round++;
    make_tag(consumer, tag);
    consume.consumer_tag = qe_amqp_text(tag);
    if (qe_amqp_call(&consumer->channel, AMQP_BASIC_QOS_METHOD, &qos, deadline_mono_ms, err) != 0) {
        return -1;
    }
    /* Before its answer, which a cancel may follow at once: the queue was deleted meanwhile. */
    consumer->is_consuming = true;
    consumer->is_full = false;
    consumer->must_copy = false;
    if (qe_amqp_call(&consumer->channel, AMQP_BASIC_CONSUME_METHOD, &consume, deadline_mono_ms,
                     err) != 0) {
        consumer->is_consuming = false;
        return -1;
    }
    consumer->begun_mono_ms = qe_clock_mono_ms();
    consumer->has_settled = false;
    return 0;
}

int qe_amqp_end_round(struct qe_amqp_consumer *consumer, struct qe_err *err)
{
    char tag[TAG_BYTES];
    amqp_basic_cancel_t cancel = {.nowait = 1};

    make_tag(consumer, tag);
    cancel.consumer_tag = qe_amqp_text(tag);
    consumer->is_consuming = false;
    return qe_amqp_tell(&consumer->channel, AMQP_BASIC_CANCEL_METHOD, &cancel, err);
}

/* Who settles what it has wants as many at a time again; who only collects wants `max` more. What
 * is postponed is no work: its place in the round is missing, and as many again would be hoarded.
 */
int qe_amqp_consume(struct qe_amqp_consumer *consumer, size_t max, int64_t deadline_mono_ms,
                    struct qe_err *err)
{
    size_t missing = 0;
    const size_t postponed =
        qe_amqp_ledger_count_postponed(&consumer->ledger, consumer->round, &missing);
    const size_t target = fit(consumer, consumer->ledger.count - postponed + max);
    const size_t in_round = qe_amqp_ledger_count_round(&consumer->ledger, consumer->round);
    const size_t places = consumer->prefetch > missing ? consumer->prefetch - missing : 0;
    const bool is_too_small = in_round >= consumer->prefetch || target > places + places / 4;
    const bool is_too_large = places > 2 * target;

    if (consumer->is_consuming && (consumer->is_auto_acked || (!is_too_small && !is_too_large))) {
        return 0;
    }
    if (consumer->is_consuming && consumer->has_settled && qe_amqp_is_single_active(consumer)) {
        return 0; /* a new round would let another consumer begin, and the order is lost */
    }
    if (consumer->is_consuming && in_round < consumer->prefetch &&
        qe_amqp_minds_returns(consumer)) {
        return 0; /* not before all that was pushed is here */
    }
    if (qe_amqp_consumer_open(consumer, deadline_mono_ms, err) != 0) {
        return -1;
    }
    const bool is_steady = consumer->is_consuming && consumer->has_settled;

    if (consumer->is_consuming && qe_amqp_end_round(consumer, err) != 0) {
        return -1;
    }
    return begin_round(consumer, is_steady ? target : fit(consumer, max), deadline_mono_ms, err);
}

/* --- pausing --- */

bool qe_amqp_stop_pushing(struct qe_amqp_consumer *consumer)
{
    struct qe_err ignored = {0}; /* as above */

    return consumer->channel.number != 0 && may_pause(consumer) &&
           (!consumer->is_consuming || qe_amqp_end_round(consumer, &ignored) == 0);
}

/* --- receipts --- */

uint64_t qe_amqp_receipt_tag(const struct qe_amqp_consumer *consumer, const char *receipt)
{
    struct qe_err ignored = {0};
    uint64_t tag = 0;

    if (consumer->epoch[0] == '\0' || !qe_text_starts_with(receipt, consumer->epoch) ||
        qe_text_to_u64(receipt + strlen(consumer->epoch), UINT64_MAX, &tag, &ignored) != 0) {
        return 0;
    }
    return tag;
}
