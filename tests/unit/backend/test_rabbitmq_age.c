/* Polls of a made RabbitMQ: of which queues an age is told from their counters alone. */
#include "unit/backend/rabbitmq_fake.h"

#define COUNTED(name, ready, publish)                                                              \
    "[" QUEUE(name,                                                                                \
              ",\"messages_ready\":" ready                                                         \
              ",\"messages_unacknowledged\":0,\"message_stats\":{\"publish\":" publish "}") "]"

#define ALL(name, count)                                                                           \
    "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"" name "\"} " count "\n"

/* Five messages come into queue q of the listed definitions, and stay: its age after 90 s. */
static double age_of_five(struct rig *rig, const char *definitions, const char *nodes_then)
{
    struct qe_err err = {0};

    rig_init(rig);
    answer("/api/queues/%2F?disable_stats=true&columns=", 200, definitions);
    rig->settings.method = QE_RMQ_STATISTICS;
    answer("message_stats.publish", 200, COUNTED("q", "0", "9"));
    assert_ok(list(rig, &err), err);
    for (int i = 0; i < 4; i++) {
        assert_ok(sample(rig, &err), err);
        answer("message_stats.publish", 200, COUNTED("q", "5", "14"));
        if (i == 2) {
            answer("/api/nodes", 200, nodes_then);
        }
        pass_ms(30000);
    }
    if (value_of(rig, "q", QE_FIELD_OLDEST_AGE_SECONDS) >= 0) { /* of the reading before */
        assert_double_equal(entry_of(rig, "/", "q")->sample.age_lag_seconds, 30);
    }
    return value_of(rig, "q", QE_FIELD_OLDEST_AGE_SECONDS);
}

static void an_age_by_counters_is_told_where_every_message_is_counted(void **state)
{
    static const char restarted[] = "[{\"name\":\"rabbit@a\",\"running\":true,\"uptime\":20000}]";
    static const struct {
        const char *definitions;
        const char *nodes_then;
        double age;
        const char *why;
    } rows[] = {
        {"[" QUEUE("q", QUORUM) "]", NODES, 30, "as of the reading before"},
        {"[" QUEUE("q", QUORUM) "]", restarted, -1, "a node took its counters with it"},
        {"[" QUEUE("q", QUORUM) "," QUEUE("other", CLASSIC) "]", NODES, 30, "no dead letters"},
        {"[" QUEUE("q", QUORUM) "," QUEUE("other",
                                          ",\"arguments\":{\"x-dead-letter-exchange\":\"\","
                                          "\"x-dead-letter-routing-key\":\"q\"}") "]",
         NODES, -1, "dead letters come into it uncounted"},
        {"[" QUEUE("q", QUORUM) "," QUEUE(
             "other", ",\"exclusive\":true,\"arguments\":{\"x-dead-letter-exchange\":\"\","
                      "\"x-dead-letter-routing-key\":\"q\"}") "]",
         NODES, -1, "also of a queue that is not watched"},
        {"[" QUEUE("q", ",\"type\":\"quorum\",\"arguments\":{\"x-dead-letter-exchange\":\"\","
                        "\"x-dead-letter-routing-key\":\"q\"}") "]",
         NODES, -1, "its own"},
        {"[" QUEUE("q", CLASSIC) "," QUEUE(
             "other", ",\"arguments\":{\"x-dead-letter-exchange\":\"unbound\"}") "]",
         NODES, 30, "dead letters that go nowhere"},
        {"[" QUEUE("q", ",\"type\":\"classic\",\"arguments\":{\"x-max-priority\":5}") "]", NODES,
         -1, "not in order"},
        {"[" QUEUE("q", ",\"type\":\"stream\",\"arguments\":{}") "]", NODES, -1, "a log"},
        {"[" QUEUE("q", ",\"type\":\"classic\",\"arguments\":{\"x-max-length\":9,"
                        "\"x-overflow\":\"reject-publish\"}") "]",
         NODES, -1, "what it refuses counts"},
        {"[" QUEUE("q", ",\"type\":\"quorum\",\"arguments\":{\"x-max-length-bytes\":9,"
                        "\"x-overflow\":\"reject-publish-dlx\"}") "]",
         NODES, -1, "whereto it may send it"},
        {"[" QUEUE("q", ",\"type\":\"classic\",\"arguments\":{"
                        "\"x-overflow\":\"reject-publish\"}") "]",
         NODES, 30, "never full"},
        {"[" QUEUE("q", ",\"type\":\"classic\",\"arguments\":{\"x-max-length\":9,"
                        "\"x-overflow\":\"drop-head\"}") "]",
         NODES, 30, "what is dropped was the oldest"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;
        const double age = age_of_five(&rig, rows[i].definitions, rows[i].nodes_then);

        if (age < rows[i].age || age > rows[i].age) {
            fail_msg("%s: %g", rows[i].why, age);
        }
        rig_deinit(&rig);
    }
}

/* What the poller has filled into a batch before the driver reads. */
static void sample_observed(struct rig *rig, double observed_age_seconds)
{
    struct qe_err err = {0};

    qe_batch_deinit(&rig->batch);
    assert_ok(qe_batch_init(&rig->batch, rig->set, &err), err);
    rig->batch.entries[qe_queue_set_find(rig->set, "/", "q")].observed_age_seconds =
        observed_age_seconds;
    assert_ok(qe_rmq_sample(&rig->self, s_mono_ms + POLL_TIMEOUT_MS, &rig->batch, &err), err);
}

/* An estimate of 60 s can be made of these counters; the timestamp says 100 s and more. */
static void what_our_own_consumer_saw_is_better_than_an_estimate(void **state)
{
#define STAMPED(name, ready, publish)                                                              \
    "[" QUEUE(name,                                                                                \
              ",\"messages_ready\":" ready ",\"messages_unacknowledged\":0,"                       \
              "\"head_message_timestamp\":1700000000,\"message_stats\":{\"publish\":" publish      \
              "}") "]"
    static const struct {
        double observed;
        const char *body;
        int method; /* -1: no age, so that the poller takes what was observed */
        const char *why;
    } rows[] = {
        {-1, COUNTED("q", "5", "14"), QE_AGE_ESTIMATE, "no consumer saw any"},
        {0, COUNTED("q", "5", "14"), -1, "it saw one just now"},
        {7, COUNTED("q", "5", "14"), -1, "a younger one"},
        {1e6, COUNTED("q", "5", "14"), -1, "an older one, which was given back"},
        {-1, STAMPED("q", "5", "14"), QE_AGE_HEAD_TIMESTAMP, "told"},
        {7, STAMPED("q", "5", "14"), QE_AGE_HEAD_TIMESTAMP, "told, which is better"},
        {1e6, STAMPED("q", "5", "14"), QE_AGE_HEAD_TIMESTAMP, "told, although it is younger"},
        {7, COUNTED("q", "0", "14"), QE_AGE_BROKER, "there is none any more"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;

        (void)age_of_five(&rig, "[" QUEUE("q", CLASSIC) "]", NODES);
        answer("message_stats.publish", 200, rows[i].body);
        sample_observed(&rig, rows[i].observed);

        const struct qe_sample *told = &entry_of(&rig, "/", "q")->sample;
        const bool is_told = value_of(&rig, "q", QE_FIELD_OLDEST_AGE_SECONDS) >= 0;

        if (is_told != (rows[i].method >= 0) ||
            (is_told && (int)told->age_method != rows[i].method)) {
            fail_msg("%s: %d by %d", rows[i].why, is_told, (int)told->age_method);
        }
        rig_deinit(&rig);
    }
#undef STAMPED
}

/* A queue that has neither ready messages nor any in flight is empty where that is all there is. */
static void what_waits_for_its_dead_letter_queue_is_no_empty_queue(void **state)
{
#define NONE(more) "[" QUEUE("q", ",\"messages_ready\":0,\"messages_unacknowledged\":0" more) "]"
    static const struct {
        int method;
        const char *type;
        const char *body;
        bool is_empty;
        const char *why;
    } rows[] = {
        {QE_RMQ_TOTALS, QUORUM, NONE(",\"messages\":2"), false, "totals count what waits"},
        {QE_RMQ_TOTALS, QUORUM, NONE(",\"messages\":0"), true, "none waits"},
        {QE_RMQ_TOTALS, QUORUM, NONE(""), false, "nothing says so"},
        {QE_RMQ_TOTALS, CLASSIC, NONE(""), true, "a classic queue has none that wait"},
        {QE_RMQ_STATISTICS, QUORUM, NONE(",\"messages_dlx\":2"), false, "by their own count"},
        {QE_RMQ_STATISTICS, QUORUM, NONE(",\"messages_dlx\":0"), true, "it is 0"},
        {QE_RMQ_METRICS, QUORUM, TEXT(READY("q", "0") ALL("q", "2")), false, "metrics, too"},
        {QE_RMQ_METRICS, QUORUM, TEXT(READY("q", "0") ALL("q", "0")), true, "none waits"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};
        char listed[256];

        rig_init(&rig);
        rig.settings.method = rows[i].method;
        rig.settings.statistics_max_load = 0;
        answer("/api/overview", 200, OVERVIEW(LISTENER));
        (void)snprintf(listed, sizeof listed, "[{\"vhost\":\"/\",\"name\":\"q\"%s}]", rows[i].type);
        answer("/api/queues/%2F?disable_stats=true&columns=", 200, listed);
        answer("enable_queue_totals", 200, rows[i].body);
        answer("message_stats.publish", 200, rows[i].body);
        answer("/metrics/detailed", 200, rows[i].body);
        assert_ok(list(&rig, &err), err);
        pass_ms(60000);
        assert_ok(sample(&rig, &err), err);
        assert_double_equal(value_of(&rig, "q", QE_FIELD_READY_MESSAGES), 0);
        if (rows[i].is_empty != (value_of(&rig, "q", QE_FIELD_OLDEST_AGE_SECONDS) >= 0)) {
            fail_msg("%s", rows[i].why);
        }
        rig_deinit(&rig);
    }
#undef NONE
}

/* Gone for a poll, q is made again with as many messages, which are counted anew. */
static void a_queue_that_was_gone_for_a_poll_is_another_one(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    assert_double_equal(age_of_five(&rig, "[" QUEUE("q", QUORUM) "]", NODES), 30);
    answer("message_stats.publish", 200, "[]");
    assert_ok(sample(&rig, &err), err);
    assert_int_equal(entry_of(&rig, "/", "q")->error, QE_ERR_NOT_FOUND);
    answer("message_stats.publish", 200, COUNTED("q", "15", "24"));
    for (int i = 0; i < 3; i++) {
        pass_ms(30000);
        assert_ok(sample(&rig, &err), err);
        assert_double_equal(value_of(&rig, "q", QE_FIELD_OLDEST_AGE_SECONDS), -1);
    }
    rig_deinit(&rig);
}

/* Statistics every 280 s, which tell of 8 messages and the age of the first; a poll each 30 s. */
static void an_age_stays_for_some_polls_while_its_message_may_be_there(void **state)
{
#define DEPTH(ready)                                                                               \
    "[" QUEUE("orders", ",\"messages_ready\":" ready ",\"messages_unacknowledged\":2") "]"
    static const struct {
        const char *bodies[9]; /* NULL: as before */
        const char *shown;     /* 'y': the age is; 'n': none */
        const char *why;
    } rows[] = {
        {{DEPTH("6")}, "yyyynnnny", "until it is old; and again"},
        {{DEPTH("6"), DEPTH("5"), DEPTH("9")}, "ynnnnnnny", "one was taken: the first, perhaps"},
        {{DEPTH("9"), DEPTH("7")}, "yyyynnnny", "some that came later went out of turn, if any"},
        {{"[" QUEUE("orders", "") "]", DEPTH("6")}, "nnnnnnnny", "not known"},
        {{DEPTH("6"), NULL, "[]", DEPTH("6")}, "yynnnnnny", "it was gone"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};
        char shown[10] = "";

        rig_init(&rig);
        many_queues(MANY_QUEUES "}");
        s_fake.answers[s_fake.answers_count - 2].takes_ms = 1400;
        assert_ok(list(&rig, &err), err);
        pass_ms(60000);
        assert_ok(sample(&rig, &err), err);
        const double age = value_of(&rig, "orders", QE_FIELD_OLDEST_AGE_SECONDS);

        for (size_t poll = 0; poll < 9; poll++) {
            if (rows[i].bodies[poll] != NULL) {
                answer("enable_queue_totals", 200, rows[i].bodies[poll]);
            }
            pass_ms(30000);
            assert_ok(sample(&rig, &err), err);
            const double now = value_of(&rig, "orders", QE_FIELD_OLDEST_AGE_SECONDS);

            shown[poll] = now >= age ? 'y' : 'n';
        }
        if (strcmp(shown, rows[i].shown) != 0) {
            fail_msg("%s: %s", rows[i].why, shown);
        }
        rig_deinit(&rig);
    }
#undef DEPTH
}

static void a_timestamp_that_cannot_be_true_is_no_age(void **state)
{
    static const struct {
        const char *timestamp;
        double age; /* after 100 s; < 0: absent */
        const char *why;
    } rows[] = {
        {"1700000000", 100, "plain"},
        {"1700000101", 0, "a clock ahead of ours"},
        {"1700000390", 0, "by minutes"},
        {"1700003700", -1, "by an hour"},
        {"1700000000000", -1, "milliseconds"},
        {"0", -1, "none"},
        {"86400", -1, "since the sender began"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};
        char body[256];

        rig_init(&rig);
        rig.settings.method = QE_RMQ_STATISTICS;
        s_unix_ms = INT64_C(1700000100000);
        (void)snprintf(body, sizeof body,
                       "[" QUEUE("q", ",\"messages_ready\":1,\"messages_unacknowledged\":0,"
                                      "\"head_message_timestamp\":%s") "]",
                       rows[i].timestamp);
        answer("/api/queues/%2F?disable_stats=true&columns=", 200, "[" QUEUE("q", CLASSIC) "]");
        answer("message_stats.publish", 200, body);
        assert_ok(list(&rig, &err), err);
        assert_ok(sample(&rig, &err), err);
        const double age = value_of(&rig, "q", QE_FIELD_OLDEST_AGE_SECONDS);

        if (age < rows[i].age || age > rows[i].age) {
            fail_msg("%s: %g", rows[i].why, age);
        }
        rig_deinit(&rig);
    }
}

static void where_dead_letters_may_go_anywhere_no_age_is_estimated(void **state)
{
    static const char *const hidden[] = {"/api/policies", "/api/bindings/", "/api/exchanges/"};

    (void)state;
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};

        rig_init(&rig);
        answer("/api/queues/%2F?disable_stats=true&columns=", 200,
               "[" QUEUE("q", QUORUM) "," QUEUE(
                   "other", ",\"arguments\":{\"x-dead-letter-exchange\":\"dlx\"}") "]");
        answer(hidden[i], 401, "{\"reason\":\"no\"}");
        assert_ok(list(&rig, &err), err);
        assert_true(qe_rmq_table_get(rig.self.table, "/", "q")->may_get_dead_letters);
        rig_deinit(&rig);
    }
}

/* A landing queue leads to one queue; what is left of it to nobody else. */
static void our_own_delays_keep_estimates_only_from_the_queues_that_they_are_for(void **state)
{
#define EXCHANGE(name, type) "{\"vhost\":\"/\",\"name\":\"" name "\",\"type\":\"" type "\"}"
#define BINDING(source, queue)                                                                     \
    "{\"vhost\":\"/\",\"source\":\"" source "\",\"destination\":\"" queue                          \
    "\",\"destination_type\":\"queue\",\"routing_key\":\"" queue "\"}"
#define DELAY(name, key)                                                                           \
    QUEUE(name, ",\"arguments\":{\"x-dead-letter-exchange\":\"\",\"x-message-ttl\":0" key "}")
    (void)state;
    struct rig rig;
    struct qe_err err = {0};

    rig_init(&rig);
    answer(
        "/api/exchanges/", 200,
        "[" EXCHANGE("qe.delay.missing", "fanout") "," EXCHANGE("qe.delay.plugin", "direct") "]");
    answer("/api/bindings/", 200, "[" BINDING("qe.delay.missing", "qe.delay.missing") "]");
    answer("/api/queues/%2F?disable_stats=true&columns=", 200,
           "[" QUEUE("q", QUORUM) "," QUEUE("retried", QUORUM) "," DELAY(
               "qe.delay.missing", "") "," DELAY("qe.delay.to.retried",
                                                 ",\"x-dead-letter-routing-key\":\"retried\"") "]");
    assert_ok(list(&rig, &err), err);
    assert_false(qe_rmq_table_get(rig.self.table, "/", "q")->may_get_dead_letters);
    assert_true(qe_rmq_table_get(rig.self.table, "/", "retried")->may_get_dead_letters);

    /* The landing queue is deleted, and what it was for goes by way of the other one. */
    answer(
        "/api/queues/%2F?disable_stats=true&columns=", 200,
        "[" QUEUE("q", QUORUM) "," QUEUE("retried", QUORUM) "," DELAY("qe.delay.missing", "") "]");
    assert_ok(list(&rig, &err), err);
    assert_false(qe_rmq_table_get(rig.self.table, "/", "q")->may_get_dead_letters);
    assert_true(qe_rmq_table_get(rig.self.table, "/", "retried")->may_get_dead_letters);

    /* The plugin's way leads to another one. */
    answer("/api/bindings/", 200,
           "[" BINDING("qe.delay.missing", "qe.delay.missing") "," BINDING("qe.delay.plugin",
                                                                           "q") "]");
    assert_ok(list(&rig, &err), err);
    assert_true(qe_rmq_table_get(rig.self.table, "/", "q")->may_get_dead_letters);
    rig_deinit(&rig);
#undef DELAY
#undef EXCHANGE
#undef BINDING
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_age_by_counters_is_told_where_every_message_is_counted),
        cmocka_unit_test(what_our_own_consumer_saw_is_better_than_an_estimate),
        cmocka_unit_test(what_waits_for_its_dead_letter_queue_is_no_empty_queue),
        cmocka_unit_test(a_queue_that_was_gone_for_a_poll_is_another_one),
        cmocka_unit_test(an_age_stays_for_some_polls_while_its_message_may_be_there),
        cmocka_unit_test(a_timestamp_that_cannot_be_true_is_no_age),
        cmocka_unit_test(where_dead_letters_may_go_anywhere_no_age_is_estimated),
        cmocka_unit_test(our_own_delays_keep_estimates_only_from_the_queues_that_they_are_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
