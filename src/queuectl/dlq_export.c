/* queuectl dlq export: dead letters as JSON lines, with everything that import needs. */
#include <inttypes.h>
#include <stdio.h>

#include "queuectl/dlq.h"

static const struct qe_cli_flag s_flags[] = {
    {"max", "N", "look at so many", "all", .take = ctl_take_look},
    CTL_FLAGS_FILTER,
    {"yes", NULL, "do not ask, where looking has side effects", CTL_AT(yes)},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

struct exporting {
    const struct ctl *ctl;
    uint64_t written;
};

static int visit(void *context, const struct qe_message *message, struct qe_err *err)
{
    struct exporting *exporting = context;
    int meant = ctl_is_meant(exporting->ctl, message, err);

    if (meant <= 0) {
        return meant;
    }
    exporting->written++;
    return ctl_print_message(message, true, err);
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    struct exporting exporting = {.ctl = ctl};
    const struct ctl_visitor visitor = {.visit = visit, .context = &exporting};
    struct ctl_seen seen;
    bool is_short = false;
    char label[CTL_LABEL_BYTES];

    (void)count;
    if (ctl_open_queue(ctl, operands, 0, "", err) != 0) {
        return QE_EXIT_FAILURE;
    }
    uint64_t cap = ctl_dlq_look_cap(ctl);
    uint64_t max = ctl->options.look > 0 && ctl->options.look < cap ? ctl->options.look : cap;

    if (ctl_dlq_confirm_look(ctl, &ctl->queue, max, err) != 0) {
        return QE_EXIT_FAILURE;
    }
    ctl_catch_signals();
    if (ctl_dlq_look(ctl, &ctl->queue, max, &visitor, &seen, err) != 0 || ctl_flush(err) != 0) {
        return QE_EXIT_FAILURE;
    }
    (void)fputs(ctl_stopped != 0 ? "queuectl dlq export: stopped before the end\n" : "", stderr);
    (void)fprintf(stderr, "exported %" PRIu64 " of %zu messages of %s\n", exporting.written,
                  seen.count, ctl_label(ctl, &ctl->queue, label));
    if (ctl_stopped == 0) {
        is_short = ctl_dlq_tell_rest(ctl, &ctl->queue, seen.count, &seen.rest);
    }
    if (seen.count >= cap && (ctl->options.look == 0 || ctl->options.look > cap)) {
        qe_err_set(err, QE_ERR_LIMIT,
                   "%.120s holds %zu messages or more, and no more can be looked at in one go",
                   label, seen.count);
        return QE_EXIT_FAILURE;
    }
    return ctl_stopped == 0 && !is_short ? QE_EXIT_OK : QE_EXIT_FAILURE;
}

const struct ctl_command ctl_dlq_export = {
    .name = "dlq export",
    .operands = "SOURCE DLQ",
    .summary = "write dead letters to standard output, a JSON object per line; they stay",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
