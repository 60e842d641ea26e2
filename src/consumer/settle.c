#include <inttypes.h>
#include <stdio.h>

#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/log.h"

#define CALL_LEAST_MS 100
#define SETTLE_ATTEMPTS_MAX 6
#define SETTLE_RETRY_FIRST_MS 50
/* After a failed extension, unless the rest of the visibility is shorter still. */
#define EXTEND_RETRY_MS 1000
#define EXTEND_RETRY_LEAST_MS 20
/* A delivery that ends so soon is settled before it does, whatever a call costs. */
#define LAPSE_NEAR_MS 1000

void qe_consumer_log_trouble(struct qe_consumer *consumer, struct qe_repeat *repeat,
                             const char *what, const struct qe_err *err)
{
    uint64_t unlogged = 0;
    char unlogged_text[24];

    if (!qe_repeat_failed(repeat, err->code, qe_clock_mono_ms(), &unlogged)) {
        return;
    }
    (void)snprintf(unlogged_text, sizeof unlogged_text, "%" PRIu64, unlogged);
    qe_log(QE_LOG_WARN, what, "source", consumer->options.source, "queue", consumer->options.queue,
           "reason", qe_err_code_name(err->code), "error", err->message, "more_since_last_line",
           unlogged > 0 ? unlogged_text : NULL, NULL);
}

static void log_recovery(struct qe_consumer *consumer, struct qe_repeat *repeat, const char *what)
{
    if (qe_repeat_ended(repeat)) {
        qe_log(QE_LOG_INFO, what, "source", consumer->options.source, "queue",
               consumer->options.queue, NULL);
    }
}

static struct qe_circumstances circumstances(const struct qe_consumer *consumer,
                                             const struct qe_job *job)
{
    const struct qe_consumer_options *options = &consumer->options;

    return (struct qe_circumstances){
        .receives = job->message.receives,
        .max_receives = options->max_receives,
        .retry = {.initial_ms = options->retry_initial_ms, .max_ms = options->retry_max_ms},
        .can_dead_letter = (options->driver->caps & QE_CAP_DEAD_LETTER) != 0,
        .stopped = job->stopped};
}

static void warn_no_dead_letter_queue(struct qe_consumer *consumer, const struct qe_err *err)
{
    qe_consumer_log_trouble(
        consumer, &consumer->dead_letter_trouble,
        "a message belongs into a dead-letter queue and cannot be moved there; it is released with "
        "the longest backoff: give the queue a dead-letter queue",
        err);
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
    if (job->timed_out && handled->outcome == QE_OUTCOME_RETRY) {
        handled->reason = QE_FAIL_TIMEOUT;
        handled->label = NULL;
    }
}

static void decide(struct qe_consumer *consumer, struct qe_job *job)
{
    struct qe_circumstances at = circumstances(consumer, job);

    normalise(job);
    if (job->handled.outcome == QE_OUTCOME_RETRY && job->stopped && !job->timed_out) {
        qe_log(QE_LOG_DEBUG, "handling cut short by the stop", "queue", consumer->options.queue,
               "id", job->message.id, NULL);
    } else {
        at.stopped = false;
        count_handled(consumer, job);
    }
    qe_verdict_decide(&job->handled, &at, &consumer->random, &job->verdict);
    if (job->verdict.denied) {
        struct qe_err err = {0};

        (void)qe_err_set(&err, QE_ERR_UNSUPPORTED, "driver %s cannot dead-letter",
                         consumer->options.driver->name);
        warn_no_dead_letter_queue(consumer, &err);
    }
}

void qe_settle_give_back(struct qe_consumer *consumer, struct qe_job *job)
{
    (void)consumer;
    job->verdict = (struct qe_verdict){.verb = QE_SETTLE_RELEASE, .unhandled = true};
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

    job->in_batch = waits_for_others(consumer, &job->message, now);
    job->settle_at_mono_ms = job->in_batch ? now + consumer->settle_wait_ms : 0;
    consumer->batch_count += job->in_batch ? 1 : 0;
}

void qe_settle_collect(struct qe_consumer *consumer)
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
    pthread_mutex_unlock(&consumer->lock);
    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        if (job->skipped) {
            qe_settle_give_back(consumer, job);
            continue;
        }
        decide(consumer, job);
        schedule(consumer, job);
    }
}

static void forget(struct qe_consumer *consumer, struct qe_job *job)
{
    qe_intake_note_gone(consumer, &job->message);
    consumer->in_hand_count--;
    consumer->in_hand_bytes -= job->message.body_bytes;
    (void)atomic_fetch_sub(&consumer->options.stats->in_progress, 1);
    qe_message_deinit(&job->message);
    qe_strbuf_deinit(&job->handled.reply);
    pthread_mutex_lock(&consumer->lock);
    job->state = QE_JOB_FREE;
    pthread_mutex_unlock(&consumer->lock);
}

static void count_settled(struct qe_consumer *consumer, const struct qe_job *job)
{
    struct qe_consumer_stats *stats = consumer->options.stats;
    struct qe_reason_stats *labelled = NULL;

    switch (job->verdict.verb) {
    case QE_SETTLE_ACK:
        qe_counter_add(&stats->processed, 1);
        atomic_store(&stats->last_success_unix_ms, qe_clock_unix_ms());
        break;
    case QE_SETTLE_RELEASE:
        qe_counter_add(&stats->released, 1);
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

/* Tried again while the receipt is good; after that the visibility timeout brings it back. */
static void settle_failed(struct qe_consumer *consumer, struct qe_job *job,
                          const struct qe_err *err)
{
    int64_t now = qe_clock_mono_ms();
    int64_t lapse = job->message.visible_until_mono_ms;

    qe_counter_add(&consumer->options.stats->settle_failures, 1);
    if (job->verdict.verb == QE_SETTLE_DEAD_LETTER &&
        qe_verdict_lacks_dead_letter_queue(err->code)) {
        struct qe_circumstances at = circumstances(consumer, job);

        warn_no_dead_letter_queue(consumer, err);
        qe_verdict_without_dead_letter_queue(&at, &job->verdict);
        job->settle_at_mono_ms = 0;
        return;
    }
    qe_consumer_log_trouble(consumer, &consumer->settle_trouble,
                            "settling failed; a message not settled is delivered again", err);
    job->settle_attempts++;
    job->settle_at_mono_ms = now + ((int64_t)SETTLE_RETRY_FIRST_MS << job->settle_attempts);
    if (job->settle_attempts >= SETTLE_ATTEMPTS_MAX ||
        (lapse > 0 && job->settle_at_mono_ms >= lapse)) {
        forget(consumer, job);
    }
}

static void take_result(struct qe_consumer *consumer, struct qe_job *job,
                        const struct qe_settlement *settlement)
{
    switch (settlement->result) {
    case QE_SETTLED:
        log_recovery(consumer, &consumer->settle_trouble, "settling works again");
        count_settled(consumer, job);
        forget(consumer, job);
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

/* A consumer that stops has until its deadline and a moment more. */
static int64_t call_deadline(struct qe_consumer *consumer, int64_t now_mono_ms)
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
    pthread_mutex_unlock(&consumer->lock);
    return count;
}

void qe_settle_due(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    const struct qe_driver *driver = consumer->options.driver;
    struct qe_err err = {0};

    if (consumer->handle == NULL || consumer->in_hand_count == 0) {
        return;
    }
    size_t count = pick_due(consumer, now_mono_ms);

    for (size_t i = 0; i < count; i++) {
        const struct qe_job *job = consumer->picked[i];

        consumer->settlements[i] = (struct qe_settlement){
            .message = &job->message,
            .verb = job->verdict.verb,
            .delay_ms = job->verdict.delay_ms,
            .unhandled = job->verdict.unhandled,
            .reason = job->verdict.verb == QE_SETTLE_DEAD_LETTER ? job->verdict.text : NULL};
    }
    if (count == 0) {
        return;
    }
    bool failed = driver->settle(consumer->handle, &consumer->queue, consumer->settlements, count,
                                 call_deadline(consumer, now_mono_ms), &err) != 0;
    for (size_t i = 0; i < count; i++) {
        if (failed) {
            consumer->settlements[i].result = QE_SETTLE_FAILED;
            consumer->settlements[i].err = err;
        }
        take_result(consumer, consumer->picked[i], &consumer->settlements[i]);
    }
}

/* Half of what is left: time enough for a second try. */
static int64_t halfway(int64_t now_mono_ms, int64_t lapse_mono_ms)
{
    return now_mono_ms + (lapse_mono_ms - now_mono_ms) / 2;
}

static void extend(struct qe_consumer *consumer, struct qe_job *job)
{
    int64_t now = qe_clock_mono_ms();
    int64_t left = job->message.visible_until_mono_ms - now;
    int64_t wait = left / 4 < EXTEND_RETRY_MS ? left / 4 : EXTEND_RETRY_MS;
    int64_t call_ms = left < QE_CONSUMER_CALL_MS ? left : QE_CONSUMER_CALL_MS;
    struct qe_err err = {0};

    job->extend_at_mono_ms = INT64_MAX;
    if (left <= 0) {
        return; /* lapsed: its outcome will say how the broker sees it */
    }
    if (consumer->options.driver->extend(consumer->handle, &consumer->queue, &job->message,
                                         job->visibility_ms, now + call_ms, &err) == 0) {
        qe_counter_add(&consumer->options.stats->visibility_extensions, 1);
        job->extend_at_mono_ms = halfway(qe_clock_mono_ms(), job->message.visible_until_mono_ms);
        log_recovery(consumer, &consumer->extend_trouble, "visibility can be extended again");
        return;
    }
    qe_consumer_log_trouble(consumer, &consumer->extend_trouble,
                            "a running message's visibility was not extended; it may be delivered "
                            "twice",
                            &err);
    if (qe_err_is_retryable(err.code) || err.code == QE_ERR_IO) {
        job->extend_at_mono_ms =
            now + (wait > EXTEND_RETRY_LEAST_MS ? wait : EXTEND_RETRY_LEAST_MS);
    }
}

void qe_settle_extend_due(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    size_t count = 0;

    if (consumer->handle == NULL || consumer->options.driver->extend == NULL) {
        return;
    }
    pthread_mutex_lock(&consumer->lock);
    for (size_t i = 0; i < consumer->jobs_count && consumer->running_count > 0; i++) {
        struct qe_job *job = &consumer->jobs[i];

        if (job->state == QE_JOB_RUNNING && !job->timed_out && !job->stopped &&
            job->extend_at_mono_ms <= now_mono_ms) {
            consumer->picked[count++] = job;
        }
    }
    pthread_mutex_unlock(&consumer->lock);
    for (size_t i = 0; i < count; i++) {
        extend(consumer, consumer->picked[i]);
    }
}

void qe_settle_abandon(struct qe_consumer *consumer)
{
    size_t count = 0;

    pthread_mutex_lock(&consumer->lock);
    for (size_t i = 0; i < consumer->jobs_count; i++) {
        if (consumer->jobs[i].state == QE_JOB_SETTLING) {
            consumer->picked[count++] = &consumer->jobs[i];
        }
    }
    pthread_mutex_unlock(&consumer->lock);
    for (size_t i = 0; i < count; i++) {
        consumer->batch_count -= consumer->picked[i]->in_batch ? 1 : 0;
        consumer->picked[i]->in_batch = false;
        forget(consumer, consumer->picked[i]);
    }
}
