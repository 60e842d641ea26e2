/* A blunt HTTP client on a raw socket, for tests that must send what no decent client sends. */
#ifndef QE_TESTS_UNIT_HTTP_CLIENT_H
#define QE_TESTS_UNIT_HTTP_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/check.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/strbuf.h"

/* A net under hangs, never a measurement. */
#define CLIENT_TIMEOUT_MS 30000

/* From 127.0.0.<from>, so that one test can be several clients. A small receive buffer makes a slow
 * reader out of whoever does not read. */
static inline int client_connect_from(unsigned port, unsigned from, int receive_bytes)
{
    struct sockaddr_in local = {.sin_family = AF_INET};
    struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (receive_bytes > 0) {
        assert_int_equal(
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes), 0);
    }
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + from);
    remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&local, sizeof local), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&remote, sizeof remote), 0);
    return fd;
}

static inline int client_connect(unsigned port)
{
    return client_connect_from(port, 1, 0);
}

/* Sends all of it, or as much as the server takes before it closes. */
static inline void client_send(int fd, const void *bytes, size_t count)
{
    const char *at = bytes;

    while (count > 0) {
        ssize_t sent = send(fd, at, count, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        at += sent;
        count -= (size_t)sent;
    }
}

static inline void client_send_text(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

/* One read within the timeout: bytes, or 0 at the end (a reset counts as one). */
static inline size_t client_read(int fd, char *out, size_t max_bytes)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&wait, 1, CLIENT_TIMEOUT_MS), 1);
    ssize_t count = recv(fd, out, max_bytes, 0);
    return count <= 0 ? 0 : (size_t)count;
}

/* Everything until the server closes. */
static inline void client_read_all(int fd, struct qe_strbuf *out)
{
    char buffer[8192];

    for (size_t count = client_read(fd, buffer, sizeof buffer); count > 0;
         count = client_read(fd, buffer, sizeof buffer)) {
        assert_int_equal(qe_strbuf_append(out, buffer, count), 0);
    }
}

/* Sends `request`, which must ask for Connection: close (or be refused), and returns the reply; the
 * caller frees it with qe_free. "" when the server closes without one. */
static inline char *client_exchange(unsigned port, const char *request)
{
    struct qe_strbuf reply;
    int fd = client_connect(port);

    qe_strbuf_init(&reply, 0);
    assert_int_equal(qe_strbuf_append_text(&reply, ""), 0);
    client_send_text(fd, request);
    client_read_all(fd, &reply);
    (void)close(fd);
    return qe_strbuf_detach(&reply);
}

/* 0 when there is no status line. */
static inline unsigned client_status(const char *reply)
{
    return strncmp(reply, "HTTP/1.", 7) == 0 && strlen(reply) > 12
               ? (unsigned)strtoul(reply + 9, NULL, 10)
               : 0;
}

static inline const char *client_body(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");

    return end == NULL ? "" : end + 4;
}

/* One line of the reply's head, as "Name: value"; compared as it is sent. */
static inline bool client_has_header(const char *reply, const char *line)
{
    char wanted[512];
    const char *end = strstr(reply, "\r\n\r\n");

    (void)snprintf(wanted, sizeof wanted, "\r\n%s\r\n", line);
    const char *found = strstr(reply, wanted);
    return found != NULL && end != NULL && found <= end;
}

#endif
