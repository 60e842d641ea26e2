/* Receiving: polls that outlive their call, and what is held. */
#include "sqs_service.h"

#define MESSAGE(n) "{\"MessageId\":\"id" n "\",\"ReceiptHandle\":\"r" n "\",\"Body\":\"" n "\"}"
#define GROUPED(n, group)                                                                          \
    "{\"MessageId\":\"id" n "\",\"ReceiptHandle\":\"r" n "\",\"Body\":\"" n                        \
    "\",\"Attributes\":{\"MessageGroupId\":\"" group "\"}}"
#define MESSAGES(list) "{\"Messages\":[" list "]}"
#define TEN                                                                                        \
    MESSAGE("0")                                                                                   \
    "," MESSAGE("1") "," MESSAGE("2") "," MESSAGE("3") "," MESSAGE("4") "," MESSAGE(               \
        "5") "," MESSAGE("6") "," MESSAGE("7") "," MESSAGE("8") "," MESSAGE("9")
#define FACTS_STEP                                                                                 \
    {                                                                                              \
        QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", "")                                     \
    }

static int receive(const struct desk *desk, const struct qe_queue *queue, size_t max,
                   int64_t wait_ms, struct qe_message_list *out, struct qe_err *err)
{
    return qe_driver_sqs.receive(desk->sqs, queue, max, in_ms(wait_ms), out, err);
}

static void expect_messages(struct qe_message_list *list, const char *bodies)
{
    char got[64] = "";

    for (size_t i = 0; i < list->count; i++) {
        (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%s", list->items[i].body);
    }
    assert_string_equal(got, bodies);
    qe_message_list_deinit(list);
}

static void a_long_poll_asks_for_all_there_is_to_know(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a")), .after_ms = 5000},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    s_service.is_aws = true;
    play(steps);
    assert_ok(receive(desk, &desk->queue, 3, 15500, &list, &err), err);
    expect_end();
    expect_body(1,
                "\"MaxNumberOfMessages\":3,\"WaitTimeSeconds\":16,\"VisibilityTimeout\":30,"
                "\"MessageSystemAttributeNames\":[\"All\"],\"MessageAttributeNames\":[\"All\"]}");
    /* Five seconds after the request; the way took a second at most. */
    assert_int_equal(list.items[0].visible_until_mono_ms, START_MONO_MS + 5000 - 1000 + 30000);
    expect_messages(&list, "a");
}

static void emulators_are_asked_by_the_old_name_too(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP, {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a"))}, {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 1, 1000, &list, &err), err);
    expect_body(1, ",\"AttributeNames\":[\"All\"]");
    qe_message_list_deinit(&list);
}

static void a_longer_wait_is_several_polls(void **state)
{
    static const struct step steps[] = {FACTS_STEP,
                                        {QE_SQS_RECEIVE_MESSAGE, .answer = "{}", .after_ms = 20000},
                                        {QE_SQS_RECEIVE_MESSAGE, .answer = "", .after_ms = 20000},
                                        {QE_SQS_RECEIVE_MESSAGE, .answer = "{}", .after_ms = 5000},
                                        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 1, 45000, &list, &err), err);
    expect_end();
    expect_body(1, "\"WaitTimeSeconds\":20,");
    expect_body(3, "\"WaitTimeSeconds\":5,");
    assert_int_equal(list.count, 0);
    assert_int_equal(s_now_mono_ms, START_MONO_MS + 45000);
}

static void an_interrupted_poll_goes_on_and_the_next_receive_gets_its_messages(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a")), .after_ms = 3000},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    s_service.interrupt_mono_ms = START_MONO_MS + 1000;
    assert_int_equal(receive(desk, &desk->queue, 1, 20000, &list, &err), -1);
    assert_int_equal(err.code, QE_ERR_CANCELLED);
    assert_int_equal(s_now_mono_ms, START_MONO_MS + 1000);
    assert_null(list.items);
    assert_ok(receive(desk, &desk->queue, 1, 20000, &list, &err), err);
    expect_end(); /* no second poll */
    assert_int_equal(s_now_mono_ms, START_MONO_MS + 3000);
    expect_messages(&list, "a");
}

static void a_poll_past_its_deadline_goes_on_as_well(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a")), .after_ms = 900},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_false(qe_driver_sqs.awaits(desk->sqs, &desk->queue));
    assert_ok(receive(desk, &desk->queue, 1, 300, &list, &err), err);
    assert_int_equal(s_now_mono_ms, START_MONO_MS + 300);
    assert_int_equal(list.count, 0);
    assert_true(qe_driver_sqs.awaits(desk->sqs, &desk->queue)); /* so it was no empty queue */
    assert_false(qe_driver_sqs.awaits(desk->sqs, &desk->fifo));
    assert_ok(receive(desk, &desk->queue, 1, 5000, &list, &err), err);
    assert_false(qe_driver_sqs.awaits(desk->sqs, &desk->queue));
    expect_messages(&list, "a");
    expect_end();
}

static void who_wants_none_has_the_queue_learnt_all_the_same(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", ""), .after_ms = 7000},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 0, 10000, &list, &err), err);
    assert_int_equal(s_now_mono_ms, START_MONO_MS + 7000);
    assert_null(list.items);
    expect_end();
}

static void polls_of_two_queues_do_not_mix(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a")), .after_ms = 900},
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("f")), .after_ms = 1500},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 1, 300, &list, &err), err);
    assert_ok(receive(desk, &desk->fifo, 1, 5000, &list, &err), err);
    expect_messages(&list, "f"); /* "a" came meanwhile, and is not its */
    assert_ok(receive(desk, &desk->queue, 1, 5000, &list, &err), err);
    expect_messages(&list, "a");
    expect_end();
}

static void what_is_more_than_asked_for_is_held(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a") "," MESSAGE("b") "," MESSAGE("c")),
         .after_ms = 500},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 3, 300, &list, &err), err);
    assert_ok(receive(desk, &desk->queue, 1, 5000, &list, &err), err);
    expect_messages(&list, "a");
    assert_ok(receive(desk, &desk->queue, 2, 5000, &list, &err), err);
    expect_messages(&list, "bc");
    expect_end();
}

static void what_is_held_too_long_is_not_handed_out(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a") "," MESSAGE("b"))},
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("c"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 1, 1000, &list, &err), err); /* the server gave two */
    expect_messages(&list, "a");
    s_now_mono_ms += 30000; /* "b" has lapsed, and comes again */
    assert_ok(receive(desk, &desk->queue, 1, 1000, &list, &err), err);
    expect_messages(&list, "c");
    expect_end();
}

static void a_full_answer_is_topped_up_by_short_polls_at_once(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(TEN)},
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a") "," MESSAGE("b")), .after_ms = 9},
        {QE_SQS_RECEIVE_MESSAGE, .answer = "{}", .after_ms = 9},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 25, 20000, &list, &err), err);
    expect_end();
    expect_body(2, "\"MaxNumberOfMessages\":10,\"WaitTimeSeconds\":0,");
    expect_body(3, "\"MaxNumberOfMessages\":5,\"WaitTimeSeconds\":0,");
    assert_int_equal(s_service.in_flight_most, 2);
    expect_messages(&list, "0123456789ab");
}

static void who_does_not_wait_gets_what_is_there(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a")), .after_ms = 700},
        {QE_SQS_RECEIVE_MESSAGE, .answer = "{}", .after_ms = 10},
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("b")), .after_ms = 3000},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 1, -5, &list, &err), err); /* a trip takes its time */
    expect_body(1, "\"WaitTimeSeconds\":0,");
    expect_messages(&list, "a");
    assert_ok(receive(desk, &desk->queue, 1, 0, &list, &err), err);
    assert_int_equal(list.count, 0);
    int64_t before = s_now_mono_ms;
    assert_ok(receive(desk, &desk->queue, 1, 0, &list, &err), err); /* but not for ever */
    assert_int_equal(list.count, 0);
    assert_int_equal(s_now_mono_ms - before, 2000);
    assert_ok(receive(desk, &desk->queue, 1, 2000, &list, &err), err);
    expect_messages(&list, "b");
}

/* --- trouble --- */

static void a_failed_poll_is_told_and_a_queue_that_is_gone_forgotten(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" QUEUE_URL "\"}"},
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .failure = QE_ERR_THROTTLED, .code = "RequestThrottled"},
        {QE_SQS_RECEIVE_MESSAGE, .failure = QE_ERR_NOT_FOUND, .code = "QueueDoesNotExist"},
        {QE_SQS_GET_QUEUE_URL, .failure = QE_ERR_NOT_FOUND, .code = "QueueDoesNotExist"},
        {.answer = NULL}};
    struct desk *desk = *state;
    static const enum qe_err_code codes[] = {QE_ERR_THROTTLED, QE_ERR_NOT_FOUND, QE_ERR_NOT_FOUND};
    struct qe_message_list list = {0};

    desk->queue.address[0] = '\0';
    play(steps);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct qe_err err = {0};

        assert_int_equal(receive(desk, &desk->queue, 1, 1000, &list, &err), -1);
        assert_int_equal(err.code, codes[i]);
        assert_non_null(strstr(err.message, "\"orders\""));
        assert_null(list.items);
    }
    expect_end();
}

static void a_broken_message_does_not_hide_the_others_and_is_told_later(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES("{\"MessageId\":\"id0\"}," MESSAGE("a"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 2, 1000, &list, &err), err);
    expect_messages(&list, "a");
    assert_int_equal(receive(desk, &desk->queue, 2, 1000, &list, &err), -1);
    assert_int_equal(err.code, QE_ERR_PROTOCOL);
    assert_non_null(strstr(err.message, "id0"));
    expect_end();
}

static void facts_that_may_not_be_read_are_no_hindrance(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .failure = QE_ERR_AUTH, .code = "AccessDenied"},
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 1, 1000, &list, &err), err);
    expect_body(1, "\"VisibilityTimeout\":30,"); /* SQS's own default */
    expect_messages(&list, "a");
}

static void facts_are_read_again_now_and_then_and_old_ones_do(void **state)
{
    static const struct step steps[] = {FACTS_STEP,
                                        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a"))},
                                        {QE_SQS_GET_QUEUE_ATTRIBUTES, .failure = QE_ERR_NETWORK},
                                        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("b"))},
                                        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("0", "")},
                                        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("c"))},
                                        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};
    static const char *const bodies[] = {"a", "b", "c"};

    play(steps);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(receive(desk, &desk->queue, 1, 1000, &list, &err), err);
        expect_messages(&list, bodies[i]);
        s_now_mono_ms += i == 0 ? 300000 : 60000;
    }
    expect_body(3, "\"VisibilityTimeout\":30,");
    expect_body(5, "\"VisibilityTimeout\":1,"); /* 0 would be over before it is here */
    expect_end();
}

static void an_interrupt_ends_the_reading_of_facts(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", ""), .after_ms = 9000},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    s_service.interrupt_mono_ms = START_MONO_MS + 50;
    assert_int_equal(receive(desk, &desk->queue, 1, 20000, &list, &err), -1);
    assert_int_equal(err.code, QE_ERR_CANCELLED);
    assert_int_equal(s_now_mono_ms, START_MONO_MS + 50);
}

/* --- FIFO --- */

static void of_a_group_one_is_handed_out(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", ",\"FifoQueue\":\"true\"")},
        {QE_SQS_RECEIVE_MESSAGE,
         .answer = MESSAGES(GROUPED("1", "a") "," GROUPED("2", "a") "," GROUPED("3", "b"))},
        {QE_SQS_RECEIVE_MESSAGE, .answer = "{}", .after_ms = 1000},
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .answer = "{}"}, /* at the end */
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->fifo, 10, 1000, &list, &err), err);
    expect_body(1, "\"ReceiveRequestAttemptId\":\"");
    expect_messages(&list, "13");
    assert_ok(receive(desk, &desk->fifo, 10, 1000, &list, &err), err);
    assert_int_equal(list.count, 0); /* "2" waits for "1" */
}

/* --- torture --- */

static int scenario(void *context, struct qe_err *err)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", ",\"FifoQueue\":\"true\"")},
        {QE_SQS_RECEIVE_MESSAGE,
         .answer = MESSAGES(GROUPED("1", "a") "," GROUPED("2", "a") "," GROUPED("3", "b"))},
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .answer = "{\"Successful\":[{\"Id\":\"0\"}]}"},
        {.answer = NULL}};
    static struct desk s_desk;
    struct qe_message_list list = {0};

    (void)context;
    play(steps);
    int rc = desk_init(&s_desk, err);

    if (rc == 0) {
        rc = receive(&s_desk, &s_desk.fifo, 10, 10, &list, err);
    }
    qe_message_list_deinit(&list);
    desk_deinit(&s_desk);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(scenario, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_long_poll_asks_for_all_there_is_to_know),
        TEST(emulators_are_asked_by_the_old_name_too),
        TEST(a_longer_wait_is_several_polls),
        TEST(an_interrupted_poll_goes_on_and_the_next_receive_gets_its_messages),
        TEST(a_poll_past_its_deadline_goes_on_as_well),
        TEST(who_wants_none_has_the_queue_learnt_all_the_same),
        TEST(polls_of_two_queues_do_not_mix),
        TEST(what_is_more_than_asked_for_is_held),
        TEST(what_is_held_too_long_is_not_handed_out),
        TEST(a_full_answer_is_topped_up_by_short_polls_at_once),
        TEST(who_does_not_wait_gets_what_is_there),
        TEST(a_failed_poll_is_told_and_a_queue_that_is_gone_forgotten),
        TEST(a_broken_message_does_not_hide_the_others_and_is_told_later),
        TEST(facts_that_may_not_be_read_are_no_hindrance),
        TEST(facts_are_read_again_now_and_then_and_old_ones_do),
        TEST(an_interrupt_ends_the_reading_of_facts),
        TEST(of_a_group_one_is_handed_out),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests_name("sqs receive", tests, NULL, NULL);
}
