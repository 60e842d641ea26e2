/* What a message brings beside its body. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "model/dead_letter.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

#define UNIX_MAX_SECONDS UINT64_C(253402300799) /* the year 9999 */
#define NAME_BYTES (QE_AMQP_SHORT_MAX_BYTES + 1)
#define OTHERS_MAX 16 /* attributes that are no headers: properties, facts about dead letters */

/* Facts that headers tell and that are no attributes. */
struct facts {
    bool has_delivery_count;
    uint64_t delivery_count;
    uint64_t receives; /* before this delivery, of a message released by a copy */
    bool is_least;     /* it may have been more often */
    int64_t sent_unix_ms;
    int64_t enqueued_unix_ms;
    const amqp_table_t *types;
    const amqp_array_t *deaths;
};

static bool is_named(amqp_bytes_t key, const char *name)
{
    return key.len == strlen(name) && memcmp(key.bytes, name, key.len) == 0;
}

static bool begins_with(amqp_bytes_t key, const char *prefix)
{
    return key.len >= strlen(prefix) && memcmp(key.bytes, prefix, strlen(prefix)) == 0;
}

/* Any whole number that is not negative; UINT64_MAX: it is none. */
static uint64_t whole(const amqp_field_value_t *value)
{
    int64_t number = 0;

    if (value->kind == AMQP_FIELD_KIND_U64 || value->kind == AMQP_FIELD_KIND_TIMESTAMP) {
        return value->value.u64;
    }
    return qe_amqp_value_whole(value, &number) && number >= 0 ? (uint64_t)number : UINT64_MAX;
}

static int64_t whole_ms(const amqp_field_value_t *value)
{
    const uint64_t number = whole(value);

    return number <= UNIX_MAX_SECONDS * 1000 ? (int64_t)number : 0;
}

/* True: the header is the broker's or ours, and no attribute. */
static bool take_fact(const amqp_table_entry_t *header, struct facts *out)
{
    if (is_named(header->key, "x-delivery-count")) {
        out->delivery_count = whole(&header->value);
        out->has_delivery_count = out->delivery_count < UINT32_MAX;
    } else if (is_named(header->key, QE_AMQP_RECEIVES_HEADER) ||
               is_named(header->key, QE_AMQP_LEAST_HEADER)) {
        const uint64_t receives = whole(&header->value);

        out->receives = receives < UINT32_MAX / 2 ? receives : 0;
        out->is_least = is_named(header->key, QE_AMQP_LEAST_HEADER);
    } else if (is_named(header->key, QE_AMQP_SENT_HEADER)) {
        out->sent_unix_ms = whole_ms(&header->value);
    } else if (is_named(header->key, QE_AMQP_ENQUEUED_HEADER)) {
        out->enqueued_unix_ms = whole_ms(&header->value);
    } else if (is_named(header->key, QE_AMQP_TYPES_HEADER) &&
               header->value.kind == AMQP_FIELD_KIND_TABLE) {
        out->types = &header->value.value.table;
    } else if (is_named(header->key, "x-death") && header->value.kind == AMQP_FIELD_KIND_ARRAY) {
        out->deaths = &header->value.value.array;
    } else {
        return begins_with(header->key, "x-first-death-") ||
               begins_with(header->key, "x-last-death-") ||
               is_named(header->key, "x-acquired-count");
    }
    return true;
}

/* A name that can be shown and kept: UTF-8, or what is left of it. */
static void copy_name(amqp_bytes_t key, char out[NAME_BYTES])
{
    const char *bytes = key.bytes;
    const size_t count = key.len < NAME_BYTES ? key.len : NAME_BYTES - 1;
    const bool is_good = qe_text_is_utf8(bytes, count) && memchr(bytes, '\0', count) == NULL;

    for (size_t i = 0; i < count; i++) {
        const unsigned char c = (unsigned char)bytes[i];

        out[i] = is_good || (c >= 0x20 && c < 0x7f) ? bytes[i] : '?';
    }
    out[count] = '\0';
}

bool qe_amqp_is_own_header(const amqp_table_entry_t *header)
{
    struct facts ignored = {0};

    return take_fact(header, &ignored);
}

static bool is_property_name(const char *name)
{
    static const char *const names[] = {"content-type", "content-encoding", "expiration", "type",
                                        "user-id",      "app-id",           "priority"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_twice(const amqp_table_t *headers, int index)
{
    const amqp_bytes_t key = headers->entries[index].key;

    for (int i = 0; i < index; i++) {
        const amqp_bytes_t other = headers->entries[i].key;

        if (other.len == key.len && memcmp(other.bytes, key.bytes, key.len) == 0) {
            return true;
        }
    }
    return false;
}

bool qe_amqp_fits_attributes(const amqp_table_t *headers)
{
    if (headers->num_entries > QE_MESSAGE_ATTRIBUTES_MAX - OTHERS_MAX) {
        return false;
    }
    for (int i = 0; i < headers->num_entries; i++) {
        const amqp_bytes_t key = headers->entries[i].key;
        char name[NAME_BYTES];

        copy_name(key, name);
        if (key.len == 0 || strlen(name) != key.len || memcmp(name, key.bytes, key.len) != 0 ||
            is_property_name(name) || is_twice(headers, i)) {
            return false;
        }
    }
    return true;
}

/* A name that a message of 64 other headers has no room for is left out: better than a message that
 * can never be handled. */
static int add_headers(const amqp_table_t *headers, struct facts *facts, struct qe_message *out,
                       struct qe_err *err)
{
    for (int i = 0; i < headers->num_entries; i++) {
        const amqp_table_entry_t *header = &headers->entries[i];
        char name[NAME_BYTES];

        if (header->key.len == 0 || take_fact(header, facts) ||
            out->attributes.count >= QE_MESSAGE_ATTRIBUTES_MAX) {
            continue;
        }
        copy_name(header->key, name);
        if (is_property_name(name) && qe_attributes_get(&out->attributes, name) != NULL) {
            continue; /* the property is that */
        }
        if (qe_amqp_value_read(name, &header->value, &out->attributes, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Types that AMQP does not have, of those attributes that are texts. */
static int add_types(const amqp_table_t *types, struct qe_message *out, struct qe_err *err)
{
    for (int i = 0; types != NULL && i < types->num_entries; i++) {
        const amqp_table_entry_t *one = &types->entries[i];
        struct qe_attribute *attribute = NULL;

        for (size_t j = 0; j < out->attributes.count; j++) {
            if (is_named(one->key, out->attributes.items[j].name)) {
                attribute = &out->attributes.items[j];
            }
        }
        if (attribute == NULL || attribute->type[0] != '\0' ||
            one->value.kind != AMQP_FIELD_KIND_UTF8) {
            continue;
        }
        char *type = qe_strndup(one->value.value.bytes.len == 0 ? "" : one->value.value.bytes.bytes,
                                one->value.value.bytes.len);

        if (type == NULL) {
            return qe_err_set(err, QE_ERR_NOMEM, "types of attributes");
        }
        qe_free(attribute->type);
        attribute->type = type;
    }
    return 0;
}

/* --- dead-lettered by the broker --- */

static const amqp_field_value_t *member(const amqp_table_t *table, const char *name, uint8_t kind)
{
    for (int i = 0; i < table->num_entries; i++) {
        if (is_named(table->entries[i].key, name) && table->entries[i].value.kind == kind) {
            return &table->entries[i].value;
        }
    }
    return NULL;
}

static int add_fact(const char *name, const amqp_field_value_t *value, struct qe_message *out,
                    struct qe_err *err)
{
    return value == NULL || out->attributes.count >= QE_MESSAGE_ATTRIBUTES_MAX
               ? 0
               : qe_amqp_value_read(name, value, &out->attributes, err);
}

/* Its newest death that was none of our delays. What it says is newer than what we may have written
 * before: our own copies have no x-death. */
static int add_death(const amqp_array_t *deaths, struct qe_message *out, struct qe_err *err)
{
    for (int i = 0; deaths != NULL && i < deaths->num_entries; i++) {
        const amqp_field_value_t *entry = &deaths->entries[i];

        if (entry->kind != AMQP_FIELD_KIND_TABLE) {
            continue;
        }
        const amqp_table_t *death = &entry->value.table;
        const amqp_field_value_t *queue = member(death, "queue", AMQP_FIELD_KIND_UTF8);
        const amqp_field_value_t *count = member(death, "count", AMQP_FIELD_KIND_I64);
        const amqp_field_value_t *time = member(death, "time", AMQP_FIELD_KIND_TIMESTAMP);

        if (queue != NULL && begins_with(queue->value.bytes, QE_RMQ_DELAY_PREFIX)) {
            continue;
        }
        /* The time is that of the first of `count` deaths. */
        if (count != NULL && count->value.i64 == 1 && time != NULL &&
            time->value.u64 <= UNIX_MAX_SECONDS) {
            out->enqueued_unix_ms = (int64_t)time->value.u64 * 1000;
        }
        return add_fact(QE_DEAD_LETTER_REASON, member(death, "reason", AMQP_FIELD_KIND_UTF8), out,
                        err) == 0 &&
                       add_fact(QE_DEAD_LETTER_SOURCE, queue, out, err) == 0
                   ? 0
                   : -1;
    }
    return 0;
}

/* --- properties --- */

static int copy(amqp_bytes_t bytes, char **out, struct qe_err *err)
{
    char *text = bytes.len == 0 ? qe_strdup("") : qe_strndup(bytes.bytes, bytes.len);

    if (text == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "a message's properties");
    }
    qe_free(*out);
    *out = text;
    return 0;
}

static int add_property(const char *name, amqp_bytes_t value, struct qe_message *out,
                        struct qe_err *err)
{
    char text[NAME_BYTES];

    copy_name(value, text);
    return out->attributes.count >= QE_MESSAGE_ATTRIBUTES_MAX
               ? 0
               : qe_attributes_add_typed(&out->attributes, name, QE_AMQP_PROPERTY, text, err);
}

static int add_properties(const amqp_basic_properties_t *from, struct qe_message *out,
                          struct qe_err *err)
{
    const struct {
        amqp_flags_t flag;
        const char *name;
        amqp_bytes_t value;
    } rows[] = {
        {AMQP_BASIC_CONTENT_TYPE_FLAG, "content-type", from->content_type},
        {AMQP_BASIC_CONTENT_ENCODING_FLAG, "content-encoding", from->content_encoding},
        {AMQP_BASIC_EXPIRATION_FLAG, "expiration", from->expiration},
        {AMQP_BASIC_TYPE_FLAG, "type", from->type},
        {AMQP_BASIC_USER_ID_FLAG, "user-id", from->user_id},
        {AMQP_BASIC_APP_ID_FLAG, "app-id", from->app_id},
    };
    char text[16];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if ((from->_flags & rows[i].flag) != 0 &&
            add_property(rows[i].name, rows[i].value, out, err) != 0) {
            return -1;
        }
    }
    if ((from->_flags & AMQP_BASIC_PRIORITY_FLAG) == 0) {
        return 0;
    }
    (void)snprintf(text, sizeof text, "%u", (unsigned)from->priority);
    return add_property("priority", qe_amqp_text(text), out, err);
}

/* Unknown where a queue that does not count says no more than that it is not the first time. */
static void count_receives(const struct facts *facts, bool redelivered, struct qe_message *out)
{
    const bool is_counted = facts->has_delivery_count || !redelivered;
    const uint32_t count = (uint32_t)(facts->receives +
                                      (facts->has_delivery_count ? facts->delivery_count
                                       : redelivered             ? 1
                                                                 : 0) +
                                      1);

    out->receives = is_counted && !facts->is_least ? count : 0;
    out->receives_least = out->receives > 0 ? 0 : count;
}

int qe_amqp_read(const amqp_basic_properties_t *properties, bool redelivered,
                 struct qe_message *out, struct qe_err *err)
{
    struct facts facts = {0};
    const amqp_flags_t flags = properties->_flags;

    if (((flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0 &&
         copy(properties->message_id, &out->id, err) != 0) ||
        ((flags & AMQP_BASIC_CORRELATION_ID_FLAG) != 0 &&
         copy(properties->correlation_id, &out->correlation_id, err) != 0) ||
        ((flags & AMQP_BASIC_REPLY_TO_FLAG) != 0 &&
         copy(properties->reply_to, &out->reply_to, err) != 0) ||
        add_properties(properties, out, err) != 0 ||
        ((flags & AMQP_BASIC_HEADERS_FLAG) != 0 &&
         add_headers(&properties->headers, &facts, out, err) != 0) ||
        add_types(facts.types, out, err) != 0) {
        return -1;
    }
    out->id_is_publishers = out->id[0] != '\0';
    /* What this driver sends says so itself, and never a time that is still to come. */
    out->sent_is_told = facts.sent_unix_ms == 0 || facts.sent_unix_ms > qe_clock_unix_ms();
    if (facts.sent_unix_ms == 0 && (flags & AMQP_BASIC_TIMESTAMP_FLAG) != 0 &&
        properties->timestamp <= UNIX_MAX_SECONDS) {
        facts.sent_unix_ms = (int64_t)properties->timestamp * 1000;
    }
    out->sent_unix_ms = facts.sent_unix_ms;
    count_receives(&facts, redelivered, out);
    out->enqueued_unix_ms = facts.enqueued_unix_ms;
    return add_death(facts.deaths, out, err);
}
