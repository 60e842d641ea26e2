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
    uint64_t max_queues; /* 0: no cap */
};

/* Removes what is not to be watched from `list` (in place; leaves it sorted, duplicates dropped).
 * Sets is_dead_letter_elsewhere of what stays by the links of what goes, too. A
 * dead-letter queue that a kept queue points at is kept whatever the filters say, and so is its own
 * dead-letter queue. The cap takes other queues only, from the end of the alphabet: dead-letter
 * queues stay even when they alone are more than max_queues, since a growing one must never go
 * unseen. *out_dropped counts what the cap took, not what the filters took.
 * Errors: -1 with QE_ERR_NOMEM; `list` then still holds every queue. */
int qe_select_queues(struct qe_queue_list *list, const struct qe_select_rules *rules,
                     size_t *out_dropped, struct qe_err *err) QE_MUST_CHECK;

#endif
