#include <string.h>

#include "consumer/output.h"
#include "support/check.h"
#include "util/log.h"

static const struct qe_origin s_origin = {"local", "", "orders"};

static struct qe_output make(void)
{
    struct qe_output output;
    struct qe_err err = {0};

    assert_ok(qe_output_init(&output, &s_origin, "exec", &err), err);
    return output;
}

static void take(struct qe_output_lines *lines, const char *text)
{
    assert_true(qe_output_take(lines, text, strlen(text)));
}

static void lines_are_found_in_any_pieces_and_the_last_is_kept(void **state)
{
    struct qe_output output = make();
    struct qe_output_lines lines = {.output = &output, .stream = "stderr"};
    const uint64_t before = qe_log_count(QE_LOG_INFO);

    (void)state;
    take(&lines, "on");
    take(&lines, "e\ntwo\r\n\n  \nthr");
    assert_string_equal(lines.last, "two");
    take(&lines, "ee");
    qe_output_flush(&lines);
    assert_string_equal(lines.last, "three");
    assert_int_equal(qe_log_count(QE_LOG_INFO) - before, 3); /* blank lines say nothing */
    assert_true(qe_output_take(&lines, "a\0b\n", 4));
    assert_string_equal(lines.last, "a?b");
    qe_output_flush(&lines);
    assert_int_equal(qe_log_count(QE_LOG_INFO) - before, 4);
    qe_output_deinit(&output);
}

static void a_line_without_end_is_one_short_line(void **state)
{
    struct qe_output output = make();
    struct qe_output_lines lines = {.output = &output, .stream = "stdout"};
    const uint64_t before = qe_log_count(QE_LOG_INFO);

    (void)state;
    for (int i = 0; i < 10000; i++) {
        take(&lines, "no end in sight, ");
    }
    take(&lines, "\nnext\n");
    assert_string_equal(lines.last, "next");
    assert_int_equal(qe_log_count(QE_LOG_INFO) - before, 2);
    qe_output_deinit(&output);
}

static void more_lines_than_a_log_can_bear_are_counted_only(void **state)
{
    struct qe_output output = make();
    struct qe_output_lines lines = {.output = &output, .stream = "stdout"};
    const uint64_t before = qe_log_count(QE_LOG_INFO);
    uint64_t logged;

    (void)state;
    for (int i = 0; i < 5000; i++) {
        take(&lines, "again\n");
    }
    logged = qe_log_count(QE_LOG_INFO) - before;
    /* The burst, and what the time that this took allows. */
    assert_in_range(logged, QE_OUTPUT_LINES_BURST, QE_OUTPUT_LINES_BURST + 200);
    qe_output_deinit(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_found_in_any_pieces_and_the_last_is_kept),
        cmocka_unit_test(a_line_without_end_is_one_short_line),
        cmocka_unit_test(more_lines_than_a_log_can_bear_are_counted_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
