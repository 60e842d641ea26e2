/* The small parsers: times, command lines, and what may be shown of others' words. */
#include <stdio.h>
#include <string.h>

#include "aws/command.h"
#include "aws/provider_internal.h"
#include "aws/timestamp.h"
#include "support/check.h"

static void times_are_read_as_aws_writes_them(void **state)
{
    static const struct {
        const char *text;
        int64_t unix_ms; /* -1: refused */
    } s_rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-01T00:00:00Z", INT64_C(1767225600000)},
        {"2026-01-01T00:00:00.185346Z", INT64_C(1767225600185)},
        {"2026-01-01t00:00:00.5z", INT64_C(1767225600500)},
        {"2026-01-01 01:00:00+01:00", INT64_C(1767225600000)},
        {"2025-12-31T23:00:00-0100", INT64_C(1767225600000)},
        {"2024-02-29T12:00:00Z", INT64_C(1709208000000)},
        {"2009-02-13T23:31:30Z", INT64_C(1234567890000)},
        {"9999-12-31T23:59:59Z", INT64_C(253402300799000)},
        {"1969-12-31T23:59:59Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-00-01T00:00:00Z", -1},
        {"2026-01-32T00:00:00Z", -1},
        {"2026-01-01T24:00:00Z", -1},
        {"2026-01-01T00:60:00Z", -1},
        {"2026-01-01T00:00:00", -1},
        {"2026-01-01T00:00:00.Z", -1},
        {"2026-01-01T00:00:00Zx", -1},
        {"2026-01-01T00:00:00+1", -1},
        {"2026-1-1T00:00:00Z", -1},
        {"20260101T000000Z", -1},
        {"1767225600", -1},
        {"", -1},
        {"2026-01-01T00:00:00.12345678901234567890123Z", INT64_C(1767225600123)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_err err = {0};
        int64_t unix_ms = 7;
        const int rc = qe_aws_parse_timestamp(s_rows[i].text, &unix_ms, &err);

        if (rc != (s_rows[i].unix_ms < 0 ? -1 : 0) ||
            unix_ms != (s_rows[i].unix_ms < 0 ? 7 : s_rows[i].unix_ms)) {
            fail_msg("\"%s\": %d, %lld", s_rows[i].text, rc, (long long)unix_ms);
        }
    }
}

static void command_lines_are_split_as_a_shell_does_it(void **state)
{
    static const struct {
        const char *line;
        const char *words; /* NULL: refused */
    } s_rows[] = {
        {"a", "[a]"},
        {"  a\tb \n c ", "[a][b][c]"},
        {"a 'b c' \"d e\"", "[a][b c][d e]"},
        {"a'b'\"c\"d", "[abcd]"},
        {"a ''", "[a][]"},
        {"a \\ b", "[a][ b]"},
        {"a '\\' b", "[a][\\][b]"},
        {"a \"\\\"\\\\\\$\\n\"", "[a][\"\\$\\n]"},
        {"a | b > c; $d `e`", "[a][|][b][>][c;][$d][`e`]"},
        {"a \\", "[a][\\]"},
        {"", NULL},
        {" \t", NULL},
        {"a 'b", NULL},
        {"a \"b", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_err err = {0};
        struct qe_aws_command *command = qe_aws_command_new(s_rows[i].line, &err);
        char words[256] = "";
        size_t length = 0;

        if (s_rows[i].words == NULL) {
            assert_null(command);
            assert_int_equal(err.code, QE_ERR_INVALID);
            continue;
        }
        assert_non_null(command);
        for (char *const *word = qe_aws_command_argv(command); *word != NULL; word++) {
            length += (size_t)snprintf(words + length, sizeof words - length, "[%s]", *word);
        }
        assert_string_equal(words, s_rows[i].words);
        qe_aws_command_destroy(command);
    }
}

static int command_torture(void *context, struct qe_err *err)
{
    struct qe_aws_command *command = qe_aws_command_new("a b c", err);

    (void)context;
    qe_aws_command_destroy(command);
    return command == NULL ? -1 : 0;
}

static void too_long_a_command_line_is_refused(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_strbuf line = {0};

    for (size_t i = 0; i <= QE_AWS_COMMAND_WORDS_MAX; i++) {
        (void)qe_strbuf_append_text(&line, "a ");
    }
    assert_null(qe_aws_command_new(qe_strbuf_text(&line), &err));
    assert_int_equal(err.code, QE_ERR_INVALID);
    while (line.length_bytes <= QE_AWS_COMMAND_MAX_BYTES) {
        (void)qe_strbuf_append_text(&line, "aaaaaaaa");
    }
    assert_null(qe_aws_command_new(qe_strbuf_text(&line), &err));
    assert_int_equal(err.code, QE_ERR_LIMIT);
    qe_strbuf_deinit(&line);
    qe_check_torture(command_torture, NULL);
}

static void others_words_are_shown_without_keys_and_tokens(void **state)
{
    static const struct {
        const char *text;
        const char *shown;
    } s_rows[] = {
        {"plain words", "plain words"},
        {"  two\n lines\t\x01 ", "two lines"},
        {"key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY end", "key [hidden] end"},
        {"key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "[hidden]"},
        {"token eyJhbGciOi.eyJh.x end", "token [hidden] end"},
        {"\"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\",", "[hidden]"},
        {"open /usr/local/share/credentials/helper/of/mine2/Tool", "open "
                                                                   "/usr/local/share/credentials/"
                                                                   "helper/of/mine2/Tool"},
        {"arn:aws:iam::123456789012:role/Some-Role_name", "arn:aws:iam::123456789012:role/"
                                                          "Some-Role_name"},
        {"grün \xff\xfe bad", "grün bad"},
        {"", ""},
    };
    char out[QE_AWS_PUBLIC_BYTES];
    char words[2000];

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        assert_string_equal(qe_aws_public_text(s_rows[i].text, strlen(s_rows[i].text), out),
                            s_rows[i].shown);
    }
    for (size_t i = 0; i < sizeof words; i++) {
        words[i] = i % 3 == 2 ? ' ' : 'x';
    }
    assert_int_equal(strlen(qe_aws_public_text(words, sizeof words, out)), QE_AWS_PUBLIC_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_as_aws_writes_them),
        cmocka_unit_test(command_lines_are_split_as_a_shell_does_it),
        cmocka_unit_test(too_long_a_command_line_is_refused),
        cmocka_unit_test(others_words_are_shown_without_keys_and_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
