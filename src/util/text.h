/* Text in and out: strict parsers for numbers, durations and sizes, and their inverses. */
#ifndef QE_UTIL_TEXT_H
#define QE_UTIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

/* Whole text must be one decimal number within 0..max. -1: QE_ERR_INVALID with the offending text
 * (cut) in *err. */
int qe_text_to_u64(const char *text, uint64_t max, uint64_t *out, struct qe_err *err) QE_MUST_CHECK;
/* Whole text must be one finite decimal number. */
int qe_text_to_double(const char *text, double *out, struct qe_err *err) QE_MUST_CHECK;
/* "250ms", "30s", "5m", "4h", "14d", and sums as Prometheus writes them: "1h30m". "0" needs no
 * unit. */
int qe_text_to_duration_ms(const char *text, int64_t *out_ms, struct qe_err *err) QE_MUST_CHECK;
/* "0", "512B", "64KiB", "1MiB", "2GiB", also decimal "64kB", "1MB". */
int qe_text_to_size_bytes(const char *text, uint64_t *out_bytes, struct qe_err *err) QE_MUST_CHECK;

/* Shortest form that reads back equal: 90000 -> "1m30s". Writes at most 32 bytes with NUL. Returns
 * out. */
char *qe_text_from_duration(int64_t duration_ms, char out[32]);
char *qe_text_from_size(uint64_t size_bytes, char out[32]);
/* UTC, "2026-11-22T19:58:15.123Z". */
char *qe_text_from_unix_ms(int64_t unix_ms, char out[32]);

bool qe_text_equal_nocase(const char *a, const char *b); /* ASCII only, independent of the locale */
bool qe_text_starts_with(const char *text, const char *prefix);
/* No control characters but the tab, so that it adds no header of its own. Source: RFC 9110, 5.5.
 */
bool qe_text_is_header_value(const char *text);
bool qe_text_is_utf8(const char *bytes, size_t count);
/* Bytes of the UTF-8 character at the front of `bytes` (1..4), 0 when there is no valid one. */
size_t qe_text_char_bytes(const char *bytes, size_t count);
/* The longest prefix of at most `max_bytes` that does not end inside a UTF-8 character. */
size_t qe_text_cut(const char *bytes, size_t count, size_t max_bytes);

/* The entry of `names` (count of them) nearest to `text` if it is near enough for "did you mean",
 * else NULL. */
const char *qe_text_nearest(const char *text, const char *const *names, size_t count);

#endif
