/* What goes out: checksums, what SQS refuses, entries on the wire. */
#include <string.h>

#include "backend/sqs/letter.h"
#include "support/check.h"
#include "util/mem.h"

static struct qe_sqs_letter plain(const char *body)
{
    return (struct qe_sqs_letter){.body = body,
                                  .body_bytes = strlen(body),
                                  .group = "",
                                  .deduplication_id = "",
                                  .delay_seconds = -1};
}

static void md5_of_a_body_is_of_its_bytes(void **state)
{
    (void)state;
    char md5[QE_MD5_HEX_BYTES];
    struct qe_err err = {0};

    assert_ok(qe_sqs_md5_body("hello", 5, md5, &err), err);
    assert_string_equal(md5, "5d41402abc4b2a76b9719d911017c592");
}

/* Known answers: what AWS's SDKs compute for these. */
static void md5_of_attributes_is_as_documented(void **state)
{
    (void)state;
    const struct qe_sqs_attribute one_of_each[] = {{"k", "String", "v"}, {"b", "Binary", "AQI="}};
    const struct qe_sqs_attribute turned[] = {{"b", "Binary", "AQI="}, {"k", "String", "v"}};
    char md5[QE_MD5_HEX_BYTES];
    struct qe_err err = {0};

    assert_ok(qe_sqs_md5_attributes(one_of_each, 2, md5, &err), err);
    assert_string_equal(md5, "509308fe9f8ef67131cb619d5c92931e");
    assert_ok(qe_sqs_md5_attributes(turned, 2, md5, &err), err);
    assert_string_equal(md5, "509308fe9f8ef67131cb619d5c92931e");
}

static void md5_of_attributes_wants_base64_and_at_most_ten(void **state)
{
    (void)state;
    const struct qe_sqs_attribute broken = {"b", "Binary", "AQI"};
    struct qe_sqs_attribute many[QE_SQS_ATTRIBUTES_MAX + 1];
    char md5[QE_MD5_HEX_BYTES];
    struct qe_err err = {0};

    assert_int_equal(qe_sqs_md5_attributes(&broken, 1, md5, &err), -1);
    assert_int_equal(err.code, QE_ERR_PROTOCOL);
    for (size_t i = 0; i <= QE_SQS_ATTRIBUTES_MAX; i++) {
        many[i] = (struct qe_sqs_attribute){"n", "String", "v"};
    }
    assert_int_equal(qe_sqs_md5_attributes(many, QE_SQS_ATTRIBUTES_MAX + 1, md5, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
}

static void base64_is_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } s_rows[] = {
        {"", 0},
        {"QQ==", 1},
        {"QUI=", 2},
        {"QUJD", 3},
        {"+/+/", 3},
        {"QUJDRA==", 4},
        {"Q", SIZE_MAX},
        {"QQ=", SIZE_MAX},
        {"Q===", SIZE_MAX},
        {"QQ==QQ==", SIZE_MAX},
        {"QU-_", SIZE_MAX},
        {"QUJ\n", SIZE_MAX},
    };

    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        assert_true(qe_sqs_base64_bytes(s_rows[i].text) == s_rows[i].bytes);
    }
}

/* --- what is refused --- */

static void expect_refused(const struct qe_sqs_letter *letter, enum qe_err_code code,
                           const char *word)
{
    struct qe_err err = {0};

    assert_int_equal(qe_sqs_letter_check(letter, &err), -1);
    assert_int_equal(err.code, code);
    if (strstr(err.message, word) == NULL) {
        fail_msg("\"%s\" does not name \"%s\"", err.message, word);
    }
}

static void a_body_of_other_characters_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *word;
    } s_rows[] = {
        {"a\x01", "U+0001 at byte 1"},
        {"\xef\xbf\xbf", "U+FFFF at byte 0"},
        {"ab\xff", "byte 2 is not UTF-8"},
        {"\xed\xa0\x80", "byte 0 is not UTF-8"}, /* a surrogate */
        {"", "empty"},
    };

    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        const struct qe_sqs_letter letter = plain(s_rows[i].body);

        expect_refused(&letter, QE_ERR_INVALID, s_rows[i].word);
    }
    struct qe_sqs_letter nul = plain("a\0b");

    nul.body_bytes = 3;
    expect_refused(&nul, QE_ERR_INVALID, "U+0000 at byte 1");
}

static void a_letter_that_is_too_large_is_refused_unread(void **state)
{
    (void)state;
    struct qe_sqs_letter letter = plain("x");

    letter.body_bytes = QE_SQS_MESSAGE_MAX_BYTES + 1;
    expect_refused(&letter, QE_ERR_LIMIT, "1048577");
}

static void attributes_count_against_the_size(void **state)
{
    (void)state;
    char *body = qe_calloc(QE_SQS_MESSAGE_MAX_BYTES, 1);
    struct qe_err err = {0};

    assert_non_null(body);
    memset(body, 'x', QE_SQS_MESSAGE_MAX_BYTES - 1);
    struct qe_sqs_letter letter = plain(body);

    assert_ok(qe_sqs_letter_check(&letter, &err), err);
    assert_ok(qe_sqs_letter_add(&letter, "b", "Binary", "AQI=", &err), err);
    assert_int_equal(qe_sqs_letter_bytes(&letter), QE_SQS_MESSAGE_MAX_BYTES - 1 + 1 + 6 + 2);
    expect_refused(&letter, QE_ERR_LIMIT, "1048584");
    qe_free(body);
}

static void attributes_that_sqs_does_not_take_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct qe_sqs_attribute attribute;
        const char *word;
    } s_rows[] = {
        {{"", "String", "v"}, "attribute \"\""},
        {{"a b", "String", "v"}, "\"a b\""},
        {{".a", "String", "v"}, "\".a\""},
        {{"a.", "String", "v"}, "\"a.\""},
        {{"a..b", "String", "v"}, "\"a..b\""},
        {{"AWS.x", "String", "v"}, "\"AWS.x\""},
        {{"amazon.x", "String", "v"}, "\"amazon.x\""},
        {{"n", "Text", "v"}, "\"Text\""},
        {{"n", "String.", "v"}, "\"String.\""},
        {{"n", "Numbers", "1"}, "\"Numbers\""},
        {{"n", "String", ""}, "empty"},
        {{"n", "String", "\x02"}, "U+0002"},
        {{"n", "Binary", "%%%%"}, "base64"},
    };

    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_sqs_letter letter = plain("x");

        letter.attributes[0] = s_rows[i].attribute;
        letter.attributes_count = 1;
        expect_refused(&letter, QE_ERR_INVALID, s_rows[i].word);
    }
}

static void the_eleventh_attribute_and_a_second_of_its_name_are_refused(void **state)
{
    (void)state;
    static const char names[] = "abcdefghijk";
    struct qe_sqs_letter letter = plain("x");
    struct qe_err err = {0};
    char text[11][2];

    for (size_t i = 0; i < QE_SQS_ATTRIBUTES_MAX; i++) {
        text[i][0] = names[i];
        text[i][1] = '\0';
        assert_ok(qe_sqs_letter_add(&letter, text[i], "", "v", &err), err);
    }
    assert_ok(qe_sqs_letter_check(&letter, &err), err);
    assert_int_equal(qe_sqs_letter_add(&letter, "k", "", "v", &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    letter.attributes[9].name = "a";
    expect_refused(&letter, QE_ERR_INVALID, "twice");
}

static void groups_and_ids_are_printable_and_short(void **state)
{
    (void)state;
    char long_id[QE_SQS_GROUP_MAX_BYTES + 2];
    struct qe_sqs_letter letter = plain("x");
    struct qe_err err = {0};

    memset(long_id, 'g', sizeof long_id);
    long_id[QE_SQS_GROUP_MAX_BYTES + 1] = '\0';
    letter.group = "a b";
    expect_refused(&letter, QE_ERR_INVALID, "group");
    letter.group = long_id;
    expect_refused(&letter, QE_ERR_INVALID, "group");
    letter.group = "fine!";
    letter.deduplication_id = "\xc3\xa9";
    expect_refused(&letter, QE_ERR_INVALID, "deduplication id");
    letter.deduplication_id = &long_id[1];
    assert_ok(qe_sqs_letter_check(&letter, &err), err);
}

/* --- on the wire --- */

static void an_entry_holds_all_of_it(void **state)
{
    (void)state;
    struct qe_sqs_letter letter = plain("say \"hi\"\n");
    struct qe_strbuf out = {0};
    struct qe_err err = {0};

    assert_ok(qe_sqs_letter_add(&letter, "k", "", "v", &err), err);
    assert_ok(qe_sqs_letter_add(&letter, "b", "Binary.png", "AQI=", &err), err);
    letter.delay_seconds = 5;
    letter.group = "g";
    letter.deduplication_id = "d";
    qe_sqs_letter_append(&letter, &out);
    assert_string_equal(
        qe_strbuf_text(&out),
        ",\"MessageBody\":\"say \\\"hi\\\"\\u000a\",\"MessageAttributes\":{"
        "\"k\":{\"DataType\":\"String\",\"StringValue\":\"v\"},"
        "\"b\":{\"DataType\":\"Binary.png\",\"BinaryValue\":\"AQI=\"}},\"DelaySeconds\":5,"
        "\"MessageGroupId\":\"g\",\"MessageDeduplicationId\":\"d\"");
    qe_strbuf_deinit(&out);
}

static void what_is_not_given_is_not_there(void **state)
{
    (void)state;
    const struct qe_sqs_letter letter = plain("x");
    struct qe_strbuf out = {0};

    qe_sqs_letter_append(&letter, &out);
    assert_string_equal(qe_strbuf_text(&out), ",\"MessageBody\":\"x\"");
    qe_strbuf_deinit(&out);
}

static int verify(const struct qe_sqs_letter *letter, const char *answer, struct qe_err *err)
{
    struct qe_json *json = qe_json_parse(answer, strlen(answer), err);

    if (json == NULL) {
        return -1;
    }
    int rc = qe_sqs_letter_verify(letter, json, err);

    qe_json_destroy(json);
    return rc;
}

static void a_checksum_that_differs_is_a_protocol_error(void **state)
{
    (void)state;
    struct qe_sqs_letter letter = plain("hello");
    struct qe_err err = {0};

    assert_ok(verify(&letter, "{\"MD5OfMessageBody\":\"5D41402ABC4B2A76B9719D911017C592\"}", &err),
              err);
    assert_ok(verify(&letter, "{}", &err), err); /* not told, not compared */
    assert_int_equal(
        verify(&letter, "{\"MD5OfMessageBody\":\"00000000000000000000000000000000\"}", &err), -1);
    assert_int_equal(err.code, QE_ERR_PROTOCOL);

    err = (struct qe_err){0};
    assert_ok(qe_sqs_letter_add(&letter, "k", "", "v", &err), err);
    assert_ok(qe_sqs_letter_add(&letter, "b", "Binary", "AQI=", &err), err);
    assert_ok(
        verify(&letter, "{\"MD5OfMessageAttributes\":\"509308fe9f8ef67131cb619d5c92931e\"}", &err),
        err);
    assert_int_equal(
        verify(&letter, "{\"MD5OfMessageAttributes\":\"509308fe9f8ef67131cb619d5c92931f\"}", &err),
        -1);
    assert_int_equal(err.code, QE_ERR_PROTOCOL);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_sqs_letter letter = plain("hello");

    (void)context;
    if (qe_sqs_letter_add(&letter, "b", "Binary", "AQI=", err) != 0) {
        return -1;
    }
    return verify(&letter, "{\"MD5OfMessageBody\":\"5d41402abc4b2a76b9719d911017c592\"}", err);
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(md5_of_a_body_is_of_its_bytes),
        cmocka_unit_test(md5_of_attributes_is_as_documented),
        cmocka_unit_test(md5_of_attributes_wants_base64_and_at_most_ten),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(a_body_of_other_characters_is_refused_by_name),
        cmocka_unit_test(a_letter_that_is_too_large_is_refused_unread),
        cmocka_unit_test(attributes_count_against_the_size),
        cmocka_unit_test(attributes_that_sqs_does_not_take_are_refused_by_name),
        cmocka_unit_test(the_eleventh_attribute_and_a_second_of_its_name_are_refused),
        cmocka_unit_test(groups_and_ids_are_printable_and_short),
        cmocka_unit_test(an_entry_holds_all_of_it),
        cmocka_unit_test(what_is_not_given_is_not_there),
        cmocka_unit_test(a_checksum_that_differs_is_a_protocol_error),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests_name("sqs letter", tests, NULL, NULL);
}
