/* Connections and channels, and what comes on them: see amqp_internal.h. */
#ifndef QE_BACKEND_RABBITMQ_AMQP_WIRE_H
#define QE_BACKEND_RABBITMQ_AMQP_WIRE_H

#include <amqp.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/rabbitmq/internal.h"
#include "model/message.h"

#define QE_AMQP_HEARTBEAT_SECONDS 30
#define QE_AMQP_CONNECT_MS 3000
/* What was written and is not taken by the other side ends the connection after this; a broker
 * that reads nothing because of an alarm, too. */
#define QE_AMQP_UNTAKEN_MS 60000
/* A body past RabbitMQ's own limit: no broker sends one. */
#define QE_AMQP_BODY_MAX_BYTES (UINT64_C(512) << 20)
#define QE_AMQP_FRAME_MAX_BYTES 131072
#define QE_AMQP_SHORT_MAX_BYTES 255 /* names, ids, keys */
#define QE_AMQP_CHANNELS_MAX 256

amqp_bytes_t qe_amqp_text(const char *text); /* borrowed */

struct qe_amqp_channel;

/* A connection is open while `state` is not NULL. */
struct qe_amqp_connection {
    struct qe_rmq *rmq; /* borrowed */
    const char *vhost;  /* borrowed */
    const char *role;   /* static; part of the name that RabbitMQ shows */
    amqp_connection_state_t state;
    int fd;
    int64_t looked_mono_ms; /* for frames, at last; heartbeats are sent then */
    bool is_blocked;        /* the broker reads nothing that is published: a resource alarm */
    char blocked_why[128];
    struct qe_err lost;                                     /* why the last one ended */
    struct qe_amqp_channel *channels[QE_AMQP_CHANNELS_MAX]; /* borrowed; [number - 1] */
};

/* A table as AMQP encodes it. */
struct qe_amqp_raw {
    uint64_t tag; /* of the delivery */
    char *bytes;  /* owned; NULL none */
    size_t count;
};

/* A message in the making: its method has come, then its properties, then its body in pieces. */
struct qe_amqp_content {
    enum {
        QE_AMQP_NOTHING = 0,
        QE_AMQP_DELIVERY,
        QE_AMQP_RETURNED
    } kind;
    struct qe_message message; /* owned */
    struct qe_amqp_raw raw;    /* owned */
    struct qe_err err;         /* QE_OK, or why the message could not be kept */
    bool has_properties;
    uint64_t left_bytes; /* of the body */
    size_t filled_bytes;
    uint64_t tag;
    uint32_t round; /* of a delivery: which basic.consume brought it; 0: basic.get */
    bool is_got;
    bool redelivered;
    char reason[256]; /* of a return */
    uint64_t key;     /* of a return: see qe_amqp_publish_key() */
};

/* What happens on a channel. All on the handle's thread, while it reads. */
struct qe_amqp_events {
    /* Takes the message out of the content, or leaves it to be freed. */
    void (*delivered)(void *owner, struct qe_amqp_content *content);
    void (*returned)(void *owner, const struct qe_amqp_content *content);
    void (*confirmed)(void *owner, uint64_t tag, bool multiple, bool accepted);
    void (*cancelled)(void *owner, uint32_t round);        /* by the broker: the queue is gone */
    void (*closed)(void *owner, const struct qe_err *why); /* with all that was open on it */
};

struct qe_amqp_channel {
    struct qe_amqp_connection *connection; /* borrowed */
    amqp_channel_t number;                 /* 0: not open */
    const struct qe_amqp_events *events;   /* static */
    void *owner;                           /* borrowed */
    struct qe_err closed;                  /* why it last ended */
    struct qe_amqp_content content;
    /* The answer that is waited for: */
    amqp_method_number_t awaited;
    amqp_method_number_t awaited_too; /* another answer to the same call; 0 none */
    amqp_method_number_t answer;      /* the one that came; 0: not yet */
    uint32_t answer_count;
    char answer_name[QE_AMQP_SHORT_MAX_BYTES + 1];
};

/* Opens it unless it is open. */
int qe_amqp_connection_open(struct qe_amqp_connection *self, int64_t deadline_mono_ms,
                            struct qe_err *err) QE_MUST_CHECK;
/* Says goodbye, which makes sure that all that was written is handled, for at most `wait_ms`. */
void qe_amqp_connection_close(struct qe_amqp_connection *self, int64_t wait_ms);
/* At once, without a word; every channel on it is told. */
void qe_amqp_connection_lose(struct qe_amqp_connection *self, const struct qe_err *why);
/* Makes `socket` verify the server's certificate and name: `host`, a name or an address. What then
 * goes wrong on this thread is for qe_amqp_tls_fail(). */
int qe_amqp_tls_prepare(amqp_socket_t *socket, const struct qe_rmq_tls_settings *tls,
                        const char *host, struct qe_err *err) QE_MUST_CHECK;
/* Says why `what` could not be connected to with TLS, and what to look at. Returns -1. */
int qe_amqp_tls_fail(struct qe_err *err, const char *what);

/* Opens the channel, and the connection under it, unless they are open. */
int qe_amqp_channel_open(struct qe_amqp_channel *channel, int64_t deadline_mono_ms,
                         struct qe_err *err) QE_MUST_CHECK;
void qe_amqp_channel_close(struct qe_amqp_channel *channel, int64_t deadline_mono_ms);
void qe_amqp_content_reset(struct qe_amqp_content *content);

/* Handles every frame that has come. -1: the connection is lost. */
int qe_amqp_drain(struct qe_amqp_connection *self, struct qe_err *err) QE_MUST_CHECK;
/* The same with what one read of the socket brings, for one that has something to read: to know
 * that nothing is left takes two calls of the system. */
int qe_amqp_read_some(struct qe_amqp_connection *self, struct qe_err *err) QE_MUST_CHECK;
/* True: something is read from the socket and not handled yet, so poll() does not tell of it. */
bool qe_amqp_has_input(const struct qe_amqp_connection *self);
/* Sends one method and waits for its answer. A broker that refuses it closes the channel: *err says
 * why. Without an answer by the deadline the connection is lost. */
int qe_amqp_call(struct qe_amqp_channel *channel, amqp_method_number_t method, void *decoded,
                 int64_t deadline_mono_ms, struct qe_err *err) QE_MUST_CHECK;
/* One that has no answer. */
int qe_amqp_tell(struct qe_amqp_channel *channel, amqp_method_number_t method, void *decoded,
                 struct qe_err *err) QE_MUST_CHECK;
/* Waits for frames on any open connection of the handle and handles them; at most until the
 * deadline. `writable`: returns also when this one takes more bytes; NULL: not asked. */
int qe_amqp_wait(struct qe_rmq *rmq, const struct qe_amqp_connection *writable, bool interruptible,
                 int64_t until_mono_ms, struct qe_err *err) QE_MUST_CHECK;

/* How long its connections may go without being looked at. */
int64_t qe_amqp_look_ms(const struct qe_rmq_work *work);

/* --- amqp_error.c --- */

/* A status of the library, in its own words. Returns -1. */
int qe_amqp_fail(struct qe_err *err, int status, const char *what);
/* What the broker says when it closes a channel or connection. Returns -1. */
int qe_amqp_refused(struct qe_err *err, unsigned code, amqp_bytes_t text);

#endif
