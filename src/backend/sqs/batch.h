/* The calls that take up to ten entries: SendMessageBatch, DeleteMessageBatch and
 * ChangeMessageVisibilityBatch. Any number of items is cut into calls; an entry that failed by
 * SQS's own fault is tried again, alone; a call that was refused as a whole is tried again entry by
 * entry, so that one bad entry spoils nothing but itself. */
#ifndef QE_BACKEND_SQS_BATCH_H
#define QE_BACKEND_SQS_BATCH_H

#include "backend/sqs/work.h"

struct qe_sqs_outcome {
    const struct qe_json *answer; /* the entry as SQS answered it; NULL: failed */
    const struct qe_err *err;     /* why it failed; names no queue */
    bool is_alone;                /* SQS spoke of this entry, not of the whole call */
    bool is_stale;                /* a receipt that no longer counts */
};

struct qe_sqs_batch {
    enum qe_sqs_operation operation;
    const struct qe_sqs_queue *queue;
    /* One call after the other, and nothing is tried again behind what came later: see may_retry.
     */
    bool is_ordered;
    bool has_groups; /* it sends messages with a group, which costs more on a standard queue */
    const size_t *items;
    size_t items_count;
    int64_t deadline_mono_ms;
    void *context;
    /* What stands behind the entry's Id, with a comma in front. */
    void (*append)(void *context, size_t item, struct qe_strbuf *out);
    /* Its share of the 1 MiB of a call; NULL: of no matter. */
    size_t (*bytes)(void *context, size_t item);
    /* Asked right before the item goes out: false with *why, and it does not. NULL: everything. */
    bool (*may_go)(void *context, size_t item, struct qe_err *why);
    /* Asked when the item has failed by SQS's own fault, those of its call that come later being
     * told already: false, and it has failed for good. NULL: true, unless is_ordered. */
    bool (*may_retry)(void *context, size_t item);
    /* Once for every item. */
    void (*done)(void *context, size_t item, const struct qe_sqs_outcome *outcome);
};

/* 0 when SQS answered at least one call, or nothing was to be called; else -1 and the first call's
 * error. Never interrupted. */
int qe_sqs_batch_run(struct qe_sqs *sqs, const struct qe_sqs_batch *batch,
                     struct qe_err *err) QE_MUST_CHECK;

/* Pieces of entries. */
void qe_sqs_append_receipt(struct qe_strbuf *out, const char *receipt);
void qe_sqs_append_visibility(struct qe_strbuf *out, const char *receipt, int64_t seconds);

#endif
