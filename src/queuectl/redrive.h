/* queuectl dlq redrive in its two ways: by the broker itself, and from here. */
#ifndef QE_QUEUECTL_REDRIVE_H
#define QE_QUEUECTL_REDRIVE_H

#include "queuectl/ctl.h"
#include "queuectl/progress.h"

/* What one redrive is about. */
struct ctl_redrive_job {
    struct ctl *ctl;
    struct qe_queue from;        /* owned */
    struct qe_queue to;          /* owned; name NULL: where each message came from */
    struct qe_queue_set *queues; /* acquired; NULL: nothing is listed */
    int64_t start_unix_ms;       /* what was sent since is not of this redrive */
};

/* "moved 3 from A to B" */
void ctl_redrive_print_moved(const struct ctl_redrive_job *job, uint64_t moved);

/* Hears of each message that is sent on. */
struct ctl_redrive_listener {
    void (*sent)(void *context, const struct qe_message *message, const char *new_id);
    void *context;
};

/* Moves them by receiving and sending, at most `max` (0: all). `listener` may be NULL.
 * *out_moved is set in any case. */
enum qe_exit ctl_redrive_from_here(const struct ctl_redrive_job *job, uint64_t max,
                                   const struct ctl_redrive_listener *listener, uint64_t *out_moved,
                                   struct qe_err *err);
/* Prints what would move, and moves nothing. */
enum qe_exit ctl_redrive_dry(const struct ctl_redrive_job *job, struct qe_err *err);
/* Moves options.canary messages and waits whether they come back. *out_moved is set in any case;
 * *out_go_on: they did not, and there is more to move. */
enum qe_exit ctl_redrive_canary(const struct ctl_redrive_job *job, uint64_t *out_moved,
                                bool *out_go_on, struct qe_err *err);
/* All of them, or what the canaries have left of --max (`moved`): by the broker where it can, from
 * here where it cannot. */
enum qe_exit ctl_redrive_rest(const struct ctl_redrive_job *job, uint64_t moved,
                              struct qe_err *err);

/* Asks the broker to move them. -1 with QE_ERR_UNSUPPORTED: this server, or this queue, cannot.
 * *out_before is what was known of the task before this one. */
int ctl_redrive_begin(const struct ctl_redrive_job *job, struct qe_redrive_task *out_before,
                      struct qe_err *err) QE_MUST_CHECK;
/* Shows how far the broker is, until it is done or Ctrl-C. *out_failed: its task has failed, for
 * the reason in *err. */
enum qe_exit ctl_redrive_watch(const struct ctl_redrive_job *job,
                               const struct qe_redrive_task *before, bool *out_failed,
                               struct qe_err *err);
enum qe_exit ctl_redrive_status(const struct ctl_redrive_job *job, struct qe_err *err);
enum qe_exit ctl_redrive_cancel(const struct ctl_redrive_job *job, struct qe_err *err);

#endif
