#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/http_internal.h"
#include "util/clock.h"
#include "util/url.h"

/* The text of one part of the URL, to be freed with curl_free(); NULL: none. */
static char *url_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;

    return curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK ? text : NULL;
}

const char *http_url(CURL *easy)
{
    char *text = NULL;

    return curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &text) == CURLE_OK && text != NULL ? text
                                                                                              : "";
}

void http_place(const char *url, char out[HTTP_PLACE_BYTES])
{
    CURLU *parsed = curl_url();

    (void)snprintf(out, HTTP_PLACE_BYTES, "bad URL");
    if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK) {
        char *host = url_part(parsed, CURLUPART_HOST);
        char *port = url_part(parsed, CURLUPART_PORT);

        if (host != NULL && port != NULL) {
            (void)snprintf(out, HTTP_PLACE_BYTES, "%s:%s", host, port);
        }
        curl_free(host);
        curl_free(port);
    }
    curl_url_cleanup(parsed);
}

static bool was_sent(const struct http_exchange *exchange)
{
    long bytes = 0;

    return curl_easy_getinfo(exchange->easy, CURLINFO_REQUEST_SIZE, &bytes) == CURLE_OK &&
           bytes > 0;
}

static enum qe_err_code code_of(const struct http_exchange *exchange, CURLcode code)
{
    // clang-format off
    static const struct {
        CURLcode curl;
        enum qe_err_code ours;
    } table[] = {
        {CURLE_URL_MALFORMAT, QE_ERR_INVALID},
        {CURLE_OUT_OF_MEMORY, QE_ERR_NOMEM},
        {CURLE_OPERATION_TIMEDOUT, QE_ERR_TIMEOUT},
        {CURLE_WEIRD_SERVER_REPLY, QE_ERR_PROTOCOL},
        {CURLE_FILESIZE_EXCEEDED, QE_ERR_LIMIT},
        /* Files named in the configuration. */
        {CURLE_SSL_CACERT_BADFILE, QE_ERR_INVALID},
        {CURLE_SSL_CERTPROBLEM, QE_ERR_INVALID},
    };
    // clang-format on

    if (code == CURLE_UNSUPPORTED_PROTOCOL) { /* of the URL, or an answer that is not HTTP */
        return was_sent(exchange) ? QE_ERR_PROTOCOL : QE_ERR_INVALID;
    }
    if (code == CURLE_WRITE_ERROR) { /* one of our callbacks refused more */
        if (exchange->reply.body.failed != QE_OK) {
            return exchange->reply.body.failed;
        }
        if (exchange->reply.headers.failed != QE_OK) {
            return exchange->reply.headers.failed;
        }
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].curl == code) {
            return table[i].ours;
        }
    }
    return QE_ERR_NETWORK;
}

static void describe_timeout(const struct http_exchange *exchange, char *out, size_t out_bytes)
{
    const int64_t passed_ms = (qe_clock_mono_us() - exchange->started_mono_us) / 1000;
    long local_port = 0;

    if (was_sent(exchange)) {
        (void)snprintf(out, out_bytes, "no %sanswer within %lld ms",
                       exchange->reply.headers.length_bytes > 0 ? "complete " : "",
                       (long long)passed_ms);
        return;
    }
    (void)curl_easy_getinfo(exchange->easy, CURLINFO_LOCAL_PORT, &local_port);
    (void)snprintf(out, out_bytes, "%s within %lld ms",
                   local_port > 0 ? "connected, but no TLS" : "not connected",
                   (long long)passed_ms);
}

/* Most of curl's errors do not tell that a socket could not be made. 0: one can. */
static int lacks_descriptors(void)
{
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int reason = errno;

    if (fd >= 0) {
        (void)close(fd);
        return 0;
    }
    return reason == EMFILE || reason == ENFILE ? reason : 0;
}

/* What the system said about a connection that could not be made; 0: nothing. */
static int system_error(const struct http_exchange *exchange, CURLcode code)
{
    long reason = 0;

    if (was_sent(exchange)) {
        return 0;
    }
    if (code == CURLE_COULDNT_CONNECT) {
        (void)curl_easy_getinfo(exchange->easy, CURLINFO_OS_ERRNO, &reason);
    }
    return reason != 0 ? (int)reason : lacks_descriptors();
}

/* curl's own words: they repeat the address of a proxy that it does not understand, in quotes and
 * with its password. */
static void show(const char *text, char out[CURL_ERROR_SIZE])
{
    const size_t quote = strcspn(text, "'");
    char shown[QE_URL_SHOWN_BYTES];

    if (text[quote] == '\0' || strchr(text, '@') == NULL) {
        (void)snprintf(out, CURL_ERROR_SIZE, "%s", text);
        return;
    }
    (void)snprintf(out, CURL_ERROR_SIZE, "%.*s'%s", (int)quote, text,
                   qe_url_show(text + quote + 1, shown));
}

void http_error(const struct http_exchange *exchange, CURLcode code, struct qe_err *err)
{
    const enum qe_err_code ours = code_of(exchange, code);

    if (code == CURLE_WRITE_ERROR && exchange->take_err.code != QE_OK) {
        *err = exchange->take_err;
        return;
    }
    char place[HTTP_PLACE_BYTES];
    char why[CURL_ERROR_SIZE];
    const int system_code = ours == QE_ERR_NETWORK ? system_error(exchange, code) : 0;

    http_place(http_url(exchange->easy), place);
    if (system_code != 0) {
        (void)qe_err_set_errno(err, system_code, "%s: cannot connect", place);
        err->code = QE_ERR_NETWORK;
        return;
    }
    if (ours == QE_ERR_TIMEOUT) {
        describe_timeout(exchange, why, sizeof why);
    } else if (ours == QE_ERR_LIMIT && exchange->reply.headers.failed != QE_OK) {
        (void)snprintf(why, sizeof why, "the answer's headers are longer than %zu bytes",
                       QE_HTTP_HEADERS_MAX_BYTES);
    } else if (ours == QE_ERR_LIMIT) {
        (void)snprintf(why, sizeof why, "the answer is longer than %zu bytes",
                       exchange->reply_max_bytes);
    } else if (ours == QE_ERR_NOMEM) {
        (void)snprintf(why, sizeof why, "out of memory");
    } else {
        show(exchange->curl_text[0] != '\0' ? exchange->curl_text : curl_easy_strerror(code), why);
    }
    (void)qe_err_set(err, ours, "%s: %s", place, why);
}
