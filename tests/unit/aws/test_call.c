/* Calls, against real servers on the loopback. */
#include "aws/call.h"
#include "unit/aws/call_rig.h"

#define TEXT_BYTES 512

static void check_header(const char *request, const char *name, const char *value)
{
    char text[TEXT_BYTES];

    assert_string_equal(script_header(request, name, text, sizeof text), value);
}

/* Signs what came once more, and expects the same. */
static void check_signature(const char *request, const char *secret, const char *service)
{
    static const char *const names[] = {"Content-Type", "Host", "X-Amz-Date",
                                        "X-Amz-Security-Token", "X-Amz-Target"};
    char values[5][TEXT_BYTES];
    struct qe_http_header headers[5];
    char authorization[1024];
    char access_key[64] = "";
    char wanted[128];
    size_t count = 0;
    struct qe_err err = {0};
    struct qe_strbuf again = {0};

    for (size_t i = 0; i < 5; i++) {
        (void)script_header(request, names[i], values[i], sizeof values[i]);
        if (values[i][0] != '\0') {
            headers[count++] = (struct qe_http_header){names[i], values[i]};
        }
    }
    (void)script_header(request, "Authorization", authorization, sizeof authorization);
    const char *credential = strstr(authorization, "Credential=");

    assert_non_null(credential);
    credential += strlen("Credential=");
    (void)snprintf(access_key, sizeof access_key, "%.*s", (int)strcspn(credential, "/"),
                   credential);
    (void)snprintf(wanted, sizeof wanted, "/%.8s/eu-west-1/%s/aws4_request,", values[2], service);
    assert_non_null(strstr(authorization, wanted));

    struct qe_aws_credentials credentials = {.access_key_id = access_key,
                                             .secret_access_key =
                                                 qe_secret_new(secret, strlen(secret), &err)};
    const char *body = strstr(request, "\r\n\r\n") + 4;
    struct qe_sigv4 *signer = qe_sigv4_new(&err);
    /* The date is the signature's, whatever the clock says: try the seconds around now. */
    int64_t time_unix_s = qe_clock_unix_ms() / 1000 - 3600;

    for (char text[QE_SIGV4_TIME_BYTES] = ""; strcmp(text, values[2]) != 0; time_unix_s++) {
        qe_sigv4_time(time_unix_s, text);
        assert_true(time_unix_s < qe_clock_unix_ms() / 1000 + 3600);
    }
    const struct qe_sigv4_request signed_request = {.method = "POST",
                                                    .path = "/",
                                                    .headers = headers,
                                                    .headers_count = count,
                                                    .body = body,
                                                    .body_bytes = strlen(body),
                                                    .region = "eu-west-1",
                                                    .service = service,
                                                    .time_unix_s = time_unix_s - 1};

    assert_ok(qe_sigv4_sign(signer, &credentials, &signed_request, &again, NULL, &err), err);
    assert_string_equal(qe_strbuf_text(&again), authorization);
    qe_strbuf_deinit(&again);
    qe_sigv4_destroy(signer);
    qe_secret_destroy(credentials.secret_access_key);
}

static void a_call_is_signed_and_answered(void **state)
{
    (void)state;
    static const struct script_step steps[] = {RIG_OK};
    struct qe_aws_call call = rig_call("{\"MaxResults\":1000}");
    struct qe_err err = {0};
    char text[TEXT_BYTES];
    char host[64];
    struct rig rig;

    rig_init(&rig, steps, 1);
    assert_ok(qe_aws_do(rig.client, &call, &err), err);
    assert_int_equal(call.status, 200);
    assert_int_equal(call.attempts, 1);
    assert_string_equal(qe_strbuf_text(&call.reply_body), "{\"QueueUrls\":[]}");
    assert_string_equal(call.code, "");

    const char *request = script_server_request(rig.server, 0);

    assert_memory_equal(request, "POST / HTTP/1.1\r\n", 17);
    (void)snprintf(host, sizeof host, "127.0.0.1:%u", script_server_port(rig.server));
    check_header(request, "Host", host);
    check_header(request, "Content-Type", "application/x-amz-json-1.0");
    check_header(request, "X-Amz-Target", "AmazonSQS.ListQueues");
    check_header(request, "X-Amz-Security-Token", "");
    check_header(request, "amz-sdk-request", "attempt=1; max=3");
    assert_int_equal(strlen(script_header(request, "amz-sdk-invocation-id", text, sizeof text)),
                     36);
    assert_non_null(
        strstr(script_header(request, "User-Agent", text, sizeof text), "queue-exporter/"));
    assert_non_null(strstr(script_header(request, "Authorization", text, sizeof text),
                           "SignedHeaders=content-type;host;x-amz-date;x-amz-target,"));
    assert_string_equal(strstr(request, "\r\n\r\n") + 4, "{\"MaxResults\":1000}");
    check_signature(request, "first-secret", "sqs");
    assert_int_equal(rig.seen.attempts[QE_OK], 1);
    assert_int_equal(rig.seen.billed, 1);
    assert_int_equal(rig.seen.retried + rig.seen.throttled + rig.seen.skews, 0);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void a_session_token_is_sent_and_signed(void **state)
{
    (void)state;
    static const struct script_step steps[] = {RIG_OK};
    static const char *const environment[] = {"AWS_SESSION_TOKEN", "to/ken+=", NULL};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init_with(&rig, steps, 1, environment);
    call.service = QE_AWS_CLOUDWATCH;
    assert_ok(qe_aws_do(rig.client, &call, &err), err);
    check_header(script_server_request(rig.server, 0), "X-Amz-Security-Token", "to/ken+=");
    check_signature(script_server_request(rig.server, 0), "first-secret", "monitoring");
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void a_call_is_used_again_and_connections_are_kept(void **state)
{
    (void)state;
    static const struct script_step steps[] = {
        RIG_OK, {.status = 200}, {.status = 200, .body = "{}"}};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 3);
    assert_ok(qe_aws_do(rig.client, &call, &err), err);
    assert_string_equal(qe_strbuf_text(&call.reply_body), "{\"QueueUrls\":[]}");
    assert_ok(qe_aws_do(rig.client, &call, &err), err); /* an empty body is an answer */
    assert_string_equal(qe_strbuf_text(&call.reply_body), "");
    assert_ok(qe_aws_do(rig.client, &call, &err), err);
    assert_string_equal(qe_strbuf_text(&call.reply_body), "{}");
    assert_int_equal(call.attempts, 1);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void sixteen_calls_are_in_flight_at_once(void **state)
{
    (void)state;
    static const struct script_step steps[] = {
        {.status = 200, .headers = RIG_JSON, .body = "{}", .together = 16}};
    static struct qe_aws_call calls[16];
    size_t contexts[16] = {0};
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    for (size_t i = 0; i < 16; i++) {
        calls[i] = rig_call("{}");
        calls[i].context = &contexts[i];
        assert_ok(qe_aws_start(rig.client, &calls[i], &err), err);
    }
    assert_int_equal(qe_aws_in_flight(rig.client), 16);
    for (size_t i = 0; i < 16; i++) {
        struct qe_aws_call *done = NULL;
        assert_int_equal(qe_aws_wait(rig.client, 0, true, &done), QE_HTTP_REPLY);
        assert_int_equal(done->err.code, QE_OK);
        *(size_t *)done->context += 1;
    }
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(contexts[i], 1);
        qe_aws_call_deinit(&calls[i]);
    }
    struct qe_aws_call *none = NULL;

    assert_int_equal(qe_aws_wait(rig.client, 0, true, &none), QE_HTTP_IDLE);
    assert_int_equal(qe_aws_wait(rig.client, qe_clock_mono_ms(), true, &none), QE_HTTP_TIME);
    assert_null(none);
    rig_deinit(&rig);
}

static void a_call_is_in_flight_once_and_do_is_alone(void **state)
{
    (void)state;
    static const struct script_step steps[] = {{.status = 0}};
    struct qe_aws_call call = rig_call("{}");
    struct qe_aws_call other = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    assert_ok(qe_aws_start(rig.client, &call, &err), err);
    assert_int_equal(qe_aws_start(rig.client, &call, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_int_equal(qe_aws_do(rig.client, &other, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_int_equal(qe_aws_in_flight(rig.client), 1);
    qe_aws_client_destroy(rig.client); /* gives it back */
    rig.client = NULL;
    assert_null(call.state);
    assert_int_equal(call.err.code, QE_ERR_CANCELLED);
    qe_aws_call_deinit(&call);
    qe_aws_call_deinit(&other);
    rig_deinit(&rig);
}

static void an_answer_beyond_its_limit_is_refused(void **state)
{
    (void)state;
    static const struct script_step steps[] = {RIG_OK};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    call.reply_max_bytes = 15;
    assert_int_equal(qe_aws_do(rig.client, &call, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_int_equal(call.attempts, 1);
    call.reply_max_bytes = 16;
    assert_ok(qe_aws_do(rig.client, &call, &err), err);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void what_cannot_begin_says_why_and_can_begin_later(void **state)
{
    (void)state;
    static const struct script_step steps[] = {RIG_OK};
    static const char *const nobody[] = {"AWS_REGION", "", NULL};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init_with(&rig, steps, 1, nobody);
    qe_made_world_env(rig.made, "AWS_EC2_METADATA_DISABLED", "true");
    assert_int_equal(qe_aws_start(rig.client, &call, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_string_equal(call.err.message, err.message);
    assert_non_null(strstr(err.message, "region"));
    assert_null(call.state);
    assert_int_equal(qe_aws_in_flight(rig.client), 0);

    qe_made_world_env(rig.made, "AWS_REGION", "eu-west-1");
    qe_made_world_env(rig.made, "AWS_SECRET_ACCESS_KEY", NULL);
    assert_int_equal(qe_aws_start(rig.client, &call, &err), -1);
    assert_int_not_equal(call.err.code, QE_OK);
    assert_int_equal(rig.seen.billed, 0);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static void attempts_come_from_options_environment_or_profile(void **state)
{
    (void)state;
    static const struct script_step steps[] = {RIG_STATUS(500)};
    static const char *const bad[] = {"0", "101", "three", "-1", "3 "};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qe_made_world_env(rig.made, "AWS_MAX_ATTEMPTS", bad[i]);
        assert_null(rig_client(&rig, 0, &err));
        assert_int_equal(err.code, QE_ERR_INVALID);
        assert_non_null(strstr(err.message, "AWS_MAX_ATTEMPTS"));
    }
    qe_made_world_env(rig.made, "AWS_MAX_ATTEMPTS", "2");
    struct qe_aws_client *client = rig_client(&rig, 0, &err);

    assert_ok(client == NULL ? -1 : 0, err);
    assert_int_equal(qe_aws_do(client, &call, &err), -1);
    assert_int_equal(call.attempts, 2);
    qe_aws_client_destroy(client);
    qe_made_world_env(rig.made, "AWS_MAX_ATTEMPTS", NULL);
    qe_made_world_env(rig.made, "AWS_CONFIG_FILE", "/config");
    qe_made_world_file(rig.made, "/config", "[default]\nmax_attempts = 4\n");
    client = rig_client(&rig, 0, &err);
    assert_ok(client == NULL ? -1 : 0, err);
    assert_int_equal(client->max_attempts, 4);
    qe_aws_client_destroy(client);
    client = rig_client(&rig, 1, &err); /* the option wins */
    assert_ok(client == NULL ? -1 : 0, err);
    assert_int_equal(qe_aws_do(client, &call, &err), -1);
    assert_int_equal(call.attempts, 1);
    qe_aws_client_destroy(client);
    qe_aws_call_deinit(&call);
    rig_deinit(&rig);
}

static int new_and_do(void *context, struct qe_err *err)
{
    struct rig *rig = context;
    struct qe_aws_client *client = rig_client(rig, 1, err);
    struct qe_aws_call call = {.service = QE_AWS_SQS,
                               .target = "AmazonSQS.ListQueues",
                               .deadline_mono_ms = qe_clock_mono_ms() + RIG_DEADLINE_MS};
    int rc = client == NULL ? -1 : 0;

    if (rc == 0 && qe_strbuf_append_text(&call.body, "{}") != 0) {
        rc = qe_err_set(err, QE_ERR_NOMEM, "body");
    }
    rc = rc == 0 ? qe_aws_do(client, &call, err) : rc;
    qe_aws_call_deinit(&call);
    qe_aws_client_destroy(client);
    return rc;
}

static void out_of_memory_is_said_so(void **state)
{
    (void)state;
    static const struct script_step steps[] = {RIG_OK};
    struct qe_aws_call call = rig_call("{}");
    struct qe_err err = {0};
    struct rig rig;

    rig_init(&rig, steps, 1);
    /* The provider is shared and remembers failures: its own torture is elsewhere. */
    assert_ok(qe_aws_do(rig.client, &call, &err), err);
    qe_aws_call_deinit(&call);
    qe_check_torture(new_and_do, &rig);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_signed_and_answered),
        cmocka_unit_test(a_session_token_is_sent_and_signed),
        cmocka_unit_test(a_call_is_used_again_and_connections_are_kept),
        cmocka_unit_test(sixteen_calls_are_in_flight_at_once),
        cmocka_unit_test(a_call_is_in_flight_once_and_do_is_alone),
        cmocka_unit_test(an_answer_beyond_its_limit_is_refused),
        cmocka_unit_test(what_cannot_begin_says_why_and_can_begin_later),
        cmocka_unit_test(attempts_come_from_options_environment_or_profile),
        cmocka_unit_test(out_of_memory_is_said_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
