/* The result of one poll: per queue of one set a sample or an error. */
#ifndef QE_MODEL_BATCH_H
#define QE_MODEL_BATCH_H

#include "model/cluster.h"
#include "model/queue.h"
#include "model/sample.h"
#include "util/err.h"

struct qe_batch_entry {
    /* QE_OK: `sample` holds a good reading. QE_ERR_CANCELLED: not asked this time, by plan
     * (qe_batch_skip) or because the call was interrupted: the queue stays as it was. */
    enum qe_err_code error;
    bool skipped; /* not asked, by plan */
    struct qe_sample sample;
    /* How much longer than one poll interval after this sample the driver plans to wait until it
     * asks again: the sample stays good for stale_after and that much longer. 0: the next poll
     * asks. On a skipped entry: a plan that has changed since (0: it has not). */
    int64_t extra_wait_ms;
    /* Filled by the poller before sample(): age of the oldest message that our own consumer holds
     * or was given within the last poll interval (qe_consumer_stats_observed_age); < 0: it saw
     * none. A driver need not pay for an age that is here: where it sets none, the poller takes
     * this one, as QE_AGE_CONSUMER. */
    double observed_age_seconds;
};

struct qe_batch {
    struct qe_queue_set *set; /* acquired */
    struct qe_batch_entry
        *entries; /* owned; parallel to set->items; each starts as QE_ERR_TIMEOUT: not answered */
    /* For the log: names the first queue that failed. A driver whose queues are all well may say
     * here what it could not find out about them. */
    struct qe_err first_error;
    const char *default_vhost; /* static: the driver's, which first_error leaves out; NULL: "" */
    size_t failed_count;       /* entries set to an error by qe_batch_fail() */
    /* QE_OK, or why the source counts as down although its queues could be read: a store that can
     * no longer be written. The samples stand. */
    struct qe_err source_error;
    struct qe_cluster *cluster; /* owned; NULL: the source has none, or did not tell of it */
    const char *method; /* static: in which of its ways the driver read; NULL: it has but one */
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

/* Queue `index` is not asked in this poll: it keeps what it had, and nothing is counted as failed.
 */
void qe_batch_skip(struct qe_batch *batch, size_t index);

#endif
