/* top: which queues are shown, and in which order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/derive.h"
#include "queuectl/top.h"
#include "util/mem.h"

/* --- one row --- */

static double value_of(const struct qe_sample *sample, enum qe_field field)
{
    return qe_sample_has(sample, field) ? sample->values[field] : -1;
}

/* All that waits in the queue's dead-letter queues; not known unless each of them is. Links to and
 * from queues that send everything back after a while are left out. */
static double dead_letters_of(const struct qe_snapshot *snapshot, size_t index)
{
    const struct qe_queue *queue = &snapshot->set->items[index];
    double sum = -1;

    for (size_t i = 0; i < queue->links_count; i++) {
        const size_t target = snapshot->set->link_targets[index][i];
        double messages = 0;

        if (target != SIZE_MAX && !snapshot->set->is_dead_letter_queue[target]) {
            continue;
        }
        if (!qe_derive_dead_letter_messages(snapshot, index, i, &messages)) {
            return -1;
        }
        sum = (sum < 0 ? 0 : sum) + messages;
    }
    return sum;
}

static double held_by(const struct top_row *row)
{
    if (row->ready < 0) {
        return -1;
    }
    return row->ready + (row->in_flight > 0 ? row->in_flight : 0) +
           (row->delayed > 0 ? row->delayed : 0);
}

/* The own verdict, or the one of the exporter, which has watched for longer. */
static enum qe_backlog_state state_of(struct top_feed *feed, const struct top_row *row,
                                      const struct qe_backlog *backlog)
{
    const char *told = NULL;

    if (backlog->state != QE_BACKLOG_UNKNOWN) {
        return (enum qe_backlog_state)backlog->state;
    }
    feed->has_unknown = true;
    told = ctl_trends_of(&feed->trends, row->source->settings->name, row->queue->vhost,
                         row->queue->name);
    for (int i = 0; told != NULL && i < QE_BACKLOG_STATE_COUNT; i++) {
        if (strcmp(told, qe_backlog_state_name((enum qe_backlog_state)i)) == 0) {
            return (enum qe_backlog_state)i;
        }
    }
    return QE_BACKLOG_UNKNOWN;
}

static bool is_problem(const struct top_row *row, const struct qe_queue_state *state)
{
    const double objective = state->objective_oldest_age_seconds;

    return (state->asked && !row->is_read) || row->state == QE_BACKLOG_GROWING ||
           row->state == QE_BACKLOG_STALLED || row->state == QE_BACKLOG_NO_CONSUMERS ||
           row->dead_letters > 0 || (objective >= 0 && row->age_seconds > objective);
}

static void fill_rates(struct top_row *row, const struct qe_rate *rate)
{
    double per_second = 0;

    row->in_per_second = qe_rate_in(rate, &per_second) ? per_second : -1;
    row->out_per_second = qe_rate_out(rate, &per_second) ? per_second : -1;
}

static struct top_row row_of(struct top_feed *feed, const struct top_source *source, size_t index,
                             int64_t now_mono_ms)
{
    const struct qe_snapshot *snapshot = source->snapshot;
    const struct qe_queue_state *state = &snapshot->states[index];
    const struct qe_sample *sample = &state->sample;
    double value = 0;
    struct top_row row = {
        .source = source,
        .queue = &snapshot->set->items[index],
        .ready = value_of(sample, QE_FIELD_READY_MESSAGES),
        .in_flight = value_of(sample, QE_FIELD_IN_FLIGHT_MESSAGES),
        .delayed = value_of(sample, QE_FIELD_DELAYED_MESSAGES),
        .consumers = value_of(sample, QE_FIELD_CONSUMERS),
        .age_seconds = value_of(sample, QE_FIELD_OLDEST_AGE_SECONDS),
        .is_dead_letter_queue = snapshot->set->is_dead_letter_queue[index],
        .is_read = state->up && sample->known != 0,
        .read_age_ms = sample->known != 0 ? now_mono_ms - state->last_success_mono_ms : -1,
    };

    fill_rates(&row, &source->rates[index]);
    row.drain_seconds = qe_backlog_drain_seconds(&state->backlog, &value) ? value : -1;
    row.expires_seconds = qe_derive_expiry_margin(snapshot, index, &value) ? value : -1;
    row.dead_letters = row.is_dead_letter_queue ? held_by(&row) : dead_letters_of(snapshot, index);
    row.state = state_of(feed, &row, &state->backlog);
    row.is_problem = is_problem(&row, state);
    return row;
}

/* --- which --- */

/* In its name, or in "source/vhost/queue", as it is shown. */
static bool is_found(const struct qe_regex *filter, const struct top_row *row)
{
    const char *vhost = qe_queue_foreign_vhost(row->queue, row->source->driver->default_vhost);
    char label[1024];
    struct qe_err ignored = {0};
    int length = snprintf(label, sizeof label, "%s/%s%s%s", row->source->settings->name, vhost,
                          *vhost != '\0' ? "/" : "", row->queue->name);
    size_t count = length < 0                      ? 0
                   : (size_t)length < sizeof label ? (size_t)length
                                                   : sizeof label - 1;

    return qe_regex_found(filter, row->queue->name, strlen(row->queue->name), &ignored) == 1 ||
           qe_regex_found(filter, label, count, &ignored) == 1;
}

static int add_source(struct top_rows *rows, struct top_feed *feed, const struct top_source *source,
                      const struct top_view *view, int64_t now_mono_ms, struct qe_err *err)
{
    const struct qe_queue_set *set = source->snapshot != NULL ? source->snapshot->set : NULL;

    for (size_t i = 0; set != NULL && i < set->count; i++) {
        struct top_row row = row_of(feed, source, i, now_mono_ms);

        rows->queues++;
        rows->problems += row.is_problem ? 1 : 0;
        if ((view->only_problems && !row.is_problem) ||
            (view->filter != NULL && !is_found(view->filter, &row))) {
            continue;
        }
        if (qe_grow(&rows->items, rows->count, &rows->capacity, QE_QUEUES_MAX, sizeof row) != 0) {
            return qe_err_set(err, QE_ERR_NOMEM, "%zu queues", rows->count);
        }
        rows->items[rows->count++] = row;
    }
    return 0;
}

/* --- in which order --- */

static int by_name(const struct top_row *a, const struct top_row *b)
{
    int order = strcmp(a->source->settings->name, b->source->settings->name);

    return order != 0 ? order : qe_queue_compare(a->queue, b->queue);
}

/* What is not known comes last, whichever way. */
static int by_number(double a, double b, bool is_reversed)
{
    if (a < 0 || b < 0 || a == b) {
        return (a < 0) - (b < 0);
    }
    return (a > b) == is_reversed ? 1 : -1;
}

/* The worst first. */
static double weight_of(enum qe_backlog_state state)
{
    static const double weights[QE_BACKLOG_STATE_COUNT] = {
        [QE_BACKLOG_STALLED] = 6,  [QE_BACKLOG_NO_CONSUMERS] = 5, [QE_BACKLOG_GROWING] = 4,
        [QE_BACKLOG_DRAINING] = 3, [QE_BACKLOG_STEADY] = 2,       [QE_BACKLOG_IDLE] = 1,
        [QE_BACKLOG_UNKNOWN] = -1};

    return weights[state];
}

static double key_of(const struct top_row *row, enum top_sort sort)
{
    switch (sort) {
    case TOP_SORT_AGE:
        return row->age_seconds;
    case TOP_SORT_IN:
        return row->in_per_second;
    case TOP_SORT_OUT:
        return row->out_per_second;
    case TOP_SORT_DEAD_LETTERS:
        return row->dead_letters;
    case TOP_SORT_STATE:
        return row->is_read ? weight_of(row->state) : QE_BACKLOG_STATE_COUNT;
    case TOP_SORT_DEPTH:
    case TOP_SORT_NAME:
    case TOP_SORT_COUNT:
        break;
    }
    return held_by(row);
}

/* The same for all comparisons of one sort: qsort() hands nothing through. Main thread only. */
static const struct top_view *s_sorted_by;

static int compare(const void *a, const void *b)
{
    const struct top_view *view = s_sorted_by;
    int order = 0;

    if (view->sort != TOP_SORT_NAME) {
        order = by_number(key_of(a, view->sort), key_of(b, view->sort), view->is_reversed);
    } else if (view->is_reversed) {
        return -by_name(a, b);
    }
    return order != 0 ? order : by_name(a, b);
}

int top_rows_make(struct top_rows *rows, struct top_feed *feed, const struct top_view *view,
                  int64_t now_mono_ms, struct qe_err *err)
{
    rows->count = rows->queues = rows->problems = 0;
    feed->has_unknown = false;
    for (size_t i = 0; i < feed->count; i++) {
        if (add_source(rows, feed, &feed->sources[i], view, now_mono_ms, err) != 0) {
            return -1;
        }
    }
    if (rows->count > 0) {
        s_sorted_by = view;
        qsort(rows->items, rows->count, sizeof rows->items[0], compare);
    }
    return 0;
}

void top_rows_deinit(struct top_rows *rows)
{
    qe_free(rows->items);
    *rows = (struct top_rows){0};
}
