/* queuectl dlq redrive: the messages of a dead-letter queue, back to where they came from. */
#include "dlq/redrive.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "queuectl/redrive.h"
#include "util/clock.h"
#include "util/text.h"

#define PROGRESS_TERMINAL_MS 200
#define PROGRESS_ELSEWHERE_MS 10000
#define CLEAR_LINE "\r\033[K"

static int take_max(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    if (qe_text_to_u64(value, UINT64_C(1) << 53, &options->redrive_max, err) != 0) {
        return -1;
    }
    return options->redrive_max > 0 ? 0 : qe_err_set(err, QE_ERR_INVALID, "must be at least 1");
}

static const struct qe_cli_flag s_flags[] = {
    {"to", "QUEUE", "move them there", "where each came from", CTL_AT(to)},
    {"max", "N", "at most so many messages", "all", .take = take_max},
    {"rate", "N", "messages per second", "as fast as it goes", .take = ctl_take_rate},
    {"status", NULL, "show how far the broker is with moving them", CTL_AT(status)},
    {"cancel", NULL, "end what the broker is moving; what is moved stays moved", CTL_AT(cancel)},
    {"yes", NULL, "do not ask", CTL_AT(yes)},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

/* --- progress --- */

void ctl_progress_show(struct ctl_progress *progress, const char *text)
{
    bool on_terminal = isatty(STDERR_FILENO) != 0;
    int64_t now = qe_clock_mono_ms();
    int64_t pause_ms = on_terminal ? PROGRESS_TERMINAL_MS : PROGRESS_ELSEWHERE_MS;

    if (progress->next_mono_ms == 0 && !on_terminal) {
        progress->next_mono_ms = now + pause_ms; /* what is quick needs no line */
    }
    if (now < progress->next_mono_ms) {
        return;
    }
    progress->next_mono_ms = now + pause_ms;
    (void)fputs(on_terminal ? CLEAR_LINE : "", stderr);
    (void)ctl_write_safely(stderr, text, strlen(text));
    (void)fputs(on_terminal ? "" : "\n", stderr);
    (void)fflush(stderr);
    progress->is_drawn = on_terminal;
}

void ctl_progress_end(struct ctl_progress *progress)
{
    if (progress->is_drawn) {
        (void)fputs(CLEAR_LINE, stderr);
    }
    progress->is_drawn = false;
}

/* --- from here --- */

struct own {
    struct ctl_progress progress;
    int64_t start_mono_ms;
};

static bool pause_until(void *context, int64_t until_mono_ms)
{
    (void)context;
    ctl_sleep_until(until_mono_ms);
    return ctl_stopped == 0;
}

static void show(void *context, const struct qe_redrive_counts *counts)
{
    struct own *own = context;
    double seconds = (double)(qe_clock_mono_ms() - own->start_mono_ms) / 1000;
    char text[160];

    (void)snprintf(text, sizeof text, "moved %" PRIu64 " (%.0f per second), %" PRIu64 " stay",
                   counts->moved, seconds > 0 ? (double)counts->moved / seconds : 0,
                   counts->stayed);
    ctl_progress_show(&own->progress, text);
}

static void print_complaint(uint64_t count, const char *what, const struct qe_err *why)
{
    if (count > 0) {
        (void)fprintf(stderr, "queuectl dlq redrive: %" PRIu64 " %s; the first: ", count, what);
        (void)ctl_write_safely(stderr, why->message, strlen(why->message));
        (void)fputc('\n', stderr);
    }
}

static void print_result(const struct ctl_redrive_job *job, const struct qe_redrive_result *result)
{
    const struct qe_redrive_counts *counts = &result->counts;

    (void)printf("moved %" PRIu64 " from %s%s%s\n", counts->moved, job->from.name,
                 job->to.name != NULL ? " to " : "", job->to.name != NULL ? job->to.name : "");
    if (counts->newer > 0) {
        (void)printf("left %" PRIu64 " that were sent after this began: moved by it, most likely, "
                     "and failed again\n",
                     counts->newer);
    }
    (void)fflush(stdout);
    print_complaint(counts->stayed, "stayed", &result->why_stayed);
    print_complaint(counts->doubled, "are in both queues: sent, but not deleted",
                    &result->why_doubled);
}

static enum qe_exit move_from_here(const struct ctl_redrive_job *job, struct qe_err *err)
{
    struct ctl *ctl = job->ctl;
    struct own own = {.start_mono_ms = qe_clock_mono_ms()};
    struct qe_redrive_result result = {0};
    const struct qe_redrive_options options = {
        .driver = ctl->driver,
        .handle = ctl->handle,
        .from = &job->from,
        .to = job->to.name != NULL ? &job->to : NULL,
        .queues = job->queues,
        .max = ctl->options.redrive_max,
        .messages_per_second = ctl->options.rate,
        .call_timeout_ms = ctl->options.timeout_ms,
        .hooks = {.pause = pause_until, .progress = show, .context = &own},
    };

    if (ctl_require(ctl, QE_CAP_RECEIVE | QE_CAP_SEND, "receive and send", err) != 0) {
        return QE_EXIT_FAILURE;
    }
    ctl_catch_signals();
    int rc = qe_redrive_run(&options, &result, err);

    ctl_progress_end(&own.progress);
    if (rc != 0 && err->code == QE_ERR_INVALID) {
        return QE_EXIT_USAGE;
    }
    print_result(job, &result);
    if (rc == 0 && ctl_stopped != 0) {
        (void)fputs("queuectl dlq redrive: stopped before the end\n", stderr);
    }
    return rc == 0 && ctl_stopped == 0 && result.counts.stayed == 0 && result.counts.doubled == 0
               ? QE_EXIT_OK
               : QE_EXIT_FAILURE;
}

/* --- the command --- */

/* Opens the source and finds what is spoken of. */
static int prepare(struct ctl_redrive_job *job, char **operands, struct qe_err *err)
{
    struct ctl *ctl = job->ctl;
    struct qe_queue_list list = {0};
    bool is_listed = false;
    int rc = ctl_open(ctl, operands[0], err);

    if (rc == 0) {
        rc = ctl_list(ctl, &list, &is_listed, err);
    }
    if (rc == 0) {
        rc = ctl_find(ctl, &list, is_listed, operands[1], &job->from, err);
    }
    if (rc == 0 && ctl->options.to != NULL) {
        rc = ctl_find(ctl, &list, is_listed, ctl->options.to, &job->to, err);
    }
    if (rc == 0 && is_listed) {
        job->queues = qe_queue_set_new_take(&list, err);
        rc = job->queues != NULL ? 0 : -1;
    }
    qe_queue_list_deinit(&list);
    return rc;
}

static enum qe_exit ask_the_broker(const struct ctl_redrive_job *job, struct qe_err *err)
{
    if (ctl_require(job->ctl, QE_CAP_REDRIVE, "move dead letters by itself: there is no task",
                    err) != 0) {
        return QE_EXIT_FAILURE;
    }
    return job->ctl->options.cancel ? ctl_redrive_cancel(job, err) : ctl_redrive_status(job, err);
}

/* The broker counts whole messages per second, and has no limit of how many. */
static bool suits_the_broker(const struct ctl *ctl)
{
    return (ctl->driver->caps & QE_CAP_REDRIVE) != 0 && ctl->options.redrive_max == 0 &&
           (ctl->options.rate <= 0 || ctl->options.rate >= 1);
}

static enum qe_exit move(const struct ctl_redrive_job *job, struct qe_err *err)
{
    const struct ctl *ctl = job->ctl;
    char question[512];

    (void)snprintf(question, sizeof question, "This moves the messages of %.200s to %.200s.",
                   job->from.name, job->to.name != NULL ? job->to.name : "where each came from");
    if (ctl_confirm(ctl, question, err) != 0) {
        return QE_EXIT_FAILURE;
    }
    if (suits_the_broker(ctl)) {
        struct qe_redrive_task before;

        if (ctl_redrive_begin(job, &before, err) == 0) {
            return ctl_redrive_watch(job, &before, err);
        }
        /* Who may not have it moved may still be allowed to receive and to send. */
        if (err->code != QE_ERR_UNSUPPORTED && err->code != QE_ERR_AUTH) {
            return QE_EXIT_FAILURE;
        }
        (void)fprintf(stderr,
                      "queuectl dlq redrive: moving them from here, since the broker does not: ");
        (void)ctl_write_safely(stderr, err->message, strlen(err->message));
        (void)fputc('\n', stderr);
        *err = (struct qe_err){0};
    }
    return move_from_here(job, err);
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    struct ctl_redrive_job job = {.ctl = ctl};
    enum qe_exit code = QE_EXIT_FAILURE;

    (void)count;
    if (ctl->options.status && ctl->options.cancel) {
        qe_err_set(err, QE_ERR_INVALID, "--status or --cancel, not both");
        return QE_EXIT_USAGE;
    }
    if (prepare(&job, operands, err) == 0) {
        code = ctl->options.status || ctl->options.cancel ? ask_the_broker(&job, err)
                                                          : move(&job, err);
    }
    qe_queue_set_release(job.queues);
    qe_queue_deinit(&job.from);
    qe_queue_deinit(&job.to);
    return code;
}

const struct ctl_command ctl_dlq_redrive = {
    .name = "dlq redrive",
    .operands = "SOURCE DLQ",
    .summary = "move the messages of a dead-letter queue back to where they came from",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
