/* Listening sockets from addresses as users write them. */
#ifndef QE_HTTP_LISTEN_H
#define QE_HTTP_LISTEN_H

#include <stdbool.h>

#include "util/err.h"

#define QE_LISTEN_HOST_MAX_BYTES 256

/* "host:port" taken apart. host "" stands for every address of both families. */
struct qe_listen_address {
    char host[QE_LISTEN_HOST_MAX_BYTES]; /* without brackets */
    unsigned port;                       /* 0: any free one */
};

/* ":10019", "127.0.0.1:9090", "[::1]:9090", "localhost:9090". -1: QE_ERR_INVALID, names the text
 * and the forms that are accepted. Pure. */
int qe_listen_parse(const char *text, struct qe_listen_address *out,
                    struct qe_err *err) QE_MUST_CHECK;

/* Binds and listens; non-blocking, close-on-exec. A name that has addresses of both families is
 * bound to its IPv4 one; ":port" is dual stack, or IPv4 where the host has no IPv6.
 * Returns the descriptor, which the caller closes; -1 with an error that names the address, the
 * cause and what to do. *out_port is the port really bound. */
int qe_listen_open(const char *text, unsigned *out_port, struct qe_err *err) QE_MUST_CHECK;

#endif
