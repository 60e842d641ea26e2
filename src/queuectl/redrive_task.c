/* Redrives that the broker runs: begun, watched and ended from here. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/redrive.h"
#include "util/clock.h"
#include "util/text.h"

#define STATUS_EVERY_MS 1000
/* Until a task that has just begun shows up. */
#define APPEAR_MS 15000

static const char *state_name(enum qe_redrive_state state)
{
    static const char *const names[] = {"none",       "running",   "completed",
                                        "cancelling", "cancelled", "failed"};

    return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

/* The broker's total is what was ready when it began. What came back from somebody's hand since is
 * moved, too, and then it says nothing. */
static int read_status(const struct ctl_redrive_job *job, struct qe_redrive_task *out,
                       struct qe_err *err)
{
    const struct ctl *ctl = job->ctl;

    *out = (struct qe_redrive_task){0};
    int rc = ctl->driver->redrive_status(ctl->handle, &job->from, ctl_deadline(ctl), out, err);

    if (out->to_move_messages < out->moved_messages) {
        out->to_move_messages = UINT64_MAX;
    }
    return rc;
}

/* "moved about 120 of 500" */
static void describe(const struct qe_redrive_task *task, char *out, size_t out_bytes)
{
    int length = snprintf(out, out_bytes, "moved about %" PRIu64, task->moved_messages);

    if (task->to_move_messages != UINT64_MAX && length > 0 && (size_t)length < out_bytes) {
        (void)snprintf(out + length, out_bytes - (size_t)length, " of %" PRIu64,
                       task->to_move_messages);
    }
}

enum qe_exit ctl_redrive_status(const struct ctl_redrive_job *job, struct qe_err *err)
{
    struct qe_redrive_task task;
    char text[80];

    if (read_status(job, &task, err) != 0) {
        return QE_EXIT_FAILURE;
    }
    if (task.state == QE_REDRIVE_NONE) {
        char label[CTL_LABEL_BYTES];

        (void)printf("no redrive of %s is known\n", ctl_label(job->ctl, &job->from, label));
        return QE_EXIT_OK;
    }
    describe(&task, text, sizeof text);
    (void)printf("%s: %s", state_name(task.state), text);
    if (task.started_unix_ms > 0) {
        char started[32];

        (void)printf(", begun %s", qe_text_from_unix_ms(task.started_unix_ms, started));
    }
    if (task.reason[0] != '\0') {
        (void)fputs(": ", stdout);
        (void)ctl_write_safely(stdout, task.reason, strlen(task.reason));
    }
    (void)putchar('\n');
    return QE_EXIT_OK;
}

enum qe_exit ctl_redrive_cancel(const struct ctl_redrive_job *job, struct qe_err *err)
{
    const struct ctl *ctl = job->ctl;
    char label[CTL_LABEL_BYTES];

    if (ctl->driver->redrive_cancel(ctl->handle, &job->from, ctl_deadline(ctl), err) != 0) {
        return QE_EXIT_FAILURE;
    }
    (void)printf("the redrive of %s ends; what is moved stays moved\n",
                 ctl_label(ctl, &job->from, label));
    return QE_EXIT_OK;
}

static enum qe_exit say_left_running(const struct ctl_redrive_job *job)
{
    const char *source = job->ctl->source->name;
    const char *queue = job->from.name;

    (void)fprintf(
        stderr,
        "queuectl dlq redrive: the broker goes on with it: `queuectl dlq redrive %s %s --status` "
        "shows how far it is, --cancel ends it\n",
        source, queue);
    return QE_EXIT_FAILURE;
}

static enum qe_exit conclude(const struct ctl_redrive_job *job, const struct qe_redrive_task *task,
                             bool *out_failed, struct qe_err *err)
{
    if (task->state == QE_REDRIVE_COMPLETED) {
        ctl_redrive_print_moved(job, task->moved_messages);
        return QE_EXIT_OK;
    }
    bool failed = task->state == QE_REDRIVE_FAILED;
    char label[CTL_LABEL_BYTES];

    qe_err_set(err, QE_ERR_PROTOCOL,
               "the redrive of %.100s %s after about %" PRIu64 " messages%s%s",
               ctl_label(job->ctl, &job->from, label), failed ? "failed" : "was cancelled",
               task->moved_messages, task->reason[0] != '\0' ? ": " : "", task->reason);
    *out_failed = failed;
    return QE_EXIT_FAILURE;
}

/* False while what is told is still the task before this one, or none. */
static bool is_ours(const struct qe_redrive_task *task, const struct qe_redrive_task *before)
{
    return task->state != QE_REDRIVE_NONE &&
           (task->state == QE_REDRIVE_RUNNING || before->state == QE_REDRIVE_NONE ||
            task->started_unix_ms != before->started_unix_ms);
}

enum qe_exit ctl_redrive_watch(const struct ctl_redrive_job *job,
                               const struct qe_redrive_task *before, bool *out_failed,
                               struct qe_err *err)
{
    struct ctl_progress progress;
    int64_t appear_mono_ms = qe_clock_mono_ms() + APPEAR_MS;

    *out_failed = false;
    ctl_catch_signals();
    ctl_progress_begin(&progress);
    for (int64_t now = qe_clock_mono_ms(); ctl_stopped == 0; now = qe_clock_mono_ms()) {
        struct qe_redrive_task task;

        if (read_status(job, &task, err) != 0) {
            break;
        }
        if (task.state == QE_REDRIVE_RUNNING || task.state == QE_REDRIVE_CANCELLING) {
            ctl_progress_show(&progress, task.moved_messages, task.to_move_messages, "");
        } else if (is_ours(&task, before) ||
                   (now >= appear_mono_ms && task.state != QE_REDRIVE_NONE)) {
            ctl_progress_end(&progress);
            return conclude(job, &task, out_failed, err);
        } else if (now >= appear_mono_ms) {
            break; /* it was begun, and nothing is told of it */
        }
        ctl_sleep_until(job->ctl, now + STATUS_EVERY_MS);
    }
    ctl_progress_end(&progress);
    return say_left_running(job); /* whatever ended the watching, the broker does not know of it */
}

int ctl_redrive_begin(const struct ctl_redrive_job *job, struct qe_redrive_task *out_before,
                      struct qe_err *err)
{
    const struct ctl *ctl = job->ctl;
    struct qe_err why = {0};

    if (read_status(job, out_before, &why) != 0) {
        *out_before =
            (struct qe_redrive_task){0}; /* then any task that shows up is taken for ours */
    }
    if (ctl->driver->redrive_start(ctl->handle, &job->from, job->to.name != NULL ? &job->to : NULL,
                                   (uint64_t)ctl->options.rate, ctl_deadline(ctl), &why) == 0) {
        return 0;
    }
    if (why.code == QE_ERR_INVALID) { /* not a mistake on the command line */
        return qe_err_set(err, QE_ERR_LIMIT, "%s (--status shows what runs)", why.message);
    }
    *err = why;
    return -1;
}
