#include "unit/model/fixture_backlog.h"

static struct reading passing_through(int step)
{
    return (struct reading){0, 0, 2, step * 10.0, 0};
}
static struct reading untouched(int step)
{
    (void)step;
    return (struct reading){40, 0, 2, 100, 0};
}
static struct reading held_in_hand(int step)
{
    (void)step;
    return (struct reading){40, 4, 2, 100, 0};
}
static struct reading arriving_untouched(int step)
{
    return (struct reading){40 + 10.0 * step, 0, 2, 100, 0};
}
static struct reading rising(int step)
{
    return (struct reading){jittered(1000 + 20.0 * step, 0.01, step), 5, 2, step * 50.0, 0};
}
static struct reading jumping_up(int step)
{
    return (struct reading){step < 12 ? 1000 : 5000, 5, 2, step * 50.0, 0};
}
static struct reading purged(int step)
{
    return (struct reading){step < 12 ? 5000 : 3, 5, 2, step * 50.0, 0};
}
static struct reading a_few_more(int step)
{
    return (struct reading){floor(step / 8.0), 0, 2, step * 5.0, 0};
}
static struct reading saw(int step)
{
    return (struct reading){1000 + 100.0 * (step % 8), 5, 2, step * 50.0, 0};
}
/* As SQS tells: no consumers, no counters, counts that jitter. */
static struct reading sqs_untouched(int step)
{
    (void)step;
    return (struct reading){40, 0, UNKNOWN, UNKNOWN, 0};
}
static struct reading sqs_flowing(int step)
{
    return (struct reading){jittered(1000, 0.08, step), 20, UNKNOWN, UNKNOWN, 0};
}
static struct reading sqs_ours(int step)
{
    return (struct reading){40, 0, UNKNOWN, UNKNOWN, (uint64_t)step};
}
static struct reading without_counts(int step)
{
    (void)step;
    return (struct reading){UNKNOWN, 3, 2, 100, 0};
}

static void each_series_has_its_state(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        series_fn *series;
        enum qe_backlog_state expected;
        enum qe_backlog_state expected_of_dead_letters;
    } cases[] = {
        {"nothing", nothing, QE_BACKLOG_IDLE, QE_BACKLOG_IDLE},
        {"passing through", passing_through, QE_BACKLOG_STEADY, QE_BACKLOG_STEADY},
        {"untouched", untouched, QE_BACKLOG_STALLED, QE_BACKLOG_STEADY},
        {"held in hand", held_in_hand, QE_BACKLOG_STALLED, QE_BACKLOG_STEADY},
        {"arriving untouched", arriving_untouched, QE_BACKLOG_STALLED, QE_BACKLOG_GROWING},
        {"nobody there", nobody_there, QE_BACKLOG_NO_CONSUMERS, QE_BACKLOG_STEADY},
        {"flowing", flowing, QE_BACKLOG_STEADY, QE_BACKLOG_STEADY},
        {"rising", rising, QE_BACKLOG_GROWING, QE_BACKLOG_GROWING},
        {"falling", falling, QE_BACKLOG_DRAINING, QE_BACKLOG_DRAINING},
        {"jumping up", jumping_up, QE_BACKLOG_STEADY, QE_BACKLOG_STEADY},
        {"purged", purged, QE_BACKLOG_STEADY, QE_BACKLOG_STEADY},
        {"a few more", a_few_more, QE_BACKLOG_STEADY, QE_BACKLOG_STEADY},
        {"saw", saw, QE_BACKLOG_STEADY, QE_BACKLOG_STEADY},
        {"SQS untouched", sqs_untouched, QE_BACKLOG_STALLED, QE_BACKLOG_STEADY},
        {"SQS held", sqs_held, QE_BACKLOG_STEADY, QE_BACKLOG_STEADY},
        {"SQS flowing", sqs_flowing, QE_BACKLOG_STEADY, QE_BACKLOG_STEADY},
        {"SQS, our consumer", sqs_ours, QE_BACKLOG_STEADY, QE_BACKLOG_STEADY},
        {"SQS empty", sqs_empty, QE_BACKLOG_IDLE, QE_BACKLOG_IDLE},
        {"without counts", without_counts, QE_BACKLOG_UNKNOWN, QE_BACKLOG_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct watch watch = {.now_mono_ms = 7000};
        struct watch dead_letters = {.now_mono_ms = 7000, .is_dead_letter_queue = true};
        struct watch stream = {.is_stream = true};

        print_message("%s\n", cases[i].name);
        assert_int_equal(read_some(&watch, cases[i].series, 0, 24), cases[i].expected);
        assert_int_equal(read_some(&dead_letters, cases[i].series, 0, 24),
                         cases[i].expected_of_dead_letters);
        assert_int_equal(read_some(&stream, cases[i].series, 0, 24), QE_BACKLOG_UNKNOWN);
    }
}

static void nothing_is_judged_before_a_full_window(void **state)
{
    (void)state;
    static series_fn *const all[] = {nothing, untouched, nobody_there, rising, falling};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct watch watch = {0};

        assert_int_equal(read_some(&watch, all[i], 0, WINDOW_MS / STEP_MS), QE_BACKLOG_UNKNOWN);
        assert_int_not_equal(
            read_some(&watch, all[i], WINDOW_MS / STEP_MS, WINDOW_MS / STEP_MS + 1),
            QE_BACKLOG_UNKNOWN);
    }
}

static void noise_alone_hardly_ever_makes_a_trend(void **state)
{
    (void)state;
    static const double shares[] = {0.02, 0.1, 0.5};
    uint32_t random = 1;
    int trends = 0;

    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        struct watch watch = {0};

        for (int step = 0; step < 20000; step++) {
            random = random * 1664525u + 1013904223u;
            double noise = 2 * ((double)(random >> 8) / (1 << 24)) - 1;
            enum qe_backlog_state found =
                read_one(&watch, (struct reading){1000 * (1 + shares[i] * noise), 5, 2, step, 0});

            trends += found == QE_BACKLOG_GROWING || found == QE_BACKLOG_DRAINING;
        }
    }
    print_message("%d of 60000 readings\n", trends);
    assert_true(trends < 60); /* 0.1 % of them */
}

static void drain_time_is_what_is_left_by_the_rate(void **state)
{
    (void)state;
    struct watch watch = {0};
    double seconds = 0;

    assert_false(qe_backlog_drain_seconds(&watch.backlog, &seconds));
    (void)read_some(&watch, falling, 0, 25); /* 3600 are left, 100 go in 15 s */
    assert_true(qe_backlog_drain_seconds(&watch.backlog, &seconds));
    assert_true(fabs(seconds - 3600 / (100 / 15.0)) < 1);
    (void)read_some(&watch, flowing, 25, 60);
    assert_false(qe_backlog_drain_seconds(&watch.backlog, &seconds));
}

static void change_is_the_difference_of_two_readings_a_window_apart(void **state)
{
    (void)state;
    struct watch watch = {0};
    double messages = 0;
    double seconds = 0;

    (void)read_some(&watch, falling, 0, 20); /* the window has 20 steps: 285 s are none */
    assert_false(qe_backlog_change(&watch.backlog, &messages, &seconds));
    (void)read_some(&watch, falling, 20, 60);
    assert_true(qe_backlog_change(&watch.backlog, &messages, &seconds));
    assert_true(fabs(seconds - 300) < 0.001);
    assert_true(fabs(messages + 2000) < 0.001);
    (void)read_one(&watch, (struct reading){40, 0, 2, 6000, 0}); /* purged, but for 40 */
    assert_true(qe_backlog_change(&watch.backlog, &messages, &seconds));
    assert_true(fabs(messages - (40 - 2000)) < 0.001);
    (void)read_some(&watch, without_counts, 61, 62);
    assert_false(qe_backlog_change(&watch.backlog, &messages, &seconds));
}

static void one_odd_reading_changes_nothing(void **state)
{
    (void)state;
    struct watch watch = {0};

    assert_int_equal(read_some(&watch, rising, 0, 30), QE_BACKLOG_GROWING);
    assert_int_equal(read_one(&watch, (struct reading){10, 5, 2, 1500, 0}), QE_BACKLOG_GROWING);
    assert_int_equal(read_some(&watch, rising, 31, 34), QE_BACKLOG_GROWING);

    struct watch untouched_one = {0};

    assert_int_equal(read_some(&untouched_one, untouched, 0, 30), QE_BACKLOG_STALLED);
    assert_int_equal(read_one(&untouched_one, (struct reading){39, 0, 2, 101, 0}),
                     QE_BACKLOG_STALLED); /* it may be one message; the next reading says */
    assert_int_equal(read_one(&untouched_one, (struct reading){38, 0, 2, 102, 0}),
                     QE_BACKLOG_STEADY);
}

static void a_trend_ends_later_than_it_begins(void **state)
{
    (void)state;
    struct watch watch = {0};
    int held = 0;

    (void)read_some(&watch, rising, 0, 30);
    /* It stands still from here on. A queue that never rose is steady with the same points. */
    for (; read_one(&watch, (struct reading){1600, 5, 2, 1500 + held, 0}) == QE_BACKLOG_GROWING;
         held++) {
        assert_true(held < 20);
    }
    assert_true(held >= 8);
}

static void a_restarted_broker_begins_anew(void **state)
{
    (void)state;
    struct watch watch = {0};

    assert_int_equal(read_some(&watch, untouched, 0, 30), QE_BACKLOG_STALLED);
    assert_int_equal(read_one(&watch, (struct reading){40, 0, 2, 3, 0}), QE_BACKLOG_UNKNOWN);
}

static void rare_readings_make_a_longer_window(void **state)
{
    (void)state;
    struct watch watch = {0};

    for (int i = 0; i < 3; i++) { /* ten minutes apart */
        assert_int_equal(read_one(&watch, sqs_untouched(i)), QE_BACKLOG_UNKNOWN);
        watch.now_mono_ms += INT64_C(600000);
    }
    assert_int_equal(read_one(&watch, sqs_untouched(3)), QE_BACKLOG_STALLED);
}

static void a_trend_needs_more_readings_than_a_verdict(void **state)
{
    (void)state;
    struct watch watch = {0};

    for (int i = 0; i < QE_BACKLOG_TREND_POINTS_MIN - 1; i++) { /* five minutes apart */
        assert_int_equal(read_one(&watch, (struct reading){100.0 * i, 1, 2, i, 0}),
                         QE_BACKLOG_UNKNOWN);
        watch.now_mono_ms += WINDOW_MS;
    }
    assert_int_equal(read_one(&watch, (struct reading){900, 1, 2, 9, 0}), QE_BACKLOG_GROWING);
}

static void frequent_readings_keep_to_the_window(void **state)
{
    (void)state;
    struct watch watch = {0};

    for (int i = 0; i < 5000; i++) { /* every 100 ms: 500 s */
        watch.now_mono_ms = i * INT64_C(100);
        (void)read_one(&watch, (struct reading){i, 0, 2, i, 0});
        watch.now_mono_ms = i * INT64_C(100);
    }
    const struct qe_backlog *backlog = &watch.backlog;
    uint32_t covers =
        backlog->points[backlog->points_count - 1].mono_ms - backlog->points[0].mono_ms;

    assert_int_equal(backlog->state, QE_BACKLOG_GROWING);
    assert_true(backlog->points_count >= QE_BACKLOG_POINTS_MAX - 1);
    assert_in_range(covers, WINDOW_MS * 9 / 10, WINDOW_MS * 11 / 10);
    assert_true(backlog->points[backlog->points_count - 1].messages == 4999);
}

static void every_state_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < QE_BACKLOG_STATE_COUNT; i++) {
        assert_true(i == QE_BACKLOG_UNKNOWN ||
                    strcmp(qe_backlog_state_name((enum qe_backlog_state)i), "unknown") != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_series_has_its_state),
        cmocka_unit_test(nothing_is_judged_before_a_full_window),
        cmocka_unit_test(noise_alone_hardly_ever_makes_a_trend),
        cmocka_unit_test(drain_time_is_what_is_left_by_the_rate),
        cmocka_unit_test(change_is_the_difference_of_two_readings_a_window_apart),
        cmocka_unit_test(one_odd_reading_changes_nothing),
        cmocka_unit_test(a_trend_ends_later_than_it_begins),
        cmocka_unit_test(a_restarted_broker_begins_anew),
        cmocka_unit_test(rare_readings_make_a_longer_window),
        cmocka_unit_test(a_trend_needs_more_readings_than_a_verdict),
        cmocka_unit_test(frequent_readings_keep_to_the_window),
        cmocka_unit_test(every_state_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
