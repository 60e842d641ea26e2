/* Stops receiving while what the handler works with fails. Closed: all is well. Open, after so many
 * failures in a row: nothing is received for a while; what is in hand is handled all the same.
 * Half-open after that: one message is received and handled as a probe; success closes, failure
 * opens again. Pure. */
#ifndef QE_CONSUMER_BREAKER_H
#define QE_CONSUMER_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/stats.h"

struct qe_breaker {
    uint64_t failures_max; /* in a row; 0: never opens */
    int64_t pause_ms;      /* how long it stays open */
    uint64_t failures;
    enum qe_circuit state;
    int64_t open_until_mono_ms;
};

/* How many messages may be received, given how many are in work: SIZE_MAX while closed. Becomes
 * half-open when its time has come. */
size_t qe_breaker_room(struct qe_breaker *breaker, size_t in_work, int64_t now_mono_ms);
/* What came of a handler run. A message that is refused for good is no failure: whoever refused it
 * is there. True when the state has changed. */
bool qe_breaker_note(struct qe_breaker *breaker, bool failed, int64_t now_mono_ms);

#endif
