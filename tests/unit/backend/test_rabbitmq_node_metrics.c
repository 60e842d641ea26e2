/* Polls of a made RabbitMQ's nodes: where their metrics are, and what happens when they are not. */
#include "unit/backend/rabbitmq_fake.h"

static void metrics_of_nodes_are_taken_where_they_are_and_get_no_password(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    many_queues(MANY_QUEUES LISTENER "}");
    answer("rabbit:15692/metrics/detailed", 200, TEXT(READY("orders", "5") READY("work", "6")));
    answer(
        "family=queue_metrics", 200,
        TEXT("rabbitmq_detailed_queue_messages_bytes{vhost=\"/\",queue=\"orders\"} 99\n"
             "rabbitmq_detailed_queue_head_message_timestamp{vhost=\"/\",queue=\"orders\"} NaN\n"));
    assert_ok(list(&rig, &err), err);
    pass_ms(60000);
    assert_ok(sample(&rig, &err), err);
    pass_ms(30000);
    assert_ok(sample(&rig, &err), err);
    assert_string_equal(rig.batch.method, "metrics");
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 5);
    assert_double_equal(value_of(&rig, "work", QE_FIELD_CONSUMERS), 2);
    assert_int_equal(asked("enable_queue_totals"), 0);
    for (size_t i = 0; i < s_fake.log_count; i++) {
        assert_int_equal(s_fake.was_authorized[i], strstr(s_fake.log[i], ":15692") == NULL);
    }
    rig_deinit(&rig);
}

static void nodes_whose_metrics_cannot_be_read_are_asked_through_the_api(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    many_queues(MANY_QUEUES LISTENER "}");
    answer("rabbit:15692", 0, NULL);
    s_fake.answers[s_fake.answers_count - 1].error = QE_ERR_NETWORK;
    assert_ok(list(&rig, &err), err);
    assert_ok(sample(&rig, &err), err);
    assert_string_equal(rig.batch.method, "totals");
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 7);
    assert_int_equal(rig.batch.failed_count, 0);
    assert_int_equal(rig.batch.first_error.code, QE_ERR_NETWORK); /* for the log */
    pass_ms(30000);
    assert_ok(sample(&rig, &err), err);
    assert_int_equal(asked("rabbit:15692"), 1); /* not again before the next list */
    rig.settings.method = QE_RMQ_METRICS;
    assert_int_equal(sample(&rig, &err), -1);
    assert_int_equal(err.code, QE_ERR_NETWORK);
    rig_deinit(&rig);
}

/* Once nothing could be read, everything is tried again: the API may be gone for good. */
static void metrics_are_tried_again_when_the_api_fails_too(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    many_queues(MANY_QUEUES LISTENER "}");
    assert_ok(list(&rig, &err), err);
    answer("http://", 0, NULL);
    s_fake.answers[s_fake.answers_count - 1].error = QE_ERR_NETWORK;
    assert_int_equal(sample(&rig, &err), -1);
    pass_ms(60000);
    answer("rabbit:15692/metrics/detailed", 200, TEXT(READY("orders", "5") READY("work", "6")));
    assert_ok(sample(&rig, &err), err);
    assert_string_equal(rig.batch.method, "metrics");
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 5);
    rig_deinit(&rig);
}

static void a_node_that_nobody_tells_of_is_a_gap(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    rig.settings.method = QE_RMQ_METRICS;
    answer("/api/overview", 200, OVERVIEW(LISTENER));
    answer("rabbit:15692/metrics/detailed", 200, TEXT(READY("orders", "5")));
    answer("/api/nodes", 200,
           "[{\"name\":\"rabbit@a\",\"running\":true},{\"name\":\"rabbit@b\",\"running\":true}]");
    /* Two nodes: the address is not known from the API's. */
    rig.self.endpoints[0].url = qe_strdup("http://rabbit:15692");
    rig.self.endpoints_count = 1;
    struct qe_text_list one = {.items = &rig.self.base_url, .count = 1};
    rig.settings.metrics_urls = one;
    assert_ok(list(&rig, &err), err);
    pass_ms(60000);
    assert_ok(sample(&rig, &err), err);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 5);
    assert_int_equal(entry_of(&rig, "/", "work")->error, QE_ERR_NOT_FOUND);
    assert_non_null(strstr(rig.batch.first_error.message, "rabbit@b"));
    rig_deinit(&rig);
}

static void metrics_that_a_firewall_swallows_cost_half_the_poll(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    many_queues(MANY_QUEUES LISTENER "}");
    answer("rabbit:15692", 200, "");
    s_fake.answers[s_fake.answers_count - 1].takes_ms = 60000;
    assert_ok(list(&rig, &err), err);
    assert_ok(sample(&rig, &err), err);
    assert_string_equal(rig.batch.method, "totals");
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 7);
    assert_int_equal(rig.batch.first_error.code, QE_ERR_TIMEOUT);
    rig_deinit(&rig);
}

static void another_brokers_metrics_are_not_taken(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    rig.settings.method = QE_RMQ_METRICS;
    answer("/api/overview", 200, OVERVIEW(LISTENER));
    answer("rabbit:15692/metrics/detailed", 200,
           READY("orders", "5") READY("work", "6") "rabbitmq_identity_info{rabbitmq_node=\"rabbit@"
                                                   "other\",rabbitmq_cluster=\"d\"} 1\n");
    assert_ok(list(&rig, &err), err);
    pass_ms(60000);
    assert_int_equal(sample(&rig, &err), -1);
    assert_non_null(strstr(err.message, "node rabbit@other is none of this cluster"));
    rig.settings.method = QE_RMQ_AUTO;
    rig.settings.statistics_max_load = 0;
    assert_ok(sample(&rig, &err), err);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 7);
    assert_non_null(strstr(rig.batch.first_error.message, "rabbit@other"));
    rig_deinit(&rig);
}

static void an_api_that_hangs_does_not_stop_metrics(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    answer("/api/overview", 200, OVERVIEW(LISTENER));
    answer("rabbit:15692/metrics/detailed", 200, TEXT(READY("orders", "5") READY("work", "6")));
    assert_ok(list(&rig, &err), err);
    pass_ms(60000);
    assert_ok(sample(&rig, &err), err);
    assert_string_equal(rig.batch.method, "statistics");
    answer("/api/", 200, "[]");
    s_fake.answers[s_fake.answers_count - 1].takes_ms = 60000;
    pass_ms(30000);
    assert_int_equal(sample(&rig, &err), -1); /* no time was left */
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    pass_ms(30000);
    assert_ok(sample(&rig, &err), err);
    assert_string_equal(rig.batch.method, "metrics");
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 5);
    assert_null(rig.batch.cluster);
    rig_deinit(&rig);
}

/* While a member of a cluster hangs, so do its own metrics, and the API of all nodes. */
static void what_healthy_nodes_tell_stays_while_another_hangs(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    many_queues(MANY_QUEUES "}");
    rig.settings.statistics_max_load = 0;
    for (size_t i = 0; i < 2; i++) {
        rig.self.endpoints[i].url = qe_strdup(i == 0 ? "http://one:15692" : "http://two:15692");
        rig.self.endpoints_count = i + 1;
    }
    struct qe_text_list urls = {.items = &rig.self.base_url, .count = 1};

    rig.settings.metrics_urls = urls;
    answer("one:15692", 200, TEXT(READY("orders", "5")));
    answer("two:15692", 200, "");
    s_fake.answers[s_fake.answers_count - 1].takes_ms = 60000;
    assert_ok(list(&rig, &err), err);
    answer("/api/", 200, "[]");
    s_fake.answers[s_fake.answers_count - 1].takes_ms = 60000;
    pass_ms(60000);
    for (size_t i = 0; i < 4; i++) {
        const int64_t begin_mono_ms = s_mono_ms;

        assert_ok(sample(&rig, &err), err);
        assert_true(s_mono_ms - begin_mono_ms <= POLL_TIMEOUT_MS);
        assert_string_equal(rig.batch.method, "metrics");
        assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 5);
        assert_int_equal(entry_of(&rig, "/", "work")->error, QE_ERR_TIMEOUT);
        pass_ms(30000);
    }
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_of_nodes_are_taken_where_they_are_and_get_no_password),
        cmocka_unit_test(nodes_whose_metrics_cannot_be_read_are_asked_through_the_api),
        cmocka_unit_test(metrics_are_tried_again_when_the_api_fails_too),
        cmocka_unit_test(a_node_that_nobody_tells_of_is_a_gap),
        cmocka_unit_test(metrics_that_a_firewall_swallows_cost_half_the_poll),
        cmocka_unit_test(another_brokers_metrics_are_not_taken),
        cmocka_unit_test(an_api_that_hangs_does_not_stop_metrics),
        cmocka_unit_test(what_healthy_nodes_tell_stays_while_another_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
