/* Settling deliveries. What a release or a dead-lettering cannot do in place is done by a copy: it
 * is published, confirmed, and only then is the original acked: a crash in between gives two. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "model/dead_letter.h"
#include "util/mem.h"
#include "util/text.h"

#define DUE_PATIENCE_MS 1000 /* what was postponed, in a call for something else */

/* What is published for a settlement. */
struct job {
    size_t settlement;
    size_t link; /* of the queue: where it goes; SIZE_MAX: back to the queue */
    struct qe_amqp_delay_way way;
};

static const struct qe_amqp_delay_way s_straight = {.exchange = ""};

struct settling {
    struct qe_rmq *rmq;
    struct qe_amqp_space *space;
    struct qe_amqp_consumer *consumer;
    const struct qe_queue *queue;
    struct qe_settlement *settlements;
    size_t count;
    int64_t deadline_mono_ms;
    bool was_postponed; /* all of them: once is enough */
    struct job *jobs;   /* owned */
    size_t jobs_count;
    size_t jobs_capacity;
    bool *has_failed;                /* owned; a copy of this settlement did not get through */
    struct qe_amqp_copy_parts parts; /* owned; of the copy in the making */
    char id[QE_AMQP_ID_BYTES];
};

static void set_stale(struct qe_settlement *settlement, const char *why)
{
    settlement->result = QE_SETTLE_STALE;
    (void)qe_err_set(&settlement->err, QE_ERR_NOT_FOUND, "message %s: %s", settlement->message->id,
                     why);
}

static void begin_results(struct qe_settlement *settlement)
{
    settlement->err = (struct qe_err){0};
    settlement->dead_lettered = settlement->undelayed = false;
}

/* The broker delays it by nothing, which matters if it was asked to. */
static void set_undelayed(struct qe_settlement *settlement, const struct qe_err *why)
{
    settlement->undelayed = settlement->delay_ms > 0;
    settlement->err = settlement->undelayed ? *why : (struct qe_err){0};
}

static const char s_over[] = "its delivery is over: it was settled, or its connection has ended";

/* --- in place --- */

static void give_back(struct settling *settling, struct qe_settlement *settlement, uint64_t tag,
                      const struct qe_err *why)
{
    struct qe_amqp_consumer *consumer = settling->consumer;
    amqp_basic_nack_t nack = {.delivery_tag = tag, .requeue = 1};
    struct qe_err err = {0};

    qe_amqp_ledger_remove(&consumer->ledger, tag);
    qe_amqp_copies_forget(&consumer->copies, tag);
    consumer->has_settled = true;
    consumer->released_mono_ms = qe_clock_mono_ms();
    if (qe_amqp_tell(&consumer->channel, AMQP_BASIC_NACK_METHOD, &nack, &err) != 0) {
        set_stale(settlement, err.message);
    } else {
        settlement->result = QE_SETTLED;
        set_undelayed(settlement, why);
    }
}

/* Sends the acks for all that is marked. -1: the connection is lost, and with it every delivery. */
static int flush_acks(struct settling *settling, struct qe_err *err)
{
    struct qe_amqp_consumer *consumer = settling->consumer;
    amqp_basic_ack_t ack = {0};
    bool is_multiple = false;
    int rc = 0;

    while (rc == 0 && qe_amqp_ledger_take_ack(&consumer->ledger, &ack.delivery_tag, &is_multiple)) {
        ack.multiple = is_multiple;
        rc = qe_amqp_tell(&consumer->channel, AMQP_BASIC_ACK_METHOD, &ack, err);
        consumer->has_settled = true;
        consumer->acked_mono_ms = consumer->released_mono_ms > 0 ? qe_clock_mono_ms() : 0;
    }
    return rc;
}

/* --- by a copy --- */

/* Never by a copy, which loses its expiration. */
static bool is_left_to_the_broker(const struct settling *settling,
                                  const struct qe_settlement *settlement)
{
    return settlement->unhandled || settling->consumer->is_own ||
           qe_amqp_has_expiration(settlement->message);
}

/* No handler saw it. */
static bool is_lost_in_place(const struct settling *settling, const struct qe_settlement *one)
{
    return one->unhandled && qe_amqp_is_lost_in_place(settling->consumer, one->message);
}

/* There a release loses its delay, and a classic queue does not count it; copies go to the end. */
static bool is_released_in_place(const struct settling *settling,
                                 const struct qe_settlement *settlement)
{
    return !is_lost_in_place(settling, settlement) &&
           (is_left_to_the_broker(settling, settlement) ||
            (settlement->delay_ms <= 0 && settling->queue->kind == QE_KIND_QUORUM));
}

/* Its copies are where they belong: the ack is all that is left. */
static void let_go(struct settling *settling, struct qe_settlement *settlement, uint64_t tag,
                   bool is_dead)
{
    (void)qe_amqp_ledger_mark(&settling->consumer->ledger, tag);
    qe_amqp_copies_forget(&settling->consumer->copies, tag);
    settlement->result = QE_SETTLED;
    settlement->dead_lettered = is_dead && settlement->verb == QE_SETTLE_RELEASE;
}

static int add_job(struct settling *settling, size_t settlement, size_t link,
                   struct qe_amqp_delay_way way, struct qe_err *err)
{
    if (qe_grow(&settling->jobs, settling->jobs_count, &settling->jobs_capacity, 1000000,
                sizeof(struct job)) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "%zu copies", settling->jobs_count);
    }
    settling->jobs[settling->jobs_count++] =
        (struct job){.settlement = settlement, .link = link, .way = way};
    return 0;
}

/* -1 with *err: nobody knows where to, and so it stays where it is. */
static int add_dead_letter_jobs(struct settling *settling, size_t settlement, struct qe_err *err)
{
    const struct qe_queue *queue = settling->queue;
    const struct qe_message *message = settling->settlements[settlement].message;
    const uint64_t tag = qe_amqp_receipt_tag(settling->consumer, message->receipt);

    if (qe_amqp_copies_have_place(queue, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < queue->links_count; i++) {
        if (!qe_amqp_copies_has(&settling->consumer->copies, tag, message, queue->links[i].queue) &&
            add_job(settling, settlement, i, s_straight, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int fill(void *context, size_t index, struct qe_amqp_letter *out, struct qe_err *err)
{
    struct settling *settling = context;
    const struct job *job = &settling->jobs[index];
    const struct qe_settlement *settlement = &settling->settlements[job->settlement];
    const struct qe_message *message = settlement->message;
    const bool is_dead = job->link != SIZE_MAX;

    if (qe_amqp_copy_make(settling->consumer, settling->queue, settlement, is_dead,
                          &settling->parts, err) != 0) {
        return -1;
    }
    qe_amqp_make_id(settling->rmq->work, settling->id);
    qe_amqp_copy_letter(&settling->parts, message, is_dead, out);
    out->exchange = job->way.exchange;
    out->routing_key = is_dead ? settling->queue->links[job->link].queue : settling->queue->name;
    out->is_mandatory = job->way.header_ms == 0;
    out->delay_ms = job->way.header_ms;
    out->id = message->id[0] != '\0' ? message->id : settling->id;
    return 0;
}

static void copied(void *context, size_t index, const struct qe_err *result)
{
    struct settling *settling = context;
    const struct job *job = &settling->jobs[index];
    struct qe_settlement *settlement = &settling->settlements[job->settlement];

    if (result->code == QE_OK && job->link != SIZE_MAX && settling->queue->links_count > 1) {
        qe_amqp_copies_add(&settling->consumer->copies,
                           qe_amqp_receipt_tag(settling->consumer, settlement->message->receipt),
                           settling->queue->links[job->link].queue);
    }
    if (result->code == QE_ERR_TIMEOUT && job->way.exchange[0] != '\0') {
        qe_amqp_delays_stop(&settling->space->delays, result);
    }
    if (result->code != QE_OK && !settling->has_failed[job->settlement]) {
        settling->has_failed[job->settlement] = true;
        qe_amqp_delays_forget(&settling->space->delays, result);
        settlement->err = *result;
        if (job->link != SIZE_MAX) {
            (void)qe_err_wrap(&settlement->err, "dead-letter queue %s",
                              settling->queue->links[job->link].queue);
        }
    }
}

/* A message whose copy did not get through: a release is made in place, without its delay, since it
 * must not stay in hand for ever; one that is to be dead-lettered is left to the caller. */
static void finish_copy(struct settling *settling, size_t index, bool is_dead)
{
    struct qe_settlement *settlement = &settling->settlements[index];
    const uint64_t tag = qe_amqp_receipt_tag(settling->consumer, settlement->message->receipt);
    const struct qe_err none = {0};

    if (tag == 0 || !qe_amqp_ledger_has(&settling->consumer->ledger, tag)) {
        set_stale(settlement, s_over);
    } else if (!settling->has_failed[index]) {
        let_go(settling, settlement, tag, is_dead);
    } else if (settlement->verb == QE_SETTLE_RELEASE && !is_lost_in_place(settling, settlement)) {
        give_back(settling, settlement, tag, is_dead ? &none : &settlement->err);
    } else {
        settlement->result = QE_SETTLE_FAILED;
    }
}

/* Only of what no handler saw: such a one may stay in hand until an alarm is over, and what was
 * handled is not to wait for it. */
static bool are_unhandled(const struct settling *settling)
{
    for (size_t i = 0; i < settling->jobs_count; i++) {
        if (!is_lost_in_place(settling, &settling->settlements[settling->jobs[i].settlement])) {
            return false;
        }
    }
    return true;
}

static void settle_copies(struct settling *settling)
{
    const struct qe_amqp_batch batch = {.context = settling,
                                        .count = settling->jobs_count,
                                        .is_brief = are_unhandled(settling),
                                        .fill = fill,
                                        .done = copied};
    struct qe_err err = {0};

    if (settling->jobs_count == 0) {
        return;
    }
    (void)!qe_amqp_publish_all(&settling->space->publisher, &batch, settling->deadline_mono_ms,
                               &err);
    for (size_t i = 0; i < settling->jobs_count; i++) {
        if (i == 0 || settling->jobs[i].settlement != settling->jobs[i - 1].settlement) {
            finish_copy(settling, settling->jobs[i].settlement, settling->jobs[i].link != SIZE_MAX);
        }
    }
    const int rc = flush_acks(settling, &err);
    for (size_t i = 0; rc != 0 && i < settling->jobs_count; i++) {
        if (settling->settlements[settling->jobs[i].settlement].result == QE_SETTLED) {
            set_stale(&settling->settlements[settling->jobs[i].settlement], err.message);
        }
    }
}

/* --- all of them --- */

static bool is_named_before(const struct settling *settling, size_t index)
{
    for (size_t i = 0; i < settling->jobs_count; i++) {
        if (strcmp(settling->settlements[settling->jobs[i].settlement].message->receipt,
                   settling->settlements[index].message->receipt) == 0) {
            return true;
        }
    }
    return false;
}

static void fail(struct qe_settlement *settlement, const struct qe_err *err)
{
    settlement->result = QE_SETTLE_FAILED;
    settlement->err = *err;
}

/* Without its delay queue, a message waits here; where it cannot, or has, it goes straight to the
 * end of its queue, where its receives are still counted. */
static void begin_release(struct settling *settling, size_t index, uint64_t tag)
{
    struct qe_settlement *settlement = &settling->settlements[index];
    struct qe_amqp_consumer *consumer = settling->consumer;
    struct qe_amqp_delay_way way = s_straight;
    struct qe_err why = {0};
    struct qe_err err = {0};

    if (is_released_in_place(settling, settlement)) {
        give_back(settling, settlement, tag, &why);
        return;
    }
    const bool has_way =
        settlement->delay_ms <= 0 ||
        qe_amqp_delays_try(&settling->space->delays, settling->queue->name, settlement->delay_ms,
                           settling->deadline_mono_ms, &way, &why) == 0;
    if (!qe_amqp_ledger_has(&consumer->ledger, tag)) { /* that found the connection's end */
        set_stale(settlement, s_over);
    } else if (!has_way && (why.code == QE_ERR_NOT_FOUND || /* or no copy would be taken */
                            (why.code == QE_ERR_THROTTLED && settling->was_postponed))) {
        give_back(settling, settlement, tag, &why);
    } else if (!has_way && !settling->was_postponed &&
               qe_amqp_postpone(&consumer->postponed, settlement->message, settlement->delay_ms,
                                &err) == 0) {
        qe_amqp_ledger_postpone(&consumer->ledger, tag);
        settlement->result = QE_SETTLED;
        set_undelayed(settlement, &why);
    } else if (add_job(settling, index, SIZE_MAX, way, &err) != 0) {
        fail(settlement, &err);
    } else if (!has_way) {
        set_undelayed(settlement, &why);
    }
}

/* What can be done in place is done or marked; the rest becomes a job. */
static void begin_one(struct settling *settling, size_t index)
{
    struct qe_settlement *settlement = &settling->settlements[index];
    struct qe_amqp_consumer *consumer = settling->consumer;
    const uint64_t tag = qe_amqp_receipt_tag(consumer, settlement->message->receipt);
    const size_t jobs_before = settling->jobs_count;
    struct qe_err err = {0};

    begin_results(settlement);
    if (tag == 0 || !qe_amqp_ledger_has(&consumer->ledger, tag) ||
        is_named_before(settling, index) ||
        qe_amqp_postponed_has(&consumer->postponed, settlement->message->receipt)) {
        set_stale(settlement, s_over);
    } else if (settlement->verb == QE_SETTLE_ACK) {
        if (qe_amqp_ledger_mark(&consumer->ledger, tag)) {
            settlement->result = QE_SETTLED;
        } else {
            set_stale(settlement, s_over);
        }
    } else if (settlement->verb == QE_SETTLE_RELEASE &&
               (is_left_to_the_broker(settling, settlement) || settling->queue->links_count == 0 ||
                !qe_amqp_is_past_limit(consumer, settlement->message))) {
        begin_release(settling, index, tag);
    } else if (add_dead_letter_jobs(settling, index, &err) != 0) {
        fail(settlement, &err);
    } else if (settling->jobs_count == jobs_before) { /* each dead-letter queue has its copy */
        let_go(settling, settlement, tag, true);
    }
}

/* Releases last: one that asks for a delay reads the sockets, and what it finds there may end the
 * connection, with every ack that is only marked. */
static void settle_batch(struct settling *settling)
{
    struct qe_err err = {0};
    int rc = 0;

    for (int releases = 0; rc == 0 && releases <= 1; releases++) {
        for (size_t i = 0; i < settling->count; i++) {
            if ((settling->settlements[i].verb == QE_SETTLE_RELEASE) == (releases == 1)) {
                begin_one(settling, i);
            }
        }
        rc = flush_acks(settling, &err);
    }
    for (size_t i = 0; rc != 0 && i < settling->count; i++) {
        set_stale(&settling->settlements[i], err.message);
    }
    if (rc == 0) {
        settle_copies(settling);
    }
}

static int settle_all(struct settling *settling, struct qe_err *err)
{
    settling->has_failed = qe_calloc(settling->count, sizeof(bool));
    if (settling->has_failed == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "%zu settlements", settling->count);
    }
    settle_batch(settling);
    qe_amqp_raws_keep(&settling->consumer->raws, &settling->consumer->ledger);
    qe_free(settling->has_failed);
    qe_free(settling->jobs);
    qe_amqp_copy_deinit(&settling->parts);
    return 0;
}

/* What does not get through is given back in place, and without a connection by its end. */
static void release_one(struct qe_amqp_consumer *consumer, const struct qe_message *message,
                        int64_t delay_ms)
{
    const struct qe_queue queue = {
        .vhost = consumer->vhost, .name = consumer->queue, .kind = consumer->kind};
    struct qe_settlement settlement = {
        .message = message, .verb = QE_SETTLE_RELEASE, .delay_ms = delay_ms};
    struct qe_err ignored = {0};
    struct settling settling = {
        .rmq = consumer->rmq,
        .space = qe_amqp_space_find(consumer->rmq, consumer->vhost, &ignored),
        .consumer = consumer,
        .queue = &queue,
        .settlements = &settlement,
        .count = 1,
        .deadline_mono_ms = qe_clock_mono_ms() + DUE_PATIENCE_MS,
        .was_postponed = true,
    };

    if (settling.space != NULL) {
        (void)!settle_all(&settling, &ignored);
    }
}

void qe_amqp_release_due(struct qe_amqp_consumer *consumer)
{
    const int64_t start = qe_clock_mono_ms();
    struct qe_message message;
    int64_t left_ms = 0;

    while (qe_clock_mono_ms() < start + DUE_PATIENCE_MS &&
           qe_amqp_postponed_take(&consumer->postponed, start, &message, &left_ms)) {
        release_one(consumer, &message, left_ms);
        qe_message_deinit(&message);
    }
}

/* Nothing was received from this queue by this handle: by an earlier one, which is over, or from
 * another queue. */
static int settle_unknown(const struct qe_rmq *rmq, const struct qe_queue *queue,
                          struct qe_settlement *settlements, size_t count, struct qe_err *err)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < rmq->work->consumers_count; j++) {
            if (qe_amqp_receipt_tag(rmq->work->consumers[j], settlements[i].message->receipt) !=
                0) {
                return qe_err_set(err, QE_ERR_NOT_FOUND,
                                  "queue %s: the message was received from queue %s", queue->name,
                                  rmq->work->consumers[j]->queue);
            }
        }
        set_stale(&settlements[i], s_over);
    }
    return 0;
}

static int settle(struct qe_rmq *rmq, const struct qe_queue *queue,
                  struct qe_settlement *settlements, size_t count, int64_t deadline_mono_ms,
                  struct qe_err *err)
{
    struct qe_amqp_space *space = qe_amqp_space_find(rmq, qe_amqp_vhost(queue), err);
    struct settling settling = {
        .rmq = rmq,
        .space = space,
        .consumer = qe_amqp_consumer_find(rmq, qe_amqp_vhost(queue), queue->name),
        .queue = queue,
        .settlements = settlements,
        .count = count,
        .deadline_mono_ms = deadline_mono_ms,
    };

    if (space == NULL || count == 0) {
        return space == NULL ? -1 : 0;
    }
    if (settling.consumer == NULL) {
        return settle_unknown(rmq, queue, settlements, count, err);
    }
    if (settling.consumer->is_auto_acked) {
        qe_amqp_settle_replies(settling.consumer, settlements, count);
        return 0;
    }
    qe_amqp_consumer_heed(settling.consumer, queue);
    qe_amqp_release_due(settling.consumer);
    return settle_all(&settling, err);
}

int qe_rmq_settle(void *handle, const struct qe_queue *queue, struct qe_settlement *settlements,
                  size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_rmq *rmq = handle;
    const int64_t start_us = qe_clock_mono_us();
    struct qe_err why = {0};
    const int rc = settle(rmq, queue, settlements, count, deadline_mono_ms, &why);

    if (rc != 0) {
        for (size_t i = 0; i < count; i++) {
            fail(&settlements[i], &why);
        }
        *err = why;
    }
    return qe_amqp_count(rmq, QE_RMQ_SETTLE, start_us, rc, &why);
}
