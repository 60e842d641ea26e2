#include "dlq/receive.h"

#include <inttypes.h>

#include "util/clock.h"

#define WAIT_MS 1000

void qe_dlq_intake_begin(struct qe_dlq_intake *intake)
{
    const struct qe_aside *hand = intake->hand;
    struct qe_message_list none = {0};
    struct qe_err ignored = {0}; /* the first receive tells it, too */

    qe_dlq_depth_read(hand->driver, hand->handle, hand->queue, intake->call_timeout_ms,
                      &intake->before);
    /* None is wanted, but what the driver asks first may take longer than the wait of a receive. */
    (void)!hand->driver->receive(hand->handle, hand->queue, 0,
                                 qe_clock_mono_ms() + intake->call_timeout_ms, &none, &ignored);
}

static bool awaits(const struct qe_aside *hand)
{
    return hand->driver->awaits != NULL && hand->driver->awaits(hand->handle, hand->queue);
}

/* Until the server has answered. */
static int receive_once(const struct qe_dlq_intake *intake, size_t max, struct qe_message_list *out,
                        struct qe_err *err)
{
    const struct qe_aside *hand = intake->hand;
    const size_t before = out->count;
    const int64_t start = qe_clock_mono_ms();
    const int64_t until = start + WAIT_MS + intake->call_timeout_ms;
    int rc = hand->driver->receive(hand->handle, hand->queue, max, start + WAIT_MS, out, err);
    bool in_doubt = true;

    while (rc == 0 && out->count == before && in_doubt && !intake->stopped(intake->context)) {
        const int64_t now = qe_clock_mono_ms();

        if (now >= until) {
            return qe_err_set(err, QE_ERR_TIMEOUT, "queue \"%s\": no answer within %" PRId64 " ms",
                              hand->queue->name, now - start);
        }
        rc = hand->driver->receive(hand->handle, hand->queue, max, now, out, err);
        in_doubt = awaits(hand);
    }
    return rc;
}

static uint64_t without(uint64_t count, uint64_t less)
{
    if (count == QE_DLQ_UNKNOWN) {
        return count;
    }
    return count > less ? count - less : 0;
}

static uint64_t sum_of(const struct qe_dlq_depth *depth)
{
    if (depth->ready == QE_DLQ_UNKNOWN) {
        return QE_DLQ_UNKNOWN;
    }
    return depth->ready + (depth->in_flight == QE_DLQ_UNKNOWN ? 0 : depth->in_flight);
}

static bool holds_up_groups(const struct qe_aside *hand)
{
    for (size_t i = 0; i < hand->count && hand->queue->kind != QE_KIND_STANDARD; i++) {
        if (hand->items[i].message.group[0] != '\0') {
            return true;
        }
    }
    return false;
}

/* Counts lag, each for itself: what is in hand may count as ready, and what is gone may count. So
 * only sums are compared, with what came, and what neither the count before nor the one after
 * accounts for is missing. */
static void read_rest(struct qe_dlq_intake *intake)
{
    const struct qe_aside *hand = intake->hand;
    struct qe_dlq_depth after;

    qe_dlq_depth_read(hand->driver, hand->handle, hand->queue, intake->call_timeout_ms, &after);
    const uint64_t by_before = without(sum_of(&intake->before), intake->seen);
    const uint64_t by_after = without(sum_of(&after), hand->count);
    const uint64_t missing = by_before < by_after ? by_before : by_after;

    intake->rest = (struct qe_dlq_rest){0};
    if (by_after == QE_DLQ_UNKNOWN) {
        return;
    }
    intake->rest.is_behind = missing > 0 && holds_up_groups(hand);
    intake->rest.ready = intake->rest.is_behind || missing < after.ready ? missing : after.ready;
    intake->rest.in_flight = missing - intake->rest.ready;
}

int qe_dlq_receive(struct qe_dlq_intake *intake, size_t max, struct qe_message_list *out,
                   struct qe_err *err)
{
    const size_t before = out->count;
    int64_t until = 0;

    for (;;) {
        if (receive_once(intake, max, out, err) != 0) {
            return -1;
        }
        if (out->count > before) {
            intake->rest = (struct qe_dlq_rest){0};
            return 0;
        }
        read_rest(intake);
        const int64_t now = qe_clock_mono_ms();

        until = until == 0 ? now + intake->call_timeout_ms : until;
        if (intake->rest.ready == 0 || intake->rest.is_behind || now >= until ||
            intake->stopped(intake->context)) {
            return 0;
        }
    }
}
