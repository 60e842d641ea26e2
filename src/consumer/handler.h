/* What a consumer runs for one message, or for several at once. One file per handler; those that
 * there are stand in consumer/handlers.h.
 *
 * A handler must honour cancellation: return within about half a second once *cancelled is true or
 * the deadline has passed. Nothing can end a thread from outside without breaking what it holds, so
 * a handler that ignores this keeps its worker, its message (whose delivery then lapses, since it
 * is no longer extended) and qe_consumer_destroy() waiting. */
#ifndef QE_CONSUMER_HANDLER_H
#define QE_CONSUMER_HANDLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/message.h"
#include "model/stats.h"
#include "util/strbuf.h"

/* What came of one message. */
struct qe_handled {
    enum qe_outcome outcome;
    enum qe_fail_reason reason; /* RETRY and REJECT only. RETRY with INTERNAL is our own trouble:
                                   the message goes back as it came, as often as it takes, so that
                                   never what is in the message may be its cause */
    const char *label;      /* borrowed from the configuration: the one of its `reasons` that the
                               handler chose; NULL: `reason` is the label */
    int64_t retry_delay_ms; /* RETRY: the handler's wish; -1: the consumer's backoff */
    char detail[256];       /* free text for the log and the dead letter; never a label */
    struct qe_strbuf reply; /* SUCCESS: for the message's reply queue; empty: none. Owned; the
                               consumer frees it */
};

/* Given to each call: when to give up, and whether the consumer wants to stop. */
struct qe_handling {
    int64_t deadline_mono_ms;
    const atomic_bool *cancelled; /* true: return soon with RETRY (a SUCCESS still counts) */
    uint64_t worker;              /* 0..workers-1 */
};

struct qe_handler {
    const char *name;
    bool takes_batches; /* false: `count` is always 1 */
    /* Any worker thread, several at once. `count` >= 1 messages, borrowed for the call; their
     * visible_until_mono_ms is the receiver's alone, since extending changes it meanwhile. Fills
     * out[0..count-1], one per message, which come in as RETRY, internal, the consumer's backoff.
     */
    void (*handle)(void *self, const struct qe_message *const *messages, size_t count,
                   const struct qe_handling *handling, struct qe_handled *out);
    /* A worker that has nothing to do calls it every few seconds, from its own thread: it must not
     * wait. NULL: not needed. */
    void (*tend)(void *self, uint64_t worker);
    void (*destroy)(void *self); /* accepts NULL */
};

#endif
