/* Users' regular expressions: PCRE2 with match limits; always anchored to the whole text, as
 * Prometheus does. */
#ifndef QE_UTIL_REGEX_H
#define QE_UTIL_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

struct qe_regex;

/* Compiles `pattern` (UTF-8). -> NULL with QE_ERR_INVALID that says what is wrong and at which
 * character. */
struct qe_regex *qe_regex_new(const char *pattern, struct qe_err *err) QE_MUST_CHECK;
void qe_regex_destroy(struct qe_regex *regex); /* accepts NULL */
const char *qe_regex_pattern(const struct qe_regex *regex);

/* True when the whole of `text` matches. A pattern that exhausts its match limit does not match.
 * Thread: any number of threads may share one regex. */
bool qe_regex_matches(const struct qe_regex *regex, const char *text);

/* One that is looked for anywhere in any bytes, valid UTF-8 or not: for message bodies. Only for
 * qe_regex_found(). */
struct qe_regex *qe_regex_new_search(const char *pattern, struct qe_err *err) QE_MUST_CHECK;
/* 1: it is in there, 0: it is not. -1, QE_ERR_LIMIT: undecided, because the pattern takes too much
 * time on these bytes; QE_ERR_NOMEM. */
int qe_regex_found(const struct qe_regex *regex, const char *bytes, size_t count,
                   struct qe_err *err) QE_MUST_CHECK;

#endif
