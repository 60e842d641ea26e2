/* The queues of one broker, and what is remembered of each from poll to poll. One thread. */
#ifndef QE_BACKEND_RABBITMQ_RECORD_H
#define QE_BACKEND_RABBITMQ_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/rabbitmq/definition.h"
#include "backend/rabbitmq/history.h"
#include "backend/rabbitmq/reading.h"

/* What costs the broker so much that it is asked only now and then. */
enum qe_rmq_extra {
    QE_RMQ_EXTRA_STATISTICS = 0, /* the management API's: counters, consumers, bytes, ages */
    QE_RMQ_EXTRA_METRICS,        /* the nodes' queue_metrics: bytes, ages */
    QE_RMQ_EXTRA_COUNT
};

/* A reading that stays good until the next one of its kind. */
struct qe_rmq_held {
    struct qe_rmq_reading reading;
    double age_seconds; /* of the oldest message; < 0 unknown */
    bool age_is_estimate;
    int64_t age_as_of_mono_ms; /* when it was so old */
    double age_depth;          /* messages in the queue, then or a little later; < 0 unknown */
    int64_t read_mono_ms;      /* 0 never */
};

struct qe_rmq_record {
    struct qe_rmq_definition definition; /* owned */
    bool may_get_dead_letters;           /* which are not counted as published */
    bool was_linked;             /* a link leads, or led, to it: some of them may be there */
    struct qe_rmq_reading fresh; /* of poll `fresh_poll` */
    uint64_t fresh_poll;         /* 0 never */
    struct qe_rmq_held held[QE_RMQ_EXTRA_COUNT];
    struct qe_rmq_history *history; /* owned; NULL: none */
    int64_t born_mono_ms;           /* when it was first seen */
    int64_t led_mono_ms;            /* since when another node leads it; 0: not while we looked */
    bool tells_state;               /* the statistics have told its state */
    unsigned told_ways;             /* bit per enum qe_rmq_method: in which it was told of */
};

struct qe_rmq_table {
    struct qe_rmq_record *items; /* owned */
    size_t count;
    size_t capacity;
    size_t *slots; /* owned; index + 1, or 0; a power of two of them, at most half full */
    size_t slots_count;
};

/* `node` leads it as of now_mono_ms; "": nobody says. */
int qe_rmq_record_lead(struct qe_rmq_record *record, const char *node, int64_t now_mono_ms,
                       struct qe_err *err) QE_MUST_CHECK;

struct qe_rmq_table *qe_rmq_table_new(struct qe_err *err) QE_MUST_CHECK;
void qe_rmq_table_destroy(struct qe_rmq_table *table); /* accepts NULL */
/* Takes what the definition owns (which is left empty, also on failure). A queue that is there
 * already stays as it is. Records move when others are added. */
int qe_rmq_table_add_take(struct qe_rmq_table *table, struct qe_rmq_definition *definition,
                          struct qe_err *err) QE_MUST_CHECK;
/* NULL: none. Names need no NUL behind them. */
struct qe_rmq_record *qe_rmq_table_find(const struct qe_rmq_table *table, const char *vhost,
                                        size_t vhost_bytes, const char *name, size_t name_bytes);
/* The same of two texts. */
struct qe_rmq_record *qe_rmq_table_get(const struct qe_rmq_table *table, const char *vhost,
                                       const char *name);
/* Moves what was remembered from the old table's records into those of the same queue; a queue that
 * is new, or is of another kind now, begins at now_mono_ms. old may be NULL. */
void qe_rmq_table_carry_over(struct qe_rmq_table *table, struct qe_rmq_table *old,
                             int64_t now_mono_ms);

#endif
