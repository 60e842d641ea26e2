/* Redrive: moving the messages of a dead-letter queue on, by receiving, sending and deleting, where
 * the broker cannot do it itself.
 *
 * A message is sent first and deleted after: a crash in between gives a duplicate, never a loss.
 * Body, attributes (with their types), group, correlation id and reply-to stay, and the id where
 * the broker lets publishers choose it; the attributes "dead-letter-..." go. A deduplication id is
 * replaced by one made of the message's id: the old one may still be in the target's window, which
 * would then swallow the message, while the new one makes sure that trying again adds none. Of an
 * ordered group the next message comes only when the one before it is deleted, which is the
 * driver's doing, so their order stays. Where the dead-letter queue keeps no order, those of a
 * group go one after the other, and one that stays holds those that come behind it.
 *
 * What cannot be moved is kept in hand, so that it does not come again and again, and given back at
 * the end. Messages that were sent after the redrive began are left where they are: they are those
 * that it has moved and that have failed again.
 *
 * Thread: the one that opened the handle. */
#ifndef QE_DLQ_REDRIVE_H
#define QE_DLQ_REDRIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "dlq/filter.h"
#include "dlq/kept.h"
#include "dlq/receive.h"
#include "model/queue.h"
#include "util/err.h"

struct qe_redrive_counts {
    uint64_t moved;     /* sent on, and deleted here */
    uint64_t doubled;   /* sent on, and not deleted here: in both queues */
    uint64_t stayed;    /* could not be sent on, and is given back */
    uint64_t newer;     /* sent after the redrive began, and left */
    uint64_t unmatched; /* not meant by the filter, and given back */
    uint64_t untried;   /* received when it ended before its time, and given back */
};

/* All that came, each counted once as far as it was known again. */
uint64_t qe_redrive_seen(const struct qe_redrive_counts *counts);

struct qe_redrive_hooks {
    /* Called before each receive and before each send: waits until then (a past time: not at all).
     * False: the caller wants to stop, and the redrive ends well. */
    bool (*pause)(void *context, int64_t until_mono_ms);
    /* Whenever the counts may have changed; may be NULL. */
    void (*progress)(void *context, const struct qe_redrive_counts *counts);
    /* Each message that the target has, before it is deleted here; its id there, or "". May be
     * NULL. */
    void (*sent)(void *context, const struct qe_message *message, const char *new_id);
    void *context;
};

/* All borrowed. */
struct qe_redrive_options {
    const struct qe_driver *driver; /* that can send and receive */
    void *handle;
    const struct qe_queue *from;
    const struct qe_queue *to;          /* NULL: where each message came from, see destination.h */
    const struct qe_queue_set *queues;  /* what the source lists; NULL: it could not be asked */
    const struct qe_dlq_filter *filter; /* NULL: every message is meant */
    uint64_t max;                       /* messages to try; 0: all */
    double messages_per_second;         /* 0: as fast as it goes */
    int64_t call_timeout_ms;
    int64_t start_unix_ms; /* what was sent since is left; 0: now. For one redrive in two parts */
    struct qe_redrive_hooks hooks;
};

struct qe_redrive_result {
    struct qe_redrive_counts counts;
    bool is_partial; /* ended with more than QE_DLQ_ASIDE_MAX in hand: there may be more to move */
    struct qe_err why_stayed;  /* the first one's reason, with its id; QE_OK: none stayed */
    struct qe_err why_doubled; /* the first one's */
    struct qe_dlq_kept kept;   /* what could not be given back */
    struct qe_dlq_rest rest;   /* what the broker counts beside these, when nothing came any more */
};

/* 0: the queue was found empty, `max` were tried, or the caller wanted to stop. -1: something that
 * concerns all of them went wrong (the broker does not answer, too many cannot be moved). *out is
 * filled in either case. */
int qe_redrive_run(const struct qe_redrive_options *options, struct qe_redrive_result *out,
                   struct qe_err *err) QE_MUST_CHECK;

#endif
