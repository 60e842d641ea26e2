#include "poll/round.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poll/select.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

/* A handle may be beyond repair while its source is well again: open a new one every so often. */
#define FAILURES_PER_HANDLE 3
#define SKEW_LEAST_MS 2000
/* As with samples: what was listed is good for three intervals. */
#define LIST_STALE_INTERVALS 3

/* One poll's working state. */
struct round {
    struct qe_poller *poller;
    int64_t start_mono_us;
    int64_t deadline_mono_ms;
    struct qe_batch batch;  /* batch.set NULL: nothing sampled */
    bool has_readings;      /* of some queue */
    struct qe_err err;      /* why the poll failed, QE_OK: it did not */
    struct qe_err list_err; /* why its list did */
};

static void count_text(char out[24], uint64_t count)
{
    (void)snprintf(out, 24, "%" PRIu64, count);
}

bool qe_poll_is_stopping(struct qe_poller *poller)
{
    pthread_mutex_lock(&poller->lock);
    bool stopping = poller->stopping;
    pthread_mutex_unlock(&poller->lock);
    return stopping;
}

void qe_poll_close(struct qe_poller *poller)
{
    pthread_mutex_lock(&poller->lock);
    void *handle = poller->handle;
    poller->handle = NULL;
    pthread_mutex_unlock(&poller->lock);
    poller->options.driver->destroy(handle);
}

static int open_handle(struct qe_poller *poller, struct qe_err *err)
{
    void *handle = NULL;

    if (poller->handle != NULL) {
        return 0;
    }
    if (poller->options.driver->create(poller->options.driver_settings, &poller->deps, &handle,
                                       err) != 0) {
        return -1;
    }
    pthread_mutex_lock(&poller->lock);
    poller->handle = handle;
    pthread_mutex_unlock(&poller->lock);
    poller->next_list_mono_ms = 0;
    return 0;
}

static void log_dropped(const struct qe_poller *poller, size_t dropped)
{
    char dropped_text[24];
    char max_text[24];

    count_text(dropped_text, dropped);
    count_text(max_text, poller->options.max_queues);
    qe_log(dropped > 0 ? QE_LOG_WARN : QE_LOG_INFO,
           dropped > 0 ? "queues over max_queues are not watched; raise it or narrow include"
                       : "all queues fit max_queues again",
           "source", poller->options.source, "dropped", dropped_text, "max_queues", max_text, NULL);
}

/* Equal facts keep the older set, and with it whatever the renderer has prepared on it. */
static void adopt_set(struct qe_poller *poller, struct qe_queue_set *fresh)
{
    if (poller->set != NULL && qe_queue_set_equal(poller->set, fresh)) {
        qe_queue_set_release(fresh);
        return;
    }
    qe_free(poller->failing);
    poller->failing = NULL;
    qe_queue_set_release(poller->set);
    poller->set = fresh;
}

static int ask_list(const struct round *round, struct qe_queue_list *out, struct qe_err *err)
{
    const struct qe_poller_options *options = &round->poller->options;
    int rc = options->driver->list(round->poller->handle, round->deadline_mono_ms, out, err);

    return rc != 0 || options->links == NULL
               ? rc
               : options->links(options->links_context, options->source, out, err);
}

/* On failure everything stays as it was, so the next poll lists again. */
static int list_queues(struct round *round, struct qe_err *err)
{
    struct qe_poller *poller = round->poller;
    const struct qe_poller_options *options = &poller->options;
    const struct qe_select_rules rules = {.include = options->include,
                                          .include_count = options->include_count,
                                          .exclude = options->exclude,
                                          .exclude_count = options->exclude_count,
                                          .max_queues = options->max_queues};
    struct qe_queue_list list = {0};
    struct qe_queue_set *fresh = NULL;
    size_t listed = 0;
    size_t dropped = 0;

    if (ask_list(round, &list, err) == 0) {
        listed = list.count;
        if (qe_select_queues(&list, &rules, &dropped, err) == 0) {
            fresh = qe_queue_set_new_take(&list, err);
        }
    }
    qe_queue_list_deinit(&list);
    if (fresh == NULL) {
        return -1;
    }
    if (dropped != poller->queues_dropped) {
        log_dropped(poller, dropped);
    }
    adopt_set(poller, fresh);
    poller->queues_listed = listed;
    poller->queues_dropped = dropped;
    poller->listed_mono_ms = qe_clock_mono_ms();
    poller->next_list_mono_ms = poller->listed_mono_ms + options->discovery_interval_ms;
    return 0;
}

/* What was not asked, by plan or because of an interrupt, is neither good nor failed. */
struct tally {
    size_t asked;
    size_t good;
    size_t missing;
    size_t failed;
    size_t failing; /* that failed when they were last asked, now or earlier */
    enum qe_err_code first_code;
};

/* Brings poller->failing up to date; returns how many it names. Without memory for it the poll is
 * all that is known. */
static size_t note_failing(struct qe_poller *poller, const struct qe_batch *batch, size_t failed)
{
    size_t failing = 0;

    if (poller->failing == NULL && failed > 0) {
        poller->failing = qe_calloc(batch->set->count, sizeof *poller->failing);
    }
    for (size_t i = 0; poller->failing != NULL && i < batch->set->count; i++) {
        enum qe_err_code code = batch->entries[i].error;

        poller->failing[i] = code == QE_ERR_CANCELLED ? poller->failing[i] : code != QE_OK;
        failing += poller->failing[i] ? 1 : 0;
    }
    return poller->failing != NULL ? failing : failed;
}

static struct tally tally_batch(struct qe_poller *poller, const struct qe_batch *batch)
{
    struct tally tally = {0};

    for (size_t i = 0; i < batch->set->count; i++) {
        enum qe_err_code code = batch->entries[i].error;

        if (code == QE_ERR_CANCELLED) {
            continue;
        }
        tally.asked++;
        if (code == QE_OK) {
            tally.good++;
            continue;
        }
        tally.failed++;
        tally.missing += code == QE_ERR_NOT_FOUND ? 1 : 0;
        if (tally.first_code == QE_OK) {
            tally.first_code = code;
        }
    }
    tally.failing = note_failing(poller, batch, tally.failed);
    return tally;
}

static void log_partial(struct qe_poller *poller, const struct qe_batch *batch, struct tally tally)
{
    enum qe_err_code code =
        batch->first_error.code != QE_OK ? batch->first_error.code : tally.first_code;
    uint64_t unlogged = 0;
    char failed_text[24];
    char total_text[24];

    if (tally.failed == 0) {
        if (tally.failing == 0 && qe_repeat_ended(&poller->partial)) {
            qe_log(QE_LOG_INFO, "every queue can be read again", "source", poller->options.source,
                   NULL);
        }
        return;
    }
    if (!qe_repeat_failed(&poller->partial, code, qe_clock_mono_ms(), &unlogged)) {
        return;
    }
    count_text(failed_text, tally.failed);
    count_text(total_text, batch->set->count); /* those that were not asked this time, too */
    /* That queues are deleted is nobody's fault: the next list is without them. */
    qe_log(tally.failed == tally.missing ? QE_LOG_INFO : QE_LOG_WARN,
           "some queues could not be read", "source", poller->options.source, "failed", failed_text,
           "of", total_text, "reason", qe_err_code_name(code), "error",
           batch->first_error.code != QE_OK ? batch->first_error.message : "no answer in time",
           NULL);
}

/* Every queue may be well, and still something about them not to be had: the ages of their
 * messages.
 */
static void log_missing_facts(struct qe_poller *poller, const struct qe_batch *batch)
{
    const struct qe_err *why = &batch->first_error;
    uint64_t unlogged = 0;

    if (batch->failed_count > 0) {
        return;
    }
    if (why->code == QE_OK) {
        if (qe_repeat_ended(&poller->facts)) {
            qe_log(QE_LOG_INFO, "all that is known of queues can be read again", "source",
                   poller->options.source, NULL);
        }
    } else if (qe_repeat_failed(&poller->facts, why->code, qe_clock_mono_ms(), &unlogged)) {
        qe_log(QE_LOG_WARN, "queues are read, but not all that is known of them", "source",
               poller->options.source, "reason", qe_err_code_name(why->code), "error", why->message,
               NULL);
    }
}

/* A source that answers for no queue it is asked for is down, even when its driver found that out
 * queue by queue; one that says "no such queue" to every question is up. */
static void judge_batch(struct round *round)
{
    struct qe_poller *poller = round->poller;
    struct tally tally = tally_batch(poller, &round->batch);

    if (round->err.code == QE_OK) {
        round->err = round->batch.source_error;
    }
    if (round->batch.relist || tally.missing > poller->missing_count) {
        poller->next_list_mono_ms = 0;
    }
    if (tally.asked > 0) {
        poller->missing_count = tally.missing;
    }
    round->has_readings = tally.good > 0;
    if (tally.good > 0 || tally.failed == tally.missing) {
        log_partial(poller, &round->batch, tally);
        log_missing_facts(poller, &round->batch);
        return;
    }
    if (round->err.code != QE_OK) {
        return;
    }
    if (round->batch.first_error.code != QE_OK) {
        round->err = round->batch.first_error;
        return;
    }
    (void)qe_err_set(&round->err, tally.first_code, "none of %zu queues answered", tally.asked);
}

/* The broker's clock minus ours. It is told to the second, so that a clock which is right looks up
 * to a second wrong: less than two is none. */
static int64_t skew_ms(const struct qe_api_stats *stats)
{
    if (stats == NULL || !atomic_load(&stats->has_clock_skew)) {
        return 0;
    }
    int64_t skew = atomic_load(&stats->clock_skew_ms);

    return llabs(skew) < SKEW_LEAST_MS ? 0 : skew;
}

/* Consumers are few, queues may be many: each consumer looks for its queue. */
static void observe(const struct qe_poller *poller, struct qe_batch *batch)
{
    const struct qe_poller_options *options = &poller->options;
    const struct qe_consumer_stats *at =
        options->stats == NULL ? NULL : qe_stats_first_consumer(options->stats);
    int64_t now_unix_ms = qe_clock_unix_ms();

    for (; at != NULL; at = at->next) {
        if (strcmp(at->source, options->source) != 0) {
            continue;
        }
        size_t index = qe_queue_set_find(batch->set, at->vhost, at->queue);

        if (index != SIZE_MAX) {
            batch->entries[index].observed_age_seconds = qe_consumer_stats_observed_age(
                at, now_unix_ms, skew_ms(options->api_stats), options->poll_interval_ms);
        }
    }
}

/* Where the driver knows no age, what our own consumer saw is the best there is. */
static void fill_observed_ages(struct qe_batch *batch)
{
    for (size_t i = 0; i < batch->set->count; i++) {
        struct qe_batch_entry *entry = &batch->entries[i];

        if (entry->error == QE_OK && entry->observed_age_seconds >= 0 &&
            !qe_sample_has(&entry->sample, QE_FIELD_OLDEST_AGE_SECONDS)) {
            qe_sample_set(&entry->sample, QE_FIELD_OLDEST_AGE_SECONDS, entry->observed_age_seconds);
            entry->sample.age_method = QE_AGE_CONSUMER;
        }
    }
}

static void note_method(struct qe_poller *poller, const char *method)
{
    if (method != NULL && (poller->method == NULL || strcmp(method, poller->method) != 0)) {
        qe_log(QE_LOG_INFO, "the way in which queues are read", "source", poller->options.source,
               "method", method, "before", poller->method, NULL);
        poller->method = method;
    }
}

static void sample_queues(struct round *round)
{
    struct qe_poller *poller = round->poller;
    struct qe_err err = {0};
    int rc = qe_batch_init(&round->batch, poller->set, &err);

    if (rc == 0) {
        round->batch.default_vhost = poller->options.driver->default_vhost;
        observe(poller, &round->batch);
        rc = poller->options.driver->sample(poller->handle, round->deadline_mono_ms, &round->batch,
                                            &err);
    }
    if (rc == 0) {
        note_method(poller, round->batch.method);
        fill_observed_ages(&round->batch);
        judge_batch(round);
        return;
    }
    qe_batch_deinit(&round->batch);
    round->err = err;
}

/* Whoever works on these queues hears of it, also of one that brought nothing. */
static void tell_directory(struct qe_poller *poller)
{
    if (poller->options.directory != NULL && !qe_poll_is_stopping(poller)) {
        qe_directory_put(poller->options.directory, poller->set);
    }
}

/* 0: there are queues to read. */
static int list_if_due(struct round *round)
{
    struct qe_poller *poller = round->poller;
    struct qe_err err = {0};

    if (qe_clock_mono_ms() < poller->next_list_mono_ms) {
        return 0;
    }
    if (list_queues(round, &err) == 0) {
        tell_directory(poller);
        return 0;
    }
    tell_directory(poller);
    if (poller->set == NULL || err.code == QE_ERR_CANCELLED) {
        round->err = err;
        return -1;
    }
    (void)qe_err_wrap(&err, "list"); /* the known queues are still worth reading */
    round->list_err = err;
    return 0;
}

static void read_source(struct round *round)
{
    struct qe_poller *poller = round->poller;
    struct qe_err err = {0};

    if (open_handle(poller, &err) != 0) {
        round->err = err;
        return;
    }
    if (list_if_due(round) == 0) {
        sample_queues(round);
    }
}

/* Queues that are read are not down because new ones would not be seen; but who cannot list for
 * long must be told. The failure counts in any case. */
static bool is_read_unlisted(const struct round *round)
{
    const struct qe_poller *poller = round->poller;

    return round->err.code == QE_OK && round->list_err.code != QE_OK && round->has_readings &&
           (qe_clock_mono_ms() - poller->listed_mono_ms) / LIST_STALE_INTERVALS <
               poller->options.discovery_interval_ms;
}

static void publish(struct round *round, bool unlisted)
{
    struct qe_poller *poller = round->poller;
    int64_t now_us = qe_clock_mono_us();
    struct qe_poll_report report = {.now_unix_ms = qe_clock_unix_ms(),
                                    .now_mono_ms = now_us / 1000,
                                    .duration_seconds =
                                        (double)(now_us - round->start_mono_us) / 1e6,
                                    .queues_listed = poller->queues_listed,
                                    .queues_dropped = poller->queues_dropped,
                                    .error = round->err,
                                    .is_read_unlisted = unlisted,
                                    .objective = poller->options.objective,
                                    .objective_context = poller->options.objective_context,
                                    .state_window_ms = poller->options.state_window_ms};
    const struct qe_batch *batch = round->batch.set != NULL ? &round->batch : NULL;
    struct qe_err err = {0};
    uint64_t unlogged = 0;

    if (qe_slot_publish(poller->slot, batch, &report, &err) == 0) {
        (void)qe_repeat_ended(&poller->publish);
    } else if (qe_repeat_failed(&poller->publish, err.code, report.now_mono_ms, &unlogged)) {
        qe_log(QE_LOG_ERROR, "a finished poll could not be published", "source",
               poller->options.source, "reason", qe_err_code_name(err.code), "error", err.message,
               NULL);
    }
}

static void log_failure(struct qe_poller *poller, const struct qe_err *err)
{
    uint64_t unlogged = 0;
    char unlogged_text[24];

    if (!qe_repeat_failed(&poller->whole, err->code, qe_clock_mono_ms(), &unlogged)) {
        return;
    }
    count_text(unlogged_text, unlogged);
    qe_log(QE_LOG_WARN, "poll failed", "source", poller->options.source, "reason",
           qe_err_code_name(err->code), "error", err->message, "more_since_last_line",
           unlogged > 0 ? unlogged_text : NULL, NULL);
}

static void log_success(struct qe_poller *poller)
{
    bool came_back = qe_repeat_ended(&poller->whole);

    if (came_back || !poller->was_up) {
        char queues_text[24];
        count_text(queues_text, poller->set->count);
        qe_log(QE_LOG_INFO, poller->was_up ? "source is back" : "source is up", "source",
               poller->options.source, "queues", queues_text, NULL);
    }
    poller->was_up = true;
}

void qe_poll_round(struct qe_poller *poller)
{
    int64_t now_us = qe_clock_mono_us();
    struct round round = {.poller = poller,
                          .start_mono_us = now_us,
                          .deadline_mono_ms = now_us / 1000 + poller->options.poll_timeout_ms};

    read_source(&round);
    const bool unlisted = is_read_unlisted(&round);

    round.err = round.err.code == QE_OK ? round.list_err : round.err;
    /* An interrupted poll says nothing about the source: neither published nor counted. Nor is one
     * that comes back after it was told to stop: its source may be in other hands by now. */
    if (round.err.code != QE_ERR_CANCELLED && !qe_poll_is_stopping(poller)) {
        publish(&round, unlisted);
        if (round.err.code == QE_OK) {
            poller->failures_in_row = 0;
            log_success(poller);
        } else {
            /* A handle that reads the queues is as good as a new one. */
            poller->failures_in_row = round.has_readings || round.batch.source_error.code != QE_OK
                                          ? 0
                                          : poller->failures_in_row + 1;
            log_failure(poller, &round.err);
        }
    }
    qe_batch_deinit(&round.batch);
    if (poller->failures_in_row >= FAILURES_PER_HANDLE) {
        poller->failures_in_row = 0;
        qe_poll_close(poller);
    }
}
