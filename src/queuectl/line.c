#include "queuectl/line.h"

#include <string.h>

#include "dlq/facts.h"
#include "model/message_json.h"
#include "util/json.h"
#include "util/mem.h"

/* Beside what every message tells: whose word its id is; not there where it is the broker's. */
#define ID_FROM "id_from"
#define PUBLISHER "publisher"

/* What a terminal would obey is escaped. */
static void write_json(FILE *out, const char *json)
{
    for (const char *at = json; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;

        if (c == 0x7f) {
            (void)fputs("\\u007f", out);
        } else if (c == 0xc2 && ((unsigned char)at[1] & 0xe0u) == 0x80) {
            at++; /* C1: U+009B is as good as ESC [ to a terminal */
            (void)fprintf(out, "\\u00%02x", (unsigned)(unsigned char)*at);
        } else {
            (void)fputc(c, out);
        }
    }
    (void)fputc('\n', out);
}

int ctl_write_object(FILE *out, int rc, struct qe_json *object, const char *kind, const char *name,
                     struct qe_err *err)
{
    char *text = rc == 0 && object != NULL ? qe_json_print(object) : NULL;

    qe_json_destroy(object);
    if (text == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "%s %s", kind, name);
    }
    write_json(out, text);
    qe_free(text);
    return 0;
}

int ctl_line_write(FILE *out, const struct qe_message *message, struct qe_err *err)
{
    struct qe_json *object = qe_message_to_json(message);
    int rc = object != NULL && message->id_is_publishers
                 ? qe_json_add_text(object, ID_FROM, PUBLISHER)
                 : 0;

    return ctl_write_object(out, rc, object, "message", message->id, err);
}

static int drop_facts(struct qe_attributes *attributes, struct qe_err *err)
{
    struct qe_attributes kept = {0};
    int rc = 0;

    for (size_t i = 0; i < attributes->count && rc == 0; i++) {
        const struct qe_attribute *one = &attributes->items[i];

        if (!qe_dlq_is_own_attribute(one->name)) {
            rc = qe_attributes_add_typed(&kept, one->name, one->type, one->value, err);
        }
    }
    qe_attributes_deinit(attributes);
    *attributes = kept;
    return rc;
}

int ctl_line_read(const char *line, size_t bytes, bool keeps_facts, struct qe_message *out,
                  struct qe_err *err)
{
    struct qe_json *object = qe_json_parse(line, bytes, err);
    int rc = object != NULL ? qe_message_from_json(object, out, err) : -1;
    const char *id_from = rc == 0 ? qe_json_text(qe_json_get(object, ID_FROM)) : NULL;

    out->id_is_publishers =
        id_from != NULL && strcmp(id_from, PUBLISHER) == 0 && out->id[0] != '\0';
    qe_json_destroy(object);
    if (rc == 0 && out->body_bytes > QE_MESSAGE_BODY_MAX_BYTES) {
        rc = qe_err_set(err, QE_ERR_LIMIT, "a body of %zu bytes: at most %zu can be sent",
                        out->body_bytes, QE_MESSAGE_BODY_MAX_BYTES);
    }
    return rc == 0 && !keeps_facts ? drop_facts(&out->attributes, err) : rc;
}
