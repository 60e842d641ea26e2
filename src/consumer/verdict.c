#include "consumer/verdict.h"

#include <inttypes.h>
#include <stdio.h>

const char *qe_verdict_reason(const struct qe_handled *handled)
{
    return handled->label != NULL ? handled->label : qe_fail_reason_name(handled->reason);
}

static void reject(const struct qe_handled *handled, struct qe_verdict *out)
{
    *out = (struct qe_verdict){
        .verb = QE_SETTLE_DEAD_LETTER, .reason = handled->reason, .label = handled->label};
    (void)snprintf(out->text, sizeof out->text, "%s%s%s", qe_verdict_reason(handled),
                   handled->detail[0] == '\0' ? "" : ": ", handled->detail);
}

/* Once too often: that is the reason, and what the handler last said is told with it. */
static void give_up(const struct qe_handled *handled, struct qe_verdict *out)
{
    *out = (struct qe_verdict){.verb = QE_SETTLE_DEAD_LETTER, .reason = QE_FAIL_MAX_RECEIVES};
    (void)snprintf(out->text, sizeof out->text, "%s%s%s%s%s",
                   qe_fail_reason_name(QE_FAIL_MAX_RECEIVES), handled->label == NULL ? "" : ": ",
                   handled->label == NULL ? "" : handled->label,
                   handled->detail[0] == '\0' ? "" : ": ", handled->detail);
}

static void retry(const struct qe_handled *handled, const struct qe_circumstances *at,
                  struct qe_random *random, struct qe_verdict *out)
{
    if (at->stopped) {
        *out = (struct qe_verdict){.verb = QE_SETTLE_RELEASE}; /* its turn was ours to cut short */
        return;
    }
    if (at->max_receives > 0 && at->receives >= at->max_receives) {
        give_up(handled, out);
        return;
    }
    *out = (struct qe_verdict){.verb = QE_SETTLE_RELEASE, .delay_ms = handled->retry_delay_ms};
    if (handled->retry_delay_ms < 0) {
        out->delay_ms = qe_backoff_ms(&at->retry, at->receives, random);
    }
}

void qe_verdict_decide(const struct qe_handled *handled, const struct qe_circumstances *at,
                       struct qe_random *random, struct qe_verdict *out)
{
    switch (handled->outcome) {
    case QE_OUTCOME_SUCCESS:
        *out = (struct qe_verdict){.verb = QE_SETTLE_ACK};
        break;
    case QE_OUTCOME_REJECT:
        reject(handled, out);
        break;
    case QE_OUTCOME_RETRY:
    case QE_OUTCOME_COUNT:
    default:
        retry(handled, at, random, out);
        break;
    }
    if (out->verb == QE_SETTLE_DEAD_LETTER && !at->can_dead_letter) {
        qe_verdict_without_dead_letter_queue(at, out);
    }
}

bool qe_verdict_refuse(const struct qe_circumstances *at, struct qe_verdict *out)
{
    if (at->max_receives == 0 || at->receives <= 2 * at->max_receives || !at->can_dead_letter) {
        return false;
    }
    *out = (struct qe_verdict){.verb = QE_SETTLE_DEAD_LETTER, .reason = QE_FAIL_MAX_RECEIVES};
    (void)snprintf(out->text, sizeof out->text, "%s: try %" PRIu32 " was not handled",
                   qe_fail_reason_name(QE_FAIL_MAX_RECEIVES), at->receives);
    return true;
}

void qe_verdict_without_dead_letter_queue(const struct qe_circumstances *at, struct qe_verdict *out)
{
    *out = (struct qe_verdict){
        .verb = QE_SETTLE_RELEASE, .delay_ms = at->retry.max_ms, .denied = true};
}

bool qe_verdict_lacks_dead_letter_queue(enum qe_err_code code)
{
    return code == QE_ERR_UNSUPPORTED || code == QE_ERR_NOT_FOUND || code == QE_ERR_INVALID;
}
