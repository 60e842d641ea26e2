#include "unit/http/fixture.h"

static const struct qe_http_options s_defaults;

static int setup(void **state)
{
    *state = fixture_start(&s_defaults);
    return 0;
}

static int teardown(void **state)
{
    fixture_stop(*state);
    return 0;
}

static void get_answers_with_the_body_and_its_headers(void **state)
{
    struct fixture *fixture = *state;
    char *reply = client_exchange(fixture->port, "GET /hello HTTP/1.1\r\nHost: a\r\nAccept: x\r\n"
                                                 "accept: y\r\nConnection: close\r\n\r\n");

    assert_int_equal(client_status(reply), 200);
    assert_string_equal(client_body(reply), "hello x,y|(none)\n");
    assert_true(client_has_header(reply, "Content-Type: text/plain; charset=utf-8"));
    assert_true(client_has_header(reply, "Content-Length: 17"));
    assert_true(client_has_header(reply, "X-Content-Type-Options: nosniff"));
    qe_free(reply);
}

/* The date may tick between two replies. */
static void cut_date(char *reply)
{
    char *date = strstr(reply, "Date: ");

    assert_non_null(date);
    memset(date, '-', strcspn(date, "\r"));
}

static void head_has_the_headers_of_get_and_no_body(void **state)
{
    static const char *const s_paths[] = {"/hello", "/big",  "/some", "/many",
                                          "/none",  "/nope", "/slow"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof s_paths / sizeof s_paths[0]; i++) {
        char request[128];
        (void)snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", s_paths[i]);
        char *get = client_exchange(fixture->port, request);
        (void)snprintf(request, sizeof request, "HEAD %s HTTP/1.0\r\n\r\n", s_paths[i]);
        char *head = client_exchange(fixture->port, request);
        cut_date(get);
        cut_date(head);
        assert_non_null(strstr(get, "\r\n\r\n"));
        *strstr(get, "\r\n\r\n") = '\0';
        assert_string_equal(client_body(head), "");
        assert_non_null(strstr(head, "\r\nContent-Length: "));
        *strstr(head, "\r\n\r\n") = '\0';
        assert_string_equal(get, head);
        qe_free(get);
        qe_free(head);
    }
}

static void unknown_paths_and_methods_are_told_so_in_text(void **state)
{
    struct fixture *fixture = *state;
    char *reply = client_exchange(fixture->port, "GET /nope HTTP/1.0\r\n\r\n");

    assert_int_equal(client_status(reply), 404);
    assert_true(client_has_header(reply, "Content-Type: text/plain; charset=utf-8"));
    assert_true(client_has_header(reply, "X-Content-Type-Options: nosniff"));
    qe_free(reply);
    reply = client_exchange(fixture->port, "DELETE /hello HTTP/1.0\r\n\r\n");
    assert_int_equal(client_status(reply), 405);
    assert_true(client_has_header(reply, "Allow: GET, HEAD"));
    assert_true(client_has_header(reply, "X-Content-Type-Options: nosniff"));
    qe_free(reply);
    reply = client_exchange(fixture->port, "GET /hello%20 HTTP/1.0\r\n\r\n");
    assert_int_equal(client_status(reply), 404);
    qe_free(reply);
    reply = client_exchange(fixture->port, "GET /hello?a=b%zz HTTP/1.0\r\n\r\n");
    assert_int_equal(client_status(reply), 200);
    qe_free(reply);
}

struct refusal_row {
    const char *request;
    unsigned status;
    const char *why;
};

static void bad_framing_gets_an_answer_and_the_end(void **state)
{
    static const struct refusal_row s_rows[] = {
        {"GET /hello HTTP/1.1\r\n\r\n", 400, "no host"},
        {"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "two hosts"},
        {"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
         "\r\n0\r\n\r\n",
         400, "two lengths"},
        {"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400,
         "lengths that differ"},
        {"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411,
         "no length"},
        {"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413, "too large"},
        {"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", 400, "blank in a name"},
        {"GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 505, "another protocol"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        char *reply = client_exchange(fixture->port, s_rows[i].request); /* until it closes */
        if (client_status(reply) != s_rows[i].status) {
            fail_msg("%s: %.80s", s_rows[i].why, reply);
        }
        qe_free(reply);
    }
    fixture_assert_serves(fixture, 1);
}

static void a_large_body_is_refused_while_it_is_being_sent(void **state)
{
    struct fixture *fixture = *state;
    struct qe_strbuf reply;
    int fd = client_connect(fixture->port);

    qe_strbuf_init(&reply, 0);
    client_send_text(fd, "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n");
    client_send(fd, fixture->big, (size_t)64 << 10);
    client_read_all(fd, &reply);
    assert_int_equal(client_status(qe_strbuf_text(&reply)), 413);
    qe_strbuf_deinit(&reply);
    (void)close(fd);
}

static void a_small_body_is_read_and_ignored(void **state)
{
    struct fixture *fixture = *state;
    struct qe_strbuf reply;
    int fd = client_connect(fixture->port);

    qe_strbuf_init(&reply, 0);
    client_send_text(fd, "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n");
    client_send(fd, fixture->big, 65536);
    /* The connection lives on, at the right place. */
    client_send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client_read_all(fd, &reply);
    assert_int_equal(client_status(qe_strbuf_text(&reply)), 200);
    assert_non_null(strstr(qe_strbuf_text(&reply), "at last\n"));
    assert_non_null(strstr(qe_strbuf_text(&reply), "hello (none)|(none)\n"));
    qe_strbuf_deinit(&reply);
    (void)close(fd);
}

static void pages_of_any_number_of_parts_arrive_whole(void **state)
{
    static const char *const s_paths[] = {"/none", "/some", "/many"};
    static const size_t s_parts[] = {0, SOME_PARTS, MANY_PARTS};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < 3; i++) {
        char request[64];
        size_t expected = 0;
        for (size_t part = 0; part < s_parts[i]; part++) {
            expected += fixture->many[part].size_bytes;
        }
        (void)snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", s_paths[i]);
        char *reply = client_exchange(fixture->port, request);
        const char *body = client_body(reply);
        assert_int_equal(client_status(reply), 200);
        assert_int_equal(strlen(body), expected);
        assert_int_equal(strspn(body, "b"), expected);
        assert_true(client_has_header(reply, "Vary: Accept"));
        qe_free(reply);
    }
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct qe_strbuf reply;
    int fd = client_connect(fixture->port);

    qe_strbuf_init(&reply, 0);
    client_send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nAccept: 1\r\n\r\n"
                         "POST /slow HTTP/1.1\r\nHost: a\r\n\r\n"
                         "GET /nope HTTP/1.1\r\nHost: a\r\n\r\n"
                         "GET /hello HTTP/1.1\r\nHost: a\r\nAccept: 2\r\n\r\n"
                         "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client_read_all(fd, &reply);
    const char *first = strstr(qe_strbuf_text(&reply), "hello 1|");
    assert_non_null(first);
    const char *slow = strstr(first, "at last\n");
    assert_non_null(slow);
    const char *nope = strstr(slow, " 404 ");
    assert_non_null(nope);
    const char *second = strstr(nope, "hello 2|");
    assert_non_null(second);
    assert_int_equal(strlen(client_body(second)), BIG_BYTES);
    qe_strbuf_deinit(&reply);
    (void)close(fd);
}

static void every_answer_is_counted_by_handler_and_code(void **state)
{
    struct fixture *fixture = *state;

    qe_free(client_exchange(fixture->port, "GET /hello HTTP/1.0\r\n\r\n"));
    qe_free(client_exchange(fixture->port, "HEAD /hello HTTP/1.0\r\n\r\n"));
    qe_free(client_exchange(fixture->port, "PUT /hello HTTP/1.0\r\n\r\n"));
    qe_free(client_exchange(fixture->port, "GET /nope HTTP/1.0\r\n\r\n"));
    qe_free(client_exchange(fixture->port, "GET /nope HTTP/1.1\r\n\r\n"));
    qe_free(client_exchange(fixture->port, "POST /slow HTTP/1.0\r\n\r\n"));
    assert_int_equal(fixture_counted(fixture, QE_HTTP_LANDING, 200), 2);
    assert_int_equal(fixture_counted(fixture, QE_HTTP_LANDING, 405), 1);
    assert_int_equal(fixture_counted(fixture, QE_HTTP_OTHER, 404), 1);
    assert_int_equal(fixture_counted(fixture, QE_HTTP_OTHER, 400), 1);
    assert_int_equal(fixture_counted(fixture, QE_HTTP_RELOAD, 200), 1);
}

static void out_of_memory_is_a_500_and_passes(void **state)
{
    struct fixture *fixture = *state;
    char *reply = client_exchange(fixture->port, "GET /starve HTTP/1.0\r\n\r\n");

    assert_int_equal(client_status(reply), 500); /* the handler had no text */
    qe_free(reply);
    reply = client_exchange(fixture->port, "GET /hello HTTP/1.0\r\n\r\n");
    assert_int_equal(client_status(reply), 500); /* the server had no room for the request */
    assert_string_equal(client_body(reply), "Out of memory.\n");
    qe_free(reply);
    fixture_assert_serves(fixture, 1);
}

static void a_slow_route_holds_nobody_up(void **state)
{
    struct fixture *fixture = *state;
    struct qe_strbuf reply;
    int fd = client_connect(fixture->port);

    qe_strbuf_init(&reply, 0);
    (void)pthread_mutex_lock(&fixture->gate);
    client_send_text(fd, "POST /slow HTTP/1.0\r\n\r\n");
    fixture_assert_serves(fixture, 1);
    fixture_assert_serves(fixture, 1);
    (void)pthread_mutex_unlock(&fixture->gate);
    client_read_all(fd, &reply);
    assert_string_equal(client_body(qe_strbuf_text(&reply)), "at last\n");
    qe_strbuf_deinit(&reply);
    (void)close(fd);
}

static void every_listener_has_its_port(void **state)
{
    static const char *const s_listen[] = {"127.0.0.1:0", ":0", "localhost:0"};
    struct qe_http_options options = {
        .listen = s_listen, .listen_count = 3, .routes = s_fixture_routes, .routes_count = 1};
    struct qe_err err = {0};
    struct qe_http_server *server = qe_http_server_new(&options, &err);

    (void)state;
    assert_ok(server == NULL ? -1 : 0, err);
    for (size_t i = 0; i < 3; i++) {
        char *reply =
            client_exchange(qe_http_server_port(server, i), "GET /hello HTTP/1.0\r\n\r\n");
        assert_int_equal(client_status(reply), 200);
        qe_free(reply);
    }
    assert_int_equal(qe_http_server_port(server, 3), 0);
    qe_http_server_destroy(server);
    qe_http_server_destroy(NULL);
}

static void a_listener_that_fails_takes_the_others_back(void **state)
{
    static const char *const s_listen[] = {"127.0.0.1:0", "nonsense"};
    struct qe_http_options options = {.listen = s_listen, .listen_count = 2};
    struct qe_err err = {0};

    (void)state;
    assert_null(qe_http_server_new(&options, &err));
    assert_non_null(strstr(err.message, "nonsense"));
    options.listen_count = 0;
    assert_null(qe_http_server_new(&options, &err));
    assert_int_equal(err.code, QE_ERR_INVALID);
}

static int build_server(void *context, struct qe_err *err)
{
    struct qe_http_server *server = qe_http_server_new(context, err);

    qe_http_server_destroy(server);
    return server == NULL ? -1 : 0;
}

static void running_out_of_memory_at_start_is_reported(void **state)
{
    static const char *const s_listen[] = {"127.0.0.1:0", "127.0.0.1:0"};
    struct qe_http_options options = {.listen = s_listen, .listen_count = 2};

    (void)state;
    qe_check_torture(build_server, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(get_answers_with_the_body_and_its_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(head_has_the_headers_of_get_and_no_body, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_paths_and_methods_are_told_so_in_text, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bad_framing_gets_an_answer_and_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_body_is_refused_while_it_is_being_sent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_small_body_is_read_and_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_of_any_number_of_parts_arrive_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(pipelined_requests_are_answered_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(every_answer_is_counted_by_handler_and_code, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(out_of_memory_is_a_500_and_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_route_holds_nobody_up, setup, teardown),
        cmocka_unit_test(every_listener_has_its_port),
        cmocka_unit_test(a_listener_that_fails_takes_the_others_back),
        cmocka_unit_test(running_out_of_memory_at_start_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
