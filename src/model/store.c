#include "model/store.h"

#include <pthread.h>
#include <string.h>

#include "util/mem.h"

/* Slots stay until the end, because counters survive a reload: a cap for whoever reloads for ever
 * with new names. */
#define SLOTS_MAX 10000

struct qe_slot {
    struct qe_store *store; /* borrowed */
    char *source;           /* owned */
    const char *backend;    /* static */
    int64_t stale_after_ms;
    bool is_open;
    struct qe_source_status closed_status; /* the counters while it is closed */
    /* NULL while closed. Guarded by store->lock where the publisher writes and any thread reads;
     * the publisher, the only writer, reads it without. */
    struct qe_snapshot *current;
    /* The rest is the publisher's own. */
    qe_objective_fn *objective; /* what the published objectives were asked of */
    const void *objective_context;
    int64_t next_expiry_mono_ms;
    /* The set last offered that equals current->set; NULL when none. Saves the comparison. */
    struct qe_queue_set *twin;
};

struct qe_store {
    const struct qe_renderer *renderer; /* borrowed, may be NULL */
    struct qe_stats *stats;             /* borrowed */
    /* Guards open[], open_count and every slot's current. Held for pointer copies only. */
    pthread_mutex_t lock;
    struct qe_slot *open[QE_SOURCES_MAX]; /* sorted by source */
    size_t open_count;
    struct qe_slot **slots; /* owned: every slot there ever was; main thread only */
    size_t slots_count;
    size_t slots_capacity;
};

/* --- snapshots --- */

static struct qe_snapshot *acquire(struct qe_snapshot *snapshot)
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
    qe_free(snapshot->states);
    qe_free(snapshot);
}

/* An unpublished snapshot of `set` (may be NULL), its states zeroed. */
static struct qe_snapshot *snapshot_new(const struct qe_slot *slot, struct qe_queue_set *set,
                                        struct qe_err *err)
{
    struct qe_snapshot *snapshot = qe_calloc(1, sizeof *snapshot);

    if (snapshot == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory for a snapshot", slot->source);
        return NULL;
    }
    atomic_init(&snapshot->refs, 1);
    snapshot->source = slot->source;
    snapshot->backend = slot->backend;
    snapshot->renderer = slot->store->renderer;
    qe_histogram_init(&snapshot->status.poll_duration_seconds, &qe_histogram_durations);
    if (set != NULL && set->count > 0) {
        snapshot->states = qe_calloc(set->count, sizeof *snapshot->states);
        if (snapshot->states == NULL) {
            qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory for the states of %zu queues",
                       slot->source, set->count);
            qe_snapshot_release(snapshot);
            return NULL;
        }
    }
    snapshot->set = set == NULL ? NULL : qe_queue_set_acquire(set);
    return snapshot;
}

static int64_t expiry_of(const struct qe_slot *slot, const struct qe_queue_state *state)
{
    if (state->sample.known == 0) {
        return INT64_MAX;
    }
    return slot->stale_after_ms > INT64_MAX - state->last_success_mono_ms
               ? INT64_MAX
               : state->last_success_mono_ms + slot->stale_after_ms;
}

/* Drops what is stale; returns when the next sample will be. */
static int64_t drop_stale(const struct qe_slot *slot, struct qe_snapshot *snapshot,
                          int64_t now_mono_ms)
{
    size_t count = snapshot->set == NULL ? 0 : snapshot->set->count;
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < count; i++) {
        int64_t expiry = expiry_of(slot, &snapshot->states[i]);

        if (expiry <= now_mono_ms) {
            snapshot->states[i].sample.known = 0;
        } else if (expiry < next) {
            next = expiry;
        }
    }
    return next;
}

/* Renders on this thread, outside any lock, and makes the snapshot the newest one. Takes it, also
 * on failure. Every change that readers can see goes through here. */
static int show_take(struct qe_slot *slot, struct qe_snapshot *snapshot, int64_t now_mono_ms,
                     struct qe_err *err)
{
    const struct qe_renderer *renderer = snapshot->renderer;
    int64_t next_expiry_mono_ms = drop_stale(slot, snapshot, now_mono_ms);

    if (renderer != NULL) {
        snapshot->rendered = renderer->render(snapshot, renderer->context, err);
        if (snapshot->rendered == NULL) {
            qe_snapshot_release(snapshot);
            return -1;
        }
    }
    pthread_mutex_lock(&slot->store->lock);
    struct qe_snapshot *old = slot->current;

    slot->current = snapshot;
    pthread_mutex_unlock(&slot->store->lock);
    slot->next_expiry_mono_ms = next_expiry_mono_ms;
    qe_snapshot_release(old);
    return 0;
}

/* --- publishing --- */

/* The set the next snapshot points at: the published one when the batch's says the same. */
static struct qe_queue_set *choose_set(const struct qe_slot *slot, const struct qe_batch *batch)
{
    struct qe_queue_set *published = slot->current->set;

    if (batch == NULL || published == NULL) {
        return batch == NULL ? published : batch->set;
    }
    if (batch->set == slot->twin || qe_queue_set_equal(published, batch->set)) {
        return published;
    }
    return batch->set;
}

/* Remembers that the batch's set is the published one by another address. */
static void remember_twin(struct qe_slot *slot, struct qe_queue_set *offered)
{
    if (offered == slot->twin) {
        return;
    }
    qe_queue_set_release(slot->twin);
    slot->twin = offered == slot->current->set ? NULL : qe_queue_set_acquire(offered);
}

/* Copies the states of queues that are in both sets. Both are sorted: one walk. */
static void carry_over(struct qe_snapshot *snapshot, const struct qe_snapshot *old)
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

static void take_entry(struct qe_queue_state *state, const struct qe_batch_entry *entry,
                       const struct qe_poll_report *report)
{
    if (entry->error == QE_ERR_CANCELLED) { /* nobody asked: what was known stays as it was */
        return;
    }
    state->asked = true;
    state->up = entry->error == QE_OK;
    if (entry->error == QE_OK) {
        state->sample = entry->sample;
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

/* Objectives are regular expressions, too dear for every queue of every poll: asked for a new set,
 * or when somebody else is to be asked. */
static void ask_objectives(struct qe_slot *slot, struct qe_snapshot *snapshot,
                           const struct qe_poll_report *report)
{
    size_t count = snapshot->set == NULL ? 0 : snapshot->set->count;

    if (snapshot->set == slot->current->set && report->objective == slot->objective &&
        report->objective_context == slot->objective_context) {
        return; /* carried over */
    }
    for (size_t i = 0; i < count; i++) {
        const struct qe_queue *queue = &snapshot->set->items[i];

        snapshot->states[i].objective_oldest_age_seconds =
            report->objective == NULL
                ? -1
                : report->objective(report->objective_context, snapshot->source, queue->vhost,
                                    queue->name);
    }
}

static void take_report(struct qe_source_status *status, const struct qe_batch *batch,
                        const struct qe_poll_report *report)
{
    enum qe_err_code code = report->error.code;

    status->polled = true;
    status->up = code == QE_OK;
    status->polls_total++;
    if (code != QE_OK && (unsigned)code < QE_ERR_COUNT) {
        status->poll_failures_total[code]++;
    }
    qe_histogram_observe(&status->poll_duration_seconds, report->duration_seconds);
    status->last_error = report->error;
    if (batch != NULL) {
        status->queues_listed = report->queues_listed;
        status->queues_dropped = report->queues_dropped;
        if (code == QE_OK) {
            status->last_error = batch->first_error;
        }
    }
    if (code == QE_OK) {
        status->last_success_unix_ms = report->now_unix_ms;
    }
}

int qe_slot_publish(struct qe_slot *slot, const struct qe_batch *batch,
                    const struct qe_poll_report *report, struct qe_err *err)
{
    if (batch == NULL && report->error.code == QE_ERR_CANCELLED) {
        return 0;
    }
    struct qe_snapshot *snapshot = snapshot_new(slot, choose_set(slot, batch), err);

    if (snapshot == NULL) {
        return -1;
    }
    /* Only readers hold the old one: its atomics rest, and plain copies are exact. */
    snapshot->status = slot->current->status;
    carry_over(snapshot, slot->current);
    take_batch(snapshot, batch, report);
    ask_objectives(slot, snapshot, report);
    take_report(&snapshot->status, batch, report);
    if (show_take(slot, snapshot, report->now_mono_ms, err) != 0) {
        return -1;
    }
    slot->objective = report->objective;
    slot->objective_context = report->objective_context;
    if (batch != NULL) {
        remember_twin(slot, batch->set);
    }
    return 0;
}

int64_t qe_slot_next_expiry_mono_ms(const struct qe_slot *slot)
{
    return slot->next_expiry_mono_ms;
}

int qe_slot_expire(struct qe_slot *slot, int64_t now_mono_ms, struct qe_err *err)
{
    if (now_mono_ms < slot->next_expiry_mono_ms) {
        return 0;
    }
    struct qe_snapshot *snapshot = snapshot_new(slot, slot->current->set, err);

    if (snapshot == NULL) {
        return -1;
    }
    snapshot->status = slot->current->status;
    carry_over(snapshot, slot->current);
    return show_take(slot, snapshot, now_mono_ms, err);
}

/* --- the store --- */

struct qe_store *qe_store_new(const struct qe_renderer *renderer, struct qe_stats *stats,
                              struct qe_err *err)
{
    struct qe_store *store = qe_calloc(1, sizeof *store);

    if (store == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for the store");
        return NULL;
    }
    int rc = pthread_mutex_init(&store->lock, NULL);

    if (rc != 0) {
        qe_err_set_errno(err, rc, "cannot make the store's lock");
        qe_free(store);
        return NULL;
    }
    store->renderer = renderer;
    store->stats = stats;
    return store;
}

static void slot_destroy(struct qe_slot *slot)
{
    qe_queue_set_release(slot->twin);
    qe_snapshot_release(slot->current);
    qe_free(slot->source);
    qe_free(slot);
}

void qe_store_destroy(struct qe_store *store)
{
    if (store == NULL) {
        return;
    }
    for (size_t i = 0; i < store->slots_count; i++) {
        slot_destroy(store->slots[i]);
    }
    qe_free(store->slots);
    (void)pthread_mutex_destroy(&store->lock);
    qe_free(store);
}

struct qe_stats *qe_store_stats(const struct qe_store *store)
{
    return store->stats;
}

/* The slot of `source`, open or closed, made when there is none. */
static struct qe_slot *find_or_add(struct qe_store *store, const char *source, struct qe_err *err)
{
    for (size_t i = 0; i < store->slots_count; i++) {
        if (strcmp(store->slots[i]->source, source) == 0) {
            return store->slots[i];
        }
    }
    if (store->slots_count >= SLOTS_MAX) {
        qe_err_set(err, QE_ERR_LIMIT, "more than %d sources since the start", SLOTS_MAX);
        return NULL;
    }
    struct qe_slot *slot = qe_calloc(1, sizeof *slot);

    if (slot != NULL) {
        slot->source = qe_strdup(source);
    }
    if (slot == NULL || slot->source == NULL ||
        qe_grow(&store->slots, store->slots_count, &store->slots_capacity, SLOTS_MAX,
                sizeof(struct qe_slot *)) != 0) {
        qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory for its slot", source);
        if (slot != NULL) {
            slot_destroy(slot);
        }
        return NULL;
    }
    slot->store = store;
    slot->next_expiry_mono_ms = INT64_MAX;
    store->slots[store->slots_count] = slot;
    store->slots_count++;
    return slot;
}

/* What outlives the samples: the counters. */
static void keep_counters(struct qe_source_status *status, const struct qe_source_status *old)
{
    status->polls_total = old->polls_total;
    memcpy(status->poll_failures_total, old->poll_failures_total,
           sizeof status->poll_failures_total);
    qe_histogram_copy(&status->poll_duration_seconds, &old->poll_duration_seconds);
}

static void insert_open(struct qe_store *store, struct qe_slot *slot)
{
    size_t at = 0;

    pthread_mutex_lock(&store->lock);
    for (; at < store->open_count && strcmp(store->open[at]->source, slot->source) < 0; at++) {
    }
    memmove(&store->open[at + 1], &store->open[at],
            (store->open_count - at) * sizeof store->open[0]);
    store->open[at] = slot;
    store->open_count++;
    pthread_mutex_unlock(&store->lock);
    slot->is_open = true;
}

struct qe_slot *qe_store_open(struct qe_store *store, const char *source, const char *backend,
                              int64_t stale_after_ms, struct qe_err *err)
{
    struct qe_slot *slot = find_or_add(store, source, err);

    if (slot == NULL) {
        return NULL;
    }
    if (slot->is_open) {
        qe_err_set(err, QE_ERR_INVALID, "source %s is open already", source);
        return NULL;
    }
    if (store->open_count >= QE_SOURCES_MAX) { /* written by this thread only */
        qe_err_set(err, QE_ERR_LIMIT, "more than %d sources", QE_SOURCES_MAX);
        return NULL;
    }
    slot->backend = backend;
    slot->stale_after_ms = stale_after_ms;
    struct qe_snapshot *first = snapshot_new(slot, NULL, err);

    if (first == NULL) {
        return NULL;
    }
    if (slot->closed_status.poll_duration_seconds.layout != NULL) {
        keep_counters(&first->status, &slot->closed_status);
    }
    if (show_take(slot, first, 0, err) != 0) {
        return NULL;
    }
    insert_open(store, slot);
    return slot;
}

void qe_store_close(struct qe_store *store, struct qe_slot *slot)
{
    if (!slot->is_open) {
        return;
    }
    pthread_mutex_lock(&store->lock);
    size_t at = 0;

    for (; at < store->open_count && store->open[at] != slot; at++) {
    }
    if (at < store->open_count) {
        memmove(&store->open[at], &store->open[at + 1],
                (store->open_count - at - 1) * sizeof store->open[0]);
        store->open_count--;
    }
    struct qe_snapshot *last = slot->current;

    slot->current = NULL;
    pthread_mutex_unlock(&store->lock);
    slot->is_open = false;
    keep_counters(&slot->closed_status, &last->status);
    qe_snapshot_release(last);
    slot->next_expiry_mono_ms = INT64_MAX;
    qe_queue_set_release(slot->twin);
    slot->twin = NULL;
}

size_t qe_store_acquire_all(struct qe_store *store, struct qe_snapshot *out[QE_SOURCES_MAX])
{
    pthread_mutex_lock(&store->lock);
    size_t count = store->open_count;

    for (size_t i = 0; i < count; i++) {
        out[i] = acquire(store->open[i]->current);
    }
    pthread_mutex_unlock(&store->lock);
    return count;
}
