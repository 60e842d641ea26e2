#include <pthread.h>
#include <stdio.h>

#include "unit/net/fixture.h"

/* curl counts them for an easy handle's whole life, and tells every sixth as an error. */
#define CURL_RETRIES 5

static void what_is_sent_is_what_was_asked(void **state)
{
    const struct fixture *fixture = *state;
    const struct qe_http_header headers[] = {{"Content-Type", "application/x-amz-json-1.0"},
                                             {"X-Amz-Target", "AmazonSQS.ListQueues"},
                                             {"X-Empty", ""},
                                             {"Host", "sqs.example:1234"}};
    struct qe_http_request request = get(fixture, "/echo");
    struct qe_http_reply reply = {0};
    char wanted[512];

    request.method = "POST";
    request.headers = headers;
    request.headers_count = 4;
    request.body = "{\"a\":\"\0\"}"; /* a NUL is a byte as any other */
    request.body_bytes = 9;
    fetch(fixture, &request, &reply);
    (void)snprintf(wanted, sizeof wanted,
                   "POST /echo HTTP/1.1\r\nHost: sqs.example:1234\r\nAccept: */*\r\n"
                   "Content-Type: application/x-amz-json-1.0\r\n"
                   "X-Amz-Target: AmazonSQS.ListQueues\r\nX-Empty:\r\n"
                   "Content-Length: 9\r\n\r\n{\"a\":\"");
    assert_string_equal(qe_strbuf_text(&reply.body), wanted);
    assert_int_equal(reply.body.length_bytes, strlen(wanted) + 3);
    assert_int_equal(reply.status, 200);
    qe_http_reply_deinit(&reply);
}

static void nothing_is_added_that_nobody_asked_for(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        const char *method;
        const char *body;
        const char *wanted;
    } rows[] = {
        {"GET", NULL, "GET /echo HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n"},
        {"PUT", NULL, "PUT /echo HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n"},
        {"POST", "x=1",
         "POST /echo HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nx=1"},
        {"PUT", "x=1",
         "PUT /echo HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nx=1"},
        {"GET", NULL, "GET /echo HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n"},
        {"DELETE", NULL,
         "DELETE /echo HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n"},
    };
    struct qe_http_reply reply = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_http_request request = get(fixture, "/echo");
        const char *place = strstr(request.url, "//") + 2;
        char host[64];
        char wanted[256];

        (void)snprintf(host, sizeof host, "%.*s", (int)strcspn(place, "/"), place);
        const char *mark = strstr(rows[i].wanted, "%s");

        (void)snprintf(wanted, sizeof wanted, "%.*s%s%s", (int)(mark - rows[i].wanted),
                       rows[i].wanted, host, mark + 2);
        request.method = rows[i].method;
        request.body = rows[i].body;
        request.body_bytes = rows[i].body == NULL ? 0 : strlen(rows[i].body);
        fetch(fixture, &request, &reply);
        assert_string_equal(qe_strbuf_text(&reply.body), wanted);
    }
    qe_http_reply_deinit(&reply);
}

static void a_body_over_1_mib_waits_for_no_permission(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/status/200");
    struct qe_http_reply reply = {0};
    const size_t bytes = 60000; /* what the server reads; the next is more than it waits for */
    char *body = qe_calloc(1, (size_t)3 << 20);

    assert_non_null(body);
    memset(body, 'b', (size_t)3 << 20);
    request.method = "POST";
    request.body = body;
    request.body_bytes = bytes;
    fetch(fixture, &request, &reply);
    assert_int_equal(reply.status, 200);
    request.body_bytes = (size_t)3 << 20;
    request.url = fault_server_url(fixture->server, "/echo");
    /* The server takes 64 KiB only and then hangs up: had curl waited, it would time out. */
    struct qe_err err = {0};

    assert_int_equal(qe_http_fetch(fixture->client, &request, &reply, &err), -1);
    assert_int_equal(err.code, QE_ERR_NETWORK);
    qe_http_reply_deinit(&reply);
    qe_free(body);
}

static void every_status_is_an_answer(void **state)
{
    const struct fixture *fixture = *state;
    static const unsigned statuses[] = {200, 202, 400, 401, 403, 404, 429, 500, 503};
    struct qe_http_reply reply = {0};

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        char path[32];

        (void)snprintf(path, sizeof path, "/status/%u", statuses[i]);
        struct qe_http_request request = get(fixture, path);

        fetch(fixture, &request, &reply);
        assert_int_equal(reply.err.code, QE_OK);
        assert_int_equal(reply.status, statuses[i]);
        assert_string_equal(qe_strbuf_text(&reply.body), "status");
    }
    qe_http_reply_deinit(&reply);
}

static void a_redirect_is_not_followed(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/redirect");
    struct qe_http_reply reply = {0};
    char location[32];

    fetch(fixture, &request, &reply);
    assert_int_equal(reply.status, 302);
    assert_true(qe_http_reply_header(&reply, "location", location, sizeof location));
    assert_string_equal(location, "/echo");
    assert_int_equal(fault_server_requests(fixture->server), 1);
    qe_http_reply_deinit(&reply);
}

static void headers_are_those_of_the_real_answer(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request interim = get(fixture, "/interim");
    struct qe_http_request trailers = get(fixture, "/trailers");
    struct qe_http_reply reply = {0};
    char value[32];

    fetch(fixture, &interim, &reply);
    assert_int_equal(reply.status, 200);
    assert_true(qe_http_reply_header(&reply, "X-Which", value, sizeof value));
    assert_string_equal(value, "real");
    assert_false(qe_http_reply_header(&reply, "X-Early", value, sizeof value));
    fetch(fixture, &trailers, &reply);
    assert_string_equal(qe_strbuf_text(&reply.body), "body");
    assert_true(qe_http_reply_header(&reply, "X-Date", value, sizeof value));
    assert_string_equal(value, "header");
    qe_http_reply_deinit(&reply);
}

static void sixteen_requests_are_in_flight_at_once(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/gate/16");
    struct qe_http_reply reply = {0};
    int marks[16] = {0};

    for (size_t i = 0; i < 16; i++) {
        request.context = &marks[i];
        start(fixture, &request);
    }
    assert_int_equal(qe_http_in_flight(fixture->client), 16);
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(qe_http_wait(fixture->client, 0, true, &reply), QE_HTTP_REPLY);
        assert_int_equal(reply.err.code, QE_OK);
        assert_string_equal(qe_strbuf_text(&reply.body), "gate");
        (*(int *)reply.context)++;
    }
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(marks[i], 1);
    }
    assert_int_equal(qe_http_in_flight(fixture->client), 0);
    assert_int_equal(qe_http_wait(fixture->client, 0, true, &reply), QE_HTTP_IDLE);
    qe_http_reply_deinit(&reply);
}

static void connections_are_used_again(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/status/200");
    struct qe_http_request gate = get(fixture, "/gate/4");
    struct qe_http_reply reply = {0};

    for (int i = 0; i < 4; i++) {
        start(fixture, &gate);
    }
    while (qe_http_wait(fixture->client, 0, false, &reply) == QE_HTTP_REPLY) {
        assert_int_equal(reply.status, 200);
    }
    assert_int_equal(fault_server_connections(fixture->server), 4);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 4; i++) {
            start(fixture, &request);
        }
        while (qe_http_wait(fixture->client, 0, false, &reply) == QE_HTTP_REPLY) {
            assert_int_equal(reply.status, 200);
        }
    }
    assert_int_equal(fault_server_requests(fixture->server), 204);
    assert_int_equal(fault_server_connections(fixture->server), 4);
    qe_http_reply_deinit(&reply);
}

static void a_kept_connection_that_died_is_no_failure(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/last");
    struct qe_http_reply reply = {0};

    request.method = "POST";
    request.body = "{}";
    request.body_bytes = 2;
    for (int i = 0; i < CURL_RETRIES; i++) {
        fetch(fixture, &request, &reply);
        assert_int_equal(reply.status, 200);
    }
    assert_int_equal(fault_server_requests(fixture->server), CURL_RETRIES);
    qe_http_reply_deinit(&reply);
}

static void a_reply_says_when_and_how_long(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/status/200");
    struct qe_http_reply reply = {0};
    const int64_t before_unix_ms = qe_clock_unix_ms();

    fetch(fixture, &request, &reply);
    assert_true(reply.sent_unix_ms >= before_unix_ms);
    assert_true(reply.received_unix_ms >= reply.sent_unix_ms);
    assert_true(reply.received_unix_ms <= qe_clock_unix_ms());
    assert_true(reply.duration_seconds > 0 && reply.duration_seconds < PATIENCE_MS / 1000.0);
    qe_http_reply_deinit(&reply);
}

static void a_fetch_leaves_the_other_replies_alone(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request other = get(fixture, "/status/202");
    struct qe_http_request one = get(fixture, "/status/200");
    struct qe_http_reply reply = {0};

    start(fixture, &other);
    start(fixture, &other);
    fetch(fixture, &one, &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(qe_http_in_flight(fixture->client), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(qe_http_wait(fixture->client, 0, false, &reply), QE_HTTP_REPLY);
        assert_int_equal(reply.status, 202);
    }
    qe_http_reply_deinit(&reply);
}

static void waiting_without_requests_is_a_pause(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_reply reply = {0};
    const int64_t until_mono_ms = qe_clock_mono_ms() + 30;

    assert_int_equal(qe_http_wait(fixture->client, until_mono_ms, true, &reply), QE_HTTP_TIME);
    assert_true(qe_clock_mono_ms() >= until_mono_ms);
}

static void a_wait_ends_in_time_and_the_request_goes_on(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/gate/2");
    struct qe_http_reply reply = {0};

    start(fixture, &request);
    assert_int_equal(qe_http_wait(fixture->client, qe_clock_mono_ms() + 30, true, &reply),
                     QE_HTTP_TIME);
    assert_int_equal(qe_http_in_flight(fixture->client), 1);
    start(fixture, &request);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(qe_http_wait(fixture->client, 0, true, &reply), QE_HTTP_REPLY);
        assert_int_equal(reply.status, 200);
    }
    qe_http_reply_deinit(&reply);
}

static void *interrupt(void *client)
{
    qe_http_interrupt(client);
    return NULL;
}

static void an_interrupt_ends_one_wait_and_no_request(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request never = get(fixture, "/never");
    struct qe_http_request one = get(fixture, "/status/200");
    struct qe_http_reply reply = {0};

    start(fixture, &never);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, interrupt, fixture->client), 0);
        assert_int_equal(qe_http_wait(fixture->client, 0, true, &reply), QE_HTTP_INTERRUPTED);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    /* One that came early counts, once; a wait that may not be interrupted keeps it. */
    qe_http_interrupt(fixture->client);
    qe_http_interrupt(fixture->client);
    fetch(fixture, &one, &reply);
    assert_int_equal(qe_http_wait(fixture->client, qe_clock_mono_ms() + 10, false, &reply),
                     QE_HTTP_TIME);
    assert_int_equal(qe_http_wait(fixture->client, 0, true, &reply), QE_HTTP_INTERRUPTED);
    assert_int_equal(qe_http_wait(fixture->client, qe_clock_mono_ms() + 10, true, &reply),
                     QE_HTTP_TIME);
    assert_int_equal(qe_http_in_flight(fixture->client), 1);
    qe_http_reply_deinit(&reply);
}

static void what_is_aborted_does_not_come_back(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request never = get(fixture, "/never");
    struct qe_http_request one = get(fixture, "/status/200");
    struct qe_http_reply reply = {0};

    for (int i = 0; i < 5; i++) {
        start(fixture, &never);
    }
    start(fixture, &one);
    assert_int_equal(qe_http_wait(fixture->client, 0, true, &reply), QE_HTTP_REPLY);
    start(fixture, &one);
    qe_http_abort(fixture->client);
    assert_int_equal(qe_http_in_flight(fixture->client), 0);
    assert_int_equal(qe_http_wait(fixture->client, 0, true, &reply), QE_HTTP_IDLE);
    fetch(fixture, &one, &reply); /* and the client is as good as new */
    assert_int_equal(reply.status, 200);
    qe_http_reply_deinit(&reply);
}

static void a_client_may_end_with_requests_in_flight(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request never = get(fixture, "/never");
    struct qe_http_request one = get(fixture, "/status/200");
    struct qe_http_reply reply = {0};

    for (int i = 0; i < 5; i++) {
        start(fixture, &never);
        start(fixture, &one);
    }
    assert_int_equal(qe_http_wait(fixture->client, 0, true, &reply), QE_HTTP_REPLY);
    qe_http_reply_deinit(&reply);
    qe_http_client_destroy(NULL);
    /* The teardown destroys it. */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_sent_is_what_was_asked),
        TEST(nothing_is_added_that_nobody_asked_for),
        TEST(a_body_over_1_mib_waits_for_no_permission),
        TEST(every_status_is_an_answer),
        TEST(a_redirect_is_not_followed),
        TEST(headers_are_those_of_the_real_answer),
        TEST(sixteen_requests_are_in_flight_at_once),
        TEST(connections_are_used_again),
        TEST(a_kept_connection_that_died_is_no_failure),
        TEST(a_reply_says_when_and_how_long),
        TEST(a_fetch_leaves_the_other_replies_alone),
        TEST(waiting_without_requests_is_a_pause),
        TEST(a_wait_ends_in_time_and_the_request_goes_on),
        TEST(an_interrupt_ends_one_wait_and_no_request),
        TEST(what_is_aborted_does_not_come_back),
        TEST(a_client_may_end_with_requests_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
