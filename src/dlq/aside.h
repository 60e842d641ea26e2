/* Messages of a dead-letter queue that a redrive has in hand and does not move: kept until its end,
 * because one that is given back at once is the next to be received again. Their bodies are not
 * kept. */
#ifndef QE_DLQ_ASIDE_H
#define QE_DLQ_ASIDE_H

#include <stddef.h>

#include "model/message.h"
#include "util/err.h"

#define QE_DLQ_ASIDE_MAX 10000

enum qe_aside_why {
    QE_ASIDE_STAYED = 0, /* cannot be sent on */
    QE_ASIDE_NEWER,      /* not of this redrive */
    QE_ASIDE_UNMATCHED,  /* not meant by its filter */
    QE_ASIDE_SENT        /* sent on, but not deleted yet: never sent again */
};

struct qe_aside_item {
    struct qe_message message; /* owned; of the newest delivery */
    enum qe_aside_why why;
};

struct qe_aside {
    struct qe_aside_item *items; /* owned */
    size_t count;
    size_t capacity;
};
void qe_aside_deinit(struct qe_aside *aside); /* = {0} is fine; twice is safe */
/* The item of the message's id; NULL: it is not aside, or it has no id. */
struct qe_aside_item *qe_aside_find(struct qe_aside *aside, const struct qe_message *message);
/* Takes what `message` holds, also on failure. QE_ERR_LIMIT past QE_DLQ_ASIDE_MAX. */
int qe_aside_add_take(struct qe_aside *aside, struct qe_message *message, enum qe_aside_why why,
                      struct qe_err *err) QE_MUST_CHECK;
/* The item's delivery has lapsed, and this is the new one. Takes what `message` holds. */
void qe_aside_renew_take(struct qe_aside_item *item, struct qe_message *message);
void qe_aside_remove(struct qe_aside *aside, struct qe_aside_item *item);

#endif
