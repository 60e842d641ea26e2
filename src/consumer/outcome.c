/* What becomes of a message, given what its handler made of it. */
#include <inttypes.h>
#include <stdio.h>

#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/log.h"

/* A delivery that ends so soon is settled before it does, whatever a call costs. */
#define LAPSE_NEAR_MS 1000

static bool has_own_letters(const struct qe_consumer *consumer)
{
    return consumer->options.dead_letter_queue != NULL;
}

/* What was given back unhandled is no try of the message's, though most brokers count it. */
static uint32_t tries(const struct qe_consumer *consumer, const struct qe_message *message)
{
    uint32_t receives = message->receives > 0 ? message->receives : message->receives_least;
    uint32_t unhandled = qe_memory_unhandled(&consumer->memory, message->id);

    return unhandled < receives ? receives - unhandled : receives > 0 ? 1 : 0;
}

static struct qe_circumstances circumstances(const struct qe_consumer *consumer,
                                             const struct qe_job *job)
{
    const struct qe_consumer_options *options = &consumer->options;

    return (struct qe_circumstances){
        .receives = tries(consumer, &job->message),
        .max_receives = options->max_receives,
        .retry = {.initial_ms = options->retry_initial_ms, .max_ms = options->retry_max_ms},
        .can_dead_letter =
            has_own_letters(consumer) || (options->driver->caps & QE_CAP_DEAD_LETTER) != 0,
        .stopped = job->stopped};
}

void qe_outcome_lacks_dead_letter_queue(struct qe_consumer *consumer, struct qe_job *job,
                                        const struct qe_err *err)
{
    struct qe_circumstances at = circumstances(consumer, job);

    qe_consumer_log_trouble(
        consumer, &consumer->dead_letter_trouble,
        "a message belongs into a dead-letter queue and cannot be moved there; it is released with "
        "the longest backoff: give the queue a dead-letter queue",
        err);
    qe_verdict_without_dead_letter_queue(&at, &job->verdict);
    job->letter_due = false;
}

/* Our own trouble is no try of the message's: it goes back as one that no handler saw. What the
 * broker has forgotten already cannot. */
static bool is_our_trouble(const struct qe_job *job)
{
    const struct qe_handled *handled = &job->handled;

    return handled->outcome == QE_OUTCOME_RETRY && handled->reason == QE_FAIL_INTERNAL &&
           handled->label == NULL && !job->acked;
}

/* Why handling fails is what people look for first, so that now and then a failure is a warning;
 * all of them would be as many lines as messages. Our own trouble has its line already. */
static void log_failure(struct qe_consumer *consumer, const struct qe_job *job)
{
    const struct qe_handled *handled = &job->handled;
    enum qe_log_level level = QE_LOG_DEBUG;
    uint64_t unlogged = 0;
    char unlogged_text[24];

    if (!is_our_trouble(job) &&
        qe_repeat_failed(&consumer->handler_trouble, QE_ERR_IO, qe_clock_mono_ms(), &unlogged)) {
        level = QE_LOG_WARN;
    }
    (void)snprintf(unlogged_text, sizeof unlogged_text, "%" PRIu64, unlogged);
    qe_log(level, "message failed", "source", consumer->options.source, "queue",
           consumer->options.queue, "id", job->message.id, "outcome",
           qe_outcome_name(handled->outcome), "reason", qe_verdict_reason(handled), "detail",
           handled->detail, "more_since_last_line", unlogged > 0 ? unlogged_text : NULL, NULL);
}

/* A handler that was cut short because the consumer stops has not failed. */
static void count_handled(struct qe_consumer *consumer, const struct qe_job *job)
{
    struct qe_consumer_stats *stats = consumer->options.stats;
    const struct qe_handled *handled = &job->handled;

    qe_histogram_observe(&stats->handling_seconds[handled->outcome], job->handling_seconds);
    if (handled->outcome == QE_OUTCOME_SUCCESS) {
        return; /* processed counts what is also acknowledged */
    }
    struct qe_reason_stats *labelled = qe_consumer_stats_reason(stats, handled->label);

    qe_counter_add(labelled != NULL ? &labelled->failed : &stats->failed[handled->reason], 1);
    log_failure(consumer, job);
}

static void normalise(struct qe_job *job)
{
    struct qe_handled *handled = &job->handled;

    if ((unsigned)handled->outcome >= QE_OUTCOME_COUNT) {
        handled->outcome = QE_OUTCOME_RETRY;
        handled->reason = QE_FAIL_INTERNAL;
        handled->label = NULL;
        handled->retry_delay_ms = -1;
    }
    if ((unsigned)handled->reason >= QE_FAIL_COUNT) {
        handled->reason = QE_FAIL_INTERNAL;
    }
    if (job->timed_out && handled->outcome == QE_OUTCOME_RETRY &&
        handled->reason != QE_FAIL_INTERNAL) {
        handled->reason = QE_FAIL_TIMEOUT;
        handled->label = NULL;
    }
}

/* Nobody gets it again: that is what at_most_once means. */
void qe_outcome_say_lost(struct qe_consumer *consumer, const struct qe_job *job, const char *why)
{
    struct qe_err err = {0};

    (void)qe_err_set(&err, QE_ERR_CANCELLED, "message %s: %s", job->message.id, why);
    qe_consumer_log_trouble(consumer, &consumer->loss_trouble,
                            "a message that was acknowledged before it was handled is lost "
                            "(delivery: at_most_once)",
                            &err);
}

void qe_outcome_count_reply(struct qe_consumer *consumer, struct qe_job *job)
{
    job->reply_bytes = job->handled.reply.length_bytes;
    consumer->in_hand_bytes += job->reply_bytes;
    qe_room_note_reply(consumer, job->reply_bytes);
}

static void decide(struct qe_consumer *consumer, struct qe_job *job)
{
    struct qe_circumstances at = circumstances(consumer, job);
    bool cut_short = job->handled.outcome == QE_OUTCOME_RETRY && job->stopped && !job->timed_out;

    if (cut_short) {
        qe_log(QE_LOG_DEBUG, "handling cut short by the stop", "queue", consumer->options.queue,
               "id", job->message.id, NULL);
    } else {
        at.stopped = false;
        count_handled(consumer, job);
        qe_room_note_outcome(consumer, &job->handled);
    }
    if (is_our_trouble(job)) {
        qe_outcome_give_back(job, 0);
        return;
    }
    if (job->acked && has_own_letters(consumer)) {
        at.max_receives = at.receives = 1; /* there is no second try */
    }
    qe_verdict_decide(&job->handled, &at, &consumer->random, &job->verdict);
    if (job->acked && !has_own_letters(consumer) && job->verdict.verb != QE_SETTLE_ACK) {
        /* The broker has forgotten it, and cannot move it anywhere. */
        job->verdict = (struct qe_verdict){.verb = QE_SETTLE_RELEASE};
    }
    if (job->verdict.denied) {
        struct qe_err err = {0};

        (void)qe_err_set(&err, QE_ERR_UNSUPPORTED, "driver %s cannot dead-letter",
                         consumer->options.driver->name);
        qe_outcome_lacks_dead_letter_queue(consumer, job, &err);
    }
    if (job->acked && job->verdict.verb == QE_SETTLE_RELEASE) {
        qe_outcome_say_lost(consumer, job, qe_verdict_reason(&job->handled));
    }
    job->letter_due = job->verdict.verb == QE_SETTLE_DEAD_LETTER && has_own_letters(consumer);
    job->reply_due = job->verdict.verb == QE_SETTLE_ACK && job->message.reply_to[0] != '\0' &&
                     job->handled.reply.length_bytes > 0;
    if (!cut_short && job->handled.outcome != QE_OUTCOME_SUCCESS) {
        qe_forward_note(consumer, job);
    }
}

void qe_outcome_give_back(struct qe_job *job, int64_t delay_ms)
{
    job->verdict =
        (struct qe_verdict){.verb = QE_SETTLE_RELEASE, .unhandled = true, .delay_ms = delay_ms};
    job->has_verdict = true;
    job->settle_at_mono_ms = 0;
}

void qe_outcome_refuse(struct qe_consumer *consumer, struct qe_job *job)
{
    struct qe_circumstances at = circumstances(consumer, job);
    struct qe_err err = {0};

    /* Where the last one could not be moved, this one could not either, and would never be handled.
     * At most once: none that a handler has seen comes again. */
    at.can_dead_letter = at.can_dead_letter && consumer->dead_letter_trouble.code == QE_OK &&
                         consumer->options.delivery != QE_DELIVERY_AT_MOST_ONCE;
    if (job->has_verdict || !qe_verdict_refuse(&at, &job->verdict)) {
        return;
    }
    job->has_verdict = true;
    job->is_aside = false;
    job->letter_due = has_own_letters(consumer);
    qe_forward_note(consumer, job);
    (void)qe_err_set(&err, QE_ERR_LIMIT, "message %s: %s", job->message.id, job->verdict.text);
    qe_consumer_log_trouble(consumer, &consumer->refused_trouble,
                            "a message came too often, and is dead-lettered without handling it",
                            &err);
}

/* Not what the broker waits for before it delivers the next of an ordered group, nor what is about
 * to lapse. */
static bool waits_for_others(const struct qe_consumer *consumer, const struct qe_message *message,
                             int64_t now_mono_ms)
{
    enum qe_queue_kind kind = consumer->queue.kind;
    int64_t lapse = message->visible_until_mono_ms;

    if (kind == QE_KIND_FIFO || (kind != QE_KIND_STANDARD && message->group[0] != '\0')) {
        return false;
    }
    return consumer->settle_wait_ms > 0 && (lapse == 0 || lapse - now_mono_ms > LAPSE_NEAR_MS);
}

static void schedule(struct qe_consumer *consumer, struct qe_job *job)
{
    int64_t now = qe_clock_mono_ms();

    job->in_batch = !job->acked && waits_for_others(consumer, &job->message, now);
    job->settle_at_mono_ms = job->in_batch ? now + consumer->settle_wait_ms : 0;
    consumer->batch_count += job->in_batch ? 1 : 0;
}

void qe_outcome_let_go(struct qe_consumer *consumer)
{
    bool lapses = true;
    size_t count = 0;

    pthread_mutex_lock(&consumer->lock);
    for (size_t i = 0; i < consumer->jobs_count && consumer->running_count > 0; i++) {
        if (consumer->jobs[i].state == QE_JOB_RUNNING) {
            consumer->picked[count++] = &consumer->jobs[i];
        }
    }
    pthread_mutex_unlock(&consumer->lock);
    for (size_t i = 0; i < count; i++) {
        const struct qe_job *job = consumer->picked[i];

        lapses = lapses && (job->acked || job->message.visible_until_mono_ms > 0);
        qe_hold_until_lapse(consumer, job);
    }
    if (!lapses) { /* only the end of its connection gives it to others */
        qe_handle_close(consumer);
    }
    pthread_mutex_lock(&consumer->lock);
    qe_turns_pass(consumer->options.turns, &consumer->turn, consumer->order);
    pthread_mutex_unlock(&consumer->lock);
}

void qe_outcome_collect(struct qe_consumer *consumer)
{
    size_t count = 0;

    pthread_mutex_lock(&consumer->lock);
    for (size_t i = 0; i < consumer->jobs_count && consumer->done_count > 0; i++) {
        if (consumer->jobs[i].state == QE_JOB_DONE) {
            consumer->jobs[i].state = QE_JOB_SETTLING;
            consumer->picked[count++] = &consumer->jobs[i];
            consumer->done_count--;
        }
    }
    qe_job_sort(consumer, count);
    pthread_mutex_unlock(&consumer->lock);
    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        if (job->skipped) {
            qe_outcome_give_back(job, 0);
            qe_hold_group(consumer, job);
            continue;
        }
        normalise(job);
        qe_outcome_count_reply(consumer, job);
        decide(consumer, job);
        qe_hold_group(consumer, job);
        schedule(consumer, job);
    }
}
