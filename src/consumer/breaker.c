#include "consumer/breaker.h"

size_t qe_breaker_room(struct qe_breaker *breaker, size_t in_work, int64_t now_mono_ms)
{
    if (breaker->state == QE_CIRCUIT_OPEN && now_mono_ms >= breaker->open_until_mono_ms) {
        breaker->state = QE_CIRCUIT_HALF_OPEN;
    }
    if (breaker->state == QE_CIRCUIT_CLOSED) {
        return SIZE_MAX;
    }
    return breaker->state == QE_CIRCUIT_HALF_OPEN && in_work == 0 ? 1 : 0;
}

bool qe_breaker_note(struct qe_breaker *breaker, bool failed, int64_t now_mono_ms)
{
    enum qe_circuit before = breaker->state;

    if (breaker->failures_max == 0 || breaker->state == QE_CIRCUIT_OPEN) {
        return false; /* what was in hand when it opened proves nothing */
    }
    breaker->failures = failed ? breaker->failures + 1 : 0;
    if (!failed) {
        breaker->state = QE_CIRCUIT_CLOSED;
    } else if (breaker->state == QE_CIRCUIT_HALF_OPEN ||
               breaker->failures >= breaker->failures_max) {
        breaker->state = QE_CIRCUIT_OPEN;
        breaker->open_until_mono_ms = now_mono_ms + breaker->pause_ms;
        breaker->failures = 0;
    }
    return breaker->state != before;
}
