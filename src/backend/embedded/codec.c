/* Rows to messages and back: attributes as JSON, receipts as text. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/embedded/internal.h"

/* In the order of MESSAGE_COLUMNS in statement.c. */
enum column {
    COLUMN_ID = 0,
    COLUMN_RECEIVES,
    COLUMN_SENT_AT,
    COLUMN_ENQUEUED_AT,
    COLUMN_VISIBLE_AT,
    COLUMN_DUE_AT,
    COLUMN_GROUP,
    COLUMN_DEDUPLICATION_ID,
    COLUMN_CORRELATION_ID,
    COLUMN_REPLY_TO,
    COLUMN_ATTRIBUTES,
    COLUMN_BODY
};

#define ATTRIBUTE_COLUMNS 3 /* name, type, value */

static const char s_hex[] = "0123456789abcdef";

static void append_json_text(struct qe_strbuf *out, const char *text)
{
    (void)qe_strbuf_append_char(out, '"');
    for (size_t i = 0; text[i] != '\0'; i++) {
        const unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\') {
            (void)qe_strbuf_append_char(out, '\\');
        }
        if (c < 0x20) {
            (void)qe_strbuf_printf(out, "\\u%04x", (unsigned)c);
        } else {
            (void)qe_strbuf_append_char(out, text[i]);
        }
    }
    (void)qe_strbuf_append_char(out, '"');
}

/* Plain text is a text; what has a type (from a broker that has such) is kept with it. */
static void append_json_value(struct qe_strbuf *out, const struct qe_attribute *attribute)
{
    if (attribute->type[0] == '\0') {
        append_json_text(out, attribute->value);
        return;
    }
    (void)qe_strbuf_append_text(out, "{\"type\":");
    append_json_text(out, attribute->type);
    (void)qe_strbuf_append_text(out, ",\"value\":");
    append_json_text(out, attribute->value);
    (void)qe_strbuf_append_char(out, '}');
}

int qe_embedded_encode_attributes(const struct qe_attributes *attributes, struct qe_strbuf *out,
                                  struct qe_err *err)
{
    if (attributes == NULL || attributes->count == 0) {
        return 0;
    }
    if (attributes->count > QE_EMBEDDED_ATTRIBUTES_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "%zu attributes: at most %d can be kept",
                          attributes->count, QE_EMBEDDED_ATTRIBUTES_MAX);
    }
    for (size_t i = 0; i < attributes->count; i++) {
        const struct qe_attribute *one = &attributes->items[i];

        if (!qe_text_is_utf8(one->name, strlen(one->name)) ||
            !qe_text_is_utf8(one->type, strlen(one->type)) ||
            !qe_text_is_utf8(one->value, strlen(one->value))) {
            return qe_err_set(err, QE_ERR_INVALID, "attribute %zu is not UTF-8", i + 1);
        }
        (void)qe_strbuf_append_char(out, i == 0 ? '{' : ',');
        append_json_text(out, one->name);
        (void)qe_strbuf_append_char(out, ':');
        append_json_value(out, one);
    }
    (void)qe_strbuf_append_char(out, '}');
    return qe_strbuf_error(out, err);
}

/* NULL columns read as "". */
static const char *text_of(sqlite3_stmt *row, int column)
{
    const unsigned char *text = sqlite3_column_text(row, column);

    return text == NULL ? "" : (const char *)text;
}

/* Who writes into the outbox may not write UTF-8, or may escape half a character, and whoever reads
 * a message relies on it. */
static void mend(char *text)
{
    size_t left = strlen(text);

    for (size_t bytes = 0; left > 0; text += bytes, left -= bytes) {
        bytes = qe_text_char_bytes(text, left);
        if (bytes == 0) {
            *text = '?';
            bytes = 1;
        }
    }
}

static int replace_text(char **field, const char *text, struct qe_err *err)
{
    if (text[0] == '\0') {
        return 0; /* qe_message_init left "" there */
    }
    char *copy = qe_strdup(text);
    if (copy == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "message");
    }
    mend(copy);
    qe_free(*field);
    *field = copy;
    return 0;
}

static int decode_attribute(sqlite3_stmt *each, struct qe_attributes *out, struct qe_err *err)
{
    const char *texts[ATTRIBUTE_COLUMNS];
    char *mended[ATTRIBUTE_COLUMNS] = {NULL};
    int rc = 0;

    for (int i = 0; i < ATTRIBUTE_COLUMNS; i++) {
        texts[i] = text_of(each, i);
        if (qe_text_is_utf8(texts[i], strlen(texts[i]))) {
            continue;
        }
        mended[i] = qe_strdup(texts[i]);
        if (mended[i] == NULL) {
            (void)qe_err_set(err, QE_ERR_NOMEM, "attribute");
            rc = -1;
            break;
        }
        mend(mended[i]);
        texts[i] = mended[i];
    }
    if (rc == 0) {
        rc = qe_attributes_add_typed(out, texts[0], texts[1], texts[2], err);
    }
    for (int i = 0; i < ATTRIBUTE_COLUMNS; i++) {
        qe_free(mended[i]);
    }
    return rc;
}

static int decode_attributes(struct qe_embedded *self, const char *json, struct qe_attributes *out,
                             struct qe_err *err)
{
    sqlite3_stmt *each = qe_embedded_statement(self, QE_SQL_ATTRIBUTES, err);

    if (each == NULL) {
        return -1;
    }
    int rc = sqlite3_bind_text(each, 1, json, -1, SQLITE_TRANSIENT);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, rc, "bind", err);
    }
    int row = qe_embedded_step(self, each, err);
    /* Rows past the cap can only come from a writer that went round the outbox. */
    for (; row == 1 && out->count < QE_MESSAGE_ATTRIBUTES_MAX;
         row = qe_embedded_step(self, each, err)) {
        if (decode_attribute(each, out, err) != 0) {
            row = -1;
            break;
        }
    }
    (void)sqlite3_reset(each);
    return row < 0 ? -1 : 0;
}

static int decode_body(struct qe_message *message, sqlite3_stmt *row, struct qe_err *err)
{
    const void *bytes = sqlite3_column_blob(row, COLUMN_BODY);
    const int count = sqlite3_column_bytes(row, COLUMN_BODY);
    char *body = qe_memdup(bytes == NULL ? "" : bytes, count > 0 ? (size_t)count : 0);

    if (body == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "message of %d bytes", count);
    }
    qe_free(message->body);
    message->body = body;
    message->body_bytes = count > 0 ? (size_t)count : 0;
    return 0;
}

struct qe_message *qe_embedded_decode_message(struct qe_embedded *self, sqlite3_stmt *row,
                                              struct qe_message_list *out, struct qe_err *err)
{
    struct qe_message *message = qe_message_list_add(out, err);
    char id[24];

    if (message == NULL) {
        return NULL;
    }
    const int64_t row_id = sqlite3_column_int64(row, COLUMN_ID);
    const int64_t visible_ms = sqlite3_column_int64(row, COLUMN_VISIBLE_AT);
    (void)snprintf(id, sizeof(id), "%" PRId64, row_id);
    message->tag = (uint64_t)row_id;
    message->receives = (uint32_t)sqlite3_column_int64(row, COLUMN_RECEIVES);
    message->sent_unix_ms = sqlite3_column_int64(row, COLUMN_SENT_AT);
    message->enqueued_unix_ms = sqlite3_column_int64(row, COLUMN_ENQUEUED_AT);
    message->visible_unix_ms = visible_ms == QE_EMBEDDED_BLOCKED_MS
                                   ? sqlite3_column_int64(row, COLUMN_DUE_AT)
                                   : visible_ms;
    if (replace_text(&message->id, id, err) != 0 ||
        replace_text(&message->group, text_of(row, COLUMN_GROUP), err) != 0 ||
        replace_text(&message->deduplication_id, text_of(row, COLUMN_DEDUPLICATION_ID), err) != 0 ||
        replace_text(&message->correlation_id, text_of(row, COLUMN_CORRELATION_ID), err) != 0 ||
        replace_text(&message->reply_to, text_of(row, COLUMN_REPLY_TO), err) != 0 ||
        decode_body(message, row, err) != 0) {
        return NULL;
    }
    if (sqlite3_column_type(row, COLUMN_ATTRIBUTES) == SQLITE_NULL) {
        return message;
    }
    return decode_attributes(self, text_of(row, COLUMN_ATTRIBUTES), &message->attributes, err) == 0
               ? message
               : NULL;
}

int qe_embedded_reserve(struct qe_message_list *out, size_t more, struct qe_err *err)
{
    while (out->capacity - out->count < more) {
        if (qe_grow(&out->items, out->capacity, &out->capacity, SIZE_MAX / sizeof(*out->items),
                    sizeof(*out->items)) != 0) {
            return qe_err_set(err, QE_ERR_NOMEM, "list of %zu messages", out->count + more);
        }
    }
    return 0;
}

void qe_embedded_append(struct qe_message_list *out, struct qe_message_list *from)
{
    if (from->count > 0) {
        memcpy(&out->items[out->count], from->items, from->count * sizeof(*from->items));
    }
    out->count += from->count;
    from->count = 0; /* the messages moved; their array is still from's to free */
}

int qe_embedded_receipt_set(struct qe_message *message,
                            const unsigned char secret[QE_EMBEDDED_RECEIPT_BYTES],
                            struct qe_err *err)
{
    char text[24 + 2 * QE_EMBEDDED_RECEIPT_BYTES + 1];
    int length = snprintf(text, sizeof(text), "%s.", message->id);

    for (size_t i = 0; i < QE_EMBEDDED_RECEIPT_BYTES; i++) {
        text[length++] = s_hex[secret[i] >> 4];
        text[length++] = s_hex[secret[i] & 0x0f];
    }
    text[length] = '\0';
    return replace_text(&message->receipt, text, err);
}

static int hex_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(s_hex, c);

    return at == NULL ? -1 : (int)(at - s_hex);
}

bool qe_embedded_receipt_parse(const char *text, int64_t *out_id,
                               unsigned char out_secret[QE_EMBEDDED_RECEIPT_BYTES])
{
    int64_t id = 0;
    size_t digits = 0;

    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 18; digits++) {
        id = id * 10 + (text[digits] - '0');
    }
    if (digits == 0 || text[digits] != '.' ||
        strlen(text + digits + 1) != (size_t)2 * QE_EMBEDDED_RECEIPT_BYTES) {
        return false;
    }
    const char *hex = text + digits + 1;
    for (size_t i = 0; i < QE_EMBEDDED_RECEIPT_BYTES; i++) {
        const int high = hex_value(hex[2 * i]);
        const int low = hex_value(hex[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out_secret[i] = (unsigned char)(high * 16 + low);
    }
    *out_id = id;
    return true;
}
