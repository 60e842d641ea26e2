/* A server on a free port with handlers that tests can steer. */
#ifndef QE_TESTS_UNIT_HTTP_FIXTURE_H
#define QE_TESTS_UNIT_HTTP_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>

#include "http/server.h"
#include "unit/http/client.h"

#define BIG_BYTES ((size_t)10 << 20)
#define SOME_PARTS 500  /* as many as the library is given at once */
#define MANY_PARTS 5000 /* more than that */

struct fixture {
    struct qe_http_server *server;
    unsigned port;
    struct qe_process_stats process;
    char *big; /* owned; BIG_BYTES of 'b' */
    struct qe_http_part many[MANY_PARTS];
    atomic_uint taken;    /* bodies handed to the server */
    atomic_uint freed;    /* and given back */
    pthread_mutex_t gate; /* held by a test to hold up /slow */
    atomic_uint slow_started;
};

static inline void fixture_free_body(void *body)
{
    struct fixture *fixture = body;

    atomic_fetch_add(&fixture->freed, 1);
}

static inline void fixture_hello(void *context, const struct qe_http_request *request,
                                 struct qe_http_response *response)
{
    struct qe_strbuf text;

    (void)context;
    qe_strbuf_init(&text, 0);
    (void)qe_strbuf_printf(&text, "hello %s|%s\n",
                           request->accept == NULL ? "(none)" : request->accept,
                           request->accept_encoding == NULL ? "(none)" : request->accept_encoding);
    qe_http_respond_take(response, 200, QE_HTTP_TEXT_TYPE, qe_strbuf_detach(&text));
}

static inline void fixture_big(void *context, const struct qe_http_request *request,
                               struct qe_http_response *response)
{
    struct fixture *fixture = context;

    (void)request;
    atomic_fetch_add(&fixture->taken, 1);
    response->text.data = fixture->big;
    response->text.size_bytes = BIG_BYTES;
    response->body = fixture;
    response->free_body = fixture_free_body;
}

/* As many parts as the path's name says. */
static inline void fixture_parts(void *context, const struct qe_http_request *request,
                                 struct qe_http_response *response)
{
    struct fixture *fixture = context;

    atomic_fetch_add(&fixture->taken, 1);
    response->content_type = QE_HTTP_TEXT_TYPE;
    response->parts = fixture->many;
    response->parts_count = strcmp(request->path, "/many") == 0 ? MANY_PARTS : SOME_PARTS;
    response->parts_count = strcmp(request->path, "/none") == 0 ? 0 : response->parts_count;
    response->headers[0].name = "Vary";
    response->headers[0].value = "Accept";
    response->headers_count = 1;
    response->body = fixture;
    response->free_body = fixture_free_body;
}

static inline void fixture_slow(void *context, const struct qe_http_request *request,
                                struct qe_http_response *response)
{
    struct fixture *fixture = context;

    (void)request;
    atomic_fetch_add(&fixture->slow_started, 1);
    (void)pthread_mutex_lock(&fixture->gate);
    (void)pthread_mutex_unlock(&fixture->gate);
    qe_http_respond_text(response, 200, "at last\n");
}

/* The next request on this thread finds no memory. */
static inline void fixture_starve(void *context, const struct qe_http_request *request,
                                  struct qe_http_response *response)
{
    (void)context;
    (void)request;
    qe_http_respond_take(response, 200, QE_HTTP_TEXT_TYPE, NULL);
    qe_mem_fail_at(1);
}

static const struct qe_http_route s_fixture_routes[] = {
    {.path = "/hello", .methods = QE_HTTP_GET, .stat = QE_HTTP_LANDING, .handle = fixture_hello},
    {.path = "/big", .methods = QE_HTTP_GET, .stat = QE_HTTP_METRICS, .handle = fixture_big},
    {.path = "/some", .methods = QE_HTTP_GET, .stat = QE_HTTP_METRICS, .handle = fixture_parts},
    {.path = "/many", .methods = QE_HTTP_GET, .stat = QE_HTTP_METRICS, .handle = fixture_parts},
    {.path = "/none", .methods = QE_HTTP_GET, .stat = QE_HTTP_METRICS, .handle = fixture_parts},
    {.path = "/starve", .methods = QE_HTTP_GET, .stat = QE_HTTP_CONFIG, .handle = fixture_starve},
    {.path = "/slow",
     .methods = QE_HTTP_POST,
     .stat = QE_HTTP_RELOAD,
     .handle = fixture_slow,
     .slow = true},
};

/* limits: only the numbers are used. */
static inline struct fixture *fixture_start(const struct qe_http_options *limits)
{
    static const char *const s_listen[] = {"127.0.0.1:0"};
    struct fixture *fixture = qe_calloc(1, sizeof *fixture);
    struct qe_http_options options = *limits;
    struct qe_err err = {0};

    assert_non_null(fixture);
    fixture->big = qe_calloc(1, BIG_BYTES);
    assert_non_null(fixture->big);
    memset(fixture->big, 'b', BIG_BYTES);
    for (size_t i = 0; i < MANY_PARTS; i++) {
        fixture->many[i].data = fixture->big;
        fixture->many[i].size_bytes = i % 3 == 0 ? 0 : i; /* empty ones too */
    }
    assert_int_equal(pthread_mutex_init(&fixture->gate, NULL), 0);
    options.listen = s_listen;
    options.listen_count = 1;
    options.routes = s_fixture_routes;
    options.routes_count = sizeof s_fixture_routes / sizeof s_fixture_routes[0];
    options.context = fixture;
    options.stats = &fixture->process;
    fixture->server = qe_http_server_new(&options, &err);
    assert_ok(fixture->server == NULL ? -1 : 0, err);
    fixture->port = qe_http_server_port(fixture->server, 0);
    assert_int_not_equal(fixture->port, 0);
    return fixture;
}

/* Every body that was taken must have come back. */
static inline void fixture_stop(struct fixture *fixture)
{
    qe_http_server_destroy(fixture->server);
    assert_int_equal(atomic_load(&fixture->freed), atomic_load(&fixture->taken));
    (void)pthread_mutex_destroy(&fixture->gate);
    qe_free(fixture->big);
    qe_free(fixture);
}

static inline uint64_t fixture_counted(const struct fixture *fixture, enum qe_http_handler handler,
                                       unsigned code)
{
    for (size_t i = 0; i < QE_HTTP_CODES_COUNT; i++) {
        if (qe_http_codes[i] == code) {
            return qe_counter_get(&fixture->process.http_requests[handler][i]);
        }
    }
    fail_msg("status %u is not in qe_http_codes", code);
    return 0;
}

/* The server still answers, to a client of its own. */
static inline void fixture_assert_serves(const struct fixture *fixture, unsigned from)
{
    struct qe_strbuf reply;
    int fd = client_connect_from(fixture->port, from, 0);

    qe_strbuf_init(&reply, 0);
    client_send_text(fd, "GET /hello HTTP/1.0\r\n\r\n");
    client_read_all(fd, &reply);
    assert_int_equal(client_status(qe_strbuf_text(&reply)), 200);
    qe_strbuf_deinit(&reply);
    (void)close(fd);
}

#endif
