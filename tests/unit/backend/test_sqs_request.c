/* One call: its text, its price, what is counted of it; and the cap on calls per second. */
#include "unit/backend/sqs_fake.h"

static void text_becomes_json_that_reads_back(void **state)
{
    static const char *const texts[] = {"",
                                        "plain",
                                        "quote\" backslash\\ slash/",
                                        "line\nfeed\ttab\r\x01\x1f",
                                        "\x7f",
                                        "gr\xc3\xbc\xc3\x9f",
                                        "\"",
                                        "\\",
                                        "ends with\n"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct qe_strbuf out = {0};
        struct qe_err err = {0};

        qe_sqs_append_text(&out, texts[i], strlen(texts[i]));
        struct qe_json *read = qe_json_parse(out.data, out.length_bytes, &err);
        assert_non_null(read);
        assert_string_equal(qe_json_text(read), texts[i]);
        qe_json_destroy(read);
        qe_strbuf_deinit(&out);
    }
}

static void every_call_has_its_target_and_price(void **state)
{
    struct qe_aws_call call = {0};
    struct rig rig;

    (void)state;
    rig_init(&rig);
    for (int i = 0; i < QE_SQS_OPERATION_COUNT; i++) {
        qe_sqs_call_init(&rig.sqs, &call, (enum qe_sqs_operation)i, 5);
        const bool is_metric = i == QE_SQS_GET_METRIC_DATA;

        assert_int_equal(call.service, is_metric ? QE_AWS_CLOUDWATCH : QE_AWS_SQS);
        assert_non_null(strchr(call.target, '.'));
        assert_double_equal(call.billable, 1);
        assert_double_equal(call.dollars, is_metric ? 0.01 / 1e3 : 0.40 / 1e6);
        assert_int_equal(call.operation, i);
    }
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void what_is_sent_is_billed_by_service(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    for (size_t i = 0; i < 5; i++) {
        static const char *const names[] = {"a", "b", "c", "d", "e"};

        add_queue(names[i])->ready = 1;
    }
    poll_once(&rig); /* a list, five readings, five ages in one call */
    assert_int_equal(qe_counter_get(&rig.sqs.stats->billable_requests[QE_SQS_BILLED_SQS]), 6);
    assert_int_equal(qe_counter_get(&rig.sqs.stats->cost_nanodollars[QE_SQS_BILLED_SQS]), 6 * 400);
    assert_int_equal(qe_counter_get(&rig.sqs.stats->billable_requests[QE_SQS_BILLED_CLOUDWATCH]),
                     5);
    assert_int_equal(qe_counter_get(&rig.sqs.stats->cost_nanodollars[QE_SQS_BILLED_CLOUDWATCH]),
                     5 * 10000);
    assert_int_equal(qe_counter_get(&rig.sqs.stats->requests[QE_SQS_GET_METRIC_DATA]), 1);
    rig_deinit(&rig);
}

static void nobody_need_count(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.sqs.stats = NULL;
    (void)add_queue("a");
    poll_once(&rig);
    assert_double_equal(field(&rig, "a", QE_FIELD_READY_MESSAGES), 0);
    s_fake.observer.clock_skew(s_fake.observer.self, 3);
    s_fake.observer.retried(s_fake.observer.self, NULL);
    s_fake.observer.throttled(s_fake.observer.self, NULL);
    rig_deinit(&rig);
}

static void skew_retries_and_throttles_are_told(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    s_fake.observer.clock_skew(s_fake.observer.self, -300.5);
    s_fake.observer.retried(s_fake.observer.self, NULL);
    s_fake.observer.throttled(s_fake.observer.self, NULL);
    assert_true(atomic_load(&rig.sqs.stats->has_clock_skew));
    assert_int_equal(atomic_load(&rig.sqs.stats->clock_skew_ms), -300500);
    assert_int_equal(qe_counter_get(&rig.sqs.stats->retries), 1);
    assert_int_equal(qe_counter_get(&rig.sqs.stats->throttles), 1);
    rig_deinit(&rig);
}

static void a_rate_allows_a_burst_and_then_so_many_a_second(void **state)
{
    struct qe_rate rate = {.per_second = 10, .burst = 3};
    int64_t now_us = 77;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(qe_rate_take(&rate, now_us), 0);
    }
    assert_int_equal(qe_rate_take(&rate, now_us), 100);
    assert_int_equal(qe_rate_take(&rate, now_us + 50000), 50);
    assert_int_equal(qe_rate_take(&rate, now_us + 100000), 0);
    assert_int_equal(qe_rate_take(&rate, now_us + 60000000), 0); /* a minute is no burst of 600 */
    assert_int_equal(qe_rate_take(&rate, now_us + 60000000), 0);
    assert_int_equal(qe_rate_take(&rate, now_us + 60000000), 0);
    assert_true(qe_rate_take(&rate, now_us + 60000000) > 0);
}

static void a_slow_rate_still_goes_and_none_is_no_limit(void **state)
{
    struct qe_rate slow = {.per_second = 0.5, .burst = 0.1};
    struct qe_rate none = {0};

    (void)state;
    assert_int_equal(qe_rate_take(&slow, 1), 0);
    assert_int_equal(qe_rate_take(&slow, 1), 2000);
    assert_int_equal(qe_rate_take(&slow, 2000001), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(qe_rate_take(&none, 1), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_json_that_reads_back),
        cmocka_unit_test(every_call_has_its_target_and_price),
        cmocka_unit_test(what_is_sent_is_billed_by_service),
        cmocka_unit_test(nobody_need_count),
        cmocka_unit_test(skew_retries_and_throttles_are_told),
        cmocka_unit_test(a_rate_allows_a_burst_and_then_so_many_a_second),
        cmocka_unit_test(a_slow_rate_still_goes_and_none_is_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
