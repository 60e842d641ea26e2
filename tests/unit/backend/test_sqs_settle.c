/* Settling and extending: what is told to SQS, and what is known without asking. */
#include "backend/sqs/message.h"
#include "sqs_service.h"

#define VISIBLE_MS 30000
#define MESSAGES 4

static struct qe_message s_messages[MESSAGES];
static struct qe_settlement s_settlements[MESSAGES];

/* Deliveries that began now. */
static void deliver(void)
{
    static const char *const receipts[MESSAGES] = {"r0", "r1", "r2", "r3"};
    const struct qe_sqs_span span = {
        .received_mono_ms = s_now_mono_ms, .margin_ms = 1000, .visibility_ms = VISIBLE_MS};

    for (size_t i = 0; i < MESSAGES; i++) {
        struct qe_err err = {0};
        struct qe_message *message = &s_messages[i];

        qe_message_deinit(message);
        assert_ok(qe_message_init(message, &err), err);
        qe_free(message->receipt);
        message->receipt = qe_strdup(receipts[i]);
        qe_free(message->id);
        message->id = qe_strdup("id");
        qe_free(message->body);
        message->body = qe_strdup("body");
        message->body_bytes = 4;
        message->receives = 2;
        message->visible_until_mono_ms = s_now_mono_ms - 1000 + VISIBLE_MS;
        message->tag = qe_sqs_span_pack(&span);
    }
}

static int settle(const struct desk *desk, size_t count, enum qe_settle_verb verb, int64_t delay_ms,
                  struct qe_err *err)
{
    for (size_t i = 0; i < count; i++) {
        s_settlements[i] = (struct qe_settlement){
            .message = &s_messages[i], .verb = verb, .delay_ms = delay_ms, .reason = "why\x01not"};
    }
    return qe_driver_sqs.settle(desk->sqs, &desk->queue, s_settlements, count, in_ms(5000), err);
}

static int setup_messages(void **state)
{
    int rc = setup(state);

    deliver();
    return rc;
}

static int teardown_messages(void **state)
{
    for (size_t i = 0; i < MESSAGES; i++) {
        qe_message_deinit(&s_messages[i]);
    }
    return teardown(state);
}

#define DONE(id) "{\"Id\":\"" id "\"}"
#define FAILED(id, code, message)                                                                  \
    "{\"Id\":\"" id "\",\"SenderFault\":true,\"Code\":\"" code "\",\"Message\":\"" message "\"}"

static void each_entry_has_its_own_outcome(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_DELETE_MESSAGE_BATCH,
         .answer = "{\"Successful\":[" DONE("3") "," DONE("0") "],\"Failed\":[" FAILED(
             "1", "ReceiptHandleIsInvalid", "no") "," FAILED("2", "AccessDenied", "never") "]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    assert_ok(settle(desk, 4, QE_SETTLE_ACK, 0, &err), err);
    expect_end();
    expect_body(0, "{\"Id\":\"2\",\"ReceiptHandle\":\"r2\"}");
    assert_int_equal(s_settlements[0].result, QE_SETTLED);
    assert_int_equal(s_settlements[1].result, QE_SETTLE_STALE);
    assert_int_equal(s_settlements[1].err.code, QE_ERR_NOT_FOUND);
    assert_int_equal(s_settlements[2].result, QE_SETTLE_FAILED);
    assert_int_equal(s_settlements[2].err.code, QE_ERR_AUTH);
    assert_int_equal(s_settlements[3].result, QE_SETTLED);
}

/* The names that AWS and its copies have for it. */
static void a_receipt_that_sqs_refuses_is_stale(void **state)
{
    static const char *const s_answers[] = {
        "{\"Failed\":[" FAILED("0", "ReceiptHandleIsInvalid", "x") "]}",
        "{\"Failed\":[" FAILED("0", "AWS.SimpleQueueService.MessageNotInflight", "x") "]}",
        "{\"Failed\":[" FAILED("0", "InvalidParameterValue",
                               "Value r0 for parameter ReceiptHandle is invalid. Reason: The "
                               "receipt handle has expired.") "]}",
    };
    const struct desk *desk = *state;

    for (size_t i = 0; i < sizeof s_answers / sizeof s_answers[0]; i++) {
        const struct step steps[] = {{QE_SQS_DELETE_MESSAGE_BATCH, .answer = s_answers[i]},
                                     {.answer = NULL}};
        struct qe_err err = {0};

        play(steps);
        assert_ok(settle(desk, 1, QE_SETTLE_ACK, 0, &err), err);
        assert_int_equal(s_settlements[0].result, QE_SETTLE_STALE);
        play(NULL);
    }
}

static void what_is_known_to_be_stale_is_not_asked(void **state)
{
    static const struct step once[] = {
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {.answer = NULL}};
    static const struct step never[] = {{.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(once);
    assert_ok(settle(desk, 1, QE_SETTLE_ACK, 0, &err), err);
    play(never);
    assert_ok(settle(desk, 1, QE_SETTLE_ACK, 0, &err), err); /* settled before */
    assert_int_equal(s_settlements[0].result, QE_SETTLE_STALE);
    s_now_mono_ms += VISIBLE_MS;
    assert_ok(settle(desk, 4, QE_SETTLE_RELEASE, 0, &err), err); /* lapsed, however one counts */
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(s_settlements[i].result, QE_SETTLE_STALE);
    }
}

/* Within the margin nobody knows: SQS is asked. */
static void what_may_still_count_is_tried(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    s_now_mono_ms += VISIBLE_MS - 1;
    assert_ok(settle(desk, 1, QE_SETTLE_ACK, 0, &err), err);
    expect_end();
    assert_int_equal(s_settlements[0].result, QE_SETTLED);
}

static void a_call_that_fails_fails_each(void **state)
{
    static const struct step steps[] = {{QE_SQS_DELETE_MESSAGE_BATCH, .failure = QE_ERR_NETWORK},
                                        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    assert_int_equal(settle(desk, 2, QE_SETTLE_ACK, 0, &err), -1);
    assert_int_equal(err.code, QE_ERR_NETWORK);
    assert_non_null(strstr(err.message, "\"orders\""));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(s_settlements[i].result, QE_SETTLE_FAILED);
        assert_int_equal(s_settlements[i].err.code, QE_ERR_NETWORK);
    }
}

static void a_release_waits_whole_seconds_and_not_past_twelve_hours(void **state)
{
    static const struct {
        int64_t after_ms; /* since the receive */
        int64_t delay_ms;
        const char *words;
    } s_rows[] = {
        {0, 0, "\"VisibilityTimeout\":0}"},
        {0, 1, "\"VisibilityTimeout\":1}"},
        {0, 1001, "\"VisibilityTimeout\":2}"},
        {0, INT64_C(90000000), "\"VisibilityTimeout\":43200}"},
        {10000, INT64_C(43200000), "\"VisibilityTimeout\":43188}"}, /* 10 s, 1 s margin, 1 s */
    };
    const struct desk *desk = *state;

    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        static const struct step steps[] = {
            {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .failure = QE_ERR_NETWORK}, {.answer = NULL}};
        struct qe_err err = {0};

        s_now_mono_ms = START_MONO_MS;
        deliver();
        s_now_mono_ms += s_rows[i].after_ms;
        play(steps);
        assert_int_equal(settle(desk, 1, QE_SETTLE_RELEASE, s_rows[i].delay_ms, &err), -1);
        expect_body(0, s_rows[i].words);
    }
}

/* --- dead-lettering --- */

static void dead_lettering_copies_and_then_deletes(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", DLQ_FACT)},
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" DLQ_URL "\"}"},
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m\"}]}"},
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    assert_ok(qe_attributes_add_typed(&s_messages[0].attributes, "n", "Number", "7", &err), err);
    assert_ok(settle(desk, 1, QE_SETTLE_DEAD_LETTER, 0, &err), err);
    expect_end();
    expect_body(1, "{\"QueueName\":\"orders-dlq\",\"QueueOwnerAWSAccountId\":\"111111111111\"}");
    expect_body(2, DLQ_URL);
    expect_body(2, "\"n\":{\"DataType\":\"Number\",\"StringValue\":\"7\"}");
    expect_body(2, "\"dead-letter-reason\":{\"DataType\":\"String\",\"StringValue\":\"why?not\"}");
    expect_body(2, "\"dead-letter-source\":{\"DataType\":\"String\",\"StringValue\":\"orders\"}");
    expect_body(2, "\"dead-letter-receives\":{\"DataType\":\"String\",\"StringValue\":\"2\"}");
    expect_body(2, "\"dead-letter-at\":{\"DataType\":\"String\",\"StringValue\":\"2026-");
    expect_body(3, QUEUE_URL "\"");
    assert_int_equal(s_settlements[0].result, QE_SETTLED);
}

static void what_is_copied_is_not_copied_again_when_the_delete_failed(void **state)
{
    static const struct step first[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", DLQ_FACT)},
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" DLQ_URL "\"}"},
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m\"}]}"},
        {QE_SQS_DELETE_MESSAGE_BATCH, .failure = QE_ERR_NETWORK},
        {.answer = NULL}};
    static const struct step second[] = {
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m\"}]}"},
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "," DONE("1") "]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(first);
    assert_int_equal(settle(desk, 1, QE_SETTLE_DEAD_LETTER, 0, &err), -1);
    assert_int_equal(s_settlements[0].result, QE_SETTLE_FAILED);
    play(second);
    s_messages[1].body[0] = 'B';
    assert_ok(settle(desk, 2, QE_SETTLE_DEAD_LETTER, 0, &err), err);
    expect_end();
    expect_body(0, "\"MessageBody\":\"Body\"");
    expect_no_body(0, "\"MessageBody\":\"body\"");
    assert_int_equal(s_settlements[0].result, QE_SETTLED);
    assert_int_equal(s_settlements[1].result, QE_SETTLED);
}

static void a_copy_that_fails_keeps_the_message(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", DLQ_FACT)},
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" DLQ_URL "\"}"},
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer =
             "{\"Successful\":[{\"Id\":\"1\",\"MD5OfMessageBody\":\"00\"}],\"Failed\":[" FAILED(
                 "0", "AccessDenied", "not you") "]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    assert_ok(settle(desk, 2, QE_SETTLE_DEAD_LETTER, 0, &err), err);
    expect_end(); /* nothing is deleted */
    assert_int_equal(s_settlements[0].result, QE_SETTLE_FAILED);
    assert_int_equal(s_settlements[0].err.code, QE_ERR_AUTH);
    assert_non_null(strstr(s_settlements[0].err.message, "orders-dlq"));
    assert_int_equal(s_settlements[1].result, QE_SETTLE_FAILED);
    assert_int_equal(s_settlements[1].err.code, QE_ERR_PROTOCOL);
}

static void without_a_known_dead_letter_queue_it_fails_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        struct step steps[3];
        enum qe_err_code code;
        const char *word;
    } s_rows[] = {
        {{{QE_SQS_GET_QUEUE_ATTRIBUTES, .failure = QE_ERR_AUTH, .code = "AccessDenied"}},
         QE_ERR_AUTH,
         "not known"},
        {{{QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", "")}},
         QE_ERR_UNSUPPORTED,
         "RedrivePolicy"},
        {{{QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", DLQ_FACT)},
          {QE_SQS_GET_QUEUE_URL, .failure = QE_ERR_NOT_FOUND, .code = "QueueDoesNotExist"}},
         QE_ERR_NOT_FOUND,
         "orders-dlq"},
    };

    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_err err = {0};
        void *fresh = NULL; /* what is known of the queue must not be known yet */

        assert_int_equal(setup_messages(&fresh), 0);
        play(s_rows[i].steps);
        assert_ok(settle(fresh, 1, QE_SETTLE_DEAD_LETTER, 0, &err), err);
        assert_int_equal(s_settlements[0].result, QE_SETTLE_FAILED);
        assert_int_equal(s_settlements[0].err.code, s_rows[i].code);
        assert_non_null(strstr(s_settlements[0].err.message, s_rows[i].word));
        assert_int_equal(teardown_messages(&fresh), 0);
    }
}

/* What was asked for minutes ago may not be so any more, and asking each time costs. */
static void a_dead_letter_queue_that_a_later_list_names_is_asked_for_anew(void **state)
{
    static const struct step without[] = {{QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", "")},
                                          {.answer = NULL}};
    static const struct step with[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", DLQ_FACT)},
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" DLQ_URL "\"}"},
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m\"}]}"},
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {.answer = NULL}};
    static const struct step known[] = {
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m\"}]}"},
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {.answer = NULL}};
    static const struct step never[] = {{.answer = NULL}};
    struct desk *desk = *state;
    struct qe_err err = {0};

    play(without);
    assert_ok(settle(desk, 1, QE_SETTLE_DEAD_LETTER, 0, &err), err);
    assert_int_equal(s_settlements[0].err.code, QE_ERR_UNSUPPORTED);
    desk->queue.dead_letter_known = true; /* listed, and the list agrees */
    play(never);
    assert_ok(settle(desk, 1, QE_SETTLE_DEAD_LETTER, 0, &err), err);
    assert_int_equal(s_settlements[0].err.code, QE_ERR_UNSUPPORTED);
    assert_ok(qe_queue_add_link(&desk->queue, NULL, "orders-dlq", &err), err);
    play(with);
    assert_ok(settle(desk, 1, QE_SETTLE_DEAD_LETTER, 0, &err), err);
    expect_end();
    assert_int_equal(s_settlements[0].result, QE_SETTLED);
    deliver();
    s_messages[0].receipt[0] = 's';
    play(known);
    assert_ok(settle(desk, 1, QE_SETTLE_DEAD_LETTER, 0, &err), err);
    expect_end();
    assert_int_equal(s_settlements[0].result, QE_SETTLED);
}

/* A list that has missed what was asked since is heeded once, and then no longer. */
static void an_older_list_costs_one_question(void **state)
{
    static const struct step with[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", DLQ_FACT)},
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" DLQ_URL "\"}"},
        {QE_SQS_SEND_MESSAGE_BATCH, .failure = QE_ERR_NETWORK},
        {.answer = NULL}};
    static const struct step again[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", DLQ_FACT)},
        {QE_SQS_SEND_MESSAGE_BATCH, .failure = QE_ERR_NETWORK},
        {.answer = NULL}};
    static const struct step known[] = {{QE_SQS_SEND_MESSAGE_BATCH, .failure = QE_ERR_NETWORK},
                                        {.answer = NULL}};
    struct desk *desk = *state;
    struct qe_err err = {0};

    play(with);
    assert_int_equal(settle(desk, 1, QE_SETTLE_DEAD_LETTER, 0, &err), -1);
    expect_end();
    desk->queue.dead_letter_known = true; /* and no link */
    play(again);
    assert_int_equal(settle(desk, 1, QE_SETTLE_DEAD_LETTER, 0, &err), -1);
    expect_end();
    play(known);
    assert_int_equal(settle(desk, 1, QE_SETTLE_DEAD_LETTER, 0, &err), -1);
    expect_end();
}

/* --- extending --- */

static void an_extension_moves_the_lapse_and_a_stale_one_changes_nothing(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}",
         .after_ms = 40},
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH,
         .answer = "{\"Failed\":[" FAILED("0", "MessageNotInflight", "x") "]}"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_message *message = &s_messages[0];
    struct qe_extension extension = {.message = message, .by_ms = 29001};
    struct qe_err err = {0};

    play(steps);
    s_now_mono_ms += 5000;
    int64_t asked = s_now_mono_ms;
    assert_ok(qe_driver_sqs.extend(desk->sqs, &desk->queue, &extension, 1, in_ms(1000), &err), err);
    assert_int_equal(extension.err.code, QE_OK);
    expect_body(0, "\"ReceiptHandle\":\"r0\",\"VisibilityTimeout\":30");
    assert_int_equal(message->visible_until_mono_ms, asked + 30000); /* from the request on */
    assert_int_equal(qe_sqs_span_received_mono_ms(message->tag), START_MONO_MS);
    assert_int_equal(qe_sqs_span_margin_ms(message->tag), 40);
    int64_t kept = message->visible_until_mono_ms;
    extension.by_ms = 1000;
    assert_ok(qe_driver_sqs.extend(desk->sqs, &desk->queue, &extension, 1, in_ms(1000), &err), err);
    assert_int_equal(extension.err.code, QE_ERR_NOT_FOUND);
    assert_int_equal(message->visible_until_mono_ms, kept);
    expect_end();
}

static void after_twelve_hours_nothing_is_extended(void **state)
{
    static const struct step never[] = {{.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};

    play(never);
    s_now_mono_ms += INT64_C(43200000);
    s_messages[0].visible_until_mono_ms = s_now_mono_ms + 5000;
    struct qe_extension extension = {.message = &s_messages[0], .by_ms = 1000};
    assert_ok(qe_driver_sqs.extend(desk->sqs, &desk->queue, &extension, 1, in_ms(1000), &err), err);
    assert_int_equal(extension.err.code, QE_ERR_LIMIT);
    assert_non_null(strstr(extension.err.message, "12 h"));
}

/* --- torture --- */

static int scenario(void *context, struct qe_err *err)
{
    static const struct step steps[] = {
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", DLQ_FACT)},
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" DLQ_URL "\"}"},
        {QE_SQS_SEND_MESSAGE_BATCH,
         .answer = "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m\"}]}"},
        {QE_SQS_DELETE_MESSAGE_BATCH, .answer = "{\"Successful\":[" DONE("0") "]}"},
        {.answer = NULL}};
    static struct desk s_desk;

    (void)context;
    int rc = desk_init(&s_desk, err);

    for (size_t i = 0; i < 3 && rc == 0; i++) { /* each verb in a call of its own */
        s_settlements[0] =
            (struct qe_settlement){.message = &s_messages[i], .verb = (enum qe_settle_verb)i};
        play(i == 0 ? &steps[0] : i == 1 ? &steps[1] : &steps[2]);
        rc = qe_driver_sqs.settle(s_desk.sqs, &s_desk.queue, s_settlements, 1, in_ms(5000), err);
        if (rc == 0 && s_settlements[0].result != QE_SETTLED) {
            *err = s_settlements[0].err;
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_messages, teardown_messages)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_entry_has_its_own_outcome),
        TEST(a_receipt_that_sqs_refuses_is_stale),
        TEST(what_is_known_to_be_stale_is_not_asked),
        TEST(what_may_still_count_is_tried),
        TEST(a_call_that_fails_fails_each),
        TEST(a_release_waits_whole_seconds_and_not_past_twelve_hours),
        TEST(dead_lettering_copies_and_then_deletes),
        TEST(what_is_copied_is_not_copied_again_when_the_delete_failed),
        TEST(a_copy_that_fails_keeps_the_message),
        TEST(an_extension_moves_the_lapse_and_a_stale_one_changes_nothing),
        TEST(after_twelve_hours_nothing_is_extended),
        TEST(a_dead_letter_queue_that_a_later_list_names_is_asked_for_anew),
        TEST(an_older_list_costs_one_question),
        cmocka_unit_test(without_a_known_dead_letter_queue_it_fails_with_the_reason),
        TEST(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests_name("sqs settle", tests, NULL, NULL);
}
