/* What is known of one source: its newest reading, and what follows from it. */
#ifndef QE_QUEUECTL_VIEW_H
#define QE_QUEUECTL_VIEW_H

#include "model/store.h"
#include "queuectl/ctl.h"

/* = {0} is valid. */
struct ctl_view {
    struct qe_stats *stats;       /* owned */
    struct qe_store *store;       /* owned; of this one source */
    struct qe_slot *slot;         /* borrowed from store */
    struct qe_snapshot *snapshot; /* acquired; NULL until something was taken in */
};
void ctl_view_deinit(struct ctl_view *view);
/* Takes in one reading of the source that `ctl` has open. state_window_ms 0: what the queues do
 * over time is not wanted. */
int ctl_view_take(struct ctl_view *view, const struct ctl *ctl, const struct qe_batch *batch,
                  int64_t state_window_ms, struct qe_err *err) QE_MUST_CHECK;

#endif
