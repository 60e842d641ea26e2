/* One scalar value: text to the C type of its option, checked, and back. */
#ifndef QE_CONFIG_VALUE_H
#define QE_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/option.h"
#include "util/err.h"
#include "util/strbuf.h"

/* Where an option's value lives in its section's struct. */
void *qe_option_slot(const struct qe_option *option, void *settings);
const void *qe_option_slot_const(const struct qe_option *option, const void *settings);

bool qe_option_is_list(const struct qe_option *option);
/* Optional with a required key inside, and that key is NULL: nobody configured it. */
bool qe_section_is_absent(const struct qe_option *option, const void *slot);

/* Parses `text` into `slot`, replacing (and freeing) what is there; for every type but lists and
 * sections. Errors: QE_ERR_INVALID with a message that goes behind `key: "text" ` and never repeats
 * the text itself, because it may be secret; QE_ERR_NOMEM. The slot is untouched then. */
int qe_value_set(const struct qe_option *option, const char *text, void *slot,
                 struct qe_err *err) QE_MUST_CHECK;
/* The items of a TEXT_LIST or REGEX_LIST: as above. `out` is one list item. */
int qe_value_new_item(const struct qe_option *option, const char *text, void **out,
                      struct qe_err *err) QE_MUST_CHECK;

/* Frees what the slot owns, of any type, and zeroes it. */
void qe_value_deinit(const struct qe_option *option, void *slot);
bool qe_value_equal(const struct qe_option *option, const void *a, const void *b);

/* "100ms to 1d", "1 to 1024"; nothing when unchecked. */
void qe_value_print_range(const struct qe_option *option, struct qe_strbuf *out);
/* `a`, `b`, `c` with `quote` around each (NULL: none). */
void qe_value_print_choices(const struct qe_option *option, const char *quote,
                            struct qe_strbuf *out);

#endif
