/* queuectl dlq purge: empties a dead-letter queue, and no other. */
#include <stdio.h>
#include <string.h>

#include "queuectl/dlq.h"

static const struct qe_cli_flag s_flags[] = {
    {"yes", NULL, "yes, delete them all", CTL_AT(yes)},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

int ctl_is_dead_letter_queue(struct qe_queue_list *list, const struct qe_queue *queue, bool *out,
                             struct qe_err *err)
{
    struct qe_queue_set *set = qe_queue_set_new_take(list, err);

    if (set == NULL) {
        return -1;
    }
    size_t index = qe_queue_set_find(set, queue->vhost, queue->name);

    *out = index != SIZE_MAX && set->is_dead_letter_queue[index];
    qe_queue_set_release(set);
    return 0;
}

static int open_dlq(struct ctl *ctl, char **operands, struct qe_err *err)
{
    struct qe_queue_list list = {0};
    bool is_listed = false;
    bool is_dlq = false;
    int rc = ctl_open(ctl, operands[0], err);

    rc = rc == 0 ? ctl_require(ctl, QE_CAP_PURGE, "purge", err) : rc;
    rc = rc == 0 ? ctl_list(ctl, &list, &is_listed, err) : rc;
    rc = rc == 0 ? ctl_find(ctl, &list, is_listed, operands[1], &ctl->queue, err) : rc;
    is_dlq = rc == 0 && ctl->queue.is_dead_letter_elsewhere; /* also where nothing is listed */
    if (rc == 0 && is_listed) {
        rc = ctl_is_dead_letter_queue(&list, &ctl->queue, &is_dlq, err);
    }
    if (rc == 0 && !is_dlq) {
        rc =
            qe_err_set(err, QE_ERR_INVALID,
                       "no queue of source %s is known to dead-letter into %.80s: `queuectl purge` "
                       "empties any queue",
                       operands[0], operands[1]);
    }
    qe_queue_list_deinit(&list);
    return rc;
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const char *vhost = ctl->options.vhost;

    (void)count;
    if (!ctl->options.yes) {
        qe_err_set(err, QE_ERR_INVALID,
                   "this deletes every dead letter of %.80s for good: say --yes; `queuectl dlq "
                   "export %.60s %.80s%s%.40s` keeps a copy",
                   operands[1], operands[0], operands[1], vhost != NULL ? " --vhost " : "",
                   vhost != NULL ? vhost : "");
        return QE_EXIT_USAGE;
    }
    return open_dlq(ctl, operands, err) == 0 && ctl_purge_queue(ctl, err) == 0 ? QE_EXIT_OK
                                                                               : QE_EXIT_FAILURE;
}

const struct ctl_command ctl_dlq_purge = {
    .name = "dlq purge",
    .operands = "SOURCE DLQ",
    .summary = "delete every message of a dead-letter queue",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
