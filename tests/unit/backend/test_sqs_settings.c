/* The option table of Amazon SQS through the real loader: defaults, and what is refused. */
#include <stdio.h>
#include <string.h>

#include "backend/sqs/sqs.h"
#include "config/config.h"
#include "support/check.h"

static const struct qe_source_type s_type = {.name = "sqs", .section = &qe_sqs_section};

static struct qe_config *load(const char *keys, struct qe_strbuf *errors)
{
    char text[2048];

    (void)snprintf(text, sizeof text, "sources:\n  - name: aws\n    type: sqs\n%s", keys);
    qe_strbuf_init(errors, 0);
    return qe_config_load_text("test.yml", text, strlen(text), &s_type, 1, errors);
}

static void nothing_but_the_type_is_enough(void **state)
{
    struct qe_strbuf errors;
    struct qe_config *config = load("", &errors);

    (void)state;
    assert_non_null(config);
    const struct qe_sqs_settings *sqs = config->sources[0].driver_settings;
    assert_int_equal(sqs->concurrency, 16);
    assert_int_equal(sqs->in_flight_limit, 120000);
    assert_int_equal(sqs->tags_interval_ms, 600000);
    assert_double_equal(sqs->requests_per_second, 0);
    assert_int_equal(sqs->oldest_age.method, QE_SQS_AGE_CLOUDWATCH);
    assert_int_equal(sqs->oldest_age.interval_ms, 300000);
    assert_false(sqs->oldest_age.empty_queues);
    assert_true(sqs->cadence.adaptive);
    assert_int_equal(sqs->cadence.max_interval_ms, 120000);
    assert_double_equal(sqs->cost.monthly_budget_dollars, 0);
    assert_double_equal(sqs->cost.sqs_dollars_per_million, 0.40);
    assert_double_equal(sqs->cost.sqs_fifo_dollars_per_million, 0.50);
    assert_double_equal(sqs->cost.sqs_fair_dollars_per_million, 0.10);
    assert_double_equal(sqs->cost.cloudwatch_dollars_per_thousand, 0.01);
    assert_null(sqs->assume_role.arn);
    assert_null(sqs->queue_name_prefix);
    qe_config_destroy(config);
    qe_strbuf_deinit(&errors);
}

static void everything_can_be_said(void **state)
{
    struct qe_strbuf errors;
    struct qe_config *config = load(
        "    region: eu-west-1\n    endpoint: http://127.0.0.1:5000/\n"
        "    cloudwatch_endpoint: https://[::1]:5000\n    sts_endpoint: https://sts.example\n"
        "    access_key_id: AKID\n    secret_access_key: s3cret\n    session_token: t0ken\n"
        "    assume_role: {arn: \"arn:aws:iam::123456789012:role/monitor\", external_id: abc}\n"
        "    queue_name_prefix: orders-\n    queue_names: [a, b.fifo]\n"
        "    queue_urls: [\"https://sqs.eu-west-1.amazonaws.com/123456789012/orders\"]\n"
        "    tags: [team, \"cost center\"]\n    tags_interval: 1h\n    concurrency: 64\n"
        "    requests_per_second: 12.5\n    in_flight_limit: 20000\n"
        "    oldest_age: {method: none, interval: 1m, empty_queues: true}\n"
        "    cadence: {adaptive: false, max_interval: 10m}\n"
        "    cost: {monthly_budget_dollars: 20, sqs_dollars_per_million: 0.5}\n",
        &errors);

    (void)state;
    assert_string_equal(qe_strbuf_text(&errors), "");
    const struct qe_sqs_settings *sqs = config->sources[0].driver_settings;
    assert_string_equal(sqs->assume_role.session_name, "queue-exporter");
    assert_int_equal(sqs->assume_role.duration_ms, 3600000);
    assert_int_equal(sqs->queue_names.count, 2);
    assert_string_equal(sqs->tags.items[1], "cost center");
    assert_int_equal(sqs->oldest_age.method, QE_SQS_AGE_NONE);
    assert_double_equal(sqs->cost.cloudwatch_dollars_per_thousand, 0.01);
    qe_config_destroy(config);
    qe_strbuf_deinit(&errors);
}

static void what_cannot_be_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *keys;
        const char *message;
    } rows[] = {
        {"    access_key_id: A\n", "access_key_id: needs \"secret_access_key\""},
        {"    secret_access_key: A\n", "secret_access_key: needs \"access_key_id\""},
        {"    session_token: A\n", "session_token: needs \"access_key_id\""},
        {"    access_key_id: A\n    secret_access_key: B\n    profile: p\n",
         "profile: and \"access_key_id\" exclude each other"},
        {"    region: EU\n", "region: must hold lower-case"},
        {"    endpoint: localhost:5000\n", "endpoint: must begin with http"},
        {"    endpoint: \"http:///\"\n", "endpoint: names no host"},
        {"    endpoint: \"http://u:p@h\"\n", "endpoint: must not hold a user"},
        {"    sts_endpoint: \"http://h/?a\"\n", "sts_endpoint: must not hold"},
        {"    cloudwatch_endpoint: ftp://h\n", "cloudwatch_endpoint: must begin"},
        {"    queue_names: [a, b, a]\n", "queue \"a\" appears twice"},
        {"    queue_names: [\"\"]\n", "must have 1 to 80 bytes"},
        {"    queue_names: [a/b]\n", "must hold letters, digits"},
        {"    queue_names: [a.fifo.b]\n", "must hold letters, digits"},
        {"    queue_urls: [orders]\n", "URL \"orders\" must begin with http"},
        {"    queue_urls: [\"https://host\"]\n", "names no queue"},
        {"    queue_urls: [\"https://host/1/\"]\n", "must have 1 to 80 bytes"},
        {"    queue_urls: [\"https://h/1/q\", \"https://h/1/q\"]\n", "appears twice"},
        {"    tags: [a, a]\n", "tag \"a\" appears twice"},
        {"    tags: [\"\"]\n", "cannot be empty"},
        {"    assume_role: {external_id: abc}\n", "missing key \"arn\""},
        {"    assume_role: {arn: \"role/monitor-of-everything\"}\n", "must begin with \"arn:\""},
        {"    assume_role: {arn: \"arn:aws:iam::123456789012:role/m\", session_name: \"a b\"}\n",
         "session_name: must hold letters"},
        {"    assume_role: {arn: \"arn:aws:iam::123456789012:role/m\", duration: 1m}\n",
         "duration"},
        {"    concurrency: 0\n", "concurrency"},
        {"    oldest_age: {method: guess}\n", "method"},
        {"    cost: {monthly_budget_dollars: -1}\n", "monthly_budget_dollars"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_strbuf errors;
        struct qe_config *config = load(rows[i].keys, &errors);

        if (config != NULL || strstr(qe_strbuf_text(&errors), rows[i].message) == NULL) {
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].keys, qe_strbuf_text(&errors),
                     rows[i].message);
        }
        assert_ptr_equal(strstr(qe_strbuf_text(&errors), "test.yml:"), qe_strbuf_text(&errors));
        qe_strbuf_deinit(&errors);
    }
}

static void a_refused_address_is_shown_without_its_password(void **state)
{
    static const char *const rows[] = {
        "    endpoint: \"http://u:s3cret@host\"\n",
        "    endpoint: \"http://host/?token=s3cret\"\n",
        "    sts_endpoint: \"u:s3cret@host\"\n",
        "    cloudwatch_endpoint: \"https://u:s3cret@host\"\n",
        "    queue_urls: [\"https://u:s3cret@host/1/q\"]\n",
        "    queue_urls: [\"https://host/1/q?token=s3cret\"]\n",
        "    queue_urls: [\"u:s3cret@host/1/q\"]\n",
        "    queue_urls: [\"https://u:s3cret@host/1/q\", \"https://u:s3cret@host/1/q\"]\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_strbuf errors;
        struct qe_config *config = load(rows[i], &errors);

        if (config != NULL || strstr(qe_strbuf_text(&errors), "test.yml:4:") == NULL ||
            strstr(qe_strbuf_text(&errors), "s3cret") != NULL) {
            fail_msg("row %zu: %s", i, qe_strbuf_text(&errors));
        }
        qe_strbuf_deinit(&errors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_but_the_type_is_enough),
        cmocka_unit_test(everything_can_be_said),
        cmocka_unit_test(what_cannot_be_is_refused_with_its_place),
        cmocka_unit_test(a_refused_address_is_shown_without_its_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
