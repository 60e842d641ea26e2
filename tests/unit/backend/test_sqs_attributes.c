/* What GetQueueAttributes says, from AWS and from those that stand in for it. */
#include <string.h>

#include "backend/sqs/internal.h"
#include "support/check.h"

#define COUNTS                                                                                     \
    "\"ApproximateNumberOfMessages\":\"3\",\"ApproximateNumberOfMessagesNotVisible\":\"2\","       \
    "\"ApproximateNumberOfMessagesDelayed\":\"1\""
#define REPLY(more) "{\"Attributes\":{" COUNTS more "}}"
#define DLQ_ARN "arn:aws:sqs:eu-west-1:123456789012:orders-dlq"

static int parse(const char *text, struct qe_sqs_attributes *out, struct qe_err *err)
{
    struct qe_json *reply = qe_json_parse(text, strlen(text), err);

    if (reply == NULL) {
        return -1;
    }
    const int rc = qe_sqs_attributes_parse(reply, 120000, out, err);

    qe_json_destroy(reply);
    return rc;
}

static void everything_that_aws_says_is_taken(void **state)
{
    struct qe_sqs_attributes read = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(
        parse(
            REPLY(",\"VisibilityTimeout\":\"43200\",\"MessageRetentionPeriod\":\"1209600\","
                  "\"DelaySeconds\":\"900\",\"QueueArn\":\"arn:aws:sqs:eu-west-1:123456789012:o\","
                  "\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"" DLQ_ARN
                  "\\\",\\\"maxReceiveCount\\\":5}\",\"CreatedTimestamp\":\"1795311018.441952\","
                  "\"NewNextYear\":\"x\""),
            &read, &err),
        err);
    static const struct {
        enum qe_field field;
        double value;
    } rows[] = {{QE_FIELD_READY_MESSAGES, 3},
                {QE_FIELD_IN_FLIGHT_MESSAGES, 2},
                {QE_FIELD_DELAYED_MESSAGES, 1},
                {QE_FIELD_IN_FLIGHT_LIMIT_MESSAGES, 120000},
                {QE_FIELD_VISIBILITY_TIMEOUT_SECONDS, 43200},
                {QE_FIELD_RETENTION_SECONDS, 1209600},
                {QE_FIELD_DELIVERY_DELAY_SECONDS, 900},
                {QE_FIELD_MAX_RECEIVES, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(qe_sample_has(&read.sample, rows[i].field));
        assert_double_equal(read.sample.values[rows[i].field], rows[i].value);
    }
    assert_false(qe_sample_has(&read.sample, QE_FIELD_OLDEST_AGE_SECONDS));
    assert_string_equal(read.dead_letter_arn, DLQ_ARN);
    assert_true(read.dead_letter_known);
    assert_false(read.is_fifo);
}

static void fifo_is_known_by_the_attribute_or_by_the_name(void **state)
{
    static const struct {
        const char *reply;
        bool is_fifo;
        bool content;
    } rows[] = {
        {REPLY(",\"FifoQueue\":\"true\",\"ContentBasedDeduplication\":\"true\""), true, true},
        {REPLY(",\"FifoQueue\":true"), true, false},
        {REPLY(",\"FifoQueue\":\"false\""), false, false},
        {REPLY(",\"QueueArn\":\"arn:aws:sqs:r:1:a.fifo\""), true, false},
        {REPLY(""), false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_sqs_attributes read = {0};
        struct qe_err err = {0};

        assert_ok(parse(rows[i].reply, &read, &err), err);
        assert_int_equal(read.is_fifo, rows[i].is_fifo);
        assert_int_equal(read.content_deduplication, rows[i].content);
    }
}

static void a_redrive_policy_hides_nothing_but_itself(void **state)
{
    static const struct {
        const char *why;
        const char *reply;
        bool known;
        const char *arn;
        double max_receives; /* -1 unknown */
    } rows[] = {
        {"none", REPLY(""), true, "", -1},
        {"taken off with an empty text", REPLY(",\"RedrivePolicy\":\"\""), true, "", -1},
        {"a count as text",
         REPLY(",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"" DLQ_ARN
               "\\\",\\\"maxReceiveCount\\\":\\\"2\\\"}\""),
         true, DLQ_ARN, 2},
        {"no count",
         REPLY(",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"" DLQ_ARN "\\\"}\""), true,
         DLQ_ARN, -1},
        {"not JSON", REPLY(",\"RedrivePolicy\":\"{oops\""), false, "", -1},
        {"no target", REPLY(",\"RedrivePolicy\":\"{\\\"maxReceiveCount\\\":5}\""), false, "", -1},
        {"a number", REPLY(",\"RedrivePolicy\":5"), true, "", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_sqs_attributes read = {0};
        struct qe_err err = {0};

        print_message("%s\n", rows[i].why);
        assert_ok(parse(rows[i].reply, &read, &err), err);
        assert_int_equal(read.dead_letter_known, rows[i].known);
        assert_string_equal(read.dead_letter_arn, rows[i].arn);
        assert_double_equal(qe_sample_has(&read.sample, QE_FIELD_MAX_RECEIVES)
                                ? read.sample.values[QE_FIELD_MAX_RECEIVES]
                                : -1,
                            rows[i].max_receives);
    }
}

static void numbers_that_are_none_fail_the_reading(void **state)
{
    static const char *const replies[] = {
        "{}",
        "[]",
        "{\"Attributes\":{}}",
        "{\"Attributes\":null}",
        "{\"Attributes\":{\"ApproximateNumberOfMessages\":\"3\"}}",
        REPLY(",\"VisibilityTimeout\":\"soon\""),
        REPLY(",\"VisibilityTimeout\":\"\""),
        REPLY(",\"VisibilityTimeout\":\"-1\""),
        REPLY(",\"VisibilityTimeout\":\"1e300\""),
        REPLY(",\"VisibilityTimeout\":\"NaN\""),
        REPLY(",\"VisibilityTimeout\":{}"),
        REPLY(",\"VisibilityTimeout\":\"0x10\""),
    };

    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct qe_sqs_attributes read = {.is_fifo = true};
        struct qe_err err = {0};

        assert_int_equal(parse(replies[i], &read, &err), -1);
        assert_int_equal(err.code, QE_ERR_PROTOCOL);
        assert_true(read.is_fifo); /* out-parameters are written on success only */
    }
}

static void numbers_may_be_numbers(void **state)
{
    struct qe_sqs_attributes read = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(parse(REPLY(",\"VisibilityTimeout\":30"), &read, &err), err);
    assert_double_equal(read.sample.values[QE_FIELD_VISIBILITY_TIMEOUT_SECONDS], 30);
}

static void an_arn_is_taken_apart(void **state)
{
    static const char *const none[] = {
        "",
        "arn",
        "arn:aws:sqs",
        "arn:aws:sqs:eu-west-1:123456789012",
        "arn:aws:sqs:eu-west-1:123456789012:",
        "arn:aws:sqs:eu-west-1:123456789012:a:b",
        "arn:aws:sns:eu-west-1:123456789012:a",
        "urn:aws:sqs:eu-west-1:123456789012:a",
        "arn:aws:sqs:eu-west-1:1234567890123456:a",
    };
    struct qe_sqs_arn arn = {0};

    (void)state;
    assert_true(qe_sqs_arn_parse("arn:aws-cn:sqs:cn-north-1:123456789012:a.fifo", &arn));
    assert_string_equal(arn.region, "cn-north-1");
    assert_string_equal(arn.account_id, "123456789012");
    assert_string_equal(arn.name, "a.fifo");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_false(qe_sqs_arn_parse(none[i], &arn));
    }
    assert_string_equal(arn.name, "a.fifo");
}

static void the_names_asked_for_are_those_of_the_list(void **state)
{
    struct qe_err err = {0};
    struct qe_json *names =
        qe_json_parse(qe_sqs_attribute_names, strlen(qe_sqs_attribute_names), &err);
    const struct qe_json *at = qe_json_first(names);

    (void)state;
    assert_int_equal(qe_json_count(names), QE_SQS_ATTRIBUTE_NAMES_COUNT);
    for (size_t i = 0; i < QE_SQS_ATTRIBUTE_NAMES_COUNT; i++, at = qe_json_next(at)) {
        assert_string_equal(qe_json_text(at), qe_sqs_attribute_name_list[i]);
    }
    qe_json_destroy(names);
}

static int parse_body(void *context, struct qe_err *err)
{
    struct qe_sqs_attributes read = {0};

    return parse(context, &read, err);
}

static void memory_may_end_anywhere(void **state)
{
    static char reply[] = REPLY(",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"" DLQ_ARN
                                "\\\",\\\"maxReceiveCount\\\":5}\"");

    (void)state;
    qe_check_torture(parse_body, reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_aws_says_is_taken),
        cmocka_unit_test(fifo_is_known_by_the_attribute_or_by_the_name),
        cmocka_unit_test(a_redrive_policy_hides_nothing_but_itself),
        cmocka_unit_test(numbers_that_are_none_fail_the_reading),
        cmocka_unit_test(numbers_may_be_numbers),
        cmocka_unit_test(an_arn_is_taken_apart),
        cmocka_unit_test(the_names_asked_for_are_those_of_the_list),
        cmocka_unit_test(memory_may_end_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
