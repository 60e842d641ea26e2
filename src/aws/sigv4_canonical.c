#include <string.h>

#include "aws/sigv4_internal.h"
#include "util/secret.h"

void qe_sigv4_put(struct qe_sigv4_sink *sink, const char *bytes, size_t count)
{
    if (count > sizeof sink->chunk - sink->used_bytes && qe_sigv4_flush(sink) != 0) {
        return;
    }
    if (count <= sizeof sink->chunk) {
        memcpy(sink->chunk + sink->used_bytes, bytes, count);
        sink->used_bytes += count;
        return;
    }
    if (qe_sha256_add(sink->hash, bytes, count) != 0 ||
        (sink->copy != NULL && qe_strbuf_append(sink->copy, bytes, count) != 0)) {
        sink->failed = true;
    }
}

int qe_sigv4_flush(struct qe_sigv4_sink *sink)
{
    if (qe_sha256_add(sink->hash, sink->chunk, sink->used_bytes) != 0 ||
        (sink->copy != NULL && qe_strbuf_append(sink->copy, sink->chunk, sink->used_bytes) != 0)) {
        sink->failed = true;
    }
    qe_secret_wipe(sink->chunk, sink->used_bytes);
    sink->used_bytes = 0;
    return sink->failed ? -1 : 0;
}

static void put_text(struct qe_sigv4_sink *sink, const char *text)
{
    qe_sigv4_put(sink, text, strlen(text));
}

/* --- percent-encoding --- */

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void append_encoded(struct qe_strbuf *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";

    if (is_unreserved(c)) {
        (void)qe_strbuf_append_char(out, (char)c);
    } else {
        const char encoded[] = {'%', digits[c >> 4], digits[c & 0x0f]};

        (void)qe_strbuf_append(out, encoded, sizeof encoded);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A query is given as it is sent, encoded or not: decoded and encoded again it has one form. What
 * is no %XX stands for itself. */
static void append_recoded(struct qe_strbuf *out, const char *bytes, size_t count)
{
    size_t step = 0;

    for (size_t i = 0; i < count; i += step) {
        unsigned char c = (unsigned char)bytes[i];
        step = 1;
        if (c == '%' && count - i > 2 && hex_value(bytes[i + 1]) >= 0 &&
            hex_value(bytes[i + 2]) >= 0) {
            c = (unsigned char)(hex_value(bytes[i + 1]) * 16 + hex_value(bytes[i + 2]));
            step = 3;
        }
        append_encoded(out, c);
    }
}

/* --- the path --- */

static bool is_text(const char *bytes, size_t count, const char *text)
{
    return count == strlen(text) && memcmp(bytes, text, count) == 0;
}

/* Drops the last segment of a path that ends with '/'. */
static void drop_segment(struct qe_strbuf *path)
{
    if (path->length_bytes > 1) {
        path->length_bytes--;
        while (path->data[path->length_bytes - 1] != '/') {
            path->length_bytes--;
        }
    }
}

/* Appends `path` without ".", ".." and empty segments; one that ended in any of them ends in '/'.
 * Starts with '/' in any case. */
static void append_resolved(struct qe_strbuf *out, const char *path)
{
    const char *end = path + strlen(path);

    (void)qe_strbuf_append_char(out, '/');
    for (const char *at = path, *stop = NULL; at < end && out->failed == QE_OK; at = stop + 1) {
        stop = memchr(at, '/', (size_t)(end - at));
        const bool is_last = stop == NULL;
        stop = is_last ? end : stop;
        const size_t length = (size_t)(stop - at);
        if (is_text(at, length, "..")) {
            drop_segment(out);
        } else if (length > 0 && !is_text(at, length, ".")) {
            (void)qe_strbuf_append(out, at, length);
            (void)qe_strbuf_append(out, "/", is_last ? 0 : 1);
        }
    }
}

static int put_path(const struct qe_sigv4_request *request, struct qe_sigv4_sink *sink,
                    struct qe_strbuf *scratch)
{
    const char *path = request->path;

    if (path[0] == '\0' || strcmp(path, "/") == 0) {
        put_text(sink, "/");
        return 0;
    }
    qe_strbuf_reset(scratch);
    if (request->normalize_path) {
        append_resolved(scratch, path);
    } else {
        (void)qe_strbuf_append_text(scratch, path);
    }
    const size_t resolved_bytes = scratch->length_bytes;

    /* Encoded once more than it is sent: every service but S3 wants it so. */
    for (size_t i = 0; i < resolved_bytes && scratch->failed == QE_OK; i++) {
        const unsigned char c = (unsigned char)scratch->data[i];
        if (c == '/') {
            (void)qe_strbuf_append_char(scratch, '/');
        } else {
            append_encoded(scratch, c);
        }
    }
    if (scratch->failed != QE_OK) {
        return -1;
    }
    qe_sigv4_put(sink, scratch->data + resolved_bytes, scratch->length_bytes - resolved_bytes);
    return 0;
}

/* --- the query --- */

/* Encoded, within the scratch buffer, which moves while it grows. */
struct parameter {
    size_t name;
    size_t name_bytes;
    size_t value;
    size_t value_bytes;
};

static struct parameter append_parameter(struct qe_strbuf *scratch, const char *bytes, size_t count)
{
    const char *equals = memchr(bytes, '=', count);
    const size_t name_bytes = equals == NULL ? count : (size_t)(equals - bytes);
    struct parameter parameter = {.name = scratch->length_bytes};

    append_recoded(scratch, bytes, name_bytes);
    parameter.value = scratch->length_bytes;
    parameter.name_bytes = parameter.value - parameter.name;
    if (equals != NULL) {
        append_recoded(scratch, equals + 1, count - name_bytes - 1);
    }
    parameter.value_bytes = scratch->length_bytes - parameter.value;
    return parameter;
}

static int compare_bytes(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    const int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);

    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static bool comes_before(const char *text, const struct parameter *a, const struct parameter *b)
{
    const int order = compare_bytes(text + a->name, a->name_bytes, text + b->name, b->name_bytes);

    return order < 0 || (order == 0 && compare_bytes(text + a->value, a->value_bytes,
                                                     text + b->value, b->value_bytes) < 0);
}

static void sort_parameters(const char *text, struct parameter *parameters, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct parameter moved = parameters[i];
        size_t to = i;
        for (; to > 0 && comes_before(text, &moved, &parameters[to - 1]); to--) {
            parameters[to] = parameters[to - 1];
        }
        parameters[to] = moved;
    }
}

static int put_query(const char *query, struct qe_sigv4_sink *sink, struct qe_strbuf *scratch,
                     struct qe_err *err)
{
    struct parameter parameters[QE_SIGV4_PARAMETERS_MAX];
    const char *end = query + strlen(query);
    size_t count = 0;

    qe_strbuf_reset(scratch);
    for (const char *at = query, *stop = NULL; at < end; at = stop + 1) {
        stop = memchr(at, '&', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        if (stop == at) {
            continue;
        }
        if (count == QE_SIGV4_PARAMETERS_MAX) {
            return qe_err_set(err, QE_ERR_INVALID, "a query has more than %d parameters",
                              QE_SIGV4_PARAMETERS_MAX);
        }
        parameters[count++] = append_parameter(scratch, at, (size_t)(stop - at));
    }
    if (scratch->failed != QE_OK) {
        return qe_strbuf_error(scratch, err);
    }
    const char *text = qe_strbuf_text(scratch);

    sort_parameters(text, parameters, count);
    for (size_t i = 0; i < count; i++) {
        put_text(sink, i == 0 ? "" : "&");
        qe_sigv4_put(sink, text + parameters[i].name, parameters[i].name_bytes);
        put_text(sink, "=");
        qe_sigv4_put(sink, text + parameters[i].value, parameters[i].value_bytes);
    }
    return 0;
}

/* --- headers --- */

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static int compare_names(const char *a, const char *b)
{
    size_t i = 0;

    while (a[i] != '\0' && lower(a[i]) == lower(b[i])) {
        i++;
    }
    return lower(a[i]) - lower(b[i]);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Trimmed, with inner runs of blanks (and line ends of a folded value) as one space. */
static void put_value(struct qe_sigv4_sink *sink, const char *value)
{
    const char *at = value;

    while (is_blank(*at)) {
        at++;
    }
    while (*at != '\0') {
        const char *word = at;
        while (*at != '\0' && !is_blank(*at)) {
            at++;
        }
        qe_sigv4_put(sink, word, (size_t)(at - word));
        while (is_blank(*at)) {
            at++;
        }
        put_text(sink, *at == '\0' ? "" : " ");
    }
}

/* Stable: the values of a name that stands twice keep their order. */
static void sort_headers(const struct qe_http_header **headers, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct qe_http_header *moved = headers[i];
        size_t to = i;
        for (; to > 0 && compare_names(moved->name, headers[to - 1]->name) < 0; to--) {
            headers[to] = headers[to - 1];
        }
        headers[to] = moved;
    }
}

static int put_headers(const struct qe_sigv4_request *request, struct qe_sigv4_sink *sink,
                       struct qe_strbuf *names, struct qe_err *err)
{
    const struct qe_http_header *sorted[QE_SIGV4_HEADERS_MAX];
    const size_t count = request->headers_count;

    if (count > QE_SIGV4_HEADERS_MAX) {
        return qe_err_set(err, QE_ERR_INVALID, "%zu headers are to be signed, more than %d", count,
                          QE_SIGV4_HEADERS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &request->headers[i];
    }
    sort_headers(sorted, count);
    qe_strbuf_reset(names);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_names(sorted[i - 1]->name, sorted[i]->name) == 0) {
            put_text(sink, ",");
        } else {
            (void)qe_strbuf_append(names, ";", i == 0 ? 0 : 1);
            const size_t start = names->length_bytes;
            for (const char *c = sorted[i]->name; *c != '\0'; c++) {
                (void)qe_strbuf_append_char(names, (char)lower(*c));
            }
            put_text(sink, i == 0 ? "" : "\n");
            qe_sigv4_put(sink, qe_strbuf_text(names) + start, names->length_bytes - start);
            put_text(sink, ":");
        }
        put_value(sink, sorted[i]->value);
    }
    return qe_strbuf_error(names, err);
}

int qe_sigv4_canonical(const struct qe_sigv4_request *request, struct qe_sigv4_sink *sink,
                       struct qe_strbuf *scratch, struct qe_strbuf *out_names, struct qe_err *err)
{
    put_text(sink, request->method);
    put_text(sink, "\n");
    if (put_path(request, sink, scratch) != 0) {
        return qe_strbuf_error(scratch, err);
    }
    put_text(sink, "\n");
    if (request->query != NULL && request->query[0] != '\0' &&
        put_query(request->query, sink, scratch, err) != 0) {
        return -1;
    }
    put_text(sink, "\n");
    if (put_headers(request, sink, out_names, err) != 0) {
        return -1;
    }
    put_text(sink, request->headers_count == 0 ? "\n" : "\n\n");
    put_text(sink, qe_strbuf_text(out_names));
    put_text(sink, "\n");
    return 0;
}
