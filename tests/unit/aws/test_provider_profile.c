#include <stdio.h>

#include "unit/aws/search.h"

#define STS "https://sts.eu-west-1.amazonaws.com/"
#define TAKEN(id)                                                                                  \
    "<R><Credentials><AccessKeyId>" id "</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"        \
    "<SessionToken>t</SessionToken><Expiration>2026-01-01T01:00:00Z</Expiration></Credentials></"  \
    "R>"

static void write_config(const char *text)
{
    qe_made_world_env(&s_made, "HOME", "/home");
    qe_made_world_file(&s_made, "/home/.aws/config", text);
}

static void keys_of_the_default_profile_are_found(void **state)
{
    (void)state;
    write_config("[default]\nregion = x\naws_access_key_id = A\naws_secret_access_key = s # c\n"
                 "aws_session_token = t\n");
    assert_search_finds("A", "s", "t", "profile");
}

static void another_profile_is_named_by_environment_or_configuration(void **state)
{
    (void)state;
    const struct qe_aws_identity identity = {.profile = "two"};

    write_config("[default]\naws_access_key_id = D\naws_secret_access_key = s\n"
                 "[profile one]\naws_access_key_id = ONE\naws_secret_access_key = s\n"
                 "[profile two]\naws_access_key_id = TWO\naws_secret_access_key = s\n");
    qe_made_world_env(&s_made, "AWS_DEFAULT_PROFILE", "two");
    assert_search_finds("TWO", "s", "", "profile");
    qe_made_world_env(&s_made, "AWS_PROFILE", "one");
    assert_search_finds("ONE", "s", "", "profile");
    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "E");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", "s");
    assert_search_finds("E", "s", "", "environment");
    struct qe_aws_credentials *found = search_finds_as(&identity); /* the configuration wins */

    assert_string_equal(found->access_key_id, "TWO");
    qe_aws_credentials_release(found);
}

static void a_profile_that_is_not_there_is_an_error_only_when_configured(void **state)
{
    (void)state;
    const struct qe_aws_identity identity = {.profile = "x"};
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    write_config("[default]\n");
    qe_made_world_env(&s_made, "AWS_PROFILE", "x");
    assert_search_fails(QE_ERR_AUTH, "profile: 'x' is in neither of /home/.aws/config and "
                                     "/home/.aws/credentials (missing)");
    assert_int_equal(search_as(&identity, &found, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_non_null(strstr(err.message, "'x', which the configuration names, is in neither"));
}

static void what_is_wrong_with_a_profile_is_named(void **state)
{
    static const struct {
        const char *text;
        enum qe_err_code code;
        const char *words;
    } s_rows[] = {
        {"aws_access_key_id = A", QE_ERR_INVALID, "default: profile missing aws_secret_access_key"},
        {"aws_secret_access_key = s", QE_ERR_INVALID, "profile missing aws_access_key_id"},
        {"aws_access_key_id = A B\naws_secret_access_key = s", QE_ERR_INVALID,
         "the access key id is empty, too long, or holds a blank"},
        {"role_arn = arn:aws:iam::123456789012:role/r", QE_ERR_INVALID, "must contain one of them"},
        {"role_arn = arn:aws:iam::123456789012:role/r\ncredential_source = Elsewhere",
         QE_ERR_INVALID, "credential_source is none of"},
        {"role_arn = arn:aws:iam::123456789012:role/r\ncredential_source = Environment",
         QE_ERR_AUTH, "credential_source = Environment, but environment: AWS_ACCESS_KEY_ID is not"},
        {"role_arn = arn:aws:iam::123456789012:role/r\ncredential_source = EcsContainer",
         QE_ERR_AUTH, "credential_source = EcsContainer, but container: neither"},
        {"role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = default\n"
         "mfa_serial = arn:aws:iam::123456789012:mfa/me",
         QE_ERR_UNSUPPORTED, "mfa_serial asks for a person"},
        {"sso_session = s\nsso_account_id = 1\nsso_role_name = r", QE_ERR_UNSUPPORTED,
         "aws configure export-credentials --profile default --format process"},
        {"login_session = x", QE_ERR_UNSUPPORTED, "export-credentials --profile default"},
        {"web_identity_token_file = /t", QE_ERR_INVALID, "role_arn was missing"},
        {"web_identity_token_file = /t\nrole_arn = arn:aws:iam::123456789012:role/r",
         QE_ERR_NOT_FOUND, "cannot open /t"},
        {"region = only", QE_ERR_AUTH, "profile: 'default' holds no credentials"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        char config[512];

        (void)snprintf(config, sizeof config, "[default]\n%s\n", s_rows[i].text);
        write_config(config);
        assert_search_fails(s_rows[i].code, s_rows[i].words);
    }
}

static void a_file_that_cannot_be_parsed_names_its_line(void **state)
{
    (void)state;
    write_config("[default]\naws_secret_access_key: hunter2\n");
    assert_search_fails(QE_ERR_INVALID,
                        "/home/.aws/config:2: expected an '=' sign defining a property");
}

static void roles_are_taken_one_on_top_of_the_other(void **state)
{
    (void)state;
    write_config("[default]\nrole_arn = arn:aws:iam::123456789012:role/top\nsource_profile = mid\n"
                 "duration_seconds = 900\nexternal_id = a+b c\n"
                 "[profile mid]\nrole_arn = arn:aws:iam::123456789012:role/mid\n"
                 "credential_source = Environment\nrole_session_name = me@here\n");
    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "BASE");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", "s");
    qe_made_world_answer(&s_made, "POST", STS, 200, TAKEN("MID"));
    qe_made_world_answer(&s_made, "POST", STS, 200, TAKEN("TOP"));
    const struct qe_aws_identity identity = {.region = "eu-west-1", .profile = "default"};
    struct qe_aws_credentials *found = search_finds_as(&identity);

    assert_string_equal(found->access_key_id, "TOP");
    assert_string_equal(found->provider, "assumed role");
    assert_string_equal(s_made.requests[0].body,
                        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"
                        "123456789012%3Arole%2Fmid&RoleSessionName=me%40here");
    assert_string_equal(s_made.requests[1].body,
                        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"
                        "123456789012%3Arole%2Ftop&RoleSessionName=queue-exporter&DurationSeconds="
                        "900&ExternalId=a%2Bb%20c");
    assert_non_null(strstr(s_made.requests[0].headers, "Credential=BASE/"));
    assert_non_null(strstr(s_made.requests[1].headers, "Credential=MID/"));
    qe_aws_credentials_release(found);
}

static void a_duration_that_sts_does_not_take_is_refused_first(void **state)
{
    static const char *const s_durations[] = {"899", "43201", "1h", "-1"};

    (void)state;
    for (size_t i = 0; i < sizeof s_durations / sizeof s_durations[0]; i++) {
        char config[512];

        (void)snprintf(config, sizeof config,
                       "[default]\nrole_arn = arn:aws:iam::123456789012:role/top\n"
                       "source_profile = default\naws_access_key_id = A\n"
                       "aws_secret_access_key = s\nduration_seconds = %s\n",
                       s_durations[i]);
        write_config(config);
        assert_search_fails(QE_ERR_INVALID, "duration_seconds is not a number from 900 to 43200");
    }
    assert_int_equal(s_made.requests_count, 0);
}

static void a_web_identity_of_the_environment_reads_its_token_anew(void **state)
{
    (void)state;
    qe_made_world_env(&s_made, "AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
    assert_search_fails(QE_ERR_INVALID, "AWS_ROLE_ARN is not");
    qe_made_world_env(&s_made, "AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod");
    assert_search_fails(QE_ERR_NOT_FOUND, "web identity: cannot open /token");
    for (size_t i = 0; i < 2; i++) {
        qe_made_world_file(&s_made, "/token", i == 0 ? "first+/=\n" : "second");
        qe_made_world_answer(&s_made, "POST", STS, 200, TAKEN("POD"));
        assert_search_finds("POD", "s", "t", "web identity");
        assert_non_null(strstr(s_made.requests[i].body, i == 0 ? "&WebIdentityToken=first%2B%2F%3D"
                                                               : "&WebIdentityToken=second"));
        assert_null(strstr(s_made.requests[i].headers, "Authorization"));
    }
    qe_made_world_file(&s_made, "/token", " \n");
    assert_search_fails(QE_ERR_INVALID, "/token is empty");
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
    write_config("[default]\nrole_arn = arn:aws:iam::123456789012:role/top\nsource_profile = mid\n"
                 "[profile mid]\nrole_arn = arn:aws:iam::123456789012:role/mid\n"
                 "web_identity_token_file = /token\n");
    qe_made_world_file(&s_made, "/token", "first");
    qe_made_world_answer(&s_made, "POST", STS, 200, TAKEN("MID"));
    qe_made_world_answer(&s_made, "POST", STS, 200, TAKEN("TOP"));
    qe_check_torture(torture_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEARCH_TEST(keys_of_the_default_profile_are_found),
        SEARCH_TEST(another_profile_is_named_by_environment_or_configuration),
        SEARCH_TEST(a_profile_that_is_not_there_is_an_error_only_when_configured),
        SEARCH_TEST(what_is_wrong_with_a_profile_is_named),
        SEARCH_TEST(a_file_that_cannot_be_parsed_names_its_line),
        SEARCH_TEST(roles_are_taken_one_on_top_of_the_other),
        SEARCH_TEST(a_duration_that_sts_does_not_take_is_refused_first),
        SEARCH_TEST(a_web_identity_of_the_environment_reads_its_token_anew),
        SEARCH_TEST(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
