/* A few messages first: whether they come back tells whether the rest should follow. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dlq/facts.h"
#include "queuectl/dlq.h"
#include "queuectl/redrive.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

#define LOOK_PEEK_MS 500
#define LOOK_RECEIVE_MS 5000 /* each look delivers what is there, and may cost money */
/* A broker across a network has a clock of its own, which may be that much behind ours. */
#define CLOCK_SKEW_MS 2000

struct canary {
    char id[64]; /* where it was sent to; "" unknown */
    uint64_t fingerprint;
    bool is_back;
};

struct flock {
    const struct ctl_redrive_job *job;
    struct canary *canaries; /* owned; room for options.canary */
    size_t count;
    size_t back_count;
    bool is_sure;  /* `why` is of one that came back, not of one like it that was there before */
    char why[360]; /* of the first that came back */
};

static void remember(void *context, const struct qe_message *message, const char *new_id)
{
    struct flock *flock = context;

    if (flock->count < flock->job->ctl->options.canary) {
        struct canary *one = &flock->canaries[flock->count++];

        (void)snprintf(one->id, sizeof one->id, "%s", new_id);
        one->fingerprint = qe_dlq_fingerprint(message);
    }
}

static bool is_canary(const struct canary *one, const struct qe_message *message,
                      uint64_t fingerprint)
{
    return (one->id[0] != '\0' && strcmp(one->id, message->id) == 0) ||
           one->fingerprint == fingerprint;
}

/* When it was sent, or else came here; 0 unknown. */
static int64_t time_of(const struct qe_message *message)
{
    return message->sent_unix_ms != 0 ? message->sent_unix_ms : message->enqueued_unix_ms;
}

/* One that waits for its turn, maybe of the same body. Who publishes to RabbitMQ often says neither
 * id nor time; the canaries have both, and the broker tells when it dead-lettered. */
static bool was_here_before(const struct ctl_redrive_job *job, const struct qe_message *message)
{
    bool peeks = (job->ctl->driver->caps & QE_CAP_PEEK) != 0;
    int64_t since = time_of(message);

    return since != 0 && since < job->start_unix_ms - (peeks ? 0 : CLOCK_SKEW_MS);
}

/* The first one's reason; of one that is surely one of them, if there is one. */
static void note_why(struct flock *flock, const struct qe_message *message)
{
    bool is_sure = time_of(message) != 0;
    struct qe_dlq_facts facts;

    if (flock->back_count > 0 && (flock->is_sure || !is_sure)) {
        return;
    }
    flock->is_sure = is_sure;
    qe_dlq_facts_read(message, qe_clock_unix_ms(), &facts);
    (void)snprintf(flock->why, sizeof flock->why, "message %.60s: %s%s%.120s%s",
                   qe_message_name(message), facts.reason, facts.detail[0] != '\0' ? ": " : "",
                   facts.detail,
                   is_sure ? ""
                           : "; its age is not told: it may be one of the same content that was "
                             "there before");
}

static int visit(void *context, const struct qe_message *message, struct qe_err *err)
{
    struct flock *flock = context;

    (void)err;
    if (was_here_before(flock->job, message)) {
        return 0;
    }
    uint64_t fingerprint = qe_dlq_fingerprint(message);

    for (size_t i = 0; i < flock->count; i++) {
        struct canary *one = &flock->canaries[i];

        if (one->is_back || !is_canary(one, message, fingerprint)) {
            continue;
        }
        one->is_back = true;
        note_why(flock, message);
        flock->back_count++;
        break;
    }
    return 0;
}

static int look(struct flock *flock, struct qe_err *err)
{
    const struct ctl_redrive_job *job = flock->job;
    const struct ctl_visitor visitor = {.visit = visit, .context = flock};
    size_t seen = 0;

    if (ctl_dlq_look(job->ctl, &job->from, ctl_dlq_look_cap(job->ctl), &visitor, &seen, err) != 0) {
        return qe_err_wrap(err, "what comes back of %zu that are moved cannot be seen",
                           flock->count);
    }
    if (seen >= ctl_dlq_look_cap(job->ctl) && flock->back_count == 0) {
        char label[CTL_LABEL_BYTES];

        return qe_err_set(
            err, QE_ERR_LIMIT,
            "the canaries (%zu) are moved, but %.60s holds more than %zu messages: what comes "
            "back cannot be seen among them. See with `queuectl dlq list` whether "
            "it grows, and move the rest without --canary",
            flock->count, ctl_label(job->ctl, &job->from, label), seen);
    }
    return 0;
}

/* Until they are back, or the time is over. */
static int watch(struct flock *flock, struct qe_err *err)
{
    const struct ctl *ctl = flock->job->ctl;
    bool peeks = (ctl->driver->caps & QE_CAP_PEEK) != 0;
    int64_t pause_ms = peeks ? LOOK_PEEK_MS : LOOK_RECEIVE_MS;
    int64_t now = qe_clock_mono_ms();
    int64_t end = now + ctl->options.canary_wait_ms;
    struct ctl_progress progress = {0};
    int rc = 0;

    while (rc == 0 && now < end && ctl_stopped == 0 && flock->back_count == 0) {
        char left[32];
        char text[120];

        (void)snprintf(text, sizeof text, "canaries moved: %zu; none is back, %s to wait",
                       flock->count, qe_text_from_duration((end - now + 999) / 1000 * 1000, left));
        ctl_progress_say(&progress, text);
        ctl_sleep_until(flock->job->ctl, now + pause_ms < end ? now + pause_ms : end);
        rc = ctl_stopped == 0 ? look(flock, err) : 0;
        now = qe_clock_mono_ms();
    }
    ctl_progress_end(&progress);
    return rc;
}

static enum qe_exit conclude(const struct flock *flock, int64_t start_mono_ms, bool *out_go_on)
{
    const struct ctl_redrive_job *job = flock->job;
    uint64_t max = job->ctl->options.redrive_max;
    char span[32];

    (void)qe_text_from_duration((qe_clock_mono_ms() - start_mono_ms) / 1000 * 1000, span);
    if (flock->back_count > 0) {
        (void)printf("%zu of %zu canaries came back within %s: nothing more is moved\n",
                     flock->back_count, flock->count, span);
        (void)fflush(stdout);
        (void)fputs("queuectl dlq redrive: the first: ", stderr);
        (void)ctl_write_safely(stderr, flock->why, strlen(flock->why));
        (void)fputc('\n', stderr);
        return QE_EXIT_FAILURE;
    }
    if (ctl_stopped != 0) {
        (void)fputs("queuectl dlq redrive: stopped while the canaries were watched\n", stderr);
        return QE_EXIT_FAILURE;
    }
    (void)printf("none of %zu canaries came back within %s\n", flock->count, span);
    (void)fflush(stdout);
    *out_go_on = max == 0 || max > flock->count;
    return QE_EXIT_OK;
}

enum qe_exit ctl_redrive_canary(const struct ctl_redrive_job *job, uint64_t *out_moved,
                                bool *out_go_on, struct qe_err *err)
{
    const struct ctl_options *options = &job->ctl->options;
    struct flock flock = {.job = job,
                          .canaries = qe_calloc((size_t)options->canary, sizeof *flock.canaries)};
    const struct ctl_redrive_listener listener = {.sent = remember, .context = &flock};
    uint64_t max = options->canary;

    *out_go_on = false;
    *out_moved = 0;
    if (flock.canaries == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "%" PRIu64 " canaries", options->canary);
        return QE_EXIT_FAILURE;
    }
    if (options->redrive_max > 0 && options->redrive_max < max) {
        max = options->redrive_max;
    }
    int64_t start_mono_ms = qe_clock_mono_ms();
    enum qe_exit code = ctl_redrive_from_here(job, max, &listener, out_moved, err);

    if (code == QE_EXIT_OK && *out_moved > 0) {
        code =
            watch(&flock, err) == 0 ? conclude(&flock, start_mono_ms, out_go_on) : QE_EXIT_FAILURE;
    }
    qe_free(flock.canaries);
    return code;
}
