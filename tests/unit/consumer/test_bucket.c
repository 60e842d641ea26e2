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

static void without_a_rate_there_is_always_room(void **state)
{
    struct qe_bucket bucket;

    (void)state;
    qe_bucket_init(&bucket, 0, 0);
    qe_bucket_take(&bucket, 1000);
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
        cmocka_unit_test(without_a_rate_there_is_always_room)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
