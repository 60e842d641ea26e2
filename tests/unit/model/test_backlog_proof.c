/* What a verdict is proved by. */
#include "unit/model/fixture_backlog.h"

/* A quiet queue is read rarely, and often again once it has messages: the messages may have come a
 * moment before they were seen. */
static void a_window_counts_from_the_first_reading_that_says_so(void **state)
{
    (void)state;
    static const struct {
        series_fn *before;
        struct reading after;
        enum qe_backlog_state expected;
    } cases[] = {
        {sqs_empty, {500, 0, UNKNOWN, UNKNOWN, 0}, QE_BACKLOG_STALLED},
        {nothing, {500, 0, 2, 100, 0}, QE_BACKLOG_STALLED},
        {nothing, {500, 0, 0, 100, 0}, QE_BACKLOG_NO_CONSUMERS},
        {sqs_held, {40, 0, UNKNOWN, UNKNOWN, 0}, QE_BACKLOG_STALLED},
        {flowing, {0, 0, 2, 150, 0}, QE_BACKLOG_IDLE},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct watch watch = {0};

        print_message("case %zu\n", i);
        for (int step = 0; step < 4; step++) { /* ten minutes apart */
            (void)read_one(&watch, cases[i].before(step));
            watch.now_mono_ms += INT64_C(600000);
        }
        for (int step = 0; step < WINDOW_MS / STEP_MS; step++) {
            assert_int_not_equal(read_one(&watch, cases[i].after), cases[i].expected);
        }
        (void)read_one(&watch, cases[i].after); /* a new state is to be found twice */
        assert_int_equal(read_one(&watch, cases[i].after), cases[i].expected);
    }
}

static void a_counter_that_is_not_told_any_more_proves_nothing(void **state)
{
    (void)state;
    struct watch watch = {0};

    (void)read_some(&watch, flowing, 0, 30);
    for (int step = 0; step < 60; step++) { /* it works on, and who counts is gone */
        assert_int_not_equal(read_one(&watch, (struct reading){1000 + step, 5, 2, UNKNOWN, 0}),
                             QE_BACKLOG_STALLED);
    }
    /* Back again: it can be told from here on only. */
    for (int step = 0; step < WINDOW_MS / STEP_MS; step++) {
        assert_int_not_equal(read_one(&watch, (struct reading){1060, 5, 2, 9000, 0}),
                             QE_BACKLOG_STALLED);
    }
    (void)read_one(&watch, (struct reading){1060, 5, 2, 9000, 0});
    assert_int_equal(read_one(&watch, (struct reading){1060, 5, 2, 9000, 0}), QE_BACKLOG_STALLED);
}

/* Who gets each message by a call of its own is attached to nothing. */
static void what_settles_is_there_though_nothing_is_attached(void **state)
{
    (void)state;
    struct watch watch = {0};

    for (int step = 0; step < 60; step++) {
        assert_int_not_equal(read_one(&watch, (struct reading){40, 0, 0, 10.0 * step, 0}),
                             QE_BACKLOG_NO_CONSUMERS);
    }
    (void)read_some(&watch, nobody_there, 0, 1); /* fewer than before: begun anew */
    for (int step = 0; step <= WINDOW_MS / STEP_MS; step++) {
        (void)read_one(&watch, nobody_there(step));
    }
    assert_int_equal(watch.backlog.state, QE_BACKLOG_NO_CONSUMERS);
}

/* Where no counter tells what others settle, a handler that hangs shows only as what we hold. */
static void what_only_our_own_consumer_holds_and_never_settles_is_stalled(void **state)
{
    (void)state;
    struct watch ours = {.own_in_hand = 3};
    struct watch others = {.own_in_hand = 2};
    struct watch mended = {.own_in_hand = 3};

    assert_int_equal(read_some(&ours, sqs_held, 0, 30), QE_BACKLOG_STALLED);
    assert_int_equal(read_some(&others, sqs_held, 0, 30), QE_BACKLOG_STEADY);
    assert_int_equal(read_some(&mended, sqs_held, 0, 30), QE_BACKLOG_STALLED);
    (void)read_one(&mended, (struct reading){40, 3, UNKNOWN, UNKNOWN, 1});
    assert_int_equal(read_one(&mended, (struct reading){40, 3, UNKNOWN, UNKNOWN, 2}),
                     QE_BACKLOG_STEADY);
}

/* Approximate counts go up and down by a few, and at times show the past again. */
static void approximate_counts_make_no_trend_and_no_stall(void **state)
{
    (void)state;
    struct watch watch = {0};
    uint32_t random = 7;

    for (int step = 0; step < 2000; step++) {
        random = random * 1664525u + 1013904223u;
        double messages = 500 + (double)(random >> 8) / (1 << 24) * 40 - 20;
        enum qe_backlog_state found =
            read_one(&watch, (struct reading){messages, 3, UNKNOWN, UNKNOWN, 0});

        assert_true(found == QE_BACKLOG_UNKNOWN || found == QE_BACKLOG_STEADY);
    }
}

static void a_purge_is_no_drain(void **state)
{
    (void)state;
    static const double acknowledged[] = {UNKNOWN, 100};

    for (size_t i = 0; i < 2; i++) {
        struct watch watch = {0};
        double seconds = 0;

        for (int step = 0; step < 60; step++) {
            struct reading reading = {step < 30 ? 5000 : 0, 0, 2, acknowledged[i], 0};

            assert_int_not_equal(read_one(&watch, reading), QE_BACKLOG_DRAINING);
            assert_false(qe_backlog_drain_seconds(&watch.backlog, &seconds));
        }
        assert_int_equal(watch.backlog.state, QE_BACKLOG_IDLE);
    }
}

/* From a reading in ten minutes to one in 15 s, and back: what is far apart weighs no more than it
 * is. */
static void a_change_of_pace_makes_no_trend(void **state)
{
    (void)state;
    struct watch watch = {0};
    uint32_t random = 3;

    for (int step = 0; step < 4000; step++) {
        random = random * 1664525u + 1013904223u;
        double messages = 1000 + (double)(random >> 8) / (1 << 24) * 100 - 50;
        enum qe_backlog_state found =
            read_one(&watch, (struct reading){messages, 5, 2, step * 50.0, 0});

        watch.now_mono_ms += step / 40 % 2 == 0 ? INT64_C(585000) : 0;
        assert_true(found == QE_BACKLOG_UNKNOWN || found == QE_BACKLOG_STEADY);
    }
    assert_int_equal(watch.backlog.state, QE_BACKLOG_STEADY);
}

/* The low half of the clock goes round after 49 days. */
static void the_clock_may_go_round(void **state)
{
    (void)state;
    struct watch watch = {.now_mono_ms = INT64_C(0xffffffff) - INT64_C(12) * STEP_MS};

    assert_int_equal(read_some(&watch, falling, 0, 30), QE_BACKLOG_DRAINING);
    assert_int_equal(read_some(&watch, falling, 30, 50), QE_BACKLOG_DRAINING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_counts_from_the_first_reading_that_says_so),
        cmocka_unit_test(a_counter_that_is_not_told_any_more_proves_nothing),
        cmocka_unit_test(what_settles_is_there_though_nothing_is_attached),
        cmocka_unit_test(what_only_our_own_consumer_holds_and_never_settles_is_stalled),
        cmocka_unit_test(approximate_counts_make_no_trend_and_no_stall),
        cmocka_unit_test(a_purge_is_no_drain),
        cmocka_unit_test(a_change_of_pace_makes_no_trend),
        cmocka_unit_test(the_clock_may_go_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
