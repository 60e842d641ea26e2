#include "consumer/bucket.h"
#include "support/check.h"

static void no_second_gives_more_than_its_rate_after_the_first_ones_worth(void **state)
{
    struct qe_bucket bucket;
    size_t given = 0;

    (void)state;
    qe_bucket_init(&bucket, 50, 1000);
    for (int64_t now = 1000; now < 11000; now += 7) {
        size_t room = qe_bucket_room(&bucket, now);

        given += room;
        qe_bucket_take(&bucket, room);
    }
    assert_in_range(given, 490, 501);
}

static void what_is_not_used_is_kept_for_one_second_only(void **state)
{
    struct qe_bucket bucket;

    (void)state;
    qe_bucket_init(&bucket, 20, 0);
    assert_int_equal(qe_bucket_room(&bucket, 0), 1); /* a restart is no burst */
    assert_int_equal(qe_bucket_room(&bucket, 500), 11);
    assert_int_equal(qe_bucket_room(&bucket, 3600000), 20);
}

static void slow_rates_give_one_at_a_time_when_they_say(void **state)
{
    struct qe_bucket bucket;

    (void)state;
    qe_bucket_init(&bucket, 0.5, 0);
    qe_bucket_take(&bucket, qe_bucket_room(&bucket, 0));
    assert_int_equal(qe_bucket_ready_mono_ms(&bucket), 2000);
    assert_int_equal(qe_bucket_room(&bucket, 1999), 0);
    assert_int_equal(qe_bucket_room(&bucket, 2000), 1);
    assert_int_equal(qe_bucket_room(&bucket, 1000000), 1);
}

static void what_was_taken_too_much_is_paid_back(void **state)
{
    struct qe_bucket bucket;

    (void)state;
    qe_bucket_init(&bucket, 10, 0);
    qe_bucket_take(&bucket, 6);
    assert_int_equal(qe_bucket_room(&bucket, 500), 0);
    assert_int_equal(qe_bucket_ready_mono_ms(&bucket), 600);
    assert_int_equal(qe_bucket_room(&bucket, 600), 1);
}

static void what_is_returned_is_there_again_but_no_more_than_one_seconds_worth(void **state)
{
    struct qe_bucket bucket;

    (void)state;
    qe_bucket_init(&bucket, 2, 0);
    qe_bucket_take(&bucket, qe_bucket_room(&bucket, 0));
    qe_bucket_return(&bucket, 1);
    assert_int_equal(qe_bucket_ready_mono_ms(&bucket), 10);
    assert_int_equal(qe_bucket_room(&bucket, 9), 0);
    assert_int_equal(qe_bucket_room(&bucket, 10), 1);
    qe_bucket_return(&bucket, 1000); /* after a long wait, say */
    assert_int_equal(qe_bucket_room(&bucket, 5000), 2);
    qe_bucket_take(&bucket, 2);
    assert_int_equal(qe_bucket_room(&bucket, 5250), 0); /* nothing is left of the rest */
    qe_bucket_take(&bucket, 3);
    qe_bucket_return(&bucket, 3); /* a debt is one no more */
    assert_int_equal(qe_bucket_ready_mono_ms(&bucket), 5500);
    qe_bucket_take(&bucket, 3);
    qe_bucket_return(&bucket, 1); /* a part of it */
    assert_int_equal(qe_bucket_ready_mono_ms(&bucket), 6500);
    assert_int_equal(qe_bucket_room(&bucket, 6500), 1);
}

/* Who returns all that he takes, at once. */
static size_t taken_for_nothing(double per_second, int64_t duration_ms)
{
    struct qe_bucket bucket;
    size_t taken = 0;

    qe_bucket_init(&bucket, per_second, 0);
    for (int64_t now = 0; now < duration_ms; now++) {
        size_t room = qe_bucket_room(&bucket, now);

        taken += room;
        qe_bucket_take(&bucket, room);
        qe_bucket_return(&bucket, room);
    }
    return taken;
}

static void what_is_returned_again_and_again_keeps_a_pace(void **state)
{
    (void)state;
    print_message("%zu and %zu in 10 s\n", taken_for_nothing(1, 10000),
                  taken_for_nothing(500, 10000));
    assert_in_range(taken_for_nothing(1, 10000), 900, 1011);
    assert_in_range(taken_for_nothing(500, 10000), 9000, 10001);
}

static void without_a_rate_there_is_always_room(void **state)
{
    struct qe_bucket bucket;

    (void)state;
    qe_bucket_init(&bucket, 0, 0);
    qe_bucket_take(&bucket, 1000);
    qe_bucket_return(&bucket, 1000);
    assert_true(qe_bucket_room(&bucket, 0) == SIZE_MAX);
    assert_int_equal(qe_bucket_ready_mono_ms(&bucket), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_second_gives_more_than_its_rate_after_the_first_ones_worth),
        cmocka_unit_test(what_is_not_used_is_kept_for_one_second_only),
        cmocka_unit_test(slow_rates_give_one_at_a_time_when_they_say),
        cmocka_unit_test(what_was_taken_too_much_is_paid_back),
        cmocka_unit_test(what_is_returned_is_there_again_but_no_more_than_one_seconds_worth),
        cmocka_unit_test(what_is_returned_again_and_again_keeps_a_pace),
        cmocka_unit_test(without_a_rate_there_is_always_room)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
