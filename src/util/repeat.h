/* When to log a failure that goes on: at once when it begins or its reason changes, then now and
 * then with a count, so that an outage of hours is a handful of lines. Pure: no clock, no log. */
#ifndef QE_UTIL_REPEAT_H
#define QE_UTIL_REPEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

#define QE_REPEAT_INTERVAL_MS INT64_C(300000)

/* = {0} is valid: nothing fails. One thread. */
struct qe_repeat {
    int64_t interval_ms;   /* 0: QE_REPEAT_INTERVAL_MS */
    enum qe_err_code code; /* QE_OK: not failing */
    int64_t next_log_mono_ms;
    uint64_t unlogged_count;
};

/* Notes one failure. True when it is to be logged; *out_unlogged is then how many were not since
 * the line before. */
bool qe_repeat_failed(struct qe_repeat *repeat, enum qe_err_code code, int64_t now_mono_ms,
                      uint64_t *out_unlogged);
/* Notes a success. True when it ends a failure: worth one line. */
bool qe_repeat_ended(struct qe_repeat *repeat);

#endif
