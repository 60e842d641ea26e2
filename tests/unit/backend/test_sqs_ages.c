/* Ages bought from CloudWatch: whose, how often, and when they are not known any more. */
#include "unit/backend/sqs_fake.h"

#define POLL_MS INT64_C(30000)
#define INTERVAL_MS INT64_C(300000)

static void run_polls(struct rig *rig, int64_t ms)
{
    for (int64_t passed = 0; passed < ms; passed += POLL_MS) {
        pass_ms(POLL_MS);
        poll_once(rig);
    }
}

static enum qe_age_method method(const struct rig *rig, const char *name)
{
    return entry_of(rig, name)->sample.age_method;
}

static void ages_come_with_the_first_poll(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("old")->ready = 1;
    s_fake.queues[0].age = 1234.5;
    add_queue("flying")->in_flight = 1;
    s_fake.queues[1].age = 7;
    (void)add_queue("empty");
    poll_once(&rig);
    assert_double_equal(age(&rig, "old"), 1234.5);
    assert_int_equal(method(&rig, "old"), QE_AGE_CLOUDWATCH);
    assert_double_equal(age(&rig, "flying"), 7);
    /* nothing in it: 0 for certain, and for nothing */
    assert_double_equal(age(&rig, "empty"), 0);
    assert_int_equal(method(&rig, "empty"), QE_AGE_BROKER);
    assert_int_equal(s_fake.metrics_asked, 2);
    rig_deinit(&rig);
}

static void a_queue_without_a_value_has_no_age(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("silent")->ready = 1;
    poll_once(&rig);
    assert_double_equal(age(&rig, "silent"), -1);
    rig_deinit(&rig);
}

static void twelve_hundred_queues_are_three_calls(void **state)
{
    static char names[1200][24];
    struct rig rig;

    (void)state;
    for (int paged = 0; paged < 2; paged++) {
        rig_init(&rig);
        s_fake.ages_in_pages = paged == 1;
        for (size_t i = 0; i < 1200; i++) {
            (void)snprintf(names[i], sizeof names[i], "q%04zu", i);
            add_queue(names[i])->ready = 1;
            s_fake.queues[i].age = (double)i + 1;
        }
        poll_once(&rig);
        assert_int_equal(s_fake.calls[QE_SQS_GET_METRIC_DATA], paged == 1 ? 6 : 3);
        assert_int_equal(s_fake.metrics_asked, 1200);
        for (size_t i = 0; i < 1200; i++) {
            assert_double_equal(age(&rig, names[i]), (double)i + 1);
        }
        rig_deinit(&rig);
    }
}

static void they_are_asked_once_an_interval(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("busy")->ready = 1;
    s_fake.queues[0].age = 60;
    poll_once(&rig);
    run_polls(&rig, 12 * INTERVAL_MS);
    assert_in_range(s_fake.metrics_asked, 12, 14);
    assert_double_equal(age(&rig, "busy"), 60);
    rig_deinit(&rig);
}

/* Told with it, so that nobody takes it for the age of now: the value's minute is over, and it is
 * kept until the next question. */
static void an_age_says_how_long_ago_it_was_true(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("busy")->ready = 1;
    s_fake.queues[0].age = 60;
    poll_once(&rig);
    const double first = entry_of(&rig, "busy")->sample.age_lag_seconds;

    assert_in_range((uintmax_t)first, 60, 120);
    run_polls(&rig, 2 * POLL_MS);
    assert_double_equal(entry_of(&rig, "busy")->sample.age_lag_seconds, first + 2 * POLL_MS / 1e3);
    s_fake.queues[0].ready = 0;
    run_polls(&rig, POLL_MS);
    assert_double_equal(age(&rig, "busy"), 0);
    assert_double_equal(entry_of(&rig, "busy")->sample.age_lag_seconds, 0);
    rig_deinit(&rig);
}

static void a_queue_that_has_just_got_a_message_waits_for_cloudwatch(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    struct fake_queue *queue = add_queue("queue");
    poll_once(&rig);
    queue->ready = 1;
    queue->age = 1;
    run_polls(&rig, 2 * POLL_MS);
    assert_double_equal(age(&rig, "queue"), -1); /* not 0 any more, and not known yet */
    assert_int_equal(s_fake.metrics_asked, 0);
    run_polls(&rig, 150000);
    assert_double_equal(age(&rig, "queue"), 1);
    queue->ready = 0;
    run_polls(&rig, POLL_MS);
    assert_double_equal(age(&rig, "queue"), 0);
    queue->ready = 1;
    run_polls(&rig, POLL_MS);
    assert_double_equal(age(&rig, "queue"), -1); /* what was bought before was of other messages */
    rig_deinit(&rig);
}

static void what_our_consumer_sees_is_not_bought(void **state)
{
    struct qe_err err = {0};
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("worked")->ready = 5;
    s_fake.queues[0].age = 99;
    begin_round(&rig);
    assert_ok(list(&rig, &err), err);
    assert_ok(qe_batch_init(&rig.batch, rig.set, &err), err);
    rig.batch.entries[0].observed_age_seconds = 3;
    assert_ok(qe_sqs_sample(&rig.sqs, rig.deadline_mono_ms, &rig.batch, &err), err);
    assert_int_equal(s_fake.metrics_asked, 0);
    assert_double_equal(age(&rig, "worked"), -1); /* the poller puts it in */
    rig_deinit(&rig);
}

static void another_accounts_queue_is_not_asked_for(void **state)
{
    static const char foreign[] = "https://sqs." REGION ".amazonaws.com/" OTHER "/orders";
    struct rig rig;

    (void)state;
    for (int namesake = 0; namesake < 2; namesake++) {
        rig_init(&rig);
        add_text(&rig.settings.queue_urls, foreign);
        add_queue("orders")->account = OTHER;
        s_fake.queues[0].ready = 1;
        if (namesake == 1) { /* ours of the same name: its age is not the other's */
            add_queue("orders")->ready = 1;
            s_fake.queues[1].age = 77;
        }
        poll_once(&rig);
        assert_double_equal(age(&rig, "orders"), -1);
        assert_int_equal(s_fake.metrics_asked, 0);
        rig_deinit(&rig);
    }
}

static void an_own_queue_named_by_its_url_is(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_text(&rig.settings.queue_urls, "https://sqs." REGION ".amazonaws.com/" OWN "/orders");
    add_queue("orders")->ready = 1;
    s_fake.queues[0].age = 77;
    poll_once(&rig);
    assert_double_equal(age(&rig, "orders"), 77);
    rig_deinit(&rig);
}

static void a_refusal_costs_the_ages_alone_and_is_told(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("queue")->ready = 1;
    s_fake.queues[0].age = 10;
    s_fake.ages = QE_ERR_AUTH;
    poll_once(&rig);
    assert_double_equal(field(&rig, "queue", QE_FIELD_READY_MESSAGES), 1);
    assert_double_equal(age(&rig, "queue"), -1);
    assert_int_equal(rig.batch.failed_count, 0);
    assert_int_equal(rig.batch.first_error.code, QE_ERR_AUTH);
    assert_non_null(strstr(rig.batch.first_error.message, "oldest messages"));
    assert_int_equal(qe_counter_get(&rig.sqs.stats->failures[QE_SQS_GET_METRIC_DATA][QE_ERR_AUTH]),
                     1);
    run_polls(&rig, INTERVAL_MS - POLL_MS);
    assert_int_equal(s_fake.calls[QE_SQS_GET_METRIC_DATA], 1); /* not with every poll */
    assert_int_equal(rig.batch.first_error.code, QE_ERR_AUTH); /* and still true */
    s_fake.ages = QE_OK;
    run_polls(&rig, 3 * POLL_MS);
    assert_double_equal(age(&rig, "queue"), 10);
    assert_int_equal(rig.batch.first_error.code, QE_OK);
    rig_deinit(&rig);
}

static void what_is_stale_disappears(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("queue")->ready = 1;
    s_fake.queues[0].age = 10;
    poll_once(&rig);
    s_fake.ages = QE_ERR_NETWORK;
    run_polls(&rig, 2 * INTERVAL_MS);
    assert_double_equal(age(&rig, "queue"), 10); /* one round missed is forgiven */
    run_polls(&rig, 3 * POLL_MS);
    assert_double_equal(age(&rig, "queue"), -1);
    assert_int_equal(entry_of(&rig, "queue")->error, QE_OK);
    rig_deinit(&rig);
}

static void a_single_query_may_fail(void **state)
{
    static const struct {
        const char *status;
        enum qe_err_code code;
    } rows[] = {{"Forbidden", QE_ERR_AUTH}, {"InternalError", QE_ERR_NETWORK}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;

        rig_init(&rig);
        add_queue("good")->ready = 1;
        s_fake.queues[0].age = 10;
        add_queue("bad")->ready = 1;
        s_fake.queues[1].age = 20;
        s_fake.queues[1].age_status = rows[i].status;
        add_queue("partial")->ready = 1;
        s_fake.queues[2].age = 30;
        s_fake.queues[2].age_status = "PartialData";
        poll_once(&rig);
        assert_double_equal(age(&rig, "good"), 10);
        assert_double_equal(age(&rig, "bad"), -1);
        assert_double_equal(age(&rig, "partial"), 30);
        assert_int_equal(rig.batch.first_error.code, rows[i].code);
        assert_non_null(strstr(rig.batch.first_error.message, "bad"));
        rig_deinit(&rig);
    }
}

static void without_a_method_only_empty_queues_have_ages(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.oldest_age.method = QE_SQS_AGE_NONE;
    add_queue("queue")->ready = 1;
    s_fake.queues[0].age = 10;
    (void)add_queue("empty");
    poll_once(&rig);
    assert_double_equal(age(&rig, "queue"), -1);
    assert_double_equal(age(&rig, "empty"), 0);
    assert_int_equal(s_fake.calls[QE_SQS_GET_METRIC_DATA], 0);
    rig_deinit(&rig);
}

static void empty_queues_are_asked_for_when_wanted(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.oldest_age.empty_queues = true;
    (void)add_queue("empty");
    (void)add_queue("only says so");
    s_fake.queues[1].age = 5; /* counts are approximate */
    poll_once(&rig);
    assert_double_equal(age(&rig, "empty"), 0);
    assert_double_equal(age(&rig, "only says so"), 5);
    assert_int_equal(method(&rig, "only says so"), QE_AGE_CLOUDWATCH);
    run_polls(&rig, POLL_MS);
    assert_double_equal(age(&rig, "only says so"), 5);
    rig_deinit(&rig);
}

static void what_is_no_answer_is_an_error(void **state)
{
    static const struct {
        const char *why;
        const char *answer;
    } rows[] = {
        {"nothing", "{}"},
        {"no list", "{\"MetricDataResults\":5}"},
        {"of somebody else", "{\"MetricDataResults\":[{\"Id\":\"m1\"}]}"},
        {"no id", "{\"MetricDataResults\":[{}]}"},
        {"an odd id", "{\"MetricDataResults\":[{\"Id\":\"m0x\"}]}"},
        {"a huge id", "{\"MetricDataResults\":[{\"Id\":\"m99999999999999999999999\"}]}"},
        {"text for a value",
         "{\"MetricDataResults\":[{\"Id\":\"m0\",\"Timestamps\":[1],\"Values\":[\"a\"]}]}"},
        {"an age below 0",
         "{\"MetricDataResults\":[{\"Id\":\"m0\",\"Timestamps\":[1],\"Values\":[-1]}]}"},
        {"pages without end", "{\"MetricDataResults\":[],\"NextToken\":\"again\"}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;

        rig_init(&rig);
        add_queue("queue")->ready = 1;
        s_fake.ages_garbage = rows[i].answer;
        poll_once(&rig);
        print_message("%s: %s\n", rows[i].why, rig.batch.first_error.message);
        assert_double_equal(age(&rig, "queue"), -1);
        assert_int_not_equal(rig.batch.first_error.code, QE_OK);
        assert_int_equal(rig.batch.failed_count, 0);
        rig_deinit(&rig);
    }
}

static void times_may_have_exponents(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("queue")->ready = 1;
    s_fake.ages_garbage = "{\"MetricDataResults\":[{\"Id\":\"m0\",\"Timestamps\":[1.7953110E9,"
                          "1795310940],\"Values\":[4.2E1,1],\"StatusCode\":\"Complete\"}]}";
    poll_once(&rig);
    assert_double_equal(age(&rig, "queue"), 42);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ages_come_with_the_first_poll),
        cmocka_unit_test(a_queue_without_a_value_has_no_age),
        cmocka_unit_test(twelve_hundred_queues_are_three_calls),
        cmocka_unit_test(they_are_asked_once_an_interval),
        cmocka_unit_test(an_age_says_how_long_ago_it_was_true),
        cmocka_unit_test(a_queue_that_has_just_got_a_message_waits_for_cloudwatch),
        cmocka_unit_test(what_our_consumer_sees_is_not_bought),
        cmocka_unit_test(another_accounts_queue_is_not_asked_for),
        cmocka_unit_test(an_own_queue_named_by_its_url_is),
        cmocka_unit_test(a_refusal_costs_the_ages_alone_and_is_told),
        cmocka_unit_test(what_is_stale_disappears),
        cmocka_unit_test(a_single_query_may_fail),
        cmocka_unit_test(without_a_method_only_empty_queues_have_ages),
        cmocka_unit_test(empty_queues_are_asked_for_when_wanted),
        cmocka_unit_test(what_is_no_answer_is_an_error),
        cmocka_unit_test(times_may_have_exponents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
