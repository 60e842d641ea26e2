#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "util/json.h"
#include "util/json_internal.h"
#include "util/text.h"

/* Looks over the text before cJSON may have it, for what cJSON lets pass: depth (it recurses),
 * bytes that are not UTF-8, bare control characters, an escaped NUL (which would silently cut a
 * text short) and numbers such as "01". The order of the words is then cJSON's business. */
struct scan {
    const char *text;
    size_t bytes;
    size_t at; /* of the byte in question, also when the scan fails */
    size_t depth;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool has(const struct scan *scan, char c)
{
    return scan->at < scan->bytes && scan->text[scan->at] == c;
}

static bool scan_digits(struct scan *scan)
{
    const size_t first = scan->at;

    while (scan->at < scan->bytes && is_digit(scan->text[scan->at])) {
        scan->at++;
    }
    return scan->at > first;
}

static bool scan_number(struct scan *scan)
{
    scan->at += has(scan, '-') ? 1 : 0;
    const bool is_zero_first = has(scan, '0');
    const size_t first = scan->at;

    if (!scan_digits(scan) || (is_zero_first && scan->at > first + 1)) {
        return false;
    }
    if (has(scan, '.')) {
        scan->at++;
        if (!scan_digits(scan)) {
            return false;
        }
    }
    if (has(scan, 'e') || has(scan, 'E')) {
        scan->at++;
        scan->at += has(scan, '+') || has(scan, '-') ? 1 : 0;
        return scan_digits(scan);
    }
    return true;
}

/* \uXXXX, or one of the short ones. cJSON takes digits that are none for a NUL. */
static bool scan_escape(struct scan *scan)
{
    const char *escape = scan->text + scan->at;
    const size_t left = scan->bytes - scan->at;

    if (left >= 6 && escape[1] == 'u') {
        for (size_t i = 2; i < 6; i++) {
            if (!is_digit(escape[i]) && (escape[i] == '\0' || !strchr("abcdefABCDEF", escape[i]))) {
                return false;
            }
        }
        scan->at += 6;
        return memcmp(escape + 2, "0000", 4) != 0;
    }
    scan->at += left < 2 ? left : 2;
    return left >= 2 && escape[1] != 'u';
}

/* One character of a string, which starts at `at`: moves behind it. */
static bool scan_character(struct scan *scan)
{
    const unsigned char c = (unsigned char)scan->text[scan->at];
    const size_t left = scan->bytes - scan->at;

    if (c == '\\') {
        return scan_escape(scan);
    }
    if (c < 0x20) {
        return false;
    }
    const size_t length = c < 0x80 ? 1 : qe_text_char_bytes(scan->text + scan->at, left);

    scan->at += length;
    return length > 0;
}

static bool scan_string(struct scan *scan)
{
    scan->at++;
    while (scan->at < scan->bytes && scan->text[scan->at] != '"') {
        if (!scan_character(scan)) {
            return false;
        }
    }
    if (scan->at >= scan->bytes) {
        return false;
    }
    scan->at++;
    return true;
}

/* One piece of the text: moves behind it. */
static bool scan_piece(struct scan *scan)
{
    const char c = scan->text[scan->at];

    if (c == '"') {
        return scan_string(scan);
    }
    if (c == '-' || is_digit(c)) {
        return scan_number(scan);
    }
    if (c == '[' || c == '{') {
        if (scan->depth == QE_JSON_DEPTH_MAX) {
            return false;
        }
        scan->depth++;
    } else if (c == ']' || c == '}') {
        if (scan->depth == 0) {
            return false;
        }
        scan->depth--;
    } else if (c == '\0' || strchr(" \t\r\n,:truefalsn", c) == NULL) {
        /* neither space, nor a sign, nor a letter of the three words */
        return false;
    }
    scan->at++;
    return true;
}

static int fail_at(struct qe_err *err, size_t offset_bytes)
{
    return qe_err_set(err, QE_ERR_PROTOCOL, "not JSON at byte %zu", offset_bytes);
}

static int check(const char *text, size_t bytes, struct qe_err *err)
{
    struct scan scan = {.text = text, .bytes = bytes};

    while (scan.at < bytes) {
        if (!scan_piece(&scan)) {
            if (scan.depth == QE_JSON_DEPTH_MAX && (has(&scan, '[') || has(&scan, '{'))) {
                return qe_err_set(err, QE_ERR_PROTOCOL,
                                  "JSON nested deeper than %d levels at byte %zu",
                                  QE_JSON_DEPTH_MAX, scan.at);
            }
            return fail_at(err, scan.at);
        }
    }
    return scan.depth == 0 ? 0 : fail_at(err, bytes); /* cut short */
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The byte behind the white space at `at`. */
static size_t skip_space(const char *text, size_t bytes, size_t at)
{
    while (at < bytes && is_space(text[at])) {
        at++;
    }
    return at;
}

/* Parses what was looked over. at_bytes: where it stands in the whole text. */
static struct qe_json *parse(const char *text, size_t bytes, size_t at_bytes, struct qe_err *err)
{
    const char *end = text;
    /* cJSON also notes its last error in one variable for all threads. Nobody reads that one. */
    cJSON *node = cJSON_ParseWithLengthOpts(text, bytes, &end, 0);
    const size_t behind = skip_space(text, bytes, (size_t)(end - text));

    if (node == NULL && qe_json_ran_out()) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "out of memory for %zu bytes of JSON", bytes);
    } else if (node == NULL || behind < bytes) {
        (void)fail_at(err, at_bytes + behind);
        cJSON_Delete(node);
        node = NULL;
    }
    return (void *)node;
}

static int prepare(const char *text, size_t bytes, struct qe_err *err)
{
    qe_json_prepare();
    return skip_space(text, bytes, 0) == bytes ? qe_err_set(err, QE_ERR_PROTOCOL, "not JSON: empty")
                                               : check(text, bytes, err);
}

struct qe_json *qe_json_parse(const char *text, size_t bytes, struct qe_err *err)
{
    return prepare(text, bytes, err) == 0 ? parse(text, bytes, 0, err) : NULL;
}

/* The end of the value of a list that begins at `at`: at the comma or bracket behind it. */
static bool scan_item(struct scan *scan)
{
    for (; scan->at < scan->bytes;) {
        if (scan->depth == 1 && (has(scan, ',') || has(scan, ']'))) {
            return true;
        }
        if ((scan->depth == 1 && has(scan, '}')) || !scan_piece(scan)) {
            return false;
        }
    }
    return false;
}

static int give_item(const struct scan *scan, size_t first, qe_json_item_fn *item, void *context,
                     struct qe_err *err)
{
    struct qe_json *value = parse(scan->text + first, scan->at - first, first, err);
    const int rc = value == NULL ? -1 : item(context, value, err);

    qe_json_destroy(value);
    return rc;
}

int qe_json_each(const char *text, size_t bytes, qe_json_item_fn *item, void *context,
                 struct qe_err *err)
{
    struct scan scan = {.text = text, .bytes = bytes, .depth = 1};
    bool is_last = false;

    if (prepare(text, bytes, err) != 0) {
        return -1;
    }
    scan.at = skip_space(text, bytes, 0);
    if (!has(&scan, '[')) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "no JSON array");
    }
    scan.at = skip_space(text, bytes, scan.at + 1);
    is_last = has(&scan, ']');
    for (; !is_last; scan.at++) {
        const size_t first = scan.at;

        if (!scan_item(&scan)) {
            return fail_at(err, scan.at);
        }
        is_last = has(&scan, ']');
        if (give_item(&scan, first, item, context, err) != 0) {
            return -1;
        }
        if (is_last) {
            break;
        }
    }
    scan.at = skip_space(text, bytes, scan.at + 1);
    return scan.at == bytes ? 0 : fail_at(err, scan.at);
}

static const cJSON *to_node(const struct qe_json *json)
{
    return (const void *)json;
}

static const struct qe_json *to_qe(const cJSON *node)
{
    return (const void *)node;
}

bool qe_json_is_object(const struct qe_json *value)
{
    return cJSON_IsObject(to_node(value)) != 0;
}

bool qe_json_is_array(const struct qe_json *value)
{
    return cJSON_IsArray(to_node(value)) != 0;
}

const struct qe_json *qe_json_get(const struct qe_json *object, const char *key)
{
    if (!qe_json_is_object(object)) {
        return NULL;
    }
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(to_node(object), key);

    return cJSON_IsNull(found) ? NULL : to_qe(found);
}

const char *qe_json_text(const struct qe_json *value)
{
    return cJSON_GetStringValue(to_node(value));
}

bool qe_json_number(const struct qe_json *value, double *out)
{
    if (!cJSON_IsNumber(to_node(value)) || !isfinite(to_node(value)->valuedouble)) {
        return false;
    }
    *out = to_node(value)->valuedouble;
    return true;
}

bool qe_json_bool(const struct qe_json *value, bool *out)
{
    if (!cJSON_IsBool(to_node(value))) {
        return false;
    }
    *out = cJSON_IsTrue(to_node(value)) != 0;
    return true;
}

const struct qe_json *qe_json_first(const struct qe_json *parent)
{
    return qe_json_is_object(parent) || qe_json_is_array(parent) ? to_qe(to_node(parent)->child)
                                                                 : NULL;
}

const struct qe_json *qe_json_next(const struct qe_json *value)
{
    return value == NULL ? NULL : to_qe(to_node(value)->next);
}

const char *qe_json_key(const struct qe_json *value)
{
    return value == NULL || to_node(value)->string == NULL ? "" : to_node(value)->string;
}

size_t qe_json_count(const struct qe_json *parent)
{
    size_t count = 0;

    for (const struct qe_json *value = qe_json_first(parent); value != NULL;
         value = qe_json_next(value)) {
        count++;
    }
    return count;
}
