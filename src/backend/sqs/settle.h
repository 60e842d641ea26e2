/* One run of settle(): what its parts share. */
#ifndef QE_BACKEND_SQS_SETTLE_H
#define QE_BACKEND_SQS_SETTLE_H

#include "backend/sqs/batch.h"

struct qe_sqs_settle {
    struct qe_sqs *sqs;
    struct qe_sqs_queue *queue;
    struct qe_settlement *settlements; /* the caller's */
    size_t count;
    int64_t deadline_mono_ms;
    int64_t now_mono_ms;
    bool call_failed; /* a call failed as a whole, for this reason */
    struct qe_err call_err;
};

/* --- settle.c --- */
uint64_t qe_sqs_settle_number(const struct qe_sqs_settle *settle, size_t item);
void qe_sqs_settle_failed(struct qe_sqs_settle *settle, size_t item, const struct qe_err *err);
/* Runs one kind of call and keeps its failure as a whole. */
void qe_sqs_settle_run(struct qe_sqs_settle *settle, const struct qe_sqs_batch *batch);

/* --- dead_letter.c --- */

/* Copies to the DLQ; in_out_items then holds what is there and can be deleted, the others have
 * failed. What was copied by an earlier settlement is not copied again. */
void qe_sqs_settle_copy(struct qe_sqs_settle *settle, size_t *in_out_items, size_t *in_out_count);

#endif
