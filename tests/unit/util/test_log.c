#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "support/capture.h"
#include "support/check.h"
#include "util/log.h"
#include "util/text.h"

/* Checks and skips the time stamp: its 24 characters differ each time. */
static const char *after_time(const char *line, const char *before, const char *after)
{
    assert_true(qe_text_starts_with(line, before));
    line += strlen(before);
    assert_true(strlen(line) > 24);
    assert_int_equal(line[4], '-');
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[19], '.');
    assert_int_equal(line[23], 'Z');
    line += 24;
    assert_true(qe_text_starts_with(line, after));
    return line + strlen(after);
}

static void logfmt_quotes_only_what_needs_it(void **state)
{
    (void)state;
    qe_capture_stderr();
    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    qe_log(QE_LOG_WARN, "source down", "source", "local", "none", NULL, "error", "a \"b\"\n\\",
           "empty", "", "eq", "a=b", NULL);
    const char *text = after_time(qe_captured(), "ts=", " ");

    assert_string_equal(text, "level=warn msg=\"source down\" source=local "
                              "error=\"a \\\"b\\\"\\n\\\\\" empty=\"\" eq=\"a=b\"\n");
}

static void json_escapes_and_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    qe_capture_stderr();
    qe_log_setup(QE_LOG_INFO, QE_LOG_JSON);
    qe_log(QE_LOG_ERROR, "up", "a", "x\x01\x7f\xc2\x9b\xc2\xa0\t\r", "b", "caf\xc3\xa9 \xff\xc3",
           NULL);
    const char *text = after_time(qe_captured(), "{\"ts\":\"", "\",");

    assert_string_equal(text, "\"level\":\"error\",\"msg\":\"up\","
                              "\"a\":\"x\\u0001\\u007f\\u009b\xc2\xa0\\t\\r\","
                              "\"b\":\"caf\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd\"}\n");
}

static void a_line_below_the_level_is_neither_written_nor_counted(void **state)
{
    (void)state;
    uint64_t before = qe_log_count(QE_LOG_DEBUG);
    uint64_t info_before = qe_log_count(QE_LOG_INFO);

    qe_capture_stderr();
    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    qe_log(QE_LOG_DEBUG, "hidden", NULL);
    qe_log(QE_LOG_INFO, "shown", NULL);
    const char *text = qe_captured();

    assert_null(strstr(text, "hidden"));
    assert_non_null(strstr(text, "msg=shown\n"));
    assert_true(qe_log_count(QE_LOG_DEBUG) == before);
    assert_true(qe_log_count(QE_LOG_INFO) == info_before + 1);
    assert_false(qe_log_enabled(QE_LOG_DEBUG));
    assert_true(qe_log_enabled(QE_LOG_ERROR));
}

static void a_long_line_is_cut_and_still_ends_well(void **state)
{
    (void)state;
    static char value[8000];

    /* Every alignment of escapes and characters to the cut. */
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i + 3 < sizeof value; i++) {
            value[i] = 'x';
        }
        for (size_t i = shift; i + 5 < sizeof value; i += 5) {
            memcpy(value + i, "\x02\xe2\x82\xac\"", 5);
        }
        value[sizeof value - 1] = '\0';
        qe_capture_stderr();
        qe_log_setup(QE_LOG_INFO, QE_LOG_JSON);
        qe_log(QE_LOG_INFO, "long", "value", value, "lost", "yes", NULL);
        const char *text = qe_captured();
        size_t length = strlen(text);

        assert_true(length <= 4096 && length > 4000);
        assert_string_equal(text + length - 6, "...\"}\n");
        assert_true(strchr(text, '\n') == text + length - 1);
        assert_true(qe_text_is_utf8(text, length));
        assert_null(strstr(text, "lost"));
    }
}

static void a_plain_value_of_any_length_keeps_the_line_within_its_limit(void **state)
{
    (void)state;
    static char value[5000];

    for (size_t length = 3950; length < 4100; length++) {
        memset(value, 'v', length);
        value[length] = '\0';
        qe_capture_stderr();
        qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
        qe_log(QE_LOG_INFO, "m", "k", value, "next", "n", NULL);
        const char *text = qe_captured();

        assert_true(strlen(text) <= 4096);
        assert_int_equal(text[strlen(text) - 1], '\n');
    }
}

static void logging_leaves_errno_alone(void **state)
{
    (void)state;
    qe_capture_stderr();
    errno = ENOENT;
    qe_log(QE_LOG_ERROR, "x", NULL);
    int kept = errno;

    (void)qe_captured();
    assert_int_equal(kept, ENOENT);
}

static void *log_often(void *context)
{
    for (int i = 0; i < 50; i++) {
        qe_log(QE_LOG_INFO, "thread", "name", (const char *)context, NULL);
    }
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    static char names[4][2] = {"a", "b", "c", "d"};
    pthread_t threads[4];

    qe_capture_stderr();
    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_often, names[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    const char *at = qe_captured();
    int lines = 0;

    for (; *at != '\0'; lines++) {
        at = after_time(at, "ts=", " level=info msg=thread name=");
        assert_true(*at >= 'a' && *at <= 'd');
        assert_int_equal(at[1], '\n');
        at += 2;
    }
    assert_int_equal(lines, 200);
}

static void levels_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < QE_LOG_LEVEL_COUNT; i++) {
        enum qe_log_level level = QE_LOG_LEVEL_COUNT;

        assert_int_equal(qe_log_level_from_name(qe_log_level_name((enum qe_log_level)i), &level),
                         0);
        assert_int_equal(level, i);
    }
    enum qe_log_level level = QE_LOG_WARN;

    assert_int_equal(qe_log_level_from_name("loud", &level), -1);
    assert_int_equal(level, QE_LOG_WARN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_quotes_only_what_needs_it),
        cmocka_unit_test(json_escapes_and_replaces_what_is_not_utf8),
        cmocka_unit_test(a_line_below_the_level_is_neither_written_nor_counted),
        cmocka_unit_test(a_long_line_is_cut_and_still_ends_well),
        cmocka_unit_test(a_plain_value_of_any_length_keeps_the_line_within_its_limit),
        cmocka_unit_test(logging_leaves_errno_alone),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(levels_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
