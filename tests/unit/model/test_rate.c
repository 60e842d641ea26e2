#include <math.h>

#include "model/rate.h"
#include "unit/model/fixture.h"

/* One reading; a counter below 0 is not known. */
static void read_at(struct qe_rate *rate, int64_t mono_ms, double published, double acknowledged)
{
    struct qe_sample sample = {0};

    if (published >= 0) {
        qe_sample_set(&sample, QE_FIELD_PUBLISHED_TOTAL, published);
    }
    if (acknowledged >= 0) {
        qe_sample_set(&sample, QE_FIELD_ACKNOWLEDGED_TOTAL, acknowledged);
    }
    qe_rate_observe(rate, &sample, mono_ms);
}

static double in_of(const struct qe_rate *rate)
{
    double per_second = 0;

    return qe_rate_in(rate, &per_second) ? per_second : -1;
}

static double out_of(const struct qe_rate *rate)
{
    double per_second = 0;

    return qe_rate_out(rate, &per_second) ? per_second : -1;
}

static void assert_about(double value, double wanted)
{
    if (fabs(value - wanted) > 1e-9) {
        fail_msg("%g is not %g", value, wanted);
    }
}

static void one_reading_says_nothing(void **state)
{
    (void)state;
    struct qe_rate rate = {0};

    assert_about(in_of(&rate), -1);
    read_at(&rate, 1000, 500, 400);
    assert_about(in_of(&rate), -1);
    read_at(&rate, 1000, 500, 400); /* the same one again */
    assert_about(out_of(&rate), -1);
}

static void two_readings_make_a_rate(void **state)
{
    (void)state;
    struct qe_rate rate = {0};

    read_at(&rate, 1000, 500, 400);
    read_at(&rate, 3000, 520, 400);
    assert_about(in_of(&rate), 10);
    assert_about(out_of(&rate), 0);
}

static void a_counter_that_is_not_told_makes_none(void **state)
{
    (void)state;
    struct qe_rate rate = {0};

    read_at(&rate, 1000, 500, -1);
    read_at(&rate, 3000, 520, -1);
    assert_about(in_of(&rate), 10);
    assert_about(out_of(&rate), -1);
    read_at(&rate, 4000, 530, 7); /* it is told from here on: no rate before the next one */
    assert_about(out_of(&rate), -1);
}

static void a_restarted_broker_begins_anew(void **state)
{
    (void)state;
    struct qe_rate rate = {0};

    read_at(&rate, 1000, 500, 400);
    read_at(&rate, 2000, 600, 500);
    read_at(&rate, 3000, 5, 0);
    assert_about(in_of(&rate), -1);
    read_at(&rate, 4000, 8, 1);
    assert_about(in_of(&rate), 3);
    assert_about(out_of(&rate), 1);
}

/* Frequent readings would else make a window of a moment, and keep an end that is long over. */
static void the_window_is_kept_whatever_the_pace(void **state)
{
    (void)state;
    static const int64_t paces_ms[] = {100, 333, 1000, 2000, 9999};

    for (size_t i = 0; i < sizeof paces_ms / sizeof paces_ms[0]; i++) {
        struct qe_rate rate = {0};
        int64_t now = 0;
        double total = 0;

        for (; now < 60000; now += paces_ms[i]) {
            read_at(&rate, now, total, total);
            total += 100;
        }
        int64_t covers = rate.points[rate.count - 1].mono_ms - rate.points[0].mono_ms;

        print_message("%d ms apart\n", (int)paces_ms[i]);
        assert_about(in_of(&rate), 1e5 / (double)paces_ms[i]);
        assert_in_range(covers, QE_RATE_WINDOW_MS * 8 / 10, QE_RATE_WINDOW_MS * 2);
        for (int64_t end = now + INT64_C(2) * QE_RATE_WINDOW_MS; now < end; now += paces_ms[i]) {
            read_at(&rate, now, total, total); /* it stands still */
        }
        assert_about(in_of(&rate), 0);
    }
}

static void rare_readings_make_a_rate_of_the_last_two(void **state)
{
    (void)state;
    struct qe_rate rate = {0};

    read_at(&rate, 0, 0, 0);
    read_at(&rate, 60000, 6000, 0);
    read_at(&rate, 120000, 6060, 0);
    assert_about(in_of(&rate), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_reading_says_nothing),
        cmocka_unit_test(two_readings_make_a_rate),
        cmocka_unit_test(a_counter_that_is_not_told_makes_none),
        cmocka_unit_test(a_restarted_broker_begins_anew),
        cmocka_unit_test(the_window_is_kept_whatever_the_pace),
        cmocka_unit_test(rare_readings_make_a_rate_of_the_last_two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
