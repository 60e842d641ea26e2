/* The times that AWS writes into credentials. */
#ifndef QE_AWS_TIMESTAMP_H
#define QE_AWS_TIMESTAMP_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

/* RFC 3339 ("2026-11-22T02:31:13Z", a fraction, "+01:00" or "+0000" as some tools write it), into
 * milliseconds since 1970. Whole text. -1: QE_ERR_PROTOCOL without the text.
 * Pure; any thread. */
int qe_aws_parse_timestamp(const char *text, int64_t *out_unix_ms,
                           struct qe_err *err) QE_MUST_CHECK;

#endif
