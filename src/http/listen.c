/* SOCK_NONBLOCK and SOCK_CLOEXEC are Linux's, not POSIX 2008's. */
#define _GNU_SOURCE
#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "util/text.h"

#define PORT_MAX 65535
/* Scrapers arrive in bursts of a few; the kernel caps it at somaxconn anyway. */
#define BACKLOG 128

static int invalid(const char *text, const char *why, struct qe_err *err)
{
    return qe_err_set(err, QE_ERR_INVALID,
                      "listen address \"%.100s\": %s; write :10019, 127.0.0.1:10019, "
                      "[::1]:10019 or localhost:10019",
                      text, why);
}

int qe_listen_parse(const char *text, struct qe_listen_address *out, struct qe_err *err)
{
    struct qe_listen_address address = {0};
    const char *host = text;
    const char *host_end = strrchr(text, ':');
    uint64_t port = 0;
    struct qe_err ignored;

    if (host_end == NULL) {
        return invalid(text, "the port is missing", err);
    }
    const char *port_text = host_end + 1;
    if (text[0] == '[') {
        host = text + 1;
        host_end = strchr(text, ']');
        if (host_end == NULL || host_end + 2 != port_text || host_end == host) {
            return invalid(text, "an IPv6 address goes in brackets, with :port behind them", err);
        }
    } else if (memchr(text, ':', (size_t)(host_end - text)) != NULL) {
        return invalid(text, "an IPv6 address goes in brackets, with :port behind them", err);
    }
    size_t host_bytes = (size_t)(host_end - host);
    if (host_bytes >= sizeof address.host) {
        return invalid(text, "the host is too long", err);
    }
    if (strcspn(host, " \t\r\n/?#@") < host_bytes) {
        return invalid(text, "the host has a character that no host has", err);
    }
    if (qe_text_to_u64(port_text, PORT_MAX, &port, &ignored) != 0) {
        return invalid(text, "the port is not a number from 0 to 65535", err);
    }
    memcpy(address.host, host, host_bytes);
    address.port = (unsigned)port;
    *out = address;
    return 0;
}

static int describe_failure(const char *text, int sys_errno, struct qe_err *err)
{
    switch (sys_errno) {
    case EADDRINUSE:
        return qe_err_set_errno(err, sys_errno,
                                "cannot listen on %.100s (stop the program that uses the port, or "
                                "choose another with --web.listen-address)",
                                text);
    case EADDRNOTAVAIL:
        return qe_err_set_errno(
            err, sys_errno, "cannot listen on %.100s (this host does not have that address)", text);
    case EACCES:
        return qe_err_set_errno(err, sys_errno,
                                "cannot listen on %.100s (choose a port from 1024 up, or give the "
                                "process CAP_NET_BIND_SERVICE)",
                                text);
    case EAFNOSUPPORT:
        return qe_err_set_errno(err, sys_errno,
                                "cannot listen on %.100s (this host has no such protocol family)",
                                text);
    default:
        return qe_err_set_errno(err, sys_errno, "cannot listen on %.100s", text);
    }
}

/* Returns the descriptor, or -1 with errno set. */
static int bind_one(const struct addrinfo *info, bool dual_stack)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    const int v6only = dual_stack ? 0 : 1;
    const int send_buffer_bytes = 512 << 10;

    if (fd < 0) {
        return -1;
    }
    /* Without it a restart within a minute finds its port still taken by dead connections. */
    bool ready = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (ready && info->ai_family == AF_INET6) {
        ready = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) == 0;
    }
    /* Accepted connections inherit it. The kernel would let each grow to megabytes: a slow reader's
     * memory, and pages gone cold before they are read (measured: a 7 MB page takes half as long
     * again). In vain is fine. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes);
    if (ready && bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        return fd;
    }
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static const struct addrinfo *find_family(const struct addrinfo *list, int family)
{
    for (; list != NULL; list = list->ai_next) {
        if (list->ai_family == family) {
            return list;
        }
    }
    return NULL;
}

/* Any address: one IPv6 socket takes both families. A named host: IPv4 first, because that is what
 * a scrape configuration written for "localhost:port" reaches everywhere. */
static int bind_best(const struct addrinfo *list, bool any)
{
    const struct addrinfo *v4 = find_family(list, AF_INET);
    const struct addrinfo *v6 = find_family(list, AF_INET6);
    const struct addrinfo *first = any || v4 == NULL ? v6 : v4;
    const struct addrinfo *second = first == v6 ? v4 : v6;
    int fd = -1;

    errno = EAFNOSUPPORT;
    if (first != NULL) {
        fd = bind_one(first, any);
    }
    if (fd < 0 && second != NULL && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        fd = bind_one(second, any);
    }
    return fd;
}

static int bound_port(int fd, unsigned *out_port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage storage;
    } address = {0};
    socklen_t size = sizeof address;

    if (getsockname(fd, &address.any, &size) != 0) {
        return -1;
    }
    *out_port =
        ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
    return 0;
}

int qe_listen_open(const char *text, unsigned *out_port, struct qe_err *err)
{
    struct qe_listen_address address = {0};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[16];

    if (qe_listen_parse(text, &address, err) != 0) {
        return -1;
    }
    bool any = address.host[0] == '\0';
    (void)snprintf(port, sizeof port, "%u", address.port);
    int status = getaddrinfo(any ? NULL : address.host, port, &hints, &list);
    if (status != 0) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "cannot listen on %.100s: %s (write an address of this host)", text,
                          gai_strerror(status));
    }
    int fd = bind_best(list, any);
    int saved = errno;
    freeaddrinfo(list);
    if (fd < 0) {
        return describe_failure(text, saved, err);
    }
    if (bound_port(fd, out_port) != 0) {
        saved = errno;
        (void)close(fd);
        return describe_failure(text, saved, err);
    }
    return fd;
}
