/* What a request's head says and what is to be done with it: methods, paths, framing. Pure: no
 * socket, no allocation, so that arbitrary bytes can be thrown at it. */
#ifndef QE_HTTP_REQUEST_H
#define QE_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/server.h"

/* Request bodies mean nothing to any endpoint: up to this they are read and dropped. */
#define QE_HTTP_BODY_MAX_BYTES 65536
/* A request line and headers beyond this are refused, also where the library would take more. */
#define QE_HTTP_HEAD_MAX_BYTES 8192
#define QE_HTTP_ACCEPT_MAX_BYTES 4096
#define QE_HTTP_ACCEPT_ENCODING_MAX_BYTES 1024

/* The head of one request, gathered header by header. = {0} is a valid start. */
struct qe_http_head {
    const char *method;  /* borrowed, as target and version */
    const char *target;  /* as sent, without the query */
    const char *version; /* "HTTP/1.1" */
    unsigned host_count;
    unsigned content_length_count;
    unsigned transfer_encoding_count;
    uint64_t content_length;
    bool content_length_bad; /* not a number, or two that differ */
    bool name_bad;           /* "Content-Length :" and the like: parsers disagree on those */
    bool too_long;           /* a field that we read did not fit */
    bool has_accept;
    bool has_accept_encoding;
    char accept[QE_HTTP_ACCEPT_MAX_BYTES]; /* all lines joined with ',' */
    char accept_encoding[QE_HTTP_ACCEPT_ENCODING_MAX_BYTES];
};

/* Takes note of one header line; value NULL counts as "". Headers that say nothing to us are
 * skipped. */
void qe_http_head_add(struct qe_http_head *head, const char *name, const char *value);

/* What to do. */
struct qe_http_verdict {
    const struct qe_http_route *route; /* NULL: no such path, or refused before looking */
    enum qe_http_method method;        /* with a route and status 200 */
    bool is_head;
    unsigned status;   /* 200: call the handler; else answer this with `text` */
    const char *text;  /* static or the route's; with its final newline */
    const char *allow; /* static; with 405, for the Allow header; else NULL */
    bool close;        /* where the next request would begin is not certain: close */
    enum qe_http_handler stat;
};

/* Judges a complete head. In this order: framing (400, 411, 413, 431, 505), path (404), method
 * (405). Source: RFC 9112 sections 3.2, 6.1 to 6.3; RFC 9110 sections 9.3.2, 10.2.1, 15.5.6. */
struct qe_http_verdict qe_http_judge(const struct qe_http_head *head,
                                     const struct qe_http_route *routes, size_t routes_count);

/* "GET, HEAD", "POST, PUT", ... for a mask of enum qe_http_method. Static. */
const char *qe_http_allow(unsigned methods);

#endif
