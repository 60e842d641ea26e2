#include "dlq/look.h"

#include "util/clock.h"
#include "util/mem.h"

#define LOT_MAX 100
#define RELEASE_TRIES 3

static int by_peeking(const struct qe_dlq_look *look, size_t *out_seen, struct qe_err *err)
{
    struct qe_message_list list = {0};
    int rc = look->driver->peek(look->handle, look->queue, look->max,
                                qe_clock_mono_ms() + look->call_timeout_ms, &list, err);

    for (size_t i = 0; rc == 0 && i < list.count && !look->stopped(look->context); i++) {
        *out_seen += 1;
        rc = look->visit(look->context, &list.items[i], err);
    }
    qe_message_list_deinit(&list);
    return rc;
}

/* Without memory to keep it in hand. */
static void give_back_one(const struct qe_dlq_look *look, struct qe_message *message)
{
    struct qe_settlement settlement = {
        .message = message, .verb = QE_SETTLE_RELEASE, .unhandled = true};
    struct qe_err ignored = {0}; /* the look fails anyway */

    (void)!look->driver->settle(look->handle, look->queue, &settlement, 1,
                                qe_clock_mono_ms() + look->call_timeout_ms, &ignored);
    qe_message_deinit(message);
}

/* What one receive brought. Takes the messages, also on failure. *out_fresh: not seen before. */
static int visit_lot(const struct qe_dlq_look *look, struct qe_message_list *lot,
                     struct qe_aside *hand, size_t *out_fresh, struct qe_err *err)
{
    struct qe_err why = {0};
    int rc = 0;

    *out_fresh = 0;
    for (size_t i = 0; i < lot->count; i++) {
        struct qe_aside_item *known = qe_aside_find(hand, &lot->items[i]);

        if (known != NULL) {
            qe_aside_renew_take(hand, known, &lot->items[i]);
            continue;
        }
        *out_fresh += 1;
        rc = rc == 0 ? look->visit(look->context, &lot->items[i], err) : rc;
        if (qe_aside_add_take(hand, &lot->items[i], QE_ASIDE_STAYED, &why) != 0) {
            give_back_one(look, &lot->items[i]);
            *err = rc == 0 ? why : *err;
            rc = -1;
        }
    }
    lot->count = 0;
    return rc;
}

static int receive_all(const struct qe_dlq_look *look, struct qe_aside *hand,
                       struct qe_dlq_rest *out_rest, struct qe_err *err)
{
    struct qe_dlq_intake intake = {.hand = hand,
                                   .call_timeout_ms = look->call_timeout_ms,
                                   .stopped = look->stopped,
                                   .context = look->context};
    bool goes_round = false;
    int rc = 0;

    qe_dlq_intake_begin(&intake);
    while (rc == 0 && hand->count < look->max && !goes_round && !look->stopped(look->context)) {
        struct qe_message_list lot = {0};
        size_t room = look->max - hand->count;
        size_t fresh = 0;

        intake.seen = hand->count;
        rc = qe_dlq_receive(&intake, room < LOT_MAX ? room : LOT_MAX, &lot, err);
        const size_t count = lot.count;

        if (rc == 0 && count > 0) {
            rc = visit_lot(look, &lot, hand, &fresh, err);
            rc = rc == 0 ? qe_aside_check_bytes(hand, err) : rc;
        }
        qe_message_list_deinit(&lot);
        if (count == 0) {
            *out_rest = intake.rest;
            break;
        }
        goes_round = qe_aside_goes_round(hand, count, fresh);
    }
    return rc;
}

static int64_t release_ms(const struct qe_dlq_look *look, bool stopped)
{
    return stopped && look->call_timeout_ms > QE_DLQ_STOP_MS ? QE_DLQ_STOP_MS
                                                             : look->call_timeout_ms;
}

/* Those that failed stand together at the front. Returns how many, each with its reason. */
static size_t release_lot(const struct qe_dlq_look *look, struct qe_settlement *settlements,
                          size_t count)
{
    for (unsigned tries = 0; tries < RELEASE_TRIES && count > 0; tries++) {
        bool stopped = look->stopped(look->context);
        struct qe_err why = {0};
        size_t failed = 0;

        if (look->driver->settle(look->handle, look->queue, settlements, count,
                                 qe_clock_mono_ms() + release_ms(look, stopped), &why) != 0) {
            for (size_t i = 0; i < count; i++) {
                settlements[i].err = why;
            }
            if (stopped) {
                break;
            }
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            if (settlements[i].result == QE_SETTLE_FAILED) {
                settlements[failed++] = settlements[i];
            }
        }
        count = failed;
    }
    return count;
}

/* From item `first` on: nobody waits for a broker that has not taken the ones before. */
static void keep_rest(const struct qe_aside *hand, size_t first, const struct qe_err *why,
                      struct qe_dlq_kept *kept)
{
    for (size_t i = first; i < hand->count; i++) {
        qe_dlq_kept_add(kept, &hand->items[i].message, why);
    }
}

static void give_back_hand(const struct qe_dlq_look *look, const struct qe_aside *hand,
                           struct qe_settlement *settlements, struct qe_dlq_kept *kept)
{
    for (size_t i = 0; i < hand->count;) {
        size_t count = 0;

        for (; count < LOT_MAX && i < hand->count; i++) {
            settlements[count++] = (struct qe_settlement){
                .message = &hand->items[i].message, .verb = QE_SETTLE_RELEASE, .unhandled = true};
        }
        size_t failed = release_lot(look, settlements, count);

        for (size_t k = 0; k < failed; k++) {
            qe_dlq_kept_add(kept, settlements[k].message, &settlements[k].err);
        }
        if (failed == count && look->stopped(look->context)) {
            keep_rest(hand, i, &kept->why, kept);
            return;
        }
    }
}

static void give_back(const struct qe_dlq_look *look, const struct qe_aside *hand)
{
    struct qe_settlement *settlements = qe_calloc(LOT_MAX, sizeof *settlements);
    struct qe_dlq_kept kept = {0};
    struct qe_err why = {0};

    qe_dlq_kept_begin(look->driver, look->handle, look->queue);
    if (settlements == NULL) {
        (void)qe_err_set(&why, QE_ERR_NOMEM, "a lot of %d messages", LOT_MAX);
        keep_rest(hand, 0, &why, &kept);
    } else {
        give_back_hand(look, hand, settlements, &kept);
    }
    qe_free(settlements);
    qe_dlq_kept_end(&kept, look->driver, look->handle, look->queue);
    if (qe_dlq_kept_any(&kept) && look->kept != NULL) {
        look->kept(look->context, &kept);
    }
}

int qe_dlq_look(const struct qe_dlq_look *look, size_t *out_seen, struct qe_dlq_rest *out_rest,
                struct qe_err *err)
{
    struct qe_aside hand = {.driver = look->driver, .handle = look->handle, .queue = look->queue};

    *out_seen = 0;
    *out_rest = (struct qe_dlq_rest){0};
    if (look->driver->peek != NULL) {
        return by_peeking(look, out_seen, err);
    }
    int rc = receive_all(look, &hand, out_rest, err);

    *out_seen = hand.count;
    give_back(look, &hand);
    qe_aside_deinit(&hand);
    return rc;
}
