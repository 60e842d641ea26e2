/* Messages that wait for a worker, in the order they came; and which of them may begin. All with
 * the lock held. */
#include <string.h>

#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/hash.h"

static bool same_group(const struct qe_job *a, const struct qe_job *b)
{
    return a->group_hash == b->group_hash && a->group != NULL && b->group != NULL &&
           strcmp(a->group, b->group) == 0;
}

/* True when one of the job's group was met before in this pass; else this one is the first. */
static bool was_met(struct qe_consumer *consumer, const struct qe_job *job)
{
    size_t at = (size_t)job->group_hash & (consumer->met_count - 1);

    for (; consumer->met[at].pass == consumer->pass; at = (at + 1) & (consumer->met_count - 1)) {
        if (same_group(consumer->met[at].job, job)) {
            return true;
        }
    }
    consumer->met[at] = (struct qe_met){.job = job, .pass = consumer->pass};
    return false;
}

/* A pass over the line, from its front: groups of which one is in work are met already. */
static void begin_pass(struct qe_consumer *consumer)
{
    consumer->pass++;
    for (size_t i = 0; i < consumer->jobs_count && consumer->met != NULL; i++) {
        const struct qe_job *job = &consumer->jobs[i];

        if (job->state > QE_JOB_WAITING && job->group != NULL) {
            (void)was_met(consumer, job);
        }
    }
}

/* One of its group is in work, or stands before it, or is not here and came before it. Asked of
 * each job of a pass, in turn. */
static bool must_wait(struct qe_consumer *consumer, const struct qe_job *job)
{
    return job->group != NULL &&
           (was_met(consumer, job) || qe_order_holds(consumer->order, job->group_hash, job->rank));
}

/* With its end, so that "ab", "c" differs from "a", "bc". */
static uint64_t hash_text_on(uint64_t hash, const char *text)
{
    return qe_hash_bytes(hash, text, strlen(text) + 1);
}

uint64_t qe_line_hash(const char *name)
{
    return hash_text_on(QE_HASH_START, name);
}

uint64_t qe_line_id_hash(const struct qe_message *message)
{
    return message->id[0] == '\0' ? 0 : hash_text_on(QE_HASH_START, message->id);
}

uint64_t qe_line_content_hash(const struct qe_message *message)
{
    uint64_t hash = hash_text_on(QE_HASH_START, message->correlation_id);

    hash = hash_text_on(hash, message->reply_to);
    for (size_t i = 0; i < message->attributes.count; i++) {
        hash = hash_text_on(hash, message->attributes.items[i].name);
        hash = hash_text_on(hash, message->attributes.items[i].value);
    }
    return qe_hash_bytes(hash, message->body, message->body_bytes);
}

/* Behind which one the job is to stand; NULL: at the front. */
static struct qe_job *place_of(struct qe_consumer *consumer, const struct qe_job *job)
{
    struct qe_job *before = NULL;

    if (job->rank >= consumer->line_rank || job->group == NULL) {
        return consumer->line_last;
    }
    for (struct qe_job *at = consumer->line_first; at != NULL; at = at->next) {
        if (same_group(at, job) && at->rank > job->rank) {
            break;
        }
        before = at;
    }
    return before;
}

void qe_line_put(struct qe_consumer *consumer, struct qe_job *job)
{
    struct qe_job *before = place_of(consumer, job);
    struct qe_job **link = before == NULL ? &consumer->line_first : &before->next;

    job->next = *link;
    *link = job;
    if (consumer->line_last == before) {
        consumer->line_last = job;
    }
    job->queued_mono_ms = qe_clock_mono_ms();
    job->state = QE_JOB_WAITING;
    consumer->line_rank = job->rank > consumer->line_rank ? job->rank : consumer->line_rank;
    consumer->waiting_count++;
    consumer->aside_count += job->is_aside ? 1 : 0;
    if (job->group != NULL) {
        qe_order_remove(consumer->order, job->group_hash, job->rank);
    }
    (void)pthread_cond_signal(&consumer->work);
}

/* `link` points at the job; `before` is the one before it, NULL at the front. */
static void take_out(struct qe_consumer *consumer, struct qe_job **link, struct qe_job *before)
{
    struct qe_job *job = *link;

    *link = job->next;
    if (consumer->line_last == job) {
        consumer->line_last = before;
    }
    job->next = NULL;
    consumer->waiting_count--;
    consumer->aside_count -= job->is_aside ? 1 : 0;
}

bool qe_line_remove(struct qe_consumer *consumer, const struct qe_job *job)
{
    struct qe_job *before = NULL;

    for (struct qe_job **link = &consumer->line_first; *link != NULL; link = &before->next) {
        if (*link == job) {
            take_out(consumer, link, before);
            return true;
        }
        before = *link;
    }
    return false;
}

int64_t qe_line_ready_mono_ms(struct qe_consumer *consumer)
{
    size_t wanted = consumer->options.batch_size;
    int64_t ready_mono_ms = INT64_MAX;
    size_t count = 0;

    begin_pass(consumer);
    for (const struct qe_job *job = consumer->line_first; job != NULL && count < wanted;
         job = job->next) {
        if (must_wait(consumer, job)) {
            continue;
        }
        if (count == 0) {
            /* Company is not worth a delivery that is given back. */
            int64_t patience_ms = (job->give_back_mono_ms - job->queued_mono_ms) / 2;
            int64_t wait_ms = consumer->options.batch_wait_ms;

            ready_mono_ms = job->queued_mono_ms + (wait_ms < patience_ms ? wait_ms : patience_ms);
        }
        count++;
    }
    return count == wanted ? 0 : ready_mono_ms;
}

size_t qe_line_take(struct qe_consumer *consumer, struct qe_job **out_jobs)
{
    struct qe_job *before = NULL;
    size_t count = 0;

    begin_pass(consumer);
    for (struct qe_job **link = &consumer->line_first;
         *link != NULL && count < consumer->options.batch_size;) {
        struct qe_job *job = *link;

        if (must_wait(consumer, job)) {
            before = job;
            link = &job->next;
            continue;
        }
        take_out(consumer, link, before);
        job->state = QE_JOB_RUNNING;
        consumer->running_count++;
        out_jobs[count++] = job;
    }
    return count;
}

void qe_line_leave_group(struct qe_consumer *consumer, const struct qe_job *job)
{
    if (job->group != NULL && consumer->line_first != NULL) {
        (void)pthread_cond_broadcast(&consumer->work);
    }
}
