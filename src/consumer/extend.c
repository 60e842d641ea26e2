/* Keeping what runs: its delivery, so that nobody else gets it. */
#include <stdlib.h>

#include "consumer/consumer_internal.h"
#include "util/clock.h"

/* After a failed extension, unless the rest of the visibility is shorter still. */
#define EXTEND_RETRY_MS 1000
#define EXTEND_RETRY_LEAST_MS 20
/* One call. It may be a slow one's, and all others wait for it. */
#define EXTEND_CALL_MS 2000
/* All calls of a turn: then what else is due is done first, and the rest goes on after it. */
#define EXTEND_TURN_MS 500

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
    int64_t call_ms = left < EXTEND_CALL_MS ? left : EXTEND_CALL_MS;
    struct qe_err err = {0};

    job->extend_at_mono_ms = INT64_MAX;
    if (left <= 0) {
        return; /* lapsed: its outcome will say how the broker sees it */
    }
    if (consumer->options.driver->extend(consumer->handle, &consumer->queue, &job->message,
                                         job->visibility_ms, now + call_ms, &err) == 0) {
        qe_counter_add(&consumer->options.stats->visibility_extensions, 1);
        job->extend_at_mono_ms = halfway(qe_clock_mono_ms(), job->message.visible_until_mono_ms);
        qe_consumer_log_recovery(consumer, &consumer->extend_trouble,
                                 "visibility can be extended again");
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

static int by_lapse(const void *a, const void *b)
{
    const struct qe_job *const *first = a;
    const struct qe_job *const *second = b;
    int64_t until = (*first)->message.visible_until_mono_ms;
    int64_t other = (*second)->message.visible_until_mono_ms;

    return (until > other) - (until < other);
}

/* Those whose deliveries end first come first: what waits for the next turn can. */
void qe_extend_due(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    const int64_t until = qe_clock_mono_ms() + EXTEND_TURN_MS;
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
    qsort(consumer->picked, count, sizeof(struct qe_job *), by_lapse);
    for (size_t i = 0; i < count && (i == 0 || qe_clock_mono_ms() < until); i++) {
        extend(consumer, consumer->picked[i]);
    }
}
