/* The store: per source the newest immutable snapshot. Pollers publish, scrapes acquire; nobody
 * waits for anybody.
 *
 * Trust: a failed poll or a failed queue keeps its last good sample until stale_after (and as much
 * longer as the driver planned not to ask), then the sample disappears and the status says why. A
 * queue that is no longer listed disappears at once. Nothing is ever made up. */
#ifndef QE_MODEL_STORE_H
#define QE_MODEL_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/backlog.h"
#include "model/batch.h"
#include "model/histogram.h"
#include "model/queue.h"
#include "model/sample.h"
#include "model/stats.h"
#include "util/err.h"

#define QE_SOURCES_MAX 256

/* One queue inside a snapshot. */
struct qe_queue_state {
    struct qe_sample sample;      /* known == 0: never read, or stale */
    int64_t last_success_unix_ms; /* 0 never */
    int64_t last_success_mono_ms; /* when staleness counts from */
    int64_t extra_wait_ms; /* planned before the next reading, beyond one interval: the sample stays
                              good for stale_after and so much longer */
    /* The last poll that asked this queue got a good reading, and no poll since has failed as a
     * whole. */
    bool up;
    /* The queue's own last answer was a good reading: what brings `up` back when a poll that
     * reaches the source again has planned not to ask this queue. */
    bool answered;
    bool asked; /* some poll has asked: before that there is no queue_up either */
    double objective_oldest_age_seconds; /* < 0: none configured */
    struct qe_backlog
        backlog; /* what the queue does over time; begins anew when a sample is stale */
};

/* What is known of a source apart from its queues. Counters only grow while the process lives. */
struct qe_source_status {
    bool polled; /* a first round has ended, well or not: what /-/ready waits for */
    bool up;     /* the last poll reached the source */
    uint64_t polls_total;
    uint64_t poll_failures_total[QE_ERR_COUNT]; /* whole-poll failures, by reason */
    struct qe_histogram poll_duration_seconds;
    int64_t last_success_unix_ms; /* 0 never */
    size_t queues_listed;         /* as discovered, before filters */
    size_t queues_dropped;        /* over max_queues */
    const char *method; /* static: how the last good poll read; NULL: there is but one way */
    /* Why the last poll failed, or the first queue's error of a poll that reached the source (then
     * `up` is true); code QE_OK: neither. Shown on the landing page. */
    struct qe_err last_error;
};

struct qe_snapshot {
    atomic_size_t refs;
    const char *source;            /* borrowed from the slot, which outlives it */
    const char *backend;           /* static: the driver's name */
    struct qe_queue_set *set;      /* acquired; NULL before the first list */
    struct qe_queue_state *states; /* owned; parallel to set->items */
    struct qe_source_status status;
    struct qe_cluster *cluster; /* acquired; NULL: none, or stale */
    int64_t cluster_mono_ms;    /* when it was told */
    void *rendered;             /* the renderer's work; freed with renderer->destroy */
    const struct qe_renderer *renderer;
    bool judges_backlogs; /* the last poll had a window for it: queue_state is shown */
};

/* Turns a new snapshot into finished bytes, on the publishing thread, outside any lock. metrics/
 * provides one; a store without one (queuectl, tests) has snapshots with rendered == NULL. Failure
 * (NULL with *err) keeps the old snapshot. */
struct qe_renderer {
    void *(*render)(const struct qe_snapshot *snapshot, void *context, struct qe_err *err);
    void (*destroy)(void *rendered);
    void *context;
};

/* Objectives: asked once per queue of a new set. Returns the objective in seconds, or < 0 for none.
 */
typedef double qe_objective_fn(const void *context, const char *source, const char *vhost,
                               const char *queue);

struct qe_store;
struct qe_slot; /* one source in the store */

/* renderer (may be NULL) is borrowed and outlives the store and all snapshots; so does stats. */
struct qe_store *qe_store_new(const struct qe_renderer *renderer, struct qe_stats *stats,
                              struct qe_err *err) QE_MUST_CHECK;
void qe_store_destroy(
    struct qe_store *store); /* after every publisher and reader stopped; accepts NULL */
struct qe_stats *qe_store_stats(const struct qe_store *store);

/* Main thread. Finds or creates the slot of a source and makes it visible, with an empty first
 * snapshot (queue_source_up absent until polled). A slot's counters survive close and open again;
 * its samples do not. QE_ERR_INVALID when the source is open already, QE_ERR_LIMIT past
 * QE_SOURCES_MAX. */
struct qe_slot *qe_store_open(struct qe_store *store, const char *source, const char *backend,
                              int64_t stale_after_ms, struct qe_err *err) QE_MUST_CHECK;
/* Main thread, after the source's poller ended, or was told to and does not: its series disappear.
 */
void qe_store_close(struct qe_store *store, struct qe_slot *slot);

/* --- publishing: the slot's poller, and the main thread for what expires --- */

/* A poll's facts. */
struct qe_poll_report {
    int64_t now_unix_ms;
    int64_t now_mono_ms;
    double duration_seconds;
    size_t queues_listed;
    size_t queues_dropped;
    struct qe_err error;        /* QE_OK, or why the poll as a whole failed */
    bool is_read_unlisted;      /* error is only that of a list: the queues known before were read,
                                   and that list is young enough for the source to count as up */
    qe_objective_fn *objective; /* may be NULL */
    const void *objective_context;
    int64_t state_window_ms; /* what qe_backlog_observe() judges by; 0: states are not wanted */
};

/* Publishes the outcome of a poll. batch may be NULL when the poll failed as a whole: old samples
 * then stay until stale, and every queue's `up` becomes false. With a batch, its set replaces the
 * old one; samples of queues in both sets carry over where the new entry failed. An entry that was
 * skipped by plan or cancelled leaves its queue as it was (last success, sample, and `up`, which a
 * failure of the whole source in between does not keep down); a poll cancelled as a whole (no
 * batch) publishes nothing. When the batch's set equals the published one (qe_queue_set_equal), the
 * snapshot keeps the older set, so that its annex is used again: the poller need not care.
 * A slot that is closed publishes nothing, so a poll that outlives its source does no harm.
 * Ownership: batch is borrowed. Errors: -1 only when out of memory (or whatever the renderer says):
 * the old snapshot and its counters stay. */
int qe_slot_publish(struct qe_slot *slot, const struct qe_batch *batch,
                    const struct qe_poll_report *report, struct qe_err *err) QE_MUST_CHECK;
/* Publishes, for every open source, a snapshot without what is stale by now; `up` and the status
 * stay. A source whose last poll ended more than 2 x stale_after ago is marked down, with all its
 * queues: its driver hangs, and nothing is known. Nothing of either: nothing is published.
 * Thread: main, about once a second. Not the poller's, which may be the one that hangs.
 * Errors: -1 when one could not be published (out of memory): the next call tries again. */
int qe_store_expire(struct qe_store *store, int64_t now_mono_ms, struct qe_err *err) QE_MUST_CHECK;

/* A source that qe_store_expire() has marked down, each time once, for the log; NULL: none (more).
 * Main thread. */
const char *qe_store_next_hanging(struct qe_store *store);

/* --- any thread --- */

/* Acquires the newest snapshot of every open source, ordered by source name. Returns how many were
 * written to out. */
size_t qe_store_acquire_all(struct qe_store *store, struct qe_snapshot *out[QE_SOURCES_MAX]);
void qe_snapshot_release(struct qe_snapshot *snapshot); /* accepts NULL */

#endif
