#include "backend/sqs/cadence.h"

/* Polls are moved by up to a tenth of an interval either way, on purpose, and each of two. */
#define JITTER_PERCENT 20

/* A queue counts as quiet once it has been empty and unchanged for so much of max_interval: with a
 * poll interval far below it, a pause of some seconds between two messages is no quiet. */
#define QUIET_SHARE 2

uint32_t qe_cadence_longest(const struct qe_cadence_rules *rules)
{
    const int64_t interval = rules->poll_interval_ms;

    if (interval <= 0) {
        return 1;
    }
    int64_t longest = (rules->max_interval_ms - 2 * interval * JITTER_PERCENT / 100) / interval;

    return longest < 1 ? 1 : longest > INT32_MAX ? INT32_MAX : (uint32_t)longest;
}

bool qe_cadence_is_due(const struct qe_cadence *cadence, const struct qe_cadence_rules *rules,
                       struct qe_cadence_now now)
{
    if (cadence->read_mono_ms == 0 || now.poll >= cadence->next_poll) {
        return true;
    }
    /* Polls come more slowly than when it was planned: would the next one be too late? */
    const int64_t next_mono_ms =
        now.mono_ms + rules->poll_interval_ms * (100 + JITTER_PERCENT) / 100;

    return next_mono_ms - cadence->read_mono_ms > rules->max_interval_ms;
}

/* The period of a queue by what is known of it, before the budget has its say. */
static uint32_t next_period(const struct qe_cadence *cadence, const struct qe_cadence_rules *rules,
                            int64_t now_mono_ms, uint32_t longest)
{
    const uint32_t period = cadence->period < 1 ? 1 : cadence->period;

    if (!rules->adaptive || cadence->quiet_mono_ms == 0 ||
        now_mono_ms - cadence->quiet_mono_ms < rules->max_interval_ms / QUIET_SHARE) {
        return 1;
    }
    return period > longest / 2 ? longest : period * 2;
}

int64_t qe_cadence_read(struct qe_cadence *cadence, const struct qe_cadence_rules *rules,
                        struct qe_cadence_now now, struct qe_cadence_reading reading,
                        uint32_t spread)
{
    const uint32_t longest = qe_cadence_longest(rules);
    const uint32_t floor = reading.is_busy ? rules->busy_floor : rules->quiet_floor;
    const bool changed = cadence->quiet_mono_ms == 0 || cadence->fingerprint != reading.fingerprint;

    if (reading.is_busy) {
        cadence->quiet_mono_ms = 0;
    } else if (changed) {
        cadence->quiet_mono_ms = now.mono_ms;
    }
    cadence->fingerprint = reading.fingerprint;
    cadence->is_busy = reading.is_busy;
    cadence->read_mono_ms = now.mono_ms;
    cadence->period = next_period(cadence, rules, now.mono_ms, longest);

    uint32_t wait = cadence->period > floor ? cadence->period : floor;
    wait = wait < 1 ? 1 : wait > longest ? longest : wait;
    /* Its own poll of the period; the first time after a change of period comes early. */
    const uint64_t phase = (now.poll + 1 + wait - spread % wait) % wait;
    cadence->next_poll = now.poll + 1 + (phase == 0 ? 0 : wait - phase);
    return (int64_t)(cadence->next_poll - now.poll - 1) * rules->poll_interval_ms;
}

void qe_cadence_failed(struct qe_cadence *cadence)
{
    cadence->read_mono_ms = 0;
}
