/* Groups of FIFO queues: one message of each is handed out, and the others share its fate. */
#include "sqs_service.h"

#define DONE(id) "{\"Id\":\"" id "\"}"
#define FAILED(id, code, message)                                                                  \
    "{\"Id\":\"" id "\",\"SenderFault\":true,\"Code\":\"" code "\",\"Message\":\"" message "\"}"
#define GROUPED(n, group)                                                                          \
    "{\"MessageId\":\"id" n "\",\"ReceiptHandle\":\"r" n "\",\"Body\":\"" n                        \
    "\",\"Attributes\":{\"MessageGroupId\":\"" group "\"}}"
#define RECEIVED                                                                                   \
    {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", ",\"FifoQueue\":\"true\"")},               \
    {                                                                                              \
        QE_SQS_RECEIVE_MESSAGE, .answer = "{\"Messages\":[" GROUPED("1", "a") "," GROUPED(         \
                                    "2", "a") "," GROUPED("3", "b") "," GROUPED("4", "a") "]}"     \
    }

/* "1" and "3" are handed out; "2" and "4" wait behind "1". */
static void receive_group(const struct desk *desk, struct qe_message_list *out)
{
    struct qe_err err = {0};

    assert_ok(qe_driver_sqs.receive(desk->sqs, &desk->fifo, 10, in_ms(1000), out, &err), err);
    assert_int_equal(out->count, 2);
    assert_string_equal(out->items[0].body, "1");
}

static void settle_first(const struct desk *desk, const struct qe_message_list *list,
                         enum qe_settle_verb verb, int64_t delay_ms)
{
    struct qe_settlement settlement = {
        .message = &list->items[0], .verb = verb, .delay_ms = delay_ms};
    struct qe_err err = {0};

    assert_ok(qe_driver_sqs.settle(desk->sqs, &desk->fifo, &settlement, 1, in_ms(1000), &err), err);
    assert_int_equal(settlement.result, QE_SETTLED);
}

static void after_an_ack_the_next_of_the_group_comes(void **state)
{
    static const struct step steps[] = {
        RECEIVED,
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .answer = "{}"}, /* "4", at the end */
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_message_list next = {0};
    struct qe_err err = {0};

    play(steps);
    receive_group(desk, &list);
    settle_first(desk, &list, QE_SETTLE_ACK, 0);
    assert_ok(qe_driver_sqs.receive(desk->sqs, &desk->fifo, 10, in_ms(1000), &next, &err), err);
    assert_int_equal(next.count, 1);
    assert_string_equal(next.items[0].body, "2");
    qe_message_list_deinit(&list);
    qe_message_list_deinit(&next);
}

static void a_release_takes_along_what_waits_behind(void **state)
{
    static const struct step steps[] = {
        RECEIVED,
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH,
         .answer = "{\"Successful\":[" DONE("0") "," DONE("1") "," DONE("2") "]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};

    play(steps);
    receive_group(desk, &list);
    settle_first(desk, &list, QE_SETTLE_RELEASE, 5000);
    expect_body(2, "\"ReceiptHandle\":\"r1\",\"VisibilityTimeout\":5");
    expect_body(2, "\"ReceiptHandle\":\"r2\",\"VisibilityTimeout\":5");
    expect_body(2, "\"ReceiptHandle\":\"r4\",\"VisibilityTimeout\":5");
    expect_no_body(2, "\"r3\"");
    expect_end();
    qe_message_list_deinit(&list);
}

static void an_extension_takes_along_what_waits_behind(void **state)
{
    static const struct step steps[] = {
        RECEIVED,
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH,
         .answer = "{\"Successful\":[" DONE("0") "," DONE("1") "],\"Failed\":[" FAILED(
             "2", "ReceiptHandleIsInvalid", "x") "]}"},
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message_list list = {0};
    struct qe_message_list next = {0};
    struct qe_err err = {0};

    play(steps);
    receive_group(desk, &list);
    s_now_mono_ms += 20000;
    struct qe_extension extension = {.message = &list.items[0], .by_ms = 30000};
    assert_ok(qe_driver_sqs.extend(desk->sqs, &desk->fifo, &extension, 1, in_ms(1000), &err), err);
    assert_int_equal(extension.err.code, QE_OK);
    s_now_mono_ms += 20000; /* past the first 30 s */
    settle_first(desk, &list, QE_SETTLE_ACK, 0);
    assert_ok(qe_driver_sqs.receive(desk->sqs, &desk->fifo, 10, in_ms(0), &next, &err), err);
    assert_int_equal(next.count, 1); /* "2" lives on; "4", which could not be extended, does not */
    assert_string_equal(next.items[0].body, "2");
    expect_end();
    qe_message_list_deinit(&list);
    qe_message_list_deinit(&next);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_an_ack_the_next_of_the_group_comes),
        TEST(a_release_takes_along_what_waits_behind),
        TEST(an_extension_takes_along_what_waits_behind),
    };

    return cmocka_run_group_tests_name("sqs groups", tests, NULL, NULL);
}
