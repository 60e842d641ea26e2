/* What a handle has open, and its shortest calls. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"

#define SPACES_MAX 16
#define CONSUMERS_MAX 10000
#define CLOSE_MS 500
/* A channel whose end is not answered costs the connection, and with it what others have in hand.
 */
#define CHANNEL_CLOSE_MS 2000

int qe_amqp_count(const struct qe_rmq *rmq, enum qe_rmq_amqp_operation operation, int64_t start_us,
                  int rc, const struct qe_err *err)
{
    if (rmq->stats != NULL) {
        qe_api_stats_count(rmq->stats, operation, rc == 0 ? QE_OK : err->code,
                           (double)(qe_clock_mono_us() - start_us) / 1e6);
    }
    return rc;
}

const char *qe_amqp_vhost(const struct qe_queue *queue)
{
    return queue->vhost[0] != '\0' ? queue->vhost : "/";
}

void qe_amqp_make_id(struct qe_rmq_work *work, char out[QE_AMQP_ID_BYTES])
{
    work->ids[1]++;
    (void)snprintf(out, QE_AMQP_ID_BYTES, "%016" PRIx64 "%016" PRIx64, work->ids[0], work->ids[1]);
}

/* --- life --- */

int qe_rmq_work_begin(struct qe_rmq *rmq, struct qe_err *err)
{
    struct qe_rmq_work *work = qe_calloc(1, sizeof *work);

    if (work == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "source %s", rmq->source);
    }
    rmq->work = work;
    qe_random_init(&work->random, 0);
    work->ids[0] = qe_random_next(&work->random);
    work->ids[1] = qe_random_next(&work->random);
    work->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return work->wake_fd >= 0 ? 0 : qe_err_set(err, QE_ERR_IO, "the kernel gives no eventfd");
}

static void let_acks_through(struct qe_rmq *rmq)
{
    struct qe_err ignored = {0};
    int64_t through_mono_ms = 0;

    for (size_t i = 0; i < rmq->work->consumers_count; i++) {
        const struct qe_amqp_consumer *consumer = rmq->work->consumers[i];

        if (consumer->channel.number != 0 && consumer->kind != QE_KIND_CLASSIC &&
            consumer->acked_mono_ms + QE_AMQP_ACKS_WAY_MS > through_mono_ms) {
            through_mono_ms = consumer->acked_mono_ms + QE_AMQP_ACKS_WAY_MS;
        }
    }
    while (qe_clock_mono_ms() < through_mono_ms &&
           qe_amqp_wait(rmq, NULL, false, through_mono_ms, &ignored) == 0) {
    }
}

static void destroy_space(struct qe_amqp_space *space)
{
    qe_amqp_connection_close(&space->in, CLOSE_MS);
    qe_amqp_connection_close(&space->out, CLOSE_MS);
    qe_amqp_publisher_deinit(&space->publisher);
    qe_amqp_delays_deinit(&space->delays);
    qe_free(space->vhost);
    qe_free(space);
}

void qe_rmq_work_end(struct qe_rmq *rmq)
{
    struct qe_rmq_work *work = rmq->work;

    if (work == NULL) {
        return;
    }
    let_acks_through(rmq);
    for (size_t i = 0; i < work->spaces_count; i++) {
        destroy_space(work->spaces[i]);
    }
    for (size_t i = 0; i < work->consumers_count; i++) {
        qe_amqp_consumer_destroy(work->consumers[i]);
    }
    if (work->wake_fd >= 0) {
        (void)close(work->wake_fd);
    }
    qe_free(work->spaces);
    qe_free(work->consumers);
    qe_free(work);
    rmq->work = NULL;
}

void qe_rmq_work_wake(const struct qe_rmq *rmq)
{
    const uint64_t one = 1;

    (void)!write(rmq->work->wake_fd, &one, sizeof one); /* full: it is awake */
}

/* --- spaces --- */

struct qe_amqp_space *qe_amqp_space_find(struct qe_rmq *rmq, const char *vhost, struct qe_err *err)
{
    struct qe_rmq_work *work = rmq->work;

    if (rmq->settings->amqp_url == NULL) {
        (void)qe_err_set(err, QE_ERR_UNSUPPORTED,
                         "source %s has no amqp_url: add it to work on its queues", rmq->source);
        return NULL;
    }
    for (size_t i = 0; i < work->spaces_count; i++) {
        if (strcmp(work->spaces[i]->vhost, vhost) == 0) {
            return work->spaces[i];
        }
    }
    struct qe_amqp_space *space = qe_calloc(1, sizeof *space);

    if (space == NULL || (space->vhost = qe_strdup(vhost)) == NULL ||
        qe_grow(&work->spaces, work->spaces_count, &work->spaces_capacity, SPACES_MAX,
                sizeof(struct qe_amqp_space *)) != 0) {
        if (space != NULL) {
            qe_free(space->vhost);
        }
        qe_free(space);
        (void)qe_err_set(err, work->spaces_count == SPACES_MAX ? QE_ERR_LIMIT : QE_ERR_NOMEM,
                         "virtual host %s: beside %zu others", vhost, work->spaces_count);
        return NULL;
    }
    space->in = (struct qe_amqp_connection){
        .rmq = rmq, .vhost = space->vhost, .role = "consumer", .fd = -1};
    space->out = (struct qe_amqp_connection){
        .rmq = rmq, .vhost = space->vhost, .role = "publisher", .fd = -1};
    qe_amqp_publisher_init(&space->publisher, rmq, &space->out);
    qe_amqp_delays_init(&space->delays, &space->out);
    work->spaces[work->spaces_count++] = space;
    return space;
}

/* --- consumers --- */

struct qe_amqp_consumer *qe_amqp_consumer_find(const struct qe_rmq *rmq, const char *vhost,
                                               const char *queue)
{
    const struct qe_rmq_work *work = rmq->work;

    for (size_t i = 0; i < work->consumers_count; i++) {
        if (strcmp(work->consumers[i]->queue, queue) == 0 &&
            strcmp(work->consumers[i]->vhost, vhost) == 0) {
            return work->consumers[i];
        }
    }
    return NULL;
}

struct qe_amqp_consumer *qe_amqp_consumer_get(struct qe_rmq *rmq, const char *vhost,
                                              const char *queue, struct qe_err *err)
{
    struct qe_rmq_work *work = rmq->work;
    struct qe_amqp_space *space = qe_amqp_space_find(rmq, vhost, err);
    struct qe_amqp_consumer *consumer = qe_amqp_consumer_find(rmq, vhost, queue);

    if (space == NULL || consumer != NULL) {
        return space == NULL ? NULL : consumer;
    }
    consumer = qe_amqp_consumer_new(rmq, &space->in, vhost, queue, err);
    if (consumer == NULL) {
        return NULL;
    }
    if (qe_grow(&work->consumers, work->consumers_count, &work->consumers_capacity, CONSUMERS_MAX,
                sizeof(struct qe_amqp_consumer *)) != 0) {
        qe_amqp_consumer_destroy(consumer);
        (void)qe_err_set(err, QE_ERR_NOMEM, "%zu queues", work->consumers_count);
        return NULL;
    }
    work->consumers[work->consumers_count++] = consumer;
    return consumer;
}

void qe_amqp_consumer_remove(struct qe_rmq *rmq, struct qe_amqp_consumer *consumer)
{
    struct qe_rmq_work *work = rmq->work;

    qe_amqp_channel_close(&consumer->channel, qe_clock_mono_ms() + CHANNEL_CLOSE_MS);
    for (size_t i = 0; i < work->consumers_count; i++) {
        if (work->consumers[i] == consumer) {
            work->consumers[i] = work->consumers[--work->consumers_count];
            break;
        }
    }
    qe_amqp_consumer_destroy(consumer);
}

/* --- the shortest calls --- */

static int purge(struct qe_rmq *rmq, const struct qe_queue *queue, int64_t deadline_mono_ms,
                 uint64_t *out_count, struct qe_err *err)
{
    struct qe_amqp_space *space = qe_amqp_space_find(rmq, qe_amqp_vhost(queue), err);
    amqp_queue_purge_t purge = {.queue = qe_amqp_text(queue->name)};

    if (space == NULL || qe_amqp_publisher_open(&space->publisher, deadline_mono_ms, err) != 0) {
        return -1;
    }
    if (qe_amqp_call(space->publisher.channel, AMQP_QUEUE_PURGE_METHOD, &purge, deadline_mono_ms,
                     err) != 0) {
        return qe_err_wrap(err, "queue %s", queue->name);
    }
    *out_count = space->publisher.channel->answer_count;
    return 0;
}

int qe_rmq_purge(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                 uint64_t *out_count, struct qe_err *err)
{
    struct qe_rmq *rmq = handle;
    const int64_t start_us = qe_clock_mono_us();
    struct qe_err why = {0};
    const int rc = purge(rmq, queue, deadline_mono_ms, out_count, &why);

    if (rc != 0) {
        *err = why;
    }
    return qe_amqp_count(rmq, QE_RMQ_PURGE, start_us, rc, &why);
}

static int64_t tend_consumer(struct qe_amqp_consumer *consumer)
{
    int64_t next = INT64_MAX;

    if (consumer->is_paused || consumer->must_copy) {
        next = qe_amqp_give_back_held(consumer);
        consumer->must_copy = consumer->must_copy && next < INT64_MAX;
    }
    return next;
}

int64_t qe_rmq_tend(void *handle)
{
    struct qe_rmq *rmq = handle;
    int64_t next = INT64_MAX;
    struct qe_err ignored = {0}; /* told by the call that needs the connection */

    for (size_t i = 0; i < rmq->work->spaces_count; i++) {
        (void)!qe_amqp_drain(&rmq->work->spaces[i]->in, &ignored);
        (void)!qe_amqp_drain(&rmq->work->spaces[i]->out, &ignored);
    }
    for (size_t i = 0; i < rmq->work->consumers_count; i++) {
        const int64_t due = tend_consumer(rmq->work->consumers[i]);

        next = due < next ? due : next;
    }
    const int64_t look = rmq->settings->amqp_url != NULL
                             ? qe_clock_mono_ms() + qe_amqp_look_ms(rmq->work)
                             : INT64_MAX;
    return next < look ? next : look;
}
