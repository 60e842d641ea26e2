#include "poll/schedule.h"
#include "support/check.h"

#define INTERVAL_MS INT64_C(30000)
#define START_MS 1000000

static void first_gap_is_half_to_a_whole_interval_and_differs_by_seed(void **state)
{
    struct qe_schedule a;
    struct qe_schedule b;

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        qe_schedule_init(&a, INTERVAL_MS, seed, START_MS);
        int64_t gap = qe_schedule_next_ms(&a, START_MS) - START_MS;

        assert_in_range(gap, INTERVAL_MS * 4 / 10, INTERVAL_MS * 11 / 10);
    }
    qe_schedule_init(&a, INTERVAL_MS, 1, START_MS);
    qe_schedule_init(&b, INTERVAL_MS, 2, START_MS);
    assert_int_not_equal(qe_schedule_next_ms(&a, START_MS), qe_schedule_next_ms(&b, START_MS));
}

static void gaps_stay_within_the_jitter_and_never_drift(void **state)
{
    struct qe_schedule schedule;
    int64_t now = START_MS;
    int points = 1000;

    (void)state;
    qe_schedule_init(&schedule, INTERVAL_MS, 42, START_MS);
    int64_t first = schedule.first_mono_ms;
    for (int i = 0; i < points; i++) {
        int64_t next = qe_schedule_next_ms(&schedule, now);
        int64_t grid = first + i * INTERVAL_MS;

        assert_true(next > now);
        assert_in_range(next - grid + INTERVAL_MS, INTERVAL_MS * 9 / 10, INTERVAL_MS * 11 / 10);
        now = next;
    }
}

static void late_poll_skips_what_it_missed(void **state)
{
    struct qe_schedule schedule;

    (void)state;
    qe_schedule_init(&schedule, INTERVAL_MS, 7, START_MS);
    int64_t first = qe_schedule_next_ms(&schedule, START_MS);
    int64_t late = first + 10 * INTERVAL_MS + INTERVAL_MS / 2;
    int64_t next = qe_schedule_next_ms(&schedule, late);

    assert_true(next > late);
    assert_true(next <= late + INTERVAL_MS * 12 / 10);
    assert_true(qe_schedule_next_ms(&schedule, next) >= next + INTERVAL_MS * 8 / 10);
}

static void same_seed_gives_the_same_points(void **state)
{
    struct qe_schedule a;
    struct qe_schedule b;

    (void)state;
    qe_schedule_init(&a, INTERVAL_MS, 5, START_MS);
    qe_schedule_init(&b, INTERVAL_MS, 5, START_MS);
    for (int64_t now = START_MS; now < START_MS + 100 * INTERVAL_MS; now += 7777) {
        assert_int_equal(qe_schedule_next_ms(&a, now), qe_schedule_next_ms(&b, now));
    }
}

static void interval_of_one_millisecond_still_advances(void **state)
{
    struct qe_schedule schedule;

    (void)state;
    qe_schedule_init(&schedule, 0, 9, START_MS);
    assert_int_equal(qe_schedule_next_ms(&schedule, START_MS + 50), START_MS + 51);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_gap_is_half_to_a_whole_interval_and_differs_by_seed),
        cmocka_unit_test(gaps_stay_within_the_jitter_and_never_drift),
        cmocka_unit_test(late_poll_skips_what_it_missed),
        cmocka_unit_test(same_seed_gives_the_same_points),
        cmocka_unit_test(interval_of_one_millisecond_still_advances)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
