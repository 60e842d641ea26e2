/* One GET, and many of them at a time. */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/internal.h"
#include "util/mem.h"
#include "util/text.h"

#define IN_FLIGHT_MAX 4
#define REPLY_MAX_BYTES ((size_t)512 << 20) /* a million queues and more, with statistics */
#define REASON_BYTES 200

/* --- building --- */

void qe_rmq_append_escaped(struct qe_strbuf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    static const char hex[] = "0123456789ABCDEF";

    for (const char *at = text; *at != '\0'; at++) {
        const unsigned char c = (unsigned char)*at;
        const char escape[] = {'%', hex[c >> 4], hex[c & 15]};

        if (strchr(plain, *at) != NULL) {
            (void)qe_strbuf_append_char(out, *at);
        } else {
            (void)qe_strbuf_append(out, escape, sizeof escape);
        }
    }
}

void qe_rmq_call_deinit(struct qe_rmq_call *call)
{
    qe_free(call->url);
    qe_rmq_text_destroy(call->text);
    *call = (struct qe_rmq_call){0};
}

int qe_rmq_call_init(struct qe_rmq_call *call, enum qe_rmq_operation operation, const char *base,
                     const char *path, const char *part, struct qe_err *err)
{
    const char *gap = strstr(path, "%s");
    struct qe_strbuf url;

    qe_strbuf_init(&url, 0);
    (void)qe_strbuf_append_text(&url, base);
    if (gap == NULL) {
        (void)qe_strbuf_append_text(&url, path);
    } else {
        (void)qe_strbuf_append(&url, path, (size_t)(gap - path));
        qe_rmq_append_escaped(&url, part);
        (void)qe_strbuf_append_text(&url, gap + 2);
    }
    *call = (struct qe_rmq_call){.operation = operation};
    if (qe_strbuf_error(&url, err) != 0) {
        qe_strbuf_deinit(&url);
        return -1;
    }
    call->url = qe_strbuf_detach(&url);
    return 0;
}

struct qe_secret *qe_rmq_authorization(const char *username, const char *password,
                                       struct qe_err *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct qe_strbuf plain = {.is_secret = true};
    struct qe_strbuf header = {.is_secret = true};
    struct qe_secret *secret = NULL;

    (void)qe_strbuf_append_text(&plain, username);
    (void)qe_strbuf_append_char(&plain, ':');
    (void)qe_strbuf_append_text(&plain, password);
    (void)qe_strbuf_append_text(&header, "Basic ");
    for (size_t i = 0; i < plain.length_bytes; i += 3) {
        const size_t left = plain.length_bytes - i;
        const unsigned char *at = (const unsigned char *)plain.data + i;
        const unsigned bits = (unsigned)at[0] << 16 | (left > 1 ? (unsigned)at[1] << 8 : 0) |
                              (left > 2 ? (unsigned)at[2] : 0);

        (void)qe_strbuf_append_char(&header, digits[bits >> 18]);
        (void)qe_strbuf_append_char(&header, digits[bits >> 12 & 63]);
        (void)qe_strbuf_append_char(&header, left > 1 ? digits[bits >> 6 & 63] : '=');
        (void)qe_strbuf_append_char(&header, left > 2 ? digits[bits & 63] : '=');
    }
    if (qe_strbuf_error(&plain, err) == 0 && qe_strbuf_error(&header, err) == 0) {
        secret = qe_secret_new(qe_strbuf_text(&header), header.length_bytes, err);
    }
    qe_strbuf_deinit(&plain);
    qe_strbuf_deinit(&header);
    return secret;
}

/* --- judging --- */

/* The broker's own words: "reason", or else "error". */
static void reason_of(const char *body, size_t body_bytes, char out[REASON_BYTES])
{
    struct qe_err ignored = {0};
    struct qe_json *json = qe_json_parse(body, body_bytes, &ignored);
    const char *reason = qe_json_text(qe_json_get(json, "reason"));
    size_t bytes = 0;

    reason = reason != NULL ? reason : qe_json_text(qe_json_get(json, "error"));
    reason = reason != NULL ? reason : "no reason given";
    bytes = qe_text_cut(reason, strlen(reason), REASON_BYTES - 1);
    memcpy(out, reason, bytes);
    out[bytes] = '\0';
    qe_json_destroy(json);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_json(const char *body, size_t body_bytes)
{
    size_t at = 0;

    for (; at < body_bytes && is_blank(body[at]); at++) {
    }
    return at < body_bytes && (body[at] == '[' || body[at] == '{');
}

int qe_rmq_judge(unsigned status, bool is_text, const char *url, const char *body,
                 size_t body_bytes, struct qe_err *err)
{
    char reason[REASON_BYTES];

    if (status == 200) {
        if (is_text || is_json(body, body_bytes)) {
            return 0;
        }
        return qe_err_set(err, QE_ERR_PROTOCOL,
                          "%s answered 200, but not with JSON: is this the management API, or what "
                          "stands before it?",
                          url);
    }
    reason_of(body, body_bytes, reason);
    switch (status) {
    case 401:
    case 403:
        return qe_err_set(err, QE_ERR_AUTH, "%s refused with %u: %s", url, status, reason);
    case 404:
        return qe_err_set(err, QE_ERR_NOT_FOUND, "%s is not there (404): %s", url, reason);
    case 429:
        return qe_err_set(err, QE_ERR_THROTTLED, "%s answered 429: %s", url, reason);
    case 408:
    case 500:
    case 502:
    case 503:
    case 504:
        return qe_err_set(err, QE_ERR_NETWORK, "%s answered %u: %s", url, status, reason);
    default:
        return qe_err_set(err, QE_ERR_PROTOCOL, "%s answered %u: %s", url, status, reason);
    }
}

/* --- sending --- */

bool qe_rmq_take_interrupt(struct qe_rmq *self)
{
    return atomic_exchange(&self->interrupted, false);
}

struct run {
    struct qe_rmq *self;
    const struct qe_rmq_calls *calls;
    size_t next;
};

static void count_call(const struct qe_rmq *self, const struct qe_rmq_call *call)
{
    if (self->stats != NULL) {
        qe_api_stats_count(self->stats, call->operation, call->err.code, call->duration_seconds);
    }
}

static int feed(void *context, const char *piece, size_t piece_bytes, struct qe_err *err)
{
    struct qe_rmq_call *call = context;

    return call->calls->feed(call->calls->context, call, piece, piece_bytes, err) == 0
               ? 0
               : qe_err_wrap(err, "%s", call->url);
}

/* -1: out of memory, which would hold for every other call. */
static int start(struct run *run, struct qe_rmq_call *call, struct qe_err *err)
{
    struct qe_http_header headers[2] = {
        {.name = "Accept", .value = call->is_text ? "text/plain" : "application/json"}};
    size_t headers_count = 1;

    if (!call->is_anonymous) {
        headers[headers_count++] = (struct qe_http_header){
            .name = "Authorization", .value = qe_secret_bytes(run->self->authorization)};
    }
    const struct qe_http_request request = {
        .method = "GET",
        .url = call->url,
        .headers = headers,
        .headers_count = headers_count,
        .deadline_mono_ms =
            call->deadline_mono_ms != 0 && call->deadline_mono_ms < run->calls->deadline_mono_ms
                ? call->deadline_mono_ms
                : run->calls->deadline_mono_ms,
        .reply_max_bytes = REPLY_MAX_BYTES,
        .context = call,
        .take = call->is_text && run->calls->feed != NULL ? feed : NULL};

    call->calls = run->calls;

    if (qe_http_start(run->self->client, &request, &call->err) == 0) {
        return 0;
    }
    if (call->err.code == QE_ERR_NOMEM) {
        *err = call->err;
        return -1;
    }
    count_call(run->self, call);
    return 0;
}

static int start_some(struct run *run, struct qe_err *err)
{
    for (; run->next < run->calls->count && qe_http_in_flight(run->self->client) < IN_FLIGHT_MAX;) {
        if (start(run, &run->calls->items[run->next++], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int finish(struct run *run, const struct qe_http_reply *reply, struct qe_err *err)
{
    struct qe_rmq_call *call = reply->context;
    const char *body = qe_strbuf_text(&reply->body);

    call->err = reply->err;
    call->duration_seconds = reply->duration_seconds;
    if (call->err.code == QE_OK &&
        qe_rmq_judge(reply->status, call->is_text, call->url, body, reply->body.length_bytes,
                     &call->err) == 0 &&
        run->calls->take(run->calls->context, call, body, reply->body.length_bytes, &call->err) !=
            0) {
        (void)qe_err_wrap(&call->err, "%s", call->url);
    }
    count_call(run->self, call);
    if (call->err.code == QE_ERR_NOMEM) {
        *err = call->err;
        return -1;
    }
    return 0;
}

static int wait_once(struct run *run, struct qe_http_reply *reply, struct qe_err *err)
{
    switch (qe_http_wait(run->self->client, 0, true, reply)) {
    case QE_HTTP_REPLY:
        return finish(run, reply, err);
    case QE_HTTP_INTERRUPTED:
        return qe_rmq_take_interrupt(run->self) ? qe_err_set(err, QE_ERR_CANCELLED, "interrupted")
                                                : 0;
    case QE_HTTP_TIME:
    case QE_HTTP_IDLE:
        break;
    }
    return 0;
}

int qe_rmq_run(struct qe_rmq *self, const struct qe_rmq_calls *calls, struct qe_err *err)
{
    struct run run = {.self = self, .calls = calls};
    struct qe_http_reply reply = {0};
    int rc = qe_rmq_take_interrupt(self) ? qe_err_set(err, QE_ERR_CANCELLED, "interrupted") : 0;

    for (; rc == 0;) {
        rc = start_some(&run, err);
        if (rc != 0 || (run.next == calls->count && qe_http_in_flight(self->client) == 0)) {
            break;
        }
        rc = wait_once(&run, &reply, err);
    }
    qe_http_reply_deinit(&reply);
    if (rc != 0) {
        qe_http_abort(self->client);
    }
    return rc;
}
