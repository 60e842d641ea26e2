/* Arbitrary bytes as a request: through the pure part (head, judge, negotiation), and, one input in
 * four, over a real connection into the real server. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/request.h"
#include "http/server.h"
#include "metrics/negotiate.h"
#include "model/stats.h"
#include "util/mem.h"

#define INPUT_MAX_BYTES 65536
#define ONE_IN 4
/* Each connection comes from an address of its own in 127.64.0.0/10, so that neither the share per
 * client nor ports in TIME_WAIT end the run. */
#define FIRST_ADDRESS 0x7f400000u
#define ADDRESS_MASK 0x003fffffu

static void handle(void *context, const struct qe_http_request *request,
                   struct qe_http_response *response)
{
    (void)context;
    (void)qe_negotiate_accept(request->accept);
    (void)qe_negotiate_gzip(request->accept_encoding);
    qe_http_respond_text(response, 200, "ok\n");
}

static const struct qe_http_route s_routes[] = {
    {.path = "/", .methods = QE_HTTP_GET, .stat = QE_HTTP_LANDING, .handle = handle},
    {.path = "/metrics", .methods = QE_HTTP_GET, .stat = QE_HTTP_METRICS, .handle = handle},
    {.path = "/-/reload",
     .methods = QE_HTTP_POST | QE_HTTP_PUT,
     .method_error = "Only POST or PUT requests allowed\n",
     .stat = QE_HTTP_RELOAD,
     .handle = handle,
     .slow = true},
};
#define ROUTES_COUNT (sizeof s_routes / sizeof s_routes[0])

static unsigned s_port;

static void expect(int holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

/* Cuts the next piece off *at, up to `separator`; *at stands behind it, or on the final NUL. */
static char *cut(char **at, char separator)
{
    char *piece = *at;
    char *end = strchr(piece, separator);

    if (end == NULL) {
        *at = piece + strlen(piece);
    } else {
        *end = '\0';
        *at = end + 1;
    }
    return piece;
}

static int is_counted(unsigned status)
{
    for (size_t i = 0; i < QE_HTTP_CODES_COUNT; i++) {
        if (qe_http_codes[i] == status) {
            return 1;
        }
    }
    return 0;
}

static void check_verdict(const struct qe_http_verdict *verdict)
{
    expect(is_counted(verdict->status), "every status is in qe_http_codes");
    if (verdict->status == 200) {
        expect(verdict->route != NULL, "200 has a route");
        expect((verdict->route->methods & (unsigned)verdict->method) != 0, "and its method");
        return;
    }
    expect(verdict->text != NULL && strchr(verdict->text, '\n') != NULL, "a refusal has a line");
    expect((verdict->status == 405) == (verdict->allow != NULL), "405 has Allow, others do not");
}

/* `text` is consumed. Splits blindly: any split must do. */
static void judge(char *text)
{
    struct qe_http_head *head = qe_calloc(1, sizeof *head);
    char *at = text;

    if (head == NULL) {
        return;
    }
    char *line = cut(&at, '\n');
    head->method = cut(&line, ' ');
    head->target = cut(&line, ' ');
    head->version = cut(&line, '\r');
    while (*at != '\0') {
        line = cut(&at, '\n');
        char *name = cut(&line, ':');
        line += *line == ' ' ? 1 : 0;
        qe_http_head_add(head, name, cut(&line, '\r'));
    }
    struct qe_http_verdict verdict = qe_http_judge(head, s_routes, ROUTES_COUNT);
    check_verdict(&verdict);
    struct qe_negotiated negotiated = qe_negotiate_accept(head->has_accept ? head->accept : NULL);
    expect(qe_negotiated_content_type(negotiated) != NULL, "there is always a type");
    (void)qe_negotiate_gzip(head->has_accept_encoding ? head->accept_encoding : NULL);
    qe_free(head);
}

static void start_server(void)
{
    static const char *const s_listen[] = {"127.0.0.1:0"};
    struct qe_http_options options = {.listen = s_listen,
                                      .listen_count = 1,
                                      .routes = s_routes,
                                      .routes_count = ROUTES_COUNT,
                                      .header_deadline_ms = 1000};
    struct qe_err err = {0};
    /* Lives as long as the process. */
    static struct qe_http_server *s_server;

    s_server = qe_http_server_new(&options, &err);
    expect(s_server != NULL, err.message);
    s_port = qe_http_server_port(s_server, 0);
}

#define CONNECT_TRIES 100

/* bind() picks a port without knowing the peer: one that still waits (TIME_WAIT) towards the server
 * makes connect() fail, and says nothing about the server. Another address then. */
static int open_connection(void)
{
    static uint32_t s_next;
    struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s_port)};
    int fd = -1;

    remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int tries = 0; fd < 0 && tries < CONNECT_TRIES; tries++) {
        struct sockaddr_in local = {.sin_family = AF_INET};

        local.sin_addr.s_addr = htonl(FIRST_ADDRESS + (s_next++ & ADDRESS_MASK));
        fd = socket(AF_INET, SOCK_STREAM, 0);
        expect(fd >= 0, "a socket");
        if (bind(fd, (struct sockaddr *)(void *)&local, sizeof local) != 0 ||
            connect(fd, (struct sockaddr *)(void *)&remote, sizeof remote) != 0) {
            (void)close(fd);
            fd = -1;
        }
    }
    expect(fd >= 0, "the server accepts");
    return fd;
}

static void send_to_server(const uint8_t *data, size_t size)
{
    char reply[4096];
    int fd = open_connection();

    (void)send(fd, data, size, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    ssize_t count = recv(fd, reply, sizeof reply, MSG_WAITALL);
    if (count >= 7) {
        expect(memcmp(reply, "HTTP/1.", 7) == 0, "a reply is HTTP");
    }
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX_BYTES) {
        return -1;
    }
    char *text = qe_memdup(data, size);
    if (text != NULL) {
        judge(text);
        qe_free(text);
    }
    if (size % ONE_IN == 0 && size > 0) {
        if (s_port == 0) {
            start_server();
        }
        send_to_server(data, size);
    }
    return 0;
}
