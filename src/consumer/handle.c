/* The driver's handle, and what it knows of the queues that the consumer works with. */
#include "consumer/consumer_internal.h"
#include "util/clock.h"

/* All that opening asks, together: no claim of a running message lapses meanwhile. */
#define FIND_MS 10000
/* Where the list is another server's, which may be down. */
#define LIST_ELSEWHERE_CALL_MS 3000
#define LIST_AGAIN_MS 30000
/* From a pause to the tend that ends it. */
#define PAUSE_TEND_MS 100

/* Without a list of all, where the driver can: 0 done, 1 list() may say. */
static int find_alone(struct qe_consumer *consumer, struct qe_queue *queue,
                      int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_driver *driver = consumer->options.driver;
    struct qe_queue found = {0};
    struct qe_err why = {0};

    if (driver->find == NULL || queue->vhost[0] != '\0') {
        return 1;
    }
    if (driver->find(consumer->handle, queue->name, deadline_mono_ms, &found, &why) == 0) {
        qe_queue_deinit(queue);
        *queue = found;
        return 0;
    }
    if (why.code == QE_ERR_AUTH || why.code == QE_ERR_UNSUPPORTED) {
        return 1;
    }
    *err = why;
    return why.code == QE_ERR_NOT_FOUND ? 0 : -1;
}

static int find_in_list(struct qe_consumer *consumer, struct qe_queue *queue,
                        int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_driver *driver = consumer->options.driver;
    int64_t soon = qe_clock_mono_ms() + LIST_ELSEWHERE_CALL_MS;
    struct qe_queue_list list = {0};

    if (driver->list == NULL) {
        return 0;
    }
    if (driver->lists_elsewhere && soon < deadline_mono_ms) {
        deadline_mono_ms = soon;
    }
    if (driver->list(consumer->handle, deadline_mono_ms, &list, err) != 0) {
        qe_queue_list_deinit(&list);
        if (driver->lists_elsewhere && err->code != QE_ERR_CANCELLED) {
            consumer->find_mono_ms = qe_clock_mono_ms() + LIST_AGAIN_MS;
            return 0;
        }
        return err->code == QE_ERR_AUTH ? 0 : qe_err_wrap(err, "list");
    }
    for (size_t i = 0; i < list.count; i++) {
        if (qe_queue_compare(&list.items[i], queue) == 0) {
            struct qe_queue found = list.items[i];

            list.items[i] = *queue;
            *queue = found;
            break;
        }
    }
    qe_queue_list_deinit(&list);
    return 0;
}

/* What is listed tells more than the name (an address, the kind). A queue that is not listed, or
 * that we may not list, is asked for by name all the same, and the driver says what is wrong. */
static int find_queue(struct qe_consumer *consumer, struct qe_queue *queue,
                      int64_t deadline_mono_ms, struct qe_err *err)
{
    int rc = find_alone(consumer, queue, deadline_mono_ms, err);

    return rc <= 0 ? rc : find_in_list(consumer, queue, deadline_mono_ms, err);
}

static int find_queues(struct qe_consumer *consumer, struct qe_err *err)
{
    const int64_t deadline = qe_clock_mono_ms() + FIND_MS;

    consumer->find_mono_ms = INT64_MAX;
    return find_queue(consumer, &consumer->queue, deadline, err) == 0 &&
                   (consumer->letters.name == NULL ||
                    find_queue(consumer, &consumer->letters, deadline, err) == 0)
               ? 0
               : -1;
}

void qe_handle_tend(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    struct qe_err ignored = {0};

    if (consumer->handle == NULL) {
        return;
    }
    if (consumer->tend_mono_ms <= now_mono_ms) {
        consumer->tend_mono_ms = consumer->options.driver->tend(consumer->handle);
    }
    if (consumer->find_mono_ms <= now_mono_ms) {
        (void)!find_queues(consumer, &ignored);
    }
}

int64_t qe_handle_pause_mono_ms(const struct qe_consumer *consumer)
{
    return consumer->options.driver->pause == NULL || consumer->handle == NULL ||
                   consumer->is_paused
               ? INT64_MAX
               : consumer->received_mono_ms + QE_WAIT_FOR_WORKER_MS +
                     consumer->options.batch_wait_ms;
}

void qe_handle_pause(struct qe_consumer *consumer, bool at_once, int64_t now_mono_ms)
{
    const int64_t due_mono_ms = qe_handle_pause_mono_ms(consumer);

    if (due_mono_ms <= now_mono_ms || (at_once && due_mono_ms < INT64_MAX)) {
        consumer->options.driver->pause(consumer->handle, &consumer->queue);
        consumer->is_paused = true;
        /* By then, what waits for a worker as long has been given back. */
        consumer->tend_mono_ms = now_mono_ms + PAUSE_TEND_MS;
    }
}

void qe_handle_close(struct qe_consumer *consumer)
{
    pthread_mutex_lock(&consumer->lock);
    void *handle = consumer->handle;
    consumer->handle = NULL;
    pthread_mutex_unlock(&consumer->lock);
    consumer->options.driver->destroy(handle);
}

int qe_handle_open(struct qe_consumer *consumer, struct qe_err *err)
{
    void *handle = NULL;

    if (consumer->options.driver->create(consumer->options.driver_settings, &consumer->deps,
                                         &handle, err) != 0) {
        return -1;
    }
    pthread_mutex_lock(&consumer->lock);
    consumer->handle = handle;
    pthread_mutex_unlock(&consumer->lock);
    consumer->is_paused = true;
    consumer->tend_mono_ms = consumer->options.driver->tend != NULL ? 0 : INT64_MAX;
    if (find_queues(consumer, err) != 0) {
        qe_handle_close(consumer);
        return -1;
    }
    return 0;
}
