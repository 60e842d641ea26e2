/* The messages of a redrive, or what canaries have left of them: moved by the broker where it can,
 * and from here where it cannot. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dlq/facts.h"
#include "model/dead_letter.h"
#include "queuectl/dlq.h"
#include "queuectl/redrive.h"

/* Letters that tell by whom the queue is filled. */
#define LOOK_COUNT 10

/* The broker counts whole messages per second, has no limit of how many, and takes all. */
static bool suits_the_broker(const struct ctl *ctl)
{
    return (ctl->driver->caps & QE_CAP_REDRIVE) != 0 && ctl->options.redrive_max == 0 &&
           qe_dlq_filter_is_empty(&ctl->options.filter) &&
           (ctl->options.rate <= 0 || ctl->options.rate >= 1);
}

static void say(const char *what, const char *why)
{
    (void)fprintf(stderr, "queuectl dlq redrive: %s: ", what);
    (void)ctl_write_safely(stderr, why, strlen(why));
    (void)fputc('\n', stderr);
}

/* --- whose letters they are --- */

/* What the broker has dead-lettered says where it came from, and nothing else. Where it does not,
 * or where a consumer has written down why, the broker knows no source. */
static bool is_of_the_broker(const struct qe_message *message)
{
    if (qe_attributes_get(&message->attributes, QE_DEAD_LETTER_SOURCE) == NULL) {
        return false;
    }
    for (size_t i = 0; i < message->attributes.count; i++) {
        const char *name = message->attributes.items[i].name;

        if (qe_dlq_is_own_attribute(name) && strcmp(name, QE_DEAD_LETTER_SOURCE) != 0) {
            return false;
        }
    }
    return true;
}

static int note_foreign(void *context, const struct qe_message *message, struct qe_err *err)
{
    bool *foreign = context;

    (void)err;
    *foreign = *foreign || !is_of_the_broker(message);
    return 0;
}

/* It would take what is to be looked at, and another task cannot be begun. */
static bool task_runs(const struct ctl_redrive_job *job)
{
    const struct ctl *ctl = job->ctl;
    struct qe_redrive_task task = {0};
    struct qe_err ignored = {0};

    return ctl->driver->redrive_status(ctl->handle, &job->from, ctl_deadline(ctl), &task,
                                       &ignored) == 0 &&
           task.state == QE_REDRIVE_RUNNING;
}

/* A task of the broker's ends at the first message whose source it does not know, and holds for a
 * while what it has received; so it is better not begun. Not sure: one look sees a few. */
static bool broker_knows_the_sources(const struct ctl_redrive_job *job)
{
    const struct ctl *ctl = job->ctl;
    bool foreign = false;
    const struct ctl_visitor visitor = {.visit = note_foreign, .context = &foreign};
    struct qe_err ignored = {0}; /* who may not receive may still have it moved */
    struct ctl_seen seen;

    if (job->to.name == NULL && (ctl->driver->caps & QE_CAP_RECEIVE) != 0 && !task_runs(job)) {
        (void)!ctl_dlq_look(ctl, &job->from, LOOK_COUNT, &visitor, &seen, &ignored);
    }
    return !foreign;
}

/* --- moving --- */

static enum qe_exit from_here(const struct ctl_redrive_job *job, uint64_t moved, struct qe_err *err)
{
    uint64_t max = job->ctl->options.redrive_max;

    return ctl_redrive_from_here(job, max > 0 ? max - moved : 0, NULL, &moved, err);
}

/* The broker's task has ended before its time. */
static enum qe_exit go_on_from_here(const struct ctl_redrive_job *job, struct qe_err *err)
{
    say("moving the rest from here", err->message);
    *err = (struct qe_err){0};
    enum qe_exit code = from_here(job, 0, err);
    struct qe_dlq_depth depth;

    qe_dlq_depth_read(job->ctl->driver, job->ctl->handle, &job->from, job->ctl->options.timeout_ms,
                      &depth);
    if (code == QE_EXIT_OK && depth.in_flight > 0 && depth.in_flight != QE_DLQ_UNKNOWN) {
        char label[CTL_LABEL_BYTES];

        qe_err_set(err, QE_ERR_LIMIT,
                   "about %" PRIu64 " of %.100s are in flight, held by the broker's redrive, most "
                   "likely: run it again when their visibility has ended",
                   depth.in_flight, ctl_label(job->ctl, &job->from, label));
        return QE_EXIT_FAILURE;
    }
    return code;
}

static enum qe_exit by_the_broker(const struct ctl_redrive_job *job, uint64_t moved,
                                  struct qe_err *err)
{
    struct qe_redrive_task before;
    bool failed = false;

    if (ctl_redrive_begin(job, &before, err) == 0) {
        enum qe_exit code = ctl_redrive_watch(job, &before, &failed, err);

        return failed && job->to.name == NULL ? go_on_from_here(job, err) : code;
    }
    /* Who may not have it moved may still be allowed to receive and to send. */
    if (err->code != QE_ERR_UNSUPPORTED && err->code != QE_ERR_AUTH) {
        return QE_EXIT_FAILURE;
    }
    say("moving them from here, since the broker does not", err->message);
    *err = (struct qe_err){0};
    return from_here(job, moved, err);
}

enum qe_exit ctl_redrive_rest(const struct ctl_redrive_job *job, uint64_t moved, struct qe_err *err)
{
    if (!suits_the_broker(job->ctl)) {
        return from_here(job, moved, err);
    }
    bool known = broker_knows_the_sources(job);

    if (ctl_stopped != 0) {
        (void)fputs("queuectl dlq redrive: stopped before the end\n", stderr);
        return QE_EXIT_FAILURE;
    }
    if (!known) {
        say("moving them from here, since the broker does not",
            "it cannot tell where all of them came from");
        return from_here(job, moved, err);
    }
    return by_the_broker(job, moved, err);
}
