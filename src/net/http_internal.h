/* What the files of the HTTP client share: http_client.c has the requests in flight,
 * http_exchange.c prepares one and takes in its answer, http_error.c says what went wrong. */
#ifndef QE_NET_HTTP_INTERNAL_H
#define QE_NET_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "net/http_client.h"

/* One request and its answer. Kept for the next request with all its memory, since an easy handle
 * is dear to make. */
struct http_exchange {
    struct http_exchange *previous; /* in the list it is in: in flight, finished or spare */
    struct http_exchange *next;
    CURL *easy;                      /* owned */
    struct curl_slist *header_nodes; /* owned, as an array; their text is in header_text */
    size_t header_nodes_capacity;
    struct qe_strbuf header_text;
    qe_http_take_fn *take; /* NULL: the reply collects the body */
    size_t taken_bytes;
    struct qe_err take_err; /* QE_OK, or why no more is taken */
    size_t reply_max_bytes;
    int64_t deadline_mono_ms;
    int64_t timeout_ms; /* from the start to the deadline */
    int64_t connect_timeout_ms;
    int64_t started_mono_us;
    char curl_text[CURL_ERROR_SIZE]; /* curl's own words */

    struct qe_http_reply reply;
    bool headers_done; /* what follows are trailers */
    bool is_finished;
};

/* --- http_exchange.c --- */

struct http_exchange *http_exchange_new(const struct qe_http_client_options *options,
                                        struct qe_err *err) QE_MUST_CHECK;
void http_exchange_destroy(struct http_exchange *exchange); /* accepts NULL */
/* Makes a spare exchange ready to be added to the multi handle. */
int http_exchange_prepare(struct http_exchange *exchange, const struct qe_http_request *request,
                          struct qe_err *err) QE_MUST_CHECK;
/* Notes the end of the transfer: status, times, error. */
void http_exchange_finish(struct http_exchange *exchange, CURLcode code);
/* As finished by us, not by curl. url: NULL when curl has it already. */
void http_exchange_fail(struct http_exchange *exchange, enum qe_err_code code, const char *url,
                        const char *why);
/* Gives the reply away, and takes over the memory of the one it replaces. */
void http_exchange_hand_over(struct http_exchange *exchange, struct qe_http_reply *out_reply);

/* --- http_error.c --- */

/* "host:port" of a URL, without its user and password; "bad URL" when it has none. */
#define HTTP_PLACE_BYTES 300
void http_place(const char *url, char out[HTTP_PLACE_BYTES]);
/* The URL that the exchange has or had in flight; "": none yet. */
const char *http_url(CURL *easy);
void http_error(const struct http_exchange *exchange, CURLcode code, struct qe_err *err);

#endif
