/* The driver interface: everything above speaks to a broker through this, and only this.
 *
 * Every call but interrupt() runs on the thread that called create() and returns by its deadline
 * (CLOCK_MONOTONIC ms), plus at most 100 ms. A slot without its capability is NULL. On -1, *err is
 * set and out-parameters are untouched; on 0, *err is untouched. Retrying is not a driver's
 * business beyond what its protocol demands; counting and logging are the caller's.
 *
 * A queue is handed in as the caller's newest list has it: it may say something else with each
 * call, and what it says is newer than what the handle remembers of it. */
#ifndef QE_BACKEND_BACKEND_H
#define QE_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "config/option.h"
#include "model/batch.h"
#include "model/message.h"
#include "model/queue.h"
#include "model/stats.h"
#include "util/err.h"

enum qe_cap {
    QE_CAP_LIST = 1u << 0,
    QE_CAP_DEPTH = 1u << 1,
    QE_CAP_OLDEST_AGE = 1u << 2,
    QE_CAP_DLQ_LINK = 1u << 3,
    QE_CAP_SEND = 1u << 4,
    QE_CAP_RECEIVE = 1u << 5, /* receive and settle */
    QE_CAP_EXTEND = 1u << 6,
    QE_CAP_DELAY = 1u << 7, /* per-message delay on send, delay on release */
    QE_CAP_PEEK = 1u << 8,  /* look without any side effect on the message */
    QE_CAP_PURGE = 1u << 9,
    QE_CAP_DEAD_LETTER = 1u << 10, /* settle accepts QE_SETTLE_DEAD_LETTER */
    QE_CAP_ORDERED =
        1u << 11, /* groups in order and a deduplication window, on queues that are so configured */
    QE_CAP_UNRECEIVE = 1u << 12, /* an `unhandled` release takes its receive back */
    QE_CAP_REDRIVE = 1u << 13,   /* the broker can move a DLQ's messages by itself */
    QE_CAP_TOPICS = 1u << 14     /* publish, subscribe and unsubscribe */
};

/* What a driver is given besides its settings; all borrowed, all outlive the handle. */
struct qe_deps {
    const char *source;         /* the source's name, for messages */
    struct qe_api_stats *stats; /* NULL: do not count */
};

enum qe_redrive_state {
    QE_REDRIVE_NONE = 0, /* no task is known */
    QE_REDRIVE_RUNNING,
    QE_REDRIVE_COMPLETED,
    QE_REDRIVE_CANCELLING,
    QE_REDRIVE_CANCELLED,
    QE_REDRIVE_FAILED
};

/* The newest redrive of one DLQ that the broker runs, or ran. */
struct qe_redrive_task {
    enum qe_redrive_state state;
    uint64_t moved_messages;   /* approximate */
    uint64_t to_move_messages; /* approximate; UINT64_MAX unknown */
    int64_t started_unix_ms;   /* 0 unknown */
    char reason[256];          /* FAILED: why; else "" */
};

/* What a driver has received ahead and could not give back. */
struct qe_unreturned {
    size_t count;    /* messages that others cannot receive for now */
    size_t in_doubt; /* so many more at most, of requests that were not answered */
    int64_t for_ms;  /* until the last of them comes back */
};

/* What is published to, and every subscriber gets a copy of. All borrowed. */
struct qe_topic {
    const char *vhost; /* "" where the broker has none */
    const char *name;  /* the exchange, where topics are exchanges; NULL: none, see subscribe() */
    /* Of a message that is published: its routing key. Of a subscription: the pattern of the keys
     * that it wants. "" none, and all; QE_ERR_UNSUPPORTED where the broker knows no keys. */
    const char *key;
};

struct qe_driver {
    const char *name; /* the `type` in the config, the `backend` label in queue_info */
    uint32_t caps;    /* what it can do at best */
    const struct qe_section *section; /* its settings: one table drives parsing, --config.check,
                                         defaults and reference */
    bool lists_elsewhere; /* list() asks another server than receive(): what it cannot tell now must
                             keep nobody from working */
    const char *default_vhost;     /* what a queue named without a vhost is in; NULL: "" */
    const char *const *operations; /* names for qe_api_stats, static */
    size_t operations_count;
    const char *const *services; /* what its owner charges for, NULL-terminated; NULL: nothing */

    /* Why another process (queuectl) cannot see these queues, for the user: static text; NULL, also
     * for the slot: it can. */
    const char *(*unreachable)(const void *settings);

    /* Why no sample counts the messages that wait for a delay, for the user: static text; NULL,
     * also for the slot: they are counted, as in flight, as delayed, or in queues that are
     * is_delay_queue. */
    const char *(*delayed_uncounted)(const void *settings);

    /* Opens one handle. `settings` is the struct that `section` fills; borrowed for the handle's
     * life. Ownership: *out is the caller's, closed with destroy(). Does not touch the network or
     * create anything on a broker, except that the embedded driver opens (and creates) its file and
     * the queues its settings name. */
    int (*create)(const void *settings, const struct qe_deps *deps, void **out, struct qe_err *err);

    /* Every queue the source has, with what is known of links and kind. Appends to *out; on -1 *out
     * is as before. */
    int (*list)(void *self, int64_t deadline_mono_ms, struct qe_queue_list *out,
                struct qe_err *err);

    /* One queue by the name that list() gives it, for who works on one and need not wait for a list
     * of thousands. NULL, QE_ERR_UNSUPPORTED: ask list(). Ownership: *out is the caller's,
     * untouched on -1; links and tags may be missing. */
    int (*find)(void *self, const char *name, int64_t deadline_mono_ms, struct qe_queue *out,
                struct qe_err *err);

    /* Reads every queue of out->set; sets one sample, or one error, per queue through
     * qe_batch_set/_fail. A source that can be read but takes no messages any more is told in
     * out->source_error. Errors: -1 only if no queue could be asked. A queue that is gone is
     * failed with QE_ERR_NOT_FOUND. */
    int (*sample)(void *self, int64_t deadline_mono_ms, struct qe_batch *out, struct qe_err *err);

    /* Sends a batch of any size (the driver splits it). Each message's `result` is set. -1 when
     * none could be tried. A result of QE_OK means the broker has accepted it as durably as it
     * promises. */
    int (*send)(void *self, const struct qe_queue *to, struct qe_outgoing *messages, size_t count,
                int64_t deadline_mono_ms, struct qe_err *err);

    /* Long poll: returns as soon as at least one message is available, with up to `max`, or with
     * none at the deadline (rc 0). Appends to *out; `max` 0 takes none, and only learns what has to
     * be known of the queue. A delivery that an interrupt overtakes is
     * handed out by the next receive, never lost. With a deadline that has passed it looks once,
     * for which a broker across a network has up to 2 s; connecting to it comes on top. */
    int (*receive)(void *self, const struct qe_queue *from, size_t max, int64_t deadline_mono_ms,
                   struct qe_message_list *out, struct qe_err *err);

    /* Whether a request for this queue's messages is not answered yet, so that a receive that has
     * brought none says nothing of the queue. Does not wait. NULL: never when one returns. */
    bool (*awaits)(const void *self, const struct qe_queue *queue);

    /* No receive from this queue follows for a while: the driver takes nothing more ahead of one,
     * and with the next tend() gives back to its place what it holds, for others to take. So the
     * caller can first release what it has in hand, which is older. Does not wait, and cannot fail.
     * NULL: it never holds anything. */
    void (*pause)(void *self, const struct qe_queue *queue);

    /* As pause(), for who gives back and ends: first waits until what is on its way here has come,
     * since the broker takes it back itself otherwise, and may count that. NULL: it need not, and
     * destroy() gives back as well as give_back(), which who waits for no count of it can spare. */
    void (*halt)(void *self, const struct qe_queue *queue, int64_t deadline_mono_ms);

    /* No receive from this queue follows: waits for what is on its way here, gives back all that
     * was not handed out, and says what is left. Never interrupted. NULL: it never has anything. */
    void (*give_back)(void *self, const struct qe_queue *queue, int64_t deadline_mono_ms,
                      struct qe_unreturned *out);

    /* Settles a batch; each settlement's `result` is set. -1 when the whole call failed, and then
     * each result is QE_SETTLE_FAILED. `queue` is where the messages were received. A release that
     * is `unhandled`: with QE_CAP_UNRECEIVE the message's receive count is as before this delivery,
     * and its next delivery is a redelivery only if it had been delivered earlier; true counters
     * of deliveries keep what was delivered. Without it, it is a release like any other. */
    int (*settle)(void *self, const struct qe_queue *queue, struct qe_settlement *settlements,
                  size_t count, int64_t deadline_mono_ms, struct qe_err *err);

    /* How long a release that asks for this delay really takes, before any crowd at the end of the
     * queue. Pure; NULL: as long as asked. */
    int64_t (*delay_ms)(int64_t asked_ms);

    /* Whether the delivery stands, so that no other is of this message: another with its id is
     * another message, since publishers choose ids as they like. NULL: ids are the broker's, and
     * each is of one message alone. */
    bool (*holds)(const void *self, const struct qe_queue *queue, const struct qe_message *message);

    /* Extends a batch of deliveries of any size (the driver splits it); each one's `err` is set,
     * QE_ERR_NOT_FOUND where the receipt is stale, and nothing was changed. -1 when none could be
     * tried, and then each has that error. */
    int (*extend)(void *self, const struct qe_queue *queue, struct qe_extension *extensions,
                  size_t count, int64_t deadline_mono_ms, struct qe_err *err);

    /* Up to `max` messages in the order they would be delivered, in flight and delayed ones
     * included, without touching them. */
    int (*peek)(void *self, const struct qe_queue *queue, size_t max, int64_t deadline_mono_ms,
                struct qe_message_list *out, struct qe_err *err);

    /* Deletes every message, in flight and delayed ones included where the broker can; *out_count
     * says how many when the broker tells, else UINT64_MAX. */
    int (*purge)(void *self, const struct qe_queue *queue, int64_t deadline_mono_ms,
                 uint64_t *out_count, struct qe_err *err);

    /* The broker moves the messages of `dlq` to `to`, or where each came from (`to` NULL), at most
     * so many per second (0: as fast as it likes). Returns once it has begun. QE_ERR_UNSUPPORTED:
     * this server, or this queue, cannot; QE_ERR_INVALID: a redrive of this queue runs already. */
    int (*redrive_start)(void *self, const struct qe_queue *dlq, const struct qe_queue *to,
                         uint64_t messages_per_second, int64_t deadline_mono_ms,
                         struct qe_err *err);
    int (*redrive_status)(void *self, const struct qe_queue *dlq, int64_t deadline_mono_ms,
                          struct qe_redrive_task *out, struct qe_err *err);
    /* Stops the running one; what is moved stays moved. QE_ERR_NOT_FOUND: none runs. */
    int (*redrive_cancel)(void *self, const struct qe_queue *dlq, int64_t deadline_mono_ms,
                          struct qe_err *err);

    /* Sends a batch to each of the topic's subscribers, as send() does to one queue. A message that
     * nobody is subscribed to is accepted, and gone. QE_ERR_NOT_FOUND: there is no such topic, on a
     * broker where it has to be made before. */
    int (*publish)(void *self, const struct qe_topic *topic, struct qe_outgoing *messages,
                   size_t count, int64_t deadline_mono_ms, struct qe_err *err);
    /* Makes a queue of this handle's own, which from now on gets a copy of what is published, and
     * is received from and settled like any other. It ends with unsubscribe(), or by itself, after
     * a while, when handle or process are gone. A topic without a name: a queue without a topic,
     * for replies. Ownership: *out is the caller's; its name is what others may send to. */
    int (*subscribe)(void *self, const struct qe_topic *topic, int64_t deadline_mono_ms,
                     struct qe_queue *out, struct qe_err *err);
    int (*unsubscribe)(void *self, const struct qe_queue *queue, int64_t deadline_mono_ms,
                       struct qe_err *err);

    /* Does what has to be done in time although no call is made: a connection's heartbeats. Returns
     * when it is to be called again at the latest, if no other call comes before; INT64_MAX: it
     * need not be. Does not wait, but a second at most for what it gives back. NULL: never. */
    int64_t (*tend)(void *self);

    /* Any thread. A running list, find, sample or receive returns soon (within 100 ms) with
     * QE_ERR_CANCELLED; if none runs, the next one does. One interrupt ends one call; send, settle,
     * extend, peek, purge, redrive_*, publish, subscribe and unsubscribe are never
     * interrupted. */
    void (*interrupt)(void *self);

    void (*destroy)(void *self); /* accepts NULL and half-built */
};

#endif
