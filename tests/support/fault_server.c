#include "support/fault_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/check.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

#define CONNECTIONS_MAX 256
#define REQUEST_MAX_BYTES 65536
#define SLOW_BYTE_MS 5
#define LARGE_HEADERS 100

struct connection {
    struct fault_server *server;
    int fd;
    pthread_t thread;
};

struct fault_server {
    int fd;
    unsigned port;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool is_stopping;
    size_t connections_count;
    size_t requests_count;
    size_t waiting_at_gate;
    size_t gates_opened;
    struct connection connections[CONNECTIONS_MAX];
};

/* One request, and the connection to answer it on. */
struct visit {
    struct fault_server *server;
    int fd;
    const char *path;
    const char *request;
    size_t request_bytes;
};

static bool send_all(int fd, const char *bytes, size_t count)
{
    for (size_t sent = 0; sent < count;) {
        const ssize_t now = send(fd, bytes + sent, count - sent, MSG_NOSIGNAL);

        if (now <= 0) {
            return false;
        }
        sent += (size_t)now;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

static bool send_answer(int fd, unsigned status, const char *headers, const char *body,
                        size_t bytes)
{
    char head[512];

    (void)snprintf(head, sizeof head, "HTTP/1.1 %u Said\r\nContent-Length: %zu\r\n%s\r\n", status,
                   bytes, headers);
    return send_text(fd, head) && send_all(fd, body, bytes);
}

/* Waits for `ms`, or for the client to leave or the server to stop. */
static bool is_still_there(int fd, int ms)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};

    return poll(&watched, 1, ms) == 0;
}

/* --- behaviours: each returns whether the connection is kept --- */

static bool do_echo(const struct visit *visit)
{
    return send_answer(visit->fd, 200, "X-Seen: yes\r\n", visit->request, visit->request_bytes);
}

static bool do_status(const struct visit *visit)
{
    return send_answer(visit->fd, (unsigned)strtoul(visit->path + strlen("/status/"), NULL, 10), "",
                       "status", 6);
}

static bool do_large(const struct visit *visit)
{
    const size_t bytes = strtoul(visit->path + strlen("/large/"), NULL, 10);
    char *body = qe_calloc(1, bytes + 1);

    if (body == NULL) {
        return false;
    }
    memset(body, 'x', bytes);
    const bool done = send_answer(visit->fd, 200, "", body, bytes);

    qe_free(body);
    return done;
}

static bool do_gate(const struct visit *visit)
{
    struct fault_server *server = visit->server;
    const size_t wanted = strtoul(visit->path + strlen("/gate/"), NULL, 10);

    (void)pthread_mutex_lock(&server->lock);
    const size_t opened = server->gates_opened;

    server->waiting_at_gate++;
    if (server->waiting_at_gate == wanted) {
        server->waiting_at_gate = 0;
        server->gates_opened++;
        (void)pthread_cond_broadcast(&server->changed);
    }
    while (!server->is_stopping && server->gates_opened == opened) {
        (void)pthread_cond_wait(&server->changed, &server->lock);
    }
    (void)pthread_mutex_unlock(&server->lock);
    return send_answer(visit->fd, 200, "", "gate", 4);
}

static bool do_interim(const struct visit *visit)
{
    return send_text(visit->fd, "HTTP/1.1 102 Wait\r\nX-Which: first\r\n\r\n"
                                "HTTP/1.1 103 Wait\r\nX-Which: second\r\nX-Early: yes\r\n\r\n") &&
           send_answer(visit->fd, 200, "X-Which: real\r\n", "real", 4);
}

static bool do_trailers(const struct visit *visit)
{
    return send_text(visit->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                                "Trailer: X-Date\r\nX-Date: header\r\n\r\n"
                                "4\r\nbody\r\n0\r\nX-Date: trailer\r\n\r\n");
}

static bool do_redirect(const struct visit *visit)
{
    return send_answer(visit->fd, 302, "Location: /echo\r\n", "", 0);
}

static bool do_last(const struct visit *visit)
{
    (void)send_answer(visit->fd, 200, "Connection: keep-alive\r\n", "last", 4);
    return false;
}

static bool do_never(const struct visit *visit)
{
    (void)is_still_there(visit->fd, -1);
    return false;
}

static bool do_slow(const struct visit *visit)
{
    bool sent = send_text(visit->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");

    while (sent && is_still_there(visit->fd, SLOW_BYTE_MS)) {
        sent = send_text(visit->fd, "x");
    }
    return false;
}

static bool do_slow_headers(const struct visit *visit)
{
    bool sent = send_text(visit->fd, "HTTP/1.1 200 OK\r\nX-Slow: ");

    while (sent && is_still_there(visit->fd, SLOW_BYTE_MS)) {
        sent = send_text(visit->fd, "x");
    }
    return false;
}

static bool do_reset(const struct visit *visit)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(visit->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return false;
}

static const char s_half[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789";

static bool do_reset_body(const struct visit *visit)
{
    (void)send_text(visit->fd, s_half);
    return do_reset(visit);
}

/* What is sent before the connection is closed. */
static const struct {
    const char *path;
    const char *bytes;
} s_last_words[] = {
    {"/half", s_half},
    {"/half-headers", "HTTP/1.1 200 OK\r\nContent-Le"},
    {"/half-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"},
    {"/close", ""},
    {"/garbage", "\x01\x02\xff garbage, and no line of HTTP\r\n\r\n"},
    {"/version", "HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}"},
    {"/bad-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbody\r\n0\r\n\r\n"},
};

static bool do_large_headers(const struct visit *visit)
{
    char line[1024 + 1];
    bool sent = send_text(visit->fd, "HTTP/1.1 200 OK\r\n");

    (void)snprintf(line, sizeof line, "X-Large: %01011d\r\n", 0);
    for (int i = 0; sent && i < LARGE_HEADERS; i++) {
        sent = send_text(visit->fd, line);
    }
    return sent && send_text(visit->fd, "Content-Length: 0\r\n\r\n");
}

static const struct {
    const char *path; /* with a slash at its end: a prefix */
    bool (*act)(const struct visit *visit);
} s_behaviours[] = {
    {"/echo", do_echo},
    {"/status/", do_status},
    {"/large/", do_large},
    {"/gate/", do_gate},
    {"/interim", do_interim},
    {"/trailers", do_trailers},
    {"/redirect", do_redirect},
    {"/last", do_last},
    {"/never", do_never},
    {"/slow", do_slow},
    {"/slow-headers", do_slow_headers},
    {"/reset", do_reset},
    {"/reset-body", do_reset_body},
    {"/large-headers", do_large_headers},
};

static bool answer(const struct visit *visit)
{
    for (size_t i = 0; i < sizeof s_behaviours / sizeof s_behaviours[0]; i++) {
        const char *path = s_behaviours[i].path;

        if (path[strlen(path) - 1] == '/' ? qe_text_starts_with(visit->path, path)
                                          : strcmp(visit->path, path) == 0) {
            return s_behaviours[i].act(visit);
        }
    }
    for (size_t i = 0; i < sizeof s_last_words / sizeof s_last_words[0]; i++) {
        if (strcmp(visit->path, s_last_words[i].path) == 0) {
            (void)send_text(visit->fd, s_last_words[i].bytes);
            return false;
        }
    }
    return send_answer(visit->fd, 404, "", "", 0);
}

/* --- connections --- */

/* Bytes of the request at the front of `text` with its body; 0: not complete yet. */
static size_t complete_request(const char *text, size_t bytes)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");

    if (end == NULL) {
        return 0;
    }
    const size_t head_bytes = (size_t)(end - text) + 4;
    const size_t body_bytes =
        length == NULL || length > end ? 0 : strtoul(length + strlen("Content-Length: "), NULL, 10);

    return bytes >= head_bytes + body_bytes ? head_bytes + body_bytes : 0;
}

/* Reads one request; its bytes, or 0 when the client has gone. */
static size_t read_request(int fd, char *text)
{
    size_t bytes = 0;
    size_t request_bytes = 0;

    text[0] = '\0';
    while ((request_bytes = complete_request(text, bytes)) == 0) {
        const ssize_t more = recv(fd, text + bytes, REQUEST_MAX_BYTES - bytes, 0);

        if (more <= 0) {
            return 0;
        }
        bytes += (size_t)more;
        text[bytes] = '\0';
    }
    return request_bytes;
}

static bool serve_one(struct connection *connection, char *text)
{
    struct fault_server *server = connection->server;
    char path[128] = "";
    const size_t request_bytes = read_request(connection->fd, text);

    if (request_bytes == 0) {
        return false;
    }
    (void)pthread_mutex_lock(&server->lock);
    server->requests_count++;
    (void)pthread_mutex_unlock(&server->lock);
    const char *from = strchr(text, ' ') + 1;

    (void)snprintf(path, sizeof path, "%.*s", (int)strcspn(from, " "), from);
    const struct visit visit = {.server = server,
                                .fd = connection->fd,
                                .path = path,
                                .request = text,
                                .request_bytes = request_bytes};

    return answer(&visit);
}

static void *serve(void *self)
{
    struct connection *connection = self;
    char *text = qe_calloc(1, REQUEST_MAX_BYTES + 1);

    while (text != NULL && serve_one(connection, text)) {
    }
    qe_free(text);
    (void)pthread_mutex_lock(&connection->server->lock);
    (void)close(connection->fd);
    connection->fd = -1;
    (void)pthread_mutex_unlock(&connection->server->lock);
    return NULL;
}

static void *accept_all(void *self)
{
    struct fault_server *server = self;

    for (;;) {
        const int fd = accept(server->fd, NULL, NULL);

        if (fd < 0) {
            return NULL;
        }
        (void)pthread_mutex_lock(&server->lock);
        if (server->is_stopping || server->connections_count == CONNECTIONS_MAX) {
            (void)close(fd);
        } else {
            struct connection *connection = &server->connections[server->connections_count];

            *connection = (struct connection){.server = server, .fd = fd};
            if (pthread_create(&connection->thread, NULL, serve, connection) == 0) {
                server->connections_count++;
            } else {
                (void)close(fd);
            }
        }
        (void)pthread_mutex_unlock(&server->lock);
    }
}

struct fault_server *fault_server_start(void)
{
    struct fault_server *server = qe_calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof address;

    assert_non_null(server);
    assert_int_equal(pthread_mutex_init(&server->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&server->changed, NULL), 0);
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(server->fd >= 0);
    assert_int_equal(bind(server->fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->fd, CONNECTIONS_MAX), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &bytes), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, accept_all, server), 0);
    return server;
}

void fault_server_stop(struct fault_server *server)
{
    if (server == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&server->lock);
    server->is_stopping = true;
    (void)pthread_cond_broadcast(&server->changed);
    for (size_t i = 0; i < server->connections_count; i++) {
        if (server->connections[i].fd >= 0) {
            (void)shutdown(server->connections[i].fd, SHUT_RDWR);
        }
    }
    (void)pthread_mutex_unlock(&server->lock);
    (void)shutdown(server->fd, SHUT_RDWR); /* wakes accept() */
    (void)pthread_join(server->thread, NULL);
    for (size_t i = 0; i < server->connections_count; i++) {
        (void)pthread_join(server->connections[i].thread, NULL);
    }
    (void)close(server->fd);
    (void)pthread_cond_destroy(&server->changed);
    (void)pthread_mutex_destroy(&server->lock);
    qe_free(server);
}

unsigned fault_server_port(const struct fault_server *server)
{
    return server->port;
}

const char *fault_server_url(const struct fault_server *server, const char *path)
{
    static char buffers[4][256];
    static size_t turn;

    turn = (turn + 1) % (sizeof buffers / sizeof buffers[0]);
    (void)snprintf(buffers[turn], sizeof buffers[turn], "http://127.0.0.1:%u%s", server->port,
                   path);
    return buffers[turn];
}

size_t fault_server_connections(struct fault_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    const size_t count = server->connections_count;

    (void)pthread_mutex_unlock(&server->lock);
    return count;
}

size_t fault_server_requests(struct fault_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    const size_t count = server->requests_count;

    (void)pthread_mutex_unlock(&server->lock);
    return count;
}
