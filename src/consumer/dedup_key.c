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

static bool append_value(struct qe_strbuf *out, const struct qe_json *value)
{
    const char *text = qe_json_text(value);
    char shown[40];
    double number;
    bool yes;

    if (text != NULL) {
        return append(out, "text:", text);
    }
    if (qe_json_bool(value, &yes)) {
        return append(out, "bool:", yes ? "true" : "false");
    }
    /* Of a larger one, or one with a fraction, the next one may look the same. */
    if (!qe_json_number(value, &number) || fabs(number) >= WHOLE_MAX || floor(number) != number) {
        return false;
    }
    (void)snprintf(shown, sizeof shown, "%.0f", number);
    return append(out, "number:", shown);
}

static bool append_pointed(struct qe_strbuf *out, const char *pointer,
                           const struct qe_message *message)
{
    struct qe_err not_json = {0};
    struct qe_json *root = qe_json_parse(message->body, message->body_bytes, &not_json);
    bool found = root != NULL && append_value(out, qe_json_at(root, pointer));

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
        if (append_pointed(out, by->pointer, message)) {
            *out_fell_back = false;
            return true;
        }
    } else {
        *out_fell_back = false;
    }
    return append(out, "id:", message->id);
}
