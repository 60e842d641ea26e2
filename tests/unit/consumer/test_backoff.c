#include "consumer/backoff.h"
#include "support/check.h"

static const struct qe_backoff s_backoff = {.initial_ms = 1000, .max_ms = 300000};

static void ceiling_doubles_up_to_the_maximum(void **state)
{
    (void)state;
    assert_int_equal(qe_backoff_ceiling_ms(&s_backoff, 0), 1000);
    assert_int_equal(qe_backoff_ceiling_ms(&s_backoff, 1), 1000);
    assert_int_equal(qe_backoff_ceiling_ms(&s_backoff, 2), 2000);
    assert_int_equal(qe_backoff_ceiling_ms(&s_backoff, 9), 256000);
    assert_int_equal(qe_backoff_ceiling_ms(&s_backoff, 10), 300000);
    assert_int_equal(qe_backoff_ceiling_ms(&s_backoff, UINT64_MAX), 300000);
}

static void strange_settings_do_no_harm(void **state)
{
    const struct qe_backoff huge = {.initial_ms = INT64_MAX / 2 + 1, .max_ms = INT64_MAX};
    const struct qe_backoff turned = {.initial_ms = 5000, .max_ms = 100};
    const struct qe_backoff zero = {0};

    (void)state;
    assert_int_equal(qe_backoff_ceiling_ms(&huge, 100), INT64_MAX);
    assert_int_equal(qe_backoff_ceiling_ms(&turned, 1), 100);
    assert_int_equal(qe_backoff_ceiling_ms(&zero, 70), 0);
}

static void jitter_is_full_and_seeded(void **state)
{
    struct qe_random random;
    struct qe_random again;
    int64_t lowest = INT64_MAX;
    int64_t highest = 0;

    (void)state;
    qe_random_init(&random, 3);
    qe_random_init(&again, 3);
    for (int i = 0; i < 2000; i++) {
        int64_t delay = qe_backoff_ms(&s_backoff, 3, &random);

        assert_int_equal(delay, qe_backoff_ms(&s_backoff, 3, &again));
        assert_in_range(delay, 0, 4000);
        lowest = delay < lowest ? delay : lowest;
        highest = delay > highest ? delay : highest;
    }
    assert_true(lowest < 100);
    assert_true(highest > 3900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ceiling_doubles_up_to_the_maximum),
                                       cmocka_unit_test(strange_settings_do_no_harm),
                                       cmocka_unit_test(jitter_is_full_and_seeded)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
