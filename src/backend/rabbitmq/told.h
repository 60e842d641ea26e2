/* What one answer of a node's metrics tells, queue by queue, and in which order.
 *
 * RabbitMQ names its queues in the same order in each family and in each answer. So what is kept
 * from answer to answer is the order with the labels as they stood: a line's queue is nearly always
 * the next one, and known by comparing a few bytes. Where it is not, the queue is looked for by
 * name; the order only ever saves that. Values become readings only once the answer is complete:
 * one that is cut short, or another broker's, has told nothing. One thread. */
#ifndef QE_BACKEND_RABBITMQ_TOLD_H
#define QE_BACKEND_RABBITMQ_TOLD_H

#include <stddef.h>

#include "backend/rabbitmq/reading.h"
#include "util/strbuf.h"

struct qe_rmq_told_queue {
    struct qe_rmq_reading reading; /* of this answer; known 0: not told */
    size_t queue;                  /* the caller's number; SIZE_MAX: nobody knows this queue */
    size_t labels_offset;          /* "{vhost="/",queue="a"} " in `labels` */
    size_t labels_bytes;           /* 0: in no form that can be compared */
};

/* = {0} is a valid empty one. */
struct qe_rmq_told {
    struct qe_rmq_told_queue *items; /* owned; in the order of the answer */
    size_t count;
    size_t capacity;
    size_t *places; /* owned; of queue q: index + 1 in items, or 0 */
    size_t places_count;
    struct qe_strbuf labels;
    size_t next;      /* the item that the next line is expected to be of */
    bool is_learning; /* the order is not known yet: this family tells it */
    bool is_known;    /* the order of an answer is kept */
    bool has_strayed; /* this answer's order was another one */
};

void qe_rmq_told_deinit(struct qe_rmq_told *told); /* twice is safe */
/* Forgets the order: queues have other numbers now. Keeps the memory. */
void qe_rmq_told_forget(struct qe_rmq_told *told);

/* An answer begins: nothing is told. */
void qe_rmq_told_begin(struct qe_rmq_told *told);
/* A family begins: its lines are expected in the known order. */
void qe_rmq_told_begin_family(struct qe_rmq_told *told);
/* The answer is complete, and what it told was taken: keeps its order if that held. */
void qe_rmq_told_end(struct qe_rmq_told *told);

/* The item of the line whose labels begin at `at`, when it is the next one; else NULL. The labels'
 * bytes are item->labels_bytes. */
static inline struct qe_rmq_told_queue *qe_rmq_told_next(struct qe_rmq_told *told, const char *at,
                                                         const char *end)
{
    struct qe_rmq_told_queue *item = told->next < told->count ? &told->items[told->next] : NULL;

    if (item == NULL || item->labels_bytes == 0 || (size_t)(end - at) < item->labels_bytes ||
        memcmp(at, told->labels.data + item->labels_offset, item->labels_bytes) != 0) {
        return NULL;
    }
    told->next++;
    return item;
}

/* Any other line: of queue number `queue`, or SIZE_MAX; labels_bytes 0: they are in another form.
 * *out: its item; NULL: no need to remember this one. QE_ERR_NOMEM. */
int qe_rmq_told_find(struct qe_rmq_told *told, size_t queue, const char *labels,
                     size_t labels_bytes, struct qe_rmq_told_queue **out,
                     struct qe_err *err) QE_MUST_CHECK;

#endif
