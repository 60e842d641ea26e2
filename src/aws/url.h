/* URLs that somebody gave, taken apart and checked. Pure; any thread. */
#ifndef QE_AWS_URL_H
#define QE_AWS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QE_AWS_URL_MAX_BYTES 2048
#define QE_AWS_HOST_MAX_BYTES 255 /* of a name in the DNS, and its dots */

/* The parts point into the URL. */
struct qe_aws_url {
    const char *host; /* with its brackets, without the port */
    size_t host_bytes;
    const char *port;
    size_t port_bytes; /* 0: none */
    const char *path;  /* "" or from its '/' (or '?') on */
    bool is_https;
};
/* NULL, or what is wrong with it, without the URL itself: it might hold a password. Fragments and
 * user names are refused, and queries unless with_query. */
const char *qe_aws_url_split(const char *url, bool with_query, struct qe_aws_url *out);
/* Whether the host is that one, or this machine's own: 127.0.0.0/8, [::1], localhost. */
bool qe_aws_url_is_host(const struct qe_aws_url *url, const char *host);
bool qe_aws_url_is_loopback(const struct qe_aws_url *url);

#endif
