/* Facts that follow from a snapshot: pure functions, no clock. */
#ifndef QE_MODEL_DERIVE_H
#define QE_MODEL_DERIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/store.h"

/* The `check` label of queue_config_warning. */
enum qe_warning {
    QE_WARN_NO_DEAD_LETTER_QUEUE = 0,
    QE_WARN_DEAD_LETTER_RETENTION_TOO_SHORT,
    QE_WARN_MAX_RECEIVES_TOO_LOW,
    QE_WARN_VISIBILITY_BELOW_HANDLING_TIME,
    QE_WARN_DEAD_LETTER_WRONG_TYPE, /* an ordered queue into an unordered one, or the reverse */
    QE_WARN_DEAD_LETTER_QUEUE_UNREADABLE, /* the link is known, the queue it names is none of those
                                             listed: in another account, not allowed, deleted */
    QE_WARN_IN_FLIGHT_NEAR_LIMIT,         /* above 80 % */
    QE_WARN_DEAD_LETTER_UNROUTABLE,       /* its dead letters reach no queue: they are lost */
    QE_WARN_COUNT
};
const char *qe_warning_name(enum qe_warning warning);

/* Bits of enum qe_warning that hold for queue `index`. handling_p99_seconds: of our own consumer, <
 * 0 when unknown. */
unsigned qe_derive_warnings(const struct qe_snapshot *snapshot, size_t index,
                            double handling_p99_seconds);

/* Seconds until the oldest message is lost to retention, a safe lower bound, never below 0. False
 * when it cannot be known, and for a queue known to be empty. */
bool qe_derive_expiry_margin(const struct qe_snapshot *snapshot, size_t index, double *out_seconds);

/* Depth of the DLQ that link `link` of queue `index` names; false when it is not watched, not
 * known, or no DLQ (a retry queue, or the queue that gets its messages back from one). Depth is
 * everything in it that waits for a person: ready + in flight + delayed, as far as known. */
bool qe_derive_dead_letter_messages(const struct qe_snapshot *snapshot, size_t index, size_t link,
                                    double *out_messages);
/* The same of queue `index` itself, if it is a DLQ into which no watched queue dead-letters; else
 * false. */
bool qe_derive_own_dead_letter_messages(const struct qe_snapshot *snapshot, size_t index,
                                        double *out_messages);

#endif
