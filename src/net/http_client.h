/* HTTP out: many requests in flight on one thread, each within its own deadline. The only door to
 * libcurl.
 *
 *   start, start, start ...        requests go out at once, over kept connections
 *   wait                           the next one that is finished, whichever it is
 *
 * No callbacks: the caller's loop decides how many are in flight and what comes next. Redirects are
 * never followed (a signed request must not leak to another host), nothing is retried here (but
 * libcurl itself sends a request again when a kept connection turns out to be dead before any
 * byte of an answer; every sixth time it gives up, which is a QE_ERR_NETWORK), and only http and
 * https are spoken.
 *
 * The program must ignore SIGPIPE. Thread: one, but for qe_http_interrupt(). */
#ifndef QE_NET_HTTP_CLIENT_H
#define QE_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/strbuf.h"

#define QE_HTTP_CONNECT_TIMEOUT_MS 3000
#define QE_HTTP_REPLY_MAX_BYTES ((size_t)1 << 20)
#define QE_HTTP_HEADERS_MAX_BYTES ((size_t)64 << 10) /* of one reply */

struct qe_http_header {
    const char *name;
    const char *value;
};

/* Takes the next piece of a body. -1: no more of it, the request ends with *err. */
typedef int qe_http_take_fn(void *context, const char *piece, size_t piece_bytes,
                            struct qe_err *err);

/* All borrowed for the call of qe_http_start() only, but body: see there. */
struct qe_http_request {
    const char *method; /* "GET", "POST", "PUT" */
    const char *url;
    /* Sent as they are, and no others but Host, Content-Length and Accept: the client adds no
     * Content-Type, no Expect and no User-Agent of its own. A "Host" here replaces curl's. */
    const struct qe_http_header *headers;
    size_t headers_count;
    const char *body; /* borrowed until the reply is taken or the client destroyed; NULL: none */
    size_t body_bytes;
    int64_t deadline_mono_ms;
    int64_t connect_timeout_ms; /* 0: QE_HTTP_CONNECT_TIMEOUT_MS; the deadline wins */
    size_t reply_max_bytes;     /* 0: QE_HTTP_REPLY_MAX_BYTES; more is QE_ERR_LIMIT */
    bool no_proxy;              /* ignore http_proxy and friends: for metadata addresses */
    bool once;                  /* on a connection of its own: libcurl sends it once at most */
    bool is_secret;             /* the answer's body is wiped before its memory is given back */
    void *context;              /* comes back in the reply */
    /* NULL: the body comes with the reply. Else that of an answer of status 200 goes here as it
     * comes, with `context`, and the reply's stays empty: what is large need not be kept. Called
     * within qe_http_wait(), of which it calls nothing; not after the reply, or an abort. */
    qe_http_take_fn *take;
};

/* One finished request. */
struct qe_http_reply {
    void *context;
    /* QE_OK: a complete answer, whatever its status. Else QE_ERR_TIMEOUT (deadline, connect
     * timeout), _NETWORK (resolve, connect, TLS, reset, cut short; with sys_errno EMFILE or ENFILE
     * where there was no descriptor for a connection), _PROTOCOL (not HTTP),
     * _LIMIT (too large), _INVALID (the URL, or a file of the options), _CANCELLED (aborted); with
     * host and port, never with headers or body. */
    struct qe_err err;
    unsigned status;          /* also of an answer that is too large; 0 without one */
    struct qe_strbuf body;    /* NUL-terminated */
    struct qe_strbuf headers; /* raw lines; use qe_http_reply_header() */
    int64_t sent_unix_ms;
    int64_t received_unix_ms;
    double duration_seconds;
};
/* Value of the last header of that name, case-insensitive, trimmed, written to `out`; false (and
 * out
 * "") when there is none or it does not fit. */
bool qe_http_reply_header(const struct qe_http_reply *reply, const char *name, char *out,
                          size_t out_bytes);
/* How long the answer's Retry-After asks to wait, in seconds or until an HTTP-date, at most
 * max_ms; -1: it says nothing, or nothing that can be understood. Source: RFC 9110, 10.2.3. */
int64_t qe_http_reply_retry_after_ms(const struct qe_http_reply *reply, int64_t now_unix_ms,
                                     int64_t max_ms);
void qe_http_reply_deinit(struct qe_http_reply *reply); /* = {0} is fine; twice is safe */

struct qe_http_client_options {
    const char *ca_file;   /* NULL: the system's */
    const char *cert_file; /* NULL: none */
    const char *key_file;
    const char *user_agent; /* NULL: none is sent */
    size_t connections_max; /* kept open; 0: 64 */
};

struct qe_http_client;

/* Copies what options hold; options may be NULL. Does not touch the network. */
struct qe_http_client *qe_http_client_new(const struct qe_http_client_options *options,
                                          struct qe_err *err) QE_MUST_CHECK;
/* Aborts what is in flight; accepts NULL. */
void qe_http_client_destroy(struct qe_http_client *client);

/* Sends a request. Errors: -1 when it could not even be begun (QE_ERR_NOMEM, _INVALID, _LIMIT);
 * then no reply comes. What fails later comes as a reply with its error. */
int qe_http_start(struct qe_http_client *client, const struct qe_http_request *request,
                  struct qe_err *err) QE_MUST_CHECK;
size_t qe_http_in_flight(const struct qe_http_client *client);

enum qe_http_event {
    QE_HTTP_REPLY = 0,   /* *out_reply is filled */
    QE_HTTP_TIME,        /* until_mono_ms has come */
    QE_HTTP_INTERRUPTED, /* somebody called qe_http_interrupt(); what is in flight goes on */
    QE_HTTP_IDLE         /* nothing is in flight and until_mono_ms is 0 */
};
/* Moves what is in flight until a request is finished, the time has come, or (if `interruptible`)
 * somebody interrupts; an interrupt that came earlier and was not taken yet counts. With nothing in
 * flight it waits too: until_mono_ms is then a pause. until_mono_ms 0: no limit of its own but the
 * requests' deadlines.
 * Ownership: *out_reply is the caller's, deinited with qe_http_reply_deinit(). A filled one passed
 * in is reset and its memory reused. */
enum qe_http_event qe_http_wait(struct qe_http_client *client, int64_t until_mono_ms,
                                bool interruptible, struct qe_http_reply *out_reply);
/* One request from start to end, never interrupted. -1 as of qe_http_start(), or the reply's error.
 */
int qe_http_fetch(struct qe_http_client *client, const struct qe_http_request *request,
                  struct qe_http_reply *out_reply, struct qe_err *err) QE_MUST_CHECK;

/* Aborts what is in flight; no replies come for it. */
void qe_http_abort(struct qe_http_client *client);
/* Any thread: the running, or else the next, interruptible wait returns QE_HTTP_INTERRUPTED. One
 * interrupt, one return. */
void qe_http_interrupt(struct qe_http_client *client);

#endif
