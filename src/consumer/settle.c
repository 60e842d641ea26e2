/* Telling the broker what is decided, in the order in which it was. */
#include <stdio.h>
#include <stdlib.h>

#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

#define CALL_LEAST_MS 100
#define SETTLE_ATTEMPTS_MAX 6
#define SETTLE_RETRY_FIRST_MS 50
/* Letters and replies go out one by one, each confirmed: no more of them until what runs has been
 * extended. */
#define FORWARD_TURN_MS 500

void qe_job_leave(struct qe_consumer *consumer, struct qe_job *job, enum qe_job_state state)
{
    job->number = ++consumer->numbers;
    job->state = state;
}

static int by_number(const void *a, const void *b)
{
    const struct qe_job *const *first = a;
    const struct qe_job *const *second = b;

    return ((*first)->number > (*second)->number) - ((*first)->number < (*second)->number);
}

void qe_job_sort(struct qe_consumer *consumer, size_t count)
{
    qsort(consumer->picked, count, sizeof(struct qe_job *), by_number);
}

static void forget(struct qe_consumer *consumer, struct qe_job *job)
{
    qe_intake_note_gone(consumer, &job->message);
    consumer->in_hand_count--;
    consumer->in_hand_bytes -= job->message.body_bytes + job->reply_bytes;
    job->reply_bytes = 0;
    (void)atomic_fetch_sub(&consumer->options.stats->in_progress, 1);
    qe_free(job->key);
    job->key = NULL;
    qe_attributes_deinit(&job->notes);
    qe_strbuf_deinit(&job->handled.reply);
    pthread_mutex_lock(&consumer->lock);
    qe_line_leave_group(consumer, job);
    job->group = NULL;
    job->state = QE_JOB_FREE;
    pthread_mutex_unlock(&consumer->lock);
    qe_message_deinit(&job->message);
}

static void count_settled(struct qe_consumer *consumer, const struct qe_job *job)
{
    struct qe_consumer_stats *stats = consumer->options.stats;
    struct qe_reason_stats *labelled = NULL;

    switch (job->verdict.verb) {
    case QE_SETTLE_ACK:
        qe_counter_add(job->duplicate ? &stats->duplicates_skipped : &stats->processed, 1);
        if (!job->duplicate) {
            atomic_store(&stats->last_success_unix_ms, qe_clock_unix_ms());
        }
        break;
    case QE_SETTLE_RELEASE:
        qe_counter_add(&stats->released, job->acked ? 0 : 1); /* that one is lost */
        break;
    case QE_SETTLE_DEAD_LETTER:
    default:
        labelled = qe_consumer_stats_reason(stats, job->verdict.label);
        qe_counter_add(labelled != NULL ? &labelled->dead_lettered
                                        : &stats->dead_lettered[job->verdict.reason],
                       1);
        (void)qe_repeat_ended(&consumer->dead_letter_trouble);
        break;
    }
}

/* At most once: the broker has forgotten it, so the handler may see it. */
static void put_in_line(struct qe_consumer *consumer, struct qe_job *job)
{
    job->ack_first = false;
    job->acked = true;
    job->extend_at_mono_ms = INT64_MAX;
    job->give_back_mono_ms = INT64_MAX;
    pthread_mutex_lock(&consumer->lock);
    qe_line_put(consumer, job);
    pthread_mutex_unlock(&consumer->lock);
}

/* It is back at the broker, and is to have lost nothing by having been here. */
static void note_unhandled(struct qe_consumer *consumer, const struct qe_job *job)
{
    struct qe_err ignored = {0};

    qe_room_note_unhandled(consumer);
    if ((consumer->options.driver->caps & QE_CAP_UNRECEIVE) == 0) {
        /* Out of memory: it counts as a try, then. */
        (void)!qe_memory_add_unhandled(&consumer->memory, job->message.id, &ignored);
    }
}

static void settled(struct qe_consumer *consumer, struct qe_job *job)
{
    qe_consumer_log_recovery(consumer, &consumer->settle_trouble, "settling works again");
    if (job->ack_first) {
        put_in_line(consumer, job);
        return;
    }
    if (job->is_holding) {
        qe_hold_next(consumer, job);
    }
    if (job->verdict.verb != QE_SETTLE_RELEASE) {
        qe_memory_forget(&consumer->memory, job->message.id);
    } else if (job->verdict.unhandled) {
        note_unhandled(consumer, job);
    }
    if (job->acked && job->verdict.unhandled) {
        qe_outcome_say_lost(consumer, job, "the consumer stopped before a worker was free");
    }
    count_settled(consumer, job);
    forget(consumer, job);
}

/* Its letter or reply cannot be sent, and where a delivery never lapses, nothing else would bring
 * the message back before the connection ends. */
static void release_instead(struct qe_consumer *consumer, struct qe_job *job)
{
    job->verdict =
        (struct qe_verdict){.verb = QE_SETTLE_RELEASE, .delay_ms = consumer->options.retry_max_ms};
    job->letter_due = job->reply_due = job->ack_first = false;
    job->settle_attempts = 0;
    job->settle_at_mono_ms = 0;
    qe_hold_group(consumer, job);
}

/* Waited too long for a worker, and cannot go back to others now. Its claim, and its place in its
 * group, were given up with it. */
static bool may_wait_again(const struct qe_consumer *consumer, const struct qe_job *job)
{
    return job->verdict.verb == QE_SETTLE_RELEASE && job->verdict.unhandled &&
           job->verdict.delay_ms == 0 && job->started_mono_ms == 0 && !job->acked &&
           job->message.visible_until_mono_ms == 0 && job->group == NULL && job->key == NULL &&
           !consumer->stopping;
}

/* Kept here for nothing, it would only take the place of one that a worker could have. */
static bool wait_again(struct qe_consumer *consumer, struct qe_job *job, const struct qe_err *err)
{
    pthread_mutex_lock(&consumer->lock);
    const bool may = may_wait_again(consumer, job);

    if (may) {
        job->verdict = (struct qe_verdict){0};
        job->has_verdict = false;
        job->settle_attempts = 0;
        job->give_back_mono_ms =
            qe_clock_mono_ms() + QE_WAIT_FOR_WORKER_MS + consumer->options.batch_wait_ms;
        qe_line_put(consumer, job);
    }
    pthread_mutex_unlock(&consumer->lock);
    if (may) {
        qe_log(QE_LOG_DEBUG, "cannot be given back now, and waits for a worker again", "source",
               consumer->options.source, "queue", consumer->options.queue, "id", job->message.id,
               "error", err->message, NULL);
    }
    return may;
}

/* Tried again while the receipt is good; after that the visibility timeout brings it back. */
static void settle_failed(struct qe_consumer *consumer, struct qe_job *job,
                          const struct qe_err *err)
{
    int64_t now = qe_clock_mono_ms();
    int64_t lapse = job->acked ? 0 : job->message.visible_until_mono_ms;

    qe_counter_add(&consumer->options.stats->settle_failures, 1);
    if (job->verdict.verb == QE_SETTLE_DEAD_LETTER && !job->acked &&
        qe_verdict_lacks_dead_letter_queue(err->code)) {
        qe_outcome_lacks_dead_letter_queue(consumer, job, err);
        qe_hold_group(consumer, job);
        job->settle_at_mono_ms = 0;
        return;
    }
    if (wait_again(consumer, job, err)) {
        return;
    }
    qe_consumer_log_trouble(consumer, &consumer->settle_trouble,
                            "settling failed; a message not settled is delivered again", err);
    job->settle_attempts++;
    job->settle_at_mono_ms = now + ((int64_t)SETTLE_RETRY_FIRST_MS << job->settle_attempts);
    if (job->settle_attempts >= SETTLE_ATTEMPTS_MAX ||
        (lapse > 0 && job->settle_at_mono_ms >= lapse)) {
        if (!job->acked && lapse == 0) {
            if (job->verdict.verb != QE_SETTLE_RELEASE) {
                release_instead(consumer, job);
            } else {
                job->settle_attempts = SETTLE_ATTEMPTS_MAX - 1; /* again and again, as often */
            }
            return;
        }
        if (job->acked) {
            qe_outcome_say_lost(consumer, job, "its letter or reply could not be sent");
        }
        qe_hold_until_lapse(consumer, job);
        forget(consumer, job);
    }
}

static void heed_delay(struct qe_consumer *consumer, struct qe_job *job,
                       const struct qe_settlement *settlement)
{
    job->is_delayed = job->verdict.verb == QE_SETTLE_RELEASE && job->verdict.delay_ms > 0 &&
                      !settlement->undelayed;
    if (settlement->err.code != QE_OK) {
        qe_consumer_log_trouble(consumer, &consumer->delay_trouble,
                                "the broker takes no delays: messages wait for their next try in "
                                "this process, unsettled, and those it has no room for go back at "
                                "once",
                                &settlement->err);
    } else if (job->is_delayed) {
        qe_consumer_log_recovery(consumer, &consumer->delay_trouble, "delays work again");
    }
}

/* The queue's own limit, which the driver kept to, came before the consumer's. */
static void become_dead_letter(struct qe_consumer *consumer, struct qe_job *job)
{
    job->verdict =
        (struct qe_verdict){.verb = QE_SETTLE_DEAD_LETTER, .reason = QE_FAIL_MAX_RECEIVES};
    qe_hold_no_more(consumer, job);
}

static void take_result(struct qe_consumer *consumer, struct qe_job *job,
                        const struct qe_settlement *settlement)
{
    switch (settlement->result) {
    case QE_SETTLED:
        if (settlement->dead_lettered) {
            become_dead_letter(consumer, job);
        }
        heed_delay(consumer, job, settlement);
        settled(consumer, job);
        break;
    case QE_SETTLE_STALE:
        qe_counter_add(&consumer->options.stats->stale_settles, 1);
        qe_log(QE_LOG_DEBUG, "settled too late: the delivery had lapsed", "source",
               consumer->options.source, "queue", consumer->options.queue, "id", job->message.id,
               NULL);
        forget(consumer, job);
        break;
    case QE_SETTLE_FAILED:
    default:
        settle_failed(consumer, job, &settlement->err);
        break;
    }
}

int64_t qe_settle_deadline_mono_ms(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    int64_t deadline = now_mono_ms + QE_CONSUMER_CALL_MS;

    pthread_mutex_lock(&consumer->lock);
    if (consumer->stopping) {
        int64_t last = consumer->stop_deadline_mono_ms + QE_CONSUMER_GRACE_MS;

        deadline = last < deadline ? last : deadline;
    }
    pthread_mutex_unlock(&consumer->lock);
    /* One earnest try, however late it is. */
    return deadline > now_mono_ms + CALL_LEAST_MS ? deadline : now_mono_ms + CALL_LEAST_MS;
}

/* With the lock held. One of its group that came after it is acknowledged already, and waits for it
 * here: that one cannot go back, and would be lost. */
static bool is_awaited(const struct qe_consumer *consumer, const struct qe_job *job)
{
    for (const struct qe_job *at = consumer->line_first; at != NULL && job->group != NULL;
         at = at->next) {
        if (at->acked && at->group != NULL && at->group_hash == job->group_hash &&
            at->rank > job->rank) {
            return true;
        }
    }
    return false;
}

/* With the lock held. At most once: somebody else may have what is neither begun nor acknowledged
 * when the consumer stops. */
static void give_back_unbegun(struct qe_consumer *consumer, struct qe_job *job)
{
    if (job->ack_first && consumer->stopping && !is_awaited(consumer, job)) {
        job->ack_first = false;
        qe_hold_give_back(consumer, job, 0);
    }
}

/* Once a call is to be made, it takes along whatever waits for one. */
static size_t pick_due(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    bool with_batch = consumer->batch_count >= QE_SETTLE_BATCH;
    size_t count = 0;

    pthread_mutex_lock(&consumer->lock);
    with_batch = with_batch || consumer->stopping;
    for (size_t i = 0; i < consumer->jobs_count && !with_batch && consumer->batch_count > 0; i++) {
        const struct qe_job *job = &consumer->jobs[i];

        with_batch = job->state == QE_JOB_SETTLING && job->settle_at_mono_ms <= now_mono_ms;
    }
    for (size_t i = 0; i < consumer->jobs_count; i++) {
        struct qe_job *job = &consumer->jobs[i];

        if (job->state == QE_JOB_SETTLING &&
            (job->settle_at_mono_ms <= now_mono_ms || (with_batch && job->in_batch))) {
            consumer->picked[count++] = job;
            consumer->batch_count -= job->in_batch ? 1 : 0;
            job->in_batch = false;
        }
    }
    qe_job_sort(consumer, count);
    for (size_t i = 0; i < count; i++) {
        give_back_unbegun(consumer, consumer->picked[i]);
    }
    pthread_mutex_unlock(&consumer->lock);
    return count;
}

/* What was handled is not settled before its key is written: it would be handled again if it came
 * twice. But when that fails to the end, the outcome counts: it is better settled than handled
 * again for sure. */
static size_t finish_keys(struct qe_consumer *consumer, size_t count)
{
    struct qe_err err = {0};
    size_t kept = 0;

    if (qe_once_finish(consumer, count, &err) == 0) {
        return count;
    }
    qe_consumer_log_trouble(consumer, &consumer->once_trouble,
                            "the deduplication store does not work; what was handled is written "
                            "down when it does, or soon settled without",
                            &err);
    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];
        bool matters = job->claimed && job->verdict.verb == QE_SETTLE_ACK;
        int64_t tries = (int64_t)job->settle_attempts + 1;
        int64_t next = qe_clock_mono_ms() + SETTLE_RETRY_FIRST_MS * tries;

        if (matters && job->settle_attempts + 1 < SETTLE_ATTEMPTS_MAX &&
            next < job->claim_lapse_mono_ms) {
            job->settle_attempts++;
            job->settle_at_mono_ms = next;
            continue;
        }
        if (matters) {
            qe_consumer_log_trouble(consumer, &consumer->unwritten_trouble,
                                    "a handled message's key could not be written; a duplicate of "
                                    "it would be handled again",
                                    &err);
        }
        job->claimed = false;
        job->settle_attempts = matters ? 0 : job->settle_attempts;
        consumer->picked[kept++] = job;
    }
    return kept;
}

/* Of what the broker has forgotten already, there is nothing to tell it. */
static size_t forward_all(struct qe_consumer *consumer, size_t count, int64_t deadline_mono_ms)
{
    const int64_t until = qe_clock_mono_ms() + FORWARD_TURN_MS;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];
        struct qe_err err = {0};

        if ((job->letter_due || job->reply_due) && qe_clock_mono_ms() >= until) {
            job->settle_at_mono_ms = 0; /* the next turn's */
        } else if (qe_forward(consumer, job, deadline_mono_ms, &err) != 0) {
            settle_failed(consumer, job, &err);
        } else if (job->acked) {
            settled(consumer, job);
        } else {
            consumer->picked[kept++] = job;
        }
    }
    return kept;
}

static struct qe_settlement settlement_of(const struct qe_consumer *consumer,
                                          const struct qe_job *job)
{
    bool is_letter = job->verdict.verb == QE_SETTLE_DEAD_LETTER;
    bool is_sent = is_letter && consumer->options.dead_letter_queue != NULL;
    /* Where a driver cannot take a receive back, it may take an unhandled message for one that is
     * to be had at once: what is to come later is released like any other. */
    bool can_wait =
        job->verdict.delay_ms == 0 || (consumer->options.driver->caps & QE_CAP_UNRECEIVE) != 0;

    return (struct qe_settlement){.message = &job->message,
                                  .verb = is_sent ? QE_SETTLE_ACK : job->verdict.verb,
                                  .delay_ms = job->verdict.delay_ms,
                                  .unhandled = job->verdict.unhandled && can_wait,
                                  .reason = is_letter ? job->verdict.text : NULL,
                                  .notes = &job->notes};
}

void qe_settle_due(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    struct qe_settlement *settlements = consumer->settlements;
    struct qe_err err = {0};

    if (consumer->in_hand_count == 0 || (consumer->handle == NULL && consumer->once == NULL)) {
        return;
    }
    size_t count = pick_due(consumer, now_mono_ms);
    int64_t deadline_mono_ms = count > 0 ? qe_settle_deadline_mono_ms(consumer, now_mono_ms) : 0;

    count = finish_keys(consumer, count);
    if (consumer->handle == NULL) {
        return; /* what was handled is known, however long the broker is away */
    }
    count = forward_all(consumer, count, deadline_mono_ms);
    if (count == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        settlements[i] = settlement_of(consumer, consumer->picked[i]);
    }
    bool failed = consumer->options.driver->settle(consumer->handle, &consumer->queue, settlements,
                                                   count, deadline_mono_ms, &err) != 0;
    for (size_t i = 0; i < count; i++) {
        if (failed) {
            settlements[i].result = QE_SETTLE_FAILED;
            settlements[i].err = err;
        }
        take_result(consumer, consumer->picked[i], &settlements[i]);
    }
}

void qe_settle_abandon(struct qe_consumer *consumer)
{
    size_t count = 0;
    size_t back = 0;

    pthread_mutex_lock(&consumer->lock);
    for (size_t i = 0; i < consumer->jobs_count; i++) {
        if (consumer->jobs[i].state == QE_JOB_SETTLING) {
            consumer->picked[count++] = &consumer->jobs[i];
        }
    }
    pthread_mutex_unlock(&consumer->lock);
    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        consumer->batch_count -= job->in_batch ? 1 : 0;
        job->in_batch = false;
        qe_counter_add(&consumer->options.stats->settle_failures, 1);
        if (job->acked) {
            qe_outcome_say_lost(consumer, job,
                                job->letter_due  ? "its letter could not be sent before the stop"
                                : job->reply_due ? "its reply could not be sent before the stop"
                                                 : "no worker was free before the stop");
        }
        back += job->acked ? 0 : 1;
        qe_hold_until_lapse(consumer, job);
        forget(consumer, job);
    }
    if (back > 0) {
        char count_text[24];

        (void)snprintf(count_text, sizeof count_text, "%zu", back);
        qe_log(QE_LOG_WARN,
               "messages could not be settled before the stop; they are delivered again", "source",
               consumer->options.source, "queue", consumer->options.queue, "messages", count_text,
               NULL);
    }
}
