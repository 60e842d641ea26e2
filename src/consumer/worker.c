#include "consumer/consumer_internal.h"
#include "util/clock.h"

/* Weight of the newest handling time in the moving mean. */
#define MEAN_WEIGHT 0.125

/* With the lock held. */
static struct qe_job *take_from_line(struct qe_consumer *consumer)
{
    struct qe_job *job = consumer->line_first;

    consumer->line_first = job->next;
    if (consumer->line_first == NULL) {
        consumer->line_last = NULL;
    }
    job->next = NULL;
    consumer->waiting_count--;
    return job;
}

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

static void handle(struct qe_worker *worker, struct qe_job *job, struct qe_handled *out)
{
    const struct qe_consumer_options *options = &worker->consumer->options;
    const struct qe_handling handling = {.deadline_mono_ms = job->handling_deadline_mono_ms,
                                         .cancelled = &job->cancelled,
                                         .worker = worker->index};
    const struct qe_message *message = &job->message;

    *out = (struct qe_handled){.outcome = QE_OUTCOME_RETRY,
                               .reason = QE_FAIL_INTERNAL,
                               .retry_delay_ms = -1,
                               .detail = ""};
    (void)atomic_fetch_add(&options->stats->workers_busy, 1);
    observe_wait(worker->consumer, message);
    options->handler->handle(options->handler_self, &message, 1, &handling, out);
    (void)atomic_fetch_sub(&options->stats->workers_busy, 1);
}

/* With the lock held; false: the delivery lapsed while it waited, and somebody else may have it. */
static bool begin(struct qe_consumer *consumer, struct qe_job *job, int64_t now_mono_ms)
{
    int64_t longest_ms = consumer->options.max_handling_time_ms;
    int64_t lapse_mono_ms = job->message.visible_until_mono_ms;

    if (lapse_mono_ms > 0 && lapse_mono_ms <= now_mono_ms) {
        job->skipped = true;
        job->state = QE_JOB_DONE;
        consumer->done_count++;
        tell_receiver(consumer);
        return false;
    }
    job->started_mono_ms = now_mono_ms;
    job->handling_deadline_mono_ms = longest_ms > 0 ? now_mono_ms + longest_ms : INT64_MAX;
    job->state = QE_JOB_RUNNING;
    consumer->running_count++;
    return true;
}

/* With the lock held. */
static void finish(struct qe_consumer *consumer, struct qe_job *job,
                   const struct qe_handled *handled, int64_t spent_us)
{
    double spent_ms = (double)spent_us / 1000;

    job->handled = *handled;
    job->handling_seconds = spent_ms / 1000;
    job->state = QE_JOB_DONE;
    consumer->running_count--;
    consumer->done_count++;
    if (consumer->handling_mean_ms < 0) {
        consumer->handling_mean_ms = spent_ms;
    }
    consumer->handling_mean_ms += (spent_ms - consumer->handling_mean_ms) * MEAN_WEIGHT;
    tell_receiver(consumer);
}

void *qe_worker_main(void *argument)
{
    struct qe_worker *worker = argument;
    struct qe_consumer *consumer = worker->consumer;

    pthread_mutex_lock(&consumer->lock);
    while (!consumer->workers_end) {
        if (consumer->line_first == NULL) {
            (void)pthread_cond_wait(&consumer->work, &consumer->lock);
            continue;
        }
        struct qe_job *job = take_from_line(consumer);
        int64_t start_us = qe_clock_mono_us();

        if (!begin(consumer, job, start_us / 1000)) {
            continue;
        }
        struct qe_handled handled;

        pthread_mutex_unlock(&consumer->lock);
        handle(worker, job, &handled);
        int64_t spent_us = qe_clock_mono_us() - start_us;
        pthread_mutex_lock(&consumer->lock);
        finish(consumer, job, &handled, spent_us);
    }
    pthread_mutex_unlock(&consumer->lock);
    return NULL;
}
