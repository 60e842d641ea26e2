#include "queuectl/redrive_flock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlq/facts.h"
#include "queuectl/dlq.h"
#include "util/clock.h"
#include "util/hash.h"
#include "util/mem.h"

/* A broker across a network has a clock of its own, which may be that much behind ours. */
#define CLOCK_SKEW_MS 2000
/* RabbitMQ tells of each queue every 5 s: so long a look may be behind, and so long they must last
 * to see each queue's news once. */
#define COUNTS_LAG_MS 6000
#define COUNTS 4
#define COUNTS_PAUSE_MS 2000
#define COUNTS_LATE_MAX_MS 20000
#define KNOWN_MAX ((size_t)1 << 20)

static bool peeks(const struct ctl_flock *flock)
{
    return (flock->job->ctl->driver->caps & QE_CAP_PEEK) != 0;
}

/* --- places --- */

/* NULL: it is not there, and there is no room. */
static struct ctl_place *find_place(struct ctl_place *places, size_t *count,
                                    const struct qe_queue *queue)
{
    for (size_t i = 0; i < *count; i++) {
        if (qe_queue_compare(places[i].queue, queue) == 0) {
            return &places[i];
        }
    }
    if (*count == CTL_PLACES_MAX) {
        return NULL;
    }
    places[*count] =
        (struct ctl_place){.queue = queue, .before = CTL_DEPTH_UNKNOWN, .after = CTL_DEPTH_UNKNOWN};
    *count += 1;
    return &places[*count - 1];
}

/* The dead-letter queues of a target; one that sends everything back is none. */
static void add_graves(struct ctl_flock *flock, const struct qe_queue *target)
{
    const struct qe_queue_set *set = flock->job->queues;

    for (size_t i = 0; set != NULL && i < target->links_count; i++) {
        const struct qe_dead_letter_link *link = &target->links[i];
        size_t index = qe_queue_set_find(set, link->vhost, link->queue);

        if (index != SIZE_MAX && set->is_dead_letter_queue[index]) {
            (void)find_place(flock->graves, &flock->graves_count, &set->items[index]);
        }
    }
}

static void add_target(struct ctl_flock *flock, const struct qe_queue *queue)
{
    size_t before = flock->targets_count;

    (void)find_place(flock->targets, &flock->targets_count, queue);
    if (flock->targets_count > before) {
        add_graves(flock, queue);
    }
}

/* NULL: it is not known, and such a message is not moved. */
static const struct qe_queue *target_of(struct ctl_flock *flock, const struct qe_message *message)
{
    struct qe_err ignored = {0};

    return flock->job->to.name != NULL ? &flock->job->to
                                       : qe_dlq_origin_of(&flock->origins, message, &ignored);
}

/* --- what was there before --- */

/* Of the ids of one queue no two will be taken for each other. */
static uint64_t hash_of(const char *id)
{
    return qe_hash_bytes(QE_HASH_START, id, strlen(id));
}

static int by_hash(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return *left < *right ? -1 : *left > *right;
}

static int visit_before(void *context, const struct qe_message *message, struct qe_err *err)
{
    struct ctl_flock *flock = context;
    const struct qe_queue *target = flock->grave == 0 ? target_of(flock, message) : NULL;

    if (target != NULL) {
        add_target(flock, target);
    }
    if (peeks(flock) || message->id[0] == '\0') {
        return 0;
    }
    if (qe_grow(&flock->known, flock->known_count, &flock->known_capacity, KNOWN_MAX,
                sizeof flock->known[0]) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "%zu messages", flock->known_count);
    }
    flock->known[flock->known_count++] = hash_of(message->id);
    return 0;
}

/* Behind what did not come a canary may hide; of ordered groups nobody sees more than the first. */
static int look_at(struct ctl_flock *flock, const struct qe_queue *queue,
                   int (*visit)(void *context, const struct qe_message *message,
                                struct qe_err *err),
                   size_t *out_seen, struct qe_err *err)
{
    const struct ctl *ctl = flock->job->ctl;
    const struct ctl_visitor visitor = {.visit = visit, .context = flock};
    struct ctl_seen seen;
    int rc = ctl_dlq_look(ctl, queue, ctl_dlq_look_cap(ctl), &visitor, &seen, err);

    *out_seen = seen.count;
    if (rc == 0 && seen.rest.ready > 0 && !seen.rest.is_behind) {
        rc = qe_err_set(err, QE_ERR_TIMEOUT,
                        "about %" PRIu64 " messages are ready and did not come", seen.rest.ready);
    }
    return rc;
}

/* The first delay of a length makes its queue. NULL: as before. */
static struct qe_queue_set *list_again(const struct ctl_flock *flock)
{
    struct qe_queue_list list = {0};
    struct qe_queue_set *set = NULL;
    struct qe_err ignored = {0};
    bool is_listed = false;

    if (ctl_list(flock->job->ctl, &list, &is_listed, &ignored) == 0 && is_listed) {
        set = qe_queue_set_new_take(&list, &ignored);
    }
    qe_queue_list_deinit(&list);
    return set;
}

/* One look: depths[i] is of flock->targets[i]. */
static void count_targets(const struct ctl_flock *flock, struct ctl_depth *depths)
{
    struct qe_queue_set *listed = list_again(flock);

    ctl_depths_read(flock->job->ctl, listed != NULL ? listed : flock->job->queues, flock->targets,
                    flock->targets_count, depths);
    qe_queue_set_release(listed);
}

/* A broker that has just begun, or has a new leader, is given the time that it takes to know. */
static void count_before(struct ctl_flock *flock)
{
    const int64_t end_mono_ms = qe_clock_mono_ms() + COUNTS_LATE_MAX_MS;
    struct ctl_progress progress;
    bool is_late = true;

    ctl_progress_begin(&progress);
    while (is_late && ctl_stopped == 0) {
        struct ctl_depth depths[CTL_PLACES_MAX];
        const int64_t next_mono_ms = qe_clock_mono_ms() + COUNTS_PAUSE_MS;

        count_targets(flock, depths);
        is_late = false;
        for (size_t i = 0; i < flock->targets_count; i++) {
            flock->targets[i].before = depths[i];
            is_late = is_late || depths[i].is_late;
        }
        is_late = is_late && next_mono_ms < end_mono_ms;
        if (is_late) {
            ctl_progress_say(&progress, "the broker does not know yet how many messages wait");
            ctl_sleep_until(flock->job->ctl, next_mono_ms);
        }
    }
    ctl_progress_end(&progress);
}

int ctl_flock_prepare(struct ctl_flock *flock, struct qe_err *err)
{
    const struct ctl_redrive_job *job = flock->job;
    char label[CTL_LABEL_BYTES];
    int rc = 0;

    flock->origins = (struct qe_dlq_origins){.from = &job->from, .queues = job->queues};
    flock->canaries = qe_calloc((size_t)job->ctl->options.canary, sizeof *flock->canaries);
    if (flock->canaries == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "%" PRIu64 " canaries", job->ctl->options.canary);
    }
    (void)find_place(flock->graves, &flock->graves_count, &job->from);
    if (job->to.name != NULL) {
        add_target(flock, &job->to);
    }
    for (flock->grave = 0; flock->grave < flock->graves_count && rc == 0; flock->grave++) {
        const struct qe_queue *queue = flock->graves[flock->grave].queue;
        size_t seen = 0;

        rc = look_at(flock, queue, visit_before, &seen, err);
        if (rc != 0) {
            (void)qe_err_wrap(err, "what is in %.100s cannot be seen",
                              ctl_label(job->ctl, queue, label));
        }
    }
    if (flock->known_count > 0) {
        qsort(flock->known, flock->known_count, sizeof flock->known[0], by_hash);
    }
    if (rc == 0 && !peeks(flock)) {
        count_before(flock);
    }
    return rc;
}

void ctl_flock_deinit(struct ctl_flock *flock)
{
    qe_free(flock->canaries);
    qe_free(flock->known);
    qe_dlq_origins_deinit(&flock->origins);
    flock->canaries = NULL;
    flock->known = NULL;
}

/* One with this id that was there before; NULL: none was, but for canaries. */
static uint64_t *find_known(const struct ctl_flock *flock, const char *id)
{
    const uint64_t hash = hash_of(id);

    return id[0] == '\0' || flock->known_count == 0
               ? NULL
               : bsearch(&hash, flock->known, flock->known_count, sizeof hash, by_hash);
}

/* --- who is a canary --- */

/* A canary has left its grave, and may come back with the id that it had. */
static void leave_known(struct ctl_flock *flock, const char *id)
{
    uint64_t *known = find_known(flock, id);

    if (known != NULL) {
        const size_t behind = flock->known_count - (size_t)(known - flock->known) - 1;

        memmove(known, known + 1, behind * sizeof *known);
        flock->known_count--;
    }
}

void ctl_flock_remember(void *context, const struct qe_message *message, const char *new_id)
{
    struct ctl_flock *flock = context;
    const struct qe_queue *target = target_of(flock, message);
    struct ctl_place *place =
        target != NULL ? find_place(flock->targets, &flock->targets_count, target) : NULL;

    if (place != NULL) {
        place->canaries++;
    }
    if (flock->count < flock->job->ctl->options.canary) {
        struct ctl_canary *one = &flock->canaries[flock->count++];

        (void)snprintf(one->id, sizeof one->id, "%s", new_id);
        one->fingerprint = qe_dlq_fingerprint(message);
        leave_known(flock, message->id);
    }
}

/* When it was sent, or else came here; 0 unknown. */
static int64_t time_of(const struct qe_message *message)
{
    return message->sent_unix_ms != 0 ? message->sent_unix_ms : message->enqueued_unix_ms;
}

static bool is_id_of_canary(const struct ctl_flock *flock, const char *id)
{
    for (size_t i = 0; i < flock->count; i++) {
        if (strcmp(flock->canaries[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

/* One that waits for its turn, maybe of the same body. Who publishes to RabbitMQ often says neither
 * id nor time, or gives many messages one id; the canaries have both, the time is in this driver's
 * own word, and the broker tells when it dead-lettered. */
static bool was_there_before(const struct ctl_flock *flock, const struct qe_message *message)
{
    int64_t since = time_of(message);

    if (since != 0 && since < flock->job->start_unix_ms - (peeks(flock) ? 0 : CLOCK_SKEW_MS)) {
        return true;
    }
    if (find_known(flock, message->id) == NULL) {
        return false;
    }
    return since == 0 || message->sent_is_told || !is_id_of_canary(flock, message->id);
}

/* The canary that this message is, if it is none that was found; NULL. */
static struct ctl_canary *find_canary(struct ctl_flock *flock, const struct qe_message *message)
{
    uint64_t fingerprint = qe_dlq_fingerprint(message);

    for (size_t i = 0; i < flock->count && !was_there_before(flock, message); i++) {
        struct ctl_canary *one = &flock->canaries[i];

        if (!one->is_found && ((one->id[0] != '\0' && strcmp(one->id, message->id) == 0) ||
                               one->fingerprint == fingerprint)) {
            return one;
        }
    }
    return NULL;
}

/* --- the failed ones --- */

/* The first one's reason; of one that is surely one of them, if there is one. */
static void note_why(struct ctl_flock *flock, const struct qe_message *message)
{
    bool is_sure = time_of(message) != 0;
    struct qe_dlq_facts facts;

    if (flock->failed > 0 && (flock->is_sure || !is_sure)) {
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

static int visit_grave(void *context, const struct qe_message *message, struct qe_err *err)
{
    struct ctl_flock *flock = context;
    struct ctl_canary *one = find_canary(flock, message);

    (void)err;
    if (one != NULL) {
        one->is_found = true;
        note_why(flock, message);
        flock->graves[flock->grave].canaries++;
        flock->failed++;
    }
    return 0;
}

int ctl_flock_look(struct ctl_flock *flock, struct qe_err *err)
{
    size_t cap = ctl_dlq_look_cap(flock->job->ctl);
    char label[CTL_LABEL_BYTES];

    for (flock->grave = 0; flock->grave < flock->graves_count && ctl_stopped == 0; flock->grave++) {
        const struct qe_queue *queue = flock->graves[flock->grave].queue;
        size_t seen = 0;

        if (look_at(flock, queue, visit_grave, &seen, err) != 0) {
            return qe_err_wrap(err, "what becomes of %zu that are moved cannot be seen",
                               flock->count);
        }
        if (seen >= cap && flock->failed == 0) {
            return qe_err_set(
                err, QE_ERR_LIMIT,
                "the canaries (%zu) are moved, but %.60s holds more than %zu messages: what comes "
                "back cannot be seen among them. See with `queuectl dlq list` whether "
                "it grows, and move the rest without --canary",
                flock->count, ctl_label(flock->job->ctl, queue, label), seen);
        }
    }
    return 0;
}

/* --- those that nobody has handled --- */

static int visit_target(void *context, const struct qe_message *message, struct qe_err *err)
{
    struct ctl_flock *flock = context;
    struct ctl_canary *one = find_canary(flock, message);

    (void)err;
    if (one != NULL) {
        one->is_found = true;
        flock->waiting++;
        flock->is_tried = flock->is_tried || message->receives > 0;
    }
    return 0;
}

static void say_waiting(const struct ctl *ctl, size_t count, const struct qe_queue *queue,
                        const char *what)
{
    char label[CTL_LABEL_BYTES];

    (void)printf("%zu canar%s in %s%s: nothing more is moved\n", count,
                 count == 1 ? "y still waits" : "ies still wait", ctl_label(ctl, queue, label),
                 what);
}

static int tell_by_peeking(struct ctl_flock *flock, const struct ctl_place *target, bool *out_any,
                           struct qe_err *err)
{
    size_t seen = 0;

    flock->waiting = 0;
    flock->is_tried = false;
    if (look_at(flock, target->queue, visit_target, &seen, err) != 0) {
        return qe_err_wrap(err, "whether the canaries were handled cannot be seen");
    }
    if (seen >= ctl_dlq_look_cap(flock->job->ctl)) {
        char label[CTL_LABEL_BYTES];

        return qe_err_set(err, QE_ERR_LIMIT,
                          "the canaries (%zu) are moved, but %.60s holds more than %zu messages: "
                          "whether they were handled cannot be seen among them",
                          flock->count, ctl_label(flock->job->ctl, target->queue, label), seen);
    }
    if (flock->waiting > 0) {
        *out_any = true;
        say_waiting(flock->job->ctl, flock->waiting, target->queue,
                    flock->is_tried ? ": tried, but not done" : ": nobody has handled them");
    }
    return 0;
}

void ctl_flock_count(struct ctl_flock *flock, int64_t sent_mono_ms)
{
    const struct ctl *ctl = flock->job->ctl;
    int64_t next_mono_ms = sent_mono_ms + COUNTS_LAG_MS;

    for (int look = 0; look < COUNTS && !peeks(flock); look++) {
        struct ctl_depth depths[CTL_PLACES_MAX];

        ctl_sleep_until(ctl, next_mono_ms);
        if (ctl_stopped != 0) {
            return;
        }
        count_targets(flock, depths);
        for (size_t i = 0; i < flock->targets_count; i++) {
            ctl_depth_merge(&flock->targets[i].after, &depths[i]);
        }
        next_mono_ms = qe_clock_mono_ms() + COUNTS_PAUSE_MS;
    }
}

int ctl_flock_tell_waiting(struct ctl_flock *flock, bool *out_any, struct qe_err *err)
{
    *out_any = false;
    for (size_t i = 0; i < flock->targets_count; i++) {
        const struct ctl_place *target = &flock->targets[i];

        if (target->canaries == 0) {
            continue;
        }
        if (!peeks(flock)) {
            *out_any = ctl_depth_tell(flock->job->ctl, target) || *out_any;
        } else if (tell_by_peeking(flock, target, out_any, err) != 0) {
            return -1;
        }
    }
    return 0;
}
