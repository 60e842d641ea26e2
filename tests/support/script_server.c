#include "support/script_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/check.h"
#include "util/clock.h"
#include "util/mem.h"

#define CONNECTIONS_MAX 64
#define REQUEST_MAX_BYTES 16384

struct connection {
    int fd;
    size_t bytes;
    bool waits; /* for others, at a step of several */
    char text[REQUEST_MAX_BYTES + 1];
};

struct script_server {
    const struct script_step *steps; /* borrowed */
    size_t steps_count;
    int fd;
    int wake[2]; /* a pipe: closed to end the thread */
    unsigned port;
    pthread_t thread;
    struct connection connections[CONNECTIONS_MAX]; /* the thread's */
    size_t connections_count;
    size_t step;
    size_t waiting_count;

    pthread_mutex_t lock; /* guards what follows */
    char *requests[SCRIPT_REQUESTS_MAX];
    size_t requests_count;
};

/* --- answers --- */

static void send_all(int fd, const char *bytes, size_t count)
{
    for (size_t sent = 0; sent < count;) {
        const ssize_t now = send(fd, bytes + sent, count - sent, MSG_NOSIGNAL);

        if (now <= 0) {
            return;
        }
        sent += (size_t)now;
    }
}

static void write_date(const struct script_step *step, char *out, size_t out_bytes)
{
    const time_t at = (time_t)(qe_clock_unix_ms() / 1000 + step->date_offset_s);
    struct tm utc = {0};

    out[0] = '\0';
    if (step->has_date && gmtime_r(&at, &utc) != NULL) {
        (void)strftime(out, out_bytes, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    }
}

static void answer(const struct script_step *step, int fd)
{
    const char *body = step->body == NULL ? "" : step->body;
    char head[4096];
    char date[64];

    if (step->status == 0) {
        return;
    }
    write_date(step, date, sizeof date);
    (void)snprintf(head, sizeof head, "HTTP/1.1 %u Said\r\nContent-Length: %zu\r\n%s%s\r\n",
                   step->status, strlen(body), date, step->headers == NULL ? "" : step->headers);
    send_all(fd, head, strlen(head));
    send_all(fd, body, strlen(body));
}

static void drop(struct script_server *server, struct connection *connection, bool resets)
{
    const struct linger at_once = {.l_onoff = resets ? 1 : 0, .l_linger = 0};

    (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(connection->fd);
    server->waiting_count -= connection->waits ? 1 : 0;
    server->connections_count--;
    if (connection != &server->connections[server->connections_count]) {
        *connection = server->connections[server->connections_count];
    }
}

static void take_step(struct script_server *server)
{
    server->step += server->step + 1 < server->steps_count ? 1 : 0;
}

static void answer_those_who_wait(struct script_server *server, const struct script_step *step)
{
    for (size_t i = 0; i < server->connections_count; i++) {
        if (server->connections[i].waits) {
            server->connections[i].waits = false;
            answer(step, server->connections[i].fd);
        }
    }
    server->waiting_count = 0;
    take_step(server);
}

static void act(struct script_server *server, struct connection *connection)
{
    const struct script_step *step = &server->steps[server->step];

    if (step->together > 0) {
        connection->waits = true;
        server->waiting_count++;
        if (server->waiting_count == step->together) {
            answer_those_who_wait(server, step);
        }
        return;
    }
    take_step(server);
    if (step->resets) {
        drop(server, connection, true);
    } else {
        answer(step, connection->fd);
    }
}

/* --- requests --- */

const char *script_header(const char *request, const char *name, char *out, size_t out_bytes)
{
    const size_t length = strlen(name);

    out[0] = '\0';
    for (const char *line = strstr(request, "\r\n");
         line != NULL && strncmp(line, "\r\n\r\n", 4) != 0; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') {
            const char *value = line + 2 + length + 1;
            value += strspn(value, " ");
            (void)snprintf(out, out_bytes, "%.*s", (int)strcspn(value, "\r"), value);
            break;
        }
    }
    return out;
}

static bool is_complete(const struct connection *connection)
{
    const char *end = strstr(connection->text, "\r\n\r\n");
    char length[32];

    if (end == NULL) {
        return false;
    }
    (void)script_header(connection->text, "Content-Length", length, sizeof length);
    return connection->bytes >= (size_t)(end + 4 - connection->text) + strtoul(length, NULL, 10);
}

static void keep(struct script_server *server, const char *text)
{
    (void)pthread_mutex_lock(&server->lock);
    if (server->requests_count < SCRIPT_REQUESTS_MAX) {
        server->requests[server->requests_count++] = qe_strdup(text);
    }
    (void)pthread_mutex_unlock(&server->lock);
}

static void take_bytes(struct script_server *server, struct connection *connection)
{
    const ssize_t got = recv(connection->fd, connection->text + connection->bytes,
                             REQUEST_MAX_BYTES - connection->bytes, 0);

    if (got <= 0) {
        drop(server, connection, false);
        return;
    }
    connection->bytes += (size_t)got;
    connection->text[connection->bytes] = '\0';
    if (is_complete(connection)) {
        keep(server, connection->text);
        connection->bytes = 0; /* nothing here is pipelined */
        connection->text[0] = '\0';
        act(server, connection);
    }
}

static void take_connection(struct script_server *server)
{
    const int fd = accept(server->fd, NULL, NULL);
    const int at_once = 1;

    if (fd < 0) {
        return;
    }
    /* Else the body would wait for the client to acknowledge the headers. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    if (server->connections_count == CONNECTIONS_MAX) {
        (void)close(fd);
        return;
    }
    struct connection *connection = &server->connections[server->connections_count++];

    connection->fd = fd;
    connection->bytes = 0;
    connection->waits = false;
    connection->text[0] = '\0';
}

static void *serve(void *self)
{
    struct script_server *server = self;
    struct pollfd watched[CONNECTIONS_MAX + 2];

    for (;;) {
        const size_t count = server->connections_count;
        watched[0] = (struct pollfd){.fd = server->wake[0], .events = POLLIN};
        watched[1] = (struct pollfd){.fd = server->fd, .events = POLLIN};
        for (size_t i = 0; i < count; i++) {
            watched[i + 2] = (struct pollfd){.fd = server->connections[i].fd, .events = POLLIN};
        }
        if (poll(watched, count + 2, -1) < 0 || watched[0].revents != 0) {
            break;
        }
        /* From the end: one that is dropped is replaced by the last, which had its turn. */
        for (size_t i = count; i > 0; i--) {
            if (watched[i + 1].revents != 0) {
                take_bytes(server, &server->connections[i - 1]);
            }
        }
        if (watched[1].revents != 0) {
            take_connection(server);
        }
    }
    while (server->connections_count > 0) {
        drop(server, &server->connections[0], false);
    }
    return NULL;
}

/* --- the server --- */

struct script_server *script_server_start(const struct script_step *steps, size_t count)
{
    struct script_server *server = qe_calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof address;

    assert_non_null(server);
    assert_true(count > 0);
    server->steps = steps;
    server->steps_count = count;
    assert_int_equal(pthread_mutex_init(&server->lock, NULL), 0);
    assert_int_equal(pipe(server->wake), 0);
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(server->fd >= 0);
    assert_int_equal(bind(server->fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->fd, CONNECTIONS_MAX), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &bytes), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    return server;
}

void script_server_stop(struct script_server *server)
{
    if (server == NULL) {
        return;
    }
    (void)close(server->wake[1]);
    (void)pthread_join(server->thread, NULL);
    (void)close(server->wake[0]);
    (void)close(server->fd);
    for (size_t i = 0; i < server->requests_count; i++) {
        qe_free(server->requests[i]);
    }
    (void)pthread_mutex_destroy(&server->lock);
    qe_free(server);
}

unsigned script_server_port(const struct script_server *server)
{
    return server->port;
}

size_t script_server_requests(struct script_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    const size_t count = server->requests_count;

    (void)pthread_mutex_unlock(&server->lock);
    return count;
}

const char *script_server_request(struct script_server *server, size_t n)
{
    assert_true(n < script_server_requests(server));
    (void)pthread_mutex_lock(&server->lock);
    const char *request = server->requests[n];

    (void)pthread_mutex_unlock(&server->lock);
    return request;
}
