#include <string.h>

#include "dlq/redrive_internal.h"
#include "util/clock.h"
#include "util/mem.h"

#define TRIES_MAX 3
#define SETTLE_PAUSE_MS 100
#define CALL_PAUSE_MS 1000

/* The array that `place` points to, for `count` items. */
static bool widen(void *place, size_t before, size_t count, size_t item_bytes)
{
    void *array;

    memcpy(&array, place, sizeof array);
    array = qe_reallocarray(array, count, item_bytes);
    if (array == NULL) {
        return false;
    }
    memset((char *)array + before * item_bytes, 0, (count - before) * item_bytes);
    memcpy(place, &array, sizeof array);
    return true;
}

int qe_redrive_make_room(struct qe_redrive *run, struct qe_err *err)
{
    const size_t before = run->room_count;
    const size_t count = run->lot.count > QE_REDRIVE_LOT_MAX ? run->lot.count : QE_REDRIVE_LOT_MAX;

    if (before >= count) {
        return 0;
    }
    if (!widen(&run->fates, before, count, sizeof *run->fates) ||
        !widen(&run->targets, before, count, sizeof(const struct qe_queue *)) ||
        !widen(&run->attributes, before, count, sizeof *run->attributes) ||
        !widen(&run->deduplication_ids, before, count, sizeof *run->deduplication_ids) ||
        !widen(&run->picked, before, count, sizeof *run->picked) ||
        !widen(&run->outgoing, before, count, sizeof *run->outgoing) ||
        !widen(&run->settlements, before, count, sizeof *run->settlements)) {
        return qe_err_set(err, QE_ERR_NOMEM, "a lot of %zu messages", count);
    }
    run->room_count = count;
    return 0;
}

bool qe_redrive_pause(struct qe_redrive *run, int64_t until_mono_ms)
{
    const struct qe_redrive_hooks *hooks = &run->options->hooks;
    bool go_on = hooks->pause(hooks->context, until_mono_ms);

    run->is_stopping = run->is_stopping || !go_on;
    return go_on;
}

bool qe_redrive_try_again(struct qe_redrive *run, unsigned tries, enum qe_err_code code)
{
    return qe_err_is_retryable(code) && tries < TRIES_MAX &&
           qe_redrive_pause(run, qe_clock_mono_ms() + CALL_PAUSE_MS * (int64_t)tries);
}

/* Until when a call may take; once the caller wants to stop, that ends soon after the last one that
 * was answered. */
static int64_t settle_deadline(struct qe_redrive *run)
{
    int64_t now = qe_clock_mono_ms();
    int64_t deadline = now + run->options->call_timeout_ms;

    if (!run->is_stopping) {
        return deadline;
    }
    if (run->stop_mono_ms == 0) {
        run->stop_mono_ms = now + QE_DLQ_STOP_MS;
    }
    return deadline < run->stop_mono_ms ? deadline : run->stop_mono_ms;
}

/* One call for settlements that are not settled yet; they stand together at the front of `todo`.
 * Returns how many of them are left to try again. */
static size_t settle_once(struct qe_redrive *run, struct qe_settlement *todo, size_t count)
{
    const struct qe_redrive_options *options = run->options;
    int64_t deadline = settle_deadline(run);
    struct qe_err err = {0};
    bool failed = false;
    size_t left = 0;

    if (deadline <= qe_clock_mono_ms()) {
        (void)qe_err_set(&err, QE_ERR_TIMEOUT, "the broker does not answer");
        failed = true;
    } else {
        failed = options->driver->settle(options->handle, options->from, todo, count, deadline,
                                         &err) != 0;
    }
    run->stop_mono_ms = failed ? run->stop_mono_ms : 0;

    for (size_t i = 0; i < count; i++) {
        if (failed) {
            todo[i].result = QE_SETTLE_FAILED;
            todo[i].err = err;
        }
        left += todo[i].result == QE_SETTLE_FAILED ? 1 : 0;
    }
    return left;
}

void qe_redrive_settle(struct qe_redrive *run, size_t count)
{
    size_t left = count > 0 ? settle_once(run, run->settlements, count) : 0;

    for (unsigned tries = 1; left > 0 && tries < TRIES_MAX; tries++) {
        /* A wish to stop shortens the pause, not the tries: what is sent should be deleted. */
        (void)qe_redrive_pause(run, qe_clock_mono_ms() + SETTLE_PAUSE_MS * (int64_t)tries);
        left = 0;
        for (size_t i = 0; i < count; i++) {
            if (run->settlements[i].result == QE_SETTLE_FAILED) {
                left += settle_once(run, &run->settlements[i], 1);
            }
        }
    }
}

void qe_redrive_note_release(struct qe_redrive *run, const struct qe_settlement *settlement)
{
    if (settlement->result == QE_SETTLE_FAILED) {
        qe_dlq_kept_add(&run->out->kept, settlement->message, &settlement->err);
    }
}

/* A lot of what is aside, from index `first` on. */
static void settle_aside(struct qe_redrive *run, size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct qe_aside_item *item = &run->aside.items[first + i];
        bool is_sent = item->why == QE_ASIDE_SENT;

        run->settlements[i] =
            (struct qe_settlement){.message = &item->message,
                                   .verb = is_sent ? QE_SETTLE_ACK : QE_SETTLE_RELEASE,
                                   .unhandled = !is_sent};
    }
    qe_redrive_settle(run, count);
    for (size_t i = 0; i < count; i++) {
        if (run->aside.items[first + i].why != QE_ASIDE_SENT) {
            qe_redrive_note_release(run, &run->settlements[i]);
        } else if (run->settlements[i].result == QE_SETTLED) {
            run->out->counts.moved++;
            run->out->counts.doubled--;
        }
    }
}

void qe_redrive_end(struct qe_redrive *run)
{
    qe_dlq_kept_begin(run->options->driver, run->options->handle, run->options->from);
    for (size_t i = 0; i < run->aside.count && run->room_count > 0; i += run->room_count) {
        size_t left = run->aside.count - i;

        settle_aside(run, i, left < run->room_count ? left : run->room_count);
    }
    qe_dlq_kept_end(&run->out->kept, run->options->driver, run->options->handle,
                    run->options->from);
    qe_aside_deinit(&run->aside);
    qe_dlq_origins_deinit(&run->origins);
    qe_message_list_deinit(&run->lot);
    for (size_t i = 0; i < run->room_count; i++) {
        qe_attributes_deinit(&run->attributes[i]);
    }
    qe_free(run->fates);
    qe_free(run->targets);
    qe_free(run->attributes);
    qe_free(run->deduplication_ids);
    qe_free(run->picked);
    qe_free(run->outgoing);
    qe_free(run->settlements);
}
