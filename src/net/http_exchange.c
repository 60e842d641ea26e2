#include <ctype.h>
#include <string.h>

#include "net/http_internal.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

/* A connection that the other side may have forgotten is not used again: load balancers of AWS
 * drop one after 120 s or more, some proxies after less (which costs one retry inside curl). */
#define CONNECTION_IDLE_MAX_SECONDS 110L
#define HEADERS_MAX_COUNT 128
#define HEADER_TEXT_MAX_BYTES ((size_t)256 << 10)
/* Memory that an unusual reply took is not kept for the next. */
#define KEEP_BODY_MAX_BYTES ((size_t)256 << 10)

/* What curl would add by itself: an empty value takes it away. Expect would cost a round trip for
 * bodies over 1 MiB. */
static const char *const s_unwanted_headers[] = {"Content-Type", "Expect"};

static bool is_good(const struct http_exchange *exchange)
{
    long status = 0;

    return curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
           status == 200;
}

static size_t hand_on(struct http_exchange *exchange, const char *bytes, size_t count)
{
    if (count > exchange->reply_max_bytes - exchange->taken_bytes) {
        exchange->reply.body.failed = QE_ERR_LIMIT;
        return 0;
    }
    exchange->taken_bytes += count;
    return exchange->take(exchange->reply.context, bytes, count, &exchange->take_err) == 0 ? count
                                                                                           : 0;
}

static size_t take_body(char *bytes, size_t one, size_t count, void *self)
{
    struct http_exchange *exchange = self;

    (void)one; /* always 1 */
    if (exchange->take != NULL && is_good(exchange)) {
        return hand_on(exchange, bytes, count);
    }
    return qe_strbuf_append(&exchange->reply.body, bytes, count) == 0 ? count : 0;
}

static size_t take_header(char *bytes, size_t one, size_t count, void *self)
{
    struct http_exchange *exchange = self;

    (void)one;
    if (count >= 5 && memcmp(bytes, "HTTP/", 5) == 0) { /* an interim answer may precede it */
        qe_strbuf_reset(&exchange->reply.headers);
        exchange->headers_done = false;
    }
    if (exchange->headers_done) {
        return count; /* a trailer speaks for nobody */
    }
    exchange->headers_done = bytes[0] == '\r' || bytes[0] == '\n';
    return qe_strbuf_append(&exchange->reply.headers, bytes, count) == 0 ? count : 0;
}

/* --- made once --- */

static bool set_files(CURL *easy, const struct qe_http_client_options *options)
{
    bool done = true;

    if (options->ca_file != NULL) {
        done = done && curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file) == CURLE_OK;
        done = done && curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    }
    if (options->cert_file != NULL) {
        done = done && curl_easy_setopt(easy, CURLOPT_SSLCERT, options->cert_file) == CURLE_OK;
    }
    if (options->key_file != NULL) {
        done = done && curl_easy_setopt(easy, CURLOPT_SSLKEY, options->key_file) == CURLE_OK;
    }
    if (options->user_agent != NULL) {
        done = done && curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent) == CURLE_OK;
    }
    return done;
}

static bool set_numbers(CURL *easy)
{
    static const struct {
        CURLoption option;
        long value;
    } table[] = {
        {CURLOPT_NOSIGNAL, 1}, /* threads; SIGPIPE is the program's to ignore */
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_PATH_AS_IS, 1}, /* the path that was signed */
        {CURLOPT_SUPPRESS_CONNECT_HEADERS, 1},
        {CURLOPT_TCP_KEEPALIVE, 1},
        {CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_MAX_SECONDS},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
#if LIBCURL_VERSION_NUM >= 0x075700
        /* Else the removal of a request whose name is being resolved waits for the resolver, which
         * knows no deadline. Its thread ends by itself, and frees what it has. */
        {CURLOPT_QUICK_EXIT, 1},
#endif
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (curl_easy_setopt(easy, table[i].option, table[i].value) != CURLE_OK) {
            return false;
        }
    }
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
}

static bool set_callbacks(struct http_exchange *exchange)
{
    CURL *easy = exchange->easy;

    return curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->curl_text) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange) == CURLE_OK;
}

struct http_exchange *http_exchange_new(const struct qe_http_client_options *options,
                                        struct qe_err *err)
{
    struct http_exchange *exchange = qe_calloc(1, sizeof *exchange);

    if (exchange != NULL && (exchange->easy = curl_easy_init()) != NULL &&
        set_numbers(exchange->easy) && set_callbacks(exchange) &&
        set_files(exchange->easy, options)) {
        exchange->header_text.is_secret = true; /* Authorization and tokens stand there */
        return exchange;
    }
    (void)qe_err_set(err, QE_ERR_NOMEM, "out of memory for an HTTP request");
    http_exchange_destroy(exchange);
    return NULL;
}

void http_exchange_destroy(struct http_exchange *exchange)
{
    if (exchange == NULL) {
        return;
    }
    curl_easy_cleanup(exchange->easy);
    qe_free(exchange->header_nodes);
    qe_strbuf_deinit(&exchange->header_text);
    qe_http_reply_deinit(&exchange->reply);
    qe_free(exchange);
}

/* --- made per request --- */

static bool is_token(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && strchr("!#$%&'*+-.^_`|~", *c) == NULL) {
            return false;
        }
    }
    return text[0] != '\0';
}

static bool has_header(const struct qe_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->headers_count; i++) {
        if (qe_text_equal_nocase(request->headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* curl's spelling: "Name: value", "Name;" for an empty value, "Name:" to leave its own out. */
static int append_header(struct qe_strbuf *out, const struct qe_http_header *header,
                         struct qe_err *err)
{
    if (!is_token(header->name)) {
        return qe_err_set(err, QE_ERR_INVALID, "not a header's name");
    }
    /* One that comes from a file or an environment variable must not add headers of its own. */
    if (!qe_text_is_header_value(header->value)) {
        return qe_err_set(err, QE_ERR_INVALID, "header %s has a control character in its value",
                          header->name);
    }
    (void)qe_strbuf_append_text(out, header->name);
    if (header->value[strspn(header->value, " \t")] == '\0') {
        (void)qe_strbuf_append_char(out, ';');
    } else {
        (void)qe_strbuf_append(out, ": ", 2);
        (void)qe_strbuf_append_text(out, header->value);
    }
    return qe_strbuf_append_char(out, '\0') == 0 ? 0 : qe_strbuf_error(out, err);
}

static int append_headers(struct http_exchange *exchange, const struct qe_http_request *request,
                          size_t *out_count, struct qe_err *err)
{
    struct qe_strbuf *text = &exchange->header_text;
    size_t count = request->headers_count;

    qe_strbuf_reset(text);
    text->max_bytes = HEADER_TEXT_MAX_BYTES;
    for (size_t i = 0; i < request->headers_count; i++) {
        if (append_header(text, &request->headers[i], err) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < sizeof s_unwanted_headers / sizeof s_unwanted_headers[0]; i++) {
        if (!has_header(request, s_unwanted_headers[i])) {
            (void)qe_strbuf_append_text(text, s_unwanted_headers[i]);
            (void)qe_strbuf_append(text, ":", 2); /* with its NUL */
            count++;
        }
    }
    *out_count = count;
    return qe_strbuf_error(text, err);
}

/* A curl_slist out of our own memory: curl only reads it, and copying it would cost two
 * allocations per header and request. */
static int make_headers(struct http_exchange *exchange, const struct qe_http_request *request,
                        struct qe_err *err)
{
    size_t count = 0;

    if (request->headers_count > HEADERS_MAX_COUNT) {
        return qe_err_set(err, QE_ERR_LIMIT, "more than %d headers", HEADERS_MAX_COUNT);
    }
    if (append_headers(exchange, request, &count, err) != 0) {
        return -1;
    }
    if (count > exchange->header_nodes_capacity) {
        struct curl_slist *nodes = qe_reallocarray(exchange->header_nodes, count, sizeof *nodes);

        if (nodes == NULL) {
            return qe_err_set(err, QE_ERR_NOMEM, "out of memory for %zu headers", count);
        }
        exchange->header_nodes = nodes;
        exchange->header_nodes_capacity = count;
    }
    char *text = exchange->header_text.data;

    for (size_t i = 0; i < count; i++) {
        exchange->header_nodes[i].data = text;
        exchange->header_nodes[i].next = i + 1 < count ? &exchange->header_nodes[i + 1] : NULL;
        text += strlen(text) + 1;
    }
    return 0;
}

static bool set_method(CURL *easy, const struct qe_http_request *request)
{
    const char *method = request->method;
    const char *custom = NULL;
    bool done = false;

    if (request->body == NULL && strcmp(method, "GET") == 0) {
        done = curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    } else if (request->body == NULL && strcmp(method, "HEAD") == 0) {
        done = curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    } else {
        const curl_off_t bytes = request->body == NULL ? 0 : (curl_off_t)request->body_bytes;

        custom = strcmp(method, "POST") == 0 ? NULL : method;
        done = curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, bytes) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                request->body == NULL ? "" : request->body) == CURLE_OK;
    }
    return done && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, custom) == CURLE_OK;
}

static bool set_request(struct http_exchange *exchange, const struct qe_http_request *request)
{
    CURL *easy = exchange->easy;

    return set_method(easy, request) &&
           curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->header_nodes) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)exchange->timeout_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)exchange->connect_timeout_ms) ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->once ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->once ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, request->no_proxy ? "" : NULL) == CURLE_OK;
}

static void reset_reply(struct http_exchange *exchange, const struct qe_http_request *request)
{
    struct qe_http_reply *reply = &exchange->reply;

    qe_strbuf_reset(&reply->body);
    qe_strbuf_reset(&reply->headers);
    reply->body.max_bytes =
        request->reply_max_bytes == 0 ? QE_HTTP_REPLY_MAX_BYTES : request->reply_max_bytes;
    reply->body.is_secret = request->is_secret;
    reply->headers.max_bytes = QE_HTTP_HEADERS_MAX_BYTES;
    reply->context = request->context;
    reply->status = 0;
    reply->err.code = QE_OK;
    reply->err.sys_errno = 0;
    reply->err.message[0] = '\0';
    exchange->take = request->take;
    exchange->taken_bytes = 0;
    exchange->take_err = (struct qe_err){0};
    exchange->reply_max_bytes = reply->body.max_bytes;
    exchange->headers_done = false;
    exchange->is_finished = false;
    exchange->curl_text[0] = '\0';
}

int http_exchange_prepare(struct http_exchange *exchange, const struct qe_http_request *request,
                          struct qe_err *err)
{
    const int64_t left_ms = request->deadline_mono_ms - qe_clock_mono_ms();
    const int64_t connect_ms =
        request->connect_timeout_ms > 0 ? request->connect_timeout_ms : QE_HTTP_CONNECT_TIMEOUT_MS;

    if (!is_token(request->method)) {
        return qe_err_set(err, QE_ERR_INVALID, "not an HTTP method");
    }
    /* 0 would be no limit at all to curl, and a day is one for us. */
    exchange->deadline_mono_ms = request->deadline_mono_ms;
    exchange->timeout_ms = left_ms < 1 ? 1 : (left_ms > 86400000 ? 86400000 : left_ms);
    exchange->connect_timeout_ms =
        connect_ms < exchange->timeout_ms ? connect_ms : exchange->timeout_ms;
    reset_reply(exchange, request);
    if (make_headers(exchange, request, err) != 0) {
        return -1;
    }
    if (!set_request(exchange, request)) {
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for an HTTP request");
    }
    exchange->started_mono_us = qe_clock_mono_us();
    exchange->reply.sent_unix_ms = qe_clock_unix_ms();
    return 0;
}

static void note_end(struct http_exchange *exchange)
{
    exchange->is_finished = true;
    exchange->reply.received_unix_ms = qe_clock_unix_ms();
    exchange->reply.duration_seconds =
        (double)(qe_clock_mono_us() - exchange->started_mono_us) / 1e6;
}

void http_exchange_fail(struct http_exchange *exchange, enum qe_err_code code, const char *url,
                        const char *why)
{
    char place[HTTP_PLACE_BYTES];

    note_end(exchange);
    http_place(url != NULL ? url : http_url(exchange->easy), place);
    (void)qe_err_set(&exchange->reply.err, code, "%s: %s", place, why);
}

void http_exchange_finish(struct http_exchange *exchange, CURLcode code)
{
    long status = 0;

    if (code == CURLE_OK && !exchange->headers_done) { /* fine with curl */
        http_exchange_fail(exchange, QE_ERR_NETWORK, NULL, "the answer was cut short");
        return;
    }
    note_end(exchange);
    if (code == CURLE_OK &&
        curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK) {
        exchange->reply.status = (unsigned)status;
        (void)qe_strbuf_text(&exchange->reply.body); /* NUL-terminated */
    } else {
        http_error(exchange, code, &exchange->reply.err);
        if (exchange->reply.err.code == QE_ERR_LIMIT &&
            curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK) {
            exchange->reply.status = (unsigned)status;
        }
    }
}

void http_exchange_hand_over(struct http_exchange *exchange, struct qe_http_reply *out_reply)
{
    const struct qe_http_reply old = *out_reply;

    *out_reply = exchange->reply;
    exchange->reply.body = old.body;
    exchange->reply.headers = old.headers;
    if (exchange->reply.body.capacity_bytes > KEEP_BODY_MAX_BYTES) {
        qe_strbuf_deinit(&exchange->reply.body);
    }
}
