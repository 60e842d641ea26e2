#include "queuectl/view.h"

#include "util/clock.h"

/* Nothing goes stale here: what could not be read is said at once. */
#define STALE_AFTER_MS INT64_C(86400000)

void ctl_view_deinit(struct ctl_view *view)
{
    qe_snapshot_release(view->snapshot);
    qe_store_destroy(view->store);
    qe_stats_destroy(view->stats);
    *view = (struct ctl_view){0};
}

static int open_view(struct ctl_view *view, const struct ctl *ctl, struct qe_err *err)
{
    view->stats = qe_stats_new(err);
    view->store = view->stats != NULL ? qe_store_new(NULL, view->stats, err) : NULL;
    view->slot = view->store != NULL ? qe_store_open(view->store, ctl->source->name,
                                                     ctl->driver->name, STALE_AFTER_MS, err)
                                     : NULL;
    return view->slot != NULL ? 0 : -1;
}

int ctl_view_take(struct ctl_view *view, const struct ctl *ctl, const struct qe_batch *batch,
                  int64_t state_window_ms, struct qe_err *err)
{
    struct qe_snapshot *snapshots[QE_SOURCES_MAX] = {NULL};
    const struct qe_poll_report report = {.now_unix_ms = qe_clock_unix_ms(),
                                          .now_mono_ms = qe_clock_mono_ms(),
                                          .queues_listed = batch->set->count,
                                          .state_window_ms = state_window_ms};

    if ((view->slot == NULL && open_view(view, ctl, err) != 0) ||
        qe_slot_publish(view->slot, batch, &report, err) != 0) {
        return -1;
    }
    if (qe_store_acquire_all(view->store, snapshots) != 1) {
        return qe_err_set(err, QE_ERR_NOMEM, "source %s: no snapshot", ctl->source->name);
    }
    qe_snapshot_release(view->snapshot);
    view->snapshot = snapshots[0];
    return 0;
}
