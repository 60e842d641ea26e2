/* No secret in any message and in no line of the log, whatever goes wrong. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "aws/endpoint.h"
#include "unit/aws/search.h"

/* Long and mixed as real ones are. A word of each is looked for. */
#define SECRET "wJalrXUtnFEMI7MARKED7SECRETbPxRfiCYEXAMPLE"
#define TOKEN "IQoJb3JpZ2luX2VjMARKEDtokenBmV4YW1wbGUxMjM0NTY3ODkw"
#define JWT "eyJhbGciOiJSUzI1NiJ9.eyJNQVJLRUQiOiJNQVJLRUQifQ.MARKED-signature_x"
#define ROLE "arn:aws:iam::123456789012:role/monitor"
#define IMDS_ROLES "http://169.254.169.254/latest/meta-data/iam/security-credentials/"

static char s_log_path[] = "/tmp/qe-secrets-XXXXXX";
static int s_stderr = -1;

static void assert_no_secret(const char *where, const char *text)
{
    static const char *const s_words[] = {"MARKED",       "wJalrXUtn", "EXAMPLE",
                                          "IQoJb3JpZ2lu", "eyJhbGci",  "eyJNQVJLRUQi"};

    for (size_t i = 0; i < sizeof s_words / sizeof s_words[0]; i++) {
        if (strstr(text, s_words[i]) != NULL) {
            print_message("%s: \"%s\" in: %s\n", where, s_words[i], text); /* stderr is caught */
            fail();
        }
    }
}

/* --- what can go wrong: each sets the world up so that the search fails --- */

static void profile(const char *text)
{
    qe_made_world_env(&s_made, "HOME", "/home");
    qe_made_world_file(&s_made, "/home/.aws/credentials", text);
}

static void base_keys(void)
{
    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "AKIABASE");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", SECRET);
    qe_made_world_env(&s_made, "AWS_SESSION_TOKEN", TOKEN);
}

static void role_profile(void)
{
    profile("[default]\nrole_arn = " ROLE "\nsource_profile = default\n"
            "aws_access_key_id = AKIABASE\naws_secret_access_key = " SECRET "\n"
            "aws_session_token = " TOKEN "\n");
}

static void environment_key_with_a_blank(void)
{
    base_keys();
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", SECRET " " SECRET);
}

static void environment_token_with_a_line_end(void)
{
    base_keys();
    qe_made_world_env(&s_made, "AWS_SESSION_TOKEN", TOKEN "\n" TOKEN);
}

static void environment_without_id(void)
{
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", SECRET);
}

static void environment_with_a_bad_time(void)
{
    base_keys();
    qe_made_world_env(&s_made, "AWS_CREDENTIAL_EXPIRATION", SECRET);
}

static void profile_with_a_bad_line(void)
{
    profile("[default]\naws_secret_access_key: " SECRET "\n");
}

static void profile_with_half_a_pair(void)
{
    profile("[default]\naws_secret_access_key = " SECRET "\n");
}

static void profile_with_a_blank_in_its_key(void)
{
    profile("[default]\naws_access_key_id = A\naws_secret_access_key = a " SECRET "\n");
}

static void profile_with_a_key_in_the_wrong_place(void)
{
    profile("[default]\nrole_arn = " ROLE "\ncredential_source = Environment\n"
            "aws_secret_access_key = " SECRET "\n");
}

static void process_with_a_password(void)
{
    profile("[default]\ncredential_process = helper --password " SECRET "\n");
    s_made.run_code = QE_ERR_TIMEOUT;
    (void)snprintf(s_made.run_words, sizeof s_made.run_words, "the program did not end in time");
}

static void process_that_prints_other_than_json(void)
{
    profile("[default]\ncredential_process = helper\n");
    (void)snprintf(s_made.run_output, sizeof s_made.run_output, "key: " SECRET);
}

static void process_that_prints_another_version(void)
{
    profile("[default]\ncredential_process = helper\n");
    (void)snprintf(s_made.run_output, sizeof s_made.run_output,
                   "{\"Version\":2,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"" SECRET "\"}");
}

static void process_that_complains_with_its_key(void)
{
    profile("[default]\ncredential_process = helper\n");
    s_made.run_code = QE_ERR_AUTH;
    (void)snprintf(s_made.run_words, sizeof s_made.run_words,
                   "the program ended with code 1: refused '" SECRET "' and " JWT);
}

static void container(unsigned status, const char *body)
{
    qe_made_world_env(&s_made, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x");
    qe_made_world_env(&s_made, "AWS_CONTAINER_AUTHORIZATION_TOKEN", JWT);
    qe_made_world_answer(&s_made, NULL, NULL, status, body);
}

static void container_that_refuses_with_the_token(void)
{
    container(403, "{\"code\":\"Bad " JWT "\",\"message\":\"token " JWT " and " SECRET "\"}");
}

static void container_that_is_silent(void)
{
    container(500, SECRET);
}

static void container_that_gives_half(void)
{
    container(200, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"" SECRET "\",\"Token\":7}");
}

static void container_that_gives_no_json(void)
{
    container(200, "{\"SecretAccessKey\":\"" SECRET "\" \"" SECRET);
}

static void container_whose_token_has_a_line_end(void)
{
    container(200, "");
    qe_made_world_env(&s_made, "AWS_CONTAINER_AUTHORIZATION_TOKEN", JWT "\r\n" JWT);
}

static void container_with_a_password_in_its_url(void)
{
    qe_made_world_env(&s_made, "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                      "http://me:" SECRET "@127.0.0.1/x");
}

static void imds(const char *body)
{
    qe_made_world_answer(&s_made, "PUT", NULL, 200, JWT);
    qe_made_world_answer(&s_made, "GET", IMDS_ROLES, 200, "role");
    qe_made_world_answer(&s_made, "GET", IMDS_ROLES "role", 200, body);
}

static void imds_that_refuses_with_the_key(void)
{
    imds("{\"Code\":\"Failed " SECRET "\",\"Message\":\"for " SECRET "\"}");
}

static void imds_that_gives_half(void)
{
    imds("{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"" SECRET "\"}");
}

static void imds_whose_role_is_a_key(void)
{
    qe_made_world_answer(&s_made, "PUT", NULL, 200, JWT);
    qe_made_world_answer(&s_made, "GET", IMDS_ROLES, 200, SECRET " " SECRET);
}

static void imds_that_fails_after_its_token(void)
{
    qe_made_world_answer(&s_made, "PUT", NULL, 200, JWT);
}

static void sts_that_repeats_the_request(void)
{
    role_profile();
    qe_made_world_answer(
        &s_made, "POST", NULL, 403,
        "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we "
        "calculated does not match the signature you provided.\n\nThe Canonical String for this "
        "request should have been\n'POST\n/\n\nhost:x\nx-amz-security-token:" TOKEN
        "\n\nhost'</Message></Error></ErrorResponse>");
}

static void sts_that_refuses_with_the_token(void)
{
    role_profile();
    qe_made_world_answer(&s_made, "POST", NULL, 403,
                         "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>The "
                         "token " TOKEN " is bad</Message></Error></ErrorResponse>");
}

static void sts_that_answers_with_a_page(void)
{
    role_profile();
    qe_made_world_answer(&s_made, "POST", NULL, 502, "<html>" SECRET " " JWT "</html>");
}

static void sts_that_gives_half(void)
{
    role_profile();
    qe_made_world_answer(&s_made, "POST", NULL, 200,
                         "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>" SECRET
                         "</SecretAccessKey><SessionToken>" TOKEN "</SessionToken></Credentials>");
}

static void sts_that_gives_a_key_that_is_none(void)
{
    role_profile();
    qe_made_world_answer(&s_made, "POST", NULL, 200,
                         "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey> " SECRET
                         " </SecretAccessKey><SessionToken>" TOKEN
                         "</SessionToken><Expiration>" TOKEN "</Expiration></Credentials>");
}

static void web_identity_that_is_refused(void)
{
    qe_made_world_env(&s_made, "AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
    qe_made_world_env(&s_made, "AWS_ROLE_ARN", ROLE);
    qe_made_world_file(&s_made, "/token", JWT "\n");
    qe_made_world_answer(&s_made, "POST", NULL, 400,
                         "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>Couldn't "
                         "read " JWT "</Message></Error></ErrorResponse>");
}

static void web_identity_that_nobody_answers(void)
{
    web_identity_that_is_refused();
    s_made.answers_taken = s_made.answers_count;
}

static void endpoint_with_a_password(void)
{
    role_profile();
    qe_made_world_env(&s_made, "AWS_ENDPOINT_URL", "https://me:" SECRET "@sts.example.com");
}

static const struct {
    const char *name;
    void (*set_up)(void);
} s_ways[] = {
#define WAY(name)                                                                                  \
    {                                                                                              \
#name, name                                                                                \
    }
    WAY(environment_key_with_a_blank),
    WAY(environment_token_with_a_line_end),
    WAY(environment_without_id),
    WAY(environment_with_a_bad_time),
    WAY(profile_with_a_bad_line),
    WAY(profile_with_half_a_pair),
    WAY(profile_with_a_blank_in_its_key),
    WAY(profile_with_a_key_in_the_wrong_place),
    WAY(process_with_a_password),
    WAY(process_that_prints_other_than_json),
    WAY(process_that_prints_another_version),
    WAY(process_that_complains_with_its_key),
    WAY(container_that_refuses_with_the_token),
    WAY(container_that_is_silent),
    WAY(container_that_gives_half),
    WAY(container_that_gives_no_json),
    WAY(container_whose_token_has_a_line_end),
    WAY(container_with_a_password_in_its_url),
    WAY(imds_that_refuses_with_the_key),
    WAY(imds_that_gives_half),
    WAY(imds_whose_role_is_a_key),
    WAY(imds_that_fails_after_its_token),
    WAY(sts_that_repeats_the_request),
    WAY(sts_that_refuses_with_the_token),
    WAY(sts_that_answers_with_a_page),
    WAY(sts_that_gives_half),
    WAY(sts_that_gives_a_key_that_is_none),
    WAY(web_identity_that_is_refused),
    WAY(web_identity_that_nobody_answers),
    WAY(endpoint_with_a_password),
#undef WAY
};

/* The log goes into a file while `body` runs; then it is looked through. */
static void with_log_checked(const char *name, void (*body)(void))
{
    static char text[65536];

    assert_int_equal(ftruncate(STDERR_FILENO, 0), 0);
    body();
    const ssize_t got = pread(STDERR_FILENO, text, sizeof text - 1, 0);

    assert_true(got >= 0);
    text[got] = '\0';
    assert_no_secret(name, text);
}

static void fail_once(void)
{
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    assert_int_equal(search(&found, &err), -1);
    assert_null(found);
    assert_true(err.message[0] != '\0');
    assert_no_secret("message", err.message);
}

static void no_way_to_fail_shows_a_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_ways / sizeof s_ways[0]; i++) {
        qe_made_world_init(&s_made);
        s_ways[i].set_up();
        with_log_checked(s_ways[i].name, fail_once);
        qe_made_world_deinit(&s_made);
    }
}

/* A renewal that fails while the old ones hold is logged, and nowhere else seen. */
static void fail_to_renew(void)
{
    const struct qe_aws_identity identity = {.region = "eu-west-1"};
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};
    char log[4096];
    struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);

    assert_non_null(provider);
    assert_ok(qe_aws_provider_get(provider, s_made.mono_ms + 60000, &found, &err), err);
    qe_aws_credentials_release(found);
    qe_made_world_pass(&s_made, 3300000);
    assert_ok(qe_aws_provider_get(provider, s_made.mono_ms + 60000, &found, &err), err);
    qe_aws_credentials_release(found);
    assert_int_equal(qe_aws_provider_refresh_failures(provider), 1);
    qe_aws_provider_release(provider);
    const ssize_t got = pread(STDERR_FILENO, log, sizeof log - 1, 0);

    assert_true(got > 0);
    log[got] = '\0';
    assert_non_null(strstr(log, "AWS credentials could not be renewed"));
}

static void a_renewal_that_fails_is_logged_without_a_secret(void **state)
{
    (void)state;
    qe_made_world_init(&s_made);
    container(200, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"" SECRET "\",\"Token\":\"" TOKEN
                   "\",\"Expiration\":\"2026-01-01T01:00:00Z\"}");
    qe_made_world_answer(&s_made, NULL, NULL, 400, "{\"message\":\"" SECRET " " JWT "\"}");
    with_log_checked("renewal", fail_to_renew);
    qe_made_world_deinit(&s_made);
}

static int catch_log(void **state)
{
    (void)state;
    const int fd = mkstemp(s_log_path);

    s_stderr = dup(STDERR_FILENO);
    if (fd < 0 || s_stderr < 0 || fcntl(fd, F_SETFL, O_APPEND) != 0 ||
        dup2(fd, STDERR_FILENO) < 0) {
        return -1;
    }
    return close(fd);
}

static int release_log(void **state)
{
    (void)state;
    if (dup2(s_stderr, STDERR_FILENO) < 0) {
        return -1;
    }
    (void)close(s_stderr);
    return unlink(s_log_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_way_to_fail_shows_a_secret),
        cmocka_unit_test(a_renewal_that_fails_is_logged_without_a_secret),
    };

    return cmocka_run_group_tests(tests, catch_log, release_log);
}
