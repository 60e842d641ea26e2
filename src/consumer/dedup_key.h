/* What makes two messages the same, for a consumer that skips duplicates. Pure. */
#ifndef QE_CONSUMER_DEDUP_KEY_H
#define QE_CONSUMER_DEDUP_KEY_H

#include <stdbool.h>

#include "model/message.h"
#include "util/strbuf.h"

/* Neither: the broker's id of the message. All borrowed. */
struct qe_dedup_by {
    const char *attribute; /* the value of an attribute; NULL or "": not so */
    const char *pointer;   /* what a JSON pointer finds in the body; NULL or "": not so */
};

/* Appends the key: never the same for an id as for a value. False: the message has none. What an
 * attribute or a pointer does not find (it is not there, empty, longer than QE_DEDUP_KEY_MAX_BYTES,
 * neither text nor number nor bool, or a number past 2^53 or with a fraction, where two ids may
 * look like one) is asked of the id, and *out_fell_back says so. */
bool qe_dedup_key(const struct qe_dedup_by *by, const struct qe_message *message,
                  struct qe_strbuf *out, bool *out_fell_back);

#endif
