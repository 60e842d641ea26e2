/* The canaries of one redrive: where they were sent, and where they may turn up. */
#ifndef QE_QUEUECTL_REDRIVE_FLOCK_H
#define QE_QUEUECTL_REDRIVE_FLOCK_H

#include "dlq/destination.h"
#include "queuectl/redrive.h"
#include "queuectl/redrive_depth.h"

struct ctl_canary {
    char id[QE_MESSAGE_ID_BYTES]; /* where it was sent to; "" unknown */
    uint64_t fingerprint;
    bool is_found; /* in the look that runs, or an earlier one */
};

struct ctl_flock {
    const struct ctl_redrive_job *job;
    struct ctl_canary *canaries; /* owned; room for options.canary */
    size_t count;
    struct qe_dlq_origins origins;
    struct ctl_place targets[CTL_PLACES_MAX]; /* where they are sent */
    size_t targets_count;
    /* Where a canary that failed turns up: the dead-letter queue that it came from, and those of
     * the targets. */
    struct ctl_place graves[CTL_PLACES_MAX];
    size_t graves_count;
    size_t grave;  /* that is looked at */
    size_t failed; /* canaries found in graves */
    bool is_sure;  /* `why` is of one that failed, not of one like it that was there before */
    char why[360]; /* of the first that failed */
    /* Owned; of the ids that were in the graves before, but for the canaries, sorted. Only where
     * messages cannot be told apart by their times: by a clock that is not ours. */
    uint64_t *known;
    size_t known_count;
    size_t known_capacity;
    size_t waiting; /* canaries that a look found in a target */
    bool is_tried;  /* one of those was received before */
};

/* Before anything is moved: what is where. */
int ctl_flock_prepare(struct ctl_flock *flock, struct qe_err *err) QE_MUST_CHECK;
/* One canary more; for ctl_redrive_listener. */
void ctl_flock_remember(void *context, const struct qe_message *message, const char *new_id);
/* Looks for failed ones in the graves: flock->failed. */
int ctl_flock_look(struct ctl_flock *flock, struct qe_err *err) QE_MUST_CHECK;
/* Where looking is receiving: counts, a few times, what is where they were sent. Not before the
 * broker's counts can know of what was sent at `sent_mono_ms`. */
void ctl_flock_count(struct ctl_flock *flock, int64_t sent_mono_ms);
/* Says where canaries still wait that nobody has handled. *out_any: there are some, or it cannot be
 * ruled out. */
int ctl_flock_tell_waiting(struct ctl_flock *flock, bool *out_any,
                           struct qe_err *err) QE_MUST_CHECK;
void ctl_flock_deinit(struct ctl_flock *flock);

#endif
