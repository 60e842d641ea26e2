#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "model/histogram.h"
#include "support/check.h"

static void every_bound_is_spelled_as_both_formats_want_it(void **state)
{
    (void)state;
    static const struct qe_histogram_layout *const layouts[] = {
        &qe_histogram_durations, &qe_histogram_waits, &qe_histogram_receives};

    for (size_t i = 0; i < 3; i++) {
        assert_in_range(layouts[i]->count, 1, QE_HISTOGRAM_BUCKETS_MAX);
        for (size_t j = 0; j < layouts[i]->count; j++) {
            const char *le = layouts[i]->le[j];

            assert_non_null(le);
            assert_non_null(strchr(le, '.')); /* "1.0", never "1" */
            assert_double_equal(strtod(le, NULL), layouts[i]->bounds[j]);
            assert_true(j == 0 || layouts[i]->bounds[j] > layouts[i]->bounds[j - 1]);
        }
    }
    assert_double_equal(qe_histogram_durations.bounds[0], 0.001);
    assert_double_equal(qe_histogram_durations.bounds[qe_histogram_durations.count - 1], 300);
    assert_double_equal(qe_histogram_waits.bounds[qe_histogram_waits.count - 1], 345600);
}

static void a_bound_belongs_to_its_bucket(void **state)
{
    (void)state;
    struct qe_histogram histogram;

    qe_histogram_init(&histogram, &qe_histogram_receives);
    qe_histogram_observe(&histogram, 1);
    qe_histogram_observe(&histogram, 2);
    qe_histogram_observe(&histogram, 6);
    qe_histogram_observe(&histogram, 101);
    assert_int_equal(histogram.buckets[0], 1);
    assert_int_equal(histogram.buckets[1], 1);
    assert_int_equal(histogram.buckets[5], 1); /* le 7 */
    assert_int_equal(histogram.buckets[qe_histogram_receives.count], 1);
    assert_int_equal(qe_histogram_count(&histogram), 4);
    assert_double_equal(qe_histogram_sum(&histogram), 110);
}

static void nonsense_counts_as_nothing_or_as_very_long(void **state)
{
    (void)state;
    struct qe_histogram histogram;

    qe_histogram_init(&histogram, &qe_histogram_durations);
    qe_histogram_observe(&histogram, -5); /* a clock stepped back */
    qe_histogram_observe(&histogram, (double)NAN);
    assert_int_equal(histogram.buckets[0], 2);
    assert_double_equal(qe_histogram_sum(&histogram), 0);
    qe_histogram_observe(&histogram, (double)INFINITY);
    assert_int_equal(histogram.buckets[qe_histogram_durations.count], 1);
    assert_double_equal(qe_histogram_sum(&histogram), 1e9);
}

static void a_quantile_is_the_bound_of_its_bucket(void **state)
{
    (void)state;
    struct qe_histogram histogram;

    qe_histogram_init(&histogram, &qe_histogram_durations);
    assert_true(isnan(qe_histogram_quantile_bound(&histogram, 0.99)));
    for (int i = 0; i < 99; i++) {
        qe_histogram_observe(&histogram, 0.02);
    }
    qe_histogram_observe(&histogram, 20);
    assert_double_equal(qe_histogram_quantile_bound(&histogram, 0.5), 0.025);
    assert_double_equal(qe_histogram_quantile_bound(&histogram, 0.99), 0.025);
    assert_double_equal(qe_histogram_quantile_bound(&histogram, 1), 30);
    qe_histogram_observe(&histogram, 1000);
    assert_true(isinf(qe_histogram_quantile_bound(&histogram, 1)));
    struct qe_histogram copy;

    qe_histogram_copy(&copy, &histogram);
    assert_int_equal(qe_histogram_count(&copy), 101);
    assert_double_equal(qe_histogram_sum(&copy), qe_histogram_sum(&histogram));
}

static void *observe_often(void *context)
{
    for (int i = 0; i < 10000; i++) {
        qe_histogram_observe(context, 0.001 * (i % 7));
    }
    return NULL;
}

static void no_observation_of_any_thread_is_lost(void **state)
{
    (void)state;
    struct qe_histogram histogram;
    pthread_t threads[3];

    qe_histogram_init(&histogram, &qe_histogram_durations);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, observe_often, &histogram), 0);
    }
    uint64_t seen = 0;

    for (int i = 0; i < 1000; i++) { /* counts only grow while others write */
        uint64_t now = qe_histogram_count(&histogram);

        assert_true(now >= seen);
        seen = now;
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(qe_histogram_count(&histogram), 30000);
    uint64_t micro = 0;

    for (uint64_t i = 0; i < 10000; i++) {
        micro += i % 7 * 1000;
    }
    assert_int_equal(histogram.sum_micro, 3 * micro); /* exact, in any order */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bound_is_spelled_as_both_formats_want_it),
        cmocka_unit_test(a_bound_belongs_to_its_bucket),
        cmocka_unit_test(nonsense_counts_as_nothing_or_as_very_long),
        cmocka_unit_test(a_quantile_is_the_bound_of_its_bucket),
        cmocka_unit_test(no_observation_of_any_thread_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
