/* Receiving: long polls on a client of their own.
 *
 * A poll outlives the call that began it: when that one is interrupted or reaches its deadline, SQS
 * may already be answering, and what it answers is invisible to everybody else. So the poll stays
 * in flight, and the next receive of that queue takes what it brought. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/sqs/batch.h"
#include "backend/sqs/message.h"
#include "util/mem.h"

#define WAIT_MAX_SECONDS INT64_C(20)
/* Behind the time that SQS may take by itself. */
#define ANSWER_MS 10000
/* Who looks without waiting still needs an answer, which is a trip away, or a handshake; a poll
 * that was in flight before would have answered already if there were anything, unless its wait has
 * just ended. */
#define LOOK_MS 2000
#define LOOK_AGAIN_MS 80
/* So many of a FIFO queue that wait for their turn are enough. */
#define HELD_MAX 200
/* For what is on its way when the handle ends. */
#define END_WAIT_MS 200

struct receive {
    struct qe_sqs *sqs;
    struct qe_sqs_queue *queue;
    struct qe_aws_client *client; /* of the polls */
    size_t max;
    int64_t deadline_mono_ms;
    int64_t patience_mono_ms; /* until when it waits for what is in flight */
    bool with_old_names;      /* for emulators: see append_request() */
};

/* --- one poll --- */

static struct qe_sqs_poll *free_poll(struct qe_sqs_queue *queue)
{
    for (size_t i = 0; i < QE_SQS_PARALLEL_MAX; i++) {
        if (!queue->polls[i].is_started) {
            return &queue->polls[i];
        }
    }
    return NULL;
}

static size_t count_polls(const struct qe_sqs_queue *queue)
{
    size_t count = 0;

    for (size_t i = 0; i < QE_SQS_PARALLEL_MAX; i++) {
        count += queue->polls[i].is_started ? 1 : 0;
    }
    return count;
}

/* A look without a wait has to wait for an answer: of its own question, or of one that is due. */
static bool is_in_doubt(const struct qe_sqs_queue *queue, int64_t now_mono_ms)
{
    bool in_doubt = count_polls(queue) == 0;

    for (size_t i = 0; i < QE_SQS_PARALLEL_MAX; i++) {
        const struct qe_sqs_poll *poll = &queue->polls[i];

        in_doubt =
            in_doubt || (poll->is_started && poll->due_mono_ms <= now_mono_ms + LOOK_AGAIN_MS);
    }
    return in_doubt;
}

/* The visibility timeout goes with the request: so it is known, even when somebody has just changed
 * the queue's. */
static void append_request(const struct receive *receive, struct qe_sqs_poll *poll,
                           int64_t wait_seconds)
{
    struct qe_strbuf *body = &poll->call.body;

    qe_sqs_append_queue_url(body, poll->queue);
    (void)qe_strbuf_printf(body,
                           ",\"MaxNumberOfMessages\":%zu,\"WaitTimeSeconds\":%" PRId64
                           ",\"VisibilityTimeout\":%" PRId64
                           ",\"MessageSystemAttributeNames\":[\"All\"],"
                           "\"MessageAttributeNames\":[\"All\"]",
                           poll->asked_messages, wait_seconds, poll->visibility_ms / 1000);
    if (receive->with_old_names) { /* some emulators know only this */
        (void)qe_strbuf_append_text(body, ",\"AttributeNames\":[\"All\"]");
    }
    if (poll->queue->is_fifo) { /* a call that is tried again gets the same messages */
        struct qe_random *random = &receive->sqs->work->random;

        (void)qe_strbuf_printf(body,
                               ",\"ReceiveRequestAttemptId\":\"%016" PRIx64 "%016" PRIx64 "\"",
                               qe_random_next(random), qe_random_next(random));
    }
    (void)qe_strbuf_append_char(body, '}');
}

static enum qe_sqs_tariff tariff_of(const struct qe_sqs_queue *queue)
{
    return queue->is_fifo ? QE_SQS_TARIFF_FIFO : QE_SQS_TARIFF_STANDARD;
}

static int start_poll(const struct receive *receive, size_t messages, int64_t wait_seconds,
                      struct qe_err *err)
{
    struct qe_sqs_poll *poll = free_poll(receive->queue);
    int64_t now = qe_clock_mono_ms();

    if (poll == NULL) {
        return 0;
    }
    poll->asked_messages = messages < QE_SQS_BATCH_MAX ? messages : QE_SQS_BATCH_MAX;
    poll->asked_mono_ms = now;
    poll->due_mono_ms = now + wait_seconds * 1000;
    poll->visibility_ms = receive->queue->visibility_ms;
    qe_sqs_call_init(receive->sqs, &poll->call, QE_SQS_RECEIVE_MESSAGE,
                     now + wait_seconds * 1000 + ANSWER_MS);
    qe_sqs_call_price_work(receive->sqs, &poll->call, 1, tariff_of(poll->queue));
    poll->call.is_long_poll = true;
    poll->call.context = poll;
    append_request(receive, poll, wait_seconds);
    if (qe_strbuf_error(&poll->call.body, err) != 0 ||
        qe_aws_start(receive->client, &poll->call, err) != 0) {
        return qe_err_wrap(err, "queue \"%s\"", receive->queue->name);
    }
    poll->is_started = true;
    return 0;
}

/* Every further 64 KiB that came is another request on the bill. */
static void bill_answer(const struct qe_sqs *sqs, struct qe_sqs_poll *poll)
{
    struct qe_aws_call *call = &poll->call;
    double chunks = ceil((double)call->reply_body.length_bytes / (double)QE_SQS_BILLED_CHUNK_BYTES);

    if (chunks > 1) {
        qe_sqs_call_price_work(sqs, call, chunks - 1, tariff_of(poll->queue));
        qe_api_stats_bill(sqs->stats, QE_SQS_BILLED_SQS, call->billable, call->dollars);
    }
}

static int take_answer(const struct qe_sqs *sqs, struct qe_sqs_poll *poll, struct qe_err *err)
{
    struct qe_sqs_queue *queue = poll->queue;
    int64_t now = qe_clock_mono_ms();
    size_t before = queue->held.count;
    struct qe_json *answer = NULL;
    const struct qe_sqs_span span = {
        .received_mono_ms = now,
        .margin_ms = qe_sqs_span_margin_of(poll->asked_mono_ms, now,
                                           poll->call.reply_body.length_bytes, poll->visibility_ms),
        .visibility_ms = poll->visibility_ms,
    };

    if (qe_sqs_parse(sqs, &poll->call, &answer, err) != 0) {
        return -1;
    }
    int rc = qe_sqs_messages_parse(answer, &span, &queue->held, err);

    if (rc != 0) {
        qe_sqs_count_nonsense(sqs, &poll->call, err->code);
    }
    qe_json_destroy(answer);
    queue->was_full = queue->held.count - before >= poll->asked_messages;
    return rc;
}

/* A poll is over: its messages are held, or its trouble is. */
static void finish_poll(struct qe_sqs *sqs, struct qe_sqs_poll *poll)
{
    struct qe_sqs_queue *queue = poll->queue;
    struct qe_err err = poll->call.err;

    poll->is_started = false;
    if (err.code == QE_OK) {
        bill_answer(sqs, poll);
        (void)take_answer(sqs, poll, &err);
    }
    if (err.code != QE_OK) {
        queue->was_full = false;
        queue->trouble = err;
        (void)qe_err_wrap(&queue->trouble, "queue \"%s\"", queue->name);
    }
    qe_sqs_call_shrink(&poll->call);
}

/* --- waiting --- */

static int cancelled(const struct receive *receive, struct qe_err *err)
{
    return qe_err_set(err, QE_ERR_CANCELLED, "queue \"%s\": receive was interrupted",
                      receive->queue->name);
}

static size_t ready(const struct receive *receive)
{
    return qe_sqs_hold_ready(receive->queue, receive->max, qe_clock_mono_ms());
}

/* Waits for one event. 1: something may have come, 0: the time is over, -1: interrupted. */
static int wait_for_poll(const struct receive *receive, struct qe_err *err)
{
    struct qe_aws_call *call = NULL;

    switch (qe_aws_wait(receive->client, receive->patience_mono_ms, true, &call)) {
    case QE_HTTP_REPLY:
        finish_poll(receive->sqs, call->context);
        return 1;
    case QE_HTTP_INTERRUPTED:
        return qe_sqs_take_interrupt(receive->sqs) ? cancelled(receive, err) : 1;
    case QE_HTTP_IDLE:
        return 1;
    case QE_HTTP_TIME:
    default:
        return 0;
    }
}

/* Long enough for the whole deadline, or as long as SQS allows. */
static int64_t wait_seconds(const struct receive *receive)
{
    int64_t left_ms = receive->deadline_mono_ms - qe_clock_mono_ms();

    if (left_ms <= 0) {
        return 0;
    }
    return left_ms < WAIT_MAX_SECONDS * 1000 ? (left_ms + 999) / 1000 : WAIT_MAX_SECONDS;
}

/* Until at least one message can be handed out. 1: so it is, 0: the time is over, -1. */
static int wait_for_first(const struct receive *receive, struct qe_err *err)
{
    struct qe_sqs_queue *queue = receive->queue;
    bool looked = false;
    int rc = 1;

    while (rc == 1 && ready(receive) == 0) {
        if (queue->trouble.code != QE_OK) {
            *err = queue->trouble;
            queue->trouble = (struct qe_err){0};
            return -1;
        }
        bool idle = count_polls(queue) == 0;

        if (idle && looked && qe_clock_mono_ms() >= receive->deadline_mono_ms) {
            return 0;
        }
        if (idle && queue->held.count < HELD_MAX &&
            start_poll(receive, receive->max, wait_seconds(receive), err) != 0) {
            return -1;
        }
        rc = wait_for_poll(receive, err);
        looked = true;
    }
    return rc;
}

/* A full answer says that there is more: as much as is wanted is asked for at once, and not waited
 * for. An interrupt here ends the call, too; what came stays held. */
static int top_up(const struct receive *receive, struct qe_err *err)
{
    struct qe_sqs_queue *queue = receive->queue;
    int rc = 1;

    while (rc == 1 && queue->was_full && count_polls(queue) == 0 && ready(receive) < receive->max &&
           queue->held.count < receive->max + HELD_MAX) {
        size_t wanted = receive->max - ready(receive);

        queue->was_full = false;
        for (; wanted > 0 && free_poll(queue) != NULL;
             wanted -= wanted < QE_SQS_BATCH_MAX ? wanted : QE_SQS_BATCH_MAX) {
            if (start_poll(receive, wanted, 0, err) != 0) {
                return 0; /* what is there is handed out first */
            }
        }
        while (rc == 1 && count_polls(queue) > 0) {
            rc = wait_for_poll(receive, err);
        }
    }
    return rc < 0 ? -1 : 0;
}

/* --- the slot --- */

static int begin(struct receive *receive, const struct qe_queue *from, struct qe_err *err)
{
    struct qe_sqs *sqs = receive->sqs;
    const struct qe_aws_endpoint *endpoint = NULL;
    int64_t now = qe_clock_mono_ms();
    int64_t ask_until = receive->deadline_mono_ms;

    if (ask_until < now + LOOK_MS) {
        ask_until = now + LOOK_MS;
    }
    receive->client = atomic_load(&sqs->poll_client);
    if (receive->client == NULL) {
        receive->client = qe_sqs_client_new(sqs, err);
        if (receive->client == NULL) {
            return -1;
        }
        atomic_store(&sqs->poll_client, receive->client);
    }
    if (qe_sqs_take_interrupt(sqs)) {
        (void)qe_err_set(err, QE_ERR_CANCELLED, "queue \"%s\": receive was interrupted",
                         from->name);
        return -1;
    }
    receive->queue = qe_sqs_queue_find_interruptible(sqs, from, ask_until, err);
    if (receive->queue == NULL ||
        qe_sqs_queue_learn(sqs, receive->queue, true, ask_until, err) != 0 ||
        qe_aws_client_endpoint(receive->client, QE_AWS_SQS, ask_until, &endpoint, err) != 0) {
        return -1;
    }
    receive->with_old_names = endpoint->is_overridden;
    now = qe_clock_mono_ms();
    receive->patience_mono_ms = receive->deadline_mono_ms;
    if (receive->deadline_mono_ms <= now) {
        receive->patience_mono_ms =
            now + (is_in_doubt(receive->queue, now) ? LOOK_MS : LOOK_AGAIN_MS);
    }
    return 0;
}

int qe_sqs_receive(void *self, const struct qe_queue *from, size_t max, int64_t deadline_mono_ms,
                   struct qe_message_list *out, struct qe_err *err)
{
    struct receive receive = {.sqs = self, .max = max, .deadline_mono_ms = deadline_mono_ms};

    if (begin(&receive, from, err) != 0) {
        if (err->code == QE_ERR_NOT_FOUND && receive.queue != NULL) {
            qe_sqs_queue_forget(self, receive.queue);
        }
        return -1;
    }
    int rc = max == 0 ? 0 : wait_for_first(&receive, err);

    if (rc == 1) {
        rc = top_up(&receive, err);
    }
    if (rc == 0) {
        rc = qe_sqs_hold_take(receive.queue, max, qe_clock_mono_ms(), out, err);
    }
    if (rc != 0 && err->code == QE_ERR_NOT_FOUND) {
        qe_sqs_queue_forget(self, receive.queue);
    }
    return rc;
}

bool qe_sqs_awaits(const void *self, const struct qe_queue *queue)
{
    const struct qe_sqs *sqs = self;
    size_t count = 0;

    for (size_t i = 0; sqs->work != NULL && i < sqs->work->queues_count; i++) {
        const struct qe_sqs_queue *own = sqs->work->queues[i];

        count += strcmp(own->name, queue->name) == 0 ? count_polls(own) : 0;
    }
    return count > 0;
}

/* --- the end --- */

struct returning {
    struct qe_sqs_queue *queue;
    size_t returned_count;
};

static void append_release(void *context, size_t item, struct qe_strbuf *out)
{
    const struct returning *returning = context;

    qe_sqs_append_visibility(out, returning->queue->held.items[item].receipt, 0);
}

static void done_release(void *context, size_t item, const struct qe_sqs_outcome *outcome)
{
    struct returning *returning = context;

    (void)item;
    returning->returned_count += outcome->answer != NULL || outcome->is_stale ? 1 : 0;
}

/* Returns how many come back only when their visibility ends. */
static size_t give_back_held(struct qe_sqs *sqs, struct qe_sqs_queue *queue,
                             int64_t deadline_mono_ms)
{
    struct returning returning = {.queue = queue};
    size_t *items = qe_calloc(queue->held.count, sizeof *items);
    struct qe_err err = {0};

    if (items == NULL) {
        return queue->held.count;
    }
    for (size_t i = 0; i < queue->held.count; i++) {
        items[i] = i;
    }
    const struct qe_sqs_batch batch = {
        .operation = QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH,
        .queue = queue,
        .items = items,
        .items_count = queue->held.count,
        .deadline_mono_ms = deadline_mono_ms,
        .context = &returning,
        .append = append_release,
        .done = done_release,
    };

    int rc = qe_sqs_batch_run(sqs, &batch, &err);

    (void)rc; /* the count tells */
    qe_free(items);
    return queue->held.count - returning.returned_count;
}

static void note_longest(struct qe_unreturned *out, int64_t until_mono_ms)
{
    int64_t left_ms = until_mono_ms - qe_clock_mono_ms();

    out->for_ms = left_ms > out->for_ms ? left_ms : out->for_ms;
}

static void end_queue(struct qe_sqs *sqs, struct qe_sqs_queue *queue, int64_t deadline_mono_ms,
                      struct qe_unreturned *out)
{
    struct qe_aws_client *client = atomic_load(&sqs->poll_client);
    struct qe_aws_call *call = NULL;

    while (client != NULL && count_polls(queue) > 0 &&
           qe_aws_wait(client, deadline_mono_ms - LOOK_MS, false, &call) == QE_HTTP_REPLY) {
        finish_poll(sqs, call->context);
    }
    for (size_t i = 0; i < QE_SQS_PARALLEL_MAX; i++) {
        const struct qe_sqs_poll *poll = &queue->polls[i];

        if (poll->is_started) { /* it may still be answered, as late as that */
            out->in_doubt += poll->asked_messages;
            note_longest(out, qe_clock_mono_ms() + poll->visibility_ms);
        }
    }
    out->count = queue->held.count > 0 ? give_back_held(sqs, queue, deadline_mono_ms) : 0;
    for (size_t i = 0; i < queue->held.count && out->count > 0; i++) {
        note_longest(out, queue->held.items[i].visible_until_mono_ms);
    }
    qe_message_list_deinit(&queue->held);
}

void qe_sqs_give_back(void *self, const struct qe_queue *queue, int64_t deadline_mono_ms,
                      struct qe_unreturned *out)
{
    struct qe_sqs *sqs = self;

    *out = (struct qe_unreturned){0};
    for (size_t i = 0; sqs->work != NULL && i < sqs->work->queues_count; i++) {
        if (strcmp(sqs->work->queues[i]->name, queue->name) == 0) {
            end_queue(sqs, sqs->work->queues[i], deadline_mono_ms, out);
        }
    }
}

void qe_sqs_receive_end(struct qe_sqs *sqs)
{
    struct qe_aws_client *client = atomic_load(&sqs->poll_client);
    int64_t until = qe_clock_mono_ms() + END_WAIT_MS;
    struct qe_aws_call *call = NULL;

    if (sqs->work == NULL) {
        return;
    }
    while (client != NULL && qe_aws_in_flight(client) > 0 &&
           qe_aws_wait(client, until, false, &call) == QE_HTTP_REPLY) {
        finish_poll(sqs, call->context);
    }
    for (size_t i = 0; i < sqs->work->queues_count; i++) {
        struct qe_sqs_queue *queue = sqs->work->queues[i];

        if (queue->held.count > 0) {
            (void)give_back_held(sqs, queue, qe_clock_mono_ms() + LOOK_MS); /* nobody is told */
        }
    }
}
