/* Messages of a dead-letter queue that a redrive has in hand and does not move: kept until its end,
 * because one that is given back at once is the next to be received again. Their bodies are not
 * kept, but where giving them back takes them. */
#ifndef QE_DLQ_ASIDE_H
#define QE_DLQ_ASIDE_H

#include <stddef.h>

#include "backend/backend.h"
#include "model/message.h"
#include "util/err.h"

#define QE_DLQ_ASIDE_MAX 10000
#define QE_DLQ_ASIDE_MAX_BYTES ((size_t)256 << 20)

enum qe_aside_why {
    QE_ASIDE_STAYED = 0, /* cannot be sent on */
    QE_ASIDE_NEWER,      /* not of this redrive */
    QE_ASIDE_UNMATCHED,  /* not meant by its filter */
    QE_ASIDE_SENT        /* sent on, but not deleted yet: never sent again */
};

struct qe_aside_item {
    struct qe_message message; /* owned; of the newest delivery */
    enum qe_aside_why why;
    uint64_t fingerprint; /* of the message as it came */
};

struct qe_aside {
    const struct qe_driver *driver; /* borrowed, as the two below: where they came from */
    void *handle;
    const struct qe_queue *queue;
    struct qe_aside_item *items; /* owned */
    size_t count;
    size_t capacity;
    size_t body_bytes;     /* kept */
    size_t known_lots;     /* in a row that brought nothing new... */
    size_t known_messages; /* ...and what was in them */
};
void qe_aside_deinit(struct qe_aside *aside); /* = {0} is fine; twice is safe */
/* The item that this is a new delivery of; NULL: it is none that is known to be aside. Where ids
 * are the publishers', that takes an item whose delivery has ended, and the same id, times and
 * content. The caller renews or removes it, so that each item stands for one message, also among
 * equal ones; and where that cannot be told a message is taken for another, since twice is better
 * than not at all. */
struct qe_aside_item *qe_aside_find(struct qe_aside *aside, const struct qe_message *message);
/* Takes what `message` holds; on failure, out of memory, it stays the caller's. It has no limit,
 * since what has been received must be given back: the two below say when to receive no more. */
int qe_aside_add_take(struct qe_aside *aside, struct qe_message *message, enum qe_aside_why why,
                      struct qe_err *err) QE_MUST_CHECK;
/* The item's delivery has lapsed, and this is the new one. Takes what `message` holds. */
void qe_aside_renew_take(struct qe_aside *aside, struct qe_aside_item *item,
                         struct qe_message *message);
/* A lot was received, with so many that were not aside. True: the queue goes round, and brings only
 * what is aside already. */
bool qe_aside_goes_round(struct qe_aside *aside, size_t lot_count, size_t fresh_count);
void qe_aside_remove(struct qe_aside *aside, struct qe_aside_item *item);
/* More than QE_DLQ_ASIDE_MAX. */
bool qe_aside_is_full(const struct qe_aside *aside);
/* QE_ERR_LIMIT: more than QE_DLQ_ASIDE_MAX_BYTES. */
int qe_aside_check_bytes(const struct qe_aside *aside, struct qe_err *err) QE_MUST_CHECK;

#endif
