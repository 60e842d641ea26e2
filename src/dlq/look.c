#include "dlq/look.h"

#include "dlq/receive.h"
#include "util/clock.h"
#include "util/mem.h"

#define LOT_MAX 100
/* So often a receive may bring nothing but messages that are in hand already. */
#define KNOWN_ROUNDS_MAX 3
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
            qe_aside_renew_take(known, &lot->items[i]);
            continue;
        }
        *out_fresh += 1;
        rc = rc == 0 ? look->visit(look->context, &lot->items[i], err) : rc;
        if (qe_aside_add_take(hand, &lot->items[i], QE_ASIDE_STAYED, &why) != 0 && rc == 0) {
            *err = why;
            rc = -1;
        }
    }
    lot->count = 0;
    return rc;
}

static int receive_all(const struct qe_dlq_look *look, struct qe_aside *hand, struct qe_err *err)
{
    unsigned known_rounds = 0;
    int rc = 0;

    while (rc == 0 && hand->count < look->max && known_rounds < KNOWN_ROUNDS_MAX &&
           !look->stopped(look->context)) {
        struct qe_message_list lot = {0};
        size_t room = look->max - hand->count;
        size_t fresh = 0;

        rc = qe_dlq_receive(look->driver, look->handle, look->queue,
                            room < LOT_MAX ? room : LOT_MAX, &lot, err);
        bool is_empty = lot.count == 0;

        if (rc == 0 && !is_empty) {
            rc = visit_lot(look, &lot, hand, &fresh, err);
        }
        qe_message_list_deinit(&lot);
        if (is_empty) {
            break;
        }
        known_rounds = fresh > 0 ? 0 : known_rounds + 1;
    }
    return rc;
}

/* How many failed, with the first one's reason. */
static size_t release_lot(const struct qe_dlq_look *look, struct qe_settlement *settlements,
                          size_t count, struct qe_err *out_why)
{
    for (unsigned tries = 0; tries < RELEASE_TRIES && count > 0; tries++) {
        struct qe_err why = {0};
        size_t failed = 0;

        if (look->driver->settle(look->handle, look->queue, settlements, count,
                                 qe_clock_mono_ms() + look->call_timeout_ms, &why) != 0) {
            *out_why = why;
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            if (settlements[i].result == QE_SETTLE_FAILED) {
                settlements[failed++] = settlements[i];
            }
        }
        count = failed;
        if (count > 0) {
            *out_why = settlements[0].err;
        }
    }
    return count;
}

static void give_back(const struct qe_dlq_look *look, const struct qe_aside *hand)
{
    struct qe_settlement *settlements = qe_calloc(LOT_MAX, sizeof *settlements);
    struct qe_err why = {0};
    size_t filled = 0;
    size_t kept = 0;

    if (settlements == NULL) {
        kept = hand->count;
        (void)qe_err_set(&why, QE_ERR_NOMEM, "a lot of %d messages", LOT_MAX);
    }
    for (size_t i = 0; settlements != NULL && i < hand->count; i++) {
        settlements[filled++] = (struct qe_settlement){
            .message = &hand->items[i].message, .verb = QE_SETTLE_RELEASE, .unhandled = true};
        if (filled == LOT_MAX || i + 1 == hand->count) {
            kept += release_lot(look, settlements, filled, &why);
            filled = 0;
        }
    }
    qe_free(settlements);
    if (kept > 0 && look->kept != NULL) {
        look->kept(look->context, kept, &why);
    }
}

int qe_dlq_look(const struct qe_dlq_look *look, size_t *out_seen, struct qe_err *err)
{
    struct qe_aside hand = {0};

    *out_seen = 0;
    if (look->driver->peek != NULL) {
        return by_peeking(look, out_seen, err);
    }
    int rc = receive_all(look, &hand, err);

    *out_seen = hand.count;
    give_back(look, &hand);
    qe_aside_deinit(&hand);
    return rc;
}
