#include "aws/call.h"

#include <string.h>

#include "aws/call_internal.h"
#include "util/mem.h"
#include "util/text.h"

#define USER_AGENT "queue-exporter/" QE_VERSION
#define AUTHORIZATION_MAX_BYTES ((size_t)8 << 10)

/* --- one call --- */

/* Without clearing a whole KiB of text: it is done for every call. */
void qe_aws_call_reset_error(struct qe_aws_call *call)
{
    call->err.code = QE_OK;
    call->err.sys_errno = 0;
    call->err.message[0] = '\0';
    call->code[0] = '\0';
    call->legacy_code[0] = '\0';
}

void qe_aws_call_reset(struct qe_aws_call *call)
{
    qe_aws_call_reset_error(call);
    call->status = 0;
    call->attempts = 0;
    qe_strbuf_reset(&call->reply_body);
}

void qe_aws_call_deinit(struct qe_aws_call *call)
{
    qe_strbuf_deinit(&call->body);
    qe_strbuf_deinit(&call->reply_body);
    *call = (struct qe_aws_call){0};
}

bool qe_aws_call_has_code(const struct qe_aws_call *call, const char *code)
{
    return strcmp(call->code, code) == 0 || strcmp(call->legacy_code, code) == 0;
}

/* --- the client --- */

static int read_attempts(struct qe_aws_client *client, struct qe_err *err)
{
    uint64_t number = QE_AWS_ATTEMPTS_DEFAULT;
    char *text = NULL;
    int rc =
        qe_aws_provider_setting(client->provider, "AWS_MAX_ATTEMPTS", "max_attempts", &text, err);

    if (rc == 0 && text != NULL &&
        (qe_text_to_u64(text, QE_AWS_ATTEMPTS_MAX, &number, err) != 0 || number == 0)) {
        rc = qe_err_set(err, QE_ERR_INVALID,
                        "AWS_MAX_ATTEMPTS, or the profile's max_attempts, must be a number from 1 "
                        "to %d",
                        QE_AWS_ATTEMPTS_MAX);
    }
    qe_free(text);
    client->max_attempts = (unsigned)number;
    return rc;
}

static int read_correction(struct qe_aws_client *client, struct qe_err *err)
{
    char *text = NULL;
    int rc = qe_aws_provider_setting(client->provider, "AWS_DISABLE_CLOCK_SKEW_CORRECTION", NULL,
                                     &text, err);

    client->skew.is_ignored = text != NULL && qe_text_equal_nocase(text, "true");
    qe_free(text);
    return rc;
}

static int open_http(struct qe_aws_client *client, const struct qe_aws_client_options *options,
                     struct qe_err *err)
{
    struct qe_http_client_options http = {.ca_file = options->ca_file,
                                          .user_agent = USER_AGENT,
                                          .connections_max = options->connections_max};
    char *ca_file = NULL;

    if (http.ca_file == NULL) {
        if (qe_aws_provider_setting(client->provider, "AWS_CA_BUNDLE", "ca_bundle", &ca_file,
                                    err) != 0) {
            return -1;
        }
        http.ca_file = ca_file;
    }
    client->http = qe_http_client_new(&http, err);
    qe_free(ca_file);
    return client->http == NULL ? -1 : 0;
}

static int open_client(struct qe_aws_client *client, const struct qe_aws_client_options *options,
                       struct qe_err *err)
{
    client->max_attempts = options->max_attempts;
    if ((options->max_attempts == 0 && read_attempts(client, err) != 0) ||
        read_correction(client, err) != 0 || open_http(client, options, err) != 0) {
        return -1;
    }
    client->signer = qe_sigv4_new(err);
    return client->signer == NULL ? -1 : 0;
}

struct qe_aws_client *qe_aws_client_new(const struct qe_aws_client_options *options,
                                        struct qe_err *err)
{
    struct qe_aws_client *client = qe_calloc(1, sizeof *client);

    if (client == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "AWS client");
        return NULL;
    }
    client->provider = options->provider;
    client->observer = options->observer;
    qe_aws_quota_init(&client->quota);
    qe_random_init(&client->random, options->jitter_seed);
    qe_strbuf_init(&client->authorization, AUTHORIZATION_MAX_BYTES);
    if (open_client(client, options, err) != 0) {
        qe_aws_client_destroy(client);
        return NULL;
    }
    return client;
}

static void destroy_state(struct qe_aws_call_state *state)
{
    qe_aws_credentials_release(state->credentials);
    qe_free(state);
}

void qe_aws_client_destroy(struct qe_aws_client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->http != NULL) {
        qe_aws_abort(client);
    }
    for (struct qe_aws_call_state *state = client->spare, *next = NULL; state != NULL;
         state = next) {
        next = state->next;
        destroy_state(state);
    }
    for (size_t i = 0; i < QE_AWS_SERVICE_COUNT; i++) {
        qe_aws_endpoint_deinit(&client->endpoints[i]);
    }
    qe_http_client_destroy(client->http);
    qe_sigv4_destroy(client->signer);
    qe_strbuf_deinit(&client->authorization);
    qe_http_reply_deinit(&client->reply);
    qe_free(client);
}

int qe_aws_client_endpoint(struct qe_aws_client *client, enum qe_aws_service service,
                           int64_t deadline_mono_ms, const struct qe_aws_endpoint **out,
                           struct qe_err *err)
{
    struct qe_aws_endpoint *endpoint = &client->endpoints[service];

    if (endpoint->url == NULL &&
        qe_aws_provider_endpoint(client->provider, service, deadline_mono_ms, endpoint, err) != 0) {
        return -1;
    }
    *out = endpoint;
    return 0;
}

void qe_aws_client_interrupt(struct qe_aws_client *client)
{
    qe_http_interrupt(client->http);
}

size_t qe_aws_in_flight(const struct qe_aws_client *client)
{
    return client->started_count;
}

/* --- starting --- */

/* A version 4 UUID. Told apart, not trusted: no secret is needed. */
static void make_invocation_id(struct qe_random *random, char out[QE_AWS_UUID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    static const char form[] = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
    uint64_t bits = 0;
    unsigned left = 0;

    for (size_t i = 0; i < sizeof form - 1; i++) {
        if (form[i] != 'x' && form[i] != 'y') {
            out[i] = form[i];
            continue;
        }
        if (left == 0) {
            bits = qe_random_next(random);
            left = 16;
        }
        const unsigned value = (unsigned)(bits & 15);
        out[i] = digits[form[i] == 'y' ? 8 + value % 4 : value];
        bits >>= 4;
        left--;
    }
    out[sizeof form - 1] = '\0';
}

static struct qe_aws_call_state *new_state(struct qe_aws_client *client, struct qe_aws_call *call)
{
    struct qe_aws_call_state *state = client->spare;

    if (state != NULL) {
        client->spare = state->next;
    } else if ((state = qe_calloc(1, sizeof *state)) == NULL) {
        return NULL;
    }
    *state = (struct qe_aws_call_state){.call = call, .next = client->started};
    make_invocation_id(&client->random, state->invocation_id);
    if (client->started != NULL) {
        client->started->previous = state;
    }
    client->started = state;
    client->started_count++;
    call->state = state;
    return state;
}

/* The call is the caller's again. */
static struct qe_aws_call *give_back(struct qe_aws_client *client, struct qe_aws_call_state *state)
{
    struct qe_aws_call *call = state->call;

    if (state->previous != NULL) {
        state->previous->next = state->next;
    } else {
        client->started = state->next;
    }
    if (state->next != NULL) {
        state->next->previous = state->previous;
    }
    client->started_count--;
    qe_aws_credentials_release(state->credentials);
    state->credentials = NULL;
    state->next = client->spare;
    client->spare = state;
    call->state = NULL;
    return call;
}

int qe_aws_start(struct qe_aws_client *client, struct qe_aws_call *call, struct qe_err *err)
{
    if (call->state != NULL) {
        return qe_err_set(err, QE_ERR_INVALID, "%s is in flight already", call->target);
    }
    qe_aws_call_reset(call);
    struct qe_aws_call_state *state = new_state(client, call);

    if (state == NULL) {
        (void)qe_err_set(&call->err, QE_ERR_NOMEM, "%s", call->target);
    } else if (qe_aws_attempt(client, state, &call->err) == 0) {
        return 0;
    } else {
        (void)give_back(client, state);
    }
    *err = call->err;
    return -1;
}

/* --- waiting --- */

/* The paused call whose time comes first; NULL: none pauses. */
static struct qe_aws_call_state *first_paused(const struct qe_aws_client *client)
{
    struct qe_aws_call_state *first = NULL;

    if (client->paused_count == 0) {
        return NULL;
    }
    for (struct qe_aws_call_state *state = client->started; state != NULL; state = state->next) {
        if (state->phase != QE_AWS_IN_FLIGHT &&
            (first == NULL || state->resume_mono_ms < first->resume_mono_ms)) {
            first = state;
        }
    }
    return first;
}

enum qe_http_event qe_aws_wait(struct qe_aws_client *client, int64_t until_mono_ms,
                               bool interruptible, struct qe_aws_call **out_call)
{
    for (;;) {
        struct qe_aws_call_state *paused = first_paused(client);
        int64_t wake_mono_ms = until_mono_ms;

        if (paused != NULL && paused->resume_mono_ms <= qe_clock_mono_ms()) {
            if (qe_aws_resume(client, paused)) {
                *out_call = give_back(client, paused);
                return QE_HTTP_REPLY;
            }
            continue; /* it is in flight again: one pause less */
        }
        if (paused != NULL && (until_mono_ms == 0 || paused->resume_mono_ms < until_mono_ms)) {
            wake_mono_ms = paused->resume_mono_ms;
        }
        const enum qe_http_event event =
            qe_http_wait(client->http, wake_mono_ms, interruptible, &client->reply);

        if (event == QE_HTTP_REPLY) {
            struct qe_aws_call_state *state = client->reply.context;
            if (qe_aws_attempt_ended(client, state)) {
                *out_call = give_back(client, state);
                return QE_HTTP_REPLY;
            }
        } else if (event != QE_HTTP_TIME || wake_mono_ms == until_mono_ms) {
            return event;
        }
    }
}

int qe_aws_do(struct qe_aws_client *client, struct qe_aws_call *call, struct qe_err *err)
{
    struct qe_aws_call *done = NULL;

    if (client->started_count > 0) {
        return qe_err_set(err, QE_ERR_INVALID, "%s: other calls are in flight", call->target);
    }
    if (qe_aws_start(client, call, err) != 0) {
        return -1;
    }
    while (done != call) {
        (void)qe_aws_wait(client, 0, false, &done);
    }
    if (call->err.code != QE_OK) {
        *err = call->err;
        return -1;
    }
    return 0;
}

void qe_aws_abort(struct qe_aws_client *client)
{
    const int64_t now_mono_us = qe_clock_mono_us();

    qe_http_abort(client->http);
    while (client->started != NULL) {
        struct qe_aws_call_state *state = client->started;
        struct qe_aws_call *call = state->call;

        (void)qe_err_set(&call->err, QE_ERR_CANCELLED, "%s: aborted", call->target);
        if (state->phase == QE_AWS_IN_FLIGHT && client->observer.attempt != NULL) {
            client->observer.attempt(client->observer.self, call, QE_ERR_CANCELLED,
                                     (double)(now_mono_us - state->sent_mono_us) / 1e6);
        }
        (void)give_back(client, state);
    }
    client->paused_count = 0;
}
