/* What becomes of a message, given what its handler made of it. */
#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/log.h"

/* A delivery that ends so soon is settled before it does, whatever a call costs. */
#define LAPSE_NEAR_MS 1000
/* What a failed message holds comes back this much later than it: brokers are not that punctual. */
#define HOLD_BEHIND_MS 250

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
    qe_log(QE_LOG_DEBUG, "message failed", "source", consumer->options.source, "queue",
           consumer->options.queue, "id", job->message.id, "outcome",
           qe_outcome_name(handled->outcome), "reason", qe_verdict_reason(handled), "detail",
           handled->detail, NULL);
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

/* Our own trouble is no try of the message's: it goes back as one that no handler saw. What the
 * broker has forgotten already cannot. */
static bool is_our_trouble(const struct qe_job *job)
{
    const struct qe_handled *handled = &job->handled;

    return handled->outcome == QE_OUTCOME_RETRY && handled->reason == QE_FAIL_INTERNAL &&
           handled->label == NULL && !job->acked;
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

/* --- a failure holds its group --- */

/* Those of its group that are in hand and not begun go back behind it. */
static void release_group(struct qe_consumer *consumer, const struct qe_job *failed)
{
    pthread_mutex_lock(&consumer->lock);
    for (struct qe_job *job = consumer->line_first; job != NULL;) {
        struct qe_job *next = job->next;

        if (job->group_hash == failed->group_hash && job->group != NULL && !job->acked &&
            qe_line_remove(consumer, job)) {
            qe_job_leave(consumer, job, QE_JOB_SETTLING);
            qe_outcome_give_back(job, failed->verdict.delay_ms + HOLD_BEHIND_MS);
        }
        job = next;
    }
    pthread_mutex_unlock(&consumer->lock);
}

static bool holds(const struct qe_job *job)
{
    return job->group != NULL && !job->acked && job->verdict.verb == QE_SETTLE_RELEASE;
}

void qe_outcome_hold_next(struct qe_consumer *consumer, struct qe_job *job)
{
    const struct qe_driver *driver = consumer->options.driver;
    int64_t delay_ms = job->verdict.delay_ms;

    if (!holds(job)) {
        return;
    }
    delay_ms = driver->delay_ms != NULL ? driver->delay_ms(delay_ms) : delay_ms;
    const struct qe_hold hold = {.group_hash = job->group_hash,
                                 .identity = qe_line_identity(&job->message),
                                 .until_mono_ms = qe_clock_mono_ms() + delay_ms + HOLD_BEHIND_MS};

    qe_holds_add(consumer->holds, &consumer->holds_count, &hold);
    job->is_holding = true;
}

void qe_outcome_hold_group(struct qe_consumer *consumer, struct qe_job *job)
{
    qe_outcome_hold_next(consumer, job);
    if (holds(job)) {
        release_group(consumer, job);
    }
}

void qe_outcome_hold_until_lapse(struct qe_consumer *consumer, const struct qe_job *job)
{
    const int64_t now = qe_clock_mono_ms();
    const int64_t lapse = job->message.visible_until_mono_ms;

    if (job->group != NULL && !job->acked) {
        const struct qe_hold hold = {.group_hash = job->group_hash,
                                     .identity = qe_line_identity(&job->message),
                                     .until_mono_ms = (lapse > now ? lapse : now) + HOLD_BEHIND_MS};

        qe_holds_add(consumer->holds, &consumer->holds_count, &hold);
    }
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
        qe_outcome_hold_until_lapse(consumer, job);
    }
    if (!lapses) { /* only the end of its connection gives it to others */
        qe_handle_close(consumer);
    }
    qe_turns_pass(consumer->options.turns, &consumer->turn, consumer->holds, consumer->holds_count);
    consumer->holds_count = 0;
}

/* --- */

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
            qe_outcome_hold_group(consumer, job);
            continue;
        }
        normalise(job);
        decide(consumer, job);
        qe_outcome_hold_group(consumer, job);
        schedule(consumer, job);
    }
}
