/* What was received and not handed out is given back: when it is asked for, and at a handle's end.
 */
#include "sqs_service.h"

#define MESSAGE(n) "{\"MessageId\":\"id" n "\",\"ReceiptHandle\":\"r" n "\",\"Body\":\"" n "\"}"
#define MESSAGES(list) "{\"Messages\":[" list "]}"
#define FACTS_STEP                                                                                 \
    {                                                                                              \
        QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", "")                                     \
    }

static int receive(const struct desk *desk, const struct qe_queue *queue, size_t max,
                   int64_t wait_ms, struct qe_message_list *out, struct qe_err *err)
{
    return qe_driver_sqs.receive(desk->sqs, queue, max, in_ms(wait_ms), out, err);
}

static void the_end_gives_back_what_was_not_handed_out(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a") "," MESSAGE("b"))},
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("c")), .after_ms = 1100},
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .answer = "{\"Successful\":[{\"Id\":\"0\"}]}"},
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .answer = "{\"Successful\":[{\"Id\":\"0\"}]}"},
        {.answer = NULL}};
    struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 1, 1000, &list, &err), err);
    assert_int_equal(list.count, 1); /* "b" is held */
    qe_message_list_deinit(&list);
    assert_ok(receive(desk, &desk->fifo, 1, 1000, &list, &err), err);
    assert_int_equal(list.count, 0); /* "c" is on its way */
    qe_driver_sqs.destroy(desk->sqs);
    desk->sqs = NULL;
    expect_end();
    expect_body(4, "\"ReceiptHandle\":\"rb\",\"VisibilityTimeout\":0");
    expect_body(5, "\"ReceiptHandle\":\"rc\",\"VisibilityTimeout\":0");
}

static void giving_back_waits_for_what_is_on_its_way(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a")), .after_ms = 3900},
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .answer = "{\"Successful\":[{\"Id\":\"0\"}]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_unreturned left = {.count = 7};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 10, 1000, &list, &err), err);
    qe_driver_sqs.give_back(desk->sqs, &desk->queue, in_ms(5000), &left);
    expect_end();
    expect_body(2, "\"ReceiptHandle\":\"ra\",\"VisibilityTimeout\":0");
    assert_true(left.count == 0 && left.in_doubt == 0 && left.for_ms == 0);
    qe_driver_sqs.give_back(desk->sqs, &desk->queue, in_ms(5000), &left); /* there is no more */
}

static void what_cannot_be_given_back_is_counted(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP,
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("a") "," MESSAGE("b"))},
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .failure = QE_ERR_AUTH},
        {QE_SQS_RECEIVE_MESSAGE, .answer = MESSAGES(MESSAGE("c")), .after_ms = 9000},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_unreturned left = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 1, 1000, &list, &err), err);
    qe_message_list_deinit(&list);
    qe_driver_sqs.give_back(desk->sqs, &desk->queue, in_ms(5000), &left);
    assert_int_equal(left.count, 1);
    assert_in_range(left.for_ms, 28000, 30000);
    assert_ok(receive(desk, &desk->queue, 4, 1000, &list, &err), err);
    qe_driver_sqs.give_back(desk->sqs, &desk->queue, in_ms(5000), &left);
    assert_true(left.count == 0 && left.in_doubt == 4);
    assert_int_equal(left.for_ms, 30000);
}

static void the_end_does_not_wait_for_a_poll_that_has_nothing(void **state)
{
    static const struct step steps[] = {
        FACTS_STEP, {QE_SQS_RECEIVE_MESSAGE, .answer = "{}", .after_ms = 20000}, {.answer = NULL}};
    struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(receive(desk, &desk->queue, 1, 1000, &list, &err), err);
    int64_t before = s_now_mono_ms;
    qe_driver_sqs.destroy(desk->sqs);
    desk->sqs = NULL;
    assert_in_range(s_now_mono_ms - before, 0, 200);
    expect_end();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_end_gives_back_what_was_not_handed_out),
        TEST(giving_back_waits_for_what_is_on_its_way),
        TEST(what_cannot_be_given_back_is_counted),
        TEST(the_end_does_not_wait_for_a_poll_that_has_nothing),
    };

    return cmocka_run_group_tests_name("sqs give back", tests, NULL, NULL);
}
