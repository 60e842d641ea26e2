/* top: the sources, each read by a poller of its own. */
#include <string.h>

#include "app/drivers.h"
#include "app/links.h"
#include "queuectl/top.h"
#include "util/clock.h"
#include "util/mem.h"

#define ASK_EVERY_MS 15000
#define ASK_TIMEOUT_MS 2000
#define PUMP_MS 5 /* for an answer that is on its way, in each turn */
#define POLLER_END_MS 2000

static int start_source(struct top_feed *feed, struct top_source *source, const struct ctl *ctl,
                        struct qe_err *err)
{
    const struct qe_source_settings *settings = source->settings;
    const struct qe_poll_settings *poll = &settings->poll;
    const bool is_billed = source->driver->services != NULL;

    source->interval_ms = ctl->options.interval_ms;
    if (is_billed && poll->poll_interval_ms > source->interval_ms) {
        source->interval_ms = poll->poll_interval_ms;
    }
    source->slot =
        qe_store_open(feed->store, settings->name, source->driver->name, poll->stale_after_ms, err);
    if (source->slot == NULL) {
        return -1;
    }
    const struct qe_poller_options options = {
        .source = settings->name,
        .driver = source->driver,
        .driver_settings = settings->driver_settings,
        .poll_interval_ms = source->interval_ms,
        .poll_timeout_ms = poll->poll_timeout_ms,
        .discovery_interval_ms = poll->discovery_interval_ms,
        .state_window_ms = poll->state_window_ms,
        .max_queues = poll->max_queues,
        .include = settings->include.items,
        .include_count = settings->include.count,
        .exclude = settings->exclude.items,
        .exclude_count = settings->exclude.count,
        .objective = qe_config_objective,
        .objective_context = ctl->generation->config,
        .links = qe_links_add,
        .links_context = ctl->generation->config,
    };

    source->poller = qe_poller_new(&options, source->slot, err);
    return source->poller != NULL ? 0 : -1;
}

static int add_source(struct top_feed *feed, const struct ctl *ctl,
                      const struct qe_source_settings *settings, struct qe_err *err)
{
    struct top_source *source = &feed->sources[feed->count];

    feed->count++;
    source->settings = settings;
    source->driver = qe_drivers_find(settings->type_name);
    source->unreachable = source->driver->unreachable != NULL
                              ? source->driver->unreachable(settings->driver_settings)
                              : NULL;
    return source->unreachable != NULL ? 0 : start_source(feed, source, ctl, err);
}

int top_feed_init(struct top_feed *out, const struct ctl *ctl, const char *only, struct qe_err *err)
{
    const struct qe_config *config = ctl->generation->config;

    *out = (struct top_feed){.exporter = ctl->options.exporter != NULL ? ctl->options.exporter
                                                                       : CTL_EXPORTER_URL,
                             .exporter_is_named = ctl->options.exporter != NULL};
    out->stats = qe_stats_new(err);
    out->store = out->stats != NULL ? qe_store_new(NULL, out->stats, err) : NULL;
    out->client = out->store != NULL ? qe_http_client_new(NULL, err) : NULL;
    if (out->client == NULL) {
        return -1;
    }
    out->sources = qe_calloc(config->sources_count + 1, sizeof *out->sources);
    if (out->sources == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "%zu sources", config->sources_count);
    }
    for (size_t i = 0; i < config->sources_count; i++) {
        const struct qe_source_settings *settings = &config->sources[i];

        if ((only == NULL || strcmp(only, settings->name) == 0) &&
            add_source(out, ctl, settings, err) != 0) {
            return -1;
        }
    }
    return out->count > 0 ? 0 : ctl_no_such_source(config, only, err);
}

/* All are told before the first is waited for. One that hangs in its driver is left to the end of
 * the process, which is near. */
static bool stop_pollers(struct top_feed *feed)
{
    const int64_t deadline_mono_ms = qe_clock_mono_ms() + POLLER_END_MS;
    bool all_ended = true;

    for (size_t i = 0; i < feed->count; i++) {
        if (feed->sources[i].poller != NULL) {
            qe_poller_stop(feed->sources[i].poller);
        }
    }
    for (size_t i = 0; i < feed->count; i++) {
        struct top_source *source = &feed->sources[i];

        if (source->poller == NULL) {
            continue;
        }
        if (qe_poller_wait(source->poller, deadline_mono_ms)) {
            qe_poller_destroy(source->poller);
            source->poller = NULL;
        } else {
            all_ended = false;
        }
    }
    return all_ended;
}

void top_feed_deinit(struct top_feed *feed)
{
    bool all_ended = stop_pollers(feed);

    for (size_t i = 0; i < feed->count; i++) {
        qe_snapshot_release(feed->sources[i].snapshot);
        qe_free(feed->sources[i].rates);
    }
    qe_free(feed->sources);
    ctl_trends_deinit(&feed->trends);
    qe_http_client_destroy(feed->client);
    if (all_ended) {
        qe_store_destroy(feed->store);
        qe_stats_destroy(feed->stats);
    }
    *feed = (struct top_feed){0};
}

/* --- what was read --- */

/* The rates of the queues that are still there, for another set of queues. */
static struct qe_rate *carry_rates(const struct top_source *source, const struct qe_queue_set *set)
{
    const struct qe_queue_set *old = source->snapshot != NULL ? source->snapshot->set : NULL;
    struct qe_rate *rates = qe_calloc(set->count + 1, sizeof *rates);

    for (size_t i = 0; rates != NULL && old != NULL && i < set->count; i++) {
        size_t index = qe_queue_set_find(old, set->items[i].vhost, set->items[i].name);

        if (index != SIZE_MAX) {
            rates[i] = source->rates[index];
        }
    }
    return rates;
}

/* Takes the snapshot, also on failure. */
static int take_snapshot(struct top_source *source, struct qe_snapshot *snapshot,
                         struct qe_err *err)
{
    const struct qe_queue_set *old = source->snapshot != NULL ? source->snapshot->set : NULL;
    const struct qe_queue_set *set = snapshot->set;

    if (set != old && set != NULL) {
        struct qe_rate *rates = carry_rates(source, set);

        if (rates == NULL) {
            qe_snapshot_release(snapshot);
            return qe_err_set(err, QE_ERR_NOMEM, "the rates of %zu queues", set->count);
        }
        qe_free(source->rates);
        source->rates = rates;
    }
    qe_snapshot_release(source->snapshot);
    source->snapshot = snapshot;
    for (size_t i = 0; set != NULL && i < set->count; i++) {
        const struct qe_queue_state *state = &snapshot->states[i];

        if (state->sample.known == 0) {
            source->rates[i] = (struct qe_rate){0};
        } else {
            qe_rate_observe(&source->rates[i], &state->sample, state->last_success_mono_ms);
        }
    }
    return 0;
}

static struct top_source *source_of(struct top_feed *feed, const char *name)
{
    for (size_t i = 0; i < feed->count; i++) {
        if (strcmp(feed->sources[i].settings->name, name) == 0) {
            return &feed->sources[i];
        }
    }
    return NULL;
}

static int take_snapshots(struct top_feed *feed, bool *out_changed, struct qe_err *err)
{
    struct qe_snapshot *snapshots[QE_SOURCES_MAX] = {NULL};
    size_t count = qe_store_acquire_all(feed->store, snapshots);
    int rc = 0;

    for (size_t i = 0; i < count; i++) {
        struct top_source *source = source_of(feed, snapshots[i]->source);

        if (rc != 0 || source == NULL || source->snapshot == snapshots[i]) {
            qe_snapshot_release(snapshots[i]);
            continue;
        }
        *out_changed = true;
        rc = take_snapshot(source, snapshots[i], err);
    }
    return rc;
}

/* --- the running exporter --- */

static struct qe_http_request request_of(const struct top_feed *feed,
                                         const struct qe_http_header *accept)
{
    return (struct qe_http_request){.method = "GET",
                                    .url = feed->exporter,
                                    .headers = accept,
                                    .headers_count = 1,
                                    .deadline_mono_ms = qe_clock_mono_ms() + ASK_TIMEOUT_MS,
                                    .reply_max_bytes = CTL_EXPORTER_PAGE_MAX_BYTES};
}

static void take_answer(struct top_feed *feed, const struct qe_http_reply *reply)
{
    struct ctl_trends trends = {0};
    struct qe_err err = {0};

    if (ctl_trends_take(&trends, feed->exporter, reply, &err) != 0) {
        ctl_trends_deinit(&trends);
        feed->exporter_error = err;
        return; /* what it said before is old, but so is its window */
    }
    ctl_trends_deinit(&feed->trends);
    feed->trends = trends;
    feed->exporter_error = (struct qe_err){0};
}

/* A little at a time: nobody waits for an exporter that does not answer. */
static void ask_exporter(struct top_feed *feed, int64_t now_mono_ms, bool *out_changed)
{
    static const struct qe_http_header accept = {"Accept", "text/plain;version=0.0.4"};
    struct qe_http_reply reply = {0};

    if (qe_http_in_flight(feed->client) == 0) {
        const struct qe_http_request request = request_of(feed, &accept);

        if (!feed->has_unknown || now_mono_ms < feed->next_ask_mono_ms) {
            return;
        }
        feed->next_ask_mono_ms = now_mono_ms + ASK_EVERY_MS;
        if (qe_http_start(feed->client, &request, &feed->exporter_error) != 0) {
            return;
        }
    }
    if (qe_http_wait(feed->client, now_mono_ms + PUMP_MS, false, &reply) == QE_HTTP_REPLY) {
        take_answer(feed, &reply);
        *out_changed = true;
    }
    qe_http_reply_deinit(&reply);
}

void top_feed_ask_now(struct top_feed *feed)
{
    const int64_t deadline_mono_ms = qe_clock_mono_ms() + ASK_TIMEOUT_MS;
    bool changed = false;

    feed->next_ask_mono_ms = 0;
    while (!changed && feed->has_unknown && qe_clock_mono_ms() < deadline_mono_ms) {
        ask_exporter(feed, qe_clock_mono_ms(), &changed);
        if (feed->exporter_error.code != QE_OK) {
            return;
        }
    }
}

/* --- */

int top_feed_update(struct top_feed *feed, bool *out_changed, struct qe_err *err)
{
    const int64_t now_mono_ms = qe_clock_mono_ms();

    *out_changed = false;
    if (qe_store_expire(feed->store, now_mono_ms, err) != 0) {
        return -1;
    }
    ask_exporter(feed, now_mono_ms, out_changed);
    return take_snapshots(feed, out_changed, err);
}

bool top_feed_is_complete(const struct top_feed *feed)
{
    for (size_t i = 0; i < feed->count; i++) {
        const struct top_source *source = &feed->sources[i];

        if (source->unreachable == NULL &&
            (source->snapshot == NULL || !source->snapshot->status.polled)) {
            return false;
        }
    }
    return true;
}

bool top_feed_has_failed(const struct top_feed *feed)
{
    for (size_t i = 0; i < feed->count; i++) {
        const struct qe_snapshot *snapshot = feed->sources[i].snapshot;

        if (snapshot == NULL || !snapshot->status.up) {
            return true;
        }
    }
    return false;
}
