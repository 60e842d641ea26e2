#include <stdio.h>
#include <string.h>

#include "aws/endpoint.h"
#include "aws/url.h"
#include "support/aws_world.h"
#include "support/check.h"
#include "util/log.h"

static void every_partition_has_its_names(void **state)
{
    static const struct {
        enum qe_aws_service service;
        const char *region;
        struct qe_aws_endpoint_flags flags;
        const char *url;
    } s_rows[] = {
        {QE_AWS_SQS, "eu-west-1", {0}, "https://sqs.eu-west-1.amazonaws.com/"},
        {QE_AWS_CLOUDWATCH, "us-east-1", {0}, "https://monitoring.us-east-1.amazonaws.com/"},
        {QE_AWS_STS, "ap-south-1", {0}, "https://sts.ap-south-1.amazonaws.com/"},
        {QE_AWS_SQS, "us-east-1", {.fips = true}, "https://sqs-fips.us-east-1.amazonaws.com/"},
        {QE_AWS_SQS, "us-east-1", {.dual_stack = true}, "https://sqs.us-east-1.api.aws/"},
        {QE_AWS_STS, "us-east-1", {true, true}, "https://sts-fips.us-east-1.api.aws/"},
        {QE_AWS_SQS, "cn-north-1", {0}, "https://sqs.cn-north-1.amazonaws.com.cn/"},
        {QE_AWS_SQS,
         "cn-north-1",
         {.dual_stack = true},
         "https://sqs.cn-north-1.api.amazonwebservices.com.cn/"},
        {QE_AWS_SQS, "us-gov-west-1", {0}, "https://sqs.us-gov-west-1.amazonaws.com/"},
        {QE_AWS_SQS, "us-gov-west-1", {.fips = true}, "https://sqs.us-gov-west-1.amazonaws.com/"},
        {QE_AWS_SQS, "us-gov-west-1", {true, true}, "https://sqs-fips.us-gov-west-1.api.aws/"},
        {QE_AWS_CLOUDWATCH,
         "us-gov-west-1",
         {true, true},
         "https://monitoring.us-gov-west-1.api.aws/"},
        {QE_AWS_SQS, "eusc-de-east-1", {0}, "https://sqs.eusc-de-east-1.amazonaws.eu/"},
        {QE_AWS_SQS, "us-iso-east-1", {0}, "https://sqs.us-iso-east-1.c2s.ic.gov/"},
        {QE_AWS_SQS, "us-isob-east-1", {0}, "https://sqs.us-isob-east-1.sc2s.sgov.gov/"},
        {QE_AWS_SQS, "eu-isoe-west-1", {0}, "https://sqs.eu-isoe-west-1.cloud.adc-e.uk/"},
        {QE_AWS_SQS, "us-isof-south-1", {0}, "https://sqs.us-isof-south-1.csp.hci.ic.gov/"},
        {QE_AWS_SQS, "xx-new-9", {0}, "https://sqs.xx-new-9.amazonaws.com/"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_err err = {0};
        struct qe_aws_endpoint made = {0};
        char url[256];

        assert_ok(qe_aws_endpoint_default(s_rows[i].service, s_rows[i].region, s_rows[i].flags,
                                          &made, &err),
                  err);
        assert_string_equal(made.url, s_rows[i].url);
        assert_string_equal(made.region, s_rows[i].region);
        assert_string_equal(made.path, "/");
        assert_false(made.is_overridden);
        (void)snprintf(url, sizeof url, "https://%s/", made.host);
        assert_string_equal(url, made.url);
        qe_aws_endpoint_deinit(&made);
        qe_aws_endpoint_deinit(&made);
    }
}

static void what_is_no_region_is_refused(void **state)
{
    static const char *const s_bad[] = {"",           "eu west",    "EU-WEST-1", "eu-west-1.evil",
                                        "a/b",        "-eu",        "eu-",       "eu-west-1\n",
                                        "us-east-1?", "evil.com/#", "@evil"};

    (void)state;
    for (size_t i = 0; i < sizeof s_bad / sizeof s_bad[0]; i++) {
        struct qe_err err = {0};
        struct qe_aws_endpoint made = {0};
        const struct qe_aws_endpoint_flags none = {0};

        assert_int_equal(qe_aws_endpoint_default(QE_AWS_SQS, s_bad[i], none, &made, &err), -1);
        assert_int_equal(err.code, QE_ERR_INVALID);
        assert_null(made.url);
    }
}

static void a_url_is_taken_apart_as_it_is_signed(void **state)
{
    static const struct {
        const char *url;
        const char *host; /* NULL: refused */
        const char *path;
        const char *made_url;
    } s_rows[] = {
        {"http://127.0.0.1:5000", "127.0.0.1:5000", "/", "http://127.0.0.1:5000/"},
        {"http://127.0.0.1:5000/", "127.0.0.1:5000", "/", "http://127.0.0.1:5000/"},
        {"https://VPCE-1.sqs.Example.com:443/x", "vpce-1.sqs.example.com", "/x",
         "https://vpce-1.sqs.example.com/x"},
        {"http://host:80", "host", "/", "http://host/"},
        {"https://host:80", "host:80", "/", "https://host:80/"},
        {"http://[::1]:4566/a/b", "[::1]:4566", "/a/b", "http://[::1]:4566/a/b"},
        {"http://[fd00:ec2::23]", "[fd00:ec2::23]", "/", "http://[fd00:ec2::23]/"},
        {"ftp://host", NULL, NULL, NULL},
        {"host:5000", NULL, NULL, NULL},
        {"http://", NULL, NULL, NULL},
        {"http:///x", NULL, NULL, NULL},
        {"http://user:hunter2@host/", NULL, NULL, NULL},
        {"http://host:0/", NULL, NULL, NULL},
        {"http://host:65536/", NULL, NULL, NULL},
        {"http://host:port/", NULL, NULL, NULL},
        {"http://host:/", NULL, NULL, NULL},
        {"http://host/?q", NULL, NULL, NULL},
        {"http://host/#f", NULL, NULL, NULL},
        {"http://host?q", NULL, NULL, NULL},
        {"http://ho st/", NULL, NULL, NULL},
        {"http://host/\r\nX: y", NULL, NULL, NULL},
        {"http://[::1", NULL, NULL, NULL},
        {"http://[::1]x/", NULL, NULL, NULL},
        {"http://[]/", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_err err = {0};
        struct qe_aws_endpoint made = {0};
        const int rc =
            qe_aws_endpoint_from_url(QE_AWS_SQS, s_rows[i].url, "eu-west-1", &made, &err);

        if (s_rows[i].host == NULL) {
            assert_int_equal(rc, -1);
            assert_int_equal(err.code, QE_ERR_INVALID);
            assert_null(made.url);
            assert_null(strstr(err.message, "hunter2"));
            continue;
        }
        assert_ok(rc, err);
        assert_string_equal(made.host, s_rows[i].host);
        assert_string_equal(made.path, s_rows[i].path);
        assert_string_equal(made.url, s_rows[i].made_url);
        assert_true(made.is_overridden);
        qe_aws_endpoint_deinit(&made);
    }
}

static void this_machine_is_known_from_others(void **state)
{
    static const struct {
        const char *url;
        bool is_loopback;
    } s_rows[] = {
        {"http://127.0.0.1:5000/", true},   {"http://127.9.9.9/", true},
        {"http://localhost", true},         {"http://[::1]:1/", true},
        {"http://128.0.0.1/", false},       {"http://[::2]/", false},
        {"http://localhost.com/", false},   {"http://127.0.0.1.example.com/", false},
        {"http://sqs.example.com/", false}, {"http://127.1/", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_aws_url url = {0};

        assert_null(qe_aws_url_split(s_rows[i].url, false, &url));
        assert_int_equal(qe_aws_url_is_loopback(&url), s_rows[i].is_loopback);
    }
}

/* How many warnings one more look for the endpoint brings. */
static uint64_t warnings_of(struct qe_aws_provider *provider, const struct qe_made_world *made)
{
    const uint64_t before = qe_log_count(QE_LOG_WARN);
    struct qe_aws_endpoint endpoint = {0};
    struct qe_err err = {0};

    assert_ok(qe_aws_provider_endpoint(provider, QE_AWS_SQS, made->mono_ms + 1000, &endpoint, &err),
              err);
    qe_aws_endpoint_deinit(&endpoint);
    return qe_log_count(QE_LOG_WARN) - before;
}

static void http_to_another_machine_is_warned_of_once(void **state)
{
    static struct qe_made_world s_made;
    static const struct {
        const char *endpoint;
        uint64_t warnings;
    } s_rows[] = {{"http://127.0.0.1:5000", 0},
                  {"https://sqs.example.com", 0},
                  {"http://sqs.example.com", 1}};

    (void)state;
    qe_made_world_init(&s_made);
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        const struct qe_aws_identity identity = {.region = "eu-west-1",
                                                 .endpoint = s_rows[i].endpoint};
        struct qe_err err = {0};
        struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);

        assert_non_null(provider);
        assert_int_equal(warnings_of(provider, &s_made), s_rows[i].warnings);
        assert_int_equal(warnings_of(provider, &s_made), 0);
        qe_aws_provider_release(provider);
    }
    qe_made_world_deinit(&s_made);
}

static void fips_and_an_address_of_somebody_exclude_each_other(void **state)
{
    static struct qe_made_world s_made;
    const struct qe_aws_identity identity = {.region = "eu-west-1"};
    struct qe_aws_endpoint endpoint = {0};
    struct qe_err err = {0};

    (void)state;
    qe_made_world_init(&s_made);
    qe_made_world_env(&s_made, "AWS_USE_FIPS_ENDPOINT", "true");
    struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);
    const int64_t deadline = s_made.mono_ms + 1000;

    assert_non_null(provider);
    assert_ok(qe_aws_provider_endpoint(provider, QE_AWS_SQS, deadline, &endpoint, &err), err);
    assert_string_equal(endpoint.url, "https://sqs-fips.eu-west-1.amazonaws.com/");
    qe_aws_endpoint_deinit(&endpoint);
    qe_made_world_env(&s_made, "AWS_ENDPOINT_URL", "https://sqs.example.com");
    assert_int_equal(qe_aws_provider_endpoint(provider, QE_AWS_SQS, deadline, &endpoint, &err), -1);
    assert_string_equal(err.message,
                        "AWS_ENDPOINT_URL and use_fips_endpoint do not go together: keep one");
    qe_made_world_env(&s_made, "AWS_USE_FIPS_ENDPOINT", "yes");
    assert_int_equal(qe_aws_provider_endpoint(provider, QE_AWS_SQS, deadline, &endpoint, &err), -1);
    assert_string_equal(err.message, "AWS_USE_FIPS_ENDPOINT is neither true nor false: \"yes\"");
    qe_aws_provider_release(provider);
    qe_made_world_deinit(&s_made);
}

static void services_that_are_not_there_are_an_error(void **state)
{
    static struct qe_made_world s_made;
    const struct qe_aws_identity identity = {.region = "eu-west-1"};
    struct qe_aws_endpoint endpoint = {0};
    struct qe_err err = {0};

    (void)state;
    qe_made_world_init(&s_made);
    qe_made_world_env(&s_made, "HOME", "/home");
    qe_made_world_file(&s_made, "/home/.aws/config", "[default]\nservices = gone\n");
    struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);

    assert_non_null(provider);
    assert_int_equal(
        qe_aws_provider_endpoint(provider, QE_AWS_SQS, s_made.mono_ms + 1000, &endpoint, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_non_null(strstr(err.message, "/home/.aws/config has no section [services gone]"));
    qe_aws_provider_release(provider);
    qe_made_world_deinit(&s_made);
}

static int torture_body(void *context, struct qe_err *err)
{
    struct qe_aws_endpoint made = {0};
    const int rc = qe_aws_endpoint_from_url(QE_AWS_STS, "http://host:1/x", "eu-west-1", &made, err);

    (void)context;
    qe_aws_endpoint_deinit(&made);
    return rc;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    qe_check_torture(torture_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_partition_has_its_names),
        cmocka_unit_test(what_is_no_region_is_refused),
        cmocka_unit_test(a_url_is_taken_apart_as_it_is_signed),
        cmocka_unit_test(this_machine_is_known_from_others),
        cmocka_unit_test(http_to_another_machine_is_warned_of_once),
        cmocka_unit_test(fips_and_an_address_of_somebody_exclude_each_other),
        cmocka_unit_test(services_that_are_not_there_are_an_error),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
