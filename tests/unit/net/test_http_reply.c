#include <string.h>

#include "net/http_client.h"
#include "support/check.h"

static void a_header_is_found_whatever_its_case(void **state)
{
    static const char lines[] = "HTTP/1.1 200 OK\r\n"
                                "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
                                "X-Twice: one\r\n"
                                "X-Spaces:  \t a b \t\r\n"
                                "X-Empty:\r\n"
                                "x-twice:two\r\n"
                                "X-Twice-More: three\r\n"
                                "\r\n";
    static const struct {
        const char *name;
        const char *value; /* NULL: none */
    } rows[] = {
        {"date", "Tue, 15 Nov 1994 08:12:31 GMT"},
        {"X-TWICE", "two"},
        {"X-Spaces", "a b"},
        {"X-Empty", ""},
        {"X-Twice-More", "three"},
        {"X-Twic", NULL},
        {"X-Missing", NULL},
        {"", NULL},
        {"HTTP/1.1 200 OK", NULL},
    };
    struct qe_http_reply reply = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char value[64] = "old";

        assert_false(qe_http_reply_header(&reply, rows[i].name, value, sizeof value));
        assert_string_equal(value, "");
    }
    assert_int_equal(qe_strbuf_append_text(&reply.headers, lines), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char value[64] = "old";

        assert_int_equal(qe_http_reply_header(&reply, rows[i].name, value, sizeof value),
                         rows[i].value != NULL);
        assert_string_equal(value, rows[i].value == NULL ? "" : rows[i].value);
    }
    qe_http_reply_deinit(&reply);
}

static void a_value_that_does_not_fit_is_none(void **state)
{
    struct qe_http_reply reply = {0};
    char value[4];

    (void)state;
    assert_int_equal(qe_strbuf_append_text(&reply.headers, "A: 123\r\nB: 1234\r\nC: 12"), 0);
    assert_true(qe_http_reply_header(&reply, "A", value, sizeof value));
    assert_string_equal(value, "123");
    assert_false(qe_http_reply_header(&reply, "B", value, sizeof value));
    assert_string_equal(value, "");
    assert_true(qe_http_reply_header(&reply, "C", value, sizeof value)); /* no line end */
    assert_string_equal(value, "12");
    qe_http_reply_deinit(&reply);
    qe_http_reply_deinit(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_found_whatever_its_case),
        cmocka_unit_test(a_value_that_does_not_fit_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
