#include "poll/poller.h"

#include "poll/round.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

/* Keeps every wait within what clocks can express. */
#define LONGEST_SLEEP_MS 3600000

/* False: asked to stop. */
static bool sleep_until(struct qe_poller *poller, int64_t until_mono_ms)
{
    pthread_mutex_lock(&poller->lock);
    for (int64_t now = qe_clock_mono_ms(); now < until_mono_ms && !poller->stopping;
         now = qe_clock_mono_ms()) {
        int64_t left_ms = until_mono_ms - now;

        (void)qe_clock_cond_wait(&poller->wake, &poller->lock,
                                 now + (left_ms < LONGEST_SLEEP_MS ? left_ms : LONGEST_SLEEP_MS));
    }
    bool stopping = poller->stopping;
    pthread_mutex_unlock(&poller->lock);
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
    pthread_mutex_lock(&poller->lock);
    poller->ended = true;
    (void)pthread_cond_broadcast(&poller->wake);
    pthread_mutex_unlock(&poller->lock);
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
    (void)pthread_cond_broadcast(&poller->wake);
    pthread_mutex_unlock(&poller->lock);
}

bool qe_poller_wait(struct qe_poller *poller, int64_t deadline_mono_ms)
{
    bool in_time = true;

    pthread_mutex_lock(&poller->lock);
    while (!poller->ended && in_time) {
        in_time = qe_clock_cond_wait(&poller->wake, &poller->lock, deadline_mono_ms);
    }
    bool ended = poller->ended;
    pthread_mutex_unlock(&poller->lock);
    return ended;
}

void qe_poller_destroy(struct qe_poller *poller)
{
    if (poller == NULL) {
        return;
    }
    qe_poller_stop(poller);
    (void)pthread_join(poller->thread, NULL);
    qe_queue_set_release(poller->set);
    qe_free(poller->failing);
    (void)pthread_cond_destroy(&poller->wake);
    (void)pthread_mutex_destroy(&poller->lock);
    qe_free(poller);
}
