#include "dlq/redrive.h"

#include <stdio.h>
#include <string.h>

#include "dlq/facts.h"
#include "dlq/redrive_internal.h"
#include "util/clock.h"
#include "util/mem.h"

/* Of a lot, so many are sent, and then deleted, in one go: a wish to stop is heard between two of
 * them. More where that is quick, down to what Amazon SQS takes in one call where it is not. */
#define BITE_FIRST 10
#define BITE_QUICK_MS 50

static int64_t call_deadline(const struct qe_redrive *run)
{
    return qe_clock_mono_ms() + run->options->call_timeout_ms;
}

static void note_first(struct qe_err *first, const struct qe_message *message,
                       const struct qe_err *why)
{
    if (first->code == QE_OK) {
        *first = *why;
        (void)qe_err_wrap(first, "message %s", qe_message_name(message));
    }
}

static int put_aside(struct qe_redrive *run, size_t index, enum qe_aside_why why,
                     struct qe_err *err)
{
    run->fates[index] = QE_FATE_DONE;
    if (qe_aside_add_take(&run->aside, &run->lot.items[index], why, err) == 0) {
        return 0;
    }
    if (why == QE_ASIDE_SENT) {
        qe_dlq_kept_add(&run->out->kept, &run->lot.items[index], err);
    } else {
        run->fates[index] = QE_FATE_SEND; /* given back with the rest of the lot */
    }
    return -1;
}

static int stay(struct qe_redrive *run, size_t index, const struct qe_err *why, struct qe_err *err)
{
    run->out->counts.stayed++;
    note_first(&run->out->why_stayed, &run->lot.items[index], why);
    return put_aside(run, index, QE_ASIDE_STAYED, err);
}

static int stay_behind(struct qe_redrive *run, size_t index, struct qe_err *err)
{
    struct qe_err why = {0};

    (void)qe_err_set(&why, QE_ERR_CANCELLED, "an earlier message of its group stays");
    return stay(run, index, &why, err);
}

/* --- what is to become of each message --- */

/* Kept in hand to the end. */
static int leave(struct qe_redrive *run, size_t index, enum qe_aside_why why, uint64_t *counter,
                 struct qe_err *err)
{
    *counter += 1;
    return put_aside(run, index, why, err);
}

/* 1, 0, or -1 when it cannot be decided. */
static int is_meant(const struct qe_redrive *run, const struct qe_message *message,
                    struct qe_err *err)
{
    const struct qe_dlq_filter *filter = run->options->filter;

    return filter == NULL ? 1 : qe_dlq_filter_matches(filter, message, run->start_unix_ms, err);
}

/* What came since it began, which may be what it has moved. A publisher's clock may be ahead: a
 * time that is still to come says nothing, and the broker's word when it came here is better. */
static bool is_newer(const struct qe_redrive *run, const struct qe_message *message)
{
    const int64_t enqueued = message->enqueued_unix_ms;
    const bool is_wrong =
        message->sent_is_told && (message->sent_unix_ms > qe_clock_unix_ms() ||
                                  (enqueued != 0 && enqueued < run->start_unix_ms));

    return message->sent_unix_ms >= run->start_unix_ms && !is_wrong;
}

static int decide(struct qe_redrive *run, size_t index, struct qe_err *err)
{
    struct qe_message *message = &run->lot.items[index];
    struct qe_aside_item *known = qe_aside_find(&run->aside, message);
    struct qe_err why = {0};

    run->fates[index] = known != NULL ? QE_FATE_DONE : QE_FATE_SEND; /* or given back */
    if (known != NULL) {
        if (known->why == QE_ASIDE_SENT) {
            run->fates[index] = QE_FATE_DELETE_AGAIN;
            qe_aside_remove(&run->aside, known); /* one message is not deleted for two */
        } else {
            qe_aside_renew_take(&run->aside, known, message);
        }
        return 0;
    }
    run->fresh_count++;
    if (is_newer(run, message)) {
        return leave(run, index, QE_ASIDE_NEWER, &run->out->counts.newer, err);
    }
    int meant = is_meant(run, message, &why);

    if (meant == 0) {
        return leave(run, index, QE_ASIDE_UNMATCHED, &run->out->counts.unmatched, err);
    }
    if (meant < 0) {
        return why.code == QE_ERR_NOMEM ? qe_err_set(err, QE_ERR_NOMEM, "%s", why.message)
                                        : stay(run, index, &why, err);
    }
    run->tried++;
    run->targets[index] = run->options->to != NULL ? run->options->to
                                                   : qe_dlq_origin_of(&run->origins, message, &why);
    if (run->targets[index] == NULL) {
        return why.code == QE_ERR_NOMEM ? qe_err_set(err, QE_ERR_NOMEM, "%s", why.message)
                                        : stay(run, index, &why, err);
    }
    return 0;
}

/* --- sending --- */

/* Without what dead-lettering added. */
static int strip(const struct qe_attributes *from, struct qe_attributes *out, struct qe_err *err)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct qe_attribute *one = &from->items[i];

        if (!qe_dlq_is_own_attribute(one->name) &&
            qe_attributes_add_typed(out, one->name, one->type, one->value, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int fill(struct qe_redrive *run, size_t index, struct qe_outgoing *out, struct qe_err *err)
{
    const struct qe_message *message = &run->lot.items[index];
    char *deduplication_id = run->deduplication_ids[index];

    deduplication_id[0] = '\0';
    if (message->deduplication_id[0] != '\0' && message->id[0] != '\0') {
        (void)snprintf(deduplication_id, QE_REDRIVE_ID_BYTES, "redrive-%s", message->id);
    }
    *out = (struct qe_outgoing){.body = message->body,
                                .body_bytes = message->body_bytes,
                                .attributes = &run->attributes[index],
                                .delay_ms = -1,
                                .group = message->group,
                                .deduplication_id = deduplication_id,
                                .correlation_id = message->correlation_id,
                                .reply_to = message->reply_to,
                                .message_id = message->id};
    return strip(&message->attributes, &run->attributes[index], err);
}

/* What concerns one target only leaves the others to be sent. */
static bool is_of_the_target(const struct qe_redrive *run, enum qe_err_code code)
{
    return run->options->to == NULL && code == QE_ERR_NOT_FOUND;
}

/* The next messages of the lot that go where `first` goes, in outgoing and picked. None, when all
 * of them stay. */
static int pick(struct qe_redrive *run, size_t first, size_t *out_count, struct qe_err *err)
{
    size_t count = 0;

    for (size_t i = first; i < run->lot.count && count < run->bite_max; i++) {
        if (run->fates[i] != QE_FATE_SEND || run->targets[i] != run->targets[first]) {
            continue;
        }
        enum qe_redrive_turn turn = qe_redrive_turn_of(run, i, count);

        if (turn == QE_TURN_NEVER && stay_behind(run, i, err) != 0) {
            return -1;
        }
        if (turn != QE_TURN_NOW) {
            continue;
        }
        if (fill(run, i, &run->outgoing[count], err) != 0) {
            return -1;
        }
        run->picked[count++] = i;
    }
    *out_count = count;
    return 0;
}

/* What has become of a picked message. */
static int note_sent(struct qe_redrive *run, size_t picked, const struct qe_err *result,
                     struct qe_err *err)
{
    const struct qe_redrive_hooks *hooks = &run->options->hooks;
    const size_t index = run->picked[picked];

    if (result->code != QE_OK) {
        return stay(run, index, result, err);
    }
    run->fates[index] = QE_FATE_DELETE;
    if (hooks->sent != NULL) {
        hooks->sent(hooks->context, &run->lot.items[index], run->outgoing[picked].id);
    }
    return 0;
}

/* Sends `first` and what else goes where it goes. */
static int send_bite(struct qe_redrive *run, size_t first, struct qe_err *err)
{
    const struct qe_redrive_options *options = run->options;
    struct qe_err why = {0};
    size_t count = 0;
    bool failed = true;
    int rc = 0;

    if (pick(run, first, &count, err) != 0) {
        return -1;
    }
    if (count == 0) {
        return 0;
    }
    for (unsigned tries = 1; failed; tries++) {
        failed = options->driver->send(options->handle, run->targets[first], run->outgoing, count,
                                       call_deadline(run), &why) != 0;
        if (failed && !qe_redrive_try_again(run, tries, why.code)) {
            break;
        }
    }
    for (size_t k = 0; k < count; k++) { /* each of them: what is sent must not be given back */
        rc = note_sent(run, k, failed ? &why : &run->outgoing[k].result, err) != 0 ? -1 : rc;
    }
    if (rc == 0 && failed && !is_of_the_target(run, why.code)) {
        *err = why;
        return qe_err_wrap(err, "send to %s", run->targets[first]->name);
    }
    return rc;
}

/* --- deleting --- */

static int note_deleted(struct qe_redrive *run, size_t index,
                        const struct qe_settlement *settlement, struct qe_err *err)
{
    struct qe_message *message = &run->lot.items[index];
    struct qe_redrive_counts *counts = &run->out->counts;
    bool again = run->fates[index] == QE_FATE_DELETE_AGAIN;

    run->fates[index] = QE_FATE_DONE;
    if (settlement->result == QE_SETTLED) {
        counts->moved++;
        counts->doubled -= again ? 1 : 0;
        return 0;
    }
    counts->doubled += again ? 0 : 1;
    note_first(&run->out->why_doubled, message, &settlement->err);
    return put_aside(run, index, QE_ASIDE_SENT, err);
}

static int delete_sent(struct qe_redrive *run, struct qe_err *err)
{
    size_t count = 0;
    int rc = 0;

    for (size_t i = 0; i < run->lot.count; i++) {
        if (run->fates[i] == QE_FATE_DELETE || run->fates[i] == QE_FATE_DELETE_AGAIN) {
            run->settlements[count] =
                (struct qe_settlement){.message = &run->lot.items[i], .verb = QE_SETTLE_ACK};
            run->picked[count++] = i;
        }
    }
    qe_redrive_settle(run, count);
    for (size_t k = 0; k < count; k++) {
        if (note_deleted(run, run->picked[k], &run->settlements[k], err) != 0) {
            rc = -1;
        }
    }
    return rc;
}

/* --- lots --- */

static void tell_progress(const struct qe_redrive *run)
{
    const struct qe_redrive_hooks *hooks = &run->options->hooks;

    if (hooks->progress != NULL) {
        hooks->progress(hooks->context, &run->out->counts);
    }
}

static void adapt_bite(struct qe_redrive *run, int64_t began_mono_ms)
{
    bool is_quick = qe_clock_mono_ms() - began_mono_ms < BITE_QUICK_MS;
    size_t twice = run->bite_max * 2 < QE_REDRIVE_LOT_MAX ? run->bite_max * 2 : QE_REDRIVE_LOT_MAX;

    run->bite_max = is_quick ? twice : BITE_FIRST;
}

/* A bite after the other, each sent and then deleted, until the caller wants to stop. */
static int move_bites(struct qe_redrive *run, struct qe_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < run->lot.count && rc == 0; i++) {
        struct qe_err why = {0};

        if (run->fates[i] != QE_FATE_SEND) {
            continue;
        }
        if (!qe_redrive_pause(run, 0)) {
            break;
        }
        const int64_t began_mono_ms = qe_clock_mono_ms();

        rc = send_bite(run, i, err);
        /* What is sent is deleted even when another message has ended the run. */
        if (delete_sent(run, &why) != 0 && rc == 0) {
            *err = why;
            rc = -1;
        }
        adapt_bite(run, began_mono_ms);
        tell_progress(run);
    }
    for (size_t i = 0; i < run->lot.count; i++) {
        qe_attributes_deinit(&run->attributes[i]);
    }
    return rc;
}

/* What nothing was done with, since the caller wants to stop or the run has ended. */
static void give_back_rest(struct qe_redrive *run)
{
    size_t count = 0;

    for (size_t i = 0; i < run->lot.count; i++) {
        if (run->fates[i] == QE_FATE_SEND) {
            run->fates[i] = QE_FATE_DONE;
            run->settlements[count++] = (struct qe_settlement){
                .message = &run->lot.items[i], .verb = QE_SETTLE_RELEASE, .unhandled = true};
        }
    }
    if (count > 0) {
        qe_dlq_kept_begin(run->options->driver, run->options->handle, run->options->from);
    }
    qe_redrive_settle(run, count);
    for (size_t i = 0; i < count; i++) {
        qe_redrive_note_release(run, &run->settlements[i]);
        run->out->counts.untried += run->settlements[i].result != QE_SETTLE_FAILED ? 1 : 0;
    }
}

static int move_lot(struct qe_redrive *run, struct qe_err *err)
{
    struct qe_err why = {0};
    int rc = 0;

    run->fresh_count = 0;
    for (size_t i = 0; i < run->lot.count; i++) {
        if (rc != 0) {
            run->fates[i] = QE_FATE_SEND; /* given back below */
        } else {
            rc = decide(run, i, err);
        }
    }
    rc = rc == 0 ? move_bites(run, err) : rc;
    give_back_rest(run);
    if (delete_sent(run, &why) != 0 && rc == 0) { /* of an earlier lot */
        *err = why;
        rc = -1;
    }
    tell_progress(run);
    return rc;
}

/* 1: there may be more, 0: it is done, -1. */
static int step(struct qe_redrive *run, struct qe_err *err)
{
    const size_t count = qe_redrive_next_lot(run);
    size_t received = 0;

    if (count == 0) {
        return 0;
    }
    /* Without room at the end nothing could be given back. */
    if (qe_redrive_make_room(run, err) != 0 || qe_redrive_receive(run, count, err) != 0) {
        return -1;
    }
    if (run->lot.count == 0) {
        return 0;
    }
    received = run->lot.count;
    int rc = qe_redrive_make_room(run, err);

    if (rc == 0) {
        rc = move_lot(run, err);
    } else {
        for (size_t i = 0; i < run->lot.count; i++) {
            qe_dlq_kept_add(&run->out->kept, &run->lot.items[i], err);
        }
    }

    for (size_t i = 0; i < run->lot.count; i++) {
        qe_message_deinit(&run->lot.items[i]);
    }
    run->lot.count = 0;
    if (rc != 0 || qe_aside_check_bytes(&run->aside, err) != 0) {
        return -1;
    }
    /* With no room for more it ends, and what is still in the queue was not looked at. */
    run->out->is_partial = qe_aside_is_full(&run->aside);
    return !qe_aside_goes_round(&run->aside, received, run->fresh_count) && !run->out->is_partial;
}

int qe_redrive_run(const struct qe_redrive_options *options, struct qe_redrive_result *out,
                   struct qe_err *err)
{
    struct qe_redrive run = {
        .options = options,
        .out = out,
        .origins = {.from = options->from, .queues = options->queues},
        .aside = {.driver = options->driver, .handle = options->handle, .queue = options->from},
        .bite_max = BITE_FIRST,
        .start_unix_ms = options->start_unix_ms != 0 ? options->start_unix_ms : qe_clock_unix_ms(),
        .start_mono_ms = qe_clock_mono_ms(),
    };
    int rc = 1;

    *out = (struct qe_redrive_result){0};
    if (options->to != NULL && qe_queue_compare(options->to, options->from) == 0) {
        return qe_err_set(err, QE_ERR_INVALID, "%s cannot be redriven to itself",
                          options->from->name);
    }
    qe_redrive_receive_begin(&run);
    while (rc == 1) {
        rc = step(&run, err);
    }
    qe_redrive_end(&run);
    return rc;
}
