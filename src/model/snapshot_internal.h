/* Making one snapshot out of the one before: plain functions, no lock, no clock. Until it is
 * published a snapshot belongs to the one thread that makes it. For store.c and tests. */
#ifndef QE_MODEL_SNAPSHOT_INTERNAL_H
#define QE_MODEL_SNAPSHOT_INTERNAL_H

#include "model/store.h"

struct qe_snapshot_origin {
    const char *source;  /* borrowed, outlives the snapshot */
    const char *backend; /* static */
    const struct qe_renderer *renderer;
};

/* With one reference, of `set` (acquired; may be NULL), its states zeroed, not rendered. */
struct qe_snapshot *qe_snapshot_new(const struct qe_snapshot_origin *origin,
                                    struct qe_queue_set *set, struct qe_err *err) QE_MUST_CHECK;
struct qe_snapshot *qe_snapshot_acquire(struct qe_snapshot *snapshot);

/* Copies the status, and the states of queues that are in both sets. */
void qe_snapshot_carry_over(struct qe_snapshot *snapshot, const struct qe_snapshot *old);
/* Puts a poll's outcome on top of what was carried over. batch may be NULL; else its entries are
 * parallel to snapshot->set. */
void qe_snapshot_take_poll(struct qe_snapshot *snapshot, const struct qe_batch *batch,
                           const struct qe_poll_report *report);
/* Takes what a poll has just read into the queues' histories. stats: of our own consumers; may be
 * NULL. After qe_snapshot_take_poll(). */
void qe_snapshot_judge_backlogs(struct qe_snapshot *snapshot, const struct qe_batch *batch,
                                const struct qe_poll_report *report, const struct qe_stats *stats);
/* Marks the source and its queues down: no poll has ended for so long. */
void qe_snapshot_take_hang(struct qe_snapshot *snapshot, int64_t silent_ms);
/* Drops the samples that are stale; returns when the next one will be, INT64_MAX when none. */
int64_t qe_snapshot_drop_stale(struct qe_snapshot *snapshot, int64_t stale_after_ms,
                               int64_t now_mono_ms);

/* What outlives samples when a source is closed: its counters. */
void qe_source_status_keep_counters(struct qe_source_status *status,
                                    const struct qe_source_status *old);

#endif
