#include "consumer/consumer_internal.h"
#include "util/clock.h"

/* Weight of the newest handling time in the moving mean. */
#define MEAN_WEIGHT 0.125
/* How often a handler is seen to while nothing comes. */
#define TEND_MS 2000

/* With the lock held. The receiver comes back soon anyway, to settle a batch that has room. */
static bool joins_batch(const struct qe_consumer *consumer)
{
    return consumer->batch_open_count > 0 &&
           consumer->batch_open_count + consumer->done_count < QE_SETTLE_BATCH;
}

/* With the lock held. A receiver inside a long poll would hear of this only at its end. */
static void tell_receiver(struct qe_consumer *consumer)
{
    if (consumer->receiving && !joins_batch(consumer)) {
        consumer->receiving = false; /* one interrupt ends one call */
        consumer->options.driver->interrupt(consumer->handle);
    }
    if (!consumer->lingering || consumer->waiting_count + consumer->running_count == 0) {
        (void)pthread_cond_signal(&consumer->wake);
    }
}

static void observe_wait(struct qe_consumer *consumer, const struct qe_message *message)
{
    /* Of a redelivery the first handling began long ago; nothing says when. */
    if (message->sent_unix_ms > 0 && message->receives <= 1) {
        int64_t waited_ms = qe_clock_unix_ms() - message->sent_unix_ms;

        qe_histogram_observe(&consumer->options.stats->wait_seconds, (double)waited_ms / 1000);
    }
}

/* A batch has one deadline and one cancellation, which is its first message's: the receiver cancels
 * all of them together. */
static void handle(struct qe_worker *worker, size_t count)
{
    const struct qe_consumer_options *options = &worker->consumer->options;
    const struct qe_job *first = worker->jobs[0];
    const struct qe_handling handling = {.deadline_mono_ms = first->handling_deadline_mono_ms,
                                         .cancelled = &first->cancelled,
                                         .worker = worker->index};

    for (size_t i = 0; i < count; i++) {
        worker->messages[i] = &worker->jobs[i]->message;
        worker->handled[i] = (struct qe_handled){.outcome = QE_OUTCOME_RETRY,
                                                 .reason = QE_FAIL_INTERNAL,
                                                 .retry_delay_ms = -1,
                                                 .detail = ""};
        observe_wait(worker->consumer, worker->messages[i]);
    }
    (void)atomic_fetch_add(&options->stats->workers_busy, 1);
    options->handler->handle(options->handler_self, worker->messages, count, &handling,
                             worker->handled);
    (void)atomic_fetch_sub(&options->stats->workers_busy, 1);
}

/* With the lock held; false: the delivery lapsed while it waited, and somebody else may have it. */
static bool begin(struct qe_consumer *consumer, struct qe_job *job, int64_t now_mono_ms)
{
    int64_t longest_ms = consumer->options.max_handling_time_ms;
    int64_t lapse_mono_ms = job->message.visible_until_mono_ms;

    if (lapse_mono_ms > 0 && lapse_mono_ms <= now_mono_ms && !job->acked) {
        job->skipped = true;
        qe_job_leave(consumer, job, QE_JOB_DONE);
        consumer->running_count--;
        consumer->done_count++;
        tell_receiver(consumer);
        return false;
    }
    job->started_mono_ms = now_mono_ms;
    job->handling_deadline_mono_ms = longest_ms > 0 ? now_mono_ms + longest_ms : INT64_MAX;
    return true;
}

/* With the lock held: takes what may begin. */
static size_t take(struct qe_worker *worker, int64_t now_mono_ms)
{
    size_t taken = qe_line_take(worker->consumer, worker->jobs);
    size_t count = 0;

    for (size_t i = 0; i < taken; i++) {
        struct qe_job *job = worker->jobs[i];

        if (begin(worker->consumer, job, now_mono_ms)) {
            worker->jobs[count++] = job;
        }
    }
    return count;
}

/* With the lock held. */
static void finish(struct qe_worker *worker, size_t count, int64_t spent_us)
{
    struct qe_consumer *consumer = worker->consumer;
    double spent_ms = (double)spent_us / 1000;
    double each_ms = spent_ms / (double)count;

    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = worker->jobs[i];

        job->handled = worker->handled[i];
        job->handling_seconds = spent_ms / 1000;
        qe_job_leave(consumer, job, QE_JOB_DONE);
    }
    consumer->running_count -= count;
    consumer->done_count += count;
    if (consumer->handling_mean_ms < 0) {
        consumer->handling_mean_ms = each_ms;
    }
    consumer->handling_mean_ms += (each_ms - consumer->handling_mean_ms) * MEAN_WEIGHT;
    tell_receiver(consumer);
}

/* With the lock held, which it lets go of meanwhile. */
static void wait_for_work(struct qe_worker *worker)
{
    struct qe_consumer *consumer = worker->consumer;
    const struct qe_consumer_options *options = &consumer->options;

    if (options->handler->tend == NULL) {
        (void)pthread_cond_wait(&consumer->work, &consumer->lock);
    } else if (!qe_clock_cond_wait(&consumer->work, &consumer->lock,
                                   qe_clock_mono_ms() + TEND_MS)) {
        pthread_mutex_unlock(&consumer->lock);
        options->handler->tend(options->handler_self, worker->index);
        pthread_mutex_lock(&consumer->lock);
    }
}

void *qe_worker_main(void *argument)
{
    struct qe_worker *worker = argument;
    struct qe_consumer *consumer = worker->consumer;

    pthread_mutex_lock(&consumer->lock);
    while (!consumer->workers_end) {
        int64_t start_us = qe_clock_mono_us();
        int64_t ready_mono_ms = qe_line_ready_mono_ms(consumer);

        if (ready_mono_ms == INT64_MAX) {
            wait_for_work(worker);
            continue;
        }
        if (ready_mono_ms > start_us / 1000) { /* a batch that waits for company */
            (void)qe_clock_cond_wait(&consumer->work, &consumer->lock, ready_mono_ms);
            continue;
        }
        size_t count = take(worker, start_us / 1000);

        if (count == 0) {
            continue;
        }
        pthread_mutex_unlock(&consumer->lock);
        handle(worker, count);
        int64_t spent_us = qe_clock_mono_us() - start_us;
        pthread_mutex_lock(&consumer->lock);
        finish(worker, count, spent_us);
    }
    pthread_mutex_unlock(&consumer->lock);
    return NULL;
}
