#include "http/request.h"

#include <string.h>

#include "util/text.h"

/* Every mask of the three methods, indexed by it. */
static const char *const s_allow[8] = {
    "",    "GET, HEAD",      "POST",      "GET, HEAD, POST",
    "PUT", "GET, HEAD, PUT", "POST, PUT", "GET, HEAD, POST, PUT",
};

const char *qe_http_allow(unsigned methods)
{
    return s_allow[methods & 7u];
}

/* Lines of one list header mean the same as one line with commas (RFC 9110, 5.3). */
static void join(struct qe_http_head *head, char *out, size_t out_bytes, bool *has,
                 const char *value)
{
    size_t used = strlen(out);
    size_t more = strlen(value);
    size_t comma = *has ? 1 : 0;

    *has = true;
    if (used + comma + more + 1 > out_bytes) {
        head->too_long = true;
        return;
    }
    if (comma != 0) {
        out[used] = ',';
    }
    memcpy(out + used + comma, value, more + 1);
}

static void note_content_length(struct qe_http_head *head, const char *value)
{
    uint64_t length = 0;
    struct qe_err ignored;
    /* Digits only: a sign, a blank or a list is where two parsers come to two answers. */
    bool good = value[0] != '\0' && value[strspn(value, "0123456789")] == '\0' &&
                qe_text_to_u64(value, UINT64_C(1) << 62, &length, &ignored) == 0;

    if (!good || (head->content_length_count > 0 && head->content_length != length)) {
        head->content_length_bad = true;
    }
    head->content_length = length;
    head->content_length_count++;
}

/* A token (RFC 9110, 5.6.2). */
static bool is_name(const char *name)
{
    static const char s_token[] = "!#$%&'*+-.^_`|~0123456789"
                                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    return name[0] != '\0' && name[strspn(name, s_token)] == '\0';
}

void qe_http_head_add(struct qe_http_head *head, const char *name, const char *value)
{
    const char *text = value == NULL ? "" : value;

    if (!is_name(name)) {
        head->name_bad = true;
    } else if (qe_text_equal_nocase(name, "Host")) {
        head->host_count++;
    } else if (qe_text_equal_nocase(name, "Accept")) {
        join(head, head->accept, sizeof head->accept, &head->has_accept, text);
    } else if (qe_text_equal_nocase(name, "Accept-Encoding")) {
        join(head, head->accept_encoding, sizeof head->accept_encoding, &head->has_accept_encoding,
             text);
    } else if (qe_text_equal_nocase(name, "Content-Length")) {
        note_content_length(head, text);
    } else if (qe_text_equal_nocase(name, "Transfer-Encoding")) {
        head->transfer_encoding_count++;
    }
}

static struct qe_http_verdict refuse(unsigned status, const char *text)
{
    return (struct qe_http_verdict){
        .status = status, .text = text, .close = true, .stat = QE_HTTP_OTHER};
}

/* Whether it is certain where this request ends; status 200: it is. */
static struct qe_http_verdict judge_framing(const struct qe_http_head *head)
{
    const char *version = head->version == NULL ? "" : head->version;

    if (head->too_long) {
        return refuse(431, "The request's headers are too long.\n");
    }
    if (head->name_bad) {
        return refuse(400, "A header's name is not a name.\n");
    }
    if (strncmp(version, "HTTP/1.", 7) != 0) {
        return refuse(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.\n");
    }
    if (head->host_count > 1 || (head->host_count == 0 && strcmp(version, "HTTP/1.0") != 0)) {
        return refuse(400, "Exactly one Host header is needed.\n");
    }
    /* Either one alone is fine; both are how requests are smuggled past a proxy. */
    if (head->content_length_count > 0 && head->transfer_encoding_count > 0) {
        return refuse(400, "Content-Length and Transfer-Encoding exclude each other.\n");
    }
    if (head->content_length_bad) {
        return refuse(400, "Content-Length is not one number.\n");
    }
    /* No endpoint reads a body, so a body without a length is not worth its risks. */
    if (head->transfer_encoding_count > 0) {
        return refuse(411, "Send a body, if any, with Content-Length.\n");
    }
    if (head->content_length > QE_HTTP_BODY_MAX_BYTES) {
        return refuse(413, "The request body is larger than 64 KiB.\n");
    }
    return (struct qe_http_verdict){.status = 200};
}

/* "http://host:port/path" is as good as "/path" (RFC 9112, 3.2.2). */
static const char *path_of(const char *target)
{
    if (target == NULL) {
        return "";
    }
    if (target[0] == '/') {
        return target;
    }
    const char *authority = strstr(target, "://");
    if (authority == NULL || authority == target) {
        return target;
    }
    authority += 3;
    const char *path = strchr(authority, '/');
    return path == NULL ? "/" : path;
}

/* 0 for a method that no route has. */
static unsigned method_of(const char *method, bool *out_is_head)
{
    *out_is_head = method != NULL && strcmp(method, "HEAD") == 0;
    if (method == NULL) {
        return 0;
    }
    if (*out_is_head || strcmp(method, "GET") == 0) {
        return QE_HTTP_GET;
    }
    if (strcmp(method, "POST") == 0) {
        return QE_HTTP_POST;
    }
    return strcmp(method, "PUT") == 0 ? QE_HTTP_PUT : 0;
}

struct qe_http_verdict qe_http_judge(const struct qe_http_head *head,
                                     const struct qe_http_route *routes, size_t routes_count)
{
    struct qe_http_verdict verdict = judge_framing(head);
    const char *path = path_of(head->target);

    if (verdict.status != 200) {
        return verdict;
    }
    for (size_t i = 0; i < routes_count && verdict.route == NULL; i++) {
        if (strcmp(routes[i].path, path) == 0) {
            verdict.route = &routes[i];
        }
    }
    unsigned method = method_of(head->method, &verdict.is_head);
    if (verdict.route == NULL) {
        verdict.stat = QE_HTTP_OTHER;
        verdict.status = 404;
        verdict.text = "Not found. The endpoints are listed at /\n";
        return verdict;
    }
    verdict.stat = verdict.route->stat;
    if ((verdict.route->methods & method) == 0) {
        verdict.status = 405;
        verdict.text = verdict.route->method_error;
        verdict.text = verdict.text == NULL ? "Method not allowed.\n" : verdict.text;
        verdict.allow = qe_http_allow(verdict.route->methods);
        return verdict;
    }
    verdict.method = (enum qe_http_method)method;
    return verdict;
}
