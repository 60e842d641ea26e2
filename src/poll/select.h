/* Which of the listed queues are watched: include and exclude, then the cap. Pure. */
#ifndef QE_POLL_SELECT_H
#define QE_POLL_SELECT_H

#include "model/queue.h"
#include "util/regex.h"

struct qe_select_rules {
    struct qe_regex *const *include; /* none: everything */
    size_t include_count;
    struct qe_regex *const *exclude;
    size_t exclude_count;
    uint64_t max_queues;
};

/* Removes what is not to be watched from `list` (in place). A dead-letter queue that a kept queue
 * points at is kept whatever the filters say; the cap drops other queues first, from the end of the
 * alphabet. *out_dropped counts what the cap took, not what the filters took. */
int qe_select_queues(struct qe_queue_list *list, const struct qe_select_rules *rules,
                     size_t *out_dropped, struct qe_err *err) QE_MUST_CHECK;

#endif
