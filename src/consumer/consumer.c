#include "consumer/consumer.h"

#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

/* Messages fetched ahead, at most: per worker, and in all. */
#define AHEAD_PER_WORKER 25
#define AHEAD_MAX 100
#define MAX_IN_HAND_BYTES ((size_t)64 << 20)
/* How large a body is taken to be before one was seen. */
#define USUAL_BYTES ((size_t)256 << 10)
#define FAILURE_LOG_MS 10000

static int check_options(const struct qe_consumer_options *options, struct qe_err *err)
{
    const struct qe_driver *driver = options->driver;

    if (driver->receive == NULL || driver->settle == NULL) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "driver %s cannot receive", driver->name);
    }
    if (options->workers < 1 || options->workers > QE_CONSUMER_WORKERS_MAX) {
        return qe_err_set(err, QE_ERR_INVALID, "workers must be 1 to %d", QE_CONSUMER_WORKERS_MAX);
    }
    if (options->batch_size > 1 && !options->handler->takes_batches) {
        return qe_err_set(err, QE_ERR_INVALID, "handler %s takes one message at a time",
                          options->handler->name);
    }
    if (options->batch_size > QE_CONSUMER_BATCHES_MAX / options->workers) {
        return qe_err_set(err, QE_ERR_INVALID, "workers x batch size must be at most %d",
                          QE_CONSUMER_BATCHES_MAX);
    }
    if (options->dead_letter_queue != NULL && driver->send == NULL) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "driver %s cannot send dead letters",
                          driver->name);
    }
    return 0;
}

static int init_queues(struct qe_consumer *consumer, struct qe_err *err)
{
    const struct qe_consumer_options *options = &consumer->options;

    /* The kind is not known until the driver lists the queue; what is read of it before, or where
     * listing is not allowed, holds for any kind. */
    if (qe_queue_init(&consumer->queue, options->vhost, options->queue, QE_KIND_EMBEDDED, err) !=
        0) {
        return -1;
    }
    return options->dead_letter_queue == NULL
               ? 0
               : qe_queue_init(&consumer->letters, options->vhost, options->dead_letter_queue,
                               QE_KIND_EMBEDDED, err);
}

/* One batch's room for each worker. */
static int init_workers(struct qe_consumer *consumer)
{
    size_t count = (size_t)consumer->options.workers;
    size_t size = consumer->options.batch_size;

    consumer->workers = qe_calloc(count, sizeof *consumer->workers);
    for (size_t i = 0; consumer->workers != NULL && i < count; i++) {
        struct qe_worker *worker = &consumer->workers[i];

        worker->consumer = consumer;
        worker->index = i;
        worker->jobs = qe_calloc(size, sizeof(struct qe_job *));
        worker->messages = qe_calloc(size, sizeof(const struct qe_message *));
        worker->handled = qe_calloc(size, sizeof *worker->handled);
        if (worker->jobs == NULL || worker->messages == NULL || worker->handled == NULL) {
            return -1;
        }
    }
    return consumer->workers == NULL ? -1 : 0;
}

/* What orders groups; and a table of them that is never more than half full. */
static int init_groups(struct qe_consumer *consumer)
{
    if (consumer->options.order_by == NULL) {
        return 0;
    }
    consumer->met_count = 2;
    while (consumer->met_count <= 2 * consumer->jobs_count) {
        consumer->met_count *= 2;
    }
    consumer->met = qe_calloc(consumer->met_count, sizeof *consumer->met);
    consumer->order = qe_calloc(1, sizeof *consumer->order);
    return consumer->met == NULL || consumer->order == NULL ||
                   qe_turns_keep_order(consumer->options.turns) != 0
               ? -1
               : 0;
}

static int init_once(struct qe_consumer *consumer, struct qe_err *err)
{
    const struct qe_consumer_options *options = &consumer->options;
    struct qe_strbuf scope;

    if (options->delivery != QE_DELIVERY_EFFECTIVELY_ONCE) {
        return 0;
    }
    qe_strbuf_init(&scope, 0);
    (void)qe_strbuf_printf(&scope, "%s\n%s\n%s", options->source, options->vhost, options->queue);
    if (qe_strbuf_error(&scope, err) == 0) {
        consumer->once = qe_dedup_store_new(options->once.store, qe_strbuf_text(&scope),
                                            options->once.window_ms, err);
    }
    if (consumer->once != NULL) {
        qe_dedup_store_set_lease(consumer->once, options->once.lease_ms);
    }
    qe_strbuf_deinit(&scope);
    return consumer->once == NULL ? -1 : 0;
}

static int allocate(struct qe_consumer *consumer, struct qe_err *err)
{
    const struct qe_consumer_options *options = &consumer->options;
    size_t workers = (size_t)options->workers;
    size_t ahead = workers * AHEAD_PER_WORKER < AHEAD_MAX ? workers * AHEAD_PER_WORKER : AHEAD_MAX;

    if (init_queues(consumer, err) != 0) {
        return -1;
    }
    consumer->jobs_count = workers * options->batch_size + ahead;
    consumer->jobs = qe_calloc(consumer->jobs_count, sizeof *consumer->jobs);
    consumer->settlements = qe_calloc(consumer->jobs_count, sizeof *consumer->settlements);
    consumer->claims = qe_calloc(consumer->jobs_count, sizeof *consumer->claims);
    consumer->picked = qe_calloc(consumer->jobs_count, sizeof(struct qe_job *));
    consumer->extensions = qe_calloc(QE_EXTENSIONS_MAX, sizeof *consumer->extensions);
    if (consumer->jobs == NULL || consumer->settlements == NULL || consumer->claims == NULL ||
        consumer->picked == NULL || consumer->extensions == NULL || init_groups(consumer) != 0 ||
        init_workers(consumer) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "consumer");
    }
    return init_once(consumer, err);
}

static int start_threads(struct qe_consumer *consumer, struct qe_err *err)
{
    for (size_t i = 0; i < consumer->options.workers; i++) {
        struct qe_worker *worker = &consumer->workers[i];

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

    qe_turns_join(consumer->options.turns, &consumer->turn);
    (void)atomic_fetch_add(&stats->workers, (int64_t)consumer->options.workers);
    atomic_store(&stats->has_circuit, consumer->options.circuit_failures > 0);
    atomic_store(&stats->circuit, (int64_t)QE_CIRCUIT_CLOSED);
    atomic_store(&stats->active, true);
}

static void hide(struct qe_consumer *consumer)
{
    struct qe_consumer_stats *stats = consumer->options.stats;

    qe_turns_leave(consumer->options.turns, &consumer->turn, NULL); /* if it never began */
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

/* What was left to its default. */
static void resolve(struct qe_consumer_options *options)
{
    options->batch_size = options->batch_size > 0 ? options->batch_size : 1;
    options->max_in_hand_bytes =
        options->max_in_hand_bytes > 0 ? options->max_in_hand_bytes : MAX_IN_HAND_BYTES;
    if (options->once.lease_ms == 0) {
        options->once.lease_ms = QE_DEDUP_LEASE_MS;
    }
    if (options->order_by != NULL && options->order_by[0] == '\0') {
        options->order_by = NULL;
    }
    if (options->dead_letter_queue != NULL && options->dead_letter_queue[0] == '\0') {
        options->dead_letter_queue = NULL;
    }
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
    resolve(&consumer->options);
    if (options->directory != NULL) {
        (void)qe_directory_acquire(options->directory);
    }
    consumer->deps = (struct qe_deps){.source = options->source, .stats = options->api_stats};
    consumer->handling_mean_ms = -1;
    if (options->driver->services != NULL) {
        consumer->settle_wait_ms =
            options->settle_wait_ms > 0 ? options->settle_wait_ms : QE_SETTLE_WAIT_MS;
    }
    consumer->usual_bytes = USUAL_BYTES;
    consumer->breaker = (struct qe_breaker){.failures_max = options->circuit_failures,
                                            .pause_ms = options->circuit_pause_ms};
    qe_bucket_init(&consumer->bucket, options->messages_per_second, qe_clock_mono_ms());
    consumer->handler_trouble.interval_ms = FAILURE_LOG_MS;
    qe_random_init(&consumer->random, options->jitter_seed);
    return consumer;
}

static void warn_at_most_once(const struct qe_consumer_options *options)
{
    if (options->delivery == QE_DELIVERY_AT_MOST_ONCE) {
        qe_log(QE_LOG_WARN,
               "delivery: at_most_once: every message is acknowledged before it is handled, and "
               "what fails or is cut short is lost",
               "source", options->source, "queue", options->queue, NULL);
    }
}

struct qe_consumer *qe_consumer_new(const struct qe_consumer_options *options, struct qe_err *err)
{
    struct qe_consumer *consumer = new_with_locks(options, err);

    if (consumer == NULL) {
        options->handler->destroy(options->handler_self);
    } else {
        show(consumer);
        if (check_options(&consumer->options, err) == 0 && allocate(consumer, err) == 0 &&
            start_threads(consumer, err) == 0) {
            warn_at_most_once(&consumer->options);
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
    qe_dedup_store_destroy(consumer->once);
    qe_memory_deinit(&consumer->memory);
    qe_queue_deinit(&consumer->queue);
    qe_queue_deinit(&consumer->letters);
    qe_directory_release(consumer->options.directory);
    qe_message_list_deinit(&consumer->incoming);
    qe_free(consumer->jobs);
    qe_free(consumer->settlements);
    qe_free(consumer->claims);
    qe_free(consumer->picked);
    qe_free(consumer->extensions);
    qe_free(consumer->met);
    qe_free(consumer->order);
    for (size_t i = 0; consumer->workers != NULL && i < consumer->options.workers; i++) {
        qe_free(consumer->workers[i].jobs);
        qe_free(consumer->workers[i].messages);
        qe_free(consumer->workers[i].handled);
    }
    qe_free(consumer->workers);
    (void)pthread_cond_destroy(&consumer->work);
    (void)pthread_cond_destroy(&consumer->wake);
    (void)pthread_mutex_destroy(&consumer->lock);
    qe_free(consumer);
}
