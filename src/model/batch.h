/* The result of one poll: per queue of one set a sample or an error. */
#ifndef QE_MODEL_BATCH_H
#define QE_MODEL_BATCH_H

#include "model/queue.h"
#include "model/sample.h"
#include "util/err.h"

struct qe_batch_entry {
    enum qe_err_code error; /* QE_OK: `sample` holds a good reading */
    struct qe_sample sample;
};

struct qe_batch {
    struct qe_queue_set *set; /* acquired */
    struct qe_batch_entry
        *entries; /* owned; parallel to set->items; each starts as QE_ERR_TIMEOUT: not answered */
    struct qe_err first_error; /* for the log: names the first queue that failed */
    size_t failed_count;       /* entries set to an error by qe_batch_fail() */
    /* QE_OK, or why the source counts as down although its queues could be read: a store that can
     * no longer be written. The samples stand. */
    struct qe_err source_error;
    bool relist; /* the driver learnt facts (links, kinds) that list() now reports: list again
                    before the next sample */
};

/* Acquires `set`. */
int qe_batch_init(struct qe_batch *batch, struct qe_queue_set *set,
                  struct qe_err *err) QE_MUST_CHECK;
void qe_batch_deinit(struct qe_batch *batch); /* = {0} is fine; twice is safe */
void qe_batch_set(struct qe_batch *batch, size_t index, const struct qe_sample *sample);
/* Records why queue `index` has no reading; the first one is kept in first_error, with the queue's
 * name. */
void qe_batch_fail(struct qe_batch *batch, size_t index, const struct qe_err *why);

#endif
