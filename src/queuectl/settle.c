/* One message, settled. */
#include "queuectl/ctl.h"

/* What failed is not tried again at once, and again. */
#define RELEASE_DELAY_MS 5000

int ctl_settle_one(struct ctl *ctl, const struct qe_queue *queue, const struct qe_message *message,
                   enum qe_settle_verb verb, bool unhandled, struct qe_err *err)
{
    struct qe_settlement settlement = {
        .message = message,
        .verb = verb,
        .delay_ms = verb == QE_SETTLE_RELEASE && !unhandled ? RELEASE_DELAY_MS : 0,
        .unhandled = unhandled};

    if (ctl->driver->settle(ctl->handle, queue, &settlement, 1, ctl_deadline(ctl), err) != 0) {
        return -1;
    }
    if (settlement.result == QE_SETTLED) {
        return 0;
    }
    return qe_err_set(err, settlement.err.code, "message %s was not %s, and comes again: %s",
                      qe_message_name(message), verb == QE_SETTLE_ACK ? "acked" : "given back",
                      settlement.err.message);
}
