/* What comes in: answers of ReceiveMessage, and the time of a delivery. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/sqs/message.h"
#include "support/check.h"

static const struct qe_sqs_span s_span = {
    .received_mono_ms = 100000, .margin_ms = 500, .visibility_ms = 30000};

static int parse(const char *answer, struct qe_message_list *out, struct qe_err *err)
{
    struct qe_json *json = qe_json_parse(answer, strlen(answer), err);

    if (json == NULL) {
        return -1;
    }
    int rc = qe_sqs_messages_parse(json, &s_span, out, err);

    qe_json_destroy(json);
    return rc;
}

static const struct qe_message *first_of(const struct qe_message_list *list)
{
    if (list->items == NULL || list->count == 0) {
        fail_msg("no message");
        abort();
    }
    return &list->items[0];
}

/* An answer as AWS gives it. */
static const char s_full[] =
    "{\"Messages\":[{\"MessageId\":\"id-1\",\"ReceiptHandle\":\"handle-1\",\"Body\":\"hello\","
    "\"MD5OfBody\":\"5d41402abc4b2a76b9719d911017c592\",\"Attributes\":{"
    "\"SenderId\":\"AIDA\",\"SentTimestamp\":\"1795310400123\",\"ApproximateReceiveCount\":\"2\","
    "\"ApproximateFirstReceiveTimestamp\":\"1795310400456\",\"MessageGroupId\":\"g\","
    "\"MessageDeduplicationId\":\"d\",\"SequenceNumber\":\"18870000000000000000\"},"
    "\"MessageAttributes\":{\"k\":{\"DataType\":\"String\",\"StringValue\":\"v\"},"
    "\"b\":{\"DataType\":\"Binary\",\"BinaryValue\":\"AQI=\"}},"
    "\"MD5OfMessageAttributes\":\"509308fe9f8ef67131cb619d5c92931e\"}]}";

static void a_message_has_all_that_sqs_says_of_it(void **state)
{
    (void)state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(parse(s_full, &list, &err), err);
    assert_int_equal(list.count, 1);
    const struct qe_message *message = first_of(&list);
    assert_string_equal(message->id, "id-1");
    assert_string_equal(message->receipt, "handle-1");
    assert_string_equal(message->body, "hello");
    assert_int_equal(message->body_bytes, 5);
    assert_string_equal(message->group, "g");
    assert_string_equal(message->deduplication_id, "d");
    assert_int_equal(message->receives, 2);
    assert_int_equal(message->sent_unix_ms, 1795310400123);
    assert_int_equal(message->enqueued_unix_ms, 1795310400123);
    assert_int_equal(message->visible_until_mono_ms, 100000 - 500 + 30000);
    assert_int_equal(qe_sqs_span_received_mono_ms(message->tag), 100000);
    assert_int_equal(qe_sqs_span_margin_ms(message->tag), 500);
    assert_int_equal(message->attributes.count, 2);
    assert_string_equal(qe_attributes_get(&message->attributes, "k"), "v");
    assert_string_equal(message->attributes.items[0].type, "");
    assert_string_equal(message->attributes.items[1].type, "Binary");
    qe_message_list_deinit(&list);
}

static void an_empty_answer_holds_no_messages(void **state)
{
    (void)state;
    static const char *const s_empty[] = {"{}", "{\"Messages\":null}", "{\"Messages\":[]}"};
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(qe_sqs_messages_parse(NULL, &s_span, &list, &err), err);
    for (size_t i = 0; i < sizeof s_empty / sizeof s_empty[0]; i++) {
        assert_ok(parse(s_empty[i], &list, &err), err);
    }
    assert_null(list.items);
}

static void correlation_id_and_reply_to_are_fields(void **state)
{
    (void)state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(parse("{\"Messages\":[{\"ReceiptHandle\":\"r\",\"Body\":\"\",\"MessageAttributes\":{"
                    "\"correlation-id\":{\"DataType\":\"String\",\"StringValue\":\"c\"},"
                    "\"reply-to\":{\"DataType\":\"String\",\"StringValue\":\"q\"}}}]}",
                    &list, &err),
              err);
    assert_string_equal(first_of(&list)->correlation_id, "c");
    assert_string_equal(first_of(&list)->reply_to, "q");
    assert_int_equal(first_of(&list)->attributes.count, 0);
    assert_string_equal(first_of(&list)->id, "");
    assert_int_equal(first_of(&list)->receives, 0); /* not told is not known */
    qe_message_list_deinit(&list);
}

static void what_sqs_dead_lettered_says_from_where(void **state)
{
    (void)state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(parse("{\"Messages\":[{\"ReceiptHandle\":\"r\",\"Body\":\"x\",\"Attributes\":{"
                    "\"SentTimestamp\":\"1795310400123\",\"DeadLetterQueueSourceArn\":"
                    "\"arn:aws:sqs:eu-west-1:123456789012:orders\"}}]}",
                    &list, &err),
              err);
    assert_string_equal(qe_attributes_get(&first_of(&list)->attributes, "dead-letter-source"),
                        "orders");
    assert_int_equal(first_of(&list)->sent_unix_ms, 1795310400123);
    assert_int_equal(first_of(&list)->enqueued_unix_ms, 0); /* when it came here, nobody tells */
    qe_message_list_deinit(&list);
}

static void numbers_of_emulators_are_taken_and_nonsense_is_unknown(void **state)
{
    (void)state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(parse("{\"Messages\":[{\"ReceiptHandle\":\"r\",\"Body\":\"x\",\"Attributes\":{"
                    "\"SentTimestamp\":\"1795310400123.75\",\"ApproximateReceiveCount\":\"-1\"}}]}",
                    &list, &err),
              err);
    assert_int_equal(first_of(&list)->sent_unix_ms, 1795310400123);
    assert_int_equal(first_of(&list)->receives, 0);
    qe_message_list_deinit(&list);
}

static void a_broken_message_spoils_only_itself(void **state)
{
    (void)state;
    static const struct {
        const char *broken;
        const char *word;
    } s_rows[] = {
        {"{\"MessageId\":\"m\",\"Body\":\"x\"}", "receipt"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"\",\"Body\":\"x\"}", "receipt"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\"}", "body"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"x\",\"MD5OfBody\":\"00\"}",
         "MD5"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"x\",\"MessageAttributes\":{"
         "\"k\":{\"DataType\":\"String\"}}}",
         "k has no value"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"x\",\"MessageAttributes\":{"
         "\"k\":{\"DataType\":\"String\",\"StringValue\":\"v\"}},"
         "\"MD5OfMessageAttributes\":\"00\"}",
         "MD5"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"x\",\"MessageAttributes\":{"
         "\"k\":7}}",
         "attributes"},
        {"7", "without an id"},
    };

    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_message_list list = {0};
        struct qe_err err = {0};
        char answer[512];

        (void)snprintf(answer, sizeof answer,
                       "{\"Messages\":[%s,{\"ReceiptHandle\":\"good\",\"Body\":\"x\"}]}",
                       s_rows[i].broken);
        assert_int_equal(parse(answer, &list, &err), -1);
        assert_int_equal(err.code, QE_ERR_PROTOCOL);
        if (strstr(err.message, s_rows[i].word) == NULL) {
            fail_msg("\"%s\" does not name \"%s\"", err.message, s_rows[i].word);
        }
        assert_int_equal(list.count, 1);
        assert_string_equal(first_of(&list)->receipt, "good");
        qe_message_list_deinit(&list);
    }
}

static void what_is_no_answer_is_a_protocol_error(void **state)
{
    (void)state;
    static const char *const s_rows[] = {"7", "[]", "{\"Messages\":{}}", "{\"Messages\":\"x\"}"};

    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_message_list list = {0};
        struct qe_err err = {0};

        assert_int_equal(parse(s_rows[i], &list, &err), -1);
        assert_int_equal(err.code, QE_ERR_PROTOCOL);
        assert_null(list.items);
    }
}

static void the_margin_is_what_the_way_may_have_taken(void **state)
{
    (void)state;
    static const struct {
        int64_t asked_mono_ms;
        size_t answer_bytes;
        int64_t visibility_ms;
        int64_t margin_ms;
        const char *why;
    } s_rows[] = {
        {90000, 1000, 30000, 1000, "a long poll: no more than a second"},
        {99960, 1000, 30000, 40, "a short one: it cannot have begun before it was asked for"},
        {90000, (size_t)3 << 20, 30000, 4000, "a large answer takes longer"},
        {90000, (size_t)60 << 20, 30000, 7500, "never more than a quarter of the visibility"},
        {90000, 1000, 1000, 250, "of a short one, too"},
    };

    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        int64_t margin_ms = qe_sqs_span_margin_of(s_rows[i].asked_mono_ms, 100000,
                                                  s_rows[i].answer_bytes, s_rows[i].visibility_ms);

        if (margin_ms != s_rows[i].margin_ms) {
            fail_msg("%s: %lld", s_rows[i].why, (long long)margin_ms);
        }
    }
}

static void a_span_keeps_both_its_parts(void **state)
{
    (void)state;
    const struct qe_sqs_span far = {.received_mono_ms = INT64_C(1) << 46, .margin_ms = 99999};
    const struct qe_sqs_span near = {.received_mono_ms = 1, .margin_ms = -5};

    assert_int_equal(qe_sqs_span_received_mono_ms(qe_sqs_span_pack(&far)), INT64_C(1) << 46);
    assert_int_equal(qe_sqs_span_margin_ms(qe_sqs_span_pack(&far)), 65535);
    assert_int_equal(qe_sqs_span_received_mono_ms(qe_sqs_span_pack(&near)), 1);
    assert_int_equal(qe_sqs_span_margin_ms(qe_sqs_span_pack(&near)), 0);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_message_list list = {0};
    int rc = parse(context, &list, err);

    qe_message_list_deinit(&list);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    char answer[sizeof s_full];

    memcpy(answer, s_full, sizeof answer);
    qe_check_torture(build, answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_has_all_that_sqs_says_of_it),
        cmocka_unit_test(an_empty_answer_holds_no_messages),
        cmocka_unit_test(correlation_id_and_reply_to_are_fields),
        cmocka_unit_test(what_sqs_dead_lettered_says_from_where),
        cmocka_unit_test(numbers_of_emulators_are_taken_and_nonsense_is_unknown),
        cmocka_unit_test(a_broken_message_spoils_only_itself),
        cmocka_unit_test(what_is_no_answer_is_a_protocol_error),
        cmocka_unit_test(the_margin_is_what_the_way_may_have_taken),
        cmocka_unit_test(a_span_keeps_both_its_parts),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests_name("sqs message", tests, NULL, NULL);
}
