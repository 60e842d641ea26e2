/* What one poll reads, of whom, and what it says when that goes wrong. */
#include "unit/backend/sqs_fake.h"

#define POLL_MS INT64_C(30000)

static char s_names[FAKE_QUEUES_MAX][24];

static void add_queues(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(s_names[i], sizeof s_names[i], "q%04zu", i);
        (void)add_queue(s_names[i]);
    }
}

static size_t count_entries(const struct rig *rig, enum qe_err_code code)
{
    size_t count = 0;

    for (size_t i = 0; i < rig->set->count; i++) {
        count += rig->batch.entries[i].error == code ? 1 : 0;
    }
    return count;
}

/* Polls until what is listed has settled, so that each later poll is a plain one. */
static void settle(struct rig *rig)
{
    for (int i = 0; i < 3; i++) {
        poll_once(rig);
        pass_ms(POLL_MS);
    }
    assert_false(rig->batch.relist);
}

static void a_sample_holds_all_that_is_known(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    *add_queue("orders") =
        (struct fake_queue){.name = "orders",
                            .ready = 3,
                            .in_flight = 2,
                            .delayed = 1,
                            .retention = 1209600,
                            .dead_letter_arn = "arn:aws:sqs:" REGION ":" OWN ":dead"};
    poll_once(&rig);
    static const struct {
        enum qe_field field;
        double value;
    } rows[] = {{QE_FIELD_READY_MESSAGES, 3},          {QE_FIELD_IN_FLIGHT_MESSAGES, 2},
                {QE_FIELD_DELAYED_MESSAGES, 1},        {QE_FIELD_IN_FLIGHT_LIMIT_MESSAGES, 120000},
                {QE_FIELD_RETENTION_SECONDS, 1209600}, {QE_FIELD_VISIBILITY_TIMEOUT_SECONDS, 30},
                {QE_FIELD_DELIVERY_DELAY_SECONDS, 0},  {QE_FIELD_MAX_RECEIVES, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_double_equal(field(&rig, "orders", rows[i].field), rows[i].value);
    }
    assert_double_equal(field(&rig, "orders", QE_FIELD_CONSUMERS), -1); /* nobody tells */
    rig_deinit(&rig);
}

static void one_of_a_thousand_fails_alone(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queues(1000);
    s_fake.queues[500].refusal = QE_ERR_AUTH;
    s_fake.queues[500].refusal_code = "AccessDenied";
    s_fake.queues[600].refusal = QE_ERR_THROTTLED;
    s_fake.queues[600].refusal_code = "RequestThrottled";
    poll_once(&rig);
    assert_int_equal(count_entries(&rig, QE_OK), 998);
    assert_int_equal(entry_of(&rig, "q0500")->error, QE_ERR_AUTH);
    assert_int_equal(entry_of(&rig, "q0600")->error, QE_ERR_THROTTLED);
    assert_int_equal(rig.batch.failed_count, 2);
    assert_non_null(strstr(rig.batch.first_error.message, "queue q0"));
    rig_deinit(&rig);
}

static int sample_again(struct rig *rig, struct qe_err *err)
{
    memset(s_fake.calls, 0, sizeof s_fake.calls);
    pass_ms(POLL_MS);
    begin_round(rig);
    return sample(rig, err);
}

static void what_holds_for_everybody_is_asked_once(void **state)
{
    static const struct {
        const char *why;
        enum qe_err_code begin; /* nothing can be begun */
        enum qe_err_code everything;
        const char *code;
        size_t calls_most;
        enum qe_err_code wanted;
    } rows[] = {
        {"no credentials", QE_ERR_AUTH, QE_OK, NULL, 0, QE_ERR_AUTH},
        {"unknown key", QE_OK, QE_ERR_AUTH, "UnrecognizedClientException", 1, QE_ERR_AUTH},
        {"wrong secret", QE_OK, QE_ERR_AUTH, "SignatureDoesNotMatch", 1, QE_ERR_AUTH},
        {"expired", QE_OK, QE_ERR_AUTH, "ExpiredTokenException", 1, QE_ERR_AUTH},
        {"denied, each by itself", QE_OK, QE_ERR_AUTH, "AccessDenied", 32, QE_ERR_AUTH},
        {"nobody there", QE_OK, QE_ERR_NETWORK, NULL, 32, QE_ERR_NETWORK},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_err err = {0};
        struct rig rig;

        rig_init(&rig);
        add_queues(1000);
        begin_round(&rig);
        assert_ok(list(&rig, &err), err);
        qe_sqs_watch_destroy(rig.sqs.watch); /* a new handle, which has read nothing yet */
        rig.sqs.watch = NULL;
        s_fake.credentials = rows[i].begin;
        s_fake.everything = rows[i].everything;
        s_fake.everything_code = rows[i].code;
        assert_int_equal(sample_again(&rig, &err), -1);
        assert_int_equal(err.code, rows[i].wanted);
        print_message("%s: %zu calls\n", rows[i].why, s_fake.calls[QE_SQS_GET_QUEUE_ATTRIBUTES]);
        assert_true(s_fake.calls[QE_SQS_GET_QUEUE_ATTRIBUTES] <= rows[i].calls_most);
        assert_int_equal(s_fake.in_flight_count, 0);
        rig_deinit(&rig);
    }
}

/* Only the last of 100 may be read: each poll tries twice as many, and then it is found. */
static void a_source_of_which_little_may_be_read_is_read_in_the_end(void **state)
{
    struct qe_err err = {0};
    struct rig rig;
    int polls = 0;

    (void)state;
    rig_init(&rig);
    add_queues(100);
    begin_round(&rig);
    assert_ok(list(&rig, &err), err);
    qe_sqs_watch_destroy(rig.sqs.watch);
    rig.sqs.watch = NULL;
    for (size_t i = 0; i < 99; i++) {
        s_fake.queues[i].refusal = QE_ERR_AUTH;
        s_fake.queues[i].refusal_code = "AccessDenied";
    }
    for (; polls < 5 && sample_again(&rig, &err) != 0; polls++) {
        err = (struct qe_err){0};
    }
    assert_in_range(polls, 0, 2);
    assert_int_equal(entry_of(&rig, "q0099")->error, QE_OK);
    /* and from then on all are asked, every time */
    assert_ok(sample_again(&rig, &err), err);
    assert_int_equal(count_entries(&rig, QE_ERR_AUTH), 99);
    rig_deinit(&rig);
}

static void credentials_that_end_in_the_middle_leave_what_was_read(void **state)
{
    struct qe_err err = {0};
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queues(600); /* list() reads 500 of them */
    begin_round(&rig);
    assert_ok(list(&rig, &err), err);
    s_fake.credentials = QE_ERR_AUTH;
    assert_ok(sample(&rig, &err), err);
    assert_int_equal(count_entries(&rig, QE_OK), 500);
    assert_int_equal(count_entries(&rig, QE_ERR_AUTH), 100);
    rig_deinit(&rig);
}

static void names_that_a_server_does_not_know_are_left_out(void **state)
{
    static const struct {
        const char *why;
        const char *unknown;
        bool silent;
        const char *asked;   /* is asked now */
        const char *dropped; /* is not */
    } rows[] = {
        {"said which", "FifoQueue", false, "\"QueueArn\"", "FifoQueue"},
        {"did not say", "FifoQueue", true, "[\"All\"]", "FifoQueue"},
        {"one that is needed", "ApproximateNumberOfMessages", false, "[\"All\"]", "Approximate"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;

        rig_init(&rig);
        add_queues(40);
        s_fake.unknown_attribute = rows[i].unknown;
        s_fake.is_silent_about_it = rows[i].silent;
        print_message("%s\n", rows[i].why);
        poll_once(&rig);
        assert_int_equal(count_entries(&rig, QE_OK), 40);
        /* those that went out together are refused together, and only once */
        assert_true(s_fake.calls[QE_SQS_GET_QUEUE_ATTRIBUTES] <= 40 + 16);
        assert_non_null(strstr(s_fake.last_attributes_body, rows[i].asked));
        assert_null(strstr(s_fake.last_attributes_body, rows[i].dropped));
        rig_deinit(&rig);
    }
}

static void a_deadline_in_the_middle_keeps_what_is_there(void **state)
{
    struct rig rig;
    size_t good = 0;

    (void)state;
    rig_init(&rig);
    rig.settings.cadence.adaptive = false;
    add_queues(400);
    settle(&rig);
    s_fake.call_us = 100000; /* 100 calls in the 10 s of a poll */
    poll_once(&rig);
    good = count_entries(&rig, QE_OK);
    print_message("%zu read, %zu not in time\n", good, count_entries(&rig, QE_ERR_TIMEOUT));
    assert_in_range(good, 80, 100);
    assert_int_equal(good + count_entries(&rig, QE_ERR_TIMEOUT), 400);
    assert_true(qe_clock_mono_ms() <= rig.deadline_mono_ms + 1600);
    rig_deinit(&rig);
}

static void the_rate_cap_holds(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.requests_per_second = 100;
    add_queues(300);
    const int64_t begin_ms = qe_clock_mono_ms();
    poll_once(&rig);
    assert_int_equal(count_entries(&rig, QE_OK), 300);
    assert_in_range(qe_clock_mono_ms() - begin_ms, 2700, 3100);
    rig_deinit(&rig);
}

static void quiet_queues_are_asked_less_often(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queues(90);
    s_fake.queues[3].ready = 1;
    s_fake.queues[4].dead_letter_arn = "arn:aws:sqs:" REGION ":" OWN ":q0005";
    settle(&rig);
    for (int i = 0; i < 10; i++) {
        poll_once(&rig);
        pass_ms(POLL_MS);
    }
    for (int i = 0; i < 30; i++) {
        const size_t before = s_fake.calls[QE_SQS_GET_QUEUE_ATTRIBUTES];

        poll_once(&rig);
        pass_ms(POLL_MS);
        const size_t asked = s_fake.calls[QE_SQS_GET_QUEUE_ATTRIBUTES] - before;
        assert_in_range(asked, 2 + 88 / 3 - 12, 2 + 88 / 3 + 12); /* 2m are three polls, safely */
        assert_int_equal(entry_of(&rig, "q0003")->error, QE_OK);
        assert_int_equal(entry_of(&rig, "q0005")->error, QE_OK);
        for (size_t q = 0; q < rig.set->count; q++) {
            const struct qe_batch_entry *entry = &rig.batch.entries[q];

            assert_true(entry->error == QE_OK ? !entry->skipped
                                              : entry->skipped && entry->error == QE_ERR_CANCELLED);
            /* what is read by every third poll must last that much longer */
            if (entry->error == QE_OK && q > 5) {
                assert_int_equal(entry->extra_wait_ms, 2 * POLL_MS);
            }
        }
    }
    s_fake.queues[50].ready = 1;
    for (int i = 0; i < 3; i++) {
        poll_once(&rig);
        pass_ms(POLL_MS);
    }
    poll_once(&rig);
    assert_double_equal(field(&rig, "q0050", QE_FIELD_READY_MESSAGES), 1);
    rig_deinit(&rig);
}

/* One queue that fails, one that is quiet: the poll must not look as if nobody answered. */
static void every_poll_asks_somebody_who_can_answer(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queues(2);
    s_fake.queues[0].refusal = QE_ERR_AUTH;
    s_fake.queues[0].refusal_code = "AccessDenied";
    for (int i = 0; i < 20; i++) {
        poll_once(&rig);
        assert_int_equal(entry_of(&rig, "q0000")->error, QE_ERR_AUTH);
        assert_int_equal(entry_of(&rig, "q0001")->error, QE_OK);
        pass_ms(POLL_MS);
    }
    rig_deinit(&rig);
}

static void a_single_quiet_queue_is_asked_by_every_poll(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queues(1);
    for (int i = 0; i < 20; i++) {
        poll_once(&rig);
        assert_int_equal(entry_of(&rig, "q0000")->error, QE_OK);
        pass_ms(POLL_MS);
    }
    rig_deinit(&rig);
}

static void a_queue_that_no_list_had_is_asked_by_its_address(void **state)
{
    struct qe_queue_list queues = {0};
    struct qe_err err = {0};
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queues(1);
    struct qe_queue *gone = qe_queue_list_add(&queues, &err);
    assert_ok(qe_queue_init(gone, NULL, "gone", QE_KIND_STANDARD, &err), err);
    struct qe_queue *there = qe_queue_list_add(&queues, &err);
    assert_ok(qe_queue_init(there, NULL, "q0000", QE_KIND_STANDARD, &err), err);
    rig.set = qe_queue_set_new_take(&queues, &err);
    assert_non_null(rig.set);
    begin_round(&rig);
    assert_ok(sample(&rig, &err), err);
    assert_int_equal(entry_of(&rig, "gone")->error, QE_ERR_NOT_FOUND);
    assert_int_equal(entry_of(&rig, "q0000")->error, QE_OK);
    rig_deinit(&rig);
}

static void an_interrupt_ends_the_poll(void **state)
{
    (void)state;
    for (size_t after = 0; after < 60; after += 10) {
        struct qe_err err = {0};
        struct rig rig;

        rig_init(&rig);
        rig.settings.cadence.adaptive = false;
        add_queues(50);
        settle(&rig);
        s_fake.answers = 0;
        s_fake.interrupt_after = after;
        atomic_store(&rig.sqs.interrupted, after == 0);
        assert_int_equal(sample_again(&rig, &err), after < 50 ? -1 : 0);
        if (after < 50) {
            assert_int_equal(err.code, QE_ERR_CANCELLED);
        }
        assert_int_equal(s_fake.in_flight_count, 0);
        rig_deinit(&rig);
    }
}

static void garbage_is_one_queues_failure(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queues(3);
    s_fake.queues[1].garbage = "{\"Attributes\":{\"ApproximateNumberOfMessages\":\"many\"}}";
    s_fake.queues[2].garbage = "<html>";
    poll_once(&rig);
    assert_int_equal(entry_of(&rig, "q0000")->error, QE_OK);
    assert_int_equal(entry_of(&rig, "q0001")->error, QE_ERR_PROTOCOL);
    assert_int_equal(entry_of(&rig, "q0002")->error, QE_ERR_PROTOCOL);
    rig_deinit(&rig);
}

static double stretch(const struct rig *rig, enum qe_sqs_billed service)
{
    return (double)atomic_load(&rig->sqs.stats->interval_stretch_permille[service]) / 1000;
}

/* 200 queues with messages every 30 s are 7 dollars a month, their ages every 5 minutes 17.52. */
static void a_budget_stretches_ages_first_and_says_so(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.cost.monthly_budget_dollars = 10;
    add_queues(200);
    for (size_t i = 0; i < 200; i++) {
        s_fake.queues[i].ready = 1;
        s_fake.queues[i].age = 60;
    }
    settle(&rig);
    memset(s_fake.calls, 0, sizeof s_fake.calls);
    s_fake.metrics_asked = 0;
    for (int i = 0; i < 120; i++) { /* an hour */
        poll_once(&rig);
        pass_ms(POLL_MS);
    }
    assert_int_equal(s_fake.calls[QE_SQS_GET_QUEUE_ATTRIBUTES], 120 * 200);
    print_message("%zu metrics in an hour, stretched %.2f times\n", s_fake.metrics_asked,
                  stretch(&rig, QE_SQS_BILLED_CLOUDWATCH));
    assert_in_range(s_fake.metrics_asked, 200, 3 * 200); /* not 12 times 200 */
    assert_true(stretch(&rig, QE_SQS_BILLED_CLOUDWATCH) > 4);
    assert_true(stretch(&rig, QE_SQS_BILLED_CLOUDWATCH) <= 12);
    assert_double_equal(stretch(&rig, QE_SQS_BILLED_SQS), 1);
    rig_deinit(&rig);
}

static void what_consumers_spend_counts(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.cost.monthly_budget_dollars = 10;
    add_queues(200);
    for (size_t i = 0; i < 200; i++) {
        s_fake.queues[i].ready = 1;
    }
    for (int i = 0; i < 40; i++) { /* three dollars and a half a month */
        qe_api_stats_bill(rig.sqs.stats, QE_SQS_BILLED_SQS, 100, 100 * 0.40e-6);
        poll_once(&rig);
        pass_ms(POLL_MS);
    }
    assert_double_equal(stretch(&rig, QE_SQS_BILLED_CLOUDWATCH), 12);
    assert_true(stretch(&rig, QE_SQS_BILLED_SQS) > 1.9);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_holds_all_that_is_known),
        cmocka_unit_test(one_of_a_thousand_fails_alone),
        cmocka_unit_test(what_holds_for_everybody_is_asked_once),
        cmocka_unit_test(a_source_of_which_little_may_be_read_is_read_in_the_end),
        cmocka_unit_test(credentials_that_end_in_the_middle_leave_what_was_read),
        cmocka_unit_test(names_that_a_server_does_not_know_are_left_out),
        cmocka_unit_test(a_deadline_in_the_middle_keeps_what_is_there),
        cmocka_unit_test(the_rate_cap_holds),
        cmocka_unit_test(quiet_queues_are_asked_less_often),
        cmocka_unit_test(every_poll_asks_somebody_who_can_answer),
        cmocka_unit_test(a_single_quiet_queue_is_asked_by_every_poll),
        cmocka_unit_test(a_queue_that_no_list_had_is_asked_by_its_address),
        cmocka_unit_test(an_interrupt_ends_the_poll),
        cmocka_unit_test(garbage_is_one_queues_failure),
        cmocka_unit_test(a_budget_stretches_ages_first_and_says_so),
        cmocka_unit_test(what_consumers_spend_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
