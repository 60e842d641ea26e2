/* Refused for who asked or when: the second chance, against a scripted server. */
#include "unit/aws/call_rig.h"

#define EXPIRED                                                                                    \
    {                                                                                              \
        .status = 403, .headers = RIG_JSON "x-amzn-query-error: ExpiredToken;Sender\r\n",          \
        .body = "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\","                  \
                "\"message\":\"The security token included in the request is expired\"}"           \
    }
#define MISMATCH(seconds)                                                                          \
    {                                                                                              \
        .status = 403, .headers = RIG_JSON, .has_date = true, .date_offset_s = (seconds),          \
        .body = "{\"__type\":\"com.amazon.coral.service#InvalidSignatureException\","              \
                "\"message\":\"Signature expired: T1 is now earlier than T2\"}"                    \
    }
#define OK_AT(seconds)                                                                             \
    {                                                                                              \
        .status = 200, .body = "{}", .has_date = true, .date_offset_s = (seconds)                  \
    }
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* The hour and minute of X-Amz-Date, in minutes. */
static int signed_minute(struct rig *rig, size_t n)
{
    char text[64];

    (void)script_header(script_server_request(rig->server, n), "X-Amz-Date", text, sizeof text);
    assert_int_equal(strlen(text), 16);
    return ((text[9] - '0') * 10 + text[10] - '0') * 60 + (text[11] - '0') * 10 + text[12] - '0';
}

static bool is_signed_by(struct rig *rig, size_t n, const char *access_key)
{
    char text[512];

    return strstr(script_header(script_server_request(rig->server, n), "Authorization", text,
                                sizeof text),
                  access_key) != NULL;
}

/* --- credentials --- */

static void refused_credentials_are_renewed_once(void **state)
{
    (void)state;
    static const struct script_step steps[] = {EXPIRED, RIG_OK};

    for (int no_retry = 0; no_retry < 2; no_retry++) { /* nothing has happened: it may go again */
        struct qe_aws_call call = rig_call("{}");
        struct qe_err err = {0};
        struct rig rig;

        rig_init(&rig, steps, 2);
        call.no_retry = no_retry != 0;
        assert_ok(qe_aws_start(rig.client, &call, &err), err);
        qe_made_world_env(rig.made, "AWS_ACCESS_KEY_ID", "AKIDSECOND");
        qe_made_world_env(rig.made, "AWS_SESSION_TOKEN", "renewed");
        rig_wait(&rig, &call);
        assert_ok(call.err.code == QE_OK ? 0 : -1, call.err);
        assert_int_equal(call.attempts, 2);
        assert_true(is_signed_by(&rig, 0, "AKIDFIRST/"));
        assert_true(is_signed_by(&rig, 1, "AKIDSECOND/"));
        assert_int_equal(rig.seen.attempts[QE_ERR_AUTH], 1);
        assert_int_equal(rig.seen.retried, 1);
        assert_int_equal(rig.client->quota.tokens, QE_AWS_QUOTA_TOKENS);
        qe_aws_call_deinit(&call);
        rig_deinit(&rig);
    }
}

static void the_same_credentials_are_not_tried_again(void **state)
{
    (void)state;
    static const struct script_step steps[] = {EXPIRED};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
    assert_int_equal(err.code, QE_ERR_AUTH);
    assert_int_equal(call.attempts, 1);
    assert_string_equal(call.code, "ExpiredTokenException");
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void a_second_refusal_is_final(void **state)
{
    (void)state;
    static const struct script_step steps[] = {EXPIRED};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    assert_ok(qe_aws_start(rig.client, &call, &err), err);
    qe_made_world_env(rig.made, "AWS_ACCESS_KEY_ID", "AKIDSECOND");
    rig_wait(&rig, &call);
    assert_int_equal(call.err.code, QE_ERR_AUTH);
    assert_int_equal(call.attempts, 2);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void what_cannot_be_renewed_is_used_on_and_refused_again(void **state)
{
    (void)state;
    static const struct script_step steps[] = {EXPIRED};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    assert_ok(qe_aws_start(rig.client, &call, &err), err);
    qe_made_world_env(rig.made, "AWS_SECRET_ACCESS_KEY", NULL);
    rig_wait(&rig, &call);
    assert_int_equal(call.err.code, QE_ERR_AUTH);
    assert_int_equal(call.attempts, 1);
    assert_non_null(strstr(call.err.message, "ExpiredTokenException (HTTP 403)"));
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void a_failed_renewal_is_told_with_the_refusal(void **state)
{
    (void)state;
    static const struct script_step steps[] = {EXPIRED};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init_with(&rig, steps, 1, s_rig_expiring);
    assert_ok(qe_aws_start(rig.client, &call, &err), err);
    rig_expire(&rig);
    rig_wait(&rig, &call);
    assert_int_equal(call.err.code, QE_ERR_AUTH);
    assert_int_equal(call.attempts, 1);
    assert_non_null(strstr(call.err.message, "ExpiredTokenException (HTTP 403)"));
    assert_non_null(strstr(call.err.message, "could not be renewed: "));
    assert_non_null(strstr(call.err.message, "AWS_SECRET_ACCESS_KEY"));
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

/* --- the clock --- */

static void a_wrong_clock_is_corrected_and_the_call_sent_again(void **state)
{
    (void)state;
    static const int64_t offsets[] = {600, -600, 86400};

    for (size_t i = 0; i < LENGTH(offsets); i++) {
        const struct script_step steps[] = {MISMATCH(offsets[i]), OK_AT(offsets[i])};
        struct qe_aws_call call = rig_call("{}");
        struct qe_err err = {0};
        struct rig rig;

        rig_init(&rig, steps, 2);
        call.no_retry = i == 1;
        assert_ok(qe_aws_do(rig.client, &call, &err), err);
        assert_int_equal(call.attempts, 2);
        assert_ok(qe_aws_do(rig.client, &call, &err), err); /* known by now */
        assert_int_equal(call.attempts, 1);
        const int moved = (signed_minute(&rig, 1) - signed_minute(&rig, 0) + 2880) % 1440;
        const int wanted = (int)((offsets[i] / 60 + 2880) % 1440);
        assert_in_range((uint64_t)((moved - wanted + 1441) % 1440), 0, 2); /* a minute may pass */
        assert_int_equal(rig.seen.skews, 3);
        assert_in_range((uint64_t)(rig.seen.skew_seconds - (double)offsets[i] + 10), 8, 12);
        qe_aws_call_deinit(&call);
        rig_deinit(&rig);
    }
}

static void a_refusal_that_the_clock_does_not_explain_stands(void **state)
{
    (void)state;
    static const char *const disabled[] = {"AWS_DISABLE_CLOCK_SKEW_CORRECTION", "true", NULL};
    static const struct {
        struct script_step step;
        const char *const *environment;
        unsigned skews;
        const char *why;
    } rows[] = {
        {MISMATCH(0), NULL, 1, "the clocks agree: the key is wrong"},
        {MISMATCH(200), NULL, 1, "not far enough off"},
        {MISMATCH(600), disabled, 1, "not wanted"},
        {{.status = 403,
          .headers = "Age: 5\r\n",
          .has_date = true,
          .date_offset_s = 600,
          .body = "{\"__type\":\"SignatureDoesNotMatch\"}"},
         NULL,
         0,
         "a cache's time"},
    };

    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct qe_aws_call call = rig_call("{}");
        struct qe_err err = {0};
        struct rig rig;

        rig_init_with(&rig, &rows[i].step, 1, rows[i].environment);
        assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
        assert_int_equal(err.code, QE_ERR_AUTH);
        if (call.attempts != 1 || rig.seen.skews != rows[i].skews) {
            fail_msg("%s: %u attempts, told %u times", rows[i].why, call.attempts, rig.seen.skews);
        }
        qe_aws_call_deinit(&call);
        rig_deinit(&rig);
    }
}

static void a_clock_that_stays_wrong_is_corrected_once(void **state)
{
    (void)state;
    static const struct script_step steps[] = {MISMATCH(600), MISMATCH(1200), MISMATCH(1800)};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 3);
    assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
    assert_int_equal(call.attempts, 2);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_credentials_are_renewed_once),
        cmocka_unit_test(the_same_credentials_are_not_tried_again),
        cmocka_unit_test(a_second_refusal_is_final),
        cmocka_unit_test(what_cannot_be_renewed_is_used_on_and_refused_again),
        cmocka_unit_test(a_failed_renewal_is_told_with_the_refusal),
        cmocka_unit_test(a_wrong_clock_is_corrected_and_the_call_sent_again),
        cmocka_unit_test(a_refusal_that_the_clock_does_not_explain_stands),
        cmocka_unit_test(a_clock_that_stays_wrong_is_corrected_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
