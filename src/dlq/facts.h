/* What a dead letter says about itself. */
#ifndef QE_DLQ_FACTS_H
#define QE_DLQ_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/dead_letter.h"
#include "model/message.h"

#define QE_DLQ_REASON_NONE "none" /* the reason of a message that tells none */
#define QE_DLQ_REASON_BYTES 64

struct qe_dlq_facts {
    char reason[QE_DLQ_REASON_BYTES]; /* the word before the colon; QE_DLQ_REASON_NONE */
    const char *detail;               /* borrowed from the message; what happened, or "" */
    const char *source;               /* borrowed; the queue it came from, or "" */
    const char *first_error;          /* borrowed, as the two below; "" unknown */
    const char *last_error;
    const char *first_seen; /* RFC 3339 */
    uint64_t attempts;      /* before it was dead-lettered; 0 unknown */
    int64_t age_ms; /* since it came here; since it was sent where only that is told; < 0 unknown */
};
void qe_dlq_facts_read(const struct qe_message *message, int64_t now_unix_ms,
                       struct qe_dlq_facts *out);

/* One of the attributes that dead-lettering adds, and that go when a message is sent on. */
bool qe_dlq_is_own_attribute(const char *name);
/* The same for two messages of the same body, attributes (but for what dead-lettering adds), group
 * and correlation id: how one that was sent on is known when it comes back. Not for security. */
uint64_t qe_dlq_fingerprint(const struct qe_message *message);

#endif
