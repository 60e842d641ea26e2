#include "dlq/facts.h"

#include <string.h>

#include "dlq/destination.h"
#include "util/hash.h"
#include "util/text.h"

static const char *attribute(const struct qe_message *message, const char *name)
{
    const char *value = qe_attributes_get(&message->attributes, name);

    return value != NULL ? value : "";
}

void qe_dlq_facts_read(const struct qe_message *message, int64_t now_unix_ms,
                       struct qe_dlq_facts *out)
{
    const char *text = attribute(message, QE_DEAD_LETTER_REASON);
    size_t length = strcspn(text, ":");
    size_t cut = qe_text_cut(text, length, sizeof out->reason - 1);
    int64_t since =
        message->enqueued_unix_ms != 0 ? message->enqueued_unix_ms : message->sent_unix_ms;
    struct qe_err ignored = {0};

    *out = (struct qe_dlq_facts){.reason = QE_DLQ_REASON_NONE};
    if (cut > 0) {
        memcpy(out->reason, text, cut);
        out->reason[cut] = '\0';
    }
    out->detail = text[length] == ':' ? text + length + 1 + strspn(text + length + 1, " ") : "";
    out->source = attribute(message, QE_DEAD_LETTER_SOURCE);
    out->first_error = attribute(message, QE_DEAD_LETTER_FIRST_ERROR);
    out->last_error = attribute(message, QE_DEAD_LETTER_LAST_ERROR);
    out->first_seen = attribute(message, QE_DEAD_LETTER_FIRST_SEEN);
    if (qe_text_to_u64(attribute(message, QE_DEAD_LETTER_RECEIVES), UINT32_MAX, &out->attempts,
                       &ignored) != 0) {
        out->attempts = 0;
    }
    out->age_ms = since == 0 ? -1 : now_unix_ms > since ? now_unix_ms - since : 0;
}

bool qe_dlq_is_own_attribute(const char *name)
{
    return qe_text_starts_with(name, QE_DEAD_LETTER_PREFIX);
}

static uint64_t add_text(uint64_t hash, const char *text)
{
    return qe_hash_bytes(hash, text, strlen(text) + 1);
}

uint64_t qe_dlq_fingerprint(const struct qe_message *message)
{
    const uint64_t start = QE_HASH_START;
    uint64_t hash = qe_hash_bytes(start, message->body, message->body_bytes);
    uint64_t attributes = 0;

    hash = add_text(hash, message->group);
    hash = add_text(hash, message->correlation_id);
    for (size_t i = 0; i < message->attributes.count; i++) {
        const struct qe_attribute *one = &message->attributes.items[i];

        if (!qe_dlq_is_own_attribute(one->name)) { /* a sum: brokers give them in any order */
            attributes += add_text(add_text(start, one->name), one->value);
        }
    }
    return hash ^ attributes;
}
