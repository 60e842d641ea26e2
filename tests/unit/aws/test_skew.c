#include <stdio.h>

#include "aws/skew.h"
#include "support/check.h"

#define DATE_UNIX_MS INT64_C(1795391701000) /* Sun, 22 Nov 2026 23:55:01 GMT */

static bool learn(struct qe_aws_skew *skew, const char *headers, int64_t received_unix_ms)
{
    struct qe_http_reply reply = {.sent_unix_ms = received_unix_ms - 100,
                                  .received_unix_ms = received_unix_ms};

    assert_int_equal(qe_strbuf_append_text(&reply.headers, headers), 0);
    const bool learnt = qe_aws_skew_learn(skew, &reply);

    qe_http_reply_deinit(&reply);
    return learnt;
}

static void the_date_of_an_answer_tells_how_far_we_are_off(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        int64_t received_unix_ms;
        int64_t offset_ms;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 23:55:01 GMT\r\n\r\n", DATE_UNIX_MS, 0},
        {"HTTP/1.1 403 No\r\ndate:Sun, 22 Nov 2026 23:55:01 GMT\r\n\r\n", DATE_UNIX_MS - 600000,
         600000},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 23:55:01 GMT\r\n\r\n", DATE_UNIX_MS + 250500,
         -250500},
        {"HTTP/1.1 200 OK\r\nDate: Thu, 29 Feb 2024 00:00:00 GMT\r\n\r\n", INT64_C(1709164800000),
         0},
        {"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n", 5000, -5000},
        {"HTTP/1.1 200 OK\r\nDate: Fri, 31 Dec 9999 23:59:59 GMT\r\n\r\n", INT64_C(253402300799000),
         0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_aws_skew skew = {0};

        assert_int_equal(qe_aws_skew_offset_ms(&skew), 0);
        assert_true(learn(&skew, rows[i].headers, rows[i].received_unix_ms));
        assert_int_equal(qe_aws_skew_offset_ms(&skew), rows[i].offset_ms);
    }
}

static void what_tells_no_time_is_not_believed(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        const char *why;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", "no date"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 23:55:01 GMT\r\nAge: 0\r\n\r\n", "a cache"},
        {"HTTP/1.1 200 OK\r\nDate: \r\n\r\n", "empty"},
        {"HTTP/1.1 200 OK\r\nDate: Sunday, 22-Nov-26 23:55:01 GMT\r\n\r\n", "an old form"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 23:55:01 UTC\r\n\r\n", "no GMT"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Foo 2026 23:55:01 GMT\r\n\r\n", "no month"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 00 Nov 2026 23:55:01 GMT\r\n\r\n", "no day"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 32 Nov 2026 23:55:01 GMT\r\n\r\n", "no such day"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 1969 23:55:01 GMT\r\n\r\n", "before all time"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 24:55:01 GMT\r\n\r\n", "no hour"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 23:60:01 GMT\r\n\r\n", "no minute"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 23:55:-1 GMT\r\n\r\n", "a sign"},
        {"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 23:55:01 GMT and more than the room for it, "
         "which is not that much\r\n\r\n",
         "too long"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_aws_skew skew = {.is_known = true, .offset_ms = 7};

        if (learn(&skew, rows[i].headers, DATE_UNIX_MS)) {
            fail_msg("believed: %s", rows[i].why);
        }
        assert_int_equal(skew.offset_ms, 7); /* what was known stays */
    }
}

static void an_answer_that_took_long_or_never_came_tells_nothing(void **state)
{
    (void)state;
    static const char headers[] = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 23:55:01 GMT\r\n\r\n";
    struct qe_http_reply reply = {.sent_unix_ms = DATE_UNIX_MS - 900001,
                                  .received_unix_ms = DATE_UNIX_MS};
    struct qe_aws_skew skew = {0};

    assert_int_equal(qe_strbuf_append_text(&reply.headers, headers), 0);
    assert_false(qe_aws_skew_learn(&skew, &reply));
    reply.sent_unix_ms = DATE_UNIX_MS + 1; /* our own clock was set back meanwhile */
    assert_false(qe_aws_skew_learn(&skew, &reply));
    reply.sent_unix_ms = DATE_UNIX_MS;
    reply.err.code = QE_ERR_NETWORK;
    assert_false(qe_aws_skew_learn(&skew, &reply));
    reply.err.code = QE_OK;
    assert_true(qe_aws_skew_learn(&skew, &reply));
    qe_http_reply_deinit(&reply);
}

static void a_refusal_is_explained_by_a_change_of_four_minutes(void **state)
{
    (void)state;
    static const struct {
        bool is_known;
        bool is_ignored;
        int64_t offset_ms;
        int64_t used_ms;
        bool explains;
        const char *why;
    } rows[] = {
        {true, false, 240000, 0, true, "our clock is late"},
        {true, false, -240000, 0, true, "our clock is early"},
        {true, false, 239999, 0, false, "not far enough to be refused"},
        {true, false, 600000, 599000, false, "signed with that already"},
        {true, false, 600000, 0, true, "signed before it was known"},
        {true, false, 0, 600000, true, "our clock was set right since"},
        {true, true, 600000, 0, false, "not wanted"},
        {false, false, 600000, 0, false, "not known"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct qe_aws_skew skew = {.is_known = rows[i].is_known,
                                         .is_ignored = rows[i].is_ignored,
                                         .offset_ms = rows[i].offset_ms};

        if (qe_aws_skew_explains(&skew, rows[i].used_ms) != rows[i].explains) {
            fail_msg("wrong: %s", rows[i].why);
        }
        assert_int_equal(qe_aws_skew_offset_ms(&skew),
                         rows[i].is_ignored || !rows[i].is_known ? 0 : rows[i].offset_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_date_of_an_answer_tells_how_far_we_are_off),
        cmocka_unit_test(what_tells_no_time_is_not_believed),
        cmocka_unit_test(an_answer_that_took_long_or_never_came_tells_nothing),
        cmocka_unit_test(a_refusal_is_explained_by_a_change_of_four_minutes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
