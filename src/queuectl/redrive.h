/* queuectl dlq redrive in its two ways: by the broker itself, and from here. */
#ifndef QE_QUEUECTL_REDRIVE_H
#define QE_QUEUECTL_REDRIVE_H

#include "queuectl/ctl.h"

/* What one redrive is about. */
struct ctl_redrive_job {
    struct ctl *ctl;
    struct qe_queue from;        /* owned */
    struct qe_queue to;          /* owned; name NULL: where each message came from */
    struct qe_queue_set *queues; /* acquired; NULL: nothing is listed */
};

/* One line about how far it is: over itself on a terminal, every ten seconds elsewhere. */
struct ctl_progress {
    int64_t next_mono_ms;
    bool is_drawn;
};
void ctl_progress_show(struct ctl_progress *progress, const char *text);
/* Before anything else is printed. */
void ctl_progress_end(struct ctl_progress *progress);

/* Asks the broker to move them. -1 with QE_ERR_UNSUPPORTED: this server, or this queue, cannot.
 * *out_before is what was known of the task before this one. */
int ctl_redrive_begin(const struct ctl_redrive_job *job, struct qe_redrive_task *out_before,
                      struct qe_err *err) QE_MUST_CHECK;
/* Shows how far the broker is, until it is done or Ctrl-C. */
enum qe_exit ctl_redrive_watch(const struct ctl_redrive_job *job,
                               const struct qe_redrive_task *before, struct qe_err *err);
enum qe_exit ctl_redrive_status(const struct ctl_redrive_job *job, struct qe_err *err);
enum qe_exit ctl_redrive_cancel(const struct ctl_redrive_job *job, struct qe_err *err);

#endif
