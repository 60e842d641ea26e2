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
