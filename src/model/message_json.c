#include "model/message_json.h"

#include <string.h>

#include "util/base64.h"
#include "util/mem.h"
#include "util/text.h"

static bool is_text(const struct qe_message *message)
{
    return memchr(message->body, '\0', message->body_bytes) == NULL &&
           qe_text_is_utf8(message->body, message->body_bytes);
}

static int add_optional(struct qe_json *object, const char *key, const char *text)
{
    return *text != '\0' ? qe_json_add_text(object, key, text) : 0;
}

static int add_time(struct qe_json *object, const char *key, int64_t unix_ms)
{
    char text[32];

    return unix_ms != 0 ? qe_json_add_text(object, key, qe_text_from_unix_ms(unix_ms, text)) : 0;
}

static int add_body(struct qe_json *object, const struct qe_message *message)
{
    if (is_text(message)) {
        return qe_json_add_text(object, "body", message->body);
    }
    char *encoded = qe_base64_encode(message->body, message->body_bytes);
    int rc = encoded != NULL ? qe_json_add_text(object, "body_base64", encoded) : -1;
    qe_free(encoded);
    return rc;
}

/* Names and values, or names and types of those that have one. */
static int add_attributes(struct qe_json *object, const struct qe_attributes *attributes,
                          bool types)
{
    struct qe_json *child = NULL;

    for (size_t i = 0; i < attributes->count; i++) {
        const struct qe_attribute *one = &attributes->items[i];

        if (types && *one->type == '\0') {
            continue;
        }
        child = child != NULL ? child : qe_json_new_object();
        if (qe_json_add_text(child, one->name, types ? one->type : one->value) != 0) {
            qe_json_destroy(child);
            return -1;
        }
    }
    return child == NULL
               ? 0
               : qe_json_add_take(object, types ? "attribute_types" : "attributes", child);
}

static int fill_json(struct qe_json *object, const struct qe_message *message)
{
    int rc = qe_json_add_text(object, "id", message->id);

    if (rc == 0 && message->receives > 0) {
        rc = qe_json_add_number(object, "receives", message->receives);
    }
    if (rc == 0) {
        rc = add_time(object, "sent", message->sent_unix_ms);
    }
    if (rc == 0) {
        rc = add_time(object, "enqueued", message->enqueued_unix_ms);
    }
    if (rc == 0) {
        rc = add_time(object, "available", message->visible_unix_ms);
    }
    if (rc == 0) {
        rc = add_optional(object, "group", message->group);
    }
    if (rc == 0) {
        rc = add_optional(object, "deduplication_id", message->deduplication_id);
    }
    if (rc == 0) {
        rc = add_optional(object, "correlation_id", message->correlation_id);
    }
    if (rc == 0) {
        rc = add_optional(object, "reply_to", message->reply_to);
    }
    if (rc == 0) {
        rc = add_attributes(object, &message->attributes, false);
    }
    if (rc == 0) {
        rc = add_attributes(object, &message->attributes, true);
    }
    return rc == 0 ? add_body(object, message) : rc;
}

struct qe_json *qe_message_to_json(const struct qe_message *message)
{
    struct qe_json *object = qe_json_new_object();

    if (fill_json(object, message) != 0) {
        qe_json_destroy(object);
        return NULL;
    }
    return object;
}

/* --- in --- */

/* A member that is a text, or not there. */
static int take_text(const struct qe_json *object, const char *key, char **out, struct qe_err *err)
{
    const struct qe_json *value = qe_json_get(object, key);
    const char *text = qe_json_text(value);

    if (value == NULL) {
        return 0;
    }
    if (text == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "\"%s\" is no text", key);
    }
    char *copy = qe_strdup(text);

    if (copy == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "\"%s\"", key);
    }
    qe_free(*out);
    *out = copy;
    return 0;
}

static int take_body(const struct qe_json *object, struct qe_message *message, struct qe_err *err)
{
    const char *encoded = qe_json_text(qe_json_get(object, "body_base64"));
    char *bytes = NULL;
    size_t count = 0;

    if (encoded == NULL) {
        if (qe_json_text(qe_json_get(object, "body")) == NULL) {
            return qe_err_set(err, QE_ERR_PROTOCOL,
                              "neither \"body\" nor \"body_base64\" is a text");
        }
        int rc = take_text(object, "body", &message->body, err);

        message->body_bytes = strlen(message->body);
        return rc;
    }
    int rc = qe_base64_decode(encoded, &bytes, &count);

    if (rc != 0) {
        return rc > 0 ? qe_err_set(err, QE_ERR_NOMEM, "a body of %zu bytes", strlen(encoded))
                      : qe_err_set(err, QE_ERR_PROTOCOL, "\"body_base64\" is no base64");
    }
    qe_free(message->body);
    message->body = bytes;
    message->body_bytes = count;
    return 0;
}

static int take_attributes(const struct qe_json *object, struct qe_attributes *out,
                           struct qe_err *err)
{
    const struct qe_json *attributes = qe_json_get(object, "attributes");
    const struct qe_json *types = qe_json_get(object, "attribute_types");

    if (attributes != NULL && !qe_json_is_object(attributes)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "\"attributes\" is no object");
    }
    for (const struct qe_json *one = qe_json_first(attributes); one != NULL;
         one = qe_json_next(one)) {
        const char *type = qe_json_text(qe_json_get(types, qe_json_key(one)));

        if (qe_json_text(one) == NULL) {
            return qe_err_set(err, QE_ERR_PROTOCOL, "attribute \"%.80s\" is no text",
                              qe_json_key(one));
        }
        if (qe_attributes_add_typed(out, qe_json_key(one), type != NULL ? type : "",
                                    qe_json_text(one), err) != 0) {
            return -1;
        }
    }
    return 0;
}

int qe_message_from_json(const struct qe_json *object, struct qe_message *out, struct qe_err *err)
{
    if (!qe_json_is_object(object)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "no JSON object");
    }
    if (take_text(object, "id", &out->id, err) != 0 ||
        take_text(object, "group", &out->group, err) != 0 ||
        take_text(object, "deduplication_id", &out->deduplication_id, err) != 0 ||
        take_text(object, "correlation_id", &out->correlation_id, err) != 0 ||
        take_text(object, "reply_to", &out->reply_to, err) != 0 ||
        take_attributes(object, &out->attributes, err) != 0) {
        return -1;
    }
    return take_body(object, out, err);
}
