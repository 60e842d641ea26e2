/* How wide text is on a terminal, and what of it is safe to send there. UTF-8. Pure, but for
 * qe_columns_setup(). */
#ifndef QE_UTIL_COLUMNS_H
#define QE_UTIL_COLUMNS_H

#include <stddef.h>

#include "util/strbuf.h"

/* Once, before other threads start: widths follow Unicode whatever the user's locale says. Without
 * it, or where the system has no such locale, all but ASCII counts as unsafe. */
void qe_columns_setup(void);

/* Bytes of the character at the front of `bytes`, and the columns it takes: 2 for a wide one, 0 for
 * one that joins the one before. 0: it is not to be sent to a terminal, because it would drive it
 * (control characters, also U+009B), turn the order of what follows (bidirectional controls), or is
 * not UTF-8. `count` > 0. */
size_t qe_columns_next(const char *bytes, size_t count, size_t *out_columns);

/* Appends the text in safe characters: of others, each byte as \x1b. */
void qe_columns_append(struct qe_strbuf *out, const char *text, size_t count);

/* Columns of safe text, as qe_columns_append() writes it. */
size_t qe_columns_of(const char *safe);
/* Bytes of the longest beginning of safe text that takes at most `most` columns. */
size_t qe_columns_beginning(const char *safe, size_t most, size_t *out_columns);
/* Safe text in at most `columns`: a longer one loses its middle, since what tells names apart are
 * their ends. Returns the columns that it took. */
size_t qe_columns_append_cut(struct qe_strbuf *out, const char *safe, size_t columns);

#endif
