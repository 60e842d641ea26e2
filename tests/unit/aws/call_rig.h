/* A client, its credentials and a scripted server: what the tests of calls share. */
#ifndef QE_TESTS_UNIT_AWS_CALL_RIG_H
#define QE_TESTS_UNIT_AWS_CALL_RIG_H

#include <stdio.h>
#include <string.h>

#include "aws/call.h"
#include "aws/call_internal.h"
#include "support/aws_world.h"
#include "support/check.h"
#include "support/script_server.h"
#include "util/clock.h"
#include "util/mem.h"

#define RIG_DEADLINE_MS 30000 /* a net under hangs, never a measurement */
/* The first two pauses that chance gives with it are short: 0.4 % and 1.8 % of the longest. */
#define RIG_SEED 10

#define RIG_JSON "Content-Type: application/x-amz-json-1.0\r\n"
#define RIG_THROTTLED                                                                              \
    {                                                                                              \
        .status = 403, .headers = RIG_JSON "x-amzn-query-error: RequestThrottled;Sender\r\n",      \
        .body = "{\"__type\":\"com.amazonaws.sqs#RequestThrottled\",\"message\":\"Slower.\"}"      \
    }
#define RIG_OK                                                                                     \
    {                                                                                              \
        .status = 200, .headers = RIG_JSON, .body = "{\"QueueUrls\":[]}"                           \
    }
#define RIG_STATUS(number)                                                                         \
    {                                                                                              \
        .status = (number), .headers = "Content-Type: text/html\r\n", .body = "<html>no</html>"    \
    }

struct rig_seen {
    unsigned attempts[QE_ERR_COUNT]; /* by code */
    unsigned retried;
    unsigned throttled;
    unsigned billed;
    unsigned skews;
    double skew_seconds;
};

struct rig {
    struct qe_made_world *made; /* owned: it is large */
    struct script_server *server;
    char url[64];
    struct qe_aws_provider *provider;
    struct qe_aws_client *client;
    struct rig_seen seen;
};

static inline void rig_on_attempt(void *self, const struct qe_aws_call *call, enum qe_err_code code,
                                  double duration_seconds)
{
    struct rig *rig = self;

    assert_true(duration_seconds >= 0);
    assert_true(code == call->err.code);
    rig->seen.attempts[code]++;
}

static inline void rig_on_retried(void *self, const struct qe_aws_call *call)
{
    (void)call;
    ((struct rig *)self)->seen.retried++;
}

static inline void rig_on_throttled(void *self, const struct qe_aws_call *call)
{
    (void)call;
    ((struct rig *)self)->seen.throttled++;
}

static inline void rig_on_billed(void *self, const struct qe_aws_call *call)
{
    (void)call;
    ((struct rig *)self)->seen.billed++;
}

static inline void rig_on_skew(void *self, double seconds)
{
    ((struct rig *)self)->seen.skews++;
    ((struct rig *)self)->seen.skew_seconds = seconds;
}

static inline struct qe_aws_client *rig_client(struct rig *rig, unsigned max_attempts,
                                               struct qe_err *err)
{
    const struct qe_aws_client_options options = {
        .provider = rig->provider,
        .observer = {.self = rig,
                     .attempt = rig_on_attempt,
                     .retried = rig_on_retried,
                     .throttled = rig_on_throttled,
                     .billed = rig_on_billed,
                     .clock_skew = rig_on_skew},
        .max_attempts = max_attempts,
        .jitter_seed = RIG_SEED,
    };

    return qe_aws_client_new(&options, err);
}

/* An environment whose keys expire an hour after the made world begins. */
static const char *const s_rig_expiring[] = {"AWS_CREDENTIAL_EXPIRATION", "2026-01-01T01:00:00Z",
                                             NULL};

/* Keys and region are in the environment; name, value pairs end with NULL. */
static inline void rig_init_with(struct rig *rig, const struct script_step *steps, size_t count,
                                 const char *const *environment)
{
    struct qe_err err = {0};

    *rig = (struct rig){.server = script_server_start(steps, count),
                        .made = qe_calloc(1, sizeof *rig->made)};
    assert_non_null(rig->made);
    (void)snprintf(rig->url, sizeof rig->url, "http://127.0.0.1:%u",
                   script_server_port(rig->server));
    qe_made_world_init(rig->made);
    rig->made->real_clock = environment != s_rig_expiring;
    qe_made_world_env(rig->made, "AWS_ACCESS_KEY_ID", "AKIDFIRST");
    qe_made_world_env(rig->made, "AWS_SECRET_ACCESS_KEY", "first-secret");
    qe_made_world_env(rig->made, "AWS_REGION", "eu-west-1");
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i += 2) {
        qe_made_world_env(rig->made, environment[i], environment[i + 1]);
    }
    const struct qe_aws_identity identity = {.endpoint = rig->url};

    rig->provider = qe_aws_provider_acquire(&identity, &rig->made->world, &err);
    assert_ok(rig->provider == NULL ? -1 : 0, err);
    rig->client = rig_client(rig, 0, &err);
    assert_ok(rig->client == NULL ? -1 : 0, err);
}

static inline void rig_init(struct rig *rig, const struct script_step *steps, size_t count)
{
    rig_init_with(rig, steps, count, NULL);
}

static inline void rig_deinit(struct rig *rig)
{
    qe_aws_client_destroy(rig->client);
    qe_aws_provider_release(rig->provider);
    script_server_stop(rig->server);
    qe_made_world_deinit(rig->made);
    qe_free(rig->made);
}

/* The keys of s_rig_expiring have expired, with nothing to replace them. */
static inline void rig_expire(struct rig *rig)
{
    rig->made->real_clock = false;
    qe_made_world_env(rig->made, "AWS_SECRET_ACCESS_KEY", NULL);
    rig->made->unix_ms += INT64_C(7200000); /* no other clock: deadlines are of the real one */
}

/* A call whose body is `body`. */
static inline struct qe_aws_call rig_call(const char *body)
{
    struct qe_aws_call call = {.service = QE_AWS_SQS,
                               .target = "AmazonSQS.ListQueues",
                               .deadline_mono_ms = qe_clock_mono_ms() + RIG_DEADLINE_MS};

    assert_int_equal(qe_strbuf_append_text(&call.body, body), 0);
    return call;
}

/* Waits for the one call that is in flight. */
static inline void rig_wait(struct rig *rig, const struct qe_aws_call *call)
{
    struct qe_aws_call *done = NULL;

    assert_int_equal(qe_aws_wait(rig->client, 0, false, &done), QE_HTTP_REPLY);
    assert_ptr_equal(done, call);
    assert_null(call->state);
    assert_int_equal(qe_aws_in_flight(rig->client), 0);
}

#endif
