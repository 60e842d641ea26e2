/* sample(): one poll. Depths in the cheapest way that the broker offers; what is dearer only as
 * often as it may cost. */
#include <math.h>

#include "backend/rabbitmq/sample_internal.h"
#include "util/mem.h"

/* Until it is measured: the default of the configuration. */
#define POLL_INTERVAL_GUESS_MS 30000
#define POLL_INTERVAL_SMOOTHING 0.25
static const char *const s_ways[] = {[QE_RMQ_AUTO] = NULL,
                                     [QE_RMQ_METRICS] = "metrics",
                                     [QE_RMQ_TOTALS] = "totals",
                                     [QE_RMQ_STATISTICS] = "statistics"};
/* With less time than this left there is no second try in the same poll. */
#define SECOND_TRY_MS 500

/* The driver is not told the interval: it is what lies between two polls, smoothed. */
static void note_poll(struct qe_rmq *self, int64_t now_mono_ms)
{
    if (self->poll_mono_ms == 0) {
        self->poll_interval_ms = POLL_INTERVAL_GUESS_MS;
    } else if (self->poll == 1) {
        self->poll_interval_ms = now_mono_ms - self->poll_mono_ms;
    } else {
        const double passed_ms = (double)(now_mono_ms - self->poll_mono_ms);

        self->poll_interval_ms +=
            (int64_t)((passed_ms - (double)self->poll_interval_ms) * POLL_INTERVAL_SMOOTHING);
    }
    self->poll_mono_ms = now_mono_ms;
    self->poll++;
}

/* --- the way --- */

/* What is near the limit must not go to and fro: it is left at the limit, and taken up at half. */
static bool statistics_suit_every_poll(const struct qe_rmq *self)
{
    const bool is_taken = self->way == QE_RMQ_STATISTICS || self->way == QE_RMQ_AUTO;

    return self->has_statistics &&
           qe_rmq_pace_interval_ms(
               &self->paces[QE_RMQ_EXTRA_STATISTICS], self->settings->statistics_max_load,
               is_taken ? self->poll_interval_ms : self->poll_interval_ms / 2) == 0;
}

static enum qe_rmq_method management_way(const struct qe_rmq *self)
{
    return statistics_suit_every_poll(self) || (self->lacks_totals && self->has_statistics)
               ? QE_RMQ_STATISTICS
               : QE_RMQ_TOTALS;
}

static enum qe_rmq_method choose_way(const struct qe_rmq *self)
{
    const bool has_metrics = self->endpoints_count > 0 && !self->metrics_failed;

    if (self->settings->method != QE_RMQ_AUTO) {
        return (enum qe_rmq_method)self->settings->method;
    }
    if (has_metrics && (self->management_failed || !statistics_suit_every_poll(self))) {
        return QE_RMQ_METRICS;
    }
    return management_way(self);
}

/* --- what came of it --- */

static void note_first(struct qe_err *first, const struct qe_err *why)
{
    if (first->code == QE_OK) {
        *first = *why;
    }
}

/* What one of the dear things cost in this poll. */
struct cost {
    double seconds; /* of all its calls */
    bool is_asked;
    bool is_late;   /* some answer did not come in time */
    bool is_failed; /* some call was refused, or its answer was no good */
};

static void add_cost(struct cost *cost, const struct qe_rmq_call *call)
{
    cost->is_asked = true;
    cost->seconds += call->duration_seconds;
    if (call->err.code == QE_ERR_TIMEOUT) {
        cost->is_late = true;
    } else if (call->err.code != QE_OK) {
        cost->is_failed = true;
    }
}

/* Only answers tell what an answer costs: a refusal takes no time. What a broker has no time for
 * that tells of its nodes meanwhile costs at least as long as was waited for it; one that tells
 * nothing at all has something else. */
static void note_costs(struct qe_rmq_sampling *sampling)
{
    const int64_t now_mono_ms = sampling->poll.now_mono_ms;
    struct cost costs[QE_RMQ_EXTRA_COUNT] = {0};

    for (size_t i = 0; i < sampling->calls_count; i++) {
        const struct qe_rmq_call *call = &sampling->calls[i];

        if (call->index == QE_RMQ_FOR_EXTRA_METRICS) {
            add_cost(&costs[QE_RMQ_EXTRA_METRICS], call);
        } else if (call->operation == QE_RMQ_STATISTICS_OF) {
            add_cost(&costs[QE_RMQ_EXTRA_STATISTICS], call);
        }
    }
    for (size_t i = 0; i < QE_RMQ_EXTRA_COUNT; i++) {
        struct qe_rmq_pace *pace = &sampling->self->paces[i];
        const struct cost *cost = &costs[i];

        if (!cost->is_asked) {
            continue;
        }
        if (cost->is_failed || (cost->is_late && !sampling->nodes_told)) {
            qe_rmq_pace_note_failure(pace, now_mono_ms);
        } else if (cost->is_late) {
            qe_rmq_pace_note(pace, fmax(cost->seconds, pace->cost_seconds), now_mono_ms);
        } else {
            qe_rmq_pace_note(pace, cost->seconds, now_mono_ms);
        }
    }
}

/* Some node runs whose metrics nobody told. */
static void find_untold_node(struct qe_rmq_sampling *sampling)
{
    const struct qe_rmq_nodes *nodes = &sampling->self->nodes;

    for (size_t i = 0; i < nodes->count && sampling->poll.gap.code == QE_OK; i++) {
        if (nodes->items[i].is_running &&
            qe_rmq_nodes_find(&sampling->told_nodes, nodes->items[i].name) == NULL) {
            (void)qe_err_set(&sampling->poll.gap, QE_ERR_NOT_FOUND,
                             sampling->self->settings->metrics_urls.count > 0
                                 ? "node %s runs, but none of metrics_urls is its own"
                                 : "node %s tells no metrics: is the plugin rabbitmq_prometheus "
                                   "on? If it listens elsewhere, name it in metrics_urls",
                             nodes->items[i].name);
        }
    }
}

/* Sends what was asked for. -1: it was interrupted, or there is no memory. Else poll.gap says
 * whether something is missing; *out_good: some depths were told. */
static int run(struct qe_rmq_sampling *sampling, bool *out_good, struct qe_err *err)
{
    size_t good_count = 0;

    sampling->poll.gap = (struct qe_err){0};
    sampling->depths_count = 0;
    const struct qe_rmq_calls calls = {.items = sampling->calls,
                                       .count = sampling->calls_count,
                                       .deadline_mono_ms = sampling->deadline_mono_ms,
                                       .take = qe_rmq_take_answer,
                                       .feed = qe_rmq_feed_text,
                                       .context = sampling};

    if (qe_rmq_run(sampling->self, &calls, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sampling->calls_count; i++) {
        const struct qe_rmq_call *call = &sampling->calls[i];
        const bool is_depths = call->index == QE_RMQ_FOR_DEPTHS;

        if (call->err.code != QE_OK) {
            note_first(is_depths ? &sampling->poll.gap : &sampling->extra_error, &call->err);
        } else {
            good_count += is_depths ? 1 : 0;
        }
    }
    note_costs(sampling);
    *out_good = good_count > 0;
    return 0;
}

/* --- another way --- */

static bool has_time(const struct qe_rmq_sampling *sampling)
{
    return sampling->deadline_mono_ms - qe_clock_mono_ms() >= SECOND_TRY_MS;
}

/* What a list says may be told, and is not: this server does not know of totals. */
static bool lacks_totals(const struct qe_rmq_sampling *sampling)
{
    const struct qe_rmq_table *table = sampling->self->table;

    if (sampling->poll.way != QE_RMQ_TOTALS || sampling->poll.gap.code != QE_OK ||
        sampling->self->has_totals || sampling->depths_count > 0) {
        return false;
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct qe_rmq_definition *definition = &table->items[i].definition;

        if (definition->kind != QE_KIND_STREAM && !definition->is_down) {
            return true;
        }
    }
    return false;
}

/* Whether this poll should be tried in another way, which is then sampling->poll.way. */
static bool turn(struct qe_rmq_sampling *sampling, bool is_good)
{
    struct qe_rmq *self = sampling->self;
    const bool has_gap = sampling->poll.gap.code != QE_OK;

    if (self->settings->method != QE_RMQ_AUTO) {
        return false;
    }
    if (sampling->poll.way == QE_RMQ_METRICS) {
        if (has_gap && !self->management_failed) {
            self->metrics_failed = true;
            note_first(&sampling->extra_error, &sampling->poll.gap);
            sampling->poll.way = management_way(self);
            return true;
        }
        return false;
    }
    if (!is_good && self->endpoints_count > 0 && !self->metrics_failed) {
        self->management_failed = true;
        sampling->poll.way = QE_RMQ_METRICS;
        return true;
    }
    if (self->has_statistics && lacks_totals(sampling)) {
        sampling->poll.way = QE_RMQ_STATISTICS;
        return true;
    }
    return false;
}

/* Reads depths, in another way where the first does not do. -1: nothing could be read. */
static int read_depths(struct qe_rmq_sampling *sampling, struct qe_err *err)
{
    struct qe_rmq *self = sampling->self;
    const enum qe_rmq_method first_way = sampling->poll.way;
    bool is_good = false;

    if (qe_rmq_ask_depths(sampling, err) != 0 || qe_rmq_ask_extras(sampling, err) != 0 ||
        qe_rmq_ask_nodes(sampling, err) != 0 || run(sampling, &is_good, err) != 0) {
        return -1;
    }
    if (first_way == QE_RMQ_METRICS) {
        find_untold_node(sampling);
    }
    self->has_totals =
        self->has_totals || (first_way == QE_RMQ_TOTALS && sampling->depths_count > 0);
    const bool was_good = is_good;
    const struct qe_err first_gap = sampling->poll.gap;
    const bool must_turn = turn(sampling, is_good);
    const bool may_turn = has_time(sampling);

    if (must_turn && may_turn) {
        qe_rmq_forget_calls(sampling);
        if (qe_rmq_ask_depths(sampling, err) != 0 || run(sampling, &is_good, err) != 0) {
            return -1;
        }
        self->lacks_totals = first_way == QE_RMQ_TOTALS &&
                             sampling->poll.way == QE_RMQ_STATISTICS && sampling->depths_count > 0;
    }
    /* While a node hangs, the API does, too: then what the other nodes told is all there is. */
    if (must_turn && first_way == QE_RMQ_METRICS && was_good && (!is_good || !may_turn)) {
        self->metrics_failed = false;
        self->management_failed = true;
        sampling->poll.way = first_way;
        sampling->poll.gap = first_gap;
        is_good = true;
    }
    if (!is_good) {
        if (may_turn || !must_turn) { /* all were tried: the next poll begins anew */
            self->metrics_failed = false;
            self->management_failed = false;
        }
        *err = sampling->poll.gap;
        return -1;
    }
    self->way = sampling->poll.way;
    return 0;
}

/* --- queue by queue --- */

void qe_rmq_forget_places(struct qe_rmq *self)
{
    qe_queue_set_release(self->placed_set);
    qe_free(self->places);
    self->placed_set = NULL;
    self->places = NULL;
}

/* The set stays the same from poll to poll, and so does where its queues are. */
static int place_queues(struct qe_rmq *self, struct qe_queue_set *set, struct qe_err *err)
{
    if (self->placed_set == set) {
        return 0;
    }
    qe_rmq_forget_places(self);
    self->places = qe_calloc(set->count + 1, sizeof *self->places);
    if (self->places == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "places of %zu queues", set->count);
    }
    for (size_t i = 0; i < set->count; i++) {
        const struct qe_rmq_record *record =
            qe_rmq_table_get(self->table, set->items[i].vhost, set->items[i].name);

        self->places[i] = record == NULL ? SIZE_MAX : (size_t)(record - self->table->items);
    }
    self->placed_set = qe_queue_set_acquire(set);
    return 0;
}

static void sample_queue(struct qe_rmq_sampling *sampling, struct qe_batch *out, size_t index)
{
    const struct qe_rmq *self = sampling->self;
    struct qe_rmq_record *record =
        self->places[index] == SIZE_MAX ? NULL : &self->table->items[self->places[index]];
    struct qe_err why = {0};
    struct qe_sample sample;

    if (record == NULL) {
        (void)qe_err_set(&why, QE_ERR_NOT_FOUND, "the broker has no such queue");
    } else if (qe_rmq_merge(self, &sampling->poll, record, out->entries[index].observed_age_seconds,
                            &sample, &why) == 0) {
        qe_batch_set(out, index, &sample);
        return;
    }
    if (why.code == QE_ERR_CANCELLED) {
        qe_batch_skip(out, index);
    } else {
        qe_batch_fail(out, index, &why);
    }
}

/* The nodes, as they were told in this poll. */
static struct qe_cluster *cluster_of(const struct qe_rmq_nodes *nodes, struct qe_err *err)
{
    struct qe_cluster *cluster = qe_cluster_new(err);

    for (size_t i = 0; cluster != NULL && i < nodes->count; i++) {
        const struct qe_rmq_node *from = &nodes->items[i];
        const struct qe_node node = {.name = from->name,
                                     .is_up = from->is_running,
                                     .details_known = from->alarms_known,
                                     .has_memory_alarm = from->has_memory_alarm,
                                     .has_disk_alarm = from->has_disk_alarm,
                                     .partitions_count = from->partitions_count};

        if (qe_cluster_add(cluster, &node, err) != 0) {
            qe_cluster_release(cluster);
            return NULL;
        }
    }
    return cluster;
}

/* A node took its share of the counters with it: what they said before is of no use now. */
static void forget_histories(struct qe_rmq_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        struct qe_rmq_record *record = &table->items[i];
        struct qe_rmq_held *held = &record->held[QE_RMQ_EXTRA_STATISTICS];

        qe_rmq_history_destroy(record->history);
        record->history = NULL;
        if (held->age_is_estimate) {
            held->age_seconds = -1;
        }
    }
}

static void sample_queues(struct qe_rmq_sampling *sampling, struct qe_batch *out)
{
    if (sampling->self->nodes_restarted) {
        forget_histories(sampling->self->table);
        sampling->self->nodes_restarted = false;
    }
    for (size_t i = 0; i < out->set->count; i++) {
        sample_queue(sampling, out, i);
    }
    out->relist = out->relist || sampling->nodes_changed;
    if (out->first_error.code == QE_OK) {
        out->first_error = sampling->self->incomplete;
    }
    if (out->first_error.code == QE_OK) {
        out->first_error = sampling->extra_error;
    }
}

/* A handle that was never asked for a list knows no queues. */
static int learn_queues(struct qe_rmq *self, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_queue_list list = {0};
    const int rc = self->table != NULL ? 0 : qe_rmq_list(self, deadline_mono_ms, &list, err);

    qe_queue_list_deinit(&list);
    return rc;
}

int qe_rmq_sample(void *handle, int64_t deadline_mono_ms, struct qe_batch *out, struct qe_err *err)
{
    struct qe_rmq *self = handle;
    struct qe_rmq_sampling sampling = {.self = self, .deadline_mono_ms = deadline_mono_ms};
    struct qe_cluster *cluster = NULL;
    int rc = learn_queues(self, deadline_mono_ms, err);

    if (rc != 0) {
        return -1;
    }
    if (self->settings->method == QE_RMQ_STATISTICS && !self->has_statistics) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED,
                          "the broker's statistics are off: choose method auto, metrics or totals");
    }
    sampling.poll.now_mono_ms = qe_clock_mono_ms();
    sampling.poll.now_unix_ms = qe_clock_unix_ms();
    note_poll(self, sampling.poll.now_mono_ms);
    sampling.poll.way = choose_way(self);
    rc = place_queues(self, out->set, err) != 0 ? -1 : read_depths(&sampling, err);
    if (rc == 0 && sampling.nodes_told) {
        cluster = cluster_of(&self->nodes, err);
        rc = cluster == NULL ? -1 : 0;
    }
    if (rc == 0) {
        out->cluster = cluster;
        out->method = s_ways[sampling.poll.way];
        sample_queues(&sampling, out);
    }
    qe_rmq_forget_calls(&sampling);
    qe_rmq_nodes_deinit(&sampling.told_nodes);
    return rc;
}
