#include <string.h>

#include "aws/sigv4.h"
#include "support/check.h"
#include "util/mem.h"

#define ACCESS_KEY "AKIDEXAMPLE"
#define SECRET_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" /* of AWS's documentation */
#define TOKEN "TOKEN/+="
#define TIME_UNIX_S INT64_C(1767323045) /* 2026-01-02 03:04:05 UTC */
#define DAY_SECONDS INT64_C(86400)

struct rig {
    struct qe_sigv4 *signer;
    struct qe_aws_credentials credentials;
    struct qe_strbuf authorization;
    struct qe_strbuf canonical;
    struct qe_strbuf to_sign;
};

static void set_secret(struct rig *rig, const char *secret)
{
    struct qe_err err = {0};

    qe_secret_destroy(rig->credentials.secret_access_key);
    rig->credentials.secret_access_key = qe_secret_new(secret, strlen(secret), &err);
    assert_non_null(rig->credentials.secret_access_key);
}

static void rig_init(struct rig *rig)
{
    static char access_key[] = ACCESS_KEY;
    struct qe_err err = {0};

    *rig = (struct rig){.signer = qe_sigv4_new(&err)};
    assert_non_null(rig->signer);
    rig->credentials.access_key_id = access_key;
    set_secret(rig, SECRET_KEY);
}

static void rig_deinit(struct rig *rig)
{
    qe_sigv4_destroy(rig->signer);
    qe_secret_destroy(rig->credentials.secret_access_key);
    qe_strbuf_deinit(&rig->authorization);
    qe_strbuf_deinit(&rig->canonical);
    qe_strbuf_deinit(&rig->to_sign);
}

static int sign(struct rig *rig, const struct qe_sigv4_request *request, struct qe_err *err)
{
    const struct qe_sigv4_steps steps = {.canonical_request = &rig->canonical,
                                         .string_to_sign = &rig->to_sign};

    qe_strbuf_reset(&rig->authorization);
    qe_strbuf_reset(&rig->canonical);
    qe_strbuf_reset(&rig->to_sign);
    return qe_sigv4_sign(rig->signer, &rig->credentials, request, &rig->authorization, &steps, err);
}

static const char *signature_of(struct rig *rig, const struct qe_sigv4_request *request)
{
    struct qe_err err = {0};

    assert_ok(sign(rig, request, &err), err);
    return strstr(qe_strbuf_text(&rig->authorization), "Signature=") + strlen("Signature=");
}

static struct qe_sigv4_request queue_attributes(void)
{
    static const struct qe_http_header headers[] = {
        {"Host", "sqs.us-east-1.amazonaws.com"},
        {"Content-Type", "application/x-amz-json-1.0"},
        {"X-Amz-Date", "20260102T030405Z"},
        {"X-Amz-Security-Token", TOKEN},
        {"X-Amz-Target", "AmazonSQS.GetQueueAttributes"},
    };
    static const char body[] =
        "{\"QueueUrl\":\"https://sqs.us-east-1.amazonaws.com/123456789012/q1\","
        "\"AttributeNames\":[\"All\"]}";

    return (struct qe_sigv4_request){.method = "POST",
                                     .path = "/",
                                     .headers = headers,
                                     .headers_count = sizeof headers / sizeof headers[0],
                                     .body = body,
                                     .body_bytes = sizeof body - 1,
                                     .region = "us-east-1",
                                     .service = "sqs",
                                     .time_unix_s = TIME_UNIX_S,
                                     .normalize_path = true};
}

/* The answer of two other implementations, botocore and @smithy/signature-v4, which agree. */
static void a_call_with_a_session_token_is_signed_as_the_sdks_sign_it(void **state)
{
    (void)state;
    const struct qe_sigv4_request request = queue_attributes();
    struct rig rig;
    struct qe_err err = {0};

    rig_init(&rig);
    assert_ok(sign(&rig, &request, &err), err);
    assert_string_equal(
        qe_strbuf_text(&rig.canonical),
        "POST\n/\n\ncontent-type:application/x-amz-json-1.0\nhost:sqs.us-east-1.amazonaws.com\n"
        "x-amz-date:20260102T030405Z\nx-amz-security-token:" TOKEN "\n"
        "x-amz-target:AmazonSQS.GetQueueAttributes\n\n"
        "content-type;host;x-amz-date;x-amz-security-token;x-amz-target\n"
        "a5b7cb1a5b12ccb057438938b3c8297f73067e6393b0917ee46eb60b288b840c");
    assert_string_equal(qe_strbuf_text(&rig.to_sign),
                        "AWS4-HMAC-SHA256\n20260102T030405Z\n20260102/us-east-1/sqs/aws4_request\n"
                        "b97f769c1ebb5689b5886cddac5e26d60e0d245bd14fb0389faca181f6ee5662");
    assert_string_equal(
        qe_strbuf_text(&rig.authorization),
        "AWS4-HMAC-SHA256 Credential=" ACCESS_KEY "/20260102/us-east-1/sqs/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
        "Signature=4151ca4efba2d5a2be4037130e99535d39c106036ed299283c1b5a76fd6c10a0");
    rig_deinit(&rig);
}

/* AWS, "Signature Version 4 signing process", the IAM ListUsers example. */
static void the_documentation_s_own_example_comes_out(void **state)
{
    (void)state;
    static const struct qe_http_header headers[] = {
        {"content-type", "application/x-www-form-urlencoded; charset=utf-8"},
        {"host", "iam.amazonaws.com"},
        {"x-amz-date", "20150830T123600Z"},
    };
    const struct qe_sigv4_request request = {.method = "GET",
                                             .path = "/",
                                             .query = "Action=ListUsers&Version=2010-05-08",
                                             .headers = headers,
                                             .headers_count = 3,
                                             .region = "us-east-1",
                                             .service = "iam",
                                             .time_unix_s = 1440938160};
    struct rig rig;

    rig_init(&rig);
    assert_string_equal(signature_of(&rig, &request),
                        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    rig_deinit(&rig);
}

/* Whether `expected` is what stands behind the method. */
static bool has_lines(struct rig *rig, const char *path, const char *query, const char *expected)
{
    struct qe_sigv4_request request = queue_attributes();
    struct qe_err err = {0};

    request.path = path;
    request.query = query;
    assert_ok(sign(rig, &request, &err), err);
    const char *text = qe_strbuf_text(&rig->canonical);

    return strncmp(text, "POST\n", 5) == 0 && strncmp(text + 5, expected, strlen(expected)) == 0;
}

static void paths_and_queries_have_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *query;
        const char *expected; /* second and third line */
        const char *why;
    } rows[] = {
        {"", "", "/\n\n", "no path is the root"},
        {"no-slash", "", "/no-slash\n\n", "a path starts with a slash"},
        {"/../..", "", "/\n\n", "nothing is above the root"},
        {"/a/b/../c/./d", "", "/a/c/d\n\n", "dots inside"},
        {"/a/..b/.c", "", "/a/..b/.c\n\n", "names that only begin with dots stay"},
        {"/a/b/..", "", "/a/\n\n", "a path that ends in dots names a folder"},
        {"/a%20b", "", "/a%2520b\n\n", "encoded once more than it is sent"},
        {"/", "b=2&a=1&b=1&a=", "/\na=&a=1&b=1&b=2\n", "by name, then by value"},
        {"/", "&&a&&", "/\na=\n", "no value is an empty one; nothing is no parameter"},
        {"/", "a=b=c", "/\na=b%3Dc\n", "only the first = divides"},
        {"/", "a=%2f%7e%zz%4", "/\na=%2F~%25zz%254\n", "decoded where it is encoded, else itself"},
        {"/", "a=1+1", "/\na=1%2B1\n", "a plus is a plus"},
        {"/", "ab=1&a=2&a-b=3", "/\na=2&a-b=3&ab=1\n", "the name ends before the = is compared"},
        {"/", "=", "/\n=\n", "no name, no value"},
    };
    struct rig rig;

    rig_init(&rig);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!has_lines(&rig, rows[i].path, rows[i].query, rows[i].expected)) {
            fail_msg("%s: %s?%s became\n%s", rows[i].why, rows[i].path, rows[i].query,
                     qe_strbuf_text(&rig.canonical));
        }
    }
    rig_deinit(&rig);
}

/* Computed with Python's hashlib and hmac. */
static void a_long_request_is_hashed_as_a_short_one(void **state)
{
    (void)state;
    struct qe_sigv4_request request = queue_attributes();
    struct qe_http_header headers[5];
    static char value[5000];
    struct rig rig;

    memset(value, 'v', sizeof value - 1);
    memcpy(headers, request.headers, sizeof headers);
    headers[3].value = value;
    request.headers = headers;
    rig_init(&rig);
    assert_string_equal(signature_of(&rig, &request),
                        "c1ce8d1894089f16ec87aa2fa53492066b70ffb4222d872b337ae35d2af57299");
    rig_deinit(&rig);
}

static void too_much_to_sign_is_refused(void **state)
{
    (void)state;
    struct qe_http_header headers[QE_SIGV4_HEADERS_MAX + 1];
    struct qe_sigv4_request request = queue_attributes();
    struct qe_strbuf query = {0};
    char region[QE_SIGV4_SCOPE_MAX_BYTES + 2];
    char good[65];
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig);
    memcpy(good, signature_of(&rig, &request), sizeof good);
    for (size_t i = 0; i < QE_SIGV4_HEADERS_MAX + 1; i++) {
        headers[i] = (struct qe_http_header){"x", "y"};
        assert_int_equal(qe_strbuf_append_text(&query, "a=1&"), 0);
        assert_int_equal(qe_strbuf_append_text(&query, "b=1&"), 0);
    }
    request.headers = headers;
    request.headers_count = QE_SIGV4_HEADERS_MAX + 1;
    assert_int_equal(sign(&rig, &request, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);

    request = queue_attributes();
    request.query = qe_strbuf_text(&query);
    assert_int_equal(sign(&rig, &request, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);

    request = queue_attributes();
    memset(region, 'r', sizeof region - 1);
    region[sizeof region - 1] = '\0';
    request.region = region;
    assert_int_equal(sign(&rig, &request, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);

    request = queue_attributes();
    assert_string_equal(signature_of(&rig, &request), good); /* a refusal leaves nothing behind */
    qe_strbuf_deinit(&query);
    rig_deinit(&rig);
}

/* Key by key in turn, many more than are kept: each must be the right one whenever it comes. */
static void keys_are_never_mixed_up(void **state)
{
    (void)state;
    static const char *const secrets[] = {SECRET_KEY, "another"};
    static const char *const services[] = {"sqs", "monitoring", "sts"};
    static const char *const regions[] = {"us-east-1", "eu-west-1"};
    struct rig rig;

    rig_init(&rig);
    for (size_t i = 0; i < 200; i++) {
        struct qe_sigv4_request request = queue_attributes();
        struct rig fresh;
        char kept[65];

        request.service = services[i % 3];
        request.region = regions[i / 3 % 2];
        request.time_unix_s += (int64_t)(i / 7 % 5) * DAY_SECONDS;
        set_secret(&rig, secrets[i / 2 % 2]);
        memcpy(kept, signature_of(&rig, &request), sizeof kept);
        rig_init(&fresh);
        set_secret(&fresh, secrets[i / 2 % 2]);
        assert_string_equal(signature_of(&fresh, &request), kept);
        rig_deinit(&fresh);
    }
    rig_deinit(&rig);
}

static void times_are_written_in_utc(void **state)
{
    (void)state;
    static const struct {
        int64_t time_unix_s;
        const char *text;
    } rows[] = {
        {0, "19700101T000000Z"},
        {1440938160, "20150830T123600Z"},
        {TIME_UNIX_S, "20260102T030405Z"},
        {1709164800, "20240229T000000Z"}, /* a leap day */
        {INT64_C(253402300799), "99991231T235959Z"},
        {-1, "19700101T000000Z"},
        {INT64_MAX, "99991231T235959Z"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[QE_SIGV4_TIME_BYTES];

        qe_sigv4_time(rows[i].time_unix_s, text);
        assert_string_equal(text, rows[i].text);
    }
}

static int sign_once(void *context, struct qe_err *err)
{
    struct qe_sigv4_request request = queue_attributes();
    struct qe_strbuf authorization = {0};
    struct qe_strbuf canonical = {0};
    const struct qe_sigv4_steps steps = {.canonical_request = &canonical};
    struct qe_sigv4 *signer = qe_sigv4_new(err);
    int rc = signer == NULL ? -1 : 0;

    request.path = "/a/../b c";
    request.query = "b=2&a=1";
    rc = rc == 0 ? qe_sigv4_sign(signer, context, &request, &authorization, &steps, err) : rc;
    qe_sigv4_destroy(signer);
    qe_strbuf_deinit(&authorization);
    qe_strbuf_deinit(&canonical);
    return rc;
}

static void out_of_memory_is_said_so(void **state)
{
    (void)state;
    struct rig rig;

    rig_init(&rig);
    qe_check_torture(sign_once, &rig.credentials);
    rig_deinit(&rig);
    qe_sigv4_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_with_a_session_token_is_signed_as_the_sdks_sign_it),
        cmocka_unit_test(the_documentation_s_own_example_comes_out),
        cmocka_unit_test(paths_and_queries_have_one_form),
        cmocka_unit_test(a_long_request_is_hashed_as_a_short_one),
        cmocka_unit_test(too_much_to_sign_is_refused),
        cmocka_unit_test(keys_are_never_mixed_up),
        cmocka_unit_test(times_are_written_in_utc),
        cmocka_unit_test(out_of_memory_is_said_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
