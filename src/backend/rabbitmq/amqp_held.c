/* What is delivered to us and not handed out yet: handed out, or given back to its place. */
#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"

#define HELD_MAX 1000000
/* As long as the consumer lets a message wait for a worker. */
#define HELD_LONG_MS 5000

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
void qe_amqp_give_back_held(struct qe_amqp_consumer *consumer)
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

int qe_amqp_hold_again(struct qe_amqp_consumer *consumer, const struct qe_message *message,
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
