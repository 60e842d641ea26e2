/* Words for what came of a message: short, one line, UTF-8, whatever a program or a server said. */
#ifndef QE_CONSUMER_HANDLED_H
#define QE_CONSUMER_HANDLED_H

#include <stddef.h>

#include "consumer/handler.h"

/* The consumer's configured `reasons`; borrowed. */
struct qe_reason_words {
    const char *const *items;
    size_t count;
};
/* The configured word that `text` begins with, alone or before a colon; NULL: none of them.
 * *out_rest is then what follows. */
const char *qe_reason_words_find(const struct qe_reason_words *words, const char *text,
                                 const char **out_rest);

/* A failure in our own words; no label. */
void qe_handled_fail(struct qe_handled *out, enum qe_outcome outcome, enum qe_fail_reason reason,
                     const char *fmt, ...) QE_PRINTF(4, 5);
/* The same in others' words: "bad_address: no such street", or words alone. A configured word
 * becomes the label; all else is detail, behind `lead` where that is not "". */
void qe_handled_fail_saying(struct qe_handled *out, enum qe_outcome outcome,
                            const struct qe_reason_words *words, const char *lead,
                            const char *said);

#endif
