/* One attempt: signed with the credentials and the time of now. */
#include <stdio.h>

#include "aws/call_internal.h"
#include "util/secret.h"

#define CONTENT_TYPE "application/x-amz-json-1.0"
#define SIGNED_COUNT 4   /* five with a session token */
#define UNSIGNED_COUNT 3 /* and Authorization, amz-sdk-... behind them */
#define HEADERS_MAX (SIGNED_COUNT + 1 + UNSIGNED_COUNT)

/* What is sent, in the making. */
struct attempt {
    const struct qe_aws_endpoint *endpoint; /* borrowed from the client */
    char date[QE_SIGV4_TIME_BYTES];
    char sdk_request[48];
    struct qe_http_header headers[HEADERS_MAX];
    size_t count;
};

static void add(struct attempt *attempt, const char *name, const char *value)
{
    attempt->headers[attempt->count++] = (struct qe_http_header){.name = name, .value = value};
}

/* The current credentials, in place of those of the attempt before. */
static int take_credentials(struct qe_aws_client *client, struct qe_aws_call_state *state,
                            struct qe_err *err)
{
    struct qe_aws_credentials *credentials = NULL;

    if (qe_aws_provider_get(client->provider, state->call->deadline_mono_ms, &credentials, err) !=
        0) {
        return -1;
    }
    qe_aws_credentials_release(state->credentials);
    state->credentials = credentials;
    return 0;
}

static int sign(struct qe_aws_client *client, const struct qe_aws_call_state *state,
                struct attempt *attempt, int64_t time_unix_s, struct qe_err *err)
{
    const struct qe_aws_call *call = state->call;
    const struct qe_aws_endpoint *endpoint = attempt->endpoint;

    qe_sigv4_time(time_unix_s, attempt->date);
    /* Sorted by name, as they are signed. */
    add(attempt, "Content-Type", CONTENT_TYPE);
    add(attempt, "Host", endpoint->host);
    add(attempt, "X-Amz-Date", attempt->date);
    if (state->credentials->session_token != NULL) {
        add(attempt, "X-Amz-Security-Token", qe_secret_bytes(state->credentials->session_token));
    }
    add(attempt, "X-Amz-Target", call->target);

    const struct qe_sigv4_request request = {.method = "POST",
                                             .path = endpoint->path,
                                             .headers = attempt->headers,
                                             .headers_count = attempt->count,
                                             .body = call->body.data,
                                             .body_bytes = call->body.length_bytes,
                                             .region = endpoint->region,
                                             .service = endpoint->signing_name,
                                             .time_unix_s = time_unix_s,
                                             .normalize_path = true};

    qe_strbuf_reset(&client->authorization);
    return qe_sigv4_sign(client->signer, state->credentials, &request, &client->authorization, NULL,
                         err);
}

static int send(struct qe_aws_client *client, struct qe_aws_call_state *state,
                struct attempt *attempt, struct qe_err *err)
{
    struct qe_aws_call *call = state->call;

    (void)snprintf(attempt->sdk_request, sizeof attempt->sdk_request, "attempt=%u; max=%u",
                   call->attempts + 1, client->max_attempts);
    add(attempt, "Authorization", qe_strbuf_text(&client->authorization));
    add(attempt, "amz-sdk-invocation-id", state->invocation_id);
    add(attempt, "amz-sdk-request", attempt->sdk_request);

    const struct qe_http_request request = {.method = "POST",
                                            .url = attempt->endpoint->url,
                                            .headers = attempt->headers,
                                            .headers_count = attempt->count,
                                            .body = qe_strbuf_text(&call->body),
                                            .body_bytes = call->body.length_bytes,
                                            .deadline_mono_ms = call->deadline_mono_ms,
                                            .reply_max_bytes = call->reply_max_bytes,
                                            .context = state};

    return qe_http_start(client->http, &request, err);
}

int qe_aws_attempt(struct qe_aws_client *client, struct qe_aws_call_state *state,
                   struct qe_err *err)
{
    struct qe_aws_call *call = state->call;
    struct attempt attempt = {0};

    if (qe_clock_mono_ms() >= call->deadline_mono_ms) { /* nothing would be sent, or billed */
        return qe_err_set(err, QE_ERR_TIMEOUT, "%s: the deadline had passed", call->target);
    }
    if (qe_aws_client_endpoint(client, call->service, call->deadline_mono_ms, &attempt.endpoint,
                               err) != 0 ||
        take_credentials(client, state, err) != 0) {
        return -1;
    }
    const int64_t offset_ms = qe_aws_skew_offset_ms(&client->skew);
    const int64_t time_unix_s = (qe_clock_unix_ms() + offset_ms) / 1000;

    if (sign(client, state, &attempt, time_unix_s, err) != 0 ||
        send(client, state, &attempt, err) != 0) {
        return -1;
    }
    state->phase = QE_AWS_IN_FLIGHT;
    state->signed_offset_ms = offset_ms;
    state->sent_mono_us = qe_clock_mono_us();
    call->attempts++;
    if (client->observer.billed != NULL) {
        client->observer.billed(client->observer.self, call);
    }
    return 0;
}
