/* Receiving: waiting for what the broker pushes, or looking once. */
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"

#define LOOK_MS 2000
/* A quorum queue takes back what is released a moment later than it answers: it is looked for again
 * and again. */
#define RETURN_MS 1000
#define RETURN_LOOK_MS 10
/* So long after a consumer began, its first messages are here. */
#define PUSH_MS 500
/* So far behind an empty answer, a message that it has overtaken comes. */
#define OVERTAKEN_MS 100

/* Called when nothing is held. */
static int tell_trouble(struct qe_amqp_consumer *consumer, struct qe_err *err)
{
    *err = consumer->trouble;
    if (consumer->must_reset) {
        qe_amqp_channel_close(&consumer->channel, qe_clock_mono_ms() + LOOK_MS);
    }
    consumer->trouble.code = QE_OK;
    return -1;
}

/* True when an empty answer is the last word: nothing is on its way back to the queue. */
static bool is_nothing_to_come(struct qe_amqp_consumer *consumer, struct qe_err *err)
{
    return qe_amqp_held_count(consumer) > 0 || consumer->released_mono_ms == 0 ||
           qe_clock_mono_ms() >= consumer->released_mono_ms + RETURN_MS ||
           qe_amqp_wait(consumer->rmq, NULL, false, qe_clock_mono_ms() + RETURN_LOOK_MS, err) != 0;
}

/* Of a single-active queue, basic.get would take what is the active consumer's (classic), or end
 * the channel with all that is in hand (quorum). So we stand in line for a moment: what is there
 * comes at once, if nobody is before us. */
static int look_in_line(struct qe_amqp_consumer *consumer, size_t max, struct qe_err *err)
{
    const bool was_consuming = consumer->is_consuming;
    int rc = qe_amqp_consume(consumer, max, qe_clock_mono_ms() + LOOK_MS, err);
    const int64_t pushed_by = qe_clock_mono_ms() + PUSH_MS;

    while (rc == 0 && qe_amqp_held_count(consumer) == 0 && consumer->trouble.code == QE_OK &&
           qe_clock_mono_ms() < pushed_by) {
        rc = qe_amqp_wait(consumer->rmq, NULL, false, pushed_by, err);
    }
    if (rc == 0 && !was_consuming && qe_amqp_held_count(consumer) == 0 && consumer->is_consuming) {
        rc = qe_amqp_end_round(consumer, err);
    }
    return rc;
}

/* By basic.get, whose empty answer may overtake a message that the queue has just pushed to us:
 * RabbitMQ's channel asks the queue before it passes on what came from it. */
static int look_once(struct qe_amqp_consumer *consumer, size_t max, struct qe_err *err)
{
    const int64_t deadline = qe_clock_mono_ms() + LOOK_MS;
    amqp_basic_get_t get = {0};
    bool may_be_overtaken = consumer->is_consuming;

    if (consumer->is_auto_acked) {
        return 0; /* such a queue can only push, and what it has pushed is held */
    }
    if (qe_amqp_is_single_active(consumer)) {
        return look_in_line(consumer, max, err);
    }
    if (qe_amqp_consumer_open(consumer, deadline, err) != 0) {
        return -1;
    }
    get.queue = qe_amqp_text(qe_amqp_queue_name(consumer));
    while (qe_amqp_held_count(consumer) < max && consumer->trouble.code == QE_OK) {
        if (qe_amqp_call(&consumer->channel, AMQP_BASIC_GET_METHOD, &get, deadline, err) != 0) {
            return qe_amqp_held_count(consumer) > 0 ? 0 : -1;
        }
        if (consumer->channel.answer != AMQP_BASIC_GET_EMPTY_METHOD) {
            continue;
        }
        if (may_be_overtaken && qe_amqp_held_count(consumer) == 0) {
            may_be_overtaken = false;
            if (qe_amqp_wait(consumer->rmq, NULL, false, qe_clock_mono_ms() + OVERTAKEN_MS, err) !=
                0) {
                break;
            }
        } else if (is_nothing_to_come(consumer, err)) {
            break;
        }
    }
    return 0;
}

/* What there is would have been pushed by now. To look all the same would take from the one active
 * consumer of a single-active queue what is his, or end the channel: a quorum queue refuses it. */
static bool is_all_pushed(const struct qe_amqp_consumer *consumer)
{
    const int64_t now = qe_clock_mono_ms();

    return consumer->is_consuming && now >= consumer->begun_mono_ms + PUSH_MS &&
           qe_amqp_ledger_count_round(&consumer->ledger, consumer->round) < consumer->prefetch;
}

/* Of a call to the broker: one that is not answered costs the connection and all that is in hand,
 * so it has a while, however soon the receive is to end. */
static int64_t call_deadline(int64_t deadline_mono_ms)
{
    const int64_t least = qe_clock_mono_ms() + LOOK_MS;

    return deadline_mono_ms > least ? deadline_mono_ms : least;
}

/* What still waits then has waited too long: for others. */
static int hand_out(struct qe_amqp_consumer *consumer, size_t max, struct qe_message_list *out,
                    struct qe_err *err)
{
    const bool is_held_long = qe_amqp_is_held_long(consumer);
    const int rc = qe_amqp_hand_out(consumer, max, out, err);

    if (rc == 0 && is_held_long && qe_amqp_stop_pushing(consumer)) {
        consumer->is_full = true;
        qe_amqp_give_back_held(consumer);
    }
    return rc;
}

static int64_t until(const struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms)
{
    const int64_t due = qe_amqp_postponed_next_mono_ms(&consumer->postponed);

    return due < deadline_mono_ms ? due : deadline_mono_ms;
}

static int receive(struct qe_amqp_consumer *consumer, size_t max, int64_t deadline_mono_ms,
                   struct qe_message_list *out, struct qe_err *err)
{
    struct qe_rmq *rmq = consumer->rmq;
    struct qe_err lost = {0};
    bool has_waited = false;
    bool has_looked = false;

    consumer->is_paused = false;
    (void)!qe_amqp_drain(consumer->channel.connection, &lost); /* told as trouble */
    for (;;) {
        if (qe_amqp_held_count(consumer) > 0) {
            return hand_out(consumer, max, out, err);
        }
        if (consumer->trouble.code != QE_OK) {
            return tell_trouble(consumer, err);
        }
        if (has_looked ||
            (has_waited && is_all_pushed(consumer) && qe_clock_mono_ms() >= deadline_mono_ms)) {
            return 0;
        }
        if (qe_clock_mono_ms() >= deadline_mono_ms) {
            has_looked = true;
            if (look_once(consumer, max, err) != 0) {
                return -1;
            }
            continue;
        }
        has_waited = true;
        qe_amqp_release_due(consumer);
        if (qe_amqp_consume(consumer, max, call_deadline(deadline_mono_ms), err) != 0 ||
            (qe_amqp_held_count(consumer) == 0 &&
             qe_amqp_wait(rmq, NULL, true, until(consumer, deadline_mono_ms), err) != 0)) {
            return -1;
        }
    }
}

void qe_rmq_pause(void *handle, const struct qe_queue *queue)
{
    const struct qe_rmq *rmq = handle;
    struct qe_amqp_consumer *consumer =
        qe_amqp_consumer_find(rmq, qe_amqp_vhost(queue), queue->name);
    struct qe_err ignored = {0}; /* told by the next receive */

    if (consumer != NULL && qe_amqp_drain(consumer->channel.connection, &ignored) == 0) {
        consumer->is_paused = qe_amqp_stop_pushing(consumer);
    }
}

int qe_rmq_receive(void *handle, const struct qe_queue *from, size_t max, int64_t deadline_mono_ms,
                   struct qe_message_list *out, struct qe_err *err)
{
    struct qe_rmq *rmq = handle;
    const int64_t start_us = qe_clock_mono_us();
    struct qe_err why = {0};
    int rc = -1;

    if (qe_rmq_take_interrupt(rmq)) {
        return qe_err_set(err, QE_ERR_CANCELLED, "interrupted");
    }
    if (max == 0) {
        return 0;
    }
    if (from->kind == QE_KIND_STREAM) {
        (void)qe_err_set(&why, QE_ERR_UNSUPPORTED,
                         "queue %s is a stream, whose messages stay when they are received",
                         from->name);
    } else {
        struct qe_amqp_consumer *consumer =
            qe_amqp_consumer_get(rmq, qe_amqp_vhost(from), from->name, &why);

        rc = consumer == NULL ? -1 : receive(consumer, max, deadline_mono_ms, out, &why);
        if (rc != 0 && consumer != NULL && !consumer->must_reset) {
            consumer->trouble.code = QE_OK; /* told herewith */
        }
    }
    if (rc != 0 && why.code != QE_ERR_CANCELLED) {
        (void)qe_err_wrap(&why, "queue %s", from->name);
    }
    if (rc != 0) {
        *err = why;
    }
    return qe_amqp_count(rmq, QE_RMQ_RECEIVE, start_us, rc, &why);
}
