/* Messages on the screen. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/ctl.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/mem.h"
#include "util/strbuf.h"
#include "util/text.h"

/* Base64 of RFC 4648, for bodies that are not text. The caller frees; NULL when out of memory. */
static char *to_base64(const unsigned char *bytes, size_t count)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = qe_calloc((count + 2) / 3 * 4 + 1, 1);
    size_t length = 0;

    for (size_t i = 0; out != NULL && i < count; i += 3) {
        size_t left = count - i;
        unsigned group = (unsigned)bytes[i] << 16;
        group |= left > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned)bytes[i + 2] : 0;
        out[length++] = alphabet[group >> 18];
        out[length++] = alphabet[group >> 12 & 63];
        out[length++] = left > 1 ? alphabet[group >> 6 & 63] : '=';
        out[length++] = left > 2 ? alphabet[group & 63] : '=';
    }
    return out;
}

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
    char *encoded = to_base64((const unsigned char *)message->body, message->body_bytes);
    int rc = encoded != NULL ? qe_json_add_text(object, "body_base64", encoded) : -1;
    qe_free(encoded);
    return rc;
}

static int add_attributes(struct qe_json *object, const struct qe_attributes *attributes)
{
    struct qe_json *child = attributes->count > 0 ? qe_json_new_object() : NULL;

    if (attributes->count == 0) {
        return 0;
    }
    for (size_t i = 0; i < attributes->count; i++) {
        if (qe_json_add_text(child, attributes->items[i].name, attributes->items[i].value) != 0) {
            qe_json_destroy(child);
            return -1;
        }
    }
    return qe_json_add_take(object, "attributes", child);
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
        rc = add_attributes(object, &message->attributes);
    }
    return rc == 0 ? add_body(object, message) : rc;
}

static int print_json(const struct qe_message *message, struct qe_err *err)
{
    struct qe_json *object = qe_json_new_object();
    char *text = NULL;

    if (fill_json(object, message) == 0) {
        text = qe_json_print(object, false);
    }
    qe_json_destroy(object);
    if (text == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "message %s", message->id);
    }
    (void)puts(text);
    qe_free(text);
    return 0;
}

/* What a message says must not drive the terminal: control bytes are shown, not sent. */
static void print_safely(const char *bytes, size_t count, bool text)
{
    for (size_t i = 0; i < count; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) || (c >= 0x80 && text)) {
            (void)putchar(c);
        } else {
            (void)printf("\\x%02x", c);
        }
    }
}

static void print_attributes(const struct qe_attributes *attributes)
{
    for (size_t i = 0; i < attributes->count; i++) {
        (void)fputs("  ", stdout);
        print_safely(attributes->items[i].name, strlen(attributes->items[i].name), true);
        (void)fputs(" = ", stdout);
        print_safely(attributes->items[i].value, strlen(attributes->items[i].value), true);
        (void)putchar('\n');
    }
}

static void print_for_people(const struct qe_message *message)
{
    char age[32];
    int64_t now_unix_ms = qe_clock_unix_ms();

    (void)printf("id %s", message->id);
    if (message->receives > 0) {
        (void)printf(", received %" PRIu32 "x", message->receives);
    }
    if (message->sent_unix_ms > 0 && now_unix_ms >= message->sent_unix_ms) {
        (void)printf(
            ", sent %s ago",
            qe_text_from_duration((now_unix_ms - message->sent_unix_ms) / 1000 * 1000, age));
    }
    if (message->visible_unix_ms > now_unix_ms) {
        (void)printf(", available in %s",
                     qe_text_from_duration(message->visible_unix_ms - now_unix_ms, age));
    }
    if (*message->group != '\0') {
        (void)fputs(", group ", stdout);
        print_safely(message->group, strlen(message->group), true);
    }
    (void)printf(", %zu bytes\n", message->body_bytes);
    print_attributes(&message->attributes);
    print_safely(message->body, message->body_bytes, is_text(message));
    (void)fputs("\n\n", stdout);
}

int ctl_print_message(const struct qe_message *message, bool json, struct qe_err *err)
{
    if (json) {
        return print_json(message, err);
    }
    print_for_people(message);
    return 0;
}
