/* ${NAME} and ${NAME:-default} in values, after YAML has been parsed, so that no value can become
 * structure. */
#ifndef QE_CONFIG_EXPAND_H
#define QE_CONFIG_EXPAND_H

#include <stdbool.h>

#include "util/err.h"
#include "util/strbuf.h"

#define QE_EXPAND_MAX_BYTES ((size_t)16 << 10)

/* False: the text stands for itself. */
bool qe_expand_needed(const char *text);

/* Appends `text` with variables replaced: unset without default is an error, `:-` covers unset and
 * empty; `$$` is `$`; a `$` before anything else stays, since regular expressions end in it.
 * A default runs to the next `}` and is taken as it stands.
 * `out` must be empty; it is given its whole memory at once, so that wiping it wipes all.
 * Errors: QE_ERR_INVALID that names the variable, never a value; QE_ERR_NOMEM; QE_ERR_LIMIT. */
int qe_expand(const char *text, struct qe_strbuf *out, struct qe_err *err) QE_MUST_CHECK;

#endif
