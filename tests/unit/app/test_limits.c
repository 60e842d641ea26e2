#include <sys/resource.h>

#include "app/limits.h"
#include "support/check.h"
#include "util/log.h"

static void each_worker_needs_some_and_too_many_are_warned_of(void **state)
{
    struct qe_consumer_settings consumers[] = {
        {.workers = 100, .handler = {.type = QE_HANDLER_EXEC}},
        {.workers = 100, .handler = {.type = QE_HANDLER_HTTP}},
        {.workers = 1000, .handler = {.type = QE_HANDLER_DISCARD}}};
    const struct qe_config config = {.consumers = consumers, .consumers_count = 3};
    const uint64_t needed = qe_limits_descriptors(&config);
    const uint64_t warnings = qe_log_count(QE_LOG_WARN);
    struct rlimit limit;

    (void)state;
    assert_in_range(needed, 100 * 4 + 100 * 3,
                    2000); /* what they hold; those discarded need none */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(needed <= limit.rlim_max);
    limit.rlim_cur = (rlim_t)needed;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    qe_limits_check(&config);
    assert_int_equal(qe_log_count(QE_LOG_WARN), warnings);
    limit.rlim_cur--;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    qe_limits_check(&config);
    assert_int_equal(qe_log_count(QE_LOG_WARN), warnings + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_worker_needs_some_and_too_many_are_warned_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
