/* Polls of a made RabbitMQ: which way is taken, what comes of each, and what a failure says. */
#include "unit/backend/rabbitmq_fake.h"

static void few_queues_are_read_with_statistics(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    assert_ok(list(&rig, &err), err);
    assert_ok(sample(&rig, &err), err);
    assert_string_equal(rig.batch.method, "statistics");
    assert_int_equal(asked("enable_queue_totals"), 0);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 7);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_IN_FLIGHT_MESSAGES), 1);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_CONSUMERS), 2);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_SIZE_BYTES), 70);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_PUBLISHED_TOTAL), 9);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_ACKNOWLEDGED_TOTAL), 1);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_REDELIVERED_TOTAL), 0);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_OLDEST_AGE_SECONDS),
                        (double)s_unix_ms / 1e3 - 1700000000);
    assert_int_equal(entry_of(&rig, "/", "orders")->sample.age_method, QE_AGE_HEAD_TIMESTAMP);
    assert_double_equal(value_of(&rig, "work", QE_FIELD_DEAD_LETTER_PENDING_MESSAGES), 4);
    assert_double_equal(value_of(&rig, "work", QE_FIELD_SIZE_BYTES), -1);
    assert_double_equal(value_of(&rig, "work", QE_FIELD_OLDEST_AGE_SECONDS), -1);
    rig_deinit(&rig);
}

static void many_queues_are_read_by_totals_and_now_and_then_with_statistics(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    many_queues(MANY_QUEUES "}");
    assert_ok(list(&rig, &err), err);
    for (int i = 0; i < 9; i++) { /* 0.5 s, at 0.5 %: once in 100 s */
        assert_ok(sample(&rig, &err), err);
        assert_string_equal(rig.batch.method, "totals");
        assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 7);
        assert_double_equal(value_of(&rig, "orders", QE_FIELD_PUBLISHED_TOTAL), 9);
        pass_ms(30000);
    }
    assert_int_equal(asked("enable_queue_totals"), 9);
    assert_int_equal(asked("message_stats.publish"), 3);
    rig_deinit(&rig);
}

static void what_is_near_its_limit_does_not_go_to_and_fro(void **state)
{
    static const struct {
        int64_t takes_ms; /* at 0.5 %, 150 ms are the limit for every poll */
        const char *method;
    } rows[] = {{140, "statistics"}, {900, "statistics"}, {160, "statistics"}, {160, "statistics"},
                {140, "totals"},     {140, "totals"},     {80, "totals"},      {70, "totals"},
                {900, "statistics"}, {70, "statistics"}};
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    assert_ok(list(&rig, &err), err);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        s_fake.answers[s_fake.answers_count - 1].takes_ms = rows[i].takes_ms;
        assert_ok(sample(&rig, &err), err);
        if (strcmp(rig.batch.method, rows[i].method) != 0) {
            fail_msg("row %zu: %s", i, rig.batch.method);
        }
        pass_ms(30000 - rows[i].takes_ms);
    }
    rig_deinit(&rig);
}

static void statistics_that_are_too_dear_are_not_asked_for(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    rig.settings.statistics_max_load = 0;
    assert_ok(list(&rig, &err), err);
    for (int i = 0; i < 20; i++) {
        assert_ok(sample(&rig, &err), err);
        pass_ms(30000);
    }
    assert_int_equal(asked("message_stats.publish"), 0);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_PUBLISHED_TOTAL), -1);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_CONSUMERS), -1);
    rig_deinit(&rig);
}

static void statistics_that_are_off_are_told(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    answer("/api/overview", 200, "{\"rabbitmq_version\":\"3.10.8\",\"disable_stats\":true}");
    assert_ok(list(&rig, &err), err);
    pass_ms(60000);
    assert_ok(sample(&rig, &err), err);
    assert_string_equal(rig.batch.method, "totals");
    assert_int_equal(rig.batch.failed_count, 0);
    assert_int_equal(rig.batch.first_error.code, QE_ERR_UNSUPPORTED);
    rig.settings.statistics_max_load = 0; /* nobody wants them */
    assert_ok(sample(&rig, &err), err);
    assert_int_equal(rig.batch.first_error.code, QE_OK);
    rig.settings.method = QE_RMQ_STATISTICS;
    assert_int_equal(sample(&rig, &err), -1);
    assert_int_equal(err.code, QE_ERR_UNSUPPORTED);
    assert_int_equal(asked("message_stats.publish"), 0);
    rig_deinit(&rig);
}

/* Totals that lack a queue's count do not show the one that statistics had a while ago. */
static void a_depth_is_of_this_poll_or_not_there(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    many_queues(MANY_QUEUES "}");
    assert_ok(list(&rig, &err), err);
    assert_ok(sample(&rig, &err), err);
    pass_ms(30000);
    answer("enable_queue_totals", 200,
           "[" QUEUE("orders", "") "," QUEUE(
               "work", ",\"messages_ready\":3,\"messages_unacknowledged\":0") "]");
    assert_ok(sample(&rig, &err), err);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), -1);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_IN_FLIGHT_MESSAGES), -1);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_PUBLISHED_TOTAL), 9);
    rig_deinit(&rig);
}

static void a_server_without_totals_is_read_with_statistics(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    many_queues(MANY_QUEUES "}");
    answer("enable_queue_totals", 200, "[" QUEUE("orders", "") "," QUEUE("work", "") "]");
    assert_ok(list(&rig, &err), err);
    pass_ms(60000);
    assert_ok(sample(&rig, &err), err);
    assert_string_equal(rig.batch.method, "statistics");
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 7);
    pass_ms(30000);
    assert_ok(sample(&rig, &err), err);
    assert_int_equal(asked("enable_queue_totals"), 1);
    rig_deinit(&rig);
}

static void a_quorum_queue_is_not_empty_because_it_is_new(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    rig.settings.method = QE_RMQ_TOTALS;
    rig.settings.statistics_max_load = 0;
    answer("enable_queue_totals", 200,
           "[" QUEUE("orders", ",\"messages_ready\":0,\"messages_unacknowledged\":0") "," QUEUE(
               "work", ",\"messages_ready\":0,\"messages_unacknowledged\":0") "]");
    assert_ok(list(&rig, &err), err);
    assert_ok(sample(&rig, &err), err);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 0);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_OLDEST_AGE_SECONDS), 0);
    assert_int_equal(entry_of(&rig, "/", "orders")->sample.age_method, QE_AGE_BROKER);
    assert_true(entry_of(&rig, "/", "work")->skipped);
    pass_ms(30000);
    assert_ok(sample(&rig, &err), err);
    assert_double_equal(value_of(&rig, "work", QE_FIELD_READY_MESSAGES), 0);
    rig_deinit(&rig);
}

static void poll_after_election(struct rig *rig, bool is_believed, const char *why)
{
    struct qe_err err = {0};

    for (int poll = 0; poll < 2; poll++) {
        pass_ms(5000);
        assert_ok(sample(rig, &err), err);
        if (entry_of(rig, "/", "work")->skipped == is_believed) {
            fail_msg("poll %d: %s", poll, why);
        }
    }
}

/* What a poll says of a quorum queue of three, led by node a, when an election may just have been.
 */
static void a_quorum_queue_is_not_empty_because_another_node_leads_it(void **state)
{
#define LED(node, state, ready)                                                                    \
    "[" QUEUE("work", ",\"leader\":\"" node "\",\"node\":\"" node "\"" state                       \
                      ",\"messages_ready\":" ready ",\"messages_unacknowledged\":0") "]"
#define RUNNING ",\"state\":\"running\""
    static const char one_less[] = "[{\"name\":\"rabbit@a\",\"running\":true,\"uptime\":900000},"
                                   "{\"name\":\"rabbit@b\",\"running\":false}]";
    static const char both[] = "[{\"name\":\"rabbit@a\",\"running\":true,\"uptime\":900000},"
                               "{\"name\":\"rabbit@b\",\"running\":true,\"uptime\":900000}]";
    static const struct {
        int method;
        const char *body;
        const char *nodes;
        bool is_listed_between;
        bool is_believed;
        const char *why;
    } rows[] = {
        {QE_RMQ_TOTALS, LED("rabbit@a", "", "0"), both, false, true, "nothing happened"},
        {QE_RMQ_TOTALS, LED("rabbit@b", "", "0"), both, false, false, "another leader"},
        {QE_RMQ_TOTALS, LED("rabbit@b", "", "1"), both, false, true, "which has counted"},
        {QE_RMQ_TOTALS, LED("rabbit@a", "", "0"), one_less, false, false, "a node is lost"},
        {QE_RMQ_TOTALS, LED("rabbit@a", "", "0"), one_less, true, false, "as a list saw first"},
        {QE_RMQ_STATISTICS, LED("rabbit@a", RUNNING, "0"), both, false, true, "nothing happened"},
        {QE_RMQ_STATISTICS, LED("rabbit@b", RUNNING, "0"), both, false, false, "another leader"},
        {QE_RMQ_STATISTICS, LED("rabbit@a", ",\"state\":null", "0"), both, false, false,
         "no state"},
        {QE_RMQ_STATISTICS, LED("rabbit@a", ",\"state\":null", "2"), both, false, true, "but some"},
        {QE_RMQ_STATISTICS, LED("rabbit@a", RUNNING, "0"), one_less, true, false, "a node is lost"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *depths =
            rows[i].method == QE_RMQ_TOTALS ? "enable_queue_totals" : "message_stats.publish";
        struct rig rig;
        struct qe_err err = {0};

        rig_init(&rig);
        rig.settings.method = rows[i].method;
        rig.settings.statistics_max_load = 0;
        answer("/api/nodes", 200, both);
        answer("/api/queues/%2F?disable_stats=true&columns=", 200, "[" QUEUE("work", QUORUM) "]");
        answer(depths, 200, LED("rabbit@a", RUNNING, "3"));
        assert_ok(list(&rig, &err), err);
        pass_ms(60000);
        assert_ok(sample(&rig, &err), err);
        assert_double_equal(value_of(&rig, "work", QE_FIELD_READY_MESSAGES), 3);
        answer("/api/nodes", 200, rows[i].nodes);
        answer(depths, 200, rows[i].body);
        if (rows[i].is_listed_between) {
            assert_ok(list(&rig, &err), err);
        }
        poll_after_election(&rig, rows[i].is_believed, rows[i].why);
        pass_ms(15000); /* what lasts is so */
        answer(depths, 200, LED("rabbit@b", RUNNING, "0"));
        assert_ok(sample(&rig, &err), err);
        pass_ms(15000);
        assert_ok(sample(&rig, &err), err);
        assert_double_equal(value_of(&rig, "work", QE_FIELD_READY_MESSAGES), 0);
        rig_deinit(&rig);
    }
#undef LED
#undef RUNNING
}

static void queues_of_a_node_that_is_down_say_so_and_the_others_stay(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    assert_ok(list(&rig, &err), err);
    pass_ms(60000);
    answer("/api/nodes", 200,
           "[{\"name\":\"rabbit@a\",\"running\":false},{\"name\":\"rabbit@b\",\"running\":true,"
           "\"mem_alarm\":true,\"disk_free_alarm\":false,\"partitions\":[\"rabbit@a\"]}]");
    answer("message_stats.publish", 200,
           "[" QUEUE("orders", ",\"state\":\"down\"") "," QUEUE(
               "work", ",\"messages_ready\":3,\"messages_unacknowledged\":0") "]");
    assert_ok(sample(&rig, &err), err);
    assert_int_equal(entry_of(&rig, "/", "orders")->error, QE_ERR_NETWORK);
    assert_non_null(strstr(rig.batch.first_error.message, "node rabbit@a is down"));
    assert_double_equal(value_of(&rig, "work", QE_FIELD_READY_MESSAGES), 3);
    assert_true(rig.batch.relist);
    assert_int_equal(rig.batch.cluster->count, 2);
    assert_false(rig.batch.cluster->items[0].is_up);
    assert_false(rig.batch.cluster->items[0].details_known);
    assert_true(rig.batch.cluster->items[1].has_memory_alarm);
    assert_int_equal(rig.batch.cluster->items[1].partitions_count, 1);
    rig_deinit(&rig);
}

static void a_queue_that_is_gone_is_not_found(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    assert_ok(list(&rig, &err), err);
    pass_ms(60000);
    answer("message_stats.publish", 200, "[" QUEUE("work", ",\"messages_ready\":3") "]");
    assert_ok(sample(&rig, &err), err);
    assert_int_equal(entry_of(&rig, "/", "orders")->error, QE_ERR_NOT_FOUND);
    assert_double_equal(value_of(&rig, "work", QE_FIELD_READY_MESSAGES), 3);
    rig_deinit(&rig);
}

static void a_young_queue_that_was_told_of_is_gone_when_it_is_not(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    answer("message_stats.publish", 200, "[" QUEUE("orders", ",\"messages_ready\":7") "]");
    assert_ok(list(&rig, &err), err);
    assert_ok(sample(&rig, &err), err);
    assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 7);
    assert_true(entry_of(&rig, "/", "work")->skipped); /* not yet */
    pass_ms(1000);
    answer("message_stats.publish", 200, "[]");
    assert_ok(sample(&rig, &err), err);
    assert_int_equal(entry_of(&rig, "/", "orders")->error, QE_ERR_NOT_FOUND);
    assert_true(entry_of(&rig, "/", "work")->skipped);
    rig_deinit(&rig);
}

static void each_failure_has_its_reason(void **state)
{
    static const struct {
        const char *part;
        unsigned status;
        const char *body;
        enum qe_err_code code;
        const char *says;
    } rows[] = {
        {"/api/", 401, "{\"error\":\"not_authorized\",\"reason\":\"Login failed\"}", QE_ERR_AUTH,
         "Login failed"},
        {"/api/overview", 404, "<html>", QE_ERR_NOT_FOUND, "rabbitmq_management"},
        {"/api/vhosts", 200, "<html>proxy</html>", QE_ERR_PROTOCOL, "not with JSON"},
        {"/api/queues/", 200, "[{\"vhost\":\"/\",", QE_ERR_PROTOCOL, "/api/queues/%2F"},
        {"/api/queues/", 401, "{\"reason\":\"User not authorised\"}", QE_ERR_AUTH,
         "permission row"},
        {"/api/queues/", 503, "busy", QE_ERR_NETWORK, "503"},
        {"/api/queues/", 200, "{}", QE_ERR_PROTOCOL, "no JSON array"},
        {"/api/queues/", 200, "[{}]", QE_ERR_PROTOCOL, "without name"},
        {"/api/vhosts", 200, "[{}]", QE_ERR_PROTOCOL, "without a name"},
        {"/api/overview", 429, "", QE_ERR_THROTTLED, "429"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};

        rig_init(&rig);
        answer(rows[i].part, rows[i].status, rows[i].body);
        assert_int_equal(list(&rig, &err), -1);
        if (err.code != rows[i].code || strstr(err.message, rows[i].says) == NULL) {
            fail_msg("row %zu: %s: %s", i, qe_err_code_name(err.code), err.message);
        }
        assert_int_equal(s_fake.in_flight_count, 0);
        rig_deinit(&rig);
    }
}

static void what_cannot_be_found_out_is_told_and_the_rest_stands(void **state)
{
    static const struct {
        const char *part;
        enum qe_err_code code;
    } rows[] = {{"/api/policies", QE_ERR_AUTH}, {"/api/nodes", QE_ERR_AUTH}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};

        rig_init(&rig);
        two_queues();
        answer(rows[i].part, 401, "{\"reason\":\"Not monitor user\"}");
        assert_ok(list(&rig, &err), err);
        pass_ms(60000);
        assert_ok(sample(&rig, &err), err);
        assert_int_equal(rig.batch.first_error.code, rows[i].code);
        assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 7);
        assert_int_equal(rig.set->items[0].dead_letter_known, i != 0);
        rig_deinit(&rig);
    }
}

static void an_interrupt_ends_one_call(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    assert_ok(list(&rig, &err), err);
    pass_ms(60000);
    atomic_store(&rig.self.interrupted, true);
    assert_int_equal(sample(&rig, &err), -1);
    assert_int_equal(err.code, QE_ERR_CANCELLED);
    assert_int_equal(s_fake.in_flight_count, 0);
    err = (struct qe_err){0};
    assert_ok(sample(&rig, &err), err);
    rig_deinit(&rig);
}

static int poll_twice(void *context, struct qe_err *err)
{
    struct rig *rig = context;
    int rc = list(rig, err) != 0 || sample(rig, err) != 0 ? -1 : 0;

    qe_rmq_table_destroy(rig->self.table);
    rig->self.table = NULL;
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    many_queues(MANY_QUEUES LISTENER "}");
    answer("rabbit:15692/metrics/detailed", 200, TEXT(READY("orders", "5") READY("work", "6")));
    qe_check_torture(poll_twice, &rig);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_queues_are_read_with_statistics),
        cmocka_unit_test(many_queues_are_read_by_totals_and_now_and_then_with_statistics),
        cmocka_unit_test(what_is_near_its_limit_does_not_go_to_and_fro),
        cmocka_unit_test(statistics_that_are_too_dear_are_not_asked_for),
        cmocka_unit_test(statistics_that_are_off_are_told),
        cmocka_unit_test(a_depth_is_of_this_poll_or_not_there),
        cmocka_unit_test(a_server_without_totals_is_read_with_statistics),
        cmocka_unit_test(a_quorum_queue_is_not_empty_because_it_is_new),
        cmocka_unit_test(a_quorum_queue_is_not_empty_because_another_node_leads_it),
        cmocka_unit_test(queues_of_a_node_that_is_down_say_so_and_the_others_stay),
        cmocka_unit_test(a_queue_that_is_gone_is_not_found),
        cmocka_unit_test(a_young_queue_that_was_told_of_is_gone_when_it_is_not),
        cmocka_unit_test(each_failure_has_its_reason),
        cmocka_unit_test(what_cannot_be_found_out_is_told_and_the_rest_stands),
        cmocka_unit_test(an_interrupt_ends_one_call),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
