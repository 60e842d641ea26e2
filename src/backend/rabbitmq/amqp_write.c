/* What goes out beside a body: properties and headers. */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/text.h"

/* Properties and headers go in one frame. */
#define HEADERS_MAX_BYTES 100000
/* Of a copy, whose original came in one: what is left of it beside all that may be in a frame. */
#define COPIED_MAX_BYTES (QE_AMQP_FRAME_MAX_BYTES - 3000)
#define HEADER_OVERHEAD_BYTES 16
#define EXTRA_HEADERS 5

/* Headers that are the broker's or ours and would mean something else in a copy: to whom else it
 * goes, how it died before. */
static bool is_reserved(const char *name)
{
    static const char *const names[] = {"CC",
                                        "BCC",
                                        "x-death",
                                        "x-delivery-count",
                                        QE_AMQP_SENT_HEADER,
                                        QE_AMQP_ENQUEUED_HEADER,
                                        QE_AMQP_RECEIVES_HEADER,
                                        QE_AMQP_LEAST_HEADER,
                                        QE_AMQP_TYPES_HEADER};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The plugin leaves the header of a delay that is over: it would delay again, or not at all. */
static bool is_old_delay(const struct qe_amqp_letter *letter, const char *name)
{
    return letter->delay_ms > 0 && strcmp(name, QE_AMQP_DELAY_HEADER) == 0;
}

static int check_short(const char *what, const char *text, struct qe_err *err)
{
    return strnlen(text, QE_AMQP_SHORT_MAX_BYTES + 1) <= QE_AMQP_SHORT_MAX_BYTES
               ? 0
               : qe_err_set(err, QE_ERR_INVALID, "%s \"%.40s...\" is longer than %d bytes", what,
                            text, QE_AMQP_SHORT_MAX_BYTES);
}

/* At least what they take on the wire. */
static size_t estimate(const struct qe_attributes *attributes)
{
    size_t bytes = 0;

    for (size_t i = 0; attributes != NULL && i < attributes->count; i++) {
        const struct qe_attribute *one = &attributes->items[i];

        bytes +=
            2 * strlen(one->name) + strlen(one->value) + strlen(one->type) + HEADER_OVERHEAD_BYTES;
    }
    return bytes;
}

static int check(const struct qe_amqp_letter *letter, struct qe_err *err)
{
    const struct qe_attributes *attributes = letter->attributes;
    const size_t bytes = estimate(attributes);

    if (!letter->is_copy && letter->body_bytes > QE_MESSAGE_BODY_MAX_BYTES) {
        return qe_err_set(err, QE_ERR_LIMIT, "a body of %zu bytes: at most %zu", letter->body_bytes,
                          QE_MESSAGE_BODY_MAX_BYTES);
    }
    if (check_short("message id", letter->id, err) != 0 ||
        check_short("correlation id", letter->correlation_id, err) != 0 ||
        check_short("reply-to", letter->reply_to, err) != 0) {
        return -1;
    }
    for (size_t i = 0; attributes != NULL && i < attributes->count; i++) {
        const struct qe_attribute *one = &attributes->items[i];

        if (one->name[0] == '\0') {
            return qe_err_set(err, QE_ERR_INVALID, "an attribute without a name");
        }
        if (check_short("attribute", one->name, err) != 0) {
            return -1;
        }
    }
    return letter->is_copy || bytes <= HEADERS_MAX_BYTES
               ? 0
               : qe_err_set(err, QE_ERR_LIMIT, "attributes of %zu bytes: at most %d", bytes,
                            HEADERS_MAX_BYTES);
}

/* What does not fit into a frame would cost the connection. */
static int check_copied(const struct qe_amqp_letter *letter, amqp_pool_t *pool,
                        amqp_table_t *headers, struct qe_err *err)
{
    amqp_bytes_t space = amqp_empty_bytes;
    size_t count = 0;

    if (letter->raw == NULL && estimate(letter->attributes) <= HEADERS_MAX_BYTES) {
        return 0;
    }
    amqp_pool_alloc_bytes(pool, COPIED_MAX_BYTES, &space);
    if (space.bytes == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "headers of a copy");
    }
    return amqp_encode_table(space, headers, &count) == AMQP_STATUS_OK
               ? 0
               : qe_err_set(err, QE_ERR_LIMIT, "headers of a copy take more than %d bytes",
                            COPIED_MAX_BYTES);
}

/* --- properties --- */

static int write_priority(const struct qe_attribute *one, amqp_basic_properties_t *out,
                          struct qe_err *err)
{
    uint64_t priority = 0;

    if (qe_text_to_u64(one->value, UINT8_MAX, &priority, err) != 0) {
        return qe_err_wrap(err, "property priority");
    }
    out->priority = (uint8_t)priority;
    out->_flags |= AMQP_BASIC_PRIORITY_FLAG;
    return 0;
}

/* A user-id is left out: the broker takes none but our own. */
static int write_property(const struct qe_attribute *one, amqp_basic_properties_t *out,
                          struct qe_err *err)
{
    const struct {
        const char *name;
        amqp_flags_t flag;
        amqp_bytes_t *value;
    } rows[] = {
        {"content-type", AMQP_BASIC_CONTENT_TYPE_FLAG, &out->content_type},
        {"content-encoding", AMQP_BASIC_CONTENT_ENCODING_FLAG, &out->content_encoding},
        {"expiration", AMQP_BASIC_EXPIRATION_FLAG, &out->expiration},
        {"type", AMQP_BASIC_TYPE_FLAG, &out->type},
        {"app-id", AMQP_BASIC_APP_ID_FLAG, &out->app_id},
    };

    if (strcmp(one->name, "priority") == 0) {
        return write_priority(one, out, err);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(one->name, rows[i].name) == 0) {
            *rows[i].value = qe_amqp_text(one->value);
            out->_flags |= rows[i].flag;
            return check_short(one->name, one->value, err);
        }
    }
    return 0;
}

/* --- headers --- */

static void add_number(amqp_table_t *headers, const char *name, int64_t number)
{
    headers->entries[headers->num_entries++] = (amqp_table_entry_t){
        .key = qe_amqp_text(name), .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = number}};
}

static amqp_table_entry_t *room(amqp_pool_t *pool, size_t count, struct qe_err *err)
{
    amqp_table_entry_t *entries = amqp_pool_alloc(pool, count * sizeof *entries);

    if (entries == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "%zu headers", count);
    }
    return entries;
}

static int write_attributes(const struct qe_amqp_letter *letter, amqp_pool_t *pool,
                            amqp_basic_properties_t *out, amqp_table_t *types, struct qe_err *err)
{
    const struct qe_attributes *attributes = letter->attributes;

    for (size_t i = 0; attributes != NULL && i < attributes->count; i++) {
        const struct qe_attribute *one = &attributes->items[i];
        amqp_table_entry_t *header = &out->headers.entries[out->headers.num_entries];
        bool is_known = true;

        if (strcmp(one->type, QE_AMQP_PROPERTY) == 0) {
            if (write_property(one, out, err) != 0) {
                return -1;
            }
            continue;
        }
        if (is_reserved(one->name) || is_old_delay(letter, one->name)) {
            continue;
        }
        header->key = qe_amqp_text(one->name);
        if (qe_amqp_value_write(one, pool, &header->value, &is_known, err) != 0) {
            return -1;
        }
        out->headers.num_entries++;
        if (!is_known) {
            types->entries[types->num_entries++] = (amqp_table_entry_t){
                .key = header->key,
                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text(one->type)}};
        }
    }
    return 0;
}

static bool is_named(amqp_bytes_t key, const char *name)
{
    return key.len == strlen(name) && memcmp(key.bytes, name, key.len) == 0;
}

static bool is_attribute(const struct qe_attributes *attributes, amqp_bytes_t key)
{
    for (size_t i = 0; attributes != NULL && i < attributes->count; i++) {
        const struct qe_attribute *one = &attributes->items[i];

        if (strcmp(one->type, QE_AMQP_PROPERTY) != 0 && is_named(key, one->name)) {
            return true;
        }
    }
    return false;
}

static bool is_reserved_key(const struct qe_amqp_letter *letter, amqp_bytes_t key)
{
    char name[QE_AMQP_SHORT_MAX_BYTES + 1];

    (void)snprintf(name, sizeof name, "%.*s", (int)key.len, (const char *)key.bytes);
    return is_reserved(name) || is_old_delay(letter, name);
}

/* As they came, but for what is written anew. */
static int write_raw(const struct qe_amqp_letter *letter, amqp_pool_t *pool, amqp_table_t *headers,
                     size_t others, struct qe_err *err)
{
    const amqp_bytes_t bytes = {.len = letter->raw->count, .bytes = letter->raw->bytes};
    amqp_table_t table;
    size_t offset = 0;

    if (amqp_decode_table(bytes, pool, &table, &offset) != AMQP_STATUS_OK) {
        return qe_err_set(err, QE_ERR_NOMEM, "headers of a copy");
    }
    headers->entries = room(pool, (size_t)table.num_entries + others, err);
    for (int i = 0; headers->entries != NULL && i < table.num_entries; i++) {
        const amqp_table_entry_t *one = &table.entries[i];

        if (is_named(one->key, QE_AMQP_TYPES_HEADER) ||
            (!qe_amqp_is_own_header(one) && !is_reserved_key(letter, one->key) &&
             !is_named(one->key, QE_AMQP_COPIED) && /* of an earlier try: written anew, if at all */
             !is_attribute(letter->attributes, one->key))) {
            headers->entries[headers->num_entries++] = *one;
        }
    }
    return headers->entries != NULL ? 0 : -1;
}

static int write_headers(const struct qe_amqp_letter *letter, amqp_pool_t *pool,
                         amqp_basic_properties_t *out, struct qe_err *err)
{
    const size_t count = letter->attributes == NULL ? 0 : letter->attributes->count;
    amqp_table_t types = {.entries = room(pool, count + 1, err)};

    if (letter->raw != NULL) {
        if (write_raw(letter, pool, &out->headers, count + EXTRA_HEADERS, err) != 0) {
            return -1;
        }
    } else {
        out->headers.entries = room(pool, count + EXTRA_HEADERS, err);
    }
    if (types.entries == NULL || out->headers.entries == NULL ||
        write_attributes(letter, pool, out, &types, err) != 0) {
        return -1;
    }
    if (types.num_entries > 0) {
        out->headers.entries[out->headers.num_entries++] =
            (amqp_table_entry_t){.key = qe_amqp_text(QE_AMQP_TYPES_HEADER),
                                 .value = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = types}};
    }
    if (letter->sent_unix_ms > 0) {
        add_number(&out->headers, QE_AMQP_SENT_HEADER, letter->sent_unix_ms);
    }
    if (letter->enqueued_unix_ms > 0) {
        add_number(&out->headers, QE_AMQP_ENQUEUED_HEADER, letter->enqueued_unix_ms);
    }
    if (letter->delay_ms > 0) {
        add_number(&out->headers, QE_AMQP_DELAY_HEADER, letter->delay_ms);
    }
    if (letter->receives > 0) {
        add_number(&out->headers, QE_AMQP_RECEIVES_HEADER, letter->receives);
    } else if (letter->receives_least > 0) {
        add_number(&out->headers, QE_AMQP_LEAST_HEADER, letter->receives_least);
    }
    return 0;
}

int qe_amqp_write(const struct qe_amqp_letter *letter, amqp_pool_t *pool,
                  amqp_basic_properties_t *out, struct qe_err *err)
{
    *out =
        (amqp_basic_properties_t){._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_HEADERS_FLAG,
                                  .delivery_mode = AMQP_DELIVERY_PERSISTENT};
    if (check(letter, err) != 0 || write_headers(letter, pool, out, err) != 0 ||
        check_copied(letter, pool, &out->headers, err) != 0) {
        return -1;
    }
    out->message_id = qe_amqp_text(letter->id);
    out->_flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
    if (letter->correlation_id[0] != '\0') {
        out->correlation_id = qe_amqp_text(letter->correlation_id);
        out->_flags |= AMQP_BASIC_CORRELATION_ID_FLAG;
    }
    if (letter->reply_to[0] != '\0') {
        out->reply_to = qe_amqp_text(letter->reply_to);
        out->_flags |= AMQP_BASIC_REPLY_TO_FLAG;
    }
    if (letter->sent_unix_ms > 0) {
        out->timestamp = (uint64_t)letter->sent_unix_ms / 1000;
        out->_flags |= AMQP_BASIC_TIMESTAMP_FLAG;
    }
    return 0;
}
