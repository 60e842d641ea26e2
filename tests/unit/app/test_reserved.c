/* What two floors that do not know each other say of the same thing. */
#include <string.h>

#include "config/settings.h"
#include "consumer/consumer.h"
#include "model/stats.h"
#include "support/check.h"

static void the_reserved_reasons_are_those_of_the_closed_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < QE_FAIL_COUNT; i++) {
        assert_non_null(qe_config_reserved_reasons[i]);
        assert_string_equal(qe_config_reserved_reasons[i],
                            qe_fail_reason_name((enum qe_fail_reason)i));
    }
    assert_null(qe_config_reserved_reasons[QE_FAIL_COUNT]);
}

static void the_ways_to_deliver_and_the_largest_batches_are_the_same(void **state)
{
    (void)state;
    assert_int_equal(QE_CONFIG_AT_LEAST_ONCE, (int)QE_DELIVERY_AT_LEAST_ONCE);
    assert_int_equal(QE_CONFIG_AT_MOST_ONCE, (int)QE_DELIVERY_AT_MOST_ONCE);
    assert_int_equal(QE_CONFIG_EFFECTIVELY_ONCE, (int)QE_DELIVERY_EFFECTIVELY_ONCE);
    assert_int_equal(QE_CONFIG_BATCHES_MAX, QE_CONSUMER_BATCHES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reserved_reasons_are_those_of_the_closed_set),
        cmocka_unit_test(the_ways_to_deliver_and_the_largest_batches_are_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
