/* What a queue is: identity (source, vhost, queue) and the facts that change rarely. */
#ifndef QE_MODEL_QUEUE_H
#define QE_MODEL_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define QE_QUEUES_MAX 1000000 /* a driver that lists more is broken or not ours to watch */
#define QE_LINKS_MAX 64

enum qe_queue_kind {
    QE_KIND_EMBEDDED = 0,
    QE_KIND_STANDARD,
    QE_KIND_FIFO,
    QE_KIND_CLASSIC,
    QE_KIND_QUORUM,
    QE_KIND_STREAM,
    QE_KIND_COUNT
};
const char *qe_queue_kind_name(enum qe_queue_kind kind);

/* "This queue dead-letters into that one." */
struct qe_dead_letter_link {
    char *vhost;      /* owned; "" where the broker has none */
    char *queue;      /* owned */
    bool by_consumer; /* not the broker's: our own consumer sends its dead letters there */
};

/* A fact for queue_info that the broker's people gave the queue: a tag. */
struct qe_queue_label {
    char *name;  /* owned; "tag_" and then [a-zA-Z0-9_]*: a label name */
    char *value; /* owned; UTF-8 */
};
#define QE_QUEUE_LABELS_MAX 16

struct qe_queue {
    char *name;    /* owned */
    char *vhost;   /* owned; "" where the broker has none */
    char *address; /* owned; how the driver finds it again (URL, ARN); "" when the name is enough */
    char *arn;     /* owned; "" unknown */
    char *region;  /* owned; "" unknown */
    char *account_id; /* owned; "" unknown */
    enum qe_queue_kind kind;
    /* Age restarts when a message is dead-lettered into this queue, but its retention keeps
     * counting from the first send (standard SQS): the expiry margin is then a lower bound made
     * with the source queue's retention. */
    bool retention_from_first_send;
    bool dead_letter_known; /* the driver could read the dead-letter policy: no links then means
                               "has none" */
    bool dead_letter_unroutable; /* it has a dead-letter policy that leads to no queue: what is
                                    dead-lettered is lost */
    bool returns_by_time; /* what nobody takes out of it goes on to its links after a while: a retry
                             or delay queue (RabbitMQ: a message TTL and a dead-letter exchange) */
    bool is_delay_queue;  /* what is in it waits for its time and not for a consumer: by its driver,
                             and  in a set also each retry queue of a loop */
    bool is_dead_letter_elsewhere; /* a dead-letter queue by its name, as configured, or by the link
                                      of a queue that is not watched */
    struct qe_dead_letter_link *links; /* owned */
    size_t links_count;
    /* How the broker delivers, for a driver whose working half learns it from lists only. */
    bool delivery_known;     /* the three below are as the broker says */
    bool is_single_active;   /* one consumer at a time gets its messages */
    bool may_refuse;         /* what is sent to it, and waits for no answer, may be lost */
    int64_t deliveries_most; /* given back after so many, a message is dropped or dead-lettered by
                                the broker; < 0: never */
    struct qe_queue_label *labels; /* owned; sorted by name, no name twice */
    size_t labels_count;
};

/* Fills `queue` with copies; address, arn, region and account_id start as "". vhost NULL means "".
 */
int qe_queue_init(struct qe_queue *queue, const char *vhost, const char *name,
                  enum qe_queue_kind kind, struct qe_err *err) QE_MUST_CHECK;
void qe_queue_deinit(struct qe_queue *queue); /* = {0} is fine; twice is safe */
int qe_queue_copy(struct qe_queue *out, const struct qe_queue *from,
                  struct qe_err *err) QE_MUST_CHECK;
int qe_queue_add_link(struct qe_queue *queue, const char *vhost, const char *name,
                      struct qe_err *err) QE_MUST_CHECK;
int qe_queue_add_consumer_link(struct qe_queue *queue, const char *vhost, const char *name,
                               struct qe_err *err) QE_MUST_CHECK;
/* Drops the links that are by_consumer: a driver that settles a message goes by the links that it
 * told itself. */
void qe_queue_drop_consumer_links(struct qe_queue *queue);
/* Adds the label "tag_<key>", with every byte of the key that no label name may hold as '_'; upper
 * and lower case stay two tags. A label that is there already keeps its value: keys that differ in
 * other bytes only make one label, the first one added. QE_ERR_LIMIT past QE_QUEUE_LABELS_MAX. */
int qe_queue_add_tag(struct qe_queue *queue, const char *key, const char *value,
                     struct qe_err *err) QE_MUST_CHECK;
/* The vhost, where people have to be told: "" in `default_vhost` (NULL: "") and where there are
 * none. */
const char *qe_queue_foreign_vhost(const struct qe_queue *queue, const char *default_vhost);
/* Order by (vhost, name), bytewise. */
int qe_queue_compare(const struct qe_queue *a, const struct qe_queue *b);

/* What a driver lists: growing, one owner. = {0} is a valid empty. */
struct qe_queue_list {
    struct qe_queue *items; /* owned */
    size_t count;
    size_t capacity;
};
void qe_queue_list_deinit(struct qe_queue_list *list);
/* Appends a zeroed queue for the caller to init; NULL (with *err) when out of memory or past
 * QE_QUEUES_MAX. */
struct qe_queue *qe_queue_list_add(struct qe_queue_list *list, struct qe_err *err) QE_MUST_CHECK;

/* An immutable, sorted, refcounted set of queues with its links resolved. What every batch and
 * snapshot points at, so that nothing is copied per poll. Any thread may hold one; `annex` belongs
 * to whoever renders, on the publishing one only. */
struct qe_queue_set {
    atomic_size_t refs;
    struct qe_queue *items; /* sorted by qe_queue_compare, no duplicates */
    size_t count;
    /* Parallel to items: where links point, or SIZE_MAX when the target is not in this set.
     * link_targets[i] has items[i].links_count entries. */
    size_t **link_targets;
    /* Parallel to items: somebody's link names it, and what arrives stays, or it is one elsewhere.
     * Not so in a loop of a queue and its retry queue: messages only pass there. */
    bool *is_dead_letter_queue;
    /* The links the other way round: who links to item i is link_sources[starts[i]] up to, not
     * including, link_sources[starts[i + 1]]. Without it every DLQ would search the whole set. */
    size_t *link_source_starts; /* count + 1 of them */
    size_t *link_sources;       /* NULL when no link is resolved */
    void *annex;                /* the renderer's prepared label text; freed with annex_destroy */
    void (*annex_destroy)(void *annex);
};

/* Takes the items out of `list` (which is left empty, also on failure), sorts them, drops
 * duplicates, resolves links. */
struct qe_queue_set *qe_queue_set_new_take(struct qe_queue_list *list,
                                           struct qe_err *err) QE_MUST_CHECK;
struct qe_queue_set *qe_queue_set_acquire(struct qe_queue_set *set);
void qe_queue_set_release(struct qe_queue_set *set); /* accepts NULL */
/* Index of (vhost, name), or SIZE_MAX. vhost NULL means "". */
size_t qe_queue_set_find(const struct qe_queue_set *set, const char *vhost, const char *name);
/* Same queues with the same facts, so that the older set (and its annex) can be kept. */
bool qe_queue_set_equal(const struct qe_queue_set *a, const struct qe_queue_set *b);

#endif
