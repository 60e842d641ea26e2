/* Ordered groups: in which order their messages came, and what went back and is not here again. A
 * message has its rank from the first time that it came; those of its group with a higher one wait
 * for it.
 *
 * One user at a time; a zeroed one is empty. It is large, and costs memory as it fills. */
#ifndef QE_CONSUMER_ORDER_H
#define QE_CONSUMER_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Messages that went back, of all groups. Past that, those go whose order matters least: of those
 * that only follow another one the youngest. */
#define QE_ORDER_MAX 4096
#define QE_ORDER_HEADS 1024
/* What is due counts as missing when the queue had nothing left for so long, or has given one that
 * went into it so much later. Not by the clock alone: the queue may be long, and nothing be
 * received for a while. */
#define QE_ORDER_GRACE_MS 2000
/* Brokers are not punctual: what is to come behind a message comes this much later than it. */
#define QE_ORDER_BEHIND_MS 250

/* What a message is known by when it comes again, as hashes: its id; where it had none, all that
 * its sender wrote, for a copy of it may have one. Two that nobody can tell apart count as one. */
struct qe_order_name {
    uint64_t id;      /* 0: it has none */
    uint64_t content; /* 0: not asked for */
};

/* A message that went back. */
struct qe_order_entry {
    uint64_t group_hash; /* two groups of one hash wait for each other, and that is all */
    struct qe_order_name name;
    uint64_t rank; /* 0: a free place */
    int64_t due_mono_ms;
    uint32_t next;   /* in its chain, or of the free ones: a place + 1; 0: the last */
    bool follows;    /* it went back only behind another one */
    bool is_delayed; /* it comes from the end of the queue, and not from its old place */
    bool is_here;    /* it has come again, and does not stand in line yet */
};

struct qe_order {
    uint64_t ranks;  /* given so far */
    size_t used;     /* entries */
    size_t nameless; /* of them, those without an id */
    size_t count;    /* places that were ever used */
    uint32_t unused;
    int64_t drained_mono_ms; /* since then the queue had less than was asked for; INT64_MAX: it has
                                more */
    int64_t received_mono_ms;
    uint32_t heads[QE_ORDER_HEADS];
    struct qe_order_entry entries[QE_ORDER_MAX];
};

/* What a message must wait for. */
struct qe_order_ahead {
    bool is_any;
    bool backs_off;            /* one of them is not to be had before its delay has ended */
    int64_t first_due_mono_ms; /* one of them ought to be back */
    int64_t due_mono_ms;       /* all of them ought to be */
};

/* A message comes: the rank that it had, else the next one. If it had one, it counts as not back
 * until it is removed or added again. The content of its name is asked for if it has no id, or some
 * entry has none. */
uint64_t qe_order_arrive(struct qe_order *order, uint64_t group_hash,
                         const struct qe_order_name *name);
/* One with this rank has come. What ought to have come long before it is missing, and waited for no
 * more: true when there was such a one. One that comes before it is due, since the broker has not
 * delayed it, tells nothing. To be asked when all of a receive have arrived. */
bool qe_order_overtake(struct qe_order *order, uint64_t group_hash, uint64_t rank,
                       int64_t now_mono_ms);
/* A message goes back, or what is known of it changes. `next` and `is_here` are not read. */
void qe_order_add(struct qe_order *order, const struct qe_order_entry *entry);
/* It is back in line, or done; one that is not known is fine. */
void qe_order_remove(struct qe_order *order, uint64_t group_hash, uint64_t rank);
/* One with a lower rank is not in line. */
bool qe_order_holds(const struct qe_order *order, uint64_t group_hash, uint64_t rank);
/* The same, but for those that have just come. */
struct qe_order_ahead qe_order_ahead(const struct qe_order *order, uint64_t group_hash,
                                     uint64_t rank, int64_t now_mono_ms);
/* A receive has ended, and what it brought has been seen to. True: some are waited for no more. */
bool qe_order_note_receive(struct qe_order *order, int64_t began_mono_ms, bool is_full,
                           int64_t now_mono_ms);
/* When the next one may count as missing, if the queue has nothing else; INT64_MAX: there is none.
 */
int64_t qe_order_end_mono_ms(const struct qe_order *order, int64_t now_mono_ms);
/* Adds all of `from`, which is empty after that, and goes on above its ranks. */
void qe_order_move(struct qe_order *order, struct qe_order *from);

#endif
