/* What is sent again, when, and how often, against a scripted server. */
#include <pthread.h>

#include "unit/aws/call_rig.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

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
    assert_int_equal(rig.seen.billed, 1); /* what is not sent is not billed */
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

static void a_retry_that_cannot_be_signed_says_why(void **state)
{
    (void)state;
    static const struct script_step steps[] = {RIG_THROTTLED};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init_with(&rig, steps, 1, s_rig_expiring);
    assert_ok(qe_aws_start(rig.client, &call, &err), err);
    rig_expire(&rig);
    rig_wait(&rig, &call);
    assert_non_null(strstr(call.err.message, "AWS_SECRET_ACCESS_KEY"));
    assert_int_equal(call.attempts, 1);
    assert_int_equal(rig.seen.billed, 1);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void pauses_end_in_their_own_order(void **state)
{
    (void)state;
    static const struct script_step steps[] = {
        {.status = 429, .headers = "x-amz-retry-after: 300\r\n"},
        {.status = 429, .headers = "x-amz-retry-after: 50\r\n"},
        RIG_OK};
    struct qe_aws_call slow = rig_call("{}");
    struct qe_aws_call quick = rig_call("{}");
    struct qe_aws_call *done = NULL;
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 3);
    assert_ok(qe_aws_start(rig.client, &slow, &err), err);
    while (rig.client->paused_count == 0) {
        assert_int_equal(qe_aws_wait(rig.client, qe_clock_mono_ms() + 1, true, &done),
                         QE_HTTP_TIME);
    }
    qe_random_init(&rig.client->random, RIG_SEED); /* a short pause again */
    assert_ok(qe_aws_start(rig.client, &quick, &err), err);
    assert_int_equal(qe_aws_wait(rig.client, 0, true, &done), QE_HTTP_REPLY);
    assert_ptr_equal(done, &quick);
    assert_int_equal(qe_aws_in_flight(rig.client), 1);
    rig_wait(&rig, &slow);
    assert_int_equal(slow.err.code, QE_OK);
    qe_aws_call_deinit(&slow);
    qe_aws_call_deinit(&quick);
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
        cmocka_unit_test(no_pause_passes_the_deadline),
        cmocka_unit_test(a_call_that_gets_no_answer_ends_at_its_deadline),
        cmocka_unit_test(an_interrupt_ends_the_wait_and_not_the_call),
        cmocka_unit_test(a_wait_that_ends_early_loses_no_pause),
        cmocka_unit_test(an_empty_bucket_ends_retries_but_a_long_poll_pauses_first),
        cmocka_unit_test(a_retry_that_cannot_be_signed_says_why),
        cmocka_unit_test(pauses_end_in_their_own_order),
        cmocka_unit_test(a_service_that_is_down_is_soon_asked_only_once_per_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
