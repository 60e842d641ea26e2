/* JSON pointers (RFC 6901): /order/items/0/id. */
#include <stdint.h>
#include <string.h>

#include "util/json.h"

/* Compares one step of a pointer, up to '/' or its end, with a key. */
static bool step_is(const char *step, size_t bytes, const char *key)
{
    for (size_t i = 0; i < bytes; i++, key++) {
        char c = step[i];

        if (c == '~') {
            c = step[++i] == '1' ? '/' : '~';
        }
        if (*key != c) {
            return false;
        }
    }
    return *key == '\0';
}

/* An index without sign or leading zero; SIZE_MAX: none. */
static size_t index_of(const char *step, size_t bytes)
{
    size_t index = 0;

    if (bytes == 0 || bytes > 9 || (bytes > 1 && step[0] == '0')) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (step[i] < '0' || step[i] > '9') {
            return SIZE_MAX;
        }
        index = index * 10 + (size_t)(step[i] - '0');
    }
    return index;
}

static const struct qe_json *child(const struct qe_json *parent, const char *step, size_t bytes)
{
    const struct qe_json *value = qe_json_first(parent);

    if (qe_json_is_array(parent)) {
        size_t index = index_of(step, bytes);

        for (size_t i = 0; i < index && value != NULL; i++) {
            value = qe_json_next(value);
        }
        return index == SIZE_MAX ? NULL : value;
    }
    while (value != NULL && !step_is(step, bytes, qe_json_key(value))) {
        value = qe_json_next(value);
    }
    return value;
}

const struct qe_json *qe_json_at(const struct qe_json *root, const char *pointer)
{
    const struct qe_json *value = root;

    for (const char *step = pointer; *step == '/' && value != NULL;) {
        size_t bytes = strcspn(step + 1, "/");

        value = qe_json_is_object(value) || qe_json_is_array(value) ? child(value, step + 1, bytes)
                                                                    : NULL;
        step += 1 + bytes;
    }
    return value;
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')) {
        at++;
    }
    return at;
}

/* Behind a value or a key: at the comma, colon or bracket that ends it, or the end. */
static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    bool in_text = false;

    for (; at < end; at++) {
        if (in_text) {
            in_text = *at != '"';
            at += *at == '\\' && at + 1 < end ? 1 : 0;
        } else if (*at == '"') {
            in_text = true;
        } else if (*at == '[' || *at == '{') {
            depth++;
        } else if (depth == 0 && strchr(",:]}", *at) != NULL) {
            break;
        } else if (*at == ']' || *at == '}') {
            depth--;
        }
    }
    return at;
}

/* From the bracket at `at` to where its child begins. */
static const char *skip_to_child(const char *at, const char *end, const struct qe_json *parent,
                                 const struct qe_json *wanted)
{
    for (const struct qe_json *value = qe_json_first(parent); at < end;
         value = qe_json_next(value)) {
        at++; /* the bracket or comma */
        if (qe_json_is_object(parent)) {
            at = skip_value(at, end) + 1;
        }
        if (value == wanted) {
            break;
        }
        at = skip_value(at, end);
    }
    return skip_space(at, end);
}

const char *qe_json_written_at(const char *text, size_t bytes, const struct qe_json *root,
                               const char *pointer, size_t *out_bytes)
{
    const char *end = text + bytes;
    const char *at = skip_space(text, end);
    const struct qe_json *value = root;

    for (const char *step = pointer; *step == '/' && value != NULL;) {
        const struct qe_json *parent = value;
        size_t step_bytes = strcspn(step + 1, "/");

        value = child(parent, step + 1, step_bytes);
        at = value != NULL ? skip_to_child(at, end, parent, value) : at;
        step += 1 + step_bytes;
    }
    end = skip_value(at, end);
    while (end > at && strchr(" \t\r\n", end[-1]) != NULL) {
        end--;
    }
    *out_bytes = (size_t)(end - at);
    return value != NULL ? at : NULL;
}

bool qe_json_pointer_is_valid(const char *text)
{
    if (text[0] != '\0' && text[0] != '/') {
        return false;
    }
    for (const char *c = strchr(text, '~'); c != NULL; c = strchr(c + 1, '~')) {
        if (c[1] != '0' && c[1] != '1') {
            return false;
        }
    }
    return true;
}
