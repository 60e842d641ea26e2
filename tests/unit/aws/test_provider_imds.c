#include <stdio.h>

#include "aws/endpoint.h"
#include "unit/aws/search.h"

#define BASE "http://169.254.169.254"
#define ROLES BASE "/latest/meta-data/iam/security-credentials/"
#define JSON_OF(code)                                                                              \
    "{\"Code\":\"" code "\",\"Message\":\"because\",\"AccessKeyId\":\"ASIAMETA\","                 \
    "\"SecretAccessKey\":\"meta-secret\",\"Token\":\"meta-token\","                                \
    "\"Expiration\":\"2026-01-01T06:00:00Z\"}"

static void session(const char *base)
{
    char url[256];

    (void)snprintf(url, sizeof url, "%s/latest/api/token", base);
    qe_made_world_answer(&s_made, "PUT", url, 200, "the-session");
}

static void gives_what_the_role_has(void **state)
{
    (void)state;
    session(BASE);
    qe_made_world_answer(&s_made, "GET", ROLES, 200, "a-role\nanother\n");
    qe_made_world_answer(&s_made, "GET", ROLES "a-role", 200, JSON_OF("Success"));
    assert_search_finds("ASIAMETA", "meta-secret", "meta-token", "instance metadata");
    assert_int_equal(s_made.requests_count, 3);
    assert_true(
        qe_made_request_has(&s_made.requests[0], "x-aws-ec2-metadata-token-ttl-seconds", "21600"));
    assert_true(
        qe_made_request_has(&s_made.requests[2], "x-aws-ec2-metadata-token", "the-session"));
}

static void a_session_that_ended_is_begun_anew_once(void **state)
{
    (void)state;
    session(BASE);
    qe_made_world_answer(&s_made, "GET", ROLES, 401, "");
    session(BASE);
    qe_made_world_answer(&s_made, "GET", ROLES, 200, "a-role");
    qe_made_world_answer(&s_made, "GET", ROLES "a-role", 200, JSON_OF("Success"));
    assert_search_finds("ASIAMETA", "meta-secret", "meta-token", "instance metadata");
    assert_int_equal(s_made.requests_count, 5);
}

static void a_code_that_is_no_success_ends_the_search(void **state)
{
    (void)state;
    session(BASE);
    qe_made_world_answer(&s_made, "GET", ROLES, 200, "a-role");
    qe_made_world_answer(&s_made, "GET", ROLES "a-role", 200,
                         JSON_OF("AssumeRoleUnauthorizedAccess"));
    assert_search_fails(QE_ERR_AUTH, "AssumeRoleUnauthorizedAccess: because");
}

static void each_way_to_be_absent_says_why(void **state)
{
    static const struct {
        unsigned status;
        const char *words;
    } s_rows[] = {
        {403, "IMDS is disabled"},
        {404, "knows only version 1"},
        {405, "knows only version 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        qe_made_world_answer(&s_made, "PUT", NULL, s_rows[i].status, "");
        assert_search_fails(QE_ERR_AUTH, s_rows[i].words);
    }
    qe_made_world_answer(&s_made, "PUT", NULL, 400, "");
    assert_search_fails(QE_ERR_PROTOCOL, "status 400");
    session(BASE);
    qe_made_world_answer(&s_made, "GET", ROLES, 404, "");
    assert_search_fails(QE_ERR_AUTH, "no IAM role attached to this instance");
    qe_made_world_no_answer(&s_made, NULL, QE_ERR_TIMEOUT);
    assert_search_fails(QE_ERR_AUTH, "in a container: set HttpPutResponseHopLimit=2");
    qe_made_world_env(&s_made, "AWS_EC2_METADATA_DISABLED", "TRUE");
    assert_search_fails(QE_ERR_AUTH, "switched off by AWS_EC2_METADATA_DISABLED");
}

static void silence_is_waited_for_once_unless_asked_otherwise(void **state)
{
    (void)state;
    assert_search_fails(QE_ERR_AUTH, "nobody listens");
    assert_int_equal(s_made.requests_count, 1);
    qe_made_world_env(&s_made, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "4");
    assert_search_fails(QE_ERR_AUTH, "nobody listens");
    assert_int_equal(s_made.requests_count, 5);
    qe_made_world_env(&s_made, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "eleven");
    assert_search_fails(QE_ERR_INVALID, "AWS_METADATA_SERVICE_NUM_ATTEMPTS");
}

static void a_server_error_is_tried_three_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        qe_made_world_answer(&s_made, "PUT", NULL, 503, "");
    }
    assert_search_fails(QE_ERR_AUTH, "status 503");
    assert_int_equal(s_made.requests_count, 3);
}

static void what_is_no_answer_of_it_is_refused(void **state)
{
    static const char *const s_roles[] = {"", "\n", "a role", "../x", "a\x01", "<html>"};
    static const char *const s_json[] = {
        "",
        "[]",
        "{",
        "null",
        "{\"Code\":\"Success\"}",
        "{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\"}",
        "{\"AccessKeyId\":1,\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"x\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"x\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof s_roles / sizeof s_roles[0]; i++) {
        session(BASE);
        qe_made_world_answer(&s_made, "GET", ROLES, 200, s_roles[i]);
        assert_search_fails(QE_ERR_PROTOCOL, "that is no role's name");
    }
    for (size_t i = 0; i < sizeof s_json / sizeof s_json[0]; i++) {
        session(BASE);
        qe_made_world_answer(&s_made, "GET", ROLES, 200, "a-role");
        qe_made_world_answer(&s_made, "GET", ROLES "a-role", 200, s_json[i]);
        assert_search_fails(QE_ERR_PROTOCOL, "instance metadata: ");
    }
    qe_made_world_answer(&s_made, "PUT", NULL, 200, "two words");
    assert_search_fails(QE_ERR_PROTOCOL, "that is no token");
}

static void the_region_comes_from_it_when_nobody_names_one(void **state)
{
    (void)state;
    const struct qe_aws_identity identity = {0};
    struct qe_err err = {0};
    struct qe_aws_endpoint endpoint = {0};
    struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);

    assert_non_null(provider);
    assert_int_equal(
        qe_aws_provider_endpoint(provider, QE_AWS_SQS, s_made.mono_ms + 1000, &endpoint, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_non_null(strstr(err.message, "`region` of the source, AWS_REGION, AWS_DEFAULT_REGION, "
                                        "or region of the profile 'default'; instance metadata: "));
    session(BASE);
    qe_made_world_answer(&s_made, "GET", BASE "/latest/meta-data/placement/region", 200,
                         "ap-south-1\n");
    assert_ok(
        qe_aws_provider_endpoint(provider, QE_AWS_SQS, s_made.mono_ms + 1000, &endpoint, &err),
        err);
    assert_string_equal(endpoint.region, "ap-south-1");
    qe_aws_endpoint_deinit(&endpoint);
    qe_aws_provider_release(provider);
}

static int torture_body(void *context, struct qe_err *err)
{
    struct qe_aws_credentials *found = NULL;

    (void)context;
    s_made.answers_taken = 0;
    const int rc = search(&found, err);

    qe_aws_credentials_release(found);
    return rc;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    session(BASE);
    qe_made_world_answer(&s_made, "GET", ROLES, 200, "a-role");
    qe_made_world_answer(&s_made, "GET", ROLES "a-role", 200, JSON_OF("Success"));
    qe_check_torture(torture_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEARCH_TEST(gives_what_the_role_has),
        SEARCH_TEST(a_session_that_ended_is_begun_anew_once),
        SEARCH_TEST(a_code_that_is_no_success_ends_the_search),
        SEARCH_TEST(each_way_to_be_absent_says_why),
        SEARCH_TEST(silence_is_waited_for_once_unless_asked_otherwise),
        SEARCH_TEST(a_server_error_is_tried_three_times),
        SEARCH_TEST(what_is_no_answer_of_it_is_refused),
        SEARCH_TEST(the_region_comes_from_it_when_nobody_names_one),
        SEARCH_TEST(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
