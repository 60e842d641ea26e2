#include "poll/poller.h"

#include "poll/round.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

/* Should publishing without the stale samples fail (out of memory), try again after this. */
#define EXPIRE_RETRY_MS 1000
/* Keeps every wait within what clocks can express. */
#define LONGEST_SLEEP_MS 3600000

static int64_t min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Returns when the next expiry is due. */
static int64_t expire_if_due(struct qe_poller *poller, int64_t not_before_mono_ms)
{
    int64_t now = qe_clock_mono_ms();
    int64_t due = qe_slot_next_expiry_mono_ms(poller->slot);
    struct qe_err err = {0};
    uint64_t unlogged = 0;

    if (due < not_before_mono_ms) {
        due = not_before_mono_ms;
    }
    if (now < due) {
        return due;
    }
    if (qe_slot_expire(poller->slot, now, &err) == 0) {
        due = qe_slot_next_expiry_mono_ms(poller->slot);
        return due > now ? due : now + EXPIRE_RETRY_MS;
    }
    if (qe_repeat_failed(&poller->publish, err.code, now, &unlogged)) {
        qe_log(QE_LOG_ERROR, "stale samples could not be taken down", "source",
               poller->options.source, "reason", qe_err_code_name(err.code), "error", err.message,
               NULL);
    }
    return now + EXPIRE_RETRY_MS;
}

/* Sleeps until then; takes down stale samples meanwhile. False: asked to stop. */
static bool sleep_until(struct qe_poller *poller, int64_t until_mono_ms)
{
    int64_t expiry = 0;
    bool stopping = false;

    for (int64_t now = qe_clock_mono_ms(); now < until_mono_ms && !stopping;
         now = qe_clock_mono_ms()) {
        expiry = expire_if_due(poller, expiry == INT64_MAX ? 0 : expiry);
        int64_t wake = min_ms(min_ms(until_mono_ms, expiry), now + LONGEST_SLEEP_MS);

        pthread_mutex_lock(&poller->lock);
        if (!poller->stopping) {
            (void)qe_clock_cond_wait(&poller->wake, &poller->lock, wake);
        }
        stopping = poller->stopping;
        pthread_mutex_unlock(&poller->lock);
    }
    return !stopping;
}

static void *poller_main(void *argument)
{
    struct qe_poller *poller = argument;
    bool running = !qe_poll_is_stopping(poller);

    while (running) {
        qe_poll_round(poller);
        int64_t next = qe_schedule_next_ms(&poller->schedule, qe_clock_mono_ms());
        running = sleep_until(poller, next) && !qe_poll_is_stopping(poller);
    }
    qe_poll_close(poller);
    return NULL;
}

static void init_schedule(struct qe_poller *poller)
{
    struct qe_random random;

    qe_random_init(&random, poller->options.jitter_seed);
    qe_schedule_init(&poller->schedule, poller->options.poll_interval_ms, qe_random_next(&random),
                     qe_clock_mono_ms());
}

/* 0 or an errno value; on failure nothing is left to undo. */
static int start_thread(struct qe_poller *poller)
{
    int rc = pthread_mutex_init(&poller->lock, NULL);

    if (rc != 0) {
        return rc;
    }
    rc = qe_clock_cond_init(&poller->wake);
    if (rc == 0) {
        rc = pthread_create(&poller->thread, NULL, poller_main, poller);
        if (rc == 0) {
            return 0;
        }
        (void)pthread_cond_destroy(&poller->wake);
    }
    (void)pthread_mutex_destroy(&poller->lock);
    return rc;
}

struct qe_poller *qe_poller_new(const struct qe_poller_options *options, struct qe_slot *slot,
                                struct qe_err *err)
{
    struct qe_poller *poller = qe_calloc(1, sizeof *poller);

    if (poller == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "poller of source %s", options->source);
        return NULL;
    }
    poller->options = *options;
    poller->slot = slot;
    poller->deps = (struct qe_deps){.source = options->source, .stats = options->api_stats};
    init_schedule(poller);
    int rc = start_thread(poller);
    if (rc != 0) {
        (void)qe_err_set_errno(err, rc, "poller of source %s", options->source);
        qe_free(poller);
        return NULL;
    }
    return poller;
}

void qe_poller_stop(struct qe_poller *poller)
{
    pthread_mutex_lock(&poller->lock);
    poller->stopping = true;
    if (poller->handle != NULL) {
        poller->options.driver->interrupt(poller->handle);
    }
    (void)pthread_cond_signal(&poller->wake);
    pthread_mutex_unlock(&poller->lock);
}

void qe_poller_destroy(struct qe_poller *poller)
{
    if (poller == NULL) {
        return;
    }
    qe_poller_stop(poller);
    (void)pthread_join(poller->thread, NULL);
    qe_queue_set_release(poller->set);
    (void)pthread_cond_destroy(&poller->wake);
    (void)pthread_mutex_destroy(&poller->lock);
    qe_free(poller);
}
