/* The SDKs' own cases for endpoints that environment and files name. They speak of S3 and DynamoDB,
 * which are SQS and CloudWatch here. */
#include <stdio.h>
#include <string.h>

#include "aws/endpoint.h"
#include "support/aws_world.h"
#include "support/check.h"
#include "support/shared.h"
#include "util/json.h"

#define CASES "vectors/endpoints/profile-tests.json"
#define CONFIG_PATH "/home/.aws/config"

static struct qe_made_world s_made;

/* Cases that do not apply, and why. */
static const struct {
    const char *name;
    const char *why;
} s_not_ours[] = {
    {"All configured endpoints ignored due to ignore client config parameter.",
     "a source has no option to ignore what is configured outside: its own endpoint wins anyway"},
};

static const char *why_not_ours(const char *name)
{
    for (size_t i = 0; i < sizeof s_not_ours / sizeof s_not_ours[0]; i++) {
        if (strcmp(s_not_ours[i].name, name) == 0) {
            return s_not_ours[i].why;
        }
    }
    return NULL;
}

static const char *our_service(const char *name)
{
    return strcmp(name, "s3") == 0 ? "sqs" : "cloudwatch";
}

/* "[profile x]" and its keys; nested ones below them. */
static void write_sections(struct qe_strbuf *out, const struct qe_json *sections, const char *kind)
{
    for (const struct qe_json *section = qe_json_first(sections); section != NULL;
         section = qe_json_next(section)) {
        (void)qe_strbuf_printf(out, "[%s %s]\n", kind, qe_json_key(section));
        for (const struct qe_json *key = qe_json_first(section); key != NULL;
             key = qe_json_next(key)) {
            if (qe_json_text(key) != NULL) {
                (void)qe_strbuf_printf(out, "%s = %s\n", qe_json_key(key), qe_json_text(key));
                continue;
            }
            (void)qe_strbuf_printf(out, "%s =\n", our_service(qe_json_key(key)));
            for (const struct qe_json *nested = qe_json_first(key); nested != NULL;
                 nested = qe_json_next(nested)) {
                (void)qe_strbuf_printf(out, "  %s = %s\n", qe_json_key(nested),
                                       qe_json_text(nested));
            }
        }
    }
}

static void set_environment(const struct qe_json *environment)
{
    for (const struct qe_json *each = qe_json_first(environment); each != NULL;
         each = qe_json_next(each)) {
        const char *name = qe_json_key(each);

        name = strcmp(name, "AWS_ENDPOINT_URL_S3") == 0         ? "AWS_ENDPOINT_URL_SQS"
               : strcmp(name, "AWS_ENDPOINT_URL_DYNAMODB") == 0 ? "AWS_ENDPOINT_URL_CLOUDWATCH"
                                                                : name;
        qe_made_world_env(&s_made, name, qe_json_text(each));
    }
}

/* The address that is expected, with our service's name where it is AWS's own. */
static void expected_url(const char *given, const char *service, char out[256])
{
    static const char s_default[] = "https://s3.fake-region-10.amazonaws.com";

    (void)snprintf(out, 256, "%s/", given);
    if (strcmp(given, s_default) == 0) {
        (void)snprintf(out, 256, "https://%s.fake-region-10.amazonaws.com/", service);
    }
}

static bool passes(const struct qe_json *suite, const struct qe_json *test)
{
    struct qe_err err = {0};
    const struct qe_json *client = qe_json_get(qe_json_get(suite, "client_configs"),
                                               qe_json_text(qe_json_get(test, "client_config")));
    const char *service = our_service(qe_json_text(qe_json_get(test, "service")));
    const struct qe_aws_identity identity = {
        .profile = qe_json_text(qe_json_get(test, "profile")),
        .endpoint = qe_json_text(qe_json_get(client, "endpoint_url")),
    };
    struct qe_strbuf config = {0};
    struct qe_aws_endpoint made = {0};
    char expected[256];

    qe_made_world_init(&s_made);
    write_sections(&config, qe_json_get(suite, "profiles"), "profile");
    write_sections(&config, qe_json_get(suite, "services"), "services");
    qe_made_world_env(&s_made, "HOME", "/home");
    qe_made_world_file(&s_made, CONFIG_PATH, qe_strbuf_text(&config));
    set_environment(qe_json_get(qe_json_get(suite, "environments"),
                                qe_json_text(qe_json_get(test, "environment"))));
    expected_url(qe_json_text(qe_json_get(qe_json_get(test, "output"), "endpointUrl")), service,
                 expected);

    struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);

    assert_ok(provider == NULL ? -1 : 0, err);
    assert_ok(qe_aws_provider_endpoint(provider,
                                       strcmp(service, "sqs") == 0 ? QE_AWS_SQS : QE_AWS_CLOUDWATCH,
                                       s_made.mono_ms + 1000, &made, &err),
              err);
    const bool passed = strcmp(made.url, expected) == 0;

    if (!passed) {
        print_message("%s: %s instead of %s\n", qe_json_text(qe_json_get(test, "name")), made.url,
                      expected);
    }
    qe_aws_endpoint_deinit(&made);
    qe_aws_provider_release(provider);
    qe_made_world_deinit(&s_made);
    qe_strbuf_deinit(&config);
    return passed;
}

static void every_official_case_finds_its_endpoint(void **state)
{
    char path[QE_SHARED_PATH_BYTES];
    struct qe_err err = {0};
    struct qe_strbuf text = {0};
    size_t count = 0;
    size_t failed = 0;

    (void)state;
    if (!qe_shared_path(CASES, path)) {
        qe_shared_skip(CASES);
    }
    qe_shared_read(path, &text);
    struct qe_json *root = qe_json_parse(qe_strbuf_text(&text), text.length_bytes, &err);
    const struct qe_json *suite = qe_json_first(qe_json_get(root, "testSuites"));

    for (const struct qe_json *test = qe_json_first(qe_json_get(suite, "endpointUrlTests"));
         test != NULL; test = qe_json_next(test)) {
        const char *name = qe_json_text(qe_json_get(test, "name"));
        const char *why = why_not_ours(name);

        count++;
        if (why != NULL) {
            print_message("not ours: %s (%s)\n", name, why);
            continue;
        }
        failed += passes(suite, test) ? 0 : 1;
    }
    print_message("%zu cases, %zu failed\n", count, failed);
    assert_int_equal(failed, 0);
    assert_true(count >= 38);
    qe_json_destroy(root);
    qe_strbuf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_official_case_finds_its_endpoint),
    };

    return qe_shared_result(cmocka_run_group_tests(tests, NULL, NULL));
}
