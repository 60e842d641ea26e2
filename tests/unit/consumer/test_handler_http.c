#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "support/script_server.h"
#include "unit/consumer/handler_case.h"

/* A server that follows the script, and the handler that posts to it. */
struct post_case {
    struct handler_case at;
    struct script_server *server;
    char url[64];
};

static const struct qe_pair s_headers[] = {{"Authorization", "Bearer secret"}, {"X-Tenant", "t"}};

static void start_how(struct post_case *post, const struct script_step *steps, size_t count,
                      const struct qe_handler_common *common, bool posts_once)
{
    struct qe_err err = {0};

    post->server = script_server_start(steps, count);
    (void)snprintf(post->url, sizeof post->url, "http://127.0.0.1:%u/orders",
                   script_server_port(post->server));
    const struct qe_http_handler_options options = {.common = *common,
                                                    .url = post->url,
                                                    .headers = s_headers,
                                                    .headers_count = 2,
                                                    .posts_once = posts_once};

    case_init(&post->at, &qe_handler_http, qe_handler_http_new(&options, &err));
}

static void start(struct post_case *post, const struct script_step *steps, size_t count,
                  const struct qe_handler_common *common)
{
    start_how(post, steps, count, common, false);
}

static void end(struct post_case *post)
{
    case_deinit(&post->at);
    script_server_stop(post->server);
}

static void expect_header(struct post_case *post, size_t n, const char *name, const char *value)
{
    char text[256];

    assert_string_equal(
        script_header(script_server_request(post->server, n), name, text, sizeof text), value);
}

static const struct {
    struct script_step step;
    enum qe_outcome outcome;
    enum qe_fail_reason reason;
    const char *label;
    const char *detail;
    int64_t delay_min_ms;
    int64_t delay_max_ms;
} s_rows[] = {
    {{.status = 200}, QE_OUTCOME_SUCCESS, 0, NULL, "", -1, -1},
    {{.status = 204}, QE_OUTCOME_SUCCESS, 0, NULL, "", -1, -1},
    {{.status = 429, .headers = "Retry-After: 7\r\n"},
     QE_OUTCOME_RETRY,
     QE_FAIL_HANDLER_ERROR,
     NULL,
     "HTTP status 429",
     7000,
     7000},
    {{.status = 503, .headers = "Retry-After: 999999999999999999999\r\n"},
     QE_OUTCOME_RETRY,
     QE_FAIL_HANDLER_ERROR,
     NULL,
     "HTTP status 503",
     43200000,
     43200000},
    {{.status = 503, .headers = "Retry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n"},
     QE_OUTCOME_RETRY,
     QE_FAIL_HANDLER_ERROR,
     NULL,
     "HTTP status 503",
     43200000,
     43200000},
    {{.status = 503, .headers = "Retry-After: Fri, 01 Jan 1999 00:00:00 GMT\r\n"},
     QE_OUTCOME_RETRY,
     QE_FAIL_HANDLER_ERROR,
     NULL,
     "HTTP status 503",
     0,
     0},
    {{.status = 503, .headers = "Retry-After: soon\r\n"},
     QE_OUTCOME_RETRY,
     QE_FAIL_HANDLER_ERROR,
     NULL,
     "HTTP status 503",
     -1,
     -1},
    {{.status = 429, .body = "slow down\r\nplease"},
     QE_OUTCOME_RETRY,
     QE_FAIL_HANDLER_ERROR,
     NULL,
     "HTTP status 429: slow down",
     -1,
     -1},
    {{.status = 404, .body = "no such thing"},
     QE_OUTCOME_REJECT,
     QE_FAIL_PERMANENT,
     NULL,
     "HTTP status 404: no such thing",
     -1,
     -1},
    {{.status = 422, .headers = "X-Queue-Reason: bad_address: no street\r\n"},
     QE_OUTCOME_REJECT,
     QE_FAIL_PERMANENT,
     "bad_address",
     "no street",
     -1,
     -1},
    {{.status = 500, .headers = "Retry-After: 7\r\n", .body = "downstream"},
     QE_OUTCOME_RETRY,
     QE_FAIL_HANDLER_ERROR,
     "downstream",
     "",
     -1,
     -1},
    {{.status = 302, .headers = "Location: http://elsewhere/\r\n"},
     QE_OUTCOME_RETRY,
     QE_FAIL_HANDLER_ERROR,
     NULL,
     "HTTP status 302: redirects are not followed, set url to http://elsewhere/",
     -1,
     -1},
};

static void the_status_decides(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        const struct qe_handler_common common = case_common(0);
        struct post_case post;

        start(&post, &s_rows[i].step, 1, &common);
        case_expect(case_one(&post.at, "body"), s_rows[i].outcome, s_rows[i].reason,
                    s_rows[i].label, s_rows[i].detail);
        assert_in_range(post.at.handled[0].retry_delay_ms + 1, s_rows[i].delay_min_ms + 1,
                        s_rows[i].delay_max_ms + 1);
        assert_int_equal(script_server_requests(post.server), 1); /* nothing is asked twice */
        end(&post);
    }
}

static void retry_after_may_be_a_date(void **state)
{
    const struct qe_handler_common common = case_common(0);
    char headers[64];
    char date[40];
    struct tm parts;
    const time_t then = time(NULL) + 30;
    struct post_case post;

    (void)state;
    assert_non_null(gmtime_r(&then, &parts));
    assert_true(strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts) > 0);
    (void)snprintf(headers, sizeof headers, "Retry-After: %s\r\n", date);
    const struct script_step step = {.status = 503, .headers = headers};
    start(&post, &step, 1, &common);
    (void)case_one(&post.at, "x");
    assert_in_range(post.at.handled[0].retry_delay_ms, 1000, 30000);
    end(&post);
}

static void the_body_and_the_facts_are_sent(void **state)
{
    static const struct script_step steps[] = {{.status = 200, .body = "the reply"},
                                               {.status = 200, .body = "nobody asked"}};
    const struct qe_handler_common common = case_common(0);
    struct post_case post;
    struct qe_err err = {0};

    (void)state;
    start(&post, steps, 2, &common);
    struct qe_message *message = case_message(&post.at, "m-1", "the body");
    message->receives = 3;
    message->sent_unix_ms = 1700000000125;
    case_text(&message->reply_to, "answers");
    case_text(&message->correlation_id, "evil\r\nX-Injected: 1");
    assert_ok(qe_attributes_add(&message->attributes, "trace id", "a b", &err), err);
    assert_ok(qe_attributes_add(&message->attributes, "evil", "x\ny", &err), err);
    case_handle(&post.at);
    case_expect(&post.at.handled[0], QE_OUTCOME_SUCCESS, 0, NULL, "");
    assert_string_equal(qe_strbuf_text(&post.at.handled[0].reply), "the reply");
    const char *request = script_server_request(post.server, 0);
    assert_int_equal(strncmp(request, "POST /orders HTTP/1.1\r\n", 23), 0);
    assert_non_null(strstr(request, "\r\n\r\nthe body"));
    assert_null(strstr(request, "Injected"));
    expect_header(&post, 0, "Authorization", "Bearer secret");
    expect_header(&post, 0, "X-Tenant", "t");
    expect_header(&post, 0, "Content-Type", "application/octet-stream");
    expect_header(&post, 0, "X-Queue-Source", "local");
    expect_header(&post, 0, "X-Queue-Name", "orders");
    expect_header(&post, 0, "X-Queue-Message-Id", "m-1");
    expect_header(&post, 0, "X-Queue-Receives", "3");
    expect_header(&post, 0, "X-Queue-Sent", "2023-11-14T22:13:20.125Z");
    expect_header(&post, 0, "X-Queue-Reply-To", "answers");
    expect_header(&post, 0, "X-Queue-Attribute-trace-id", "a b");
    expect_header(&post, 0, "X-Queue-Left-Out", "2");
    (void)case_one(&post.at, "x");
    assert_int_equal(post.at.handled[0].reply.length_bytes, 0);
    end(&post);
}

static void a_reply_that_is_too_long_is_never_cut(void **state)
{
    static char s_body[1002];
    const struct script_step step = {.status = 200, .body = s_body};
    const struct qe_handler_common common = case_common(0);
    struct post_case post;

    (void)state;
    memset(s_body, 'x', sizeof s_body - 1);
    start(&post, &step, 1, &common);
    (void)case_message(&post.at, "m", "x");
    case_text(&post.at.messages[0].reply_to, "answers");
    case_handle(&post.at);
    case_expect(&post.at.handled[0], QE_OUTCOME_REJECT, QE_FAIL_PERMANENT, NULL,
                "its reply is longer than max_reply (1000 bytes)");
    end(&post);
}

static void the_status_decides_though_the_answer_is_too_long(void **state)
{
    static char s_body[70002];
    const struct script_step steps[] = {{.status = 200, .body = s_body},
                                        {.status = 200, .body = s_body},
                                        {.status = 500, .body = s_body},
                                        {.status = 404, .body = s_body}};
    const struct qe_handler_common common = case_common(0);
    struct post_case post;

    (void)state;
    memset(s_body, 'x', sizeof s_body - 1);
    start(&post, steps, 4, &common);
    assert_int_equal(case_one(&post.at, "x")->outcome, QE_OUTCOME_SUCCESS);
    case_text(&post.at.messages[0].reply_to, "answers");
    case_handle(&post.at);
    case_expect(&post.at.handled[0], QE_OUTCOME_REJECT, QE_FAIL_PERMANENT, NULL,
                "its reply is longer than max_reply (1000 bytes)");
    case_handle(&post.at);
    assert_int_equal(post.at.handled[0].outcome, QE_OUTCOME_RETRY);
    case_handle(&post.at);
    assert_int_equal(post.at.handled[0].outcome, QE_OUTCOME_REJECT);
    assert_non_null(strstr(post.at.handled[0].detail, "HTTP status 404"));
    end(&post);
}

static void no_answer_is_tried_again(void **state)
{
    static const struct script_step steps[] = {{.resets = true}, {.resets = true}, {.status = 200}};
    const struct qe_handler_common common = case_common(0);
    struct post_case post;

    (void)state;
    start(&post, steps, 3, &common);
    assert_int_equal(case_one(&post.at, "x")->outcome, QE_OUTCOME_RETRY);
    assert_int_equal(post.at.handled[0].reason, QE_FAIL_HANDLER_ERROR);
    assert_non_null(strstr(post.at.handled[0].detail, "127.0.0.1:"));
    const struct script_step silent = {.status = 0};
    end(&post);
    const struct qe_handler_common hurried = case_common(200);
    start(&post, &silent, 1, &hurried);
    assert_int_equal(case_one(&post.at, "x")->outcome, QE_OUTCOME_RETRY);
    assert_int_equal(post.at.handled[0].reason, QE_FAIL_TIMEOUT);
    assert_in_range(post.at.spent_ms, 150, CASE_PATIENCE_MS / 2);
    post.at.max_ms = 100;
    assert_int_equal(case_one(&post.at, "x")->reason, QE_FAIL_TIMEOUT);
    end(&post);
    start(&post, &silent, 1, &common);
    script_server_stop(post.server); /* nobody listens any more */
    post.server = NULL;
    assert_int_equal(case_one(&post.at, "x")->outcome, QE_OUTCOME_RETRY);
    assert_int_equal(post.at.handled[0].reason, QE_FAIL_HANDLER_ERROR);
    end(&post);
}

/* A server that takes a request on a kept connection and ends it: nobody knows what was done. */
static void what_may_have_been_handled_is_sent_again_only_where_that_is_allowed(void **state)
{
    static const struct script_step steps[] = {{.status = 204}, {.resets = true}, {.status = 204}};
    const struct qe_handler_common common = case_common(0);

    (void)state;
    for (size_t once = 0; once < 2; once++) {
        struct post_case post;

        start_how(&post, steps, 3, &common, once == 1);
        case_expect(case_one(&post.at, "a"), QE_OUTCOME_SUCCESS, 0, NULL, "");
        assert_int_equal(case_one(&post.at, "b")->outcome,
                         once == 1 ? QE_OUTCOME_RETRY : QE_OUTCOME_SUCCESS);
        assert_int_equal(script_server_requests(post.server), once == 1 ? 2 : 3);
        end(&post);
    }
}

static void no_descriptor_for_a_connection_is_our_own_trouble(void **state)
{
    static const struct script_step steps[] = {{.status = 204}};
    const struct qe_handler_common common = case_common(0);
    struct post_case post;
    const struct qe_handled *handled;

    (void)state;
    start(&post, steps, 1, &common);
    qe_allow_descriptors(false);
    handled = case_one(&post.at, "a");
    qe_allow_descriptors(true);
    assert_int_equal(handled->outcome, QE_OUTCOME_RETRY);
    assert_int_equal(handled->reason, QE_FAIL_INTERNAL);
    assert_non_null(strstr(handled->detail, "Too many open files"));
    case_expect(case_one(&post.at, "b"), QE_OUTCOME_SUCCESS, 0, NULL, "");
    end(&post);
}

/* A file that has gone since the start, and a header that cannot be sent. */
static void what_is_configured_wrongly_is_our_own_trouble(void **state)
{
    static const struct qe_pair two_lines[] = {{"X-A", "3\nX-B: 4"}};
    const struct {
        struct qe_http_handler_options options;
        const char *detail;
    } rows[] = {
        {{.ca_file = "/nowhere/ca.pem"}, "/nowhere/ca.pem"},
        {{.cert_file = "/nowhere/cert.pem", .key_file = "/nowhere/key.pem"}, "/nowhere/cert.pem"},
        {{.headers = two_lines, .headers_count = 1}, "header X-A"},
    };
    static const struct script_step steps[] = {{.status = 204}};
    struct script_server *server = script_server_start(steps, 1);
    char url[64];

    (void)state;
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", script_server_port(server));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_http_handler_options options = rows[i].options;
        struct handler_case at;
        struct qe_err err = {0};

        options.common = case_common(0);
        options.url = url;
        case_init(&at, &qe_handler_http, qe_handler_http_new(&options, &err));
        assert_int_equal(case_one(&at, "a")->outcome, QE_OUTCOME_RETRY);
        assert_int_equal(at.handled[0].reason, QE_FAIL_INTERNAL);
        assert_non_null(strstr(at.handled[0].detail, rows[i].detail));
        case_deinit(&at);
    }
    script_server_stop(server);
}

static void *cancel_soon(void *argument)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    (void)nanosleep(&pause, NULL);
    atomic_store((atomic_bool *)argument, true);
    return NULL;
}

static void a_stop_cuts_it_short_and_it_can_go_on(void **state)
{
    static const struct script_step steps[] = {{.status = 0}, {.status = 200}};
    const struct qe_handler_common common = case_common(0);
    struct post_case post;
    pthread_t thread;

    (void)state;
    start(&post, steps, 2, &common);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &post.at.cancelled), 0);
    case_expect(case_one(&post.at, "x"), QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
                "the request was cut short");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(post.at.spent_ms < CASE_PATIENCE_MS / 2);
    atomic_store(&post.at.cancelled, false);
    case_expect(case_one(&post.at, "x"), QE_OUTCOME_SUCCESS, 0, NULL, "");
    end(&post);
}

static void a_batch_is_a_list_each_way(void **state)
{
    static const struct script_step steps[] = {
        {.status = 200,
         .body = "[{\"id\":2,\"result\":\"reject\",\"reason\":\"bad_address\"},"
                 "{\"id\":1,\"result\":\"ack\"}]"},
        {.status = 204},
        {.status = 200, .body = "OK"},
        {.status = 500, .body = "downstream"},
    };
    struct qe_handler_common common = case_common(0);
    struct post_case post;

    (void)state;
    common.in_batches = true;
    start(&post, steps, 4, &common);
    (void)case_message(&post.at, "a", "one");
    (void)case_message(&post.at, "b", "two");
    case_handle(&post.at);
    case_expect(&post.at.handled[0], QE_OUTCOME_SUCCESS, 0, NULL, "");
    case_expect(&post.at.handled[1], QE_OUTCOME_REJECT, QE_FAIL_PERMANENT, "bad_address", "");
    assert_non_null(strstr(script_server_request(post.server, 0), "\r\n\r\n[{\"id\":1,"));
    expect_header(&post, 0, "Content-Type", "application/json");
    expect_header(&post, 0, "X-Queue-Message-Id", "");
    case_handle(&post.at); /* no body: all is well */
    case_expect(&post.at.handled[1], QE_OUTCOME_SUCCESS, 0, NULL, "");
    case_handle(&post.at);
    for (size_t i = 0; i < 2; i++) {
        case_expect(&post.at.handled[i], QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
                    "HTTP status 200, but its body was not understood: not JSON at byte 0");
    }
    case_handle(&post.at);
    case_expect(&post.at.handled[1], QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, "downstream", "");
    end(&post);
}

static void the_answer_to_a_batch_is_bounded_as_a_whole(void **state)
{
    static const char s_answers[] = "[{\"id\":1,\"result\":\"ack\"},{\"id\":2,\"result\":\"ack\"}";
    static char s_body[100002];
    const struct script_step steps[] = {{.status = 200, .body = s_body},
                                        {.status = 200, .body = s_body}};

    (void)state;
    memset(s_body, ' ', sizeof s_body - 1);
    memcpy(s_body, s_answers, sizeof s_answers - 1);
    s_body[sizeof s_body - 2] = ']';
    for (int fits = 0; fits < 2; fits++) {
        struct qe_handler_common common = case_common(0);
        struct post_case post;

        common.in_batches = true;
        common.batch_answer_max_bytes = fits ? 110000 : 90000; /* each of the two: 71536 */
        start(&post, steps, 2, &common);
        (void)case_message(&post.at, "a", "one");
        (void)case_message(&post.at, "b", "two");
        case_handle(&post.at);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(post.at.handled[i].outcome,
                             fits ? QE_OUTCOME_SUCCESS : QE_OUTCOME_RETRY);
            assert_int_equal(
                strstr(post.at.handled[i].detail, "the answer is longer than 90000 bytes") == NULL,
                fits);
        }
        end(&post);
    }
}

static void *make_any(struct qe_err *err)
{
    const struct qe_http_handler_options options = {.common = case_common(0),
                                                    .url = "http://127.0.0.1:1/",
                                                    .headers = s_headers,
                                                    .headers_count = 2};

    return qe_handler_http_new(&options, err);
}

static void construction_survives_failed_allocations(void **state)
{
    (void)state;
    case_torture(&qe_handler_http, make_any);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_status_decides),
        cmocka_unit_test(retry_after_may_be_a_date),
        cmocka_unit_test(the_body_and_the_facts_are_sent),
        cmocka_unit_test(a_reply_that_is_too_long_is_never_cut),
        cmocka_unit_test(the_status_decides_though_the_answer_is_too_long),
        cmocka_unit_test(no_answer_is_tried_again),
        cmocka_unit_test(what_may_have_been_handled_is_sent_again_only_where_that_is_allowed),
        cmocka_unit_test(no_descriptor_for_a_connection_is_our_own_trouble),
        cmocka_unit_test(what_is_configured_wrongly_is_our_own_trouble),
        cmocka_unit_test(a_stop_cuts_it_short_and_it_can_go_on),
        cmocka_unit_test(a_batch_is_a_list_each_way),
        cmocka_unit_test(the_answer_to_a_batch_is_bounded_as_a_whole),
        cmocka_unit_test(construction_survives_failed_allocations),
    };

    case_ignore_sigpipe();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
