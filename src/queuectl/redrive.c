/* queuectl dlq redrive: the messages of a dead-letter queue, back to where they came from. */
#include "dlq/redrive.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/dlq.h"
#include "queuectl/redrive.h"
#include "util/clock.h"
#include "util/text.h"

static int take_canary(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    if (qe_text_to_u64(value, CTL_CANARY_MAX, &options->canary, err) != 0) {
        return -1;
    }
    return options->canary > 0 ? 0 : qe_err_set(err, QE_ERR_INVALID, "must be at least 1");
}

static int take_canary_wait(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return ctl_take_span(value, &options->canary_wait_ms, err);
}

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
    CTL_FLAGS_FILTER,
    {"dry-run", NULL, "print what would be moved, and where to; move nothing", CTL_AT(dry_run)},
    {"canary", "N", "move N, wait whether they come back, and only then move the rest", NULL,
     .take = take_canary},
    {"canary-wait", "DURATION", "how long they may take to come back", "1m",
     .take = take_canary_wait},
    {"status", NULL, "show how far the broker is with moving them", CTL_AT(status)},
    {"cancel", NULL, "end what the broker is moving; what is moved stays moved", CTL_AT(cancel)},
    {"yes", NULL, "do not ask", CTL_AT(yes)},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

/* --- from here --- */

struct own {
    const struct ctl *ctl; /* borrowed */
    struct ctl_progress progress;
    uint64_t total;                         /* UINT64_MAX unknown */
    const struct qe_redrive_counts *counts; /* borrowed; as they are now */
    const struct ctl_redrive_listener *listener;
};

static void show(void *context, const struct qe_redrive_counts *counts)
{
    struct own *own = context;
    uint64_t left = counts->stayed + counts->newer + counts->unmatched;
    char more[64] = "";

    if (left > 0) {
        (void)snprintf(more, sizeof more, ", %" PRIu64 " stay", left);
    }
    ctl_progress_show(
        &own->progress, counts->moved,
        own->total == UINT64_MAX || own->total < left ? own->total : own->total - left, more);
}

/* How far it is, is shown meanwhile: a slow one may pause for long. */
static bool pause_until(void *context, int64_t until_mono_ms)
{
    struct own *own = context;

    do {
        show(own, own->counts);
        const int64_t next_mono_ms = own->progress.next_mono_ms;

        ctl_sleep_until(own->ctl, until_mono_ms < next_mono_ms ? until_mono_ms : next_mono_ms);
    } while (ctl_stopped == 0 && qe_clock_mono_ms() < until_mono_ms);
    return ctl_stopped == 0;
}

static void sent(void *context, const struct qe_message *message, const char *new_id)
{
    const struct own *own = context;

    if (own->listener != NULL) {
        own->listener->sent(own->listener->context, message, new_id);
    }
}

static void print_complaint(uint64_t count, const char *what, const struct qe_err *why)
{
    if (count > 0) {
        (void)fprintf(stderr, "queuectl dlq redrive: %" PRIu64 " %s; the first: ", count, what);
        (void)ctl_write_safely(stderr, why->message, strlen(why->message));
        (void)fputc('\n', stderr);
    }
}

void ctl_redrive_print_moved(const struct ctl_redrive_job *job, uint64_t moved)
{
    char label[CTL_LABEL_BYTES];

    (void)printf("moved %" PRIu64 " from %s", moved, ctl_label(job->ctl, &job->from, label));
    if (job->to.name != NULL) {
        (void)printf(" to %s", ctl_label(job->ctl, &job->to, label));
    }
    (void)putchar('\n');
}

static void print_result(const struct ctl_redrive_job *job, const struct qe_redrive_result *result)
{
    const struct qe_redrive_counts *counts = &result->counts;

    ctl_redrive_print_moved(job, counts->moved);
    if (counts->unmatched > 0) {
        (void)printf("left %" PRIu64 " that do not match\n", counts->unmatched);
    }
    if (counts->newer > 0) {
        (void)printf("left %" PRIu64 " that were sent after this began: moved by it, most likely, "
                     "and failed again\n",
                     counts->newer);
    }
    (void)fflush(stdout);
    if (result->is_partial) {
        (void)fprintf(
            stderr,
            "queuectl dlq redrive: ended with over %d messages in hand that are not to be "
            "moved; there may be more behind them: run it again when those are purged "
            "or moved\n",
            QE_DLQ_ASIDE_MAX);
    }
    print_complaint(counts->stayed, "stayed", &result->why_stayed);
    print_complaint(counts->doubled, "are in both queues: sent, but not deleted",
                    &result->why_doubled);
    ctl_dlq_tell_kept(&result->kept);
}

static void say_stopped(const struct qe_redrive_counts *counts)
{
    (void)fputs("queuectl dlq redrive: stopped before the end", stderr);
    if (counts->untried > 0) {
        (void)fprintf(stderr, "; %" PRIu64 " in hand given back", counts->untried);
    }
    (void)fputc('\n', stderr);
}

static bool went_well(const struct qe_redrive_result *result)
{
    return result->counts.stayed == 0 && result->counts.doubled == 0 && !result->is_partial;
}

enum qe_exit ctl_redrive_from_here(const struct ctl_redrive_job *job, uint64_t max,
                                   const struct ctl_redrive_listener *listener, uint64_t *out_moved,
                                   struct qe_err *err)
{
    struct ctl *ctl = job->ctl;
    struct qe_redrive_result result = {0};
    struct own own = {.ctl = ctl, .counts = &result.counts, .listener = listener};
    struct qe_dlq_depth depth;
    bool is_short = false;
    const struct qe_redrive_options options = {
        .driver = ctl->driver,
        .handle = ctl->handle,
        .from = &job->from,
        .to = job->to.name != NULL ? &job->to : NULL,
        .queues = job->queues,
        .filter = &ctl->options.filter,
        .max = max,
        .messages_per_second = ctl->options.rate,
        .call_timeout_ms = ctl->options.timeout_ms,
        .start_unix_ms = job->start_unix_ms,
        .hooks = {.pause = pause_until, .progress = show, .sent = sent, .context = &own},
    };

    *out_moved = 0;
    if (ctl_require(ctl, QE_CAP_RECEIVE | QE_CAP_SEND, "receive and send", err) != 0) {
        return QE_EXIT_FAILURE;
    }
    qe_dlq_depth_read(ctl->driver, ctl->handle, &job->from, ctl->options.timeout_ms, &depth);
    own.total = max > 0 && max < depth.ready ? max : depth.ready;
    ctl_progress_begin(&own.progress);
    int rc = qe_redrive_run(&options, &result, err);

    ctl_progress_end(&own.progress);
    if (rc != 0 && err->code == QE_ERR_INVALID) {
        return QE_EXIT_USAGE;
    }
    *out_moved = result.counts.moved;
    print_result(job, &result);
    if (rc == 0 && ctl_stopped != 0) {
        say_stopped(&result.counts);
    } else if (rc == 0) {
        is_short =
            ctl_dlq_tell_rest(ctl, &job->from, qe_redrive_seen(&result.counts), &result.rest);
    }
    return rc == 0 && ctl_stopped == 0 && !is_short && went_well(&result) ? QE_EXIT_OK
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

static int confirm(const struct ctl_redrive_job *job, struct qe_err *err)
{
    const struct ctl *ctl = job->ctl;
    char question[512];
    char from[CTL_LABEL_BYTES];
    char to[CTL_LABEL_BYTES];

    (void)snprintf(question, sizeof question, "This moves %s of %.200s to %.200s.",
                   qe_dlq_filter_is_empty(&ctl->options.filter) ? "the messages"
                                                                : "those that match",
                   ctl_label(ctl, &job->from, from),
                   job->to.name != NULL ? ctl_label(ctl, &job->to, to) : "where each came from");
    return ctl_confirm(ctl, question, err);
}

static enum qe_exit move(struct ctl_redrive_job *job, struct qe_err *err)
{
    const struct ctl_options *options = &job->ctl->options;
    uint64_t moved = 0;
    bool go_on = true;
    enum qe_exit code = QE_EXIT_OK;

    if (options->dry_run) {
        return ctl_redrive_dry(job, err);
    }
    if (confirm(job, err) != 0) {
        return QE_EXIT_FAILURE;
    }
    job->start_unix_ms = qe_clock_unix_ms();
    ctl_catch_signals();
    if (options->canary > 0) {
        code = ctl_redrive_canary(job, &moved, &go_on, err);
    }
    return go_on ? ctl_redrive_rest(job, moved, err) : code;
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
