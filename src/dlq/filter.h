/* Which messages of a dead-letter queue are meant. */
#ifndef QE_DLQ_FILTER_H
#define QE_DLQ_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "model/message.h"
#include "util/err.h"
#include "util/regex.h"

#define QE_DLQ_FILTER_REASONS_MAX 16

/* All that is given must hold. = {0} is valid and matches every message. */
struct qe_dlq_filter {
    const char *reasons[QE_DLQ_FILTER_REASONS_MAX]; /* borrowed; any of them */
    size_t reasons_count;
    int64_t older_than_ms;           /* 0: not asked */
    int64_t younger_than_ms;         /* 0: not asked */
    struct qe_attributes attributes; /* owned; each with this value */
    struct qe_regex *body;           /* owned; of qe_regex_new_search(); NULL: not asked */
};
void qe_dlq_filter_deinit(struct qe_dlq_filter *filter); /* twice is safe */
/* QE_ERR_LIMIT past QE_DLQ_FILTER_REASONS_MAX. */
int qe_dlq_filter_add_reason(struct qe_dlq_filter *filter, const char *reason,
                             struct qe_err *err) QE_MUST_CHECK;
bool qe_dlq_filter_is_empty(const struct qe_dlq_filter *filter);
/* 1: it is meant, 0: it is not. A message whose age is not known is neither older nor younger.
 * -1, QE_ERR_LIMIT: cannot be decided, see qe_regex_found(); QE_ERR_NOMEM. */
int qe_dlq_filter_matches(const struct qe_dlq_filter *filter, const struct qe_message *message,
                          int64_t now_unix_ms, struct qe_err *err) QE_MUST_CHECK;

#endif
