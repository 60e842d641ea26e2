#include "dlq/filter.h"

#include <string.h>

#include "dlq/facts.h"

void qe_dlq_filter_deinit(struct qe_dlq_filter *filter)
{
    qe_attributes_deinit(&filter->attributes);
    qe_regex_destroy(filter->body);
    *filter = (struct qe_dlq_filter){0};
}

int qe_dlq_filter_add_reason(struct qe_dlq_filter *filter, const char *reason, struct qe_err *err)
{
    if (filter->reasons_count == QE_DLQ_FILTER_REASONS_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "more than %d reasons", QE_DLQ_FILTER_REASONS_MAX);
    }
    filter->reasons[filter->reasons_count++] = reason;
    return 0;
}

bool qe_dlq_filter_is_empty(const struct qe_dlq_filter *filter)
{
    return filter->reasons_count == 0 && filter->older_than_ms == 0 &&
           filter->younger_than_ms == 0 && filter->attributes.count == 0 && filter->body == NULL;
}

/* The word alone, or all that the message says. */
static bool has_reason(const struct qe_dlq_filter *filter, const struct qe_message *message,
                       const struct qe_dlq_facts *facts)
{
    const char *whole = qe_attributes_get(&message->attributes, QE_DEAD_LETTER_REASON);

    for (size_t i = 0; i < filter->reasons_count; i++) {
        if (strcmp(filter->reasons[i], facts->reason) == 0 ||
            (whole != NULL && strcmp(filter->reasons[i], whole) == 0)) {
            return true;
        }
    }
    return filter->reasons_count == 0;
}

static bool has_age(const struct qe_dlq_filter *filter, int64_t age_ms)
{
    if (filter->older_than_ms > 0 && age_ms < filter->older_than_ms) {
        return false; /* unknown is below 0 */
    }
    return filter->younger_than_ms == 0 || (age_ms >= 0 && age_ms < filter->younger_than_ms);
}

static bool has_attributes(const struct qe_dlq_filter *filter, const struct qe_message *message)
{
    for (size_t i = 0; i < filter->attributes.count; i++) {
        const struct qe_attribute *wanted = &filter->attributes.items[i];
        const char *value = qe_attributes_get(&message->attributes, wanted->name);

        if (value == NULL || strcmp(value, wanted->value) != 0) {
            return false;
        }
    }
    return true;
}

int qe_dlq_filter_matches(const struct qe_dlq_filter *filter, const struct qe_message *message,
                          int64_t now_unix_ms, struct qe_err *err)
{
    struct qe_dlq_facts facts;

    qe_dlq_facts_read(message, now_unix_ms, &facts);
    if (!has_reason(filter, message, &facts) || !has_age(filter, facts.age_ms) ||
        !has_attributes(filter, message)) {
        return 0;
    }
    return filter->body == NULL
               ? 1
               : qe_regex_found(filter->body, message->body, message->body_bytes, err);
}
