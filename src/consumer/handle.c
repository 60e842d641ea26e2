/* The driver's handle, and what it knows of the queues that the consumer works with. */
#include <stdio.h>

#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/log.h"

/* All that opening asks, together: no claim of a running message lapses meanwhile. */
#define FIND_MS 10000
/* Where the list is another server's, which may be down, or hang: nothing is settled meanwhile. */
#define LIST_ELSEWHERE_CALL_MS 3000
/* After a list of our own that failed: the first pause, and, where it took its time, the longest.
 */
#define LIST_AGAIN_MS 30000
#define LIST_AGAIN_MAX_MS 3600000
#define LIST_LONG_MS 1000
/* After one that succeeded, so many times what it took, at least: nothing is settled meanwhile. */
#define LIST_TIMES 50
/* Where nobody else lists the source. */
#define LIST_INTERVAL_MS 300000
/* From a pause to the tend that ends it. */
#define PAUSE_TEND_MS 100
/* At a stop, for what is on its way: nothing else is done meanwhile. */
#define HALT_MS 2000

static int64_t max_ms(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* --- as the source's poller lists them --- */

/* A list that could not read a policy, this time, or how exchanges are bound, says less than the
 * one before: what was known stays. */
static void keep_known(struct qe_queue *fresh, struct qe_queue *queue)
{
    if (fresh->dead_letter_known || !queue->dead_letter_known || fresh->kind != queue->kind) {
        return;
    }
    const struct qe_queue said = *fresh;

    fresh->links = queue->links;
    fresh->links_count = queue->links_count;
    fresh->dead_letter_known = true;
    fresh->dead_letter_unroutable = queue->dead_letter_unroutable;
    fresh->delivery_known = queue->delivery_known;
    fresh->is_single_active = queue->is_single_active;
    fresh->may_refuse = queue->may_refuse;
    fresh->deliveries_most = queue->deliveries_most;
    queue->links = said.links; /* for whoever frees it */
    queue->links_count = said.links_count;
}

/* An address that works stays: a broker may have several for one queue, and drivers tell queues
 * apart by them. Without memory the queue stays as it was: -1. */
static int take_over(struct qe_queue *queue, const struct qe_queue *listed)
{
    struct qe_err ignored = {0};
    struct qe_queue copy = {0};

    if (qe_queue_copy(&copy, listed, &ignored) != 0) {
        return -1;
    }
    qe_queue_drop_consumer_links(&copy);
    keep_known(&copy, queue);
    if (queue->address[0] != '\0') {
        char *address = copy.address;

        copy.address = queue->address;
        queue->address = address;
    }
    qe_queue_deinit(queue);
    *queue = copy;
    return 0;
}

/* What was listed and is not any more may come back as another of its name: nothing of this one is
 * kept for it. */
static int take_from(const struct qe_queue_set *set, struct qe_queue *queue, bool *out_listed)
{
    const size_t index = set == NULL || queue->name == NULL
                             ? SIZE_MAX
                             : qe_queue_set_find(set, queue->vhost, queue->name);

    if (set != NULL && index == SIZE_MAX && *out_listed) {
        queue->dead_letter_known = false;
    }
    *out_listed = index != SIZE_MAX;
    return index == SIZE_MAX ? 0 : take_over(queue, &set->items[index]);
}

/* True: something is left that only a question of our own can tell. Where the poller could not list
 * the source elsewhere, neither could we. */
static bool heed(struct qe_consumer *consumer)
{
    uint64_t version = 0;
    struct qe_queue_set *set = qe_directory_get(consumer->options.directory, &version);
    const bool has_set = set != NULL;
    const int rc = take_from(set, &consumer->queue, &consumer->queue_is_listed);

    if (take_from(set, &consumer->letters, &consumer->letters_are_listed) == 0 && rc == 0) {
        consumer->directory_version = version; /* else again with the next step */
    }
    qe_queue_set_release(set);
    return has_set ? !consumer->queue_is_listed ||
                         (consumer->letters.name != NULL && !consumer->letters_are_listed)
                   : !consumer->options.driver->lists_elsewhere;
}

void qe_handle_heed(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    const struct qe_directory *directory = consumer->options.directory;

    if (directory == NULL || qe_directory_version(directory) == consumer->directory_version) {
        return;
    }
    if (!heed(consumer)) {
        consumer->find_mono_ms = INT64_MAX;
    } else if (consumer->find_mono_ms == INT64_MAX && consumer->options.driver->lists_elsewhere) {
        consumer->find_mono_ms = now_mono_ms;
    }
}

bool qe_handle_awaits_list(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    const struct qe_directory *directory = consumer->options.directory;

    if (directory == NULL || !consumer->options.driver->lists_elsewhere ||
        qe_directory_version(directory) > 0) {
        return false;
    }
    if (consumer->patience_mono_ms == 0) {
        consumer->patience_mono_ms = now_mono_ms + LIST_ELSEWHERE_CALL_MS;
    }
    return now_mono_ms < consumer->patience_mono_ms;
}

/* --- as we ask for them ourselves --- */

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

static int take_listed(const struct qe_queue_list *list, struct qe_queue *queue, struct qe_err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        if (qe_queue_compare(&list->items[i], queue) == 0) {
            return take_over(queue, &list->items[i]) == 0
                       ? 0
                       : qe_err_set(err, QE_ERR_NOMEM, "queue %s", queue->name);
        }
    }
    return 0;
}

static int list_for_both(struct qe_consumer *consumer, int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_driver *driver = consumer->options.driver;
    struct qe_queue_list list = {0};

    if (driver->list == NULL) {
        return 0;
    }
    int rc = driver->list(consumer->handle, deadline_mono_ms, &list, err);

    if (rc == 0 && !consumer->queue_is_listed) {
        rc = take_listed(&list, &consumer->queue, err);
    }
    if (rc == 0 && consumer->letters.name != NULL && !consumer->letters_are_listed) {
        rc = take_listed(&list, &consumer->letters, err);
    }
    qe_queue_list_deinit(&list);
    return rc == 0 ? 0 : qe_err_wrap(err, "list");
}

int64_t qe_handle_list_pause_ms(int64_t before_ms, int64_t took_ms)
{
    if (took_ms < LIST_LONG_MS || before_ms < LIST_AGAIN_MS) {
        return LIST_AGAIN_MS;
    }
    return before_ms < LIST_AGAIN_MAX_MS / 2 ? 2 * before_ms : LIST_AGAIN_MAX_MS;
}

/* A list elsewhere keeps nobody from working: it is asked for again, after growing pauses where it
 * hangs. The queue's own server is asked again by the driver, when it has to know. */
static int list_elsewhere(struct qe_consumer *consumer, int64_t deadline_mono_ms,
                          struct qe_err *err)
{
    const int64_t began = qe_clock_mono_ms();
    const int64_t soon = began + LIST_ELSEWHERE_CALL_MS;
    const int64_t interval_ms = consumer->options.directory == NULL
                                    ? 0
                                    : qe_directory_interval_ms(consumer->options.directory);
    const int rc = list_for_both(consumer, soon < deadline_mono_ms ? soon : deadline_mono_ms, err);
    const int64_t now = qe_clock_mono_ms();

    if (rc == 0) {
        consumer->find_pause_ms = 0;
        consumer->find_mono_ms = now + max_ms(interval_ms > 0 ? interval_ms : LIST_INTERVAL_MS,
                                              LIST_TIMES * (now - began));
        return 0;
    }
    if (err->code == QE_ERR_CANCELLED) {
        consumer->find_mono_ms = now;
        return -1;
    }
    consumer->find_pause_ms = qe_handle_list_pause_ms(consumer->find_pause_ms, now - began);
    consumer->find_mono_ms = now + consumer->find_pause_ms;
    return 0;
}

/* What is listed tells more than the name (an address, the kind). A queue that is not listed, or
 * that we may not list, is asked for by name all the same, and the driver says what is wrong. */
static int ask(struct qe_consumer *consumer, struct qe_err *err)
{
    const int64_t deadline = qe_clock_mono_ms() + FIND_MS;
    int rc = consumer->queue_is_listed ? 0 : find_alone(consumer, &consumer->queue, deadline, err);

    if (rc >= 0 && consumer->letters.name != NULL && !consumer->letters_are_listed) {
        const int letters = find_alone(consumer, &consumer->letters, deadline, err);

        rc = letters < 0 ? -1 : rc + letters;
    }
    if (rc <= 0) {
        return rc;
    }
    if (consumer->options.driver->lists_elsewhere) {
        return list_elsewhere(consumer, deadline, err);
    }
    return list_for_both(consumer, deadline, err) == 0 || err->code == QE_ERR_AUTH ? 0 : -1;
}

static int find_queues(struct qe_consumer *consumer, struct qe_err *err)
{
    consumer->find_mono_ms = INT64_MAX;
    return consumer->options.directory == NULL || heed(consumer) ? ask(consumer, err) : 0;
}

void qe_handle_ask(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    struct qe_err ignored = {0};

    if (consumer->handle != NULL && consumer->find_mono_ms <= now_mono_ms) {
        consumer->find_mono_ms = INT64_MAX;
        (void)!ask(consumer, &ignored);
    }
}

/* --- the handle --- */

void qe_handle_tend(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    if (consumer->handle != NULL && consumer->tend_mono_ms <= now_mono_ms) {
        consumer->tend_mono_ms = consumer->options.driver->tend(consumer->handle);
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

void qe_handle_halt(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    const struct qe_driver *driver = consumer->options.driver;

    if (driver->halt != NULL && qe_handle_pause_mono_ms(consumer) < INT64_MAX) {
        driver->halt(consumer->handle, &consumer->queue, now_mono_ms + HALT_MS);
    }
    qe_handle_pause(consumer, true, now_mono_ms);
}

void qe_handle_give_back(struct qe_consumer *consumer)
{
    const struct qe_driver *driver = consumer->options.driver;
    struct qe_unreturned left = {0};

    /* Without halt(), the handle's end does it as well. */
    if (consumer->handle == NULL || driver->halt == NULL || driver->give_back == NULL) {
        return;
    }
    driver->give_back(consumer->handle, &consumer->queue,
                      qe_settle_deadline_mono_ms(consumer, qe_clock_mono_ms()), &left);
    if (left.count > 0) {
        char count_text[24];

        (void)snprintf(count_text, sizeof count_text, "%zu", left.count);
        qe_log(QE_LOG_WARN,
               "messages that no handler saw could not be given back before the stop; the broker "
               "takes them back itself, and may count that",
               "source", consumer->options.source, "queue", consumer->options.queue, "messages",
               count_text, NULL);
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
    /* What has something in hand knows its queues, and keeps it waiting for nothing. */
    if (consumer->in_hand_count == 0 && find_queues(consumer, err) != 0) {
        qe_handle_close(consumer);
        return -1;
    }
    return 0;
}
