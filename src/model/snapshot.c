#include <string.h>

#include "model/snapshot_internal.h"
#include "util/mem.h"
#include "util/text.h"

struct qe_snapshot *qe_snapshot_acquire(struct qe_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void qe_snapshot_release(struct qe_snapshot *snapshot)
{
    if (snapshot == NULL ||
        atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (snapshot->rendered != NULL) {
        snapshot->renderer->destroy(snapshot->rendered);
    }
    qe_queue_set_release(snapshot->set);
    qe_cluster_release(snapshot->cluster);
    qe_free(snapshot->states);
    qe_free(snapshot);
}

struct qe_snapshot *qe_snapshot_new(const struct qe_snapshot_origin *origin,
                                    struct qe_queue_set *set, struct qe_err *err)
{
    struct qe_snapshot *snapshot = qe_calloc(1, sizeof *snapshot);

    if (snapshot == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory for a snapshot", origin->source);
        return NULL;
    }
    atomic_init(&snapshot->refs, 1);
    snapshot->source = origin->source;
    snapshot->backend = origin->backend;
    snapshot->renderer = origin->renderer;
    qe_histogram_init(&snapshot->status.poll_duration_seconds, &qe_histogram_durations);
    if (set != NULL && set->count > 0) {
        snapshot->states = qe_calloc(set->count, sizeof *snapshot->states);
        if (snapshot->states == NULL) {
            qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory for the states of %zu queues",
                       origin->source, set->count);
            qe_snapshot_release(snapshot);
            return NULL;
        }
    }
    snapshot->set = set == NULL ? NULL : qe_queue_set_acquire(set);
    return snapshot;
}

static int64_t expiry_of(const struct qe_queue_state *state, int64_t stale_after_ms)
{
    const int64_t most = INT64_MAX - state->last_success_mono_ms;

    if (state->sample.known == 0 || state->extra_wait_ms > most ||
        stale_after_ms > most - state->extra_wait_ms) {
        return INT64_MAX;
    }
    return state->last_success_mono_ms + stale_after_ms + state->extra_wait_ms;
}

/* INT64_MAX: there is none (any more). */
static int64_t drop_stale_cluster(struct qe_snapshot *snapshot, int64_t stale_after_ms,
                                  int64_t now_mono_ms)
{
    if (snapshot->cluster == NULL || stale_after_ms > INT64_MAX - snapshot->cluster_mono_ms) {
        return INT64_MAX;
    }
    const int64_t expiry = snapshot->cluster_mono_ms + stale_after_ms;

    if (expiry > now_mono_ms) {
        return expiry;
    }
    qe_cluster_release(snapshot->cluster);
    snapshot->cluster = NULL;
    return INT64_MAX;
}

int64_t qe_snapshot_drop_stale(struct qe_snapshot *snapshot, int64_t stale_after_ms,
                               int64_t now_mono_ms)
{
    size_t count = snapshot->set == NULL ? 0 : snapshot->set->count;
    int64_t next = drop_stale_cluster(snapshot, stale_after_ms, now_mono_ms);

    for (size_t i = 0; i < count; i++) {
        int64_t expiry = expiry_of(&snapshot->states[i], stale_after_ms);

        if (expiry <= now_mono_ms) {
            snapshot->states[i].sample.known = 0;
            snapshot->states[i].backlog = (struct qe_backlog){0}; /* a gap proves nothing */
        } else if (expiry < next) {
            next = expiry;
        }
    }
    return next;
}

/* Both sets are sorted: one walk. */
static void carry_states(struct qe_snapshot *snapshot, const struct qe_snapshot *old)
{
    size_t count = snapshot->set == NULL ? 0 : snapshot->set->count;
    size_t old_count = old->set == NULL ? 0 : old->set->count;
    size_t at = 0;

    if (snapshot->set == old->set) {
        if (count > 0) {
            memcpy(snapshot->states, old->states, count * sizeof *snapshot->states);
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        int order = -1;

        for (; at < old_count; at++) {
            order = qe_queue_compare(&old->set->items[at], &snapshot->set->items[i]);
            if (order >= 0) {
                break;
            }
        }
        if (order == 0) {
            snapshot->states[i] = old->states[at];
        }
    }
}

/* The source answers, so what put it down as a whole is over for this queue too. */
static void take_skip(struct qe_queue_state *state, const struct qe_batch_entry *entry)
{
    state->up = state->up || (state->answered && state->sample.known != 0);
    if (entry->extra_wait_ms > 0) {
        state->extra_wait_ms = entry->extra_wait_ms;
    }
}

static void take_entry(struct qe_queue_state *state, const struct qe_batch_entry *entry,
                       const struct qe_poll_report *report)
{
    if (entry->error == QE_ERR_CANCELLED) { /* nobody asked: what was known stays as it was */
        if (entry->skipped) {
            take_skip(state, entry);
        }
        return;
    }
    state->asked = true;
    state->answered = entry->error == QE_OK;
    state->up = state->answered;
    if (entry->error == QE_OK) {
        state->sample = entry->sample;
        state->extra_wait_ms = entry->extra_wait_ms > 0 ? entry->extra_wait_ms : 0;
        state->last_success_unix_ms = report->now_unix_ms;
        state->last_success_mono_ms = report->now_mono_ms;
    }
}

static void take_batch(struct qe_snapshot *snapshot, const struct qe_batch *batch,
                       const struct qe_poll_report *report)
{
    size_t count = snapshot->set == NULL ? 0 : snapshot->set->count;

    for (size_t i = 0; i < count; i++) {
        if (batch == NULL) {
            snapshot->states[i].up = false;
        } else {
            take_entry(&snapshot->states[i], &batch->entries[i], report);
        }
    }
}

/* A queue that failed when it was last asked, and was not asked this time. */
static bool has_older_failure(const struct qe_snapshot *snapshot, const struct qe_batch *batch)
{
    for (size_t i = 0; i < batch->set->count; i++) {
        if (batch->entries[i].skipped && snapshot->states[i].asked && !snapshot->states[i].up) {
            return true;
        }
    }
    return false;
}

/* Why the poll failed, or what went wrong with one queue: of this poll, or else of the one that
 * last asked it. */
static void take_last_error(struct qe_snapshot *snapshot, const struct qe_batch *batch,
                            const struct qe_poll_report *report)
{
    struct qe_err *last = &snapshot->status.last_error;

    if (report->error.code != QE_OK || batch == NULL) {
        *last = report->error;
    } else if (batch->first_error.code != QE_OK || !has_older_failure(snapshot, batch)) {
        *last = batch->first_error;
    }
}

static void take_report(struct qe_source_status *status, const struct qe_batch *batch,
                        const struct qe_poll_report *report)
{
    enum qe_err_code code = report->error.code;

    status->polled = true;
    status->up = code == QE_OK || report->is_read_unlisted;
    status->polls_total++;
    if (code != QE_OK && (unsigned)code < QE_ERR_COUNT) {
        status->poll_failures_total[code]++;
    }
    qe_histogram_observe(&status->poll_duration_seconds, report->duration_seconds);
    if (batch != NULL) {
        status->queues_listed = report->queues_listed;
        status->queues_dropped = report->queues_dropped;
        status->method = batch->method;
    }
    if (status->up) {
        status->last_success_unix_ms = report->now_unix_ms;
    }
}

void qe_source_status_keep_counters(struct qe_source_status *status,
                                    const struct qe_source_status *old)
{
    status->polls_total = old->polls_total;
    memcpy(status->poll_failures_total, old->poll_failures_total,
           sizeof status->poll_failures_total);
    qe_histogram_copy(&status->poll_duration_seconds, &old->poll_duration_seconds);
}

void qe_snapshot_carry_over(struct qe_snapshot *snapshot, const struct qe_snapshot *old)
{
    /* Only readers hold the old one: its atomics rest, and plain copies are exact. */
    snapshot->status = old->status;
    snapshot->judges_backlogs = old->judges_backlogs;
    snapshot->cluster = old->cluster == NULL ? NULL : qe_cluster_acquire(old->cluster);
    snapshot->cluster_mono_ms = old->cluster_mono_ms;
    carry_states(snapshot, old);
}

static void take_cluster(struct qe_snapshot *snapshot, const struct qe_batch *batch,
                         const struct qe_poll_report *report)
{
    if (batch == NULL || batch->cluster == NULL) {
        return;
    }
    qe_cluster_release(snapshot->cluster);
    snapshot->cluster = qe_cluster_acquire(batch->cluster);
    snapshot->cluster_mono_ms = report->now_mono_ms;
}

void qe_snapshot_take_poll(struct qe_snapshot *snapshot, const struct qe_batch *batch,
                           const struct qe_poll_report *report)
{
    take_batch(snapshot, batch, report);
    take_last_error(snapshot, batch, report);
    take_cluster(snapshot, batch, report);
    take_report(&snapshot->status, batch, report);
}

static uint64_t in_hand(const struct qe_consumer_stats *own)
{
    const int64_t count = atomic_load(&own->in_progress);

    return count > 0 ? (uint64_t)count : 0;
}

void qe_snapshot_judge_backlogs(struct qe_snapshot *snapshot, const struct qe_batch *batch,
                                const struct qe_poll_report *report, const struct qe_stats *stats)
{
    const struct qe_queue_set *set = snapshot->set;
    const struct qe_consumer_stats *at = stats == NULL ? NULL : qe_stats_first_consumer(stats);

    snapshot->judges_backlogs = report->state_window_ms > 0;
    if (set == NULL || batch == NULL || !snapshot->judges_backlogs) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (batch->entries[i].error != QE_OK) {
            continue;
        }
        const struct qe_queue *queue = &set->items[i];
        const struct qe_consumer_stats *own =
            qe_stats_walk(&at, snapshot->source, queue->vhost, queue->name);

        qe_backlog_observe(
            &snapshot->states[i].backlog,
            &(struct qe_backlog_reading){
                .sample = &snapshot->states[i].sample,
                .now_mono_ms = report->now_mono_ms,
                .window_ms = report->state_window_ms,
                .own_settled = own == NULL ? 0 : qe_consumer_stats_settled(own),
                .own_in_hand = own == NULL ? 0 : in_hand(own),
                .is_stream = queue->kind == QE_KIND_STREAM,
                .may_stand_still = set->is_dead_letter_queue[i] || queue->is_delay_queue});
    }
}

void qe_snapshot_take_hang(struct qe_snapshot *snapshot, int64_t silent_ms)
{
    size_t count = snapshot->set == NULL ? 0 : snapshot->set->count;
    char silence[32];

    for (size_t i = 0; i < count; i++) {
        snapshot->states[i].up = false;
    }
    snapshot->status.up = false;
    (void)qe_err_set(&snapshot->status.last_error, QE_ERR_TIMEOUT,
                     "no poll has ended for %s: a call to the source hangs",
                     qe_text_from_duration(silent_ms / 1000 * 1000, silence));
}
