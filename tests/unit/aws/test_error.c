#include <string.h>

#include "aws/error.h"
#include "support/check.h"

#define JSON "HTTP/1.1 0 X\r\nContent-Type: application/x-amz-json-1.0\r\n"
#define HTML "HTTP/1.1 0 X\r\nContent-Type: text/html\r\n"

struct answer {
    unsigned status;
    const char *headers;
    const char *body;
};

static void read_answer(const struct answer *answer, struct qe_aws_error *out)
{
    struct qe_http_reply reply = {.status = answer->status};

    assert_int_equal(qe_strbuf_append_text(&reply.headers, answer->headers), 0);
    assert_int_equal(qe_strbuf_append_text(&reply.headers, "\r\n"), 0);
    assert_int_equal(qe_strbuf_append_text(&reply.body, answer->body), 0);
    qe_aws_error_read(&reply, out);
    qe_http_reply_deinit(&reply);
}

static void a_code_is_found_wherever_it_stands(void **state)
{
    (void)state;
    static const struct {
        struct answer answer;
        const char *code;
        const char *legacy;
        const char *why;
    } rows[] = {
        {{400, JSON "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
          "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"No.\"}"},
         "QueueDoesNotExist",
         "AWS.SimpleQueueService.NonExistentQueue",
         "SQS itself"},
        {{400, JSON "X-Amzn-Query-Error: com.amazonaws.sqs#QueueDoesNotExist\r\n",
          "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"Message\":\"No.\"}"},
         "QueueDoesNotExist",
         "QueueDoesNotExist",
         "ElasticMQ puts the shape into the header"},
        {{400, JSON, "{\"__type\":\"QueueDoesNotExist:http://internal.amazon.com/coral#x/\"}"},
         "QueueDoesNotExist",
         "",
         "an address behind the code"},
        {{403, JSON, "{\"__type\":\"com.amazon.coral.service#AccessDeniedException\"}"},
         "AccessDeniedException",
         "",
         "the front layer"},
        {{400, JSON "X-Amzn-Errortype: InvalidAttributeName:\r\n", "{}"},
         "InvalidAttributeName",
         "",
         "only the header"},
        {{400, JSON "X-Amzn-Errortype: InvalidAttributeName\r\n", "{\"__type\":\"OverLimit\"}"},
         "OverLimit",
         "",
         "the body before the header"},
        {{403, HTML,
          "<?xml version=\"1.0\"?>\n<ErrorResponse>\n <Errors><Error>\n<Code>SignatureDoesNotMatch"
          "</Code>\n <Message>The request signature &lt;is&gt; wrong &amp; bad</Message></Error>"
          "</Errors></ErrorResponse>"},
         "SignatureDoesNotMatch",
         "",
         "query XML, as moto answers JSON calls"},
        {{400, JSON "x-amzn-query-error: Throttling;Sender\r\n", "not JSON"},
         "",
         "Throttling",
         "only the legacy header"},
        {{400, JSON, "\xef\xbb\xbf {\"code\":\"Throttling\"}"},
         "",
         "",
         "a byte order mark is none"},
        {{400, JSON, "{\"__type\":\"a b\"}"}, "", "", "no code has a blank"},
        {{400, JSON, "{\"__type\":17}"}, "", "", "no text"},
        {{400, JSON, "[\"__type\"]"}, "", "", "no object"},
        {{502, HTML, "<html><body><h1>502 Bad Gateway</h1></body></html>"}, "", "", "a proxy"},
        {{500, HTML, ""}, "", "", "nothing at all"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_aws_error error;

        read_answer(&rows[i].answer, &error);
        if (strcmp(error.code, rows[i].code) != 0 ||
            strcmp(error.legacy_code, rows[i].legacy) != 0) {
            fail_msg("%s: \"%s\" and \"%s\"", rows[i].why, error.code, error.legacy_code);
        }
        assert_int_not_equal(error.err.code, QE_OK);
        assert_true(error.err.message[0] != '\0');
    }
}

struct verdict_row {
    unsigned status;
    const char *type;   /* as __type; NULL: none */
    const char *legacy; /* in the header; NULL: none */
    enum qe_err_code code;
    enum qe_aws_retry retry;
    bool may_be_credentials;
    bool may_be_skew;
};

#define NO QE_AWS_RETRY_NO, false, false
#define RENEW QE_AWS_RETRY_NO, true, false
#define SKEW QE_AWS_RETRY_NO, false, true
#define SLOWER QE_ERR_THROTTLED, QE_AWS_RETRY_THROTTLED, false, false
#define AGAIN QE_AWS_RETRY_TRANSIENT, false, false
#define OLD "AWS.SimpleQueueService."

static const struct verdict_row s_verdicts[] = {
    /* A 403 is looked at by its code. */
    {403, "RequestThrottled", "RequestThrottled", SLOWER},
    {403, "OverLimit", "OverLimit", QE_ERR_LIMIT, NO},
    {403, "PurgeQueueInProgress", OLD "PurgeQueueInProgress", QE_ERR_LIMIT, NO},
    {403, "InvalidSecurity", NULL, QE_ERR_INVALID, NO},
    {403, "KmsOptInRequired", "KMS.OptInRequired", QE_ERR_AUTH, NO},
    {403, "AccessDeniedException", "AccessDenied", QE_ERR_AUTH, SKEW},
    {403, "InvalidSignatureException", "SignatureDoesNotMatch", QE_ERR_AUTH, SKEW},
    {403, "RequestTimeTooSkewed", NULL, QE_ERR_AUTH, SKEW},
    {403, "UnrecognizedClientException", "InvalidClientTokenId", QE_ERR_AUTH, RENEW},
    {403, "ExpiredTokenException", "ExpiredToken", QE_ERR_AUTH, RENEW},
    {403, NULL, "ExpiredToken", QE_ERR_AUTH, RENEW},
    {403, "SomethingNew", NULL, QE_ERR_AUTH, NO},
    {403, NULL, NULL, QE_ERR_AUTH, NO},

    {400, "QueueDoesNotExist", OLD "NonExistentQueue", QE_ERR_NOT_FOUND, NO},
    {400, NULL, OLD "NonExistentQueue", QE_ERR_NOT_FOUND, NO},
    {404, "ReceiptHandleIsInvalid", NULL, QE_ERR_NOT_FOUND, NO},
    {400, "MessageNotInflight", OLD "MessageNotInflight", QE_ERR_NOT_FOUND, NO},
    {404, "InvalidAddress", NULL, QE_ERR_INVALID, NO},
    {404, "SomethingNew", NULL, QE_ERR_NOT_FOUND, NO},
    {404, NULL, NULL, QE_ERR_PROTOCOL, NO}, /* some other server's page: nothing is gone */

    {400, "KmsAccessDenied", "KMS.AccessDeniedException", QE_ERR_AUTH, NO},
    {400, "KmsNotFound", "KMS.NotFoundException", QE_ERR_INVALID, NO}, /* not the queue */
    {400, "KmsDisabled", NULL, QE_ERR_INVALID, NO},
    {400, "KmsThrottled", "KMS.ThrottlingException", SLOWER},
    {400, NULL, "KMS.ThrottlingException", SLOWER},

    {400, "InvalidAttributeName", NULL, QE_ERR_INVALID, NO},
    {400, "UnsupportedOperation", NULL, QE_ERR_UNSUPPORTED, NO},
    {400, "UnknownOperationException", "InvalidAction", QE_ERR_UNSUPPORTED, NO},
    {400, "BatchRequestTooLong", NULL, QE_ERR_LIMIT, NO},
    {400, "SomethingNew", "AndOld", QE_ERR_INVALID, NO},
    {400, NULL, NULL, QE_ERR_PROTOCOL, NO},

    {400, "Throttling", NULL, SLOWER},
    {400, "ThrottlingException", NULL, SLOWER},
    {429, NULL, NULL, SLOWER},
    {429, "SomethingNew", NULL, SLOWER},
    {401, "SomethingNew", NULL, QE_ERR_AUTH, NO},
    {408, "SomethingNew", NULL, QE_ERR_TIMEOUT, AGAIN},
    {413, "SomethingNew", NULL, QE_ERR_LIMIT, NO},
    {503, "SlowDown", NULL, SLOWER},
    {400, "RequestTimeout", NULL, QE_ERR_TIMEOUT, AGAIN},
    {408, NULL, NULL, QE_ERR_TIMEOUT, AGAIN},
    {500, NULL, NULL, QE_ERR_NETWORK, AGAIN},
    {500, "InternalFailure", NULL, QE_ERR_NETWORK, AGAIN},
    {500, "SomethingNew", NULL, QE_ERR_NETWORK, AGAIN},
    {500, "InvalidAttributeName", NULL, QE_ERR_INVALID, AGAIN},
    {502, NULL, NULL, QE_ERR_NETWORK, AGAIN},
    {503, NULL, NULL, QE_ERR_NETWORK, AGAIN},
    {504, NULL, NULL, QE_ERR_NETWORK, AGAIN},
    {501, NULL, NULL, QE_ERR_UNSUPPORTED, NO},
    {505, NULL, NULL, QE_ERR_PROTOCOL, NO},
    {401, NULL, NULL, QE_ERR_AUTH, NO},
    {407, NULL, NULL, QE_ERR_AUTH, NO},
    {413, NULL, NULL, QE_ERR_LIMIT, NO},
    {302, NULL, NULL, QE_ERR_PROTOCOL, NO},
    {199, NULL, NULL, QE_ERR_PROTOCOL, NO},
};

static void codes_and_statuses_say_what_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_verdicts / sizeof s_verdicts[0]; i++) {
        const struct verdict_row *row = &s_verdicts[i];
        struct qe_strbuf headers = {0};
        struct qe_strbuf body = {0};
        struct qe_aws_error error;

        assert_int_equal(qe_strbuf_append_text(&headers, JSON), 0);
        if (row->legacy != NULL) {
            assert_int_equal(
                qe_strbuf_printf(&headers, "x-amzn-query-error: %s;Sender\r\n", row->legacy), 0);
        }
        if (row->type != NULL) {
            assert_int_equal(
                qe_strbuf_printf(&body, "{\"__type\":\"com.amazonaws.sqs#%s\"}", row->type), 0);
        }
        const struct answer answer = {row->status, qe_strbuf_text(&headers), qe_strbuf_text(&body)};

        read_answer(&answer, &error);
        if (error.err.code != row->code || error.retry != row->retry ||
            error.may_be_credentials != row->may_be_credentials ||
            error.may_be_skew != row->may_be_skew) {
            fail_msg("row %zu: %u %s %s: %s, retry %d, renew %d, skew %d", i, row->status,
                     row->type == NULL ? "-" : row->type, row->legacy == NULL ? "-" : row->legacy,
                     qe_err_code_name(error.err.code), (int)error.retry,
                     (int)error.may_be_credentials, (int)error.may_be_skew);
        }
        qe_strbuf_deinit(&headers);
        qe_strbuf_deinit(&body);
    }
}

static void the_message_names_the_code_the_status_and_the_words(void **state)
{
    (void)state;
    static const struct {
        struct answer answer;
        const char *message;
    } rows[] = {
        {{400, JSON,
          "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\","
          "\"message\":\"The specified queue\\tdoes  not exist.\"}"},
         "QueueDoesNotExist (HTTP 400): The specified queue does not exist."},
        {{400, JSON "x-amzn-query-error: Throttling;Sender\r\n", ""}, "Throttling (HTTP 400)"},
        {{403, HTML, "<E><Code>AccessDenied</Code><Message>No &quot;you&quot;</Message></E>"},
         "AccessDenied (HTTP 403): No \"you\""},
        {{404, JSON, "{\"__type\":\"InvalidAddress\",\"message\":\"Not here\"}"},
         "InvalidAddress (HTTP 404): this queue URL belongs to another region or endpoint: Not "
         "here"},
        {{502, HTML, "<html>\r\n<h1>502\x01 Bad\xff Gateway</h1>\n\n</html>\n"},
         "HTTP 502: <html> <h1>502 Bad Gateway</h1> </html>"},
        {{302, HTML, ""}, "HTTP 302: redirects are not followed"},
        {{500, HTML, ""}, "HTTP 500"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_aws_error error;

        read_answer(&rows[i].answer, &error);
        assert_string_equal(error.err.message, rows[i].message);
    }
}

static void kms_errors_say_what_is_wrong_with_the_key(void **state)
{
    (void)state;
    static const char *const types[] = {"KmsAccessDenied", "KmsDisabled", "KmsInvalidState",
                                        "KmsInvalidKeyUsage", "KmsNotFound"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct qe_strbuf body = {0};
        struct qe_aws_error error;

        assert_int_equal(qe_strbuf_printf(&body, "{\"__type\":\"com.amazonaws.sqs#%s\"}", types[i]),
                         0);
        const struct answer answer = {400, JSON, qe_strbuf_text(&body)};

        read_answer(&answer, &error);
        assert_non_null(strstr(error.err.message, types[i]));
        assert_non_null(strstr(error.err.message, "the queue's KMS key"));
        qe_strbuf_deinit(&body);
    }
}

/* AWS repeats the canonical request, with the session token in it, when a signature is wrong. */
static void the_session_token_is_never_shown(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"__type\":\"InvalidSignatureException\",\"message\":\"The request signature we "
        "calculated does not match.\\n\\nThe Canonical String should have been\\n'POST\\n/\\n\\n"
        "x-amz-security-token:TheSecret\\n'\"}",
        "{\"__type\":\"InvalidSignatureException\",\"message\":\"not this: "
        "X-Amz-Security-Token:TheSecret and more\"}",
        "<E><Code>SignatureDoesNotMatch</Code><Message>Not\n\nx-amz-security-token:TheSecret"
        "</Message></E>",
        "POST / x-amz-security-token: TheSecret",
        "<html>SECURITY-TOKEN TheSecret</html>",
    };

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        const struct answer answer = {403, JSON, bodies[i]};
        struct qe_aws_error error;

        read_answer(&answer, &error);
        if (strstr(error.err.message, "TheSecret") != NULL) {
            fail_msg("shown: %s", error.err.message);
        }
    }
}

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    struct qe_strbuf body = {0};
    struct qe_aws_error error;

    assert_int_equal(qe_strbuf_append_text(&body, "{\"__type\":\"OverLimit\",\"message\":\"x"), 0);
    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(qe_strbuf_append_text(&body, "\xc3\xa9"), 0);
    }
    assert_int_equal(qe_strbuf_append_text(&body, "\"}"), 0);
    const struct answer answer = {403, JSON, qe_strbuf_text(&body)};

    read_answer(&answer, &error);
    assert_in_range(strlen(error.err.message), 400, 500);
    assert_int_equal((unsigned char)error.err.message[strlen(error.err.message) - 1], 0xa9);
    qe_strbuf_deinit(&body);
}

static void a_code_too_long_to_be_one_is_none(void **state)
{
    (void)state;
    struct qe_strbuf body = {0};
    struct qe_aws_error error;

    assert_int_equal(qe_strbuf_append_text(&body, "{\"__type\":\"OverLimit"), 0);
    for (size_t i = 0; i < QE_AWS_CODE_BYTES; i++) {
        assert_int_equal(qe_strbuf_append_char(&body, 'T'), 0);
    }
    assert_int_equal(qe_strbuf_append_text(&body, "\"}"), 0);
    const struct answer answer = {400, JSON, qe_strbuf_text(&body)};

    read_answer(&answer, &error);
    assert_string_equal(error.code, ""); /* cut, it would be another code */
    assert_int_equal(error.err.code, QE_ERR_PROTOCOL);
    qe_strbuf_deinit(&body);
}

static void what_never_came_keeps_its_own_error(void **state)
{
    (void)state;
    static const struct {
        enum qe_err_code code;
        enum qe_aws_retry retry;
    } rows[] = {{QE_ERR_NETWORK, QE_AWS_RETRY_TRANSIENT}, {QE_ERR_TIMEOUT, QE_AWS_RETRY_TRANSIENT},
                {QE_ERR_PROTOCOL, QE_AWS_RETRY_NO},       {QE_ERR_LIMIT, QE_AWS_RETRY_NO},
                {QE_ERR_INVALID, QE_AWS_RETRY_NO},        {QE_ERR_CANCELLED, QE_AWS_RETRY_NO}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_http_reply reply = {.err = {.code = rows[i].code, .message = "host:1: no"}};
        struct qe_aws_error error;

        qe_aws_error_read(&reply, &error);
        assert_int_equal(error.err.code, rows[i].code);
        assert_string_equal(error.err.message, "host:1: no");
        assert_int_equal(error.retry, rows[i].retry);
        assert_string_equal(error.code, "");
    }
}

static void an_entry_of_a_batch_is_judged_by_its_code(void **state)
{
    (void)state;
    assert_int_equal(qe_aws_error_code("ReceiptHandleIsInvalid", true), QE_ERR_NOT_FOUND);
    assert_int_equal(qe_aws_error_code("InternalError", false), QE_ERR_NETWORK);
    assert_int_equal(qe_aws_error_code("SomethingNew", true), QE_ERR_INVALID);
    assert_int_equal(qe_aws_error_code("SomethingNew", false), QE_ERR_NETWORK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_is_found_wherever_it_stands),
        cmocka_unit_test(codes_and_statuses_say_what_to_do),
        cmocka_unit_test(the_message_names_the_code_the_status_and_the_words),
        cmocka_unit_test(kms_errors_say_what_is_wrong_with_the_key),
        cmocka_unit_test(the_session_token_is_never_shown),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(a_code_too_long_to_be_one_is_none),
        cmocka_unit_test(what_never_came_keeps_its_own_error),
        cmocka_unit_test(an_entry_of_a_batch_is_judged_by_its_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
