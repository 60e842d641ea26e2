/* What is sent again, when, and how often, against a scripted server. */
#include <pthread.h>

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

static void throttled_and_in_trouble_is_tried_again(void **state)
{
    (void)state;
    static const struct script_step rows[][3] = {
        {RIG_THROTTLED, RIG_OK},
        {RIG_STATUS(500), RIG_STATUS(503), RIG_OK},
        {{.resets = true}, RIG_OK},
        {{.status = 429}, RIG_STATUS(502), RIG_OK},
    };
    static const unsigned attempts[] = {2, 3, 2, 3};
    /* What the last retry cost is given back. */
    static const unsigned tokens_spent[] = {0, 14, 0, 5};

    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct qe_aws_call call = rig_call("{}");
        struct qe_err err = {0};
        char first[64];
        char second[64];
        struct rig rig;

        rig_init(&rig, rows[i], attempts[i]);
        assert_ok(qe_aws_do(rig.client, &call, &err), err);
        assert_int_equal(call.attempts, attempts[i]);
        assert_int_equal(call.status, 200);
        assert_string_equal(call.code, ""); /* of the attempts before nothing is left */
        assert_string_equal(call.err.message, "");
        assert_string_equal(qe_strbuf_text(&call.reply_body), "{\"QueueUrls\":[]}");
        assert_int_equal(script_server_requests(rig.server), attempts[i]);
        assert_int_equal(rig.seen.retried, attempts[i] - 1);
        assert_int_equal(rig.seen.billed, attempts[i]);
        assert_int_equal(rig.seen.attempts[QE_OK], 1);
        assert_int_equal(rig.seen.throttled, rig.seen.attempts[QE_ERR_THROTTLED]);
        assert_int_equal(rig.client->quota.tokens, QE_AWS_QUOTA_TOKENS - tokens_spent[i]);
        /* The same call, and the next attempt of it. */
        assert_string_equal(script_header(script_server_request(rig.server, 0),
                                          "amz-sdk-invocation-id", first, sizeof first),
                            script_header(script_server_request(rig.server, 1),
                                          "amz-sdk-invocation-id", second, sizeof second));
        assert_string_equal(script_header(script_server_request(rig.server, 1), "amz-sdk-request",
                                          first, sizeof first),
                            "attempt=2; max=3");
        qe_aws_call_deinit(&call);
        rig_deinit(&rig);
    }
}

static void the_last_error_is_told_when_it_never_works(void **state)
{
    (void)state;
    static const struct {
        struct script_step step;
        enum qe_err_code code;
        unsigned attempts;
        const char *words;
    } rows[] = {
        {RIG_STATUS(500), QE_ERR_NETWORK, 3, "HTTP 500: <html>no</html>"},
        {{.resets = true}, QE_ERR_NETWORK, 3, "127.0.0.1"},
        {{.status = 400,
          .headers =
              RIG_JSON "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
          .body = "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"Gone.\"}"},
         QE_ERR_NOT_FOUND,
         1,
         "QueueDoesNotExist (HTTP 400): Gone."},
        {{.status = 403, .body = "{\"__type\":\"OverLimit\"}"}, QE_ERR_LIMIT, 1, "OverLimit"},
        {{.status = 302, .headers = "Location: http://example.com/\r\n"},
         QE_ERR_PROTOCOL,
         1,
         "redirects are not followed"},
    };

    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct qe_aws_call call = rig_call("{}");
        struct qe_err err = {0};
        struct rig rig;

        rig_init(&rig, &rows[i].step, 1);
        assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
        assert_int_equal(err.code, rows[i].code);
        assert_int_equal(call.err.code, rows[i].code);
        assert_int_equal(call.attempts, rows[i].attempts);
        assert_int_equal(script_server_requests(rig.server), rows[i].attempts);
        if (strstr(err.message, rows[i].words) == NULL) {
            fail_msg("%s is not in: %s", rows[i].words, err.message);
        }
        if (rows[i].code == QE_ERR_NOT_FOUND) {
            assert_true(qe_aws_call_has_code(&call, "QueueDoesNotExist"));
            assert_true(qe_aws_call_has_code(&call, "AWS.SimpleQueueService.NonExistentQueue"));
            assert_false(qe_aws_call_has_code(&call, "QueueNameExists"));
        }
        qe_aws_call_deinit(&call);
        rig_deinit(&rig);
    }
}

static void what_must_not_happen_twice_is_sent_once(void **state)
{
    (void)state;
    static const struct script_step rows[] = {RIG_STATUS(500), RIG_THROTTLED, {.resets = true}};

    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct qe_aws_call call = rig_call("{}");
        struct qe_err err = {0};
        struct rig rig;

        rig_init(&rig, &rows[i], 1);
        call.no_retry = true;
        assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
        assert_int_equal(call.attempts, 1);
        assert_int_equal(script_server_requests(rig.server), 1);
        qe_aws_call_deinit(&call);
        rig_deinit(&rig);
    }
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

static void a_failed_renewal_is_told_with_the_refusal(void **state)
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

/* --- deadlines, interrupts, long polls --- */

static void no_pause_passes_the_deadline(void **state)
{
    (void)state;
    static const struct script_step steps[] = {
        {.status = 400,
         .headers = "x-amz-retry-after: 4000\r\n",
         .body = "{\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}"}};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    const int64_t began_mono_ms = qe_clock_mono_ms();

    call.deadline_mono_ms = began_mono_ms + 3500;
    assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
    assert_int_equal(err.code, QE_ERR_THROTTLED); /* the last error, and not a timeout */
    assert_true(qe_clock_mono_ms() - began_mono_ms < 3000);
    assert_int_equal(call.attempts, 1);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void a_call_that_gets_no_answer_ends_at_its_deadline(void **state)
{
    (void)state;
    static const struct script_step steps[] = {{.status = 0}};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    const int64_t began_mono_ms = qe_clock_mono_ms();

    call.deadline_mono_ms = began_mono_ms + 200;
    assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    assert_in_range((uint64_t)(qe_clock_mono_ms() - began_mono_ms), 150, 5000);
    call.deadline_mono_ms = began_mono_ms; /* long past */
    assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void *interrupt(void *client)
{
    qe_aws_client_interrupt(client);
    return NULL;
}

static void an_interrupt_ends_the_wait_and_not_the_call(void **state)
{
    (void)state;
    static const struct script_step rows[] = {
        {.status = 0},                                             /* in flight */
        {.status = 429, .headers = "x-amz-retry-after: 5000\r\n"}, /* in its pause */
    };

    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct qe_aws_call call = rig_call("{}");
        struct qe_aws_call *done = NULL;
        struct qe_err err = {0};
        pthread_t thread;
        struct rig rig;

        rig_init(&rig, &rows[i], 1);
        assert_ok(qe_aws_start(rig.client, &call, &err), err);
        while (i == 1 && rig.client->paused_count == 0) {
            assert_int_equal(qe_aws_wait(rig.client, qe_clock_mono_ms() + 1, true, &done),
                             QE_HTTP_TIME);
        }
        assert_int_equal(pthread_create(&thread, NULL, interrupt, rig.client), 0);
        assert_int_equal(qe_aws_wait(rig.client, 0, true, &done), QE_HTTP_INTERRUPTED);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_null(done);
        assert_int_equal(qe_aws_in_flight(rig.client), 1);
        qe_aws_abort(rig.client);
        assert_int_equal(qe_aws_in_flight(rig.client), 0);
        assert_null(call.state);
        assert_int_equal(call.err.code, QE_ERR_CANCELLED);
        /* Only what was in flight was an attempt. */
        assert_int_equal(rig.seen.attempts[QE_ERR_CANCELLED], i == 0 ? 1 : 0);
        assert_int_equal(qe_aws_wait(rig.client, 0, true, &done), QE_HTTP_IDLE);
        qe_aws_call_deinit(&call);
        rig_deinit(&rig);
    }
}

static void a_wait_that_ends_early_loses_no_pause(void **state)
{
    (void)state;
    static const struct script_step steps[] = {RIG_THROTTLED, RIG_OK};
    struct qe_aws_call call = rig_call("{}");
    struct qe_aws_call *done = NULL;
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 2);
    assert_ok(qe_aws_start(rig.client, &call, &err), err);
    while (qe_aws_wait(rig.client, qe_clock_mono_ms() + 1, true, &done) == QE_HTTP_TIME) {
        assert_int_equal(qe_aws_in_flight(rig.client), 1);
    }
    assert_ptr_equal(done, &call);
    assert_int_equal(call.err.code, QE_OK);
    assert_int_equal(call.attempts, 2);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void an_empty_bucket_ends_retries_but_a_long_poll_pauses_first(void **state)
{
    (void)state;
    static const struct script_step steps[] = {
        {.status = 429, .headers = "x-amz-retry-after: 150\r\n"}};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    for (int is_long_poll = 0; is_long_poll < 2; is_long_poll++) {
        const int64_t began_mono_ms = qe_clock_mono_ms();

        rig.client->quota.tokens = 4;
        call.is_long_poll = is_long_poll != 0;
        assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
        assert_int_equal(err.code, QE_ERR_THROTTLED);
        assert_int_equal(call.attempts, 1);
        if (call.is_long_poll) {
            assert_true(qe_clock_mono_ms() - began_mono_ms >= 149);
        }
    }
    assert_int_equal(rig.seen.retried, 0);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

/* One call after another fails, as many as the bucket pays for; then none is sent twice. */
static void a_service_that_is_down_is_soon_asked_only_once_per_call(void **state)
{
    (void)state;
    static const struct script_step steps[] = {RIG_STATUS(503)};
    struct qe_err err = {0};
    unsigned attempts = 0;
    struct rig rig;

    rig_init(&rig, steps, 1);
    for (int i = 0; i < 30; i++) {
        struct qe_aws_call call = rig_call("{}");

        assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
        attempts += call.attempts;
        qe_aws_call_deinit(&call);
    }
    assert_int_equal(attempts, 30 + 500 / 14);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(throttled_and_in_trouble_is_tried_again),
        cmocka_unit_test(the_last_error_is_told_when_it_never_works),
        cmocka_unit_test(what_must_not_happen_twice_is_sent_once),
        cmocka_unit_test(refused_credentials_are_renewed_once),
        cmocka_unit_test(the_same_credentials_are_not_tried_again),
        cmocka_unit_test(a_second_refusal_is_final),
        cmocka_unit_test(a_failed_renewal_is_told_with_the_refusal),
        cmocka_unit_test(a_wrong_clock_is_corrected_and_the_call_sent_again),
        cmocka_unit_test(a_refusal_that_the_clock_does_not_explain_stands),
        cmocka_unit_test(a_clock_that_stays_wrong_is_corrected_once),
        cmocka_unit_test(no_pause_passes_the_deadline),
        cmocka_unit_test(a_call_that_gets_no_answer_ends_at_its_deadline),
        cmocka_unit_test(an_interrupt_ends_the_wait_and_not_the_call),
        cmocka_unit_test(a_wait_that_ends_early_loses_no_pause),
        cmocka_unit_test(an_empty_bucket_ends_retries_but_a_long_poll_pauses_first),
        cmocka_unit_test(a_service_that_is_down_is_soon_asked_only_once_per_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
