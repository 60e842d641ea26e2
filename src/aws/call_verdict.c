/* How an attempt ended, and what comes of it: done, again at once, or again after a pause. */
#include <string.h>

#include "aws/call_internal.h"
#include "aws/provider_internal.h"
#include "util/text.h"

#define RETRY_AFTER_MAX_MS 3600000

static void tell_attempt(const struct qe_aws_client *client, const struct qe_aws_call *call)
{
    const struct qe_aws_observer *observer = &client->observer;

    if (observer->attempt != NULL) {
        observer->attempt(observer->self, call, call->err.code, client->reply.duration_seconds);
    }
    if (observer->throttled != NULL && call->err.code == QE_ERR_THROTTLED) {
        observer->throttled(observer->self, call);
    }
}

static void tell_retried(const struct qe_aws_client *client, const struct qe_aws_call *call)
{
    if (client->observer.retried != NULL) {
        client->observer.retried(client->observer.self, call);
    }
}

static void learn_clock(struct qe_aws_client *client)
{
    if (qe_aws_skew_learn(&client->skew, &client->reply) && client->observer.clock_skew != NULL) {
        client->observer.clock_skew(client->observer.self, (double)client->skew.offset_ms / 1000);
    }
}

static bool is_over(const struct qe_aws_call *call)
{
    return qe_clock_mono_ms() >= call->deadline_mono_ms;
}

/* Sends the call again now. True: it is done, since it could not be sent. */
static bool send_again(struct qe_aws_client *client, struct qe_aws_call_state *state)
{
    struct qe_err err = {0};

    if (qe_aws_attempt(client, state, &err) != 0) {
        state->call->err = err;
        return true;
    }
    return false;
}

/* --- a second chance, once each --- */

/* Whether there are other credentials than those that were refused. */
static bool renew(struct qe_aws_client *client, const struct qe_aws_call_state *state)
{
    struct qe_aws_credentials *renewed = NULL;
    struct qe_aws_call *call = state->call;
    struct qe_err err = {0};

    qe_aws_provider_refused(client->provider, state->credentials);
    if (qe_aws_provider_get(client->provider, call->deadline_mono_ms, &renewed, &err) != 0) {
        const struct qe_err refusal = call->err;

        (void)qe_err_set(&call->err, refusal.code, "%.500s; and they could not be renewed: %.400s",
                         refusal.message, err.message);
        return false;
    }
    const bool is_other = !qe_aws_credentials_equal(renewed, state->credentials);

    qe_aws_credentials_release(renewed);
    return is_other;
}

/* Refused for who asked or when: nothing has happened, so that no_retry and the quota play no
 * part. */
static bool has_second_chance(struct qe_aws_client *client, struct qe_aws_call_state *state,
                              const struct qe_aws_error *error)
{
    if (error->may_be_credentials && !state->has_renewed) {
        state->has_renewed = true;
        return renew(client, state) && !is_over(state->call);
    }
    if (error->may_be_skew && !state->has_corrected_clock &&
        qe_aws_skew_explains(&client->skew, state->signed_offset_ms)) {
        state->has_corrected_clock = true;
        return !is_over(state->call);
    }
    return false;
}

/* --- retries --- */

static int64_t retry_after_ms(const struct qe_http_reply *reply)
{
    char text[32];
    uint64_t number = 0;
    struct qe_err ignored = {0};

    if (!qe_http_reply_header(reply, "x-amz-retry-after", text, sizeof text) ||
        qe_text_to_u64(text, RETRY_AFTER_MAX_MS, &number, &ignored) != 0) {
        return -1;
    }
    return (int64_t)number;
}

static void pause_until(struct qe_aws_client *client, struct qe_aws_call_state *state,
                        enum qe_aws_phase phase, int64_t resume_mono_ms)
{
    state->phase = phase;
    state->resume_mono_ms = resume_mono_ms;
    client->paused_count++;
}

/* True: the call is done. */
static bool retry(struct qe_aws_client *client, struct qe_aws_call_state *state,
                  const struct qe_aws_error *error)
{
    const struct qe_aws_call *call = state->call;
    const struct qe_aws_retry_question question = {.why = error->retry,
                                                   .attempts = call->attempts,
                                                   .max_attempts = client->max_attempts,
                                                   .is_long_poll = call->is_long_poll,
                                                   .retry_after_ms = retry_after_ms(&client->reply),
                                                   .now_mono_ms = qe_clock_mono_ms(),
                                                   .deadline_mono_ms = call->deadline_mono_ms,
                                                   .chance = qe_random_unit(&client->random)};
    const struct qe_aws_retry_verdict verdict = qe_aws_retry_decide(&client->quota, &question);
    const int64_t resume_mono_ms = question.now_mono_ms + verdict.pause_ms;

    switch (verdict.answer) {
    case QE_AWS_TRY_AGAIN:
        state->paid = verdict.paid;
        tell_retried(client, call);
        pause_until(client, state, QE_AWS_PAUSED, resume_mono_ms);
        return false;
    case QE_AWS_PAUSE_AND_GIVE_UP:
        pause_until(client, state, QE_AWS_PAUSED_LAST, resume_mono_ms);
        return false;
    case QE_AWS_GIVE_UP:
    default:
        return true;
    }
}

static bool fail(struct qe_aws_client *client, struct qe_aws_call_state *state)
{
    struct qe_aws_call *call = state->call;
    struct qe_aws_error error;

    qe_aws_error_read(&client->reply, &error);
    call->err = error.err;
    memcpy(call->code, error.code, sizeof call->code);
    memcpy(call->legacy_code, error.legacy_code, sizeof call->legacy_code);
    tell_attempt(client, call);
    if (has_second_chance(client, state, &error)) {
        tell_retried(client, call);
        return send_again(client, state);
    }
    return call->no_retry || retry(client, state, &error);
}

static bool succeed(struct qe_aws_client *client, const struct qe_aws_call_state *state)
{
    struct qe_aws_call *call = state->call;
    const struct qe_strbuf spare = call->reply_body;

    qe_aws_call_reset_error(call);
    call->reply_body = client->reply.body;
    client->reply.body = spare;
    qe_aws_quota_give_back(&client->quota, state->paid);
    tell_attempt(client, call);
    return true;
}

bool qe_aws_attempt_ended(struct qe_aws_client *client, struct qe_aws_call_state *state)
{
    const struct qe_http_reply *reply = &client->reply;

    state->call->status = reply->status;
    learn_clock(client);
    if (reply->err.code == QE_OK && reply->status >= 200 && reply->status < 300) {
        return succeed(client, state);
    }
    return fail(client, state);
}

bool qe_aws_resume(struct qe_aws_client *client, struct qe_aws_call_state *state)
{
    client->paused_count--;
    /* Woken late, past the deadline: the last error says more than "too late". */
    if (state->phase == QE_AWS_PAUSED_LAST || is_over(state->call)) {
        return true;
    }
    return send_again(client, state);
}
