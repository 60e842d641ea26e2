#include "util/repeat.h"

bool qe_repeat_failed(struct qe_repeat *repeat, enum qe_err_code code, int64_t now_mono_ms,
                      uint64_t *out_unlogged)
{
    if (repeat->code == code && now_mono_ms < repeat->next_log_mono_ms) {
        repeat->unlogged_count++;
        return false;
    }
    *out_unlogged = repeat->unlogged_count;
    repeat->code = code;
    repeat->unlogged_count = 0;
    repeat->next_log_mono_ms =
        now_mono_ms + (repeat->interval_ms > 0 ? repeat->interval_ms : QE_REPEAT_INTERVAL_MS);
    return true;
}

bool qe_repeat_ended(struct qe_repeat *repeat)
{
    bool was_failing = repeat->code != QE_OK;

    *repeat = (struct qe_repeat){.interval_ms = repeat->interval_ms};
    return was_failing;
}
