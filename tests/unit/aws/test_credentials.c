#include "unit/aws/search.h"

static struct qe_secret *secret_of(const char *text)
{
    struct qe_err err = {0};
    struct qe_secret *secret = qe_secret_new(text, strlen(text), &err);

    assert_non_null(secret);
    return secret;
}

static void keys_of_the_configuration_come_first(void **state)
{
    (void)state;
    struct qe_secret *secret = secret_of("configured-secret");
    const struct qe_aws_identity identity = {.access_key_id = "CONFIGURED",
                                             .secret_access_key = secret};

    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "FROMENV");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", "env-secret");
    struct qe_aws_credentials *found = search_finds_as(&identity);

    assert_string_equal(found->access_key_id, "CONFIGURED");
    assert_string_equal(qe_secret_bytes(found->secret_access_key), "configured-secret");
    assert_null(found->session_token);
    assert_string_equal(found->provider, "config");
    assert_int_equal(found->expires_unix_ms, 0);
    qe_aws_credentials_release(found);
    qe_secret_destroy(secret);
}

static void keys_of_the_environment_come_trimmed(void **state)
{
    (void)state;
    const struct qe_aws_identity identity = {0};

    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "FROMENV\n");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", " env-secret\r\n");
    qe_made_world_env(&s_made, "AWS_SESSION_TOKEN", "env-token\n");
    qe_made_world_env(&s_made, "AWS_ACCOUNT_ID", "123456789012");
    qe_made_world_env(&s_made, "AWS_CREDENTIAL_EXPIRATION", "2026-01-01T01:00:00+00:00");
    struct qe_aws_credentials *found = search_finds_as(&identity);

    assert_string_equal(found->access_key_id, "FROMENV");
    assert_string_equal(qe_secret_bytes(found->secret_access_key), "env-secret");
    assert_string_equal(qe_secret_bytes(found->session_token), "env-token");
    assert_string_equal(found->account_id, "123456789012");
    assert_int_equal(found->expires_unix_ms, s_made.unix_ms + 3600000);
    assert_string_equal(found->provider, "environment");
    qe_aws_credentials_release(found);
}

static void half_a_pair_of_keys_is_broken_not_absent(void **state)
{
    (void)state;
    struct qe_err err = {0};
    const struct qe_aws_identity identity = {0};
    struct qe_aws_credentials *found = NULL;

    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "FROMENV");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", "  ");
    assert_int_equal(search_as(&identity, &found, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_non_null(strstr(err.message, "AWS_SECRET_ACCESS_KEY is not set"));
    assert_null(found);
}

static void one_provider_serves_all_of_an_equal_identity(void **state)
{
    (void)state;
    struct qe_err err = {0};
    const struct qe_aws_identity identity = {.region = "eu-west-1"};
    const struct qe_aws_identity other = {.region = "eu-west-2"};
    struct qe_aws_provider *one = qe_aws_provider_acquire(&identity, &s_made.world, &err);
    struct qe_aws_provider *same = qe_aws_provider_acquire(&identity, &s_made.world, &err);
    struct qe_aws_provider *another = qe_aws_provider_acquire(&other, &s_made.world, &err);

    assert_non_null(one);
    assert_ptr_equal(one, same);
    assert_ptr_not_equal(one, another);
    qe_aws_provider_release(same);
    qe_aws_provider_release(another);
    qe_aws_provider_release(one);
    qe_aws_provider_release(NULL);
}

static int torture_body(void *context, struct qe_err *err)
{
    const struct qe_aws_identity identity = {.region = "eu-west-1", .role_arn = NULL};
    struct qe_aws_credentials *found = NULL;
    const int rc = search_as(&identity, &found, err);

    (void)context;
    qe_aws_credentials_release(found);
    return rc;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "FROMENV");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", "env-secret");
    qe_made_world_env(&s_made, "AWS_SESSION_TOKEN", "env-token");
    qe_check_torture(torture_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEARCH_TEST(keys_of_the_configuration_come_first),
        SEARCH_TEST(keys_of_the_environment_come_trimmed),
        SEARCH_TEST(half_a_pair_of_keys_is_broken_not_absent),
        SEARCH_TEST(one_provider_serves_all_of_an_equal_identity),
        SEARCH_TEST(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
