/* A POST per message, or per batch. Each worker has a client of its own, and with it a connection
 * that is kept, but for at_most_once. Source: RFC 9110 for the statuses. */
#include <stdio.h>
#include <string.h>

#include "consumer/exchange.h"
#include "consumer/handlers.h"
#include "net/http_client.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

/* How late a cancellation is seen. */
#define STEP_MS 50
#define RETRY_AFTER_MAX_MS 43200000
/* Of an answer that is no reply; what it says is cut to one line anyway. */
#define ANSWER_MIN_BYTES ((size_t)64 << 10)
#define STATUS_TOO_MANY 429
#define STATUS_UNAVAILABLE 503

struct http_seat {
    struct qe_http_client *client; /* owned */
    struct qe_http_reply reply;    /* its memory is used again */
    struct qe_strbuf question;     /* of a batch */
    uint64_t next_id;
};

struct http_handler {
    struct qe_http_handler_options options;
    struct qe_pair *headers; /* owned; its texts are borrowed */
    struct http_seat *seats; /* owned; one per worker */
    size_t seats_count;
    bool has_content_type; /* among the configured headers */
};

/* One call. */
struct post {
    const struct http_handler *http;
    struct http_seat *seat;
    struct qe_exchange exchange;
    const struct qe_handling *handling;
    struct qe_handled *out;
};

/* --- the question --- */

static void add_headers(const struct post *post, struct qe_facts *facts)
{
    const struct qe_http_handler_options *options = &post->http->options;
    const bool in_batches = options->common.in_batches;

    for (size_t i = 0; i < options->headers_count; i++) {
        qe_facts_add(facts, post->http->headers[i].name, post->http->headers[i].value);
    }
    if (!post->http->has_content_type) {
        qe_facts_add(facts, "Content-Type",
                     in_batches ? "application/json" : "application/octet-stream");
    }
    qe_facts_add_origin(facts, &options->common.origin);
    if (!in_batches) {
        qe_facts_add_message(facts, post->exchange.messages[0]);
    }
}

static size_t reply_max_bytes(const struct post *post)
{
    const struct qe_handler_common *common = &post->http->options.common;

    return common->in_batches ? qe_exchange_answer_max_bytes(&post->exchange)
                              : common->reply_max_bytes + ANSWER_MIN_BYTES;
}

/* Sends it and waits for the answer, which is then in the seat. -1: there is none. */
static int fetch(const struct post *post, const struct qe_http_request *request, struct qe_err *err)
{
    struct http_seat *seat = post->seat;
    enum qe_http_event event = QE_HTTP_TIME;

    if (qe_http_start(seat->client, request, err) != 0) {
        return -1;
    }
    while (event == QE_HTTP_TIME) {
        event = qe_http_wait(seat->client, qe_clock_mono_ms() + STEP_MS, false, &seat->reply);
        if (event == QE_HTTP_TIME && atomic_load(post->handling->cancelled)) {
            qe_http_abort(seat->client);
            return qe_err_set(err, QE_ERR_CANCELLED, "the request was cut short");
        }
    }
    *err = seat->reply.err;
    return err->code == QE_OK ? 0 : -1;
}

static int ask(const struct post *post, int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_http_handler_options *options = &post->http->options;
    struct qe_http_header headers[QE_FACTS_MAX];
    struct qe_strbuf *question = &post->seat->question;
    const struct qe_message *message = post->exchange.messages[0];
    struct qe_facts facts;

    post->seat->reply.status = 0; /* of the call before */
    qe_exchange_reset(question);
    if (options->common.in_batches && qe_exchange_ask(&post->exchange, question, err) != 0) {
        return -1;
    }
    qe_facts_init(&facts, &qe_facts_headers);
    add_headers(post, &facts);
    int rc = qe_facts_error(&facts, err);

    if (rc == 0) {
        for (size_t i = 0; i < facts.count; i++) {
            const struct qe_pair pair = qe_facts_get(&facts, i);

            headers[i] = (struct qe_http_header){.name = pair.name, .value = pair.value};
        }
        const struct qe_http_request request = {
            .method = "POST",
            .url = options->url,
            .headers = headers,
            .headers_count = facts.count,
            .body = options->common.in_batches ? question->data : message->body,
            .body_bytes = options->common.in_batches ? question->length_bytes : message->body_bytes,
            .deadline_mono_ms = deadline_mono_ms,
            .reply_max_bytes = reply_max_bytes(post),
            .once = options->posts_once};

        rc = fetch(post, &request, err);
    }
    qe_facts_deinit(&facts);
    return rc;
}

/* --- the answer --- */

/* The one header that says more precisely why: a configured word, or free text. Without it the
 * first line of the body. */
static void find_reason(const struct qe_http_reply *reply, char *out, size_t out_bytes)
{
    if (!qe_http_reply_header(reply, "X-Queue-Reason", out, out_bytes)) {
        const char *body = qe_strbuf_text(&reply->body);

        (void)snprintf(out, out_bytes, "%.*s", (int)strcspn(body, "\r\n"), body);
    }
}

static void fail_all(const struct post *post, enum qe_outcome outcome, int64_t delay_ms)
{
    const struct qe_http_reply *reply = &post->seat->reply;
    char lead[64];
    char said[512];

    (void)snprintf(lead, sizeof lead, "HTTP status %u", reply->status);
    find_reason(reply, said, sizeof said);
    for (size_t i = 0; i < post->exchange.count; i++) {
        qe_handled_fail_saying(&post->out[i], outcome, &post->http->options.common.reasons, lead,
                               said);
        post->out[i].retry_delay_ms = delay_ms;
    }
}

static bool wants_reply(const struct post *post)
{
    return post->exchange.messages[0]->reply_to[0] != '\0';
}

static void refuse_reply(const struct post *post)
{
    qe_handled_fail(post->out, QE_OUTCOME_REJECT, QE_FAIL_PERMANENT,
                    "its reply is longer than max_reply (%zu bytes)",
                    post->http->options.common.reply_max_bytes);
}

static void take_reply(const struct post *post)
{
    const struct qe_handler_common *common = &post->http->options.common;
    const struct qe_strbuf *body = &post->seat->reply.body;

    if (wants_reply(post) && body->length_bytes > common->reply_max_bytes) {
        refuse_reply(post);
    } else if (wants_reply(post) &&
               qe_strbuf_append(&post->out->reply, body->data, body->length_bytes) != 0) {
        qe_handled_fail(post->out, QE_OUTCOME_RETRY, QE_FAIL_INTERNAL, "out of memory for a reply");
    } else {
        post->out->outcome = QE_OUTCOME_SUCCESS;
    }
}

static void take_results(const struct post *post)
{
    const struct qe_strbuf *body = &post->seat->reply.body;
    struct qe_err err = {0};

    if (body->length_bytes == 0) { /* all alike: no results to tell */
        for (size_t i = 0; i < post->exchange.count; i++) {
            post->out[i].outcome = QE_OUTCOME_SUCCESS;
        }
    } else if (qe_exchange_answer(&post->exchange, body->data, body->length_bytes, post->out,
                                  &err) != 0) {
        (void)qe_err_wrap(&err, "HTTP status %u, but its body was not understood",
                          post->seat->reply.status);
        qe_exchange_fail(&post->exchange, post->out, qe_exchange_reason(&err), err.message);
    }
}

static void judge(const struct post *post)
{
    const struct qe_http_reply *reply = &post->seat->reply;
    const unsigned status = reply->status;

    if (status >= 200 && status < 300) {
        if (post->http->options.common.in_batches) {
            take_results(post);
        } else {
            take_reply(post);
        }
    } else if (status == STATUS_TOO_MANY || status == STATUS_UNAVAILABLE) {
        fail_all(post, QE_OUTCOME_RETRY,
                 qe_http_reply_retry_after_ms(reply, qe_clock_unix_ms(), RETRY_AFTER_MAX_MS));
    } else if (status >= 400 && status < 500) {
        fail_all(post, QE_OUTCOME_REJECT, -1);
    } else if (status >= 300 && status < 400) {
        char where[300] = "";

        (void)qe_http_reply_header(reply, "Location", where, sizeof where);
        for (size_t i = 0; i < post->exchange.count; i++) {
            qe_handled_fail(&post->out[i], QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR,
                            "HTTP status %u: redirects are not followed, set url to %s", status,
                            where[0] != '\0' ? where : "where it answers");
        }
    } else {
        fail_all(post, QE_OUTCOME_RETRY, -1);
    }
}

/* An answer with more to say than is read; its status still decides. */
static void judge_long(const struct post *post, const struct qe_err *err)
{
    const unsigned status = post->seat->reply.status;

    if (status < 200 || status >= 300) {
        judge(post);
    } else if (post->http->options.common.in_batches) {
        qe_exchange_fail(&post->exchange, post->out, QE_FAIL_HANDLER_ERROR, err->message);
    } else if (wants_reply(post)) {
        refuse_reply(post);
    } else {
        post->out->outcome = QE_OUTCOME_SUCCESS;
    }
}

static void judge_failure(const struct post *post, const struct qe_err *err)
{
    if (err->code == QE_ERR_LIMIT && post->seat->reply.status != 0) {
        judge_long(post, err);
        return;
    }
    qe_exchange_fail(&post->exchange, post->out, qe_exchange_reason(err), err->message);
}

static void handle(void *self, const struct qe_message *const *messages, size_t count,
                   const struct qe_handling *handling, struct qe_handled *out)
{
    struct http_handler *http = self;
    struct http_seat *seat = &http->seats[handling->worker];
    const struct post post = {.http = http,
                              .seat = seat,
                              .exchange = {.common = &http->options.common,
                                           .messages = messages,
                                           .count = count,
                                           .first_id = seat->next_id},
                              .handling = handling,
                              .out = out};
    bool by_timeout = false;
    struct qe_err err = {0};

    seat->next_id += count;
    if (ask(&post, qe_handler_deadline(&http->options.common, handling, &by_timeout), &err) == 0) {
        judge(&post);
    } else {
        judge_failure(&post, &err);
    }
}

static void destroy(void *self)
{
    struct http_handler *http = self;

    if (http == NULL) {
        return;
    }
    for (size_t i = 0; http->seats != NULL && i < http->seats_count; i++) {
        qe_http_client_destroy(http->seats[i].client);
        qe_http_reply_deinit(&http->seats[i].reply);
        qe_strbuf_deinit(&http->seats[i].question);
    }
    qe_free(http->seats);
    qe_free(http->headers);
    qe_free(http);
}

void *qe_handler_http_new(const struct qe_http_handler_options *options, struct qe_err *err)
{
    const struct qe_http_client_options client = {.ca_file = options->ca_file,
                                                  .cert_file = options->cert_file,
                                                  .key_file = options->key_file,
                                                  .user_agent = "queue_exporter",
                                                  .connections_max = 1};
    const size_t count = (size_t)options->common.workers;
    struct http_handler *http = qe_calloc(1, sizeof *http);

    if (http != NULL) {
        http->options = *options;
        http->headers = qe_pairs_copy(options->headers, options->headers_count);
        http->seats = qe_calloc(count, sizeof *http->seats);
    }
    if (http == NULL || http->seats == NULL ||
        (http->headers == NULL && options->headers_count > 0)) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "http handler");
        destroy(http);
        return NULL;
    }
    for (size_t i = 0; i < options->headers_count; i++) {
        http->has_content_type = http->has_content_type ||
                                 qe_text_equal_nocase(options->headers[i].name, "Content-Type");
    }
    for (; http->seats_count < count; http->seats_count++) {
        struct http_seat *seat = &http->seats[http->seats_count];

        seat->next_id = 1;
        seat->client = qe_http_client_new(&client, err);
        if (seat->client == NULL) {
            destroy(http);
            return NULL;
        }
    }
    return http;
}

const struct qe_handler qe_handler_http = {
    .name = "http", .takes_batches = true, .handle = handle, .destroy = destroy};
