/* Polls of a made RabbitMQ: what is dear is shown as long as it is asked regularly, and asked as
 * often as its answers say that it may be. */
#include "unit/backend/rabbitmq_fake.h"

#define POLL_MS 30000

static void answer_late(const char *part, const char *body, int64_t takes_ms)
{
    answer(part, 200, body);
    s_fake.answers[s_fake.answers_count - 1].takes_ms = takes_ms;
}

/* The next poll, half a minute after the one before: whether it asked for `part`. */
static bool next_poll_asks(struct rig *rig, const char *part)
{
    struct qe_err err = {0};

    pass_ms(POLL_MS);
    s_fake.log_count = 0;
    assert_ok(sample(rig, &err), err);
    return asked(part) > 0;
}

/* What is true of all of these fields of queue orders: shown, or not. */
static void assert_shown(const struct rig *rig, const enum qe_field fields[4], bool is_shown,
                         const char *method)
{
    for (size_t i = 0; i < 4; i++) {
        if ((value_of(rig, "orders", fields[i]) >= 0) != is_shown) {
            fail_msg("by %s: field %d", method, (int)fields[i]);
        }
    }
}

/* At half a percent of its time, 1.6 s would be asked less than once in 5 minutes. */
static void what_is_asked_only_to_see_whether_it_is_cheaper_is_not_shown(void **state)
{
#define COUNTED                                                                                    \
    "[" QUEUE("orders", ",\"messages_ready\":7,\"messages_unacknowledged\":1,\"consumers\":2,"     \
                        "\"message_bytes\":70,\"head_message_timestamp\":1700000000,"              \
                        "\"message_stats\":{\"publish\":9}") "]"
#define SIZES                                                                                      \
    TEXT("rabbitmq_detailed_queue_messages_bytes{vhost=\"/\",queue=\"orders\"} 70\n"               \
         "rabbitmq_detailed_queue_head_message_timestamp{vhost=\"/\",queue=\"orders\"} "           \
         "1700000000\n")
    static const struct {
        const char *overview;
        const char *dear;
        const char *body;
        const char *method;
        enum qe_field fields[4]; /* that only what is dear tells; the rest 0: the first again */
    } rows[] = {
        {MANY_QUEUES "}",
         "message_stats.publish",
         COUNTED,
         "totals",
         {QE_FIELD_PUBLISHED_TOTAL, QE_FIELD_CONSUMERS, QE_FIELD_SIZE_BYTES,
          QE_FIELD_OLDEST_AGE_SECONDS}},
        {MANY_QUEUES LISTENER ",\"disable_stats\":true}",
         "family=queue_metrics",
         SIZES,
         "metrics",
         {QE_FIELD_SIZE_BYTES, QE_FIELD_OLDEST_AGE_SECONDS, QE_FIELD_SIZE_BYTES,
          QE_FIELD_OLDEST_AGE_SECONDS}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};
        size_t probes = 0;

        rig_init(&rig);
        many_queues(rows[i].overview);
        answer("rabbit:15692/metrics/detailed?family=queue_coarse", 200,
               TEXT(READY("orders", "7")));
        answer_late(rows[i].dear, rows[i].body, 1600);
        assert_ok(list(&rig, &err), err);
        for (size_t poll = 0; poll < 40; poll++) {
            probes += next_poll_asks(&rig, rows[i].dear) ? 1 : 0;
            assert_string_equal(rig.batch.method, rows[i].method);
            assert_double_equal(value_of(&rig, "orders", QE_FIELD_READY_MESSAGES), 7);
            assert_shown(&rig, rows[i].fields, false, rows[i].method);
        }
        assert_in_range(probes, 3, 5);

        /* Once it is cheaper it stays, from the poll that found it out. */
        answer_late(rows[i].dear, rows[i].body, 1000);
        for (size_t poll = 0; poll < 20 && !next_poll_asks(&rig, rows[i].dear); poll++) {
        }
        for (size_t poll = 0; poll < 20; poll++) {
            assert_true(value_of(&rig, "orders", rows[i].fields[0]) >= 0);
            (void)next_poll_asks(&rig, rows[i].dear);
        }
        rig_deinit(&rig);
    }
#undef COUNTED
#undef SIZES
}

static void statistics_at_every_poll_are_shown_whatever_they_cost(void **state)
{
    struct rig rig;
    struct qe_err err = {0};

    (void)state;
    rig_init(&rig);
    two_queues();
    rig.settings.method = QE_RMQ_STATISTICS;
    s_fake.answers[s_fake.answers_count - 1].takes_ms = 3000;
    assert_ok(list(&rig, &err), err);
    for (size_t poll = 0; poll < 5; poll++) {
        assert_true(next_poll_asks(&rig, "message_stats.publish"));
        assert_double_equal(value_of(&rig, "orders", QE_FIELD_PUBLISHED_TOTAL), 9);
        assert_true(value_of(&rig, "orders", QE_FIELD_OLDEST_AGE_SECONDS) > 0);
    }
    rig_deinit(&rig);
}

/* How something can fail to come, once, and whether it tells what it would have cost. */
static const struct {
    unsigned status; /* 0: no answer */
    const char *body;
    enum qe_err_code error;
} s_failures[] = {
    {0, NULL, QE_ERR_NETWORK}, /* the connection was refused */
    {401, "{\"error\":\"not_authorized\"}", QE_OK},
    {503, "busy", QE_OK},
    {429, "", QE_OK},
    {200, "<html>", QE_OK}, /* a proxy's page */
};

static void fail_next(const char *part, size_t row)
{
    answer(part, s_failures[row].status, s_failures[row].body);
    s_fake.answers[s_fake.answers_count - 1].error = s_failures[row].error;
    s_fake.answers[s_fake.answers_count - 1].takes_ms = 1;
}

static void a_refusal_does_not_make_statistics_cheap(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_failures / sizeof s_failures[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};

        rig_init(&rig);
        many_queues(MANY_QUEUES "}");
        assert_ok(list(&rig, &err), err);
        assert_true(next_poll_asks(&rig, "message_stats.publish")); /* 0.5 s: each 100 s */
        for (size_t poll = 0; poll < 2; poll++) {
            assert_false(next_poll_asks(&rig, "message_stats.publish"));
        }
        fail_next("message_stats.publish", i);
        assert_true(next_poll_asks(&rig, "message_stats.publish"));
        s_fake.answers_count--;
        for (size_t poll = 0; poll < 5; poll++) { /* a refusal is not asked again at once */
            assert_int_equal(next_poll_asks(&rig, "message_stats.publish"), poll == 2);
            assert_string_equal(rig.batch.method, "totals");
        }
        rig_deinit(&rig);
    }
}

static void a_refusal_does_not_make_the_metrics_of_nodes_cheap(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_failures / sizeof s_failures[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};

        rig_init(&rig);
        many_queues(MANY_QUEUES LISTENER ",\"disable_stats\":true}");
        answer("rabbit:15692/metrics/detailed?family=queue_coarse", 200,
               TEXT(READY("orders", "7")));
        answer_late("family=queue_metrics", TEXT(""), 500);
        assert_ok(list(&rig, &err), err);
        assert_true(next_poll_asks(&rig, "family=queue_metrics"));
        const double cost_seconds = rig.self.paces[QE_RMQ_EXTRA_METRICS].cost_seconds;

        assert_double_equal(cost_seconds, 0.5);
        if (s_failures[i].status != 200) { /* any text is one of metrics */
            fail_next("family=queue_metrics", i);
        }
        for (size_t poll = 0; poll < 3; poll++) {
            assert_int_equal(next_poll_asks(&rig, "family=queue_metrics"), poll == 2);
        }
        assert_double_equal(rig.self.paces[QE_RMQ_EXTRA_METRICS].cost_seconds, cost_seconds);
        rig_deinit(&rig);
    }
}

/* As long as the broker tells of its nodes it is the statistics that take so long. */
static void an_answer_that_comes_too_late_has_cost_something(void **state)
{
    static const struct {
        const char *hangs;
        double cost_seconds;
        const char *why;
    } rows[] = {
        {"message_stats.publish", 11, "only the statistics are late"},
        {"/api/", 0.5, "nothing answers"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};

        rig_init(&rig);
        two_queues();
        rig.settings.method = QE_RMQ_STATISTICS;
        s_fake.answers[s_fake.answers_count - 1].takes_ms = 500;
        assert_ok(list(&rig, &err), err);
        for (size_t poll = 0; poll < 3; poll++) {
            assert_true(next_poll_asks(&rig, "message_stats.publish"));
        }
        answer_late(rows[i].hangs, "[]", POLL_TIMEOUT_MS + 1000);
        for (size_t poll = 0; poll < 3; poll++) {
            pass_ms(POLL_MS);
            assert_int_equal(sample(&rig, &err), -1);
        }
        const double cost_seconds = rig.self.paces[QE_RMQ_EXTRA_STATISTICS].cost_seconds;

        if (cost_seconds < rows[i].cost_seconds || cost_seconds > rows[i].cost_seconds) {
            fail_msg("%s: %g", rows[i].why, cost_seconds);
        }
        rig_deinit(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_only_to_see_whether_it_is_cheaper_is_not_shown),
        cmocka_unit_test(statistics_at_every_poll_are_shown_whatever_they_cost),
        cmocka_unit_test(a_refusal_does_not_make_statistics_cheap),
        cmocka_unit_test(a_refusal_does_not_make_the_metrics_of_nodes_cheap),
        cmocka_unit_test(an_answer_that_comes_too_late_has_cost_something),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
