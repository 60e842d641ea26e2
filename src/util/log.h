/* Structured log to stderr, logfmt or JSON, one write per line, any thread. Only a thread's top
 * loop logs a failure. */
#ifndef QE_UTIL_LOG_H
#define QE_UTIL_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

enum qe_log_level {
    QE_LOG_DEBUG = 0,
    QE_LOG_INFO,
    QE_LOG_WARN,
    QE_LOG_ERROR,
    QE_LOG_LEVEL_COUNT
};
enum qe_log_format {
    QE_LOG_LOGFMT = 0,
    QE_LOG_JSON
};

/* Before the first thread starts. */
void qe_log_setup(enum qe_log_level level, enum qe_log_format format);

/* One line: time, level, message, then key=value pairs: each pair is a `const char *key` and a
 * `const char *value` (NULL value: pair left out), ended by NULL. Example: qe_log(QE_LOG_INFO,
 * "source up", "source", name, NULL); Control bytes and quotes in values are escaped; a line is at
 * most 4 KiB. */
void qe_log(enum qe_log_level level, const char *message, ...) __attribute__((sentinel));

/* Lines written (or suppressed by level: not counted) since start, per level. */
uint64_t qe_log_count(enum qe_log_level level);
bool qe_log_enabled(enum qe_log_level level);
const char *qe_log_level_name(enum qe_log_level level);
/* 0, or -1 when the name is unknown. */
int qe_log_level_from_name(const char *name, enum qe_log_level *out) QE_MUST_CHECK;

#endif
