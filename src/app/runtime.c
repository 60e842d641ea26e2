#include "app/runtime.h"

#include <string.h>

#include "app/drivers.h"
#include "app/handlers.h"
#include "app/links.h"
#include "app/queue_turns.h"
#include "app/reaper.h"
#include "consumer/consumer.h"
#include "poll/poller.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

/* For a poller to end: a driver's call heeds an interrupt within a tenth of a second. */
#define POLLER_END_MS 2000

/* One source that is polled. */
struct source_unit {
    struct source_unit *next;
    struct qe_generation *generation;          /* acquired: owns all that is borrowed below */
    const struct qe_source_settings *settings; /* borrowed from generation */
    struct qe_api_stats *api_stats;            /* borrowed from the store's stats */
    struct qe_slot *slot;                      /* borrowed from the store */
    struct qe_directory *directory;            /* acquired; its consumers have it, too */
    struct qe_poller *poller;                  /* owned */
};

/* One queue that is worked on. */
struct consumer_unit {
    struct consumer_unit *next;
    struct qe_generation *generation;
    const struct qe_consumer_settings *settings;
    const struct qe_source_settings *source;
    struct qe_directory *directory; /* acquired */
    struct qe_consumer *consumer;
};

struct qe_runtime {
    struct qe_store *store; /* borrowed */
    struct qe_reaper *reaper;
    struct source_unit *sources;
    struct source_unit *stuck; /* told to end, but a call to the source does not come back */
    struct consumer_unit *consumers;
    struct qe_queue_turns *turns; /* owned */
    bool stopped;                 /* with a deadline that destroying does not shorten */
};

struct qe_runtime *qe_runtime_new(struct qe_store *store, struct qe_err *err)
{
    struct qe_runtime *runtime = qe_calloc(1, sizeof *runtime);

    if (runtime == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "runtime");
        return NULL;
    }
    runtime->store = store;
    runtime->reaper = qe_reaper_new(err);
    if (runtime->reaper == NULL) {
        qe_free(runtime);
        return NULL;
    }
    return runtime;
}

static bool is_same_queue(const struct qe_consumer_settings *a,
                          const struct qe_consumer_settings *b)
{
    return strcmp(a->source, b->source) == 0 && strcmp(a->vhost, b->vhost) == 0 &&
           strcmp(a->queue, b->queue) == 0;
}

static const struct qe_consumer_settings *find_consumer(const struct qe_config *config,
                                                        const struct qe_consumer_settings *like)
{
    for (size_t i = 0; i < config->consumers_count; i++) {
        if (is_same_queue(&config->consumers[i], like)) {
            return &config->consumers[i];
        }
    }
    return NULL;
}

static bool source_is_unchanged(const struct source_unit *unit, const struct qe_config *config)
{
    const struct qe_source_settings *now = qe_config_source(config, unit->settings->name);

    return now != NULL && qe_source_settings_equal(unit->settings, now) &&
           qe_objectives_equal(unit->generation->config, config) &&
           qe_links_equal(unit->generation->config, config, now->name);
}

static bool is_same_broker(const struct qe_source_settings *a, const struct qe_source_settings *b)
{
    return a->type == b->type &&
           qe_section_equal(a->type->section, a->driver_settings, b->driver_settings);
}

/* A consumer borrows its source's driver settings, so it changes with them; how often the source is
 * polled, and which of its queues are, does not concern it. */
static bool consumer_is_unchanged(const struct consumer_unit *unit, const struct qe_config *config)
{
    const struct qe_source_settings *source = qe_config_source(config, unit->settings->source);
    const struct qe_consumer_settings *now = find_consumer(config, unit->settings);

    return source != NULL && now != NULL && is_same_broker(unit->source, source) &&
           qe_consumer_settings_equal(unit->settings, now);
}

static void retire_consumer(struct qe_runtime *runtime, struct consumer_unit *unit)
{
    qe_consumer_stop(unit->consumer,
                     qe_clock_mono_ms() + unit->generation->config->shutdown_timeout_ms);
    qe_reaper_take(runtime->reaper, unit->consumer, unit->generation);
    qe_directory_release(unit->directory);
    qe_free(unit);
}

static void free_source(struct source_unit *unit)
{
    qe_poller_destroy(unit->poller);
    qe_directory_release(unit->directory);
    qe_generation_release(unit->generation);
    qe_free(unit);
}

/* Ends the poller, which was told to: quick, since its driver is interrupted. One that hangs all
 * the same holds up nobody else: it publishes nothing any more, and is freed when it has come back.
 */
static void retire_source(struct qe_runtime *runtime, struct source_unit *unit,
                          int64_t deadline_mono_ms)
{
    bool ended = qe_poller_wait(unit->poller, deadline_mono_ms);

    qe_store_close(runtime->store, unit->slot);
    atomic_store(&unit->api_stats->active, false);
    if (ended) {
        free_source(unit);
        return;
    }
    qe_log(QE_LOG_ERROR, "a call to the source does not come back; going on without it", "source",
           unit->settings->name, NULL);
    unit->next = runtime->stuck;
    runtime->stuck = unit;
}

/* Those that came back after all. */
static void free_unstuck(struct qe_runtime *runtime)
{
    struct source_unit **link = &runtime->stuck;

    while (*link != NULL) {
        struct source_unit *unit = *link;

        if (!qe_poller_wait(unit->poller, 0)) {
            link = &unit->next;
            continue;
        }
        *link = unit->next;
        free_source(unit);
    }
}

/* Takes the sources that are not as `config` has them (NULL: all) out of the list. All are told
 * before the first is waited for. */
static void retire_sources(struct qe_runtime *runtime, const struct qe_config *config)
{
    struct source_unit **link = &runtime->sources;
    struct source_unit *retired = NULL;
    int64_t deadline_mono_ms = qe_clock_mono_ms() + POLLER_END_MS;

    while (*link != NULL) {
        struct source_unit *unit = *link;

        if (config != NULL && source_is_unchanged(unit, config)) {
            link = &unit->next;
            continue;
        }
        *link = unit->next;
        unit->next = retired;
        retired = unit;
        qe_poller_stop(unit->poller);
    }
    while (retired != NULL) {
        struct source_unit *unit = retired;

        retired = unit->next;
        retire_source(runtime, unit, deadline_mono_ms);
    }
}

static void retire_changed(struct qe_runtime *runtime, const struct qe_config *config)
{
    struct consumer_unit **consumer_link = &runtime->consumers;

    while (*consumer_link != NULL) {
        struct consumer_unit *unit = *consumer_link;
        if (consumer_is_unchanged(unit, config)) {
            consumer_link = &unit->next;
            continue;
        }
        *consumer_link = unit->next;
        retire_consumer(runtime, unit);
    }
    free_unstuck(runtime);
    retire_sources(runtime, config);
}

static struct qe_api_stats *api_stats_of(struct qe_runtime *runtime, const char *source,
                                         const struct qe_driver *driver, struct qe_err *err)
{
    const struct qe_api_names names = {.operations = driver->operations,
                                       .operations_count = driver->operations_count,
                                       .services = driver->services};

    return qe_stats_api(qe_store_stats(runtime->store), source, &names, err);
}

/* Of a broker: what runs of a source before a reload goes on with one only where that is the same.
 * Acquired for the caller. */
static struct qe_directory *directory_of(const struct qe_runtime *runtime, const char *source,
                                         struct qe_err *err)
{
    for (const struct source_unit *unit = runtime->sources; unit != NULL; unit = unit->next) {
        if (strcmp(unit->settings->name, source) == 0) {
            return qe_directory_acquire(unit->directory);
        }
    }
    for (const struct consumer_unit *unit = runtime->consumers; unit != NULL; unit = unit->next) {
        if (strcmp(unit->settings->source, source) == 0) {
            return qe_directory_acquire(unit->directory);
        }
    }
    return qe_directory_new(err);
}

static int start_poller(struct qe_runtime *runtime, struct source_unit *unit, struct qe_err *err)
{
    const struct qe_source_settings *settings = unit->settings;
    const struct qe_driver *driver = qe_drivers_find(settings->type_name);

    unit->api_stats = api_stats_of(runtime, settings->name, driver, err);
    if (unit->api_stats == NULL) {
        return -1;
    }
    unit->slot = qe_store_open(runtime->store, settings->name, driver->name,
                               settings->poll.stale_after_ms, err);
    if (unit->slot == NULL) {
        return -1;
    }
    struct qe_poller_options options = {
        .source = settings->name,
        .driver = driver,
        .driver_settings = settings->driver_settings,
        .api_stats = unit->api_stats,
        .stats = qe_store_stats(runtime->store),
        .poll_interval_ms = settings->poll.poll_interval_ms,
        .poll_timeout_ms = settings->poll.poll_timeout_ms,
        .discovery_interval_ms = settings->poll.discovery_interval_ms,
        .state_window_ms = settings->poll.state_window_ms,
        .max_queues = settings->poll.max_queues,
        .include = settings->include.items,
        .include_count = settings->include.count,
        .exclude = settings->exclude.items,
        .exclude_count = settings->exclude.count,
        .directory = unit->directory,
        .objective = qe_config_objective,
        .objective_context = unit->generation->config,
        .links = qe_links_add,
        .links_context = unit->generation->config,
    };
    unit->poller = qe_poller_new(&options, unit->slot, err);
    if (unit->poller == NULL) {
        qe_store_close(runtime->store, unit->slot);
        return -1;
    }
    atomic_store(&unit->api_stats->active, true);
    qe_directory_set_interval(unit->directory, settings->poll.discovery_interval_ms);
    return 0;
}

static int start_source(struct qe_runtime *runtime, struct qe_generation *generation,
                        const struct qe_source_settings *settings, struct qe_err *err)
{
    struct source_unit *unit = qe_calloc(1, sizeof *unit);

    if (unit == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "source %s", settings->name);
    }
    unit->generation = generation;
    unit->settings = settings;
    unit->directory = directory_of(runtime, settings->name, err);
    if (unit->directory == NULL || start_poller(runtime, unit, err) != 0) {
        qe_directory_release(unit->directory);
        qe_free(unit);
        return qe_err_wrap(err, "source %s", settings->name);
    }
    qe_generation_acquire(generation);
    unit->next = runtime->sources;
    runtime->sources = unit;
    return 0;
}

static const char *vhost_of(const struct qe_consumer_settings *settings,
                            const struct qe_driver *driver)
{
    return settings->vhost[0] == '\0' && driver->default_vhost != NULL ? driver->default_vhost
                                                                       : settings->vhost;
}

static struct qe_consumer *new_consumer(struct qe_runtime *runtime,
                                        const struct consumer_unit *unit, struct qe_err *err)
{
    const struct qe_consumer_settings *settings = unit->settings;
    const struct qe_source_settings *source = unit->source;
    const struct qe_driver *driver = qe_drivers_find(source->type_name);
    struct qe_consumer_options options = {
        .source = settings->source,
        .vhost = vhost_of(settings, driver),
        .queue = settings->queue,
        .driver = driver,
        .driver_settings = source->driver_settings,
        .directory = unit->directory,
        .workers = settings->workers,
        .max_handling_time_ms = settings->max_handling_time_ms,
        .retry_initial_ms = settings->retry.initial_ms,
        .retry_max_ms = settings->retry.max_ms,
        .max_receives = settings->retry.max_receives,
        .delivery = (enum qe_delivery)settings->delivery,
        .once = {.store = settings->deduplication.store,
                 .attribute = settings->deduplication.attribute,
                 .pointer = settings->deduplication.pointer,
                 .window_ms = settings->deduplication.window_ms},
        .dead_letter_queue = settings->dead_letter.queue,
        .reply_to = (const struct qe_regex *const *)settings->reply_to_queues.items,
        .reply_to_count = settings->reply_to_queues.count,
        .batch_size = (size_t)settings->batch.size,
        .batch_wait_ms = settings->batch.wait_ms,
        .order_by = settings->order_by,
        .messages_per_second = settings->rate_limit,
        .circuit_failures = settings->circuit_breaker.failures,
        .circuit_pause_ms = settings->circuit_breaker.pause_ms,
        .max_in_hand_bytes = (size_t)settings->max_in_hand_bytes,
    };

    options.api_stats = api_stats_of(runtime, settings->source, driver, err);
    if (options.api_stats == NULL) {
        return NULL;
    }
    options.stats = qe_stats_consumer(qe_store_stats(runtime->store), settings->source,
                                      options.vhost, settings->queue, err);
    options.turns =
        options.stats == NULL ? NULL : qe_queue_turns_find(&runtime->turns, options.stats, err);
    if (options.turns == NULL ||
        qe_stats_add_reasons(options.stats, (const char *const *)settings->reasons.items,
                             settings->reasons.count, err) != 0 ||
        qe_handlers_make(settings, &options, err) != 0) {
        return NULL;
    }
    return qe_consumer_new(&options, err);
}

static int start_consumer(struct qe_runtime *runtime, struct qe_generation *generation,
                          const struct qe_consumer_settings *settings, struct qe_err *err)
{
    struct consumer_unit *unit = qe_calloc(1, sizeof *unit);

    if (unit == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "consumer of %s", settings->queue);
    }
    unit->settings = settings;
    unit->source = qe_config_source(generation->config, settings->source);
    if (unit->source == NULL) { /* the configuration's own check refuses it before */
        qe_err_set(err, QE_ERR_INVALID, "no source %s", settings->source);
    } else if ((unit->directory = directory_of(runtime, settings->source, err)) != NULL) {
        unit->consumer = new_consumer(runtime, unit, err);
    }
    if (unit->consumer == NULL) {
        qe_directory_release(unit->directory);
        qe_free(unit);
        return qe_err_wrap(err, "consumer of %s", settings->queue);
    }
    unit->generation = qe_generation_acquire(generation);
    unit->next = runtime->consumers;
    runtime->consumers = unit;
    return 0;
}

static bool source_runs(const struct qe_runtime *runtime, const char *name)
{
    for (const struct source_unit *unit = runtime->sources; unit != NULL; unit = unit->next) {
        if (strcmp(unit->settings->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool consumer_runs(const struct qe_runtime *runtime, const struct qe_consumer_settings *like)
{
    for (const struct consumer_unit *unit = runtime->consumers; unit != NULL; unit = unit->next) {
        if (is_same_queue(unit->settings, like)) {
            return true;
        }
    }
    return false;
}

int qe_runtime_apply(struct qe_runtime *runtime, struct qe_generation *generation,
                     struct qe_err *err)
{
    const struct qe_config *config = generation->config;
    struct qe_err later = {0};
    int rc = 0;

    retire_changed(runtime, config);
    /* One that does not start keeps no other from starting; the first of them is told of. */
    for (size_t i = 0; i < config->sources_count; i++) {
        if (!source_runs(runtime, config->sources[i].name) &&
            start_source(runtime, generation, &config->sources[i], rc == 0 ? err : &later) != 0) {
            rc = -1;
        }
    }
    for (size_t i = 0; i < config->consumers_count; i++) {
        if (!consumer_runs(runtime, &config->consumers[i]) &&
            start_consumer(runtime, generation, &config->consumers[i], rc == 0 ? err : &later) !=
                0) {
            rc = -1;
        }
    }
    return rc;
}

void qe_runtime_stop(struct qe_runtime *runtime, int64_t deadline_mono_ms)
{
    /* All are told before the first is waited for. Pollers go on meanwhile: the numbers stay true
     * while messages drain. */
    for (struct consumer_unit *unit = runtime->consumers; unit != NULL; unit = unit->next) {
        qe_consumer_stop(unit->consumer, deadline_mono_ms);
    }
    runtime->stopped = true;
    qe_reaper_hurry(runtime->reaper, deadline_mono_ms);
    while (runtime->consumers != NULL) {
        struct consumer_unit *unit = runtime->consumers;
        runtime->consumers = unit->next;
        qe_consumer_destroy(unit->consumer);
        qe_directory_release(unit->directory);
        qe_generation_release(unit->generation);
        qe_free(unit);
    }
    free_unstuck(runtime);
    retire_sources(runtime, NULL);
}

bool qe_runtime_destroy(struct qe_runtime *runtime)
{
    if (runtime == NULL) {
        return true;
    }
    if (runtime->reaper != NULL && !runtime->stopped) {
        qe_runtime_stop(runtime, qe_clock_mono_ms());
    }
    qe_reaper_destroy(runtime->reaper);
    runtime->reaper = NULL;
    qe_queue_turns_destroy(runtime->turns);
    runtime->turns = NULL;
    free_unstuck(runtime);
    if (runtime->stuck != NULL) {
        return false;
    }
    qe_free(runtime);
    return true;
}
