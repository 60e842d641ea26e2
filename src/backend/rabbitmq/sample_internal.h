/* One poll in the making: what the files sample*.c share. */
#ifndef QE_BACKEND_RABBITMQ_SAMPLE_INTERNAL_H
#define QE_BACKEND_RABBITMQ_SAMPLE_INTERNAL_H

#include "backend/rabbitmq/internal.h"

/* What a call is for: qe_rmq_call.index. */
enum qe_rmq_purpose {
    QE_RMQ_FOR_DEPTHS = 0,
    QE_RMQ_FOR_EXTRA_STATISTICS,
    QE_RMQ_FOR_EXTRA_METRICS,
    QE_RMQ_FOR_NODES
};

struct qe_rmq_sampling {
    struct qe_rmq *self;
    int64_t deadline_mono_ms;
    struct qe_rmq_poll poll;
    struct qe_rmq_call *calls; /* owned; of the round that runs */
    size_t calls_count;
    size_t calls_capacity;
    struct qe_rmq_nodes told_nodes; /* owned; whose metrics answered: names only */
    size_t depths_count;            /* queues whose depth was told */
    bool nodes_told;                /* /api/nodes has answered */
    bool nodes_changed;             /* others run than before */
    struct qe_err extra_error;      /* QE_OK, or why the dearer things are not known */
};

/* --- sample_ask.c --- */

/* Appends the calls that read depths in sampling->poll.way. */
int qe_rmq_ask_depths(struct qe_rmq_sampling *sampling, struct qe_err *err) QE_MUST_CHECK;
/* Those that read what is dear, as far as it is due. */
int qe_rmq_ask_extras(struct qe_rmq_sampling *sampling, struct qe_err *err) QE_MUST_CHECK;
/* Which nodes run. */
int qe_rmq_ask_nodes(struct qe_rmq_sampling *sampling, struct qe_err *err) QE_MUST_CHECK;
void qe_rmq_forget_calls(struct qe_rmq_sampling *sampling);

/* --- sample_take.c --- */

/* Takes an answer to one of them: a qe_rmq_take_fn. */
int qe_rmq_take_answer(void *context, const struct qe_rmq_call *call, const char *body,
                       size_t body_bytes, struct qe_err *err);
/* A reading of this poll's depths. */
void qe_rmq_take_fresh(struct qe_rmq_sampling *sampling, struct qe_rmq_record *record,
                       const struct qe_rmq_reading *reading);

/* --- sample_text.c --- */

/* Reads the next piece of a node's metrics: a qe_rmq_feed_fn. */
int qe_rmq_feed_text(void *context, struct qe_rmq_call *call, const char *piece, size_t piece_bytes,
                     struct qe_err *err);
/* All of them have come: takes what they tell. */
int qe_rmq_take_text(struct qe_rmq_sampling *sampling, const struct qe_rmq_call *call,
                     struct qe_err *err);

#endif
