/* What working on queues remembers: facts of each queue, polls in flight, messages that wait to be
 * handed out, receipts that are spent. One handle, one thread. */
#ifndef QE_BACKEND_SQS_WORK_H
#define QE_BACKEND_SQS_WORK_H

#include "backend/sqs/internal.h"
#include "model/message.h"

#define QE_SQS_BATCH_MAX 10
#define QE_SQS_PARALLEL_MAX 8 /* calls of one send or settle at once; also polls of one queue */
#define QE_SQS_VISIBILITY_MAX_SECONDS 43200 /* counted from the receive */
#define QE_SQS_SETTLED_MAX 1024
#define QE_SQS_COPIED_MAX 256

struct qe_sqs_queue;

/* One ReceiveMessage, in flight or ready to be used. */
struct qe_sqs_poll {
    struct qe_aws_call call;
    struct qe_sqs_queue *queue; /* borrowed: whose poll it is */
    bool is_started;
    size_t asked_messages;
    int64_t asked_mono_ms;
    int64_t due_mono_ms; /* its wait is over, and the answer on its way, if there was none before */
    int64_t visibility_ms; /* as asked for */
};

/* A group of a FIFO queue whose first message is handed out: the next one waits. */
struct qe_sqs_busy {
    char *group;      /* owned */
    uint64_t receipt; /* of the message handed out, as a number */
    int64_t until_mono_ms;
};

struct qe_sqs_queue {
    char *name; /* owned */
    char *url;  /* owned */
    bool is_fifo;

    /* GetQueueAttributes, now and then. */
    int64_t facts_mono_ms;     /* when they were read, or tried; 0 never */
    struct qe_err facts_error; /* QE_OK: known; QE_ERR_AUTH: not for us to read */
    int64_t visibility_ms;     /* SQS's default while it is not known */
    int64_t delay_ms;
    bool content_deduplication;
    char arn[256];
    char dead_letter_arn[256]; /* "" none */
    uint64_t told;             /* a hash of the links that a settlement named last; 0: none did */

    struct qe_sqs_poll polls[QE_SQS_PARALLEL_MAX];
    struct qe_message_list held; /* received and not handed out yet, in order */
    struct qe_sqs_busy *busy;    /* owned */
    size_t busy_count;
    size_t busy_capacity;
    bool was_full;         /* the newest answer held all it was asked for: there is more */
    struct qe_err trouble; /* of a poll that failed; told by the next receive */
};

/* One batch call of batch.c. */
struct qe_sqs_slot {
    struct qe_aws_call call;
    size_t items[QE_SQS_BATCH_MAX];
    unsigned tries[QE_SQS_BATCH_MAX];
    size_t count;
    bool is_started;
};

/* Numbers that were seen lately; the oldest gives way. */
struct qe_sqs_ring {
    uint64_t *numbers; /* owned */
    size_t size;
    size_t next;
};

struct qe_sqs_work {
    struct qe_sqs_queue **queues; /* owned */
    size_t queues_count;
    size_t queues_capacity;
    struct qe_aws_call call; /* for one call at a time */
    struct qe_sqs_slot slots[QE_SQS_PARALLEL_MAX];
    struct qe_sqs_ring settled; /* receipts that were used up: a second use is stale */
    struct qe_sqs_ring copied;  /* receipts whose message is in the DLQ, but not deleted yet */
    struct qe_random random;
};

/* --- queue.c --- */

/* Makes sqs->work. */
int qe_sqs_work_begin(struct qe_sqs *sqs, struct qe_err *err) QE_MUST_CHECK;
/* The queue with its URL, asked for by name when `queue` has no address; borrowed from sqs->work.
 * NULL with QE_ERR_NOT_FOUND: there is none of that name. */
struct qe_sqs_queue *qe_sqs_queue_find(struct qe_sqs *sqs, const struct qe_queue *queue,
                                       int64_t deadline_mono_ms, struct qe_err *err) QE_MUST_CHECK;
/* The same, ended by an interrupt: for find() and receive(). */
struct qe_sqs_queue *qe_sqs_queue_find_interruptible(struct qe_sqs *sqs,
                                                     const struct qe_queue *queue,
                                                     int64_t deadline_mono_ms,
                                                     struct qe_err *err) QE_MUST_CHECK;
/* Reads the facts if they are unknown or old. What may not be read leaves facts_error and counts as
 * success; what cannot be read now leaves the old facts. -1 when there are none. An interrupt ends
 * it where the caller is one that can be interrupted. */
int qe_sqs_queue_learn(struct qe_sqs *sqs, struct qe_sqs_queue *queue, bool interruptible,
                       int64_t deadline_mono_ms, struct qe_err *err) QE_MUST_CHECK;
/* The caller's list says where this queue dead-letters: what is remembered is read again when that
 * is news. */
void qe_sqs_queue_heed(struct qe_sqs_queue *queue, const struct qe_queue *told);
/* After "does not exist": the URL is asked for anew next time. */
void qe_sqs_queue_forget(struct qe_sqs *sqs, struct qe_sqs_queue *queue);

bool qe_sqs_ring_has(const struct qe_sqs_ring *ring, uint64_t number);
void qe_sqs_ring_add(struct qe_sqs_ring *ring, uint64_t number);
void qe_sqs_ring_remove(struct qe_sqs_ring *ring, uint64_t number);
/* A receipt (and the queue it belongs to) as a number. */
uint64_t qe_sqs_receipt_number(const struct qe_sqs_queue *queue, const char *receipt);

/* Whether this delivery is known to be over: settled here before, or past its visibility whatever
 * the way the answer took. */
bool qe_sqs_is_stale(const struct qe_sqs *sqs, const struct qe_sqs_queue *queue,
                     const struct qe_message *message, int64_t now_mono_ms);
/* The visibility to ask for so that the delivery lapses no earlier than `ms` from now, within the
 * 12 h from its receive that SQS allows. */
int64_t qe_sqs_visibility_seconds(const struct qe_message *message, int64_t ms,
                                  int64_t now_mono_ms);

/* {"QueueUrl":"..." : the caller goes on with a comma. */
void qe_sqs_append_queue_url(struct qe_strbuf *out, const struct qe_sqs_queue *queue);
/* Frees what a large message left behind. */
void qe_sqs_call_shrink(struct qe_aws_call *call);

/* --- hold.c: what is received but not handed out, and the order of groups --- */

/* How many of `held` may be handed out now, up to max. Drops what has lapsed. */
size_t qe_sqs_hold_ready(struct qe_sqs_queue *queue, size_t max, int64_t now_mono_ms);
/* Hands out up to `max`. On -1 nothing was. */
int qe_sqs_hold_take(struct qe_sqs_queue *queue, size_t max, int64_t now_mono_ms,
                     struct qe_message_list *out, struct qe_err *err) QE_MUST_CHECK;
/* The delivery is over or lives longer (until_mono_ms): its group is free, or busy until then. */
void qe_sqs_hold_settled(struct qe_sqs_queue *queue, uint64_t receipt);
void qe_sqs_hold_extended(struct qe_sqs_queue *queue, uint64_t receipt, int64_t until_mono_ms);
/* The first held message from index `from` on that waits behind this message of a FIFO queue;
 * NULL: none. */
struct qe_message *qe_sqs_hold_behind(struct qe_sqs_queue *queue, const struct qe_message *message,
                                      size_t *in_out_from);
/* Moves all of those to `out`. On -1 some are left. */
int qe_sqs_hold_take_behind(struct qe_sqs_queue *queue, const struct qe_message *message,
                            struct qe_message_list *out, struct qe_err *err) QE_MUST_CHECK;
void qe_sqs_hold_deinit(struct qe_sqs_queue *queue);

#endif
