/* The Rust SDK's tables for single providers: chains of profiles, container URLs, addresses of
 * instance metadata, places of the settings files. */
#include <stdio.h>
#include <string.h>

#include "aws/credentials.h"
#include "aws/endpoint.h"
#include "support/aws_world.h"
#include "support/check.h"
#include "support/shared.h"
#include "util/json.h"

#define FOLDER "vectors/credentials/aws/rust-runtime/aws-config/test-data"
#define LOCATIONS                                                                                  \
    "vectors/credentials/aws/rust-runtime/aws-runtime/test-data/file-location-tests.json"
#define EXPIRES "2026-01-01T01:00:00Z"

static const char s_sts_answer[] =
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIATAKEN</AccessKeyId>"
    "<SecretAccessKey>taken-secret</SecretAccessKey><SessionToken>taken-token</SessionToken>"
    "<Expiration>" EXPIRES "</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
static const char s_json_answer[] =
    "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIABASE\",\"SecretAccessKey\":\"base-secret\","
    "\"Token\":\"base-token\",\"Expiration\":\"" EXPIRES "\"}";

static struct qe_made_world s_made;

static struct qe_json *read_json(const char *relative)
{
    char path[QE_SHARED_PATH_BYTES];
    struct qe_err err = {0};
    struct qe_strbuf text = {0};

    if (!qe_shared_path(relative, path)) {
        qe_shared_skip(relative);
    }
    qe_shared_read(path, &text);
    struct qe_json *root = qe_json_parse(qe_strbuf_text(&text), text.length_bytes, &err);

    assert_ok(root == NULL ? -1 : 0, err);
    qe_strbuf_deinit(&text);
    return root;
}

static const char *text_of(const struct qe_json *object, const char *key)
{
    return qe_json_text(qe_json_get(object, key));
}

static int get_once(const struct qe_aws_identity *identity, struct qe_aws_credentials **out,
                    struct qe_err *err)
{
    struct qe_aws_provider *provider = qe_aws_provider_acquire(identity, &s_made.world, err);
    const int rc =
        provider == NULL ? -1 : qe_aws_provider_get(provider, s_made.mono_ms + 60000, out, err);

    qe_aws_provider_release(provider);
    return rc;
}

static void set_environment(const struct qe_json *environment)
{
    for (const struct qe_json *each = qe_json_first(environment); each != NULL;
         each = qe_json_next(each)) {
        qe_made_world_env(&s_made, qe_json_key(each), qe_json_text(each));
    }
}

/* The words of ours for an error of theirs; the others are the same. */
static const struct {
    const char *theirs;
    const char *ours;
} s_words[] = {
    {"profile must contain `source_profile`", "the profile must contain one of them"},
    {"profile contained both source_profile and credential_source", "the profile contained both"},
    {"profile `A` did not contain credential information", "'A' holds no credentials"},
    {"No profiles were defined", "which the configuration names, is in neither of"},
    {"profile formed an infinite loop", "the profiles form an infinite loop"},
    {"`role_arn` was missing", "role_arn was missing"},
    /* Signing in through a browser is not supported, complete or not. */
    {"if `sso_role_name` is set, then `sso_account_id` must also be set", "export-credentials"},
    {"if `sso_account_id` is set, then `sso_role_name` must also be set", "export-credentials"},
    {"`sso_region` can only be specified in the [sso-session] config when a session name is given",
     "export-credentials"},
    {"sso-session named `oops` (referenced by profile `A`) was not found", "export-credentials"},
    {"No environment variables were set to configure ECS provider",
     "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is "
     "set"},
    {"URI did not specify a host", "AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL"},
    {"invalid uri character", "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL: it holds a blank"},
    {"`error` is not a valid endpoint mode", "\"error\" is not a valid endpoint mode"},
    {"`IPv7` is not a valid endpoint mode", "\"IPv7\" is not a valid endpoint mode"},
};

static bool is_error(const char *docs, const char *theirs, int rc, const struct qe_err *err)
{
    const char *ours = theirs;

    for (size_t i = 0; i < sizeof s_words / sizeof s_words[0]; i++) {
        ours = strcmp(s_words[i].theirs, theirs) == 0 ? s_words[i].ours : ours;
    }
    if (rc == -1 && strstr(err->message, ours) != NULL) {
        return true;
    }
    print_message("%s: \"%s\" is not in \"%s\"\n", docs, ours, rc == 0 ? "" : err->message);
    return false;
}

/* --- chains of profiles --- */

static void write_sections(struct qe_strbuf *out, const struct qe_json *sections, const char *kind)
{
    for (const struct qe_json *section = qe_json_first(sections); section != NULL;
         section = qe_json_next(section)) {
        (void)qe_strbuf_printf(out, "[%s %s]\n", kind, qe_json_key(section));
        for (const struct qe_json *key = qe_json_first(section); key != NULL;
             key = qe_json_next(key)) {
            (void)qe_strbuf_printf(out, "%s = %s\n", qe_json_key(key), qe_json_text(key));
        }
    }
}

/* Whether a form has "&name=value", the value percent-encoded. */
static bool has_field(const char *form, const char *name, const char *value)
{
    char field[512];
    size_t length = (size_t)snprintf(field, sizeof field, "&%s=", name);

    if (value == NULL) {
        return strstr(form, field) == NULL || strcmp(name, "RoleSessionName") == 0;
    }
    for (const char *c = value; *c != '\0'; c++) {
        const char *part = *c == ':' ? "%3A" : *c == '/' ? "%2F" : NULL;

        length += part == NULL
                      ? (size_t)snprintf(field + length, sizeof field - length, "%c", *c)
                      : (size_t)snprintf(field + length, sizeof field - length, "%s", part);
    }
    const char *found = strstr(form, field);

    return found != NULL && (found[length] == '&' || found[length] == '\0');
}

/* One link of the expected chain; *next is the next request to look at. */
static bool is_link(const struct qe_json *link, size_t *next)
{
    const struct qe_json *keys = qe_json_get(link, "AccessKey");
    const char *named = text_of(link, "NamedSource");
    const struct qe_json *role = qe_json_get(link, "AssumeRole");
    const struct qe_json *web = qe_json_get(link, "WebIdentityToken");
    const char *form = s_made.requests[*next].body;

    if (keys != NULL) {
        char credential[256];

        (void)snprintf(credential, sizeof credential, "Credential=%s/",
                       text_of(keys, "access_key_id"));
        return strstr(s_made.requests[*next].headers, credential) != NULL;
    }
    if (named != NULL) {
        *next += 3; /* token, role, credentials */
        return strcmp(named, "Ec2InstanceMetadata") == 0 &&
               strstr(s_made.requests[0].url, "/latest/api/token") != NULL;
    }
    (*next)++;
    if (web != NULL) {
        return strstr(form, "Action=AssumeRoleWithWebIdentity&") == form &&
               has_field(form, "RoleArn", text_of(web, "role_arn")) &&
               has_field(form, "RoleSessionName", text_of(web, "role_session_name")) &&
               has_field(form, "WebIdentityToken", "the-token");
    }
    return strstr(form, "Action=AssumeRole&") == form &&
           has_field(form, "RoleArn", text_of(role, "role_arn")) &&
           has_field(form, "RoleSessionName", text_of(role, "role_session_name")) &&
           has_field(form, "ExternalId", text_of(role, "external_id"));
}

static bool is_chain(const char *docs, const struct qe_json *chain, int rc,
                     const struct qe_err *err)
{
    size_t next = 0;

    if (qe_json_get(qe_json_first(chain), "Sso") != NULL) {
        print_message("%s: refused, since nobody is there to sign in through a browser\n", docs);
        return is_error(docs, "export-credentials", rc, err);
    }
    if (rc != 0) {
        print_message("%s: %s\n", docs, err->message);
        return false;
    }
    for (const struct qe_json *link = qe_json_first(chain); link != NULL;
         link = qe_json_next(link)) {
        if (!is_link(link, &next)) {
            print_message("%s: request %zu is not as expected: %s %s\n", docs, next,
                          s_made.requests[0].url, s_made.requests[0].body);
            return false;
        }
    }
    return next == s_made.requests_count;
}

static bool resolves(const struct qe_json *test)
{
    const struct qe_json *input = qe_json_get(test, "input");
    const struct qe_json *output = qe_json_get(test, "output");
    const char *theirs = text_of(output, "Error");
    const struct qe_json *chain = qe_json_get(output, "ProfileChain");
    const struct qe_json *first = qe_json_first(chain);
    const struct qe_aws_identity identity = {.region = "us-east-1",
                                             .profile = text_of(input, "selected_profile")};
    struct qe_strbuf config = {0};
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    qe_made_world_init(&s_made);
    write_sections(&config, qe_json_get(input, "profiles"), "profile");
    write_sections(&config, qe_json_get(input, "sso_sessions"), "sso-session");
    qe_made_world_env(&s_made, "HOME", "/home");
    qe_made_world_file(&s_made, "/home/.aws/config", qe_strbuf_text(&config));
    qe_made_world_file(&s_made, "/var/token.jwt", "the-token\n");
    if (qe_json_get(first, "NamedSource") != NULL) {
        qe_made_world_answer(&s_made, "PUT", NULL, 200, "session");
        qe_made_world_answer(&s_made, "GET", NULL, 200, "a-role");
        qe_made_world_answer(&s_made, "GET", NULL, 200, s_json_answer);
    }
    qe_made_world_answer(&s_made, "POST", "https://sts.us-east-1.amazonaws.com/", 200,
                         s_sts_answer);
    s_made.repeat_last = true;
    const int rc = get_once(&identity, &found, &err);
    const bool passed = theirs != NULL ? is_error(text_of(test, "docs"), theirs, rc, &err)
                                       : is_chain(text_of(test, "docs"), chain, rc, &err);

    qe_aws_credentials_release(found);
    qe_made_world_deinit(&s_made);
    qe_strbuf_deinit(&config);
    return passed;
}

static void every_chain_of_profiles_resolves_as_it_says(void **state)
{
    struct qe_json *root = read_json(FOLDER "/assume-role-tests.json");
    size_t failed = 0;

    (void)state;
    for (const struct qe_json *test = qe_json_first(root); test != NULL;
         test = qe_json_next(test)) {
        failed += resolves(test) ? 0 : 1;
    }
    assert_true(qe_json_count(root) >= 28);
    assert_int_equal(failed, 0);
    qe_json_destroy(root);
}

/* --- addresses --- */

/* The first address that is asked, or our error. */
static bool asks(const struct qe_json *test, const char *expected, const char *theirs)
{
    const struct qe_aws_identity identity = {.region = "us-east-1"};
    const char *docs = text_of(test, "docs");
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    set_environment(qe_json_get(test, "env"));
    qe_made_world_answer(&s_made, NULL, NULL, 200, s_json_answer);
    const int rc = get_once(&identity, &found, &err);
    bool passed = false;

    qe_aws_credentials_release(found);
    if (theirs != NULL) {
        passed = is_error(docs, theirs, rc, &err);
    } else {
        passed = s_made.requests_count > 0 && strcmp(s_made.requests[0].url, expected) == 0;
        if (!passed) {
            print_message("%s: asked %s (%s)\n", docs, s_made.requests[0].url, err.message);
        }
    }
    return passed;
}

static void every_container_url_is_the_one_it_says(void **state)
{
    struct qe_json *root = read_json(FOLDER "/ecs-tests.json");
    const struct qe_json *tests = qe_json_get(root, "tests");
    size_t failed = 0;

    (void)state;
    for (const struct qe_json *test = qe_json_first(tests); test != NULL;
         test = qe_json_next(test)) {
        const struct qe_json *result = qe_json_get(test, "result");

        qe_made_world_init(&s_made);
        failed += asks(test, text_of(result, "Ok"), text_of(result, "ErrorContains")) ? 0 : 1;
        qe_made_world_deinit(&s_made);
    }
    assert_true(qe_json_count(tests) >= 11);
    assert_int_equal(failed, 0);
    qe_json_destroy(root);
}

static void every_metadata_address_is_the_one_it_says(void **state)
{
    struct qe_json *root = read_json(FOLDER "/imds-config/imds-endpoint-tests.json");
    const struct qe_json *tests = qe_json_get(root, "tests");
    size_t failed = 0;

    (void)state;
    for (const struct qe_json *test = qe_json_first(tests); test != NULL;
         test = qe_json_next(test)) {
        const struct qe_json *result = qe_json_get(test, "result");
        const char *config = text_of(qe_json_get(test, "fs"), "config");
        const char *docs = text_of(test, "docs");

        if (strcmp(docs, "explicit endpoint override") == 0 ||
            strcmp(docs, "explicit mode override") == 0) {
            print_message("not ours: %s (nothing but environment and profile names it)\n", docs);
            continue;
        }
        qe_made_world_init(&s_made);
        if (config != NULL) {
            qe_made_world_file(&s_made, "config", config);
        }
        failed += asks(test, text_of(result, "Ok"), text_of(result, "Err")) ? 0 : 1;
        qe_made_world_deinit(&s_made);
    }
    assert_true(qe_json_count(tests) >= 12);
    assert_int_equal(failed, 0);
    qe_json_destroy(root);
}

static bool finds_files(const struct qe_json *test)
{
    const struct qe_aws_identity identity = {0};
    const char *profile = text_of(test, "profile");
    struct qe_aws_credentials *found = NULL;
    struct qe_aws_endpoint endpoint = {0};
    struct qe_err err = {0};
    char config[128];
    char credentials[128];

    profile = profile == NULL ? "default" : profile;
    (void)snprintf(config, sizeof config, "[profile %s]\nregion = from-config-1\n", profile);
    (void)snprintf(credentials, sizeof credentials,
                   "[%s]\naws_access_key_id = FROMFILE\naws_secret_access_key = x\n", profile);
    qe_made_world_init(&s_made);
    set_environment(qe_json_get(test, "environment"));
    qe_made_world_file(&s_made, text_of(test, "configLocation"), config);
    qe_made_world_file(&s_made, text_of(test, "credentialsLocation"), credentials);
    struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);
    const int64_t deadline = s_made.mono_ms + 1000;
    const bool passed =
        provider != NULL && qe_aws_provider_get(provider, deadline, &found, &err) == 0 &&
        strcmp(found->access_key_id, "FROMFILE") == 0 &&
        qe_aws_provider_endpoint(provider, QE_AWS_SQS, deadline, &endpoint, &err) == 0 &&
        strcmp(endpoint.region, "from-config-1") == 0;

    if (!passed) {
        print_message("%s: %s\n", text_of(test, "name"), err.message);
    }
    qe_aws_endpoint_deinit(&endpoint);
    qe_aws_credentials_release(found);
    qe_aws_provider_release(provider);
    qe_made_world_deinit(&s_made);
    return passed;
}

static void the_files_are_where_it_says(void **state)
{
    struct qe_json *root = read_json(LOCATIONS);
    size_t count = 0;
    size_t failed = 0;

    (void)state;
    for (const struct qe_json *test = qe_json_first(qe_json_get(root, "tests")); test != NULL;
         test = qe_json_next(test)) {
        if (strcmp(text_of(test, "platform"), "linux") != 0) {
            print_message("not ours: %s (another platform)\n", text_of(test, "name"));
            continue;
        }
        count++;
        failed += finds_files(test) ? 0 : 1;
    }
    assert_true(count >= 4);
    assert_int_equal(failed, 0);
    qe_json_destroy(root);
}

/* Whatever is beside them is replayed somewhere, or listed with its reason. */
static void nothing_of_the_folder_is_left_out(void **state)
{
    static const struct {
        const char *name;
        const char *where;
    } s_known[] = {
        {"assume-role-tests.json", "here"},
        {"ecs-tests.json", "here"},
        {"imds-config", "here"},
        {"default-credential-provider-chain", "unit_aws_credentials_vectors"},
        {"profile-provider", "unit_aws_credentials_vectors"},
        {"default-token-provider-chain",
         "not ours: bearer tokens, which neither SQS, CloudWatch nor STS takes"},
        {"login-provider-test-cases.json",
         "not ours: login_session signs in through a browser; it is refused with what to do "
         "instead"},
    };
    char path[QE_SHARED_PATH_BYTES];

    (void)state;
    if (!qe_shared_path(FOLDER, path)) {
        qe_shared_skip(FOLDER);
    }
    char **names = qe_shared_names(path);

    for (size_t i = 0; names[i] != NULL; i++) {
        const char *where = NULL;

        for (size_t k = 0; k < sizeof s_known / sizeof s_known[0]; k++) {
            where = strcmp(s_known[k].name, names[i]) == 0 ? s_known[k].where : where;
        }
        print_message("%s: %s\n", names[i], where == NULL ? "nobody replays it" : where);
        assert_non_null(where);
    }
    qe_shared_free_names(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chain_of_profiles_resolves_as_it_says),
        cmocka_unit_test(every_container_url_is_the_one_it_says),
        cmocka_unit_test(every_metadata_address_is_the_one_it_says),
        cmocka_unit_test(the_files_are_where_it_says),
        cmocka_unit_test(nothing_of_the_folder_is_left_out),
    };

    return qe_shared_result(cmocka_run_group_tests(tests, NULL, NULL));
}
