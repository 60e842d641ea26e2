/* The HTTP server: listeners, limits, routing by exact path, HEAD, 404, 405. Knows nothing about
 * metrics or brokers. The only door to libmicrohttpd. */
#ifndef QE_HTTP_SERVER_H
#define QE_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "model/stats.h"
#include "util/err.h"

enum qe_http_method {
    QE_HTTP_GET = 1u << 0,
    QE_HTTP_POST = 1u << 1,
    QE_HTTP_PUT = 1u << 2
}; /* HEAD comes with GET */

struct qe_http_request {
    enum qe_http_method method; /* HEAD arrives as GET; the server drops the body */
    const char *path;
    const char *accept;          /* all lines joined with ','; NULL when none */
    const char *accept_encoding; /* likewise */
};

struct qe_http_part {
    const void *data;
    size_t size_bytes;
};

#define QE_HTTP_TEXT_TYPE "text/plain; charset=utf-8"

/* Filled by a handler. Headers and parts are copied as pointers, the bytes are not: they stay valid
 * until free_body runs (on any server thread, when the last byte has been sent or the client has
 * gone; at once for HEAD). The server adds Content-Length and X-Content-Type-Options: nosniff. */
#define QE_HTTP_HEADERS_MAX 8
struct qe_http_response {
    unsigned status;          /* 200 when left 0 */
    const char *content_type; /* static or valid until free_body */
    struct {
        const char *name;
        const char *value;
    } headers[QE_HTTP_HEADERS_MAX];
    size_t headers_count;
    const struct qe_http_part *parts; /* valid until free_body; NULL: `text` is the whole body */
    size_t parts_count;
    struct qe_http_part text;
    void (*free_body)(void *body); /* may be NULL */
    void *body;
};

/* Server thread, several at once; must not wait for the network, nor for anything that does:
 * while it runs, its listener serves nobody else. Handlers of `slow` routes run one at a time on
 * a thread of their own and may take their time. */
typedef void qe_http_handler_fn(void *context, const struct qe_http_request *request,
                                struct qe_http_response *response);

struct qe_http_route {
    const char *path;
    unsigned methods;          /* of enum qe_http_method; anything else gets 405 with Allow */
    const char *method_error;  /* text of the 405, with its newline; NULL: a usual one */
    enum qe_http_handler stat; /* what it counts as */
    qe_http_handler_fn *handle;
    bool slow; /* may take long, like a reload: see qe_http_handler_fn */
};

struct qe_http_options {
    const char *const *listen; /* ":10019", "127.0.0.1:9090", "[::1]:9090"; port 0: any free one */
    size_t listen_count;
    const struct qe_http_route *routes; /* borrowed, outlive the server */
    size_t routes_count;
    void *context;                  /* handed to every handler */
    struct qe_process_stats *stats; /* requests by handler and code; may be NULL */
    unsigned max_connections; /* per listener, at most 104; 0: 100. Beyond it the connection that
                                 idled longest makes room; if none idles, the answer is 503. 16
                                 more can be told so at a time, the rest waits to be accepted */
    unsigned max_per_client;  /* likewise per IPv4 address or IPv6 /64; 0: half of max_connections
                               */
    unsigned header_deadline_ms; /* a client that has not sent its whole request by then is cut
                                    off; 0: 10 000 */
    unsigned idle_timeout_ms;    /* keep-alive and stalled clients, in whole seconds; 0: 60 000 */
    unsigned reply_deadline_ms;  /* a client that has not taken its whole reply by then is cut off;
                                    0: 300 000 */
};

struct qe_http_server;

/* Binds every address and starts the threads. The error names the address and what to do. */
struct qe_http_server *qe_http_server_new(const struct qe_http_options *options,
                                          struct qe_err *err) QE_MUST_CHECK;
/* Port that listener `index` is bound to. */
unsigned qe_http_server_port(const struct qe_http_server *server, size_t index);
/* Stops accepting, waits for the slow handler that runs, finishes responses under way (3 s at
 * most), closes, joins; accepts NULL. A slow handler must therefore not wait for the caller of
 * this. */
void qe_http_server_destroy(struct qe_http_server *server);

/* Plain-text answer from static text. */
void qe_http_respond_text(struct qe_http_response *response, unsigned status,
                          const char *static_text);
/* The same from memory of qe_calloc and friends, which the response then owns. NULL text gives 500.
 */
void qe_http_respond_take(struct qe_http_response *response, unsigned status,
                          const char *content_type, char *text);

#endif
