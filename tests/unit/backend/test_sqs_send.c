/* Sending, and the batches that all of working shares. */
#include "sqs_service.h"

#define MESSAGES 25

static struct qe_outgoing s_messages[MESSAGES];

static void fill(size_t count, const char *body, const char *group)
{
    for (size_t i = 0; i < count; i++) {
        s_messages[i] = (struct qe_outgoing){
            .body = body, .body_bytes = strlen(body), .delay_ms = -1, .group = group};
    }
}

static int send_to(const struct desk *desk, const struct qe_queue *queue, size_t count,
                   struct qe_err *err)
{
    return qe_driver_sqs.send(desk->sqs, queue, s_messages, count, in_ms(10000), err);
}

#define OK(id) "{\"Id\":\"" id "\",\"MessageId\":\"m" id "\"}"
#define OK_0_TO_4 OK("0") "," OK("1") "," OK("2") "," OK("3") "," OK("4")
#define OK_0_TO_9 OK_0_TO_4 "," OK("5") "," OK("6") "," OK("7") "," OK("8") "," OK("9")
#define SENT(entries) "{\"Successful\":[" entries "]}"

static void any_number_goes_out_in_calls_of_ten(void **state)
{
    static const struct step steps[] = {{QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK_0_TO_9)},
                                        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK_0_TO_9)},
                                        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK_0_TO_4)},
                                        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(MESSAGES, "x", NULL);
    assert_ok(send_to(desk, &desk->queue, MESSAGES, &err), err);
    expect_end();
    assert_int_equal(s_service.in_flight_most, 3); /* at once */
    for (size_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(s_messages[i].result.code, QE_OK);
    }
    assert_string_equal(s_messages[13].id, "m3");
    assert_double_equal(s_service.billable, 3);
}

static void a_call_holds_a_megabyte_and_is_billed_by_its_size(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0") "," OK("1"))},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    const size_t bytes = (size_t)400 << 10;
    char *body = qe_calloc(bytes + 1, 1);
    struct qe_err err = {0};

    assert_non_null(body);
    memset(body, 'x', bytes);
    play(steps);
    fill(3, body, NULL);
    assert_ok(send_to(desk, &desk->queue, 3, &err), err);
    expect_end();
    assert_double_equal(s_service.billable, 13 + 7); /* 800 KiB and 400 KiB, with what is around */
    qe_free(body);
}

static void what_sqs_could_not_do_is_tried_again_alone(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[" OK("0") "," OK(
             "2") "],\"Failed\":[{\"Id\":\"1\","
                  "\"SenderFault\":false,\"Code\":\"InternalError\",\"Message\":\"oops\"}]}"},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(3, "x", NULL);
    s_messages[1].body = "y";
    assert_ok(send_to(desk, &desk->queue, 3, &err), err);
    expect_end();
    expect_body(1, "\"MessageBody\":\"y\"");
    expect_no_body(1, "\"MessageBody\":\"x\"");
    assert_int_equal(s_messages[1].result.code, QE_OK);
    assert_true(s_now_mono_ms > START_MONO_MS); /* after a pause */
}

#define TROUBLE "{\"Failed\":[{\"Id\":\"0\",\"SenderFault\":false,\"Code\":\"InternalError\"}]}"

static void after_three_tries_it_has_failed(void **state)
{
    static const struct step steps[] = {{QE_SQS_SEND_MESSAGE_BATCH, .answer = TROUBLE},
                                        {QE_SQS_SEND_MESSAGE_BATCH, .answer = TROUBLE},
                                        {QE_SQS_SEND_MESSAGE_BATCH, .answer = TROUBLE},
                                        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(1, "x", NULL);
    assert_ok(send_to(desk, &desk->queue, 1, &err), err);
    expect_end();
    assert_true(qe_err_is_retryable(s_messages[0].result.code));
    assert_non_null(strstr(s_messages[0].result.message, "orders"));
    assert_non_null(strstr(s_messages[0].result.message, "InternalError"));
}

static void what_the_sender_did_wrong_is_not_tried_again(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[" OK(
             "1") "],\"Failed\":[{\"Id\":\"0\",\"SenderFault\":true,"
                  "\"Code\":\"InvalidMessageContents\",\"Message\":\"no\"}]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(2, "x", NULL);
    assert_ok(send_to(desk, &desk->queue, 2, &err), err);
    expect_end();
    assert_int_equal(s_messages[0].result.code, QE_ERR_INVALID);
    assert_int_equal(s_messages[1].result.code, QE_OK);
}

/* SQS refuses a whole call for some mistakes of one entry. */
static void a_call_refused_as_a_whole_is_tried_entry_by_entry(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_SEND_MESSAGE_BATCH, .failure = QE_ERR_INVALID, .code = "InvalidParameterValue"},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {QE_SQS_SEND_MESSAGE_BATCH, .failure = QE_ERR_INVALID, .code = "InvalidParameterValue"},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(3, "x", NULL);
    assert_ok(send_to(desk, &desk->queue, 3, &err), err);
    expect_end();
    assert_int_equal(s_messages[0].result.code, QE_OK);
    assert_int_equal(s_messages[1].result.code, QE_ERR_INVALID);
    assert_int_equal(s_messages[2].result.code, QE_OK);
}

static void an_answer_that_leaves_one_out_is_a_protocol_error(void **state)
{
    static const struct step steps[] = {{QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("1"))},
                                        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(2, "x", NULL);
    assert_ok(send_to(desk, &desk->queue, 2, &err), err);
    assert_int_equal(s_messages[0].result.code, QE_ERR_PROTOCOL);
    assert_int_equal(s_messages[1].result.code, QE_OK);
}

static void nonsense_fails_every_message(void **state)
{
    static const char *const s_answers[] = {"no JSON", "7", "", "{\"Successful\":{}}"};
    const struct desk *desk = *state;

    for (size_t i = 0; i < sizeof s_answers / sizeof s_answers[0]; i++) {
        const struct step steps[] = {{QE_SQS_SEND_MESSAGE_BATCH, .answer = s_answers[i]},
                                     {.answer = NULL}};
        struct qe_err err = {0};

        play(steps);
        fill(2, "x", NULL);
        (void)send_to(desk, &desk->queue, 2, &err);
        assert_int_equal(s_messages[0].result.code, QE_ERR_PROTOCOL);
        assert_int_equal(s_messages[1].result.code, QE_ERR_PROTOCOL);
        play(NULL);
    }
}

static void another_checksum_is_a_protocol_error_of_that_message(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer =
             SENT(OK("0") ",{\"Id\":\"1\",\"MessageId\":\"m1\",\"MD5OfMessageBody\":\"00\"}")},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(2, "x", NULL);
    assert_ok(send_to(desk, &desk->queue, 2, &err), err);
    assert_int_equal(s_messages[0].result.code, QE_OK);
    assert_int_equal(s_messages[1].result.code, QE_ERR_PROTOCOL);
    assert_non_null(strstr(s_messages[1].result.message, "m1"));
}

static void a_queue_that_is_gone_fails_all_and_its_url_is_asked_for_anew(void **state)
{
    static const struct step gone[] = {
        {QE_SQS_SEND_MESSAGE_BATCH, .failure = QE_ERR_NOT_FOUND, .code = "QueueDoesNotExist"},
        {.answer = NULL}};
    static const struct step anew[] = {
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" QUEUE_URL "-new\"}"},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {.answer = NULL}};
    struct desk *desk = *state;
    struct qe_err err = {0};

    play(gone);
    fill(2, "x", NULL);
    assert_int_equal(send_to(desk, &desk->queue, 2, &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_int_equal(s_messages[1].result.code, QE_ERR_NOT_FOUND);
    desk->queue.address[0] = '\0';
    play(anew);
    for (int i = 0; i < 2; i++) { /* and remembered */
        assert_ok(send_to(desk, &desk->queue, 1, &err), err);
    }
    expect_end();
    expect_body(0, "{\"QueueName\":\"orders\"}");
    expect_body(2, QUEUE_URL "-new");
}

/* --- FIFO --- */

static void a_fifo_message_gets_an_id_that_a_retry_keeps(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", ",\"FifoQueue\":\"true\"")},
        {QE_SQS_SEND_MESSAGE_BATCH, .failure = QE_ERR_INVALID, .code = "InvalidParameterValue"},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};
    char id[96];

    play(steps);
    fill(2, "x", "g");
    assert_ok(send_to(desk, &desk->fifo, 2, &err), err);
    expect_end();
    const char *found = strstr(s_service.bodies[1], "\"MessageDeduplicationId\":\"");
    assert_non_null(found);
    const char *end = strchr(found, '}');
    (void)snprintf(id, sizeof id, "%.*s", (int)(end - found), found);
    expect_body(2, id);
    expect_no_body(3, id); /* the second has its own */
}

static void where_the_queue_makes_ids_of_bodies_none_is_sent(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES,
         .answer = FACTS("30", ",\"FifoQueue\":\"true\",\"ContentBasedDeduplication\":\"true\"")},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(1, "x", "g");
    assert_ok(send_to(desk, &desk->fifo, 1, &err), err);
    expect_no_body(1, "MessageDeduplicationId");
}

static void nothing_overtakes_what_was_not_sent_in_its_group(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[" OK("1") "," OK("2") "," OK("3") "," OK("4") "," OK(
             "5") "," OK("6") "," OK("7") "," OK("8") "," OK("9") "],\"Failed\":[{\"Id\":\"0\","
                                                                  "\"SenderFault\":false,\"Code\":"
                                                                  "\"InternalError\"}]}"},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(12, "x", "g");
    for (size_t i = 0; i < 12; i++) {
        s_messages[i].deduplication_id = "d";
    }
    s_messages[10].body = "same group";
    s_messages[11].body = "other group";
    s_messages[11].group = "h";
    assert_ok(send_to(desk, &desk->fifo, 12, &err), err);
    expect_end();
    assert_int_not_equal(s_messages[0].result.code, QE_OK); /* not tried again behind the others */
    assert_int_not_equal(s_messages[10].result.code, QE_OK);
    assert_non_null(strstr(s_messages[10].result.message, "earlier"));
    assert_int_equal(s_messages[11].result.code, QE_OK);
    expect_no_body(1, "same group");
    assert_int_equal(s_service.in_flight_most, 1);
}

/* What comes later in its call is another group's: it goes again, alone, and what waits behind it
 * follows. */
static void what_sqs_could_not_do_is_tried_again_where_the_order_allows(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[" OK(
             "1") "],\"Failed\":[{\"Id\":\"0\",\"SenderFault\":false,\"Code\":"
                  "\"InternalError\"},{\"Id\":\"2\",\"SenderFault\":false,\"Code\":"
                  "\"InternalError\"}]}"},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {.answer = NULL}};
    static const char *const s_groups[] = {"g", "h", "g"};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    fill(3, "x", "g");
    for (size_t i = 0; i < 3; i++) {
        s_messages[i].deduplication_id = "d";
        s_messages[i].group = s_groups[i];
    }
    s_messages[0].body = "1";
    s_messages[2].body = "3";
    assert_ok(send_to(desk, &desk->fifo, 3, &err), err);
    expect_end();
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(s_messages[i].result.code, QE_OK);
    }
    expect_body(1, "\"MessageBody\":\"1\"");
    expect_no_body(1, "\"MessageBody\":\"3\"");
    expect_body(2, "\"MessageBody\":\"3\"");
    assert_int_equal(s_service.in_flight_most, 1);
}

static void fifo_and_fair_queues_have_their_own_prices(void **state)
{
    static const struct step steps[] = {{QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
                                        {.answer = NULL}};
    static const struct {
        bool is_fifo;
        const char *group;
        double dollars;
    } rows[] = {
        {false, NULL, 0.40 / 1e6}, {true, "g", 0.50 / 1e6}, {false, "g", (0.40 + 0.10) / 1e6}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        play(steps);
        fill(1, "x", rows[i].group);
        s_messages[0].deduplication_id = rows[i].is_fifo ? "d" : NULL;
        assert_ok(send_to(desk, rows[i].is_fifo ? &desk->fifo : &desk->queue, 1, &err), err);
        assert_double_equal(s_service.billable, 1);
        assert_double_equal(s_service.dollars, rows[i].dollars);
    }
}

static void what_depends_on_facts_says_so_when_they_are_not_to_be_had(void **state)
{
    static const struct step denied[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .failure = QE_ERR_AUTH, .code = "AccessDenied"},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0"))},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(denied);
    fill(1, "x", "g");
    assert_int_equal(send_to(desk, &desk->fifo, 1, &err), -1);
    assert_int_equal(err.code, QE_ERR_AUTH);
    assert_non_null(strstr(err.message, "sqs:GetQueueAttributes"));
    s_messages[0].deduplication_id = "d";
    err = (struct qe_err){0};
    assert_ok(send_to(desk, &desk->fifo, 1, &err), err);
    expect_end();
}

/* --- torture --- */

static int scenario(void *context, struct qe_err *err)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", ",\"FifoQueue\":\"true\"")},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK_0_TO_9)},
        {QE_SQS_SEND_MESSAGE_BATCH, .answer = SENT(OK("0") "," OK("1"))},
        {.answer = NULL}};
    static struct desk s_desk;

    (void)context;
    play(steps);
    int rc = desk_init(&s_desk, err);

    if (rc == 0) {
        fill(12, "x", "g");
        rc = send_to(&s_desk, &s_desk.fifo, 12, err);
    }
    for (size_t i = 0; rc == 0 && i < 12; i++) {
        if (s_messages[i].result.code != QE_OK) {
            *err = s_messages[i].result;
            rc = -1;
        }
    }
    desk_deinit(&s_desk);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(scenario, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_number_goes_out_in_calls_of_ten, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_holds_a_megabyte_and_is_billed_by_its_size, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_sqs_could_not_do_is_tried_again_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(after_three_tries_it_has_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_sender_did_wrong_is_not_tried_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_call_refused_as_a_whole_is_tried_entry_by_entry, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_answer_that_leaves_one_out_is_a_protocol_error, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nonsense_fails_every_message, setup, teardown),
        cmocka_unit_test_setup_teardown(another_checksum_is_a_protocol_error_of_that_message, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_queue_that_is_gone_fails_all_and_its_url_is_asked_for_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fifo_message_gets_an_id_that_a_retry_keeps, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(where_the_queue_makes_ids_of_bodies_none_is_sent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_sqs_could_not_do_is_tried_again_where_the_order_allows,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(fifo_and_fair_queues_have_their_own_prices, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_overtakes_what_was_not_sent_in_its_group, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_depends_on_facts_says_so_when_they_are_not_to_be_had,
                                        setup, teardown),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests_name("sqs send", tests, NULL, NULL);
}
