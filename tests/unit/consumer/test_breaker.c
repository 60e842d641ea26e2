#include "consumer/breaker.h"
#include "support/check.h"

static void opens_after_so_many_failures_in_a_row_and_not_before(void **state)
{
    struct qe_breaker breaker = {.failures_max = 3, .pause_ms = 1000};

    (void)state;
    assert_false(qe_breaker_note(&breaker, true, 0));
    assert_false(qe_breaker_note(&breaker, true, 0));
    assert_false(qe_breaker_note(&breaker, false, 0)); /* breaks the row */
    assert_false(qe_breaker_note(&breaker, true, 0));
    assert_false(qe_breaker_note(&breaker, true, 0));
    assert_true(qe_breaker_room(&breaker, 7, 0) == SIZE_MAX);
    assert_true(qe_breaker_note(&breaker, true, 0));
    assert_int_equal(breaker.state, QE_CIRCUIT_OPEN);
    assert_int_equal(qe_breaker_room(&breaker, 0, 999), 0);
}

static struct qe_breaker opened_at_zero(void)
{
    struct qe_breaker breaker = {.failures_max = 1, .pause_ms = 1000};

    (void)qe_breaker_note(&breaker, true, 0);
    return breaker;
}

static void probes_with_one_message_once_its_pause_is_over(void **state)
{
    struct qe_breaker breaker = opened_at_zero();

    (void)state;
    assert_int_equal(qe_breaker_room(&breaker, 0, 1000), 1);
    assert_int_equal(breaker.state, QE_CIRCUIT_HALF_OPEN);
    assert_int_equal(qe_breaker_room(&breaker, 1, 1001), 0); /* the probe is in work */
}

static void good_probe_closes_and_a_bad_one_opens_again(void **state)
{
    struct qe_breaker breaker = opened_at_zero();

    (void)state;
    (void)qe_breaker_room(&breaker, 0, 1000);
    assert_true(qe_breaker_note(&breaker, true, 1500));
    assert_int_equal(breaker.state, QE_CIRCUIT_OPEN);
    assert_int_equal(qe_breaker_room(&breaker, 0, 2499), 0);
    assert_int_equal(qe_breaker_room(&breaker, 0, 2500), 1);
    assert_true(qe_breaker_note(&breaker, false, 2600));
    assert_true(qe_breaker_room(&breaker, 9, 2600) == SIZE_MAX);
}

static void what_was_in_hand_when_it_opened_proves_nothing(void **state)
{
    struct qe_breaker breaker = opened_at_zero();

    (void)state;
    assert_false(qe_breaker_note(&breaker, false, 10));
    assert_int_equal(breaker.state, QE_CIRCUIT_OPEN);
    assert_false(qe_breaker_note(&breaker, true, 900));
    assert_int_equal(qe_breaker_room(&breaker, 0, 1000), 1); /* nor does it make it longer */
}

static void without_a_limit_it_never_opens(void **state)
{
    struct qe_breaker breaker = {.pause_ms = 1000};

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_false(qe_breaker_note(&breaker, true, i));
    }
    assert_true(qe_breaker_room(&breaker, 0, 100) == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_after_so_many_failures_in_a_row_and_not_before),
        cmocka_unit_test(probes_with_one_message_once_its_pause_is_over),
        cmocka_unit_test(good_probe_closes_and_a_bad_one_opens_again),
        cmocka_unit_test(what_was_in_hand_when_it_opened_proves_nothing),
        cmocka_unit_test(without_a_limit_it_never_opens)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
