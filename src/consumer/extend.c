/* Keeping what runs: its delivery, so that nobody else gets it. */
#include <stdlib.h>

#include "consumer/consumer_internal.h"
#include "util/clock.h"

/* After a failed extension, unless the rest of the visibility is shorter still. */
#define EXTEND_RETRY_MS 1000
#define EXTEND_RETRY_LEAST_MS 20
/* One call. It may be a slow one's, and all others wait for it. */
#define EXTEND_CALL_MS 2000

/* Half of what is left: time enough for a second try. */
static int64_t halfway(int64_t now_mono_ms, int64_t lapse_mono_ms)
{
    return now_mono_ms + (lapse_mono_ms - now_mono_ms) / 2;
}

static void take_result(struct qe_consumer *consumer, struct qe_job *job,
                        const struct qe_err *result, int64_t now_mono_ms)
{
    int64_t wait = (job->message.visible_until_mono_ms - now_mono_ms) / 4;

    job->extend_at_mono_ms = INT64_MAX;
    if (result->code == QE_OK) {
        qe_counter_add(&consumer->options.stats->visibility_extensions, 1);
        job->extend_at_mono_ms = halfway(now_mono_ms, job->message.visible_until_mono_ms);
        qe_consumer_log_recovery(consumer, &consumer->extend_trouble,
                                 "visibility can be extended again");
        return;
    }
    qe_consumer_log_trouble(consumer, &consumer->extend_trouble,
                            "a running message's visibility was not extended; it may be delivered "
                            "twice",
                            result);
    if (qe_err_is_retryable(result->code) || result->code == QE_ERR_IO) {
        wait = wait < EXTEND_RETRY_MS ? wait : EXTEND_RETRY_MS;
        job->extend_at_mono_ms =
            now_mono_ms + (wait > EXTEND_RETRY_LEAST_MS ? wait : EXTEND_RETRY_LEAST_MS);
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

/* Of the jobs picked[0..count), those whose deliveries have not lapsed: of one that has, its
 * outcome will say how the broker sees it. */
static size_t drop_lapsed(struct qe_consumer *consumer, size_t count, int64_t now_mono_ms)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        if (job->message.visible_until_mono_ms > now_mono_ms) {
            consumer->picked[kept++] = job;
        } else {
            job->extend_at_mono_ms = INT64_MAX;
        }
    }
    return kept;
}

static void extend_all(struct qe_consumer *consumer, size_t count, int64_t now_mono_ms)
{
    struct qe_extension *extensions = consumer->extensions;
    int64_t left = consumer->picked[count - 1]->message.visible_until_mono_ms - now_mono_ms;
    struct qe_err ignored = {0}; /* each one has it */

    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        extensions[i] =
            (struct qe_extension){.message = &job->message, .by_ms = job->visibility_ms};
    }
    int rc = consumer->options.driver->extend(
        consumer->handle, &consumer->queue, extensions, count,
        now_mono_ms + (left < EXTEND_CALL_MS ? left : EXTEND_CALL_MS), &ignored);

    (void)rc;
    now_mono_ms = qe_clock_mono_ms();
    for (size_t i = 0; i < count; i++) {
        take_result(consumer, consumer->picked[i], &extensions[i].err, now_mono_ms);
    }
}

void qe_extend_due(struct qe_consumer *consumer, int64_t now_mono_ms)
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
    now_mono_ms = qe_clock_mono_ms();
    count = drop_lapsed(consumer, count, now_mono_ms);
    if (count > 0) {
        /* Those that end first, as many as one call is for; what is left is due the next time. */
        qsort(consumer->picked, count, sizeof(struct qe_job *), by_lapse);
        extend_all(consumer, count < QE_EXTENSIONS_MAX ? count : QE_EXTENSIONS_MAX, now_mono_ms);
    }
}
