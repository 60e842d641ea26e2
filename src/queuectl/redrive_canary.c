/* A few messages first: what becomes of them tells whether the rest should follow. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/redrive_flock.h"
#include "util/clock.h"
#include "util/text.h"

#define LOOK_PEEK_MS 500
#define LOOK_RECEIVE_MS 5000 /* each look delivers what is there, and may cost money */

/* Until one has failed, or the time is over. */
static int watch(struct ctl_flock *flock, int64_t sent_mono_ms, struct qe_err *err)
{
    const struct ctl *ctl = flock->job->ctl;
    bool peeks = (ctl->driver->caps & QE_CAP_PEEK) != 0;
    int64_t pause_ms = peeks ? LOOK_PEEK_MS : LOOK_RECEIVE_MS;
    int64_t now = qe_clock_mono_ms();
    int64_t end = now + ctl->options.canary_wait_ms;
    struct ctl_progress progress;
    int rc = 0;

    ctl_progress_begin(&progress);
    while (rc == 0 && now < end && ctl_stopped == 0 && flock->failed == 0) {
        char left[32];
        char text[120];

        (void)snprintf(text, sizeof text, "canaries moved: %zu; none is back, %s to wait",
                       flock->count, qe_text_from_duration((end - now + 999) / 1000 * 1000, left));
        ctl_progress_say(&progress, text);
        ctl_sleep_until(ctl, now + pause_ms < end ? now + pause_ms : end);
        rc = ctl_stopped == 0 ? ctl_flock_look(flock, err) : 0;
        now = qe_clock_mono_ms();
    }
    ctl_progress_end(&progress);
    if (rc == 0 && !peeks && ctl_stopped == 0 && flock->failed == 0) {
        ctl_flock_count(flock, sent_mono_ms);
        /* What left its queue meanwhile may have been dead-lettered. */
        rc = ctl_stopped == 0 ? ctl_flock_look(flock, err) : 0;
    }
    return rc;
}

static void tell_failed(const struct ctl_flock *flock, const char *span)
{
    char label[CTL_LABEL_BYTES];

    for (size_t i = 0; i < flock->graves_count; i++) {
        const struct ctl_place *grave = &flock->graves[i];

        if (grave->canaries > 0 && i == 0) {
            (void)printf("%zu of %zu canaries came back within %s: nothing more is moved\n",
                         grave->canaries, flock->count, span);
        } else if (grave->canaries > 0) {
            (void)printf("%zu of %zu canaries failed within %s, and are dead letters in %s: "
                         "nothing more is moved\n",
                         grave->canaries, flock->count, span,
                         ctl_label(flock->job->ctl, grave->queue, label));
        }
    }
    (void)fflush(stdout);
    (void)fputs("queuectl dlq redrive: the first: ", stderr);
    (void)ctl_write_safely(stderr, flock->why, strlen(flock->why));
    (void)fputc('\n', stderr);
}

static enum qe_exit conclude(struct ctl_flock *flock, int64_t start_mono_ms, bool *out_go_on,
                             struct qe_err *err)
{
    const struct ctl_redrive_job *job = flock->job;
    uint64_t max = job->ctl->options.redrive_max;
    bool any_waits = false;
    char span[32];

    int64_t spent_ms = qe_clock_mono_ms() - start_mono_ms;

    /* Whole seconds: what came back did so within the next, what did not has been watched for the
     * last. */
    if (flock->failed > 0) {
        (void)qe_text_from_duration(spent_ms / 1000 * 1000 + 1000, span);
        tell_failed(flock, span);
        return QE_EXIT_FAILURE;
    }
    if (ctl_stopped != 0) {
        (void)fputs("queuectl dlq redrive: stopped while the canaries were watched\n", stderr);
        return QE_EXIT_FAILURE;
    }
    (void)qe_text_from_duration(spent_ms / 1000 * 1000, span);
    (void)printf("none of %zu canaries came back within %s: none was dead-lettered again\n",
                 flock->count, span);
    if (ctl_flock_tell_waiting(flock, &any_waits, err) != 0) {
        return QE_EXIT_FAILURE;
    }
    if (any_waits) {
        (void)fflush(stdout);
        (void)fputs("queuectl dlq redrive: try again with a longer --canary-wait, or look at the "
                    "consumer's failures and, if they are none of the canaries, move the rest "
                    "without --canary\n",
                    stderr);
        return QE_EXIT_FAILURE;
    }
    (void)puts("as far as can be seen, all were handled");
    (void)fflush(stdout);
    *out_go_on = max == 0 || max > flock->count;
    return QE_EXIT_OK;
}

static enum qe_exit try_canaries(struct ctl_flock *flock, uint64_t *out_moved, bool *out_go_on,
                                 struct qe_err *err)
{
    const struct ctl_redrive_job *job = flock->job;
    const struct ctl_options *options = &job->ctl->options;
    const struct ctl_redrive_listener listener = {.sent = ctl_flock_remember, .context = flock};
    uint64_t max = options->canary;
    int64_t start_mono_ms = qe_clock_mono_ms();

    if (options->redrive_max > 0 && options->redrive_max < max) {
        max = options->redrive_max;
    }
    enum qe_exit code = ctl_redrive_from_here(job, max, &listener, out_moved, err);

    int64_t sent_mono_ms = qe_clock_mono_ms();

    if (code != QE_EXIT_OK || *out_moved == 0) {
        return code;
    }
    if (watch(flock, sent_mono_ms, err) != 0) {
        return QE_EXIT_FAILURE;
    }
    return conclude(flock, start_mono_ms, out_go_on, err);
}

enum qe_exit ctl_redrive_canary(const struct ctl_redrive_job *job, uint64_t *out_moved,
                                bool *out_go_on, struct qe_err *err)
{
    struct ctl_flock flock = {.job = job};
    enum qe_exit code = QE_EXIT_FAILURE;

    *out_go_on = false;
    *out_moved = 0;
    if (ctl_flock_prepare(&flock, err) == 0) {
        code = try_canaries(&flock, out_moved, out_go_on, err);
    }
    ctl_flock_deinit(&flock);
    return code;
}
