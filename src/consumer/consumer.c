#include "consumer/consumer.h"

#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/mem.h"

/* Messages fetched ahead, at most: per worker, and in all. */
#define AHEAD_PER_WORKER 25
#define AHEAD_MAX 100

static int check_options(const struct qe_consumer_options *options, struct qe_err *err)
{
    const struct qe_driver *driver = options->driver;

    if (driver->receive == NULL || driver->settle == NULL) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "driver %s cannot receive", driver->name);
    }
    if (options->workers < 1 || options->workers > QE_CONSUMER_WORKERS_MAX) {
        return qe_err_set(err, QE_ERR_INVALID, "workers must be 1 to %d", QE_CONSUMER_WORKERS_MAX);
    }
    return 0;
}

static int allocate(struct qe_consumer *consumer, struct qe_err *err)
{
    const struct qe_consumer_options *options = &consumer->options;
    size_t workers = (size_t)options->workers;
    size_t ahead = workers * AHEAD_PER_WORKER < AHEAD_MAX ? workers * AHEAD_PER_WORKER : AHEAD_MAX;

    /* The kind is not known until the driver lists the queue; what is read of it before, or where
     * listing is not allowed, holds for any kind. */
    if (qe_queue_init(&consumer->queue, options->vhost, options->queue, QE_KIND_EMBEDDED, err) !=
        0) {
        return -1;
    }
    consumer->jobs_count = workers + ahead;
    consumer->jobs = qe_calloc(consumer->jobs_count, sizeof *consumer->jobs);
    consumer->settlements = qe_calloc(consumer->jobs_count, sizeof *consumer->settlements);
    consumer->picked = qe_calloc(consumer->jobs_count, sizeof(struct qe_job *));
    consumer->workers = qe_calloc(workers, sizeof *consumer->workers);
    if (consumer->jobs == NULL || consumer->settlements == NULL || consumer->picked == NULL ||
        consumer->workers == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "consumer");
    }
    return 0;
}

static int start_threads(struct qe_consumer *consumer, struct qe_err *err)
{
    for (size_t i = 0; i < consumer->options.workers; i++) {
        struct qe_worker *worker = &consumer->workers[i];

        worker->consumer = consumer;
        worker->index = i;
        int rc = pthread_create(&worker->thread, NULL, qe_worker_main, worker);
        if (rc != 0) {
            return qe_err_set_errno(err, rc, "start worker %zu", i);
        }
        consumer->workers_started++;
    }
    int rc = pthread_create(&consumer->receiver, NULL, qe_receiver_main, consumer);
    if (rc != 0) {
        return qe_err_set_errno(err, rc, "start receiver");
    }
    consumer->receiver_started = true;
    return 0;
}

/* The gauge also tells whether another consumer of this queue lives, as during a reload, when an
 * old one drains beside its successor. */
static void show(struct qe_consumer *consumer)
{
    struct qe_consumer_stats *stats = consumer->options.stats;

    (void)atomic_fetch_add(&stats->workers, (int64_t)consumer->options.workers);
    atomic_store(&stats->active, true);
}

static void hide(struct qe_consumer *consumer)
{
    struct qe_consumer_stats *stats = consumer->options.stats;

    (void)atomic_fetch_sub(&stats->workers, (int64_t)consumer->options.workers);
    atomic_store(&stats->active, false);
    if (atomic_load(&stats->workers) > 0) {
        atomic_store(&stats->active, true);
    }
}

static int init_locks(struct qe_consumer *consumer)
{
    int rc = pthread_mutex_init(&consumer->lock, NULL);

    if (rc != 0) {
        return rc;
    }
    rc = qe_clock_cond_init(&consumer->wake);
    if (rc == 0) {
        rc = qe_clock_cond_init(&consumer->work);
        if (rc == 0) {
            return 0;
        }
        (void)pthread_cond_destroy(&consumer->wake);
    }
    (void)pthread_mutex_destroy(&consumer->lock);
    return rc;
}

static struct qe_consumer *new_with_locks(const struct qe_consumer_options *options,
                                          struct qe_err *err)
{
    struct qe_consumer *consumer = qe_calloc(1, sizeof *consumer);
    int rc;

    if (consumer == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "consumer");
        return NULL;
    }
    rc = init_locks(consumer);
    if (rc != 0) {
        (void)qe_err_set_errno(err, rc, "consumer");
        qe_free(consumer);
        return NULL;
    }
    consumer->options = *options;
    consumer->deps = (struct qe_deps){.source = options->source, .stats = options->api_stats};
    consumer->handling_mean_ms = -1;
    if (options->driver->services != NULL) {
        consumer->settle_wait_ms =
            options->settle_wait_ms > 0 ? options->settle_wait_ms : QE_SETTLE_WAIT_MS;
    }
    qe_random_init(&consumer->random, options->jitter_seed);
    return consumer;
}

struct qe_consumer *qe_consumer_new(const struct qe_consumer_options *options, struct qe_err *err)
{
    struct qe_consumer *consumer = new_with_locks(options, err);

    if (consumer == NULL) {
        options->handler->destroy(options->handler_self);
    } else {
        show(consumer);
        if (check_options(options, err) == 0 && allocate(consumer, err) == 0 &&
            start_threads(consumer, err) == 0) {
            return consumer;
        }
        qe_consumer_destroy(consumer);
    }
    (void)qe_err_wrap(err, "consumer of %s/%s", options->source, options->queue);
    return NULL;
}

void qe_consumer_stop(struct qe_consumer *consumer, int64_t deadline_mono_ms)
{
    pthread_mutex_lock(&consumer->lock);
    if (!consumer->stopping || deadline_mono_ms < consumer->stop_deadline_mono_ms) {
        consumer->stop_deadline_mono_ms = deadline_mono_ms;
    }
    consumer->stopping = true;
    if (consumer->handle != NULL) {
        consumer->receiving = false;
        consumer->options.driver->interrupt(consumer->handle);
    }
    (void)pthread_cond_signal(&consumer->wake);
    pthread_mutex_unlock(&consumer->lock);
}

void qe_consumer_join(struct qe_consumer *consumer)
{
    if (consumer->receiver_started) {
        pthread_mutex_lock(&consumer->lock);
        bool stopping = consumer->stopping;
        pthread_mutex_unlock(&consumer->lock);
        if (!stopping) {
            qe_consumer_stop(consumer, qe_clock_mono_ms());
        }
        (void)pthread_join(consumer->receiver, NULL);
        consumer->receiver_started = false;
    }
    pthread_mutex_lock(&consumer->lock);
    consumer->workers_end = true;
    (void)pthread_cond_broadcast(&consumer->work);
    pthread_mutex_unlock(&consumer->lock);
    for (size_t i = 0; i < consumer->workers_started; i++) {
        (void)pthread_join(consumer->workers[i].thread, NULL);
    }
    consumer->workers_started = 0;
}

void qe_consumer_destroy(struct qe_consumer *consumer)
{
    if (consumer == NULL) {
        return;
    }
    qe_consumer_join(consumer);
    hide(consumer);
    consumer->options.handler->destroy(consumer->options.handler_self);
    qe_queue_deinit(&consumer->queue);
    qe_message_list_deinit(&consumer->incoming);
    qe_free(consumer->jobs);
    qe_free(consumer->settlements);
    qe_free(consumer->picked);
    qe_free(consumer->workers);
    (void)pthread_cond_destroy(&consumer->work);
    (void)pthread_cond_destroy(&consumer->wake);
    (void)pthread_mutex_destroy(&consumer->lock);
    qe_free(consumer);
}
