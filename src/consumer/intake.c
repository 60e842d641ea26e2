/* Messages in: from what a receive brought to jobs that wait for a worker; and what is told of
 * their age. */
#include "consumer/consumer_internal.h"
#include "util/clock.h"

static int64_t min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* --- how old --- */

/* What a message's age counts from; 0 unknown. */
static int64_t age_from(const struct qe_message *message)
{
    return message->enqueued_unix_ms > 0 ? message->enqueued_unix_ms : message->sent_unix_ms;
}

/* The earlier of two times, of which 0 is none. */
static int64_t earlier(int64_t a_unix_ms, int64_t b_unix_ms)
{
    if (a_unix_ms == 0 || b_unix_ms == 0) {
        return a_unix_ms + b_unix_ms;
    }
    return min_ms(a_unix_ms, b_unix_ms);
}

/* In the order that the header of the statistics asks for. */
static void tell_receive(struct qe_consumer *consumer, int64_t oldest_unix_ms)
{
    struct qe_consumer_stats *stats = consumer->options.stats;

    atomic_store(&stats->last_receive_oldest_sent_unix_ms, oldest_unix_ms);
    atomic_store(&stats->last_receive_unix_ms, qe_clock_unix_ms());
}

void qe_intake_note_empty(struct qe_consumer *consumer)
{
    qe_counter_add(&consumer->options.stats->empty_receives, 1);
    tell_receive(consumer, 0);
}

static void tell_in_hand(struct qe_consumer *consumer)
{
    qe_turns_tell_oldest(consumer->options.turns, &consumer->turn, consumer->oldest_unix_ms,
                         consumer->options.stats);
}

/* What came is in hand now. */
static void note_received(struct qe_consumer *consumer)
{
    int64_t oldest_unix_ms = 0;

    for (size_t i = 0; i < consumer->incoming.count; i++) {
        oldest_unix_ms = earlier(oldest_unix_ms, age_from(&consumer->incoming.items[i]));
    }
    tell_receive(consumer, oldest_unix_ms);
    consumer->oldest_unix_ms = earlier(consumer->oldest_unix_ms, oldest_unix_ms);
    tell_in_hand(consumer);
}

void qe_intake_note_gone(struct qe_consumer *consumer, const struct qe_message *message)
{
    consumer->oldest_is_gone =
        consumer->oldest_is_gone || age_from(message) == consumer->oldest_unix_ms;
}

void qe_intake_tell_oldest(struct qe_consumer *consumer)
{
    int64_t oldest_unix_ms = 0;

    if (!consumer->oldest_is_gone) {
        return;
    }
    /* A job without a message is FREE, which needs no lock to see: only this thread brings and
     * takes messages. */
    for (size_t i = 0; i < consumer->jobs_count && consumer->in_hand_count > 0; i++) {
        oldest_unix_ms = earlier(oldest_unix_ms, age_from(&consumer->jobs[i].message));
    }
    consumer->oldest_is_gone = false;
    consumer->oldest_unix_ms = oldest_unix_ms;
    tell_in_hand(consumer);
}

/* --- in hand --- */

static struct qe_job *free_job(struct qe_consumer *consumer, size_t *cursor)
{
    for (; *cursor < consumer->jobs_count; (*cursor)++) {
        if (consumer->jobs[*cursor].state == QE_JOB_FREE) {
            return &consumer->jobs[(*cursor)++];
        }
    }
    return NULL;
}

static void count_received(struct qe_consumer *consumer, const struct qe_message *message)
{
    struct qe_consumer_stats *stats = consumer->options.stats;

    consumer->in_hand_count++;
    consumer->in_hand_bytes += message->body_bytes;
    (void)atomic_fetch_add(&stats->in_progress, 1);
    qe_counter_add(&stats->received, 1);
    if (message->receives > 1) {
        qe_counter_add(&stats->redeliveries, 1);
    }
    if (message->receives > 0) {
        qe_histogram_observe(&stats->receives, message->receives);
    }
}

/* What the message is kept in order with. */
static void join_group(struct qe_consumer *consumer, struct qe_job *job)
{
    const char *order_by = consumer->options.order_by;

    job->group = order_by == NULL ? NULL : qe_attributes_get(&job->message.attributes, order_by);
    job->group_hash = job->group == NULL ? 0 : qe_line_hash(job->group);
    job->name = (struct qe_order_name){0};
    job->rank = 0;
    if (job->group == NULL) {
        return;
    }
    job->name.id = qe_line_id_hash(&job->message);
    if (job->name.id == 0 || consumer->order->nameless > 0) {
        job->name.content = qe_line_content_hash(&job->message);
    }
}

static void prepare_job(struct qe_consumer *consumer, struct qe_job *job,
                        struct qe_message *message)
{
    int64_t now = qe_clock_mono_ms();
    int64_t lapse = message->visible_until_mono_ms;
    int64_t wait_ms = QE_WAIT_FOR_WORKER_MS + consumer->options.batch_wait_ms;

    job->next = NULL;
    job->message = *message;
    *message = (struct qe_message){0}; /* handed over */
    atomic_store(&job->cancelled, false);
    job->handled = (struct qe_handled){0};
    job->verdict = (struct qe_verdict){0};
    job->skipped = job->timed_out = job->stopped = job->acked = false;
    job->claimed = job->duplicate = job->has_verdict = false;
    job->ack_first = job->letter_due = job->reply_due = job->is_holding = false;
    job->follows = job->is_delayed = job->is_aside = false;
    job->key = NULL;
    job->settle_attempts = 0;
    job->settle_at_mono_ms = 0;
    job->started_mono_ms = 0;
    job->received_unix_ms = qe_clock_unix_ms();
    job->visibility_ms = lapse > 0 ? lapse - now : 0;
    job->extend_at_mono_ms = lapse > 0 ? now + job->visibility_ms / 2 : INT64_MAX;
    if (lapse > 0) {
        wait_ms = min_ms(wait_ms, job->visibility_ms / 2);
    }
    job->give_back_mono_ms = now + wait_ms;
    if (job->message.receives == 1) {
        qe_memory_reset_unhandled(&consumer->memory, job->message.id);
    }
    join_group(consumer, job);
    count_received(consumer, &job->message);
}

/* --- not to be handled yet, or not before the broker has been told --- */

/* With the lock held: what came first goes first, be it back from the broker or new. */
static void heed_all(struct qe_consumer *consumer, size_t count)
{
    size_t aside = consumer->aside_count;

    for (size_t i = 0; i < count; i++) {
        if (consumer->picked[i]->group != NULL && !consumer->picked[i]->has_verdict) {
            qe_hold_heed(consumer, consumer->picked[i], &aside);
        }
    }
}

static void put_in_order(struct qe_consumer *consumer, size_t count)
{
    const int64_t now = qe_clock_mono_ms();
    bool is_any_missing = false;

    if (consumer->options.order_by == NULL) {
        return;
    }
    pthread_mutex_lock(&consumer->lock);
    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        if (job->group != NULL) {
            job->rank = qe_order_arrive(consumer->order, job->group_hash, &job->name);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct qe_job *job = consumer->picked[i];

        is_any_missing = (job->group != NULL &&
                          qe_order_overtake(consumer->order, job->group_hash, job->rank, now)) ||
                         is_any_missing;
    }
    if (is_any_missing) {
        (void)pthread_cond_broadcast(&consumer->work);
    }
    heed_all(consumer, count);
    pthread_mutex_unlock(&consumer->lock);
}

/* One whose key somebody has holds its group as a failed one does. */
static void heed_claims(struct qe_consumer *consumer, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (consumer->picked[i]->has_verdict && consumer->picked[i]->key != NULL) {
            qe_hold_next(consumer, consumer->picked[i]);
        }
    }
    pthread_mutex_lock(&consumer->lock);
    heed_all(consumer, count);
    pthread_mutex_unlock(&consumer->lock);
}

static void ack_first(struct qe_job *job)
{
    if (!job->has_verdict) {
        job->verdict = (struct qe_verdict){.verb = QE_SETTLE_ACK};
        job->has_verdict = job->ack_first = true;
    }
}

/* Of picked[0..count): decides what becomes of those that no worker is to have now. */
static void admit(struct qe_consumer *consumer, size_t count)
{
    put_in_order(consumer, count);
    qe_once_admit(consumer, count);
    if (consumer->once != NULL) {
        heed_claims(consumer, count);
    }
    for (size_t i = 0; i < count; i++) {
        qe_outcome_refuse(consumer, consumer->picked[i]);
    }
    for (size_t i = 0; i < count && consumer->options.delivery == QE_DELIVERY_AT_MOST_ONCE; i++) {
        ack_first(consumer->picked[i]);
    }
}

/* Jobs that are not FREE may be changing state under the workers' hands: hence the lock. */
static size_t take_jobs(struct qe_consumer *consumer, size_t wanted)
{
    size_t cursor = 0;
    size_t taken = 0;

    pthread_mutex_lock(&consumer->lock);
    while (taken < wanted) {
        struct qe_job *job = free_job(consumer, &cursor);

        if (job == NULL) {
            break; /* more than was asked for: left to their visibility */
        }
        consumer->picked[taken++] = job;
    }
    pthread_mutex_unlock(&consumer->lock);
    return taken;
}

/* With the lock held. */
static void place(struct qe_consumer *consumer, struct qe_job *job)
{
    if (!job->has_verdict) {
        qe_line_put(consumer, job);
        return;
    }
    if (job->group != NULL && job->verdict.verb != QE_SETTLE_RELEASE) {
        qe_order_remove(consumer->order, job->group_hash, job->rank);
    }
    qe_job_leave(consumer, job, QE_JOB_SETTLING);
}

void qe_intake_accept(struct qe_consumer *consumer)
{
    struct qe_message_list *list = &consumer->incoming;
    size_t taken = take_jobs(consumer, list->count);
    size_t largest_bytes = 0;

    note_received(consumer);
    for (size_t i = 0; i < taken; i++) {
        size_t bytes = list->items[i].body_bytes;

        largest_bytes = bytes > largest_bytes ? bytes : largest_bytes;
        prepare_job(consumer, consumer->picked[i], &list->items[i]);
    }
    qe_room_note_received(consumer, taken, largest_bytes);
    admit(consumer, taken);
    pthread_mutex_lock(&consumer->lock);
    for (size_t i = 0; i < taken; i++) {
        place(consumer, consumer->picked[i]);
    }
    pthread_mutex_unlock(&consumer->lock);
    for (size_t i = 0; i < list->count; i++) {
        qe_message_deinit(&list->items[i]);
    }
    list->count = 0;
}
