#include <pthread.h>

#include "support/check.h"
#include "util/clock.h"

static void monotonic_time_never_goes_back(void **state)
{
    (void)state;
    int64_t before = qe_clock_mono_us();

    for (int i = 0; i < 1000; i++) {
        int64_t now = qe_clock_mono_us();

        assert_true(now >= before);
        before = now;
    }
    assert_true(qe_clock_mono_ms() >= before / 1000);
    assert_true(qe_clock_unix_ms() > INT64_C(1700000000000));
}

static void a_wait_ends_at_its_deadline_and_not_before(void **state)
{
    (void)state;
    pthread_cond_t cond;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    assert_int_equal(qe_clock_cond_init(&cond), 0);
    pthread_mutex_lock(&lock);
    int64_t deadline = qe_clock_mono_ms() + 20;
    /* A condition may wake early for no reason; a deadline may not. */
    while (qe_clock_cond_wait(&cond, &lock, deadline)) {
    }
    assert_true(qe_clock_mono_ms() >= deadline);
    assert_false(qe_clock_cond_wait(&cond, &lock, 0)); /* long past */
    assert_false(qe_clock_cond_wait(&cond, &lock, INT64_MIN));
    pthread_mutex_unlock(&lock);
    (void)pthread_cond_destroy(&cond);
}

struct signalling {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

static void *signal_it(void *context)
{
    struct signalling *signalling = context;

    pthread_mutex_lock(&signalling->lock);
    signalling->done = true;
    (void)pthread_cond_signal(&signalling->cond);
    pthread_mutex_unlock(&signalling->lock);
    return NULL;
}

static void a_wait_without_end_is_woken_by_a_signal(void **state)
{
    (void)state;
    struct signalling signalling = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;

    assert_int_equal(qe_clock_cond_init(&signalling.cond), 0);
    pthread_mutex_lock(&signalling.lock);
    assert_int_equal(pthread_create(&thread, NULL, signal_it, &signalling), 0);
    while (!signalling.done) {
        assert_true(qe_clock_cond_wait(&signalling.cond, &signalling.lock, INT64_MAX));
    }
    pthread_mutex_unlock(&signalling.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_cond_destroy(&signalling.cond);
}

static void the_same_seed_gives_the_same_numbers(void **state)
{
    (void)state;
    struct qe_random a;
    struct qe_random b;
    struct qe_random other;

    qe_random_init(&a, 42);
    qe_random_init(&b, 42);
    qe_random_init(&other, 43);
    int equal = 0;

    for (int i = 0; i < 1000; i++) {
        uint64_t from_a = qe_random_next(&a);

        assert_true(from_a == qe_random_next(&b));
        equal += from_a == qe_random_next(&other) ? 1 : 0;
    }
    assert_int_equal(equal, 0);
}

static void unit_numbers_fill_their_range_evenly(void **state)
{
    (void)state;
    struct qe_random random;
    unsigned counts[10] = {0};

    qe_random_init(&random, 1);
    for (int i = 0; i < 100000; i++) {
        double unit = qe_random_unit(&random);

        assert_true(unit >= 0 && unit < 1);
        counts[(size_t)(unit * 10)]++;
    }
    for (size_t i = 0; i < 10; i++) {
        assert_in_range(counts[i], 9500, 10500); /* 5 standard deviations are 474 */
    }
}

static void secrets_differ_each_time(void **state)
{
    (void)state;
    unsigned char first[300] = {0};
    unsigned char second[300] = {0};

    assert_int_equal(qe_random_secret(first, sizeof first), 0);
    assert_int_equal(qe_random_secret(second, sizeof second), 0);
    assert_memory_not_equal(first, second, sizeof first);
    assert_memory_not_equal(first + 200, second + 200, 100); /* to the last byte */

    struct qe_random a;
    struct qe_random b;

    qe_random_init(&a, 0);
    qe_random_init(&b, 0);
    assert_true(qe_random_next(&a) != qe_random_next(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_never_goes_back),
        cmocka_unit_test(a_wait_ends_at_its_deadline_and_not_before),
        cmocka_unit_test(a_wait_without_end_is_woken_by_a_signal),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(unit_numbers_fill_their_range_evenly),
        cmocka_unit_test(secrets_differ_each_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
