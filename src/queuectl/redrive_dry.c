/* What a redrive would do. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dlq/destination.h"
#include "dlq/facts.h"
#include "queuectl/dlq.h"
#include "queuectl/redrive.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

#define TARGETS_MAX 10000

struct target {
    const struct qe_queue *queue; /* borrowed; NULL: none is known */
    uint64_t count;
};

struct rehearsal {
    const struct ctl_redrive_job *job;
    struct qe_dlq_origins origins;
    struct target *targets; /* owned */
    size_t targets_count;
    size_t targets_capacity;
    uint64_t meant;
    struct qe_err first_stay;
};

static int count_target(struct rehearsal *rehearsal, const struct qe_queue *queue,
                        struct qe_err *err)
{
    const struct target target = {.queue = queue, .count = 1};

    for (size_t i = 0; i < rehearsal->targets_count; i++) {
        if (rehearsal->targets[i].queue == queue) {
            rehearsal->targets[i].count++;
            return 0;
        }
    }
    if (qe_grow(&rehearsal->targets, rehearsal->targets_count, &rehearsal->targets_capacity,
                TARGETS_MAX, sizeof target) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "%zu targets", rehearsal->targets_count);
    }
    rehearsal->targets[rehearsal->targets_count++] = target;
    return 0;
}

static void put(const char *before, const char *text)
{
    (void)fputs(before, stdout);
    (void)ctl_write_safely(stdout, text, strlen(text));
}

static void print_line(const struct ctl *ctl, const struct qe_message *message,
                       const struct qe_queue *to)
{
    char label[CTL_LABEL_BYTES];
    struct qe_dlq_facts facts;

    qe_dlq_facts_read(message, qe_clock_unix_ms(), &facts);
    put("", qe_message_name(message));
    put(to != NULL ? " to " : " stays", to != NULL ? ctl_label(ctl, to, label) : "");
    put(": ", facts.reason);
    if (facts.age_ms >= 0) {
        char age[32];

        (void)printf(", %s", qe_text_from_duration(facts.age_ms / 1000 * 1000, age));
    }
    (void)printf(", %zu bytes\n", message->body_bytes);
}

static int visit(void *context, const struct qe_message *message, struct qe_err *err)
{
    struct rehearsal *rehearsal = context;
    const struct ctl_redrive_job *job = rehearsal->job;
    uint64_t max = job->ctl->options.redrive_max;
    struct qe_err why = {0};
    int meant = ctl_is_meant(job->ctl, message, err);

    if (meant <= 0 || (max > 0 && rehearsal->meant >= max)) {
        return meant < 0 ? -1 : 0;
    }
    rehearsal->meant++;
    const struct qe_queue *to =
        job->to.name != NULL ? &job->to : qe_dlq_origin_of(&rehearsal->origins, message, &why);

    if (to == NULL && rehearsal->first_stay.code == QE_OK) {
        rehearsal->first_stay = why;
        (void)qe_err_wrap(&rehearsal->first_stay, "message %s", qe_message_name(message));
    }
    print_line(job->ctl, message, to);
    return count_target(rehearsal, to, err);
}

static void print_sums(const struct rehearsal *rehearsal, size_t seen)
{
    uint64_t staying = 0;
    char label[CTL_LABEL_BYTES];

    for (size_t i = 0; i < rehearsal->targets_count; i++) {
        const struct target *target = &rehearsal->targets[i];

        if (target->queue == NULL) {
            staying = target->count;
            continue;
        }
        (void)printf("would move %" PRIu64, target->count);
        put(" to ", ctl_label(rehearsal->job->ctl, target->queue, label));
        (void)putchar('\n');
    }
    if (rehearsal->meant == staying) {
        (void)printf("would move nothing\n");
    }
    (void)fflush(stdout);
    if (staying > 0) {
        (void)fprintf(stderr, "queuectl dlq redrive: %" PRIu64 " would stay; the first: ", staying);
        (void)ctl_write_safely(stderr, rehearsal->first_stay.message,
                               strlen(rehearsal->first_stay.message));
        (void)fputc('\n', stderr);
    }
    if (seen >= ctl_dlq_look_cap(rehearsal->job->ctl)) {
        (void)fprintf(stderr, "queuectl dlq redrive: looked at the first %zu messages only\n",
                      seen);
    }
}

enum qe_exit ctl_redrive_dry(const struct ctl_redrive_job *job, struct qe_err *err)
{
    struct rehearsal rehearsal = {.job = job,
                                  .origins = {.from = &job->from, .queues = job->queues}};
    const struct ctl_visitor visitor = {.visit = visit, .context = &rehearsal};
    struct ctl_seen seen;
    bool is_short = false;

    if (ctl_dlq_confirm_look(job->ctl, &job->from, ctl_dlq_look_cap(job->ctl), err) != 0) {
        return QE_EXIT_FAILURE;
    }
    ctl_catch_signals();
    int rc = ctl_dlq_look(job->ctl, &job->from, ctl_dlq_look_cap(job->ctl), &visitor, &seen, err);

    if (rc == 0) {
        print_sums(&rehearsal, seen.count);
    }
    if (rc == 0 && ctl_stopped == 0) {
        is_short = ctl_dlq_tell_rest(job->ctl, &job->from, seen.count, &seen.rest);
    }
    qe_free(rehearsal.targets);
    qe_dlq_origins_deinit(&rehearsal.origins);
    return rc == 0 && ctl_stopped == 0 && !is_short ? QE_EXIT_OK : QE_EXIT_FAILURE;
}
