#include "aws/provider_internal.h"
#include "unit/aws/search.h"

#define STS "https://sts.eu-west-1.amazonaws.com/"
#define ROLE "arn:aws:iam::123456789012:role/monitor"
#define ANSWER                                                                                     \
    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"                   \
    "  <AssumeRoleResult>\n    <AssumedRoleUser>\n      <AssumedRoleId>AROA:s</AssumedRoleId>\n"   \
    "      <Arn>arn:aws:sts::210987654321:assumed-role/monitor/s</Arn>\n    </AssumedRoleUser>\n"  \
    "    <Credentials>\n      <AccessKeyId>ASIATAKEN</AccessKeyId>\n"                              \
    "      <SecretAccessKey>a&amp;b&lt;c&gt;&quot;&apos;</SecretAccessKey>\n"                      \
    "      <SessionToken>tok/en+==</SessionToken>\n"                                               \
    "      <Expiration>2026-01-01T01:00:00.185346Z</Expiration>\n    </Credentials>\n"             \
    "  </AssumeRoleResult>\n</AssumeRoleResponse>\n"
#define REFUSAL(code, message)                                                                     \
    "<ErrorResponse "                                                                              \
    "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>"               \
    "<Code>" code "</Code><Message>" message "</Message></Error><RequestId>x</RequestId>"          \
    "</ErrorResponse>"

/* Keys of the configuration, and a role on top of them. */
static int take_role(struct qe_aws_credentials **out, struct qe_err *err)
{
    struct qe_secret *secret = qe_secret_new("base-secret", 11, err);
    struct qe_secret *token = qe_secret_new("base-token", 10, err);
    const struct qe_aws_identity identity = {.region = "eu-west-1",
                                             .access_key_id = "AKIABASE",
                                             .secret_access_key = secret,
                                             .session_token = token,
                                             .role_arn = ROLE,
                                             .role_external_id = "ext",
                                             .role_duration_ms = 1800000};
    const int rc = secret == NULL || token == NULL ? -1 : search_as(&identity, out, err);

    qe_secret_destroy(secret);
    qe_secret_destroy(token);
    return rc;
}

static struct qe_aws_credentials *taken(void)
{
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    if (take_role(&found, &err) != 0 || found == NULL) {
        fail_msg("%s", err.message);
        abort(); /* never reached, which analyzers cannot know */
    }
    return found;
}

static void assert_taken(void)
{
    struct qe_aws_credentials *found = taken();

    assert_string_equal(found->access_key_id, "ASIATAKEN");
    qe_aws_credentials_release(found);
}

static void assert_refused(enum qe_err_code code, const char *words)
{
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    assert_int_equal(take_role(&found, &err), -1);
    if (err.code != code || strstr(err.message, words) == NULL) {
        fail_msg("%s: %s (\"%s\" expected)", qe_err_code_name(err.code), err.message, words);
    }
}

static void the_role_of_the_configuration_is_taken(void **state)
{
    (void)state;
    qe_made_world_answer(&s_made, "POST", STS, 200, ANSWER);
    struct qe_aws_credentials *found = taken();

    assert_string_equal(found->access_key_id, "ASIATAKEN");
    assert_string_equal(qe_secret_bytes(found->secret_access_key), "a&b<c>\"'");
    assert_string_equal(qe_secret_bytes(found->session_token), "tok/en+==");
    assert_string_equal(found->account_id, "210987654321");
    assert_int_equal(found->expires_unix_ms, s_made.unix_ms + 3600185);
    assert_string_equal(found->provider, "assumed role");
    qe_aws_credentials_release(found);
    assert_string_equal(s_made.requests[0].body,
                        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"
                        "123456789012%3Arole%2Fmonitor&RoleSessionName=queue-exporter&"
                        "DurationSeconds=1800&ExternalId=ext");
    assert_true(qe_made_request_has(&s_made.requests[0], "X-Amz-Security-Token", "base-token"));
    assert_true(qe_made_request_has(&s_made.requests[0], "X-Amz-Date", "20260101T000000Z"));
    assert_non_null(strstr(s_made.requests[0].headers,
                           "Authorization: AWS4-HMAC-SHA256 Credential=AKIABASE/20260101/eu-west-1/"
                           "sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;"
                           "x-amz-security-token, Signature="));
}

static void what_may_pass_is_tried_three_times(void **state)
{
    (void)state;
    qe_made_world_answer(&s_made, "POST", STS, 503, "");
    qe_made_world_no_answer(&s_made, STS, QE_ERR_NETWORK);
    qe_made_world_answer(&s_made, "POST", STS, 200, ANSWER);
    assert_taken();
    qe_made_world_answer(&s_made, "POST", STS, 400, REFUSAL("Throttling", "Rate exceeded"));
    qe_made_world_answer(&s_made, "POST", STS, 400, REFUSAL("IDPCommunicationError", "again"));
    qe_made_world_answer(&s_made, "POST", STS, 200, ANSWER);
    assert_taken();
    for (size_t i = 0; i < 3; i++) {
        qe_made_world_answer(&s_made, "POST", STS, 500, "");
    }
    assert_refused(QE_ERR_NETWORK, "with credentials of config: role " ROLE ": STS: ");
    assert_int_equal(s_made.requests_count, 9);
}

static void a_refusal_is_not_repeated(void **state)
{
    (void)state;
    qe_made_world_answer(&s_made, "POST", STS, 403,
                         REFUSAL("AccessDenied", "User: x is not authorized to perform: "
                                                 "sts:AssumeRole"));
    assert_refused(QE_ERR_AUTH, "AccessDenied");
    qe_made_world_answer(&s_made, "POST", STS, 403, REFUSAL("InvalidClientTokenId", "no such key"));
    assert_refused(QE_ERR_AUTH, "InvalidClientTokenId");
    assert_int_equal(s_made.requests_count, 2);
}

static void a_clock_that_is_off_is_corrected_by_the_answers_date(void **state)
{
    (void)state;
    qe_made_world_answer(&s_made, "POST", STS, 403,
                         REFUSAL("SignatureDoesNotMatch", "Signature expired"));
    qe_made_world_headers(&s_made, "HTTP/1.1 403\r\nDate: Thu, 01 Jan 2026 00:30:00 GMT\r\n\r\n");
    qe_made_world_answer(&s_made, "POST", STS, 200, ANSWER);
    assert_taken();
    assert_true(qe_made_request_has(&s_made.requests[1], "X-Amz-Date", "20260101T003000Z"));
    /* When the clock is right, it is the signature that is wrong. */
    qe_made_world_answer(&s_made, "POST", STS, 403,
                         REFUSAL("SignatureDoesNotMatch", "does not match"));
    qe_made_world_headers(&s_made, "HTTP/1.1 403\r\nDate: Thu, 01 Jan 2026 00:00:01 GMT\r\n\r\n");
    assert_refused(QE_ERR_AUTH, "SignatureDoesNotMatch");
    assert_int_equal(s_made.requests_count, 3);
}

static void what_sts_would_refuse_is_refused_first(void **state)
{
    static const struct {
        struct qe_aws_identity identity;
        const char *words;
    } s_rows[] = {
        {{.region = "eu-west-1", .role_arn = "monitor"}, "\"monitor\" is no arn of a role"},
        {{.region = "eu-west-1", .role_arn = ROLE, .role_session_name = "a b"}, "session name"},
        {{.region = "eu-west-1", .role_arn = ROLE, .role_session_name = "a"}, "session name"},
        {{.region = "eu-west-1", .role_arn = ROLE, .role_duration_ms = 60000}, "15m to 12h"},
        {{.region = "eu-west-1", .role_external_id = "x"}, "has no arn"},
        {{.access_key_id = "A"}, "secret_access_key is missing"},
    };

    (void)state;
    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "A");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", "s");
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_aws_credentials *found = NULL;
        struct qe_err err = {0};

        assert_int_equal(search_as(&s_rows[i].identity, &found, &err), -1);
        assert_int_equal(err.code, QE_ERR_INVALID);
        if (strstr(err.message, s_rows[i].words) == NULL) {
            fail_msg("%s (\"%s\" expected)", err.message, s_rows[i].words);
        }
    }
    assert_int_equal(s_made.requests_count, 0);
}

static void the_endpoint_of_sts_is_overridden_apart(void **state)
{
    (void)state;
    struct qe_aws_identity identity = {.region = "eu-west-1",
                                       .role_arn = ROLE,
                                       .endpoint = "http://127.0.0.1:5000",
                                       .endpoint_sts = "http://127.0.0.1:6000/"};
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "A");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", "s");
    qe_made_world_answer(&s_made, "POST", "http://127.0.0.1:6000/", 200, ANSWER);
    assert_ok(search_as(&identity, &found, &err), err);
    qe_aws_credentials_release(found);
    assert_true(qe_made_request_has(&s_made.requests[0], "Host", "127.0.0.1:6000"));
    identity.endpoint_sts = NULL;
    qe_made_world_answer(&s_made, "POST", "http://127.0.0.1:5000/", 200, ANSWER);
    assert_ok(search_as(&identity, &found, &err), err);
    qe_aws_credentials_release(found);
}

static void both_forms_of_an_answer_are_read_and_nothing_else(void **state)
{
    static const char *const s_bad[] = {
        "",
        " ",
        "hello",
        "<",
        "<a>",
        "{",
        "{}",
        "[]",
        "{\"A\":{\"B\":{\"Credentials\":{}}}}",
        "<Credentials></Credentials>",
        "<Credentials><AccessKeyId>A</AccessKeyId></Credentials>",
        "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        "<SessionToken>t</SessionToken><Expiration>soon</Expiration></Credentials>",
        "<Credentials><AccessKeyId>&foo;</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        "<SessionToken>t</SessionToken><Expiration>2026-01-01T01:00:00Z</Expiration></Credentials>",
        "<Credentials><AccessKeyId><b/></AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        "<SessionToken>t</SessionToken><Expiration>2026-01-01T01:00:00Z</Expiration></Credentials>",
        "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        "<SessionToken>t</SessionToken><Expiration>2026-01-01T01:00:00Z</Expiration>",
    };
    static const char s_json[] =
        " {\"AssumeRoleWithWebIdentityResponse\":{\"AssumeRoleWithWebIdentityResult\":{"
        "\"AssumedRoleUser\":{\"Arn\":\"arn:aws:sts::210987654321:assumed-role/x/y\"},"
        "\"Credentials\":{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\","
        "\"Expiration\":1.7672292E9}}}}";
    struct qe_err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof s_bad / sizeof s_bad[0]; i++) {
        assert_null(qe_aws_credentials_from_sts(s_bad[i], strlen(s_bad[i]), "x", &err));
        assert_int_equal(err.code, QE_ERR_PROTOCOL);
    }
    struct qe_aws_credentials *found =
        qe_aws_credentials_from_sts(s_json, sizeof s_json - 1, "x", &err);

    assert_non_null(found);
    assert_int_equal(found->expires_unix_ms, s_made.unix_ms + 3600000);
    assert_string_equal(found->account_id, "210987654321");
    qe_aws_credentials_release(found);
}

static int torture_body(void *context, struct qe_err *err)
{
    struct qe_aws_credentials *found = NULL;

    (void)context;
    s_made.answers_taken = 0;
    const int rc = take_role(&found, err);

    qe_aws_credentials_release(found);
    return rc;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    qe_made_world_answer(&s_made, "POST", STS, 200, ANSWER);
    qe_check_torture(torture_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEARCH_TEST(the_role_of_the_configuration_is_taken),
        SEARCH_TEST(what_may_pass_is_tried_three_times),
        SEARCH_TEST(a_refusal_is_not_repeated),
        SEARCH_TEST(a_clock_that_is_off_is_corrected_by_the_answers_date),
        SEARCH_TEST(what_sts_would_refuse_is_refused_first),
        SEARCH_TEST(the_endpoint_of_sts_is_overridden_apart),
        SEARCH_TEST(both_forms_of_an_answer_are_read_and_nothing_else),
        SEARCH_TEST(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
