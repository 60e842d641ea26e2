#include "consumer/dedup_key.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "consumer/dedup_store.h"
#include "util/json.h"

#define WHOLE_MAX 9007199254740992.0 /* 2^53 */

static bool append(struct qe_strbuf *out, const char *kind, const char *value)
{
    size_t bytes = strlen(value);

    if (bytes == 0 || bytes > QE_DEDUP_KEY_MAX_BYTES) {
        return false;
    }
    (void)qe_strbuf_append_text(out, kind);
    (void)qe_strbuf_append(out, value, bytes);
    return out->failed == QE_OK;
}

/* As it is written: the nearest double to 1.00000000000000000001 is 1, which may be another id. */
static bool is_written_whole(const char *number, size_t bytes)
{
    size_t i = 0;
    size_t places = 0; /* behind the point */
    size_t needed = 0; /* up to the last digit that is not 0 */
    size_t exponent = 0;
    bool is_behind = false;
    bool is_zero = true;

    for (; i < bytes && number[i] != 'e' && number[i] != 'E'; i++) {
        places += is_behind ? 1 : 0;
        is_behind = is_behind || number[i] == '.';
        if (number[i] >= '1' && number[i] <= '9') {
            is_zero = false;
            needed = places;
        }
    }
    const bool is_small = i + 1 < bytes && number[i + 1] == '-';

    for (i++; i < bytes && exponent <= bytes; i++) {
        if (number[i] >= '0' && number[i] <= '9') {
            exponent = exponent * 10 + (size_t)(number[i] - '0');
        }
    }
    return is_zero || (is_small ? needed + exponent == 0 : needed <= exponent);
}

static bool append_pointed(struct qe_strbuf *out, const char *pointer,
                           const struct qe_message *message, const struct qe_json *root)
{
    const struct qe_json *value = qe_json_at(root, pointer);
    const char *text = qe_json_text(value);
    char shown[40];
    size_t bytes = 0;
    double number;
    bool yes;

    if (text != NULL) {
        return append(out, "text:", text);
    }
    if (qe_json_bool(value, &yes)) {
        return append(out, "bool:", yes ? "true" : "false");
    }
    if (!qe_json_number(value, &number) || fabs(number) >= WHOLE_MAX) {
        return false;
    }
    const char *written =
        qe_json_written_at(message->body, message->body_bytes, root, pointer, &bytes);

    if (!is_written_whole(written, bytes)) {
        return false;
    }
    (void)snprintf(shown, sizeof shown, "%.0f", number);
    return append(out, "number:", shown);
}

static bool append_found(struct qe_strbuf *out, const char *pointer,
                         const struct qe_message *message)
{
    struct qe_err not_json = {0};
    struct qe_json *root = qe_json_parse(message->body, message->body_bytes, &not_json);
    bool found = root != NULL && append_pointed(out, pointer, message, root);

    qe_json_destroy(root);
    return found;
}

bool qe_dedup_key(const struct qe_dedup_by *by, const struct qe_message *message,
                  struct qe_strbuf *out, bool *out_fell_back)
{
    *out_fell_back = true;
    if (by->attribute != NULL && by->attribute[0] != '\0') {
        const char *value = qe_attributes_get(&message->attributes, by->attribute);

        if (value != NULL && append(out, "text:", value)) {
            *out_fell_back = false;
            return true;
        }
    } else if (by->pointer != NULL && by->pointer[0] != '\0') {
        if (append_found(out, by->pointer, message)) {
            *out_fell_back = false;
            return true;
        }
    } else {
        *out_fell_back = false;
    }
    return append(out, "id:", message->id);
}
