#include <string.h>
#include <unistd.h>

#include "metrics/process_internal.h"
#include "support/check.h"

#define REST                                                                                       \
    " S 1 2 3 0 -1 4194304 5 6 7 8 120 30 0 0 20 0 9 0 4500 1048576 256 18446744073709551615 1 "   \
    "1\n"

static void a_stat_line_is_read_whatever_the_program_is_called(void **state)
{
    static const char *const lines[] = {"12 (queue_exporter)" REST, "12 (a b) S 9 (c)" REST,
                                        "12 ()" REST};
    double ticks = (double)sysconf(_SC_CLK_TCK);

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct qe_process process = {0};
        double start_ticks = 0;

        assert_true(qe_process_parse_stat(lines[i], &process, &start_ticks));
        assert_double_equal(process.cpu_seconds, 150 / ticks);
        assert_double_equal(process.threads, 9);
        assert_double_equal(process.virtual_bytes, 1048576);
        assert_double_equal(process.resident_bytes, 256 * (double)sysconf(_SC_PAGESIZE));
        assert_double_equal(start_ticks, 4500);
    }
}

static void what_is_no_stat_line_changes_nothing(void **state)
{
    static const char *const lines[] = {"",         "12",           "12 (x)",        "12 (x) ",
                                        "12 (x) S", "12 (x) S 1 2", "12 (x) S a b c"};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct qe_process process = {.threads = 5};
        double start_ticks = 6;

        assert_false(qe_process_parse_stat(lines[i], &process, &start_ticks));
        assert_double_equal(process.threads, 5);
        assert_double_equal(start_ticks, 6);
    }
}

static void this_process_is_described(void **state)
{
    struct qe_process first;
    struct qe_process second;
    int fds[2];

    (void)state;
    qe_process_read(&first);
    assert_true(first.threads >= 1);
    assert_true(first.resident_bytes > 0);
    assert_true(first.virtual_bytes >= first.resident_bytes);
    assert_true(first.open_fds >= 3);
    assert_true(first.start_time_seconds > 1.6e9);
    assert_double_equal(qe_process_walk_fds(), first.open_fds);
    assert_int_equal(pipe(fds), 0);
    qe_process_read(&second);
    assert_double_equal(second.open_fds, first.open_fds + 2);
    assert_double_equal(second.start_time_seconds, first.start_time_seconds);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stat_line_is_read_whatever_the_program_is_called),
        cmocka_unit_test(what_is_no_stat_line_changes_nothing),
        cmocka_unit_test(this_process_is_described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
