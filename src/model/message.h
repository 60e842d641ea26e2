/* Messages as drivers and consumers exchange them. */
#ifndef QE_MODEL_MESSAGE_H
#define QE_MODEL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define QE_MESSAGE_ATTRIBUTES_MAX 64
#define QE_MESSAGE_BODY_MAX_BYTES ((size_t)16 << 20)
#define QE_MESSAGE_ID_BYTES 256 /* with its end: AMQP's are the longest */

struct qe_attribute {
    char *name;  /* owned */
    char *value; /* owned; UTF-8 text */
    /* owned; the broker's name of the value's type, "" plain text: kept so that a message moved
     * from queue to queue stays what it was. Binary values are base64 text */
    char *type;
};

struct qe_attributes {
    struct qe_attribute *items; /* owned */
    size_t count;
    size_t capacity;
};
/* Adds a copy; a name that is there already gets the new value and type. QE_ERR_LIMIT past
 * QE_MESSAGE_ATTRIBUTES_MAX. */
int qe_attributes_add(struct qe_attributes *attributes, const char *name, const char *value,
                      struct qe_err *err) QE_MUST_CHECK;
/* The same with a type; qe_attributes_add() is type "". */
int qe_attributes_add_typed(struct qe_attributes *attributes, const char *name, const char *type,
                            const char *value, struct qe_err *err) QE_MUST_CHECK;
/* Borrowed value, or NULL. */
const char *qe_attributes_get(const struct qe_attributes *attributes, const char *name);
int qe_attributes_copy(struct qe_attributes *out, const struct qe_attributes *from,
                       struct qe_err *err) QE_MUST_CHECK;
void qe_attributes_deinit(struct qe_attributes *attributes);

/* One delivery. Times are absent as 0. */
struct qe_message {
    char *id;              /* owned; the broker's, or "" */
    bool id_is_publishers; /* the id is its publisher's word: it goes along when it is sent again */
    char *receipt;         /* owned; belongs to this delivery only; "" for a peeked message */
    char *body;            /* owned; any bytes, one uncounted NUL behind */
    size_t body_bytes;
    struct qe_attributes attributes;
    char *group;             /* owned; ordered group, or "" */
    char *deduplication_id;  /* owned, or "" */
    char *correlation_id;    /* owned, or "" */
    char *reply_to;          /* owned, or "" */
    uint32_t receives;       /* how often delivered, this time included, but for what was given back
                                unhandled where the driver can take it back; 0 unknown */
    uint32_t receives_least; /* where that is unknown: at least so often, for who decides by it;
                                never shown, since it may have been more; 0 unknown, too */
    int64_t sent_unix_ms; /* when its first sender sent it; survives dead-lettering where the broker
                             keeps it */
    bool sent_is_told;    /* that is its publisher's word alone, whose clock may be wrong */
    int64_t enqueued_unix_ms;      /* when it came into this queue: what age is counted from */
    int64_t visible_unix_ms;       /* peek: when it is (again) available; 0 now */
    int64_t visible_until_mono_ms; /* receive: when this delivery lapses unless extended; 0 never */
    bool is_last_delivery; /* the broker drops it, or dead-letters it, when it is given back: a
                              driver that spares it that when no handler saw it needs its body */
    uint64_t tag;          /* the driver's own (delivery tag, row id); nobody else reads it */
};
/* For people: its id, or "(no id)", as publishers to RabbitMQ often give none. Borrowed. */
const char *qe_message_name(const struct qe_message *message);
/* Zeroed message with every text set to "". */
int qe_message_init(struct qe_message *message, struct qe_err *err) QE_MUST_CHECK;
/* *out is the caller's, untouched on -1. */
int qe_message_copy(struct qe_message *out, const struct qe_message *from,
                    struct qe_err *err) QE_MUST_CHECK;
void qe_message_deinit(struct qe_message *message); /* = {0} is fine; twice is safe */

struct qe_message_list {
    struct qe_message *items; /* owned */
    size_t count;
    size_t capacity;
};
void qe_message_list_deinit(struct qe_message_list *list);
/* Appends an initialised message for the caller to fill; NULL with *err. */
struct qe_message *qe_message_list_add(struct qe_message_list *list,
                                       struct qe_err *err) QE_MUST_CHECK;

/* A message to send; everything borrowed from the caller but the results. */
struct qe_outgoing {
    const char *body;
    size_t body_bytes;
    const struct qe_attributes *attributes; /* may be NULL */
    int64_t delay_ms;                       /* -1: the queue's own default */
    const char *group;                      /* NULL or "": none */
    const char *deduplication_id;           /* NULL or "": none */
    const char *correlation_id;
    const char *reply_to;
    /* NULL or "": the driver makes one. Kept by a broker whose publishers choose ids, which may
     * have others of the same; elsewhere ids are the broker's own, and this is passed over. */
    const char *message_id;
    /* results, set by send() for each message even when others failed */
    struct qe_err result;         /* code QE_OK: the broker has it, durably as far as it promises */
    char id[QE_MESSAGE_ID_BYTES]; /* the message's id at the broker, or "" */
};

enum qe_settle_verb {
    QE_SETTLE_ACK = 0,
    QE_SETTLE_RELEASE,
    QE_SETTLE_DEAD_LETTER
};

enum qe_settle_result {
    QE_SETTLED = 0,
    QE_SETTLE_STALE, /* the receipt belongs to an older delivery: nothing was changed */
    QE_SETTLE_FAILED /* see err; the message comes back when its visibility ends */
};

struct qe_settlement {
    const struct qe_message *message; /* borrowed */
    enum qe_settle_verb verb;
    int64_t delay_ms; /* RELEASE: available again after this */
    bool unhandled;   /* RELEASE: no handler saw it; the driver takes the receive back where it can
                         (QE_CAP_UNRECEIVE), so that giving back does not bring a message closer to
                         its dead-letter queue */
    const char *reason; /* DEAD_LETTER: short, borrowed; kept with the message as attribute
                           "dead-letter-reason" (model/dead_letter.h) */
    const struct qe_attributes *notes; /* DEAD_LETTER, and RELEASE in case it becomes one: more to
                                          keep with it, as far as it has room; borrowed, may be
                                          NULL; names begin "dead-letter-" */
    /* results */
    enum qe_settle_result result;
    struct qe_err err;  /* set when result is not QE_SETTLED; with `undelayed` and a code: why the
                           broker takes no delays */
    bool dead_lettered; /* RELEASE, QE_SETTLED: the driver has moved it to its dead-letter queue
                           instead, since the queue's own limit was reached */
    bool undelayed;     /* RELEASE with a delay, QE_SETTLED: the broker has not taken it. The driver
                           keeps the message for it, or where it cannot, has given it back at once */
};

/* A delivery that is to last longer. */
struct qe_extension {
    struct qe_message *message; /* borrowed; its visible_until_mono_ms is updated */
    int64_t by_ms;              /* it lapses so long from now */
    struct qe_err err;          /* result; QE_OK: extended */
};

#endif
