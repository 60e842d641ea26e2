/* What is delivered to us and not handed out yet: handed out, or given back to its place. */
#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"

#define HELD_MAX 1000000
/* As long as the consumer lets a message wait for a worker. */
#define HELD_LONG_MS 5000
/* So long copies are begun, in a call for something else; and so long all of them may take. */
#define COPIES_MS 200
#define COPIES_PATIENCE_MS 1000
/* Until the next of such calls. */
#define COPIES_PAUSE_MS 100

int qe_amqp_hold_take(struct qe_amqp_consumer *consumer, struct qe_message *message,
                      struct qe_err *err)
{
    struct qe_message_list *held = &consumer->held;

    if (qe_grow(&held->items, held->count, &held->capacity, HELD_MAX, sizeof *message) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "%zu messages held", held->count);
    }
    held->items[held->count++] = *message;
    consumer->held_bytes += message->body_bytes;
    *message = (struct qe_message){0};
    return 0;
}

void qe_amqp_drop_held(struct qe_amqp_consumer *consumer)
{
    for (size_t i = consumer->held_first; i < consumer->held.count; i++) {
        qe_message_deinit(&consumer->held.items[i]);
    }
    consumer->held.count = 0;
    consumer->held_first = 0;
    consumer->held_bytes = 0;
    consumer->marked = 0;
}

/* In their order, which is that in which a quorum queue hands them out again. */
static void nack_held(struct qe_amqp_consumer *consumer)
{
    const struct qe_message_list *held = &consumer->held;
    struct qe_err ignored = {0}; /* the connection is lost, and all is the broker's again */

    for (size_t i = consumer->held_first; i < held->count; i++) {
        amqp_basic_nack_t nack = {
            .delivery_tag = qe_amqp_receipt_tag(consumer, held->items[i].receipt), .requeue = 1};

        if (qe_amqp_tell(&consumer->channel, AMQP_BASIC_NACK_METHOD, &nack, &ignored) != 0) {
            return;
        }
        consumer->released_mono_ms = qe_clock_mono_ms();
    }
    for (size_t i = held->count; i > consumer->held_first; i--) { /* the last ones: cheap */
        qe_amqp_ledger_remove(&consumer->ledger,
                              qe_amqp_receipt_tag(consumer, held->items[i - 1].receipt));
    }
    qe_amqp_drop_held(consumer);
}

/* --- at the delivery limit --- */

/* Moves what the broker would drop, if it were given back to its place, into *out. */
static int take_last(struct qe_amqp_consumer *consumer, struct qe_message_list *out)
{
    struct qe_message_list *held = &consumer->held;
    size_t left = consumer->held_first;

    for (size_t i = consumer->held_first; i < held->count; i++) {
        out->count += qe_amqp_is_lost_in_place(consumer, &held->items[i]) ? 1 : 0;
    }
    const size_t count = out->count;

    out->count = 0;
    if (count > 0 &&
        qe_grow(&out->items, count - 1, &out->capacity, HELD_MAX, sizeof *out->items) != 0) {
        return -1;
    }
    for (size_t i = consumer->held_first; i < held->count; i++) {
        struct qe_message *message = &held->items[i];

        if (out->count < count && qe_amqp_is_lost_in_place(consumer, message)) {
            consumer->held_bytes -= message->body_bytes;
            out->items[out->count++] = *message;
        } else {
            held->items[left++] = *message;
        }
    }
    held->count = left;
    return 0;
}

static void hold_on(struct qe_amqp_consumer *consumer, struct qe_message *message)
{
    const uint64_t tag = qe_amqp_receipt_tag(consumer, message->receipt);
    struct qe_err err = {0};

    if (tag != 0 && qe_amqp_ledger_has(&consumer->ledger, tag) &&
        qe_amqp_hold_take(consumer, message, &err) != 0) {
        consumer->trouble = err;
        consumer->must_reset = true;
    }
}

static bool copy_one(struct qe_amqp_consumer *consumer, const struct qe_message *message,
                     int64_t deadline_mono_ms)
{
    const struct qe_queue queue = {
        .vhost = consumer->vhost, .name = consumer->queue, .kind = consumer->kind};
    struct qe_settlement settlement = {
        .message = message, .verb = QE_SETTLE_RELEASE, .unhandled = true};
    struct qe_err ignored = {0}; /* the settlement has its own */

    (void)!qe_rmq_settle(consumer->rmq, &queue, &settlement, 1, deadline_mono_ms, &ignored);
    return settlement.result != QE_SETTLE_FAILED;
}

/* One by one: what is not begun in time is not published twice. It is held on, as what does not get
 * through is, and its turn comes later. */
static void copy_back(struct qe_amqp_consumer *consumer, struct qe_message_list *last)
{
    const int64_t start = qe_clock_mono_ms();

    for (size_t i = 0; i < last->count; i++) {
        const int64_t now = qe_clock_mono_ms();

        if (now >= start + COPIES_MS || now < consumer->copies_from_mono_ms) {
            hold_on(consumer, &last->items[i]);
        } else if (!copy_one(consumer, &last->items[i], start + COPIES_PATIENCE_MS)) {
            consumer->copies_from_mono_ms = qe_clock_mono_ms() + HELD_LONG_MS;
            hold_on(consumer, &last->items[i]);
        }
    }
}

bool qe_amqp_holds_last(const struct qe_amqp_consumer *consumer)
{
    for (size_t i = consumer->held_first; i < consumer->held.count; i++) {
        if (qe_amqp_is_lost_in_place(consumer, &consumer->held.items[i])) {
            return true;
        }
    }
    return false;
}

static void give_back(struct qe_amqp_consumer *consumer, bool with_copies)
{
    struct qe_message_list last = {0};

    if (take_last(consumer, &last) != 0) {
        return; /* no memory: they stay until the next time */
    }
    nack_held(consumer);
    if (with_copies) {
        copy_back(consumer, &last);
    }
    for (size_t i = 0; i < last.count && !with_copies; i++) {
        hold_on(consumer, &last.items[i]);
    }
    qe_message_list_deinit(&last);
}

void qe_amqp_nack_held(struct qe_amqp_consumer *consumer)
{
    give_back(consumer, false);
}

int64_t qe_amqp_give_back_held(struct qe_amqp_consumer *consumer)
{
    give_back(consumer, true);
    if (!qe_amqp_holds_last(consumer)) {
        return INT64_MAX;
    }
    const int64_t soon = qe_clock_mono_ms() + COPIES_PAUSE_MS;

    return soon > consumer->copies_from_mono_ms ? soon : consumer->copies_from_mono_ms;
}

bool qe_amqp_is_held_long(struct qe_amqp_consumer *consumer)
{
    const int64_t now = qe_clock_mono_ms();

    if (consumer->marked == 0) {
        consumer->marked = qe_amqp_held_count(consumer);
        consumer->marked_mono_ms = now;
    }
    return consumer->marked > 0 && now >= consumer->marked_mono_ms + HELD_LONG_MS;
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
        consumer->held_bytes -= held->items[consumer->held_first].body_bytes;
        out->items[out->count++] = held->items[consumer->held_first++];
    }
    consumer->marked -= count < consumer->marked ? count : consumer->marked;
    if (consumer->held_first == held->count) {
        held->count = 0;
        consumer->held_first = 0;
    }
    return 0;
}

static int hold_again(struct qe_amqp_consumer *consumer, const struct qe_message *message,
                      struct qe_err *err)
{
    struct qe_message copy = {0};

    if (qe_message_copy(&copy, message, err) != 0) {
        return -1;
    }
    if (qe_amqp_hold_take(consumer, &copy, err) != 0) {
        qe_message_deinit(&copy);
        return -1;
    }
    return 0;
}

void qe_amqp_settle_replies(struct qe_amqp_consumer *consumer, struct qe_settlement *settlements,
                            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct qe_settlement *one = &settlements[i];

        one->err = (struct qe_err){0};
        one->dead_lettered = one->undelayed = false;
        one->result =
            one->verb == QE_SETTLE_RELEASE && hold_again(consumer, one->message, &one->err) != 0
                ? QE_SETTLE_FAILED
                : QE_SETTLED;
    }
}
