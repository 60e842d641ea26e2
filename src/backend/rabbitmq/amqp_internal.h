/* The working half of this driver: queues worked on over AMQP 0-9-1. These files are the only door
 * to librabbitmq.
 *
 *   wire       amqp_wire.h: amqp_connection.c (open, close), amqp_tls.c, amqp_pump.c (frames in,
 *              calls out), amqp_error.c
 *   messages   amqp_read.c, amqp_write.c (properties and headers), amqp_value.c (one header),
 *              amqp_raw.c (headers as they came)
 *   in         amqp_consumer.c (one queue's deliveries), amqp_held.c (those not handed out),
 *              amqp_ledger.c (those not settled; pure), amqp_receive.c
 *   out        amqp_publisher.c (confirms and returns), amqp_delay.h, amqp_send.c
 *   both       amqp_settle.c, amqp_copies.c (what a copy carries, and who has one),
 *              amqp_postpone.c (what nothing delays), amqp_topic.c, amqp_work.c (what a
 * handle has open)
 *
 * Thread: the handle's own, which does all reading and writing. Heartbeats are sent and looked for
 * whenever it is here: in every call, and in tend(). Deliveries and confirms sit in the socket
 * meanwhile, and are read by whichever call comes next. */
#ifndef QE_BACKEND_RABBITMQ_AMQP_INTERNAL_H
#define QE_BACKEND_RABBITMQ_AMQP_INTERNAL_H

#include <amqp.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/rabbitmq/amqp_delay.h"
#include "backend/rabbitmq/amqp_ledger.h"
#include "backend/rabbitmq/amqp_wire.h"
#include "backend/rabbitmq/internal.h"
#include "model/message.h"

/* Bodies that are pushed to us and not handed out, of one queue; one may go past it. */
#define QE_AMQP_HELD_MAX_BYTES ((size_t)64 << 20)
#define QE_AMQP_ID_BYTES 33
/* Of more than some thirty commands at a time, RabbitMQ's channel keeps those to a quorum queue
 * back until it has taken the first ones, and loses them when it ends: what was acked behind a lot
 * that was given back would come again. No answer tells when they are through. */
#define QE_AMQP_ACKS_WAY_MS 200
/* The queue that stands for direct replies; no broker has one of this name. */
#define QE_AMQP_REPLIES "amq.rabbitmq.reply-to"
#define QE_AMQP_SENT_HEADER "timestamp_in_ms"    /* as RabbitMQ's own interceptor calls it */
#define QE_AMQP_RECEIVES_HEADER "x-receives"     /* of a message released by a copy: before it */
#define QE_AMQP_LEAST_HEADER "x-receives-least"  /* instead: at least so often before it */
#define QE_AMQP_ENQUEUED_HEADER "x-enqueued-ms"  /* of a message that we dead-lettered */
#define QE_AMQP_TYPES_HEADER "x-attribute-types" /* of attributes that AMQP has no type for */
#define QE_AMQP_DELAY_HEADER "x-delay"           /* the delayed-message plugin's; milliseconds */
#define QE_AMQP_PROPERTY "property" /* type of an attribute that is no header, but a property */

/* --- messages --- */

/* Fills `out` (initialised) from what came before the body; body excluded. */
int qe_amqp_read(const amqp_basic_properties_t *properties, bool redelivered,
                 struct qe_message *out, struct qe_err *err) QE_MUST_CHECK;
/* Whether attributes tell these headers whole. */
bool qe_amqp_fits_attributes(const amqp_table_t *headers);
/* The header is the broker's or ours, and no attribute, nor is it copied. */
bool qe_amqp_is_own_header(const amqp_table_entry_t *header);
/* Adds one header as attribute. */
int qe_amqp_value_read(const char *name, const amqp_field_value_t *value, struct qe_attributes *out,
                       struct qe_err *err) QE_MUST_CHECK;
/* A whole number that fits; false: it is none. */
bool qe_amqp_value_whole(const amqp_field_value_t *value, int64_t *out);
/* The other way round; *out is of memory of `pool` and of the attribute. QE_ERR_INVALID: the value
 * is not what its type says. False in *out_known: the type is none of AMQP's, and the value goes as
 * text. */
int qe_amqp_value_write(const struct qe_attribute *attribute, amqp_pool_t *pool,
                        amqp_field_value_t *out, bool *out_known, struct qe_err *err) QE_MUST_CHECK;

/* One message on its way out. */
struct qe_amqp_letter {
    const char *exchange;
    const char *routing_key;
    bool is_mandatory;
    bool is_copy; /* of a message of the broker's, which may be larger than ours */
    const char *body;
    size_t body_bytes;
    const struct qe_attributes *attributes;
    const struct qe_amqp_raw
        *raw; /* its headers, but for those that are attributes, too; or NULL */
    const char *id;
    const char *correlation_id; /* "" none */
    const char *reply_to;       /* "" none */
    int64_t sent_unix_ms;       /* 0 unknown */
    int64_t enqueued_unix_ms;   /* 0: when it is sent */
    uint32_t receives;          /* before; 0 none */
    uint32_t receives_least;    /* instead; 0 none */
    int64_t delay_ms;           /* for the delayed-message plugin; 0 none */
};
/* Properties and headers of a letter; *out is of memory of `pool` and of the letter. */
int qe_amqp_write(const struct qe_amqp_letter *letter, amqp_pool_t *pool,
                  amqp_basic_properties_t *out, struct qe_err *err) QE_MUST_CHECK;

/* --- amqp_raw.c --- */

/* = {0} is valid and empty. */
struct qe_amqp_raws {
    struct qe_amqp_raw *items; /* owned, as each; in no order */
    size_t count;
    size_t capacity;
};
void qe_amqp_raw_deinit(struct qe_amqp_raw *raw); /* twice is safe */
/* Leaves *out as it is where attributes do. */
int qe_amqp_raw_read(const amqp_basic_properties_t *properties, struct qe_amqp_raw *out,
                     struct qe_err *err) QE_MUST_CHECK;
void qe_amqp_raws_clear(struct qe_amqp_raws *raws);
void qe_amqp_raws_deinit(struct qe_amqp_raws *raws); /* twice is safe */
/* Moves *raw, if there is one; on -1 it stays. */
int qe_amqp_raws_put(struct qe_amqp_raws *raws, uint64_t tag, struct qe_amqp_raw *raw,
                     struct qe_err *err) QE_MUST_CHECK;
/* In place of what is in *out; nothing where attributes tell all of this delivery. */
int qe_amqp_raws_copy(const struct qe_amqp_raws *raws, uint64_t tag, struct qe_amqp_raw *out,
                      struct qe_err *err) QE_MUST_CHECK;
/* Forgets those of deliveries that are settled. */
void qe_amqp_raws_keep(struct qe_amqp_raws *raws, const struct qe_amqp_ledger *ledger);

/* --- in --- */

struct qe_amqp_consumer;

#define QE_AMQP_COPIED "dead-letter-sent-to" /* attribute of a message that was released since */
/* A dead-letter queue has confirmed its copy of a delivery that others have not. */
struct qe_amqp_copy {
    uint64_t tag;
    uint64_t key; /* of the queue's name */
};
/* = {0} is valid and empty. What has no room is forgotten: it may be copied again. */
struct qe_amqp_copies {
    struct qe_amqp_copy *items; /* owned */
    size_t count;
    size_t capacity;
};
void qe_amqp_copies_deinit(struct qe_amqp_copies *copies); /* twice is safe */
bool qe_amqp_copies_has(const struct qe_amqp_copies *copies, uint64_t tag,
                        const struct qe_message *message, const char *queue);
void qe_amqp_copies_add(struct qe_amqp_copies *copies, uint64_t tag, const char *queue);
/* -1 with *err: the queue has no dead-letter queue, or whether it has one is not known. */
int qe_amqp_copies_have_place(const struct qe_queue *queue, struct qe_err *err) QE_MUST_CHECK;
/* What the letter of a copy is made of. It has headers of its own: while it waits to be published,
 * others are read. */
struct qe_amqp_copy_parts {
    struct qe_attributes attributes; /* owned; beside its headers of ours */
    struct qe_amqp_raw raw;          /* owned; what attributes cannot tell */
};
/* In place of what is in *out; `is_dead`: with why and when. */
int qe_amqp_copy_make(const struct qe_amqp_consumer *consumer, const struct qe_queue *queue,
                      const struct qe_settlement *settlement, bool is_dead,
                      struct qe_amqp_copy_parts *out, struct qe_err *err) QE_MUST_CHECK;
void qe_amqp_copy_deinit(struct qe_amqp_copy_parts *parts); /* twice is safe */
/* The letter, as far as it is the message's: not its id and way. *out borrows from both. */
void qe_amqp_copy_letter(const struct qe_amqp_copy_parts *parts, const struct qe_message *message,
                         bool is_dead, struct qe_amqp_letter *out);
void qe_amqp_copies_forget(struct qe_amqp_copies *copies, uint64_t tag);
/* Its own time to live, which no copy carries. */
bool qe_amqp_has_expiration(const struct qe_message *message);

/* --- amqp_postpone.c --- */

/* A message that waits for its delay here, not settled. */
struct qe_amqp_postponed_one {
    struct qe_message message; /* owned */
    int64_t due_mono_ms;
    int64_t end_mono_ms; /* of its delay, which may be later */
};
/* = {0} is valid and empty. */
struct qe_amqp_postponed {
    struct qe_amqp_postponed_one *items; /* owned */
    size_t count;
    size_t capacity;
    size_t bytes;
};
void qe_amqp_postponed_clear(struct qe_amqp_postponed *postponed);  /* its deliveries are over */
void qe_amqp_postponed_deinit(struct qe_amqp_postponed *postponed); /* twice is safe */
/* Keeps a copy. QE_ERR_LIMIT: as much waits as may. */
int qe_amqp_postpone(struct qe_amqp_postponed *postponed, const struct qe_message *message,
                     int64_t delay_ms, struct qe_err *err) QE_MUST_CHECK;
bool qe_amqp_postponed_has(const struct qe_amqp_postponed *postponed, const char *receipt);
/* When the first is due; INT64_MAX: none waits. */
int64_t qe_amqp_postponed_next_mono_ms(const struct qe_amqp_postponed *postponed);
/* Takes one that is due, and what is left of its delay; false: none is. *out is the caller's. */
bool qe_amqp_postponed_take(struct qe_amqp_postponed *postponed, int64_t now_mono_ms,
                            struct qe_message *out, int64_t *out_left_ms);

struct qe_amqp_publisher;

#define QE_AMQP_EPOCH_BYTES 18 /* 16 digits, a dot, and the end */

/* What working on a queue goes by, as the newest list says that is known of: the caller's, whose
 * queue tells it with each receive and settlement, or else the last one of this handle. */
struct qe_amqp_facts {
    bool is_known;
    enum qe_queue_kind kind;
    bool is_single_active;
    bool may_refuse;
    int64_t deliveries_most; /* < 0: there is no limit */
};
/* What is not known is false, and no limit. */
struct qe_amqp_facts qe_amqp_facts_of(const struct qe_rmq *rmq, const char *vhost,
                                      const char *queue);

/* One queue's deliveries. They come from basic.consume, called a round, whose prefetch is what the
 * last receive had room for; or one by one from basic.get, for those who look without waiting. */
struct qe_amqp_consumer {
    struct qe_rmq *rmq; /* borrowed */
    char *vhost;        /* owned */
    char *queue;        /* owned */
    struct qe_amqp_channel channel;
    char epoch[QE_AMQP_EPOCH_BYTES]; /* of the channel's present life: how each receipt begins; "":
                                        not open */
    struct qe_amqp_ledger ledger;
    struct qe_amqp_copies copies;
    struct qe_amqp_raws raws;
    struct qe_amqp_postponed postponed;
    struct qe_amqp_facts told;   /* by the last receive or settlement that knew */
    enum qe_queue_kind kind;     /* as the last one said */
    struct qe_message_list held; /* delivered and not handed out; from held_first on */
    size_t held_first;
    size_t held_bytes;  /* bodies */
    size_t usual_bytes; /* of a body: the largest lately */
    size_t marked;      /* so many of the first ones were held at marked_mono_ms */
    int64_t marked_mono_ms;
    uint32_t round; /* counts basic.consume; its consumer tag */
    bool is_consuming;
    int64_t begun_mono_ms;       /* the present round */
    uint16_t prefetch;           /* of the present round */
    bool has_settled;            /* something, since the present round began */
    int64_t released_mono_ms;    /* in place, and not back yet; 0: nothing */
    int64_t copies_from_mono_ms; /* no copies of what is held go out before, since some did not */
    int64_t acked_mono_ms;       /* the last ack behind such a one; 0: none */
    bool is_paused;              /* what is held goes back with the next tend() */
    bool must_copy;              /* no more than what of that would be lost in its place */
    bool has_had_last;           /* something that would be lost in its place */
    bool is_full;                /* what is still under way goes straight back */
    bool is_own;                 /* made by subscribe(): gone with the connection */
    char *topic;                 /* owned, as the two below; of a subscription: its exchange */
    char *key;                   /* "" all */
    char *declared;              /* its queue of now; NULL: none. `queue` was the first */
    bool is_bound;               /* `declared` is, to all that it is to be */
    bool is_auto_acked;          /* direct replies: nothing to settle */
    struct qe_amqp_publisher *requester; /* owned; direct replies: publishes on `channel` */
    struct qe_err trouble;               /* what ended its deliveries; told by the next receive */
    bool must_reset; /* a delivery could not be kept: close the channel, all come anew */
};
/* Takes over what the queue of a call tells. */
void qe_amqp_consumer_heed(struct qe_amqp_consumer *consumer, const struct qe_queue *queue);
/* False: it is not, or its source was not listed yet, or not to us. */
bool qe_amqp_is_single_active(const struct qe_amqp_consumer *consumer);
/* A quorum queue would dead-letter it instead of delivering it again; of a copy, which a retry with
 * a delay is, it counts anew. False also as above. */
bool qe_amqp_is_past_limit(const struct qe_amqp_consumer *consumer,
                           const struct qe_message *message);
/* Was delivered past it, and would be dropped if it were given back to its place unhandled: a copy
 * goes to the end of the queue instead, but of what a copy would make live longer. */
bool qe_amqp_is_lost_in_place(const struct qe_amqp_consumer *consumer,
                              const struct qe_message *message);
struct qe_amqp_consumer *qe_amqp_consumer_new(struct qe_rmq *rmq,
                                              struct qe_amqp_connection *connection,
                                              const char *vhost, const char *queue,
                                              struct qe_err *err) QE_MUST_CHECK;
/* Its channel is closed. */
void qe_amqp_consumer_destroy(struct qe_amqp_consumer *consumer); /* accepts NULL */
int qe_amqp_consumer_open(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms,
                          struct qe_err *err) QE_MUST_CHECK;
/* Sees to it that the broker pushes messages, and has not much more leave to than `max` beyond what
 * is in hand: see README.md. */
int qe_amqp_consume(struct qe_amqp_consumer *consumer, size_t max, int64_t deadline_mono_ms,
                    struct qe_err *err) QE_MUST_CHECK;
/* No more is pushed. What is already under way stays, and is handed out. */
int qe_amqp_end_round(struct qe_amqp_consumer *consumer, struct qe_err *err) QE_MUST_CHECK;
/* That, where others could go on with what is left. Not so on a single-active queue, whose next
 * consumer would overtake what we have in hand. False: it goes on, or its connection is lost. */
bool qe_amqp_stop_pushing(struct qe_amqp_consumer *consumer) QE_MUST_CHECK;
/* A quorum queue: what is on its way to a consumer that ends comes back to it, counted as
 * delivered, and where it has no delivery limit at its end. */
bool qe_amqp_minds_returns(const struct qe_amqp_consumer *consumer);
/* What the broker calls its queue. */
const char *qe_amqp_queue_name(const struct qe_amqp_consumer *consumer);
/* The tag of a receipt that this consumer gave in the channel's present life; 0: it is none. */
uint64_t qe_amqp_receipt_tag(const struct qe_amqp_consumer *consumer, const char *receipt);

/* --- amqp_held.c --- */

int qe_amqp_hold_take(struct qe_amqp_consumer *consumer, struct qe_message *message,
                      struct qe_err *err) QE_MUST_CHECK;
/* They are the broker's again. */
void qe_amqp_drop_held(struct qe_amqp_consumer *consumer);
/* All, to their place, but for what would be lost there. Does not wait. */
void qe_amqp_nack_held(struct qe_amqp_consumer *consumer);
/* All; what would be lost in its place by a copy to the end of the queue, as far as that can be had
 * within a second. Returns when to go on with what is left; INT64_MAX: nothing is. */
int64_t qe_amqp_give_back_held(struct qe_amqp_consumer *consumer);
/* Some of them would be lost in their place. */
bool qe_amqp_holds_last(const struct qe_amqp_consumer *consumer);
size_t qe_amqp_held_count(const struct qe_amqp_consumer *consumer);
/* Some of what is held has waited long for somebody to ask for it: who does, takes little. */
bool qe_amqp_is_held_long(struct qe_amqp_consumer *consumer);
/* Hands out up to `max`. -1: none was. */
int qe_amqp_hand_out(struct qe_amqp_consumer *consumer, size_t max, struct qe_message_list *out,
                     struct qe_err *err) QE_MUST_CHECK;
/* Of direct replies, which are not the broker's any more: what is released is handed out again. */
void qe_amqp_settle_replies(struct qe_amqp_consumer *consumer, struct qe_settlement *settlements,
                            size_t count);

/* Releases what was postponed and is due. */
void qe_amqp_release_due(struct qe_amqp_consumer *consumer);

/* --- out --- */

#define QE_AMQP_WINDOW 256
#define QE_AMQP_WINDOW_BYTES ((size_t)8 << 20)

/* Published and not yet confirmed. */
struct qe_amqp_pending {
    size_t index; /* the caller's */
    uint64_t key;
    size_t bytes;
    bool is_done;
    bool is_returned;
    char reason[128];
};

struct qe_amqp_publisher {
    struct qe_rmq *rmq;              /* borrowed */
    struct qe_amqp_channel *channel; /* borrowed: own_channel, or that of direct replies */
    struct qe_amqp_channel own_channel;
    bool is_confirming;
    bool is_proven;                                /* the channel has taken a message */
    struct qe_amqp_pending window[QE_AMQP_WINDOW]; /* a ring */
    size_t window_first;
    size_t window_count;
    uint64_t first_tag; /* of the first one */
    size_t window_bytes;
    const struct qe_amqp_batch *batch; /* borrowed; that is running */
    amqp_pool_t pool;                  /* of one letter */
};
/* Many letters. `fill` makes the one with this index, or refuses it with its error; `done` is
 * called exactly once for each, with QE_OK when the broker has accepted it. */
struct qe_amqp_batch {
    void *context;
    size_t count;
    bool is_brief; /* an alarm that stops publishers ends it, and not only the deadline */
    int (*fill)(void *context, size_t index, struct qe_amqp_letter *out, struct qe_err *err);
    void (*done)(void *context, size_t index, const struct qe_err *result);
};
void qe_amqp_publisher_init(struct qe_amqp_publisher *self, struct qe_rmq *rmq,
                            struct qe_amqp_connection *connection);
void qe_amqp_publisher_deinit(struct qe_amqp_publisher *self);
/* Of a publisher on somebody else's channel, which passes on what it hears. */
void qe_amqp_publisher_confirmed(void *publisher, uint64_t tag, bool multiple, bool accepted);
void qe_amqp_publisher_returned(void *publisher, const struct qe_amqp_content *content);
void qe_amqp_publisher_closed(void *publisher, const struct qe_err *why);
int qe_amqp_publisher_open(struct qe_amqp_publisher *self, int64_t deadline_mono_ms,
                           struct qe_err *err) QE_MUST_CHECK;
/* Publishes all, with a window of unconfirmed ones. Each has its result when it returns; -1 when
 * none could be tried. */
int qe_amqp_publish_all(struct qe_amqp_publisher *self, const struct qe_amqp_batch *batch,
                        int64_t deadline_mono_ms, struct qe_err *err) QE_MUST_CHECK;
uint64_t qe_amqp_publish_key(amqp_bytes_t exchange, amqp_bytes_t routing_key, amqp_bytes_t id);

/* --- amqp_work.c --- */

/* --- amqp_topic.c --- */

/* The subscription's queue is there, and bound: made, unless it is so. */
int qe_amqp_declare_subscription(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms,
                                 struct qe_err *err) QE_MUST_CHECK;

/* What a handle has open in one vhost. Two connections: an alarm stops those that publish. */
struct qe_amqp_space {
    char *vhost; /* owned */
    struct qe_amqp_connection in;
    struct qe_amqp_connection out;
    struct qe_amqp_publisher publisher;
    struct qe_amqp_delays delays;
};

struct qe_rmq_work {
    struct qe_amqp_space **spaces; /* owned, as each */
    size_t spaces_count;
    size_t spaces_capacity;
    struct qe_amqp_consumer **consumers; /* owned, as each */
    size_t consumers_count;
    size_t consumers_capacity;
    int wake_fd; /* an eventfd: interrupt() */
    struct qe_random random;
    uint64_t ids[2]; /* the next message's id */
};

/* "/" for "". */
const char *qe_amqp_vhost(const struct qe_queue *queue);
/* The vhost's connections, made when it has none; QE_ERR_UNSUPPORTED without an amqp_url. */
struct qe_amqp_space *qe_amqp_space_find(struct qe_rmq *rmq, const char *vhost,
                                         struct qe_err *err) QE_MUST_CHECK;
/* NULL: this handle has never received from it. */
struct qe_amqp_consumer *qe_amqp_consumer_find(const struct qe_rmq *rmq, const char *vhost,
                                               const char *queue);
/* Finds it, or makes it. */
struct qe_amqp_consumer *qe_amqp_consumer_get(struct qe_rmq *rmq, const char *vhost,
                                              const char *queue, struct qe_err *err) QE_MUST_CHECK;
void qe_amqp_consumer_remove(struct qe_rmq *rmq, struct qe_amqp_consumer *consumer);
/* An id that no message has. */
void qe_amqp_make_id(struct qe_rmq_work *work, char out[QE_AMQP_ID_BYTES]);
/* Counts one finished call. Returns rc. */
int qe_amqp_count(const struct qe_rmq *rmq, enum qe_rmq_amqp_operation operation, int64_t start_us,
                  int rc, const struct qe_err *err);

#endif
