/* The scenarios that the Rust SDK's authors wrote for the search for credentials, replayed: its
 * environment, files and HTTP traffic are the made world's. */
#include <stdio.h>
#include <string.h>

#include "aws/credentials.h"
#include "support/aws_world.h"
#include "support/check.h"
#include "support/shared.h"
#include "util/json.h"

#define FOLDER "vectors/credentials/aws/rust-runtime/aws-config/test-data"
#define CHAIN "default-credential-provider-chain"
#define PROFILES "profile-provider"

#define NO_SSO                                                                                     \
    "signing in through a browser is not supported: the scenario's success is our refusal, which " \
    "says what to do instead"
#define SSO_WORDS "use credential_process = aws configure export-credentials"
#define OUR_WORDS "an error there and here, in our words"

static struct qe_made_world s_made;

/* Scenarios that end with an error, here at least: what ours says, and why it is not the
 * scenario's word for word. */
static const struct {
    const char *name;
    const char *words;
    const char *why;
} s_errors[] = {
    {CHAIN "/eks_pod_identity_no_token_file", "No such file or directory", OUR_WORDS},
    {CHAIN "/imds_default_chain_error", "no IAM role attached to this instance", OUR_WORDS},
    {CHAIN "/imds_disabled", "switched off by AWS_EC2_METADATA_DISABLED", OUR_WORDS},
    {CHAIN "/imds_no_iam_role", "no IAM role attached to this instance", OUR_WORDS},
    {CHAIN "/imds_token_fail", "request forbidden: IMDS is disabled", OUR_WORDS},
    {CHAIN "/profile_overrides_web_identity",
     "web identity: role arn:aws:iam::123456789:role/RoleB",
     "our order has the environment's web identity before the profile, as the SDKs for Go and Java "
     "have it: a call of STS is tried"},
    {CHAIN "/sso_no_token_file", SSO_WORDS, NO_SSO},
    {CHAIN "/sso_assume_role", SSO_WORDS, NO_SSO},
    {CHAIN "/sso_server_error", SSO_WORDS, NO_SSO},
    {CHAIN "/e2e_fips_and_dual_stack_sso", SSO_WORDS, NO_SSO},
    {CHAIN "/web_identity_source_profile_no_env", "role_arn was missing", OUR_WORDS},
    {CHAIN "/web_identity_token_invalid_jwt", "No OpenIDConnect provider found in your account",
     OUR_WORDS},
    {PROFILES "/credential_process_failure", "the program ended with code 1", OUR_WORDS},
    {PROFILES "/credential_process_invalid", "what it printed is not what is expected", OUR_WORDS},
    {PROFILES "/empty_config", "which the configuration names, is in neither", OUR_WORDS},
    {PROFILES "/invalid_config", "/home/.aws/config:2: the property did not have a name",
     OUR_WORDS},
    {PROFILES "/invalid_sso_credentials_config", SSO_WORDS, NO_SSO},
    {PROFILES "/sso_credentials", SSO_WORDS, NO_SSO},
    {PROFILES "/sso_override_global_env_url", SSO_WORDS, NO_SSO},
    {PROFILES "/sso_token", SSO_WORDS, NO_SSO},
};

/* What the program of a scenario prints. The scenarios' are pipes of a shell, which is not used
 * here: the words they are split into are run, and the made world prints what the pipe would. */
static const struct {
    const char *name;
    const char *argv; /* how the command line must have been split */
    const char *output;
    enum qe_err_code code;
} s_programs[] = {
    {PROFILES "/credential_process", "[|][base64][--decode]",
     "{ \"Version\": 1, \"AccessKeyId\": \"ASIARTESTID\", \"SecretAccessKey\": \"TESTSECRETKEY\", "
     "\"SessionToken\": \"TESTSESSIONTOKEN\", \"AccountId\": \"123456789002\", "
     "\"Expiration\": \"2022-05-02T18:36:00+00:00\" }\n",
     QE_OK},
    {PROFILES "/credential_process_account_id_fallback", "[|][base64][--decode]",
     "{ \"Version\": 1, \"AccessKeyId\": \"ASIARTESTID\", \"SecretAccessKey\": \"TESTSECRETKEY\", "
     "\"SessionToken\": \"TESTSESSIONTOKEN\", \"Expiration\": \"2022-05-02T18:36:00+00:00\" }\n",
     QE_OK},
    {PROFILES "/credential_process_failure", "[exit][1]",
     "the program ended with code 1: ", QE_ERR_AUTH},
    {PROFILES "/credential_process_invalid", "[echo][invalid json]", "invalid json\n", QE_OK},
};

static struct qe_json *read_json(const char *folder, const char *name)
{
    char path[QE_SHARED_PATH_BYTES + 64];
    struct qe_err err = {0};
    struct qe_strbuf text = {0};

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    qe_shared_read(path, &text);
    struct qe_json *root = qe_json_parse(qe_strbuf_text(&text), text.length_bytes, &err);

    assert_ok(root == NULL ? -1 : 0, err);
    qe_strbuf_deinit(&text);
    return root;
}

static void set_environment(const char *folder)
{
    struct qe_json *root = read_json(folder, "env.json");

    for (const struct qe_json *each = qe_json_first(root); each != NULL;
         each = qe_json_next(each)) {
        qe_made_world_env(&s_made, qe_json_key(each), qe_json_text(each));
    }
    qe_json_destroy(root);
}

static void set_files(const char *name)
{
    static const char *const s_paths[] = {"/home/.aws/config", "/home/.aws/credentials",
                                          "/token.jwt"};

    for (size_t i = 0; i < sizeof s_paths / sizeof s_paths[0]; i++) {
        char relative[2 * QE_SHARED_PATH_BYTES];
        char path[QE_SHARED_PATH_BYTES];
        struct qe_strbuf text = {0};

        (void)snprintf(relative, sizeof relative, FOLDER "/%s/fs%s", name, s_paths[i]);
        if (qe_shared_path(relative, path)) {
            qe_shared_read(path, &text);
            qe_made_world_file(&s_made, s_paths[i], qe_strbuf_text(&text));
            qe_strbuf_deinit(&text);
        }
    }
}

/* Requests and answers follow each other in the recording. */
static void set_traffic(const char *folder)
{
    struct qe_json *root = read_json(folder, "http-traffic.json");
    char url[512] = "";
    const char *method = "";

    for (const struct qe_json *event = qe_json_first(qe_json_get(root, "events")); event != NULL;
         event = qe_json_next(event)) {
        const struct qe_json *action = qe_json_get(event, "action");
        const struct qe_json *request = qe_json_get(qe_json_get(action, "Request"), "request");
        const struct qe_json *answer =
            qe_json_get(qe_json_get(qe_json_get(action, "Response"), "response"), "Ok");
        const struct qe_json *data = qe_json_get(action, "Data");
        const char *direction = qe_json_text(qe_json_get(data, "direction"));
        double status = 0;

        if (request != NULL) {
            const char *uri = qe_json_text(qe_json_get(request, "uri"));

            method = qe_json_text(qe_json_get(request, "method"));
            /* "http://host" is sent as "http://host/". */
            (void)snprintf(url, sizeof url, "%s%s", uri,
                           strchr(strstr(uri, "://") + 3, '/') == NULL ? "/" : "");
        } else if (qe_json_number(qe_json_get(answer, "status"), &status)) {
            qe_made_world_answer(&s_made, method, url, (unsigned)status, "");
        } else if (direction != NULL && strcmp(direction, "Response") == 0) {
            qe_made_world_body(&s_made,
                               qe_json_text(qe_json_get(qe_json_get(data, "data"), "Utf8")));
        }
    }
    qe_json_destroy(root);
}

static size_t set_program(const char *name)
{
    for (size_t i = 0; i < sizeof s_programs / sizeof s_programs[0]; i++) {
        if (strcmp(s_programs[i].name, name) == 0) {
            s_made.run_code = s_programs[i].code;
            (void)snprintf(s_made.run_output, sizeof s_made.run_output, "%s", s_programs[i].output);
            (void)snprintf(s_made.run_words, sizeof s_made.run_words, "%s", s_programs[i].output);
            return i;
        }
    }
    return SIZE_MAX;
}

static bool is_text(const char *name, const struct qe_json *expected, const char *key,
                    const char *found)
{
    const char *wanted = qe_json_text(qe_json_get(expected, key));

    if (wanted == NULL || strcmp(wanted, found) == 0) {
        return true;
    }
    print_message("%s: %s is \"%s\" instead of \"%s\"\n", name, key, found, wanted);
    return false;
}

static bool are_expected(const char *name, const struct qe_json *expected,
                         const struct qe_aws_credentials *found)
{
    double expiry = 0;
    const bool expires = qe_json_number(qe_json_get(expected, "expiry"), &expiry);

    if (found->expires_unix_ms != (expires ? (int64_t)expiry * 1000 : 0)) {
        print_message("%s: another expiry\n", name);
        return false;
    }
    if (s_made.answers_taken != s_made.answers_count ||
        s_made.requests_count != s_made.answers_count) {
        print_message("%s: %zu requests, %zu of %zu answers taken\n", name, s_made.requests_count,
                      s_made.answers_taken, s_made.answers_count);
        return false;
    }
    return is_text(name, expected, "access_key_id", found->access_key_id) &&
           is_text(name, expected, "secret_access_key",
                   qe_secret_bytes(found->secret_access_key)) &&
           is_text(name, expected, "session_token", qe_secret_bytes(found->session_token)) &&
           is_text(name, expected, "account_id", found->account_id);
}

/* Our words of a scenario that ends with an error; NULL: it is to succeed. */
static const char *words_of(const char *name)
{
    for (size_t i = 0; i < sizeof s_errors / sizeof s_errors[0]; i++) {
        if (strcmp(s_errors[i].name, name) == 0) {
            print_message("%s: %s\n", name, s_errors[i].why);
            return s_errors[i].words;
        }
    }
    return NULL;
}

static bool judge(const char *name, int rc, const struct qe_aws_credentials *found,
                  const struct qe_json *expected, const struct qe_err *err)
{
    const char *words = words_of(name);

    if (words != NULL) {
        if (rc == -1 && strstr(err->message, words) != NULL) {
            return true;
        }
        print_message("%s: \"%s\" is not in \"%s\"\n", name, words, rc == 0 ? "" : err->message);
        return false;
    }
    if (expected == NULL) {
        print_message("%s: an error that no line of the table speaks of: %s\n", name, err->message);
        return false;
    }
    if (rc != 0) {
        print_message("%s: %s\n", name, err->message);
        return false;
    }
    return are_expected(name, expected, found);
}

static bool replay(const char *name, const struct qe_aws_identity *identity)
{
    char relative[2 * QE_SHARED_PATH_BYTES];
    char folder[QE_SHARED_PATH_BYTES];
    struct qe_err err = {0};
    struct qe_aws_credentials *found = NULL;
    int rc = -1;

    (void)snprintf(relative, sizeof relative, FOLDER "/%s", name);
    assert_true(qe_shared_path(relative, folder));
    qe_made_world_init(&s_made);
    set_environment(folder);
    set_files(name);
    set_traffic(folder);
    const size_t program = set_program(name);
    struct qe_json *test = read_json(folder, "test-case.json");
    const struct qe_json *expected = qe_json_get(qe_json_get(test, "result"), "Ok");
    double expiry = 0;

    if (qe_json_number(qe_json_get(expected, "expiry"), &expiry)) {
        s_made.unix_ms = (int64_t)expiry * 1000 - 3600000; /* when it was recorded, or so */
    }
    struct qe_aws_provider *provider = qe_aws_provider_acquire(identity, &s_made.world, &err);

    if (provider != NULL) {
        rc = qe_aws_provider_get(provider, s_made.mono_ms + 60000, &found, &err);
    }
    bool passed = judge(name, rc, found, expected, &err);

    if (program != SIZE_MAX && strstr(s_made.run_argv, s_programs[program].argv) == NULL) {
        print_message("%s: ran %s\n", name, s_made.run_argv);
        passed = false;
    }
    qe_aws_credentials_release(found);
    qe_aws_provider_release(provider);
    qe_json_destroy(test);
    qe_made_world_deinit(&s_made);
    return passed;
}

static void replay_all(const char *suite, const struct qe_aws_identity *identity, size_t least)
{
    char relative[2 * QE_SHARED_PATH_BYTES];
    char folder[QE_SHARED_PATH_BYTES];
    size_t count = 0;
    size_t failed = 0;

    (void)snprintf(relative, sizeof relative, FOLDER "/%s", suite);
    if (!qe_shared_path(relative, folder)) {
        qe_shared_skip(relative);
    }
    char **names = qe_shared_names(folder);

    for (; names[count] != NULL; count++) {
        char name[QE_SHARED_PATH_BYTES];

        (void)snprintf(name, sizeof name, "%s/%s", suite, names[count]);
        failed += replay(name, identity) ? 0 : 1;
    }
    qe_shared_free_names(names);
    print_message("%zu scenarios, %zu failed\n", count, failed);
    assert_int_equal(failed, 0);
    assert_true(count >= least);
}

static void the_search_ends_as_in_every_recorded_scenario(void **state)
{
    const struct qe_aws_identity identity = {0};

    (void)state;
    replay_all(CHAIN, &identity, 29);
}

static void profiles_end_as_in_every_recorded_scenario(void **state)
{
    /* These scenarios are about profiles alone, whatever else the environment holds. */
    const struct qe_aws_identity identity = {.profile = "default"};

    (void)state;
    replay_all(PROFILES, &identity, 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_search_ends_as_in_every_recorded_scenario),
        cmocka_unit_test(profiles_end_as_in_every_recorded_scenario),
    };

    return qe_shared_result(cmocka_run_group_tests(tests, NULL, NULL));
}
