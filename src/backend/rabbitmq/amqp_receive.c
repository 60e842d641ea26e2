/* Receiving: waiting for what the broker pushes, or looking once. */
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"

#define LOOK_MS 2000
/* A quorum queue takes back what is released a moment later than it answers: it is looked for again
 * and again. */
#define RETURN_MS 1000
#define RETURN_LOOK_MS 10
/* So long after a consumer began, its first messages are here. */
#define PUSH_MS 500
/* So long a message may be under way that the queue has pushed. No more: a call may pass its
 * deadline by as much. */
#define ON_ITS_WAY_MS 100
/* At the end, in one settlement. */
#define RELEASED_MOST QE_AMQP_WINDOW

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

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A new connection takes a handful of round trips, which the calls that follow are not to pay. */
static int open_first(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms,
                      struct qe_err *err)
{
    return qe_amqp_consumer_open(
        consumer, later(deadline_mono_ms, qe_clock_mono_ms() + QE_AMQP_CONNECT_MS), err);
}

/* When what is there has been pushed. Who has not waited yet has time for more: what a round that
 * has just begun brings, and what is on its way back. */
static int64_t pushed_by(const struct qe_amqp_consumer *consumer, bool has_waited)
{
    const int64_t here = qe_clock_mono_ms() + ON_ITS_WAY_MS;

    if (has_waited) {
        return here;
    }
    const int64_t returned =
        consumer->released_mono_ms > 0 ? consumer->released_mono_ms + RETURN_MS : 0;

    return later(here, later(consumer->begun_mono_ms + PUSH_MS, returned));
}

/* Who is pushed to gets all that way, for basic.get turns the order round: RabbitMQ's channel asks
 * the queue before it passes on what came from it, and the answer overtakes what the queue pushed
 * before. For an ack that just went out it pushes the next message, and answers with the one
 * behind.
 *
 * On a single-active queue, basic.get would take what is the active consumer's (classic), or end
 * the channel with all that is in hand (quorum): there we stand in line for a moment. */
static int look_at_pushed(struct qe_amqp_consumer *consumer, size_t max, bool has_waited,
                          struct qe_err *err)
{
    const bool was_consuming = consumer->is_consuming;
    int rc = qe_amqp_consume(consumer, max, qe_clock_mono_ms() + LOOK_MS, err);
    const int64_t last = pushed_by(consumer, has_waited);

    while (rc == 0 && qe_amqp_held_count(consumer) == 0 && consumer->trouble.code == QE_OK &&
           qe_clock_mono_ms() < last) {
        rc = qe_amqp_wait(consumer->rmq, NULL, true, last, err);
    }
    if (!was_consuming && qe_amqp_held_count(consumer) == 0 && consumer->is_consuming) {
        struct qe_err ignored = {0}; /* told as trouble */

        (void)!qe_amqp_end_round(consumer, &ignored);
    }
    return rc;
}

static int look_once(struct qe_amqp_consumer *consumer, size_t max, bool has_waited,
                     struct qe_err *err)
{
    amqp_basic_get_t get = {0};

    if (consumer->is_auto_acked) {
        return 0; /* such a queue can only push, and what it has pushed is held */
    }
    if (open_first(consumer, 0, err) != 0) {
        return -1;
    }
    if (consumer->round > 0 || qe_amqp_is_single_active(consumer)) {
        return look_at_pushed(consumer, max, has_waited, err);
    }
    const int64_t deadline = qe_clock_mono_ms() + LOOK_MS;

    get.queue = qe_amqp_text(qe_amqp_queue_name(consumer));
    while (qe_amqp_held_count(consumer) < max && consumer->trouble.code == QE_OK) {
        if (qe_amqp_call(&consumer->channel, AMQP_BASIC_GET_METHOD, &get, deadline, err) != 0) {
            return qe_amqp_held_count(consumer) > 0 ? 0 : -1;
        }
        if (consumer->channel.answer == AMQP_BASIC_GET_EMPTY_METHOD &&
            is_nothing_to_come(consumer, err)) {
            break;
        }
    }
    return 0;
}

/* What there is would have been pushed by now. */
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

/* What still waits then has waited too long: for others. Copies are left to tend(): they may take
 * their time, and what is handed out may not. */
static int hand_out(struct qe_amqp_consumer *consumer, size_t max, struct qe_message_list *out,
                    struct qe_err *err)
{
    const bool is_held_long = qe_amqp_is_held_long(consumer);
    const int rc = qe_amqp_hand_out(consumer, max, out, err);

    if (rc == 0 && is_held_long && qe_amqp_stop_pushing(consumer)) {
        consumer->is_full = true;
        qe_amqp_nack_held(consumer);
        consumer->must_copy = qe_amqp_held_count(consumer) > 0;
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
    if (qe_amqp_held_count(consumer) > 0 || qe_clock_mono_ms() >= deadline_mono_ms) {
        (void)!qe_amqp_drain(consumer->channel.connection, &lost); /* told as trouble */
    }
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
            if (look_once(consumer, max, has_waited, err) != 0) {
                return -1;
            }
            continue;
        }
        has_waited = true;
        qe_amqp_release_due(consumer);
        if (open_first(consumer, deadline_mono_ms, err) != 0 ||
            qe_amqp_consume(consumer, max, call_deadline(deadline_mono_ms), err) != 0 ||
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

/* What the queue had pushed when it heard that this round has ended, the channel passes on behind
 * its answer to that: so it is here with the answer to a call that came later. */
static int await_pushed(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms,
                        struct qe_err *err)
{
    amqp_basic_qos_t again = {.prefetch_count = consumer->prefetch};
    int rc = 0;

    for (int calls = 0; calls < 2 && rc == 0; calls++) {
        rc = qe_amqp_call(&consumer->channel, AMQP_BASIC_QOS_METHOD, &again, deadline_mono_ms, err);
    }
    return rc;
}

/* A quorum queue pushes for the acks that went out before, and only then answers a basic.get. What
 * it takes goes back with the rest. */
void qe_rmq_halt(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms)
{
    struct qe_rmq *rmq = handle;
    struct qe_amqp_consumer *consumer =
        qe_amqp_consumer_find(rmq, qe_amqp_vhost(queue), queue->name);
    amqp_basic_get_t get = {0};
    struct qe_err ignored = {0}; /* the connection is lost, and all is the broker's again */

    if (consumer == NULL || consumer->channel.number == 0 || consumer->is_auto_acked) {
        return;
    }
    get.queue = qe_amqp_text(qe_amqp_queue_name(consumer));
    if (consumer->is_consuming && qe_amqp_minds_returns(consumer) &&
        !qe_amqp_is_single_active(consumer) &&
        qe_amqp_call(&consumer->channel, AMQP_BASIC_GET_METHOD, &get, deadline_mono_ms, &ignored) ==
            0) {
        (void)!await_pushed(consumer, deadline_mono_ms, &ignored);
    }
    (void)!qe_amqp_stop_pushing(consumer);
}

/* True: no more is pushed, all that was is here, and what is held may go back.
 *
 * On a single-active queue the next consumer would begin with what is behind that. So there the
 * round ends only for messages that would be lost, and all else goes back with the connection. */
static bool end_pushing(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms)
{
    struct qe_err ignored = {0}; /* the connection is lost, and all is the broker's again */

    if (qe_amqp_stop_pushing(consumer)) {
        return await_pushed(consumer, deadline_mono_ms, &ignored) == 0;
    }
    if (consumer->channel.number == 0 || !consumer->has_had_last) {
        return false;
    }
    /* Nothing tells when the queue has pushed for the last acks. */
    const int64_t pushed = qe_clock_mono_ms() + QE_AMQP_ACKS_WAY_MS;

    while (qe_clock_mono_ms() < pushed &&
           qe_amqp_wait(consumer->rmq, NULL, false, pushed, &ignored) == 0) {
    }
    return await_pushed(consumer, deadline_mono_ms, &ignored) == 0 &&
           qe_amqp_holds_last(consumer) &&
           (!consumer->is_consuming || qe_amqp_end_round(consumer, &ignored) == 0) &&
           await_pushed(consumer, deadline_mono_ms, &ignored) == 0;
}

/* Returns how many are left. */
static size_t release_some(struct qe_rmq *rmq, const struct qe_queue *queue,
                           const struct qe_message *messages, struct qe_settlement *settlements,
                           size_t count, int64_t deadline_mono_ms)
{
    struct qe_err ignored = {0}; /* each has its own */
    size_t left = 0;

    for (size_t i = 0; i < count; i++) {
        settlements[i] = (struct qe_settlement){
            .message = &messages[i], .verb = QE_SETTLE_RELEASE, .unhandled = true};
    }
    (void)!qe_rmq_settle(rmq, queue, settlements, count, deadline_mono_ms, &ignored);
    for (size_t i = 0; i < count; i++) {
        left += settlements[i].result == QE_SETTLE_FAILED ? 1 : 0;
    }
    return left;
}

/* True: an alarm, without whose end no copy gets through, has ended in time. */
static bool await_alarm(struct qe_rmq *rmq, const struct qe_queue *queue, int64_t deadline_mono_ms)
{
    struct qe_err ignored = {0};
    const struct qe_amqp_space *space = qe_amqp_space_find(rmq, qe_amqp_vhost(queue), &ignored);
    const bool was_blocked = space != NULL && space->out.is_blocked;

    while (was_blocked && space->out.is_blocked && qe_clock_mono_ms() < deadline_mono_ms &&
           qe_amqp_wait(rmq, NULL, false, deadline_mono_ms, &ignored) == 0) {
    }
    return was_blocked && !space->out.is_blocked && qe_clock_mono_ms() < deadline_mono_ms;
}

/* In their order. A copy that is begun too late may be published twice: none is. */
static size_t release(struct qe_rmq *rmq, const struct qe_queue *queue,
                      const struct qe_message_list *list, int64_t deadline_mono_ms)
{
    struct qe_settlement *settlements = qe_calloc(RELEASED_MOST, sizeof *settlements);
    size_t done = 0;
    size_t left = 0;

    while (settlements != NULL && done < list->count && qe_clock_mono_ms() < deadline_mono_ms) {
        const size_t rest = list->count - done;
        const size_t count = rest < RELEASED_MOST ? rest : RELEASED_MOST;
        size_t failed = 0;

        do {
            failed =
                release_some(rmq, queue, list->items + done, settlements, count, deadline_mono_ms);
        } while (failed > 0 && await_alarm(rmq, queue, deadline_mono_ms));
        left += failed;
        done += count;
    }
    qe_free(settlements);
    return left + list->count - done;
}

/* The end of the connection would give back all of it, and have the broker drop what has reached
 * its queue's delivery limit. */
void qe_rmq_give_back(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                      struct qe_unreturned *out)
{
    struct qe_rmq *rmq = handle;
    struct qe_amqp_consumer *consumer =
        qe_amqp_consumer_find(rmq, qe_amqp_vhost(queue), queue->name);
    struct qe_message_list list = {0};
    struct qe_err ignored = {0}; /* no memory: as above */

    *out = (struct qe_unreturned){0};
    if (consumer == NULL || consumer->is_auto_acked || !end_pushing(consumer, deadline_mono_ms)) {
        return;
    }
    if (qe_amqp_hand_out(consumer, SIZE_MAX, &list, &ignored) == 0 && list.count > 0) {
        out->count = release(rmq, queue, &list, deadline_mono_ms);
    }
    qe_message_list_deinit(&list);
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

        if (consumer != NULL) {
            qe_amqp_consumer_heed(consumer, from);
        }
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

bool qe_rmq_holds(const void *handle, const struct qe_queue *queue,
                  const struct qe_message *message)
{
    const struct qe_amqp_consumer *consumer =
        qe_amqp_consumer_find(handle, qe_amqp_vhost(queue), queue->name);

    return consumer != NULL && qe_amqp_receipt_tag(consumer, message->receipt) != 0;
}
