/* Looking at the messages of a queue: by the broker's peek, without any side effect, or by
 * receiving them, keeping them in hand until the end, so that none comes twice, and giving them
 * back. */
#ifndef QE_DLQ_LOOK_H
#define QE_DLQ_LOOK_H

#include <stdbool.h>

#include "backend/backend.h"
#include "dlq/aside.h"
#include "dlq/kept.h"
#include "dlq/receive.h"
#include "util/err.h"

#define QE_DLQ_LOOK_MAX QE_DLQ_ASIDE_MAX

/* All borrowed. */
struct qe_dlq_look {
    const struct qe_driver *driver; /* that can peek, or receive */
    void *handle;
    const struct qe_queue *queue;
    size_t max; /* at most QE_DLQ_LOOK_MAX */
    int64_t call_timeout_ms;
    bool (*stopped)(void *context); /* asked between calls, or messages */
    /* Each message once. -1 with *err: ends the look. */
    int (*visit)(void *context, const struct qe_message *message, struct qe_err *err);
    /* At the end, when some could not be given back. May be NULL. */
    void (*kept)(void *context, const struct qe_dlq_kept *kept);
    void *context;
};

/* *out_seen and *out_rest are set in either case. It may not have seen all when *out_seen is `max`,
 * and of an ordered group that is looked at by receiving, only its first messages can be seen.
 * *out_rest: what the broker counts beside them, where the look ended with an empty hand. */
int qe_dlq_look(const struct qe_dlq_look *look, size_t *out_seen, struct qe_dlq_rest *out_rest,
                struct qe_err *err) QE_MUST_CHECK;

#endif
