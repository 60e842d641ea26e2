#include <string.h>

#include "http/request.h"
#include "support/check.h"

static const struct qe_http_route s_routes[] = {
    {.path = "/", .methods = QE_HTTP_GET, .stat = QE_HTTP_LANDING},
    {.path = "/metrics", .methods = QE_HTTP_GET, .stat = QE_HTTP_METRICS},
    {.path = "/-/reload",
     .methods = QE_HTTP_POST | QE_HTTP_PUT,
     .method_error = "Only POST or PUT requests allowed\n",
     .stat = QE_HTTP_RELOAD},
};
#define ROUTES_COUNT (sizeof s_routes / sizeof s_routes[0])

static struct qe_http_verdict judge(const struct qe_http_head *head)
{
    return qe_http_judge(head, s_routes, ROUTES_COUNT);
}

struct target_row {
    const char *method;
    const char *target;
    unsigned status;
    const char *why;
};

static void only_exact_paths_are_found(void **state)
{
    static const struct target_row s_rows[] = {
        {"GET", "/metrics", 200, "the path"},
        {"GET", "/", 200, "the root"},
        {"HEAD", "/metrics", 200, "HEAD comes with GET"},
        {"GET", "http://host:1/metrics", 200, "absolute form"},
        {"GET", "http://host", 200, "absolute form without a path is the root"},
        {"GET", "/metrics/", 404, "a slash more is another path"},
        {"GET", "//metrics", 404, "nothing is normalised"},
        {"GET", "/Metrics", 404, "case counts"},
        {"GET", "/%6detrics", 404, "escapes are not undone"},
        {"GET", "/nope", 404, "unknown"},
        {"GET", "", 404, "empty"},
        {"GET", "://", 404, "no scheme"},
        {"OPTIONS", "*", 404, "the server as a whole"},
        {"POST", "/nope", 404, "the path is looked at before the method"},
        {"POST", "/metrics", 405, "nothing to post to"},
        {"get", "/metrics", 405, "methods are upper case"},
        {"", "/metrics", 405, "empty method"},
        {"GET", "/-/reload", 405, "reload changes things"},
        {"HEAD", "/-/reload", 405, "no GET, no HEAD"},
        {"POST", "/-/reload", 200, "reload"},
        {"PUT", "/-/reload", 200, "reload"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_http_head head = {
            .method = s_rows[i].method, .target = s_rows[i].target, .version = "HTTP/1.0"};
        unsigned status = judge(&head).status;
        if (status != s_rows[i].status) {
            fail_msg("%s %s: %u, not %u (%s)", s_rows[i].method, s_rows[i].target, status,
                     s_rows[i].status, s_rows[i].why);
        }
    }
}

static void a_405_names_the_methods_that_would_do(void **state)
{
    struct qe_http_head head = {.method = "GET", .target = "/-/reload", .version = "HTTP/1.0"};

    (void)state;
    struct qe_http_verdict verdict = judge(&head);
    assert_string_equal(verdict.allow, "POST, PUT");
    assert_string_equal(verdict.text, "Only POST or PUT requests allowed\n");
    assert_int_equal(verdict.stat, QE_HTTP_RELOAD);
    head.method = "DELETE";
    head.target = "/metrics";
    assert_string_equal(judge(&head).allow, "GET, HEAD");
    assert_false(judge(&head).close);
}

struct framing_row {
    const char *version;
    const char *headers[8]; /* name, value, ... */
    unsigned status;
    const char *why;
};

static void uncertain_framing_is_refused_and_closed(void **state)
{
    static const struct framing_row s_rows[] = {
        {"HTTP/1.1", {"Host", "a"}, 200, "plain"},
        {"HTTP/1.1", {"HOST", ""}, 200, "an empty host is a host"},
        {"HTTP/1.0", {NULL}, 200, "1.0 needs no host"},
        {"HTTP/1.1", {NULL}, 400, "1.1 needs one"},
        {"HTTP/1.1", {"Host", "a", "host", "b"}, 400, "two hosts"},
        {"HTTP/1.0", {"Host", "a", "host", "b"}, 400, "two hosts"},
        {"HTTP/1.2", {NULL}, 400, "a later 1.x is 1.1"},
        {"HTTP/2.0", {"Host", "a"}, 505, "not spoken"},
        {"", {"Host", "a"}, 505, "no version"},
        {"HTTP/1.1", {"Host", "a", "Content-Length", "5"}, 200, "small body"},
        {"HTTP/1.1", {"Host", "a", "Content-Length", "65536"}, 200, "the limit itself"},
        {"HTTP/1.1", {"Host", "a", "Content-Length", "65537"}, 413, "over the limit"},
        {"HTTP/1.1", {"Host", "a", "Content-Length", "-1"}, 400, "sign"},
        {"HTTP/1.1", {"Host", "a", "Content-Length", "+1"}, 400, "sign"},
        {"HTTP/1.1", {"Host", "a", "Content-Length", "5, 5"}, 400, "list"},
        {"HTTP/1.1", {"Host", "a", "Content-Length", ""}, 400, "empty"},
        {"HTTP/1.1", {"Host", "a", "Content-Length", "0x5"}, 400, "hexadecimal"},
        {"HTTP/1.1",
         {"Host", "a", "Content-Length", "5", "Content-Length", "5"},
         200,
         "twice the same"},
        {"HTTP/1.1",
         {"Host", "a", "Content-Length", "5", "content-length", "6"},
         400,
         "two lengths"},
        {"HTTP/1.1",
         {"Host", "a", "Content-Length", "5", "Transfer-Encoding", "chunked"},
         400,
         "both ways at once"},
        {"HTTP/1.1", {"Host", "a", "Transfer-Encoding", "chunked"}, 411, "length wanted"},
        {"HTTP/1.1", {"Host", "a", "Content-Length ", "5"}, 400, "blank in a name"},
        {"HTTP/1.1", {"Host", "a", "", "5"}, 400, "no name"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_http_head head = {
            .method = "GET", .target = "/metrics", .version = s_rows[i].version};
        for (size_t h = 0; h + 1 < 8 && s_rows[i].headers[h] != NULL; h += 2) {
            qe_http_head_add(&head, s_rows[i].headers[h], s_rows[i].headers[h + 1]);
        }
        struct qe_http_verdict verdict = judge(&head);
        if (verdict.status != s_rows[i].status || verdict.close != (verdict.status != 200)) {
            fail_msg("row %zu (%s): %u, not %u", i, s_rows[i].why, verdict.status,
                     s_rows[i].status);
        }
    }
}

static void accept_lines_are_joined_with_commas(void **state)
{
    struct qe_http_head head = {0};

    (void)state;
    qe_http_head_add(&head, "accept", "text/plain");
    qe_http_head_add(&head, "ACCEPT", "*/*;q=0.1");
    qe_http_head_add(&head, "Accept-Encoding", NULL);
    assert_string_equal(head.accept, "text/plain,*/*;q=0.1");
    assert_true(head.has_accept_encoding);
    assert_string_equal(head.accept_encoding, "");
}

static void an_accept_that_does_not_fit_is_refused_whole(void **state)
{
    struct qe_http_head head = {.method = "GET", .target = "/metrics", .version = "HTTP/1.0"};
    char most[QE_HTTP_ACCEPT_MAX_BYTES];

    (void)state;
    memset(most, 'a', sizeof most - 1);
    most[sizeof most - 1] = '\0';
    qe_http_head_add(&head, "Accept", most);
    assert_int_equal(judge(&head).status, 200);
    qe_http_head_add(&head, "Accept", "");
    assert_int_equal(judge(&head).status, 431);
    assert_int_equal(strlen(head.accept), sizeof most - 1);
}

static void allow_knows_every_mask(void **state)
{
    (void)state;
    assert_string_equal(qe_http_allow(QE_HTTP_GET), "GET, HEAD");
    assert_string_equal(qe_http_allow(QE_HTTP_GET | QE_HTTP_POST), "GET, HEAD, POST");
    assert_string_equal(qe_http_allow(QE_HTTP_PUT), "PUT");
    assert_string_equal(qe_http_allow(0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_exact_paths_are_found),
        cmocka_unit_test(a_405_names_the_methods_that_would_do),
        cmocka_unit_test(uncertain_framing_is_refused_and_closed),
        cmocka_unit_test(accept_lines_are_joined_with_commas),
        cmocka_unit_test(an_accept_that_does_not_fit_is_refused_whole),
        cmocka_unit_test(allow_knows_every_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
