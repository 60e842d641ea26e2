#include "model/store.h"

#include <pthread.h>
#include <string.h>

#include "model/snapshot_internal.h"
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
    /* One publisher at a time: the poller, or the main thread when something expires. Held while a
     * snapshot is made and rendered; no reader ever waits for it. Guards all below. */
    pthread_mutex_t publishing;
    /* NULL while closed. Written with store->lock too, under which any thread reads it. */
    struct qe_snapshot *current;
    qe_objective_fn *objective; /* what the published objectives were asked of */
    const void *objective_context;
    int64_t next_expiry_mono_ms;    /* of a sample; INT64_MAX none */
    int64_t last_published_mono_ms; /* when the last poll ended */
    bool is_taken_down;             /* since then, because the next one does not end */
    bool is_to_be_told;             /* and nobody has said so in the log yet; main thread only */
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

static struct qe_snapshot *snapshot_of(const struct qe_slot *slot, struct qe_queue_set *set,
                                       struct qe_err *err)
{
    const struct qe_snapshot_origin origin = {
        .source = slot->source, .backend = slot->backend, .renderer = slot->store->renderer};

    return qe_snapshot_new(&origin, set, err);
}

/* Renders on this thread, outside any lock, and makes the snapshot the newest one. Takes it, also
 * on failure. Every change that readers can see goes through here. */
static int show_take(struct qe_slot *slot, struct qe_snapshot *snapshot, int64_t now_mono_ms,
                     struct qe_err *err)
{
    const struct qe_renderer *renderer = snapshot->renderer;
    int64_t next_expiry_mono_ms =
        qe_snapshot_drop_stale(snapshot, slot->stale_after_ms, now_mono_ms);

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

static int publish_locked(struct qe_slot *slot, const struct qe_batch *batch,
                          const struct qe_poll_report *report, struct qe_err *err)
{
    struct qe_snapshot *snapshot = snapshot_of(slot, choose_set(slot, batch), err);

    if (snapshot == NULL) {
        return -1;
    }
    qe_snapshot_carry_over(snapshot, slot->current);
    qe_snapshot_take_poll(snapshot, batch, report);
    qe_snapshot_judge_backlogs(snapshot, batch, report, slot->store->stats);
    ask_objectives(slot, snapshot, report);
    if (show_take(slot, snapshot, report->now_mono_ms, err) != 0) {
        return -1;
    }
    slot->last_published_mono_ms = report->now_mono_ms;
    slot->is_taken_down = false;
    slot->objective = report->objective;
    slot->objective_context = report->objective_context;
    if (batch != NULL) {
        remember_twin(slot, batch->set);
    }
    return 0;
}

int qe_slot_publish(struct qe_slot *slot, const struct qe_batch *batch,
                    const struct qe_poll_report *report, struct qe_err *err)
{
    if (batch == NULL && report->error.code == QE_ERR_CANCELLED) {
        return 0;
    }
    pthread_mutex_lock(&slot->publishing);
    int rc = slot->current != NULL ? publish_locked(slot, batch, report, err) : 0;

    pthread_mutex_unlock(&slot->publishing);
    return rc;
}

/* The poller sits in a call that does not come back, and that is not shown yet. Nor is it by a
 * source that was down before: its queues may be up. */
static bool is_hanging(const struct qe_slot *slot, int64_t now_mono_ms)
{
    return slot->current->status.polled && !slot->is_taken_down &&
           (now_mono_ms - slot->last_published_mono_ms) / 2 > slot->stale_after_ms;
}

static int expire_locked(struct qe_slot *slot, int64_t now_mono_ms, struct qe_err *err)
{
    bool hanging = is_hanging(slot, now_mono_ms);

    if (now_mono_ms < slot->next_expiry_mono_ms && !hanging) {
        return 0;
    }
    struct qe_snapshot *snapshot = snapshot_of(slot, slot->current->set, err);

    if (snapshot == NULL) {
        return -1;
    }
    qe_snapshot_carry_over(snapshot, slot->current);
    if (hanging) {
        qe_snapshot_take_hang(snapshot, now_mono_ms - slot->last_published_mono_ms);
    }
    if (show_take(slot, snapshot, now_mono_ms, err) != 0) {
        return -1;
    }
    slot->is_taken_down = slot->is_taken_down || hanging;
    slot->is_to_be_told = slot->is_to_be_told || hanging;
    return 0;
}

int qe_store_expire(struct qe_store *store, int64_t now_mono_ms, struct qe_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < store->open_count; i++) { /* only this thread opens and closes */
        struct qe_slot *slot = store->open[i];

        pthread_mutex_lock(&slot->publishing);
        if (expire_locked(slot, now_mono_ms, err) != 0) {
            rc = -1;
        }
        pthread_mutex_unlock(&slot->publishing);
    }
    return rc;
}

const char *qe_store_next_hanging(struct qe_store *store)
{
    for (size_t i = 0; i < store->open_count; i++) {
        if (store->open[i]->is_to_be_told) {
            store->open[i]->is_to_be_told = false;
            return store->open[i]->source;
        }
    }
    return NULL;
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
    (void)pthread_mutex_destroy(&slot->publishing);
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

static struct qe_slot *slot_new(struct qe_store *store, const char *source, struct qe_err *err)
{
    struct qe_slot *slot = qe_calloc(1, sizeof *slot);

    if (slot == NULL || pthread_mutex_init(&slot->publishing, NULL) != 0) {
        qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory for its slot", source);
        qe_free(slot);
        return NULL;
    }
    slot->store = store;
    slot->next_expiry_mono_ms = INT64_MAX;
    slot->source = qe_strdup(source);
    if (slot->source == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory for its slot", source);
        slot_destroy(slot);
        return NULL;
    }
    return slot;
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
    if (qe_grow(&store->slots, store->slots_count, &store->slots_capacity, SLOTS_MAX,
                sizeof(struct qe_slot *)) != 0) {
        qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory for its slot", source);
        return NULL;
    }
    struct qe_slot *slot = slot_new(store, source, err);

    if (slot != NULL) {
        store->slots[store->slots_count] = slot;
        store->slots_count++;
    }
    return slot;
}

static void insert_open(struct qe_store *store, struct qe_slot *slot)
{
    size_t at = 0;

    pthread_mutex_lock(&store->lock);
    for (; at < store->open_count && strcmp(store->open[at]->source, slot->source) < 0; at++) {
    }
    for (size_t i = store->open_count; i > at; i--) {
        store->open[i] = store->open[i - 1];
    }
    store->open[at] = slot;
    store->open_count++;
    pthread_mutex_unlock(&store->lock);
    slot->is_open = true;
}

static int show_first(struct qe_slot *slot, const char *backend, int64_t stale_after_ms,
                      struct qe_err *err)
{
    slot->backend = backend;
    slot->stale_after_ms = stale_after_ms;
    struct qe_snapshot *first = snapshot_of(slot, NULL, err);

    if (first == NULL) {
        return -1;
    }
    if (slot->closed_status.poll_duration_seconds.layout != NULL) {
        qe_source_status_keep_counters(&first->status, &slot->closed_status);
    }
    return show_take(slot, first, 0, err);
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
    pthread_mutex_lock(&slot->publishing); /* against a poll of its former life */
    int rc = show_first(slot, backend, stale_after_ms, err);

    pthread_mutex_unlock(&slot->publishing);
    if (rc != 0) {
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
    pthread_mutex_lock(&slot->publishing); /* a poll that is publishing ends first */
    pthread_mutex_lock(&store->lock);
    size_t at = 0;

    for (; at < store->open_count && store->open[at] != slot; at++) {
    }
    for (size_t i = at + 1; i < store->open_count; i++) {
        store->open[i - 1] = store->open[i];
    }
    store->open_count--; /* an open slot is always found */
    struct qe_snapshot *last = slot->current;

    slot->current = NULL;
    pthread_mutex_unlock(&store->lock);
    slot->is_open = false;
    qe_source_status_keep_counters(&slot->closed_status, &last->status);
    qe_snapshot_release(last);
    slot->next_expiry_mono_ms = INT64_MAX;
    slot->is_taken_down = false;
    slot->is_to_be_told = false;
    qe_queue_set_release(slot->twin);
    slot->twin = NULL;
    pthread_mutex_unlock(&slot->publishing);
}

size_t qe_store_acquire_all(struct qe_store *store, struct qe_snapshot *out[QE_SOURCES_MAX])
{
    pthread_mutex_lock(&store->lock);
    size_t count = store->open_count;

    for (size_t i = 0; i < count; i++) {
        out[i] = qe_snapshot_acquire(store->open[i]->current);
    }
    pthread_mutex_unlock(&store->lock);
    return count;
}
