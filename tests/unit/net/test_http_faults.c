#include <stdio.h>
#include <stdlib.h>

#include "unit/net/fixture.h"

/* Fetches `request`, which must fail with `code`, and returns what the error says. */
static const char *fail_with(const struct fixture *fixture, const struct qe_http_request *request,
                             enum qe_err_code code)
{
    static struct qe_err err;
    struct qe_http_reply reply = {0};

    err = (struct qe_err){0};
    if (qe_http_fetch(fixture->client, request, &reply, &err) == 0 || err.code != code) {
        fail_msg("%s: %s: %s", request->url, qe_err_code_name(err.code), err.message);
    }
    assert_int_equal(reply.err.code, code);
    assert_string_equal(reply.err.message, err.message);
    assert_int_equal(reply.status, code == QE_ERR_LIMIT ? 200 : 0);
    qe_http_reply_deinit(&reply);
    return err.message;
}

static void every_fault_has_its_reason(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        const char *path;
        enum qe_err_code code;
    } rows[] = {
        {"/reset", QE_ERR_NETWORK},       {"/reset-body", QE_ERR_NETWORK},
        {"/half", QE_ERR_NETWORK},        {"/half-headers", QE_ERR_NETWORK},
        {"/half-chunk", QE_ERR_NETWORK},  {"/close", QE_ERR_NETWORK},
        {"/bad-chunk", QE_ERR_NETWORK},   {"/garbage", QE_ERR_PROTOCOL},
        {"/version", QE_ERR_PROTOCOL},    {"/large-headers", QE_ERR_LIMIT},
        {"/large/1048577", QE_ERR_LIMIT},
    };
    struct qe_http_reply reply = {0};
    char place[32];

    (void)snprintf(place, sizeof place, "127.0.0.1:%u: ", fault_server_port(fixture->server));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct qe_http_request request = get(fixture, rows[i].path);
        const struct qe_http_request good = get(fixture, "/status/200");
        const char *message = fail_with(fixture, &request, rows[i].code);

        assert_memory_equal(message, place, strlen(place));
        fetch(fixture, &good, &reply); /* the next one does not suffer */
        assert_int_equal(reply.status, 200);
    }
    qe_http_reply_deinit(&reply);
}

static void a_body_may_have_just_its_limit(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/large/5000");
    struct qe_http_reply reply = {0};

    request.reply_max_bytes = 5000;
    fetch(fixture, &request, &reply);
    assert_int_equal(reply.body.length_bytes, 5000);
    request.reply_max_bytes = 4999;
    assert_non_null(
        strstr(fail_with(fixture, &request, QE_ERR_LIMIT), "the answer is longer than 4999 bytes"));
    request = get(fixture, "/large/3000000");
    request.reply_max_bytes = 3000000;
    fetch(fixture, &request, &reply);
    assert_int_equal(reply.body.length_bytes, 3000000);
    assert_int_equal(strlen(qe_strbuf_text(&reply.body)), 3000000);
    qe_http_reply_deinit(&reply);
}

struct taken {
    size_t bytes;
    size_t refuses_at; /* 0: never */
};

static int count_piece(void *context, const char *piece, size_t piece_bytes, struct qe_err *err)
{
    struct taken *taken = context;

    assert_non_null(piece);
    taken->bytes += piece_bytes;
    return taken->refuses_at == 0 || taken->bytes < taken->refuses_at
               ? 0
               : qe_err_set(err, QE_ERR_PROTOCOL, "not what was asked for");
}

static void a_body_may_be_taken_as_it_comes(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/large/3000000");
    struct qe_http_reply reply = {0};
    struct taken taken = {0};

    request.take = count_piece;
    request.context = &taken;
    request.reply_max_bytes = 3000000;
    fetch(fixture, &request, &reply);
    assert_int_equal(taken.bytes, 3000000);
    assert_int_equal(reply.body.length_bytes, 0);
    assert_true(reply.body.capacity_bytes < 100000);
    request.reply_max_bytes = 2999999;
    taken = (struct taken){0};
    assert_non_null(strstr(fail_with(fixture, &request, QE_ERR_LIMIT),
                           "the answer is longer than 2999999 bytes"));
    assert_true(taken.bytes <= 2999999);
    request.reply_max_bytes = 3000000;
    taken = (struct taken){.refuses_at = 1000000};
    assert_string_equal(fail_with(fixture, &request, QE_ERR_PROTOCOL), "not what was asked for");
    assert_true(taken.bytes < 2000000);
    /* What is wrong is told with the reply, as ever. */
    request = get(fixture, "/status/503");
    request.take = count_piece;
    request.context = &taken;
    taken = (struct taken){0};
    fetch(fixture, &request, &reply);
    assert_int_equal(reply.status, 503);
    assert_string_equal(qe_strbuf_text(&reply.body), "status");
    assert_int_equal(taken.bytes, 0);
    qe_http_reply_deinit(&reply);
}

static void slowness_ends_at_the_deadline(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        const char *path;
        const char *message;
    } rows[] = {
        {"/never", "no answer within"},
        {"/slow-headers", "no complete answer within"},
        {"/slow", "no complete answer within"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_http_request request = get(fixture, rows[i].path);
        const int64_t started_mono_ms = qe_clock_mono_ms();

        /* Long enough for its first bytes to come, however busy the machine is. */
        request.deadline_mono_ms = started_mono_ms + 1000;
        const char *message = fail_with(fixture, &request, QE_ERR_TIMEOUT);

        if (strstr(message, rows[i].message) == NULL) {
            fail_msg("%s: %s", rows[i].path, message);
        }
        const int64_t passed_ms = qe_clock_mono_ms() - started_mono_ms;

        assert_true(passed_ms >= 990 && passed_ms < 6000);
    }
}

static void one_slow_request_holds_up_no_other(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request never = get(fixture, "/never");
    struct qe_http_request one = get(fixture, "/status/200");
    struct qe_http_reply reply = {0};

    never.deadline_mono_ms = qe_clock_mono_ms() + 300;
    never.context = &never;
    start(fixture, &never);
    for (int i = 0; i < 100; i++) {
        start(fixture, &one);
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(qe_http_wait(fixture->client, 0, false, &reply), QE_HTTP_REPLY);
        if (reply.context != &never) { /* it may be first on a machine that stood still */
            assert_int_equal(reply.status, 200);
        }
    }
    assert_int_equal(qe_http_in_flight(fixture->client), 1);
    assert_int_equal(qe_http_wait(fixture->client, 0, false, &reply), QE_HTTP_REPLY);
    qe_http_reply_deinit(&reply);
}

static void past_its_deadline_nothing_is_sent(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/echo");

    request.deadline_mono_ms = qe_clock_mono_ms();
    assert_non_null(
        strstr(fail_with(fixture, &request, QE_ERR_TIMEOUT), "the deadline had passed"));
    request.deadline_mono_ms = 0;
    (void)fail_with(fixture, &request, QE_ERR_TIMEOUT);
    assert_int_equal(fault_server_connections(fixture->server), 0);
}

static void nobody_listening_is_a_network_error(void **state)
{
    struct fixture *fixture = *state;
    struct qe_http_request request = get(fixture, "/echo");
    char wanted[64];

    (void)snprintf(wanted, sizeof wanted, "127.0.0.1:%u: cannot connect: Connection refused",
                   fault_server_port(fixture->server));
    fault_server_stop(fixture->server);
    fixture->server = NULL;
    assert_string_equal(fail_with(fixture, &request, QE_ERR_NETWORK), wanted);
}

static void a_bad_url_is_the_callers_fault(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const urls[] = {
        "",          "http://",      "http://a b/", "http://host:99999/", "ftp://host/",
        "file:///x", "gopher://h/1", "://x",        "http://[::1/",
    };

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct qe_http_request request = get(fixture, "");

        request.url = urls[i];
        (void)fail_with(fixture, &request, QE_ERR_INVALID);
    }
}

static void an_error_keeps_the_urls_password_to_itself(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const urls[] = {
        "http://someone:hunter2@127.0.0.1:1/?hunter2#hunter2",
        "http://someone:hunter2@127.0.0.1:99999/",
        "ftp://someone:hunter2@127.0.0.1/",
        "http://someone:hunter2@ /",
        "http://someone:hunter2@host.invalid/",
    };

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct qe_http_request request = get(fixture, "");
        struct qe_http_reply reply = {0};
        struct qe_err err = {0};

        request.url = urls[i];
        request.no_proxy = true;
        assert_int_equal(qe_http_fetch(fixture->client, &request, &reply, &err), -1);
        assert_null(strstr(err.message, "hunter2"));
        assert_null(strstr(err.message, "someone"));
        request.deadline_mono_ms = 0;
        assert_int_equal(qe_http_fetch(fixture->client, &request, &reply, &err), -1);
        assert_null(strstr(err.message, "hunter2"));
        qe_http_reply_deinit(&reply);
    }
}

/* The environment names it, and libcurl's own error repeats it. */
static void an_error_keeps_the_proxys_password_to_itself(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const proxies[] = {
        "foo://someone:hunter2@proxy",
        "http://someone:hunter2@pro xy",
        "http://someone:hunter2@proxy.invalid:1",
        "someone:hunt'er2@pro xy",
    };

    for (size_t i = 0; i < sizeof proxies / sizeof proxies[0]; i++) {
        struct qe_http_request request = get(fixture, "");
        struct qe_http_reply reply = {0};
        struct qe_err err = {0};

        request.url = "http://host.invalid/";
        assert_int_equal(setenv("http_proxy", proxies[i], 1), 0);
        assert_int_equal(qe_http_fetch(fixture->client, &request, &reply, &err), -1);
        assert_int_equal(unsetenv("http_proxy"), 0);
        if (strstr(err.message, "proxy") == NULL || strstr(err.message, "er2") != NULL ||
            strstr(err.message, "someone") != NULL) {
            fail_msg("%s: %s", proxies[i], err.message);
        }
        qe_http_reply_deinit(&reply);
    }
}

static void a_header_cannot_smuggle_in_another(void **state)
{
    const struct fixture *fixture = *state;
    static const struct qe_http_header headers[] = {{"X-Token", "abc\r\nX-Other: yes"},
                                                    {"X-Token", "abc\n"},
                                                    {"X-Token", "\x7f"},
                                                    {"X-Token: x\r\nX-Other", "yes"},
                                                    {"X Token", "a"},
                                                    {"", "a"},
                                                    {"X-Token", "a\x01"},
                                                    {"X-Token\xc3\xa9", ""}};

    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct qe_http_request request = get(fixture, "/echo");
        struct qe_err err = {0};

        request.headers = &headers[i];
        request.headers_count = 1;
        assert_int_equal(qe_http_start(fixture->client, &request, &err), -1);
        assert_int_equal(err.code, QE_ERR_INVALID);
        assert_null(strstr(err.message, "abc"));
    }
    struct qe_http_request request = get(fixture, "/echo");
    struct qe_err err = {0};

    request.method = "GET / HTTP/1.1\r\n";
    assert_int_equal(qe_http_start(fixture->client, &request, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_int_equal(qe_http_in_flight(fixture->client), 0);
}

static void too_many_headers_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    struct qe_http_header headers[129];
    struct qe_http_request request = get(fixture, "/echo");
    struct qe_http_reply reply = {0};
    struct qe_err err = {0};

    for (size_t i = 0; i < 129; i++) {
        headers[i] = (struct qe_http_header){"X-Many", "1"};
    }
    request.headers = headers;
    request.headers_count = 128;
    fetch(fixture, &request, &reply);
    request.headers_count = 129;
    assert_int_equal(qe_http_start(fixture->client, &request, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    qe_http_reply_deinit(&reply);
}

/* A client of its own each time: what is kept from the run before would hide allocations. */
static int make_and_fetch(void *context, struct qe_err *err)
{
    const struct fixture *fixture = context;
    const struct qe_http_client_options options = {.user_agent = "queue_exporter/1"};
    const struct qe_http_header header = {"X-A", "b"};
    struct qe_http_request request = get(fixture, "/status/200");
    struct qe_http_reply reply = {0};
    struct qe_http_client *client = qe_http_client_new(&options, err);
    int rc = -1;

    request.headers = &header;
    request.headers_count = 1;
    if (client != NULL) {
        rc = qe_http_fetch(client, &request, &reply, err);
    }
    if (rc == 0 && strcmp(qe_strbuf_text(&reply.body), "status") != 0) {
        rc = qe_err_set(err, QE_ERR_PROTOCOL, "not the answer");
    }
    qe_http_reply_deinit(&reply);
    qe_http_client_destroy(client);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    qe_check_torture(make_and_fetch, *state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_fault_has_its_reason),
        TEST(a_body_may_have_just_its_limit),
        TEST(a_body_may_be_taken_as_it_comes),
        TEST(slowness_ends_at_the_deadline),
        TEST(one_slow_request_holds_up_no_other),
        TEST(past_its_deadline_nothing_is_sent),
        TEST(nobody_listening_is_a_network_error),
        TEST(a_bad_url_is_the_callers_fault),
        TEST(an_error_keeps_the_urls_password_to_itself),
        TEST(an_error_keeps_the_proxys_password_to_itself),
        TEST(a_header_cannot_smuggle_in_another),
        TEST(too_many_headers_are_refused),
        TEST(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
