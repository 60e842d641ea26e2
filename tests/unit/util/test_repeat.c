#include "support/check.h"
#include "util/repeat.h"

static void first_failure_and_change_of_reason_are_logged(void **state)
{
    struct qe_repeat repeat = {0};
    uint64_t unlogged = 99;

    (void)state;
    assert_true(qe_repeat_failed(&repeat, QE_ERR_NETWORK, 1000, &unlogged));
    assert_int_equal(unlogged, 0);
    assert_false(qe_repeat_failed(&repeat, QE_ERR_NETWORK, 2000, &unlogged));
    assert_true(qe_repeat_failed(&repeat, QE_ERR_AUTH, 3000, &unlogged));
    assert_int_equal(unlogged, 1);
}

static void lasting_failure_is_logged_every_five_minutes_with_a_count(void **state)
{
    struct qe_repeat repeat = {0};
    uint64_t unlogged = 0;
    unsigned lines = 0;

    (void)state;
    for (int64_t now = 0; now <= 2 * QE_REPEAT_INTERVAL_MS; now += 1000) {
        lines += qe_repeat_failed(&repeat, QE_ERR_TIMEOUT, now, &unlogged) ? 1 : 0;
    }
    assert_int_equal(lines, 3);
    assert_int_equal(unlogged, QE_REPEAT_INTERVAL_MS / 1000 - 1);
}

static void another_interval_may_be_asked_for_and_stays(void **state)
{
    struct qe_repeat repeat = {.interval_ms = 10000};
    uint64_t unlogged = 0;

    (void)state;
    for (int64_t start = 0; start <= 100000; start += 100000) {
        assert_true(qe_repeat_failed(&repeat, QE_ERR_IO, start, &unlogged));
        assert_false(qe_repeat_failed(&repeat, QE_ERR_IO, start + 9999, &unlogged));
        assert_true(qe_repeat_failed(&repeat, QE_ERR_IO, start + 10000, &unlogged));
        assert_int_equal(unlogged, 1);
        assert_true(qe_repeat_ended(&repeat));
    }
}

static void recovery_is_worth_one_line_and_starts_anew(void **state)
{
    struct qe_repeat repeat = {0};
    uint64_t unlogged = 0;

    (void)state;
    assert_false(qe_repeat_ended(&repeat));
    assert_true(qe_repeat_failed(&repeat, QE_ERR_IO, 1, &unlogged));
    assert_true(qe_repeat_ended(&repeat));
    assert_false(qe_repeat_ended(&repeat));
    assert_true(qe_repeat_failed(&repeat, QE_ERR_IO, 2, &unlogged));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_failure_and_change_of_reason_are_logged),
        cmocka_unit_test(lasting_failure_is_logged_every_five_minutes_with_a_count),
        cmocka_unit_test(another_interval_may_be_asked_for_and_stays),
        cmocka_unit_test(recovery_is_worth_one_line_and_starts_anew)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
