/* One header of AMQP as attribute, and back. A value that is no text keeps its type's name, so that
 * a message moved from queue to queue stays what it was.
 *
 *   type of the attribute              value
 *   ""                                 a long string of UTF-8
 *   boolean                            true, false
 *   int8 .. int64, uint8 .. uint64     decimal
 *   timestamp                          decimal, seconds since 1970
 *   float, double                      decimal, as many digits as it takes
 *   decimal                            <digits>e-<decimals>
 *   void                               empty
 *   bytes; longstr                     base64: a byte array; a long string that is no UTF-8
 *   table, array                       base64 of AMQP's own encoding
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/base64.h"
#include "util/mem.h"
#include "util/text.h"

#define NESTED_MAX_BYTES 131072 /* of a frame: no larger table can come */
#define NUMBER_BYTES 40

static const struct {
    const char *name;
    uint8_t kind;
} s_types[] = {
    {"boolean", AMQP_FIELD_KIND_BOOLEAN},
    {"int8", AMQP_FIELD_KIND_I8},
    {"uint8", AMQP_FIELD_KIND_U8},
    {"int16", AMQP_FIELD_KIND_I16},
    {"uint16", AMQP_FIELD_KIND_U16},
    {"int32", AMQP_FIELD_KIND_I32},
    {"uint32", AMQP_FIELD_KIND_U32},
    {"int64", AMQP_FIELD_KIND_I64},
    {"uint64", AMQP_FIELD_KIND_U64},
    {"float", AMQP_FIELD_KIND_F32},
    {"double", AMQP_FIELD_KIND_F64},
    {"decimal", AMQP_FIELD_KIND_DECIMAL},
    {"timestamp", AMQP_FIELD_KIND_TIMESTAMP},
    {"void", AMQP_FIELD_KIND_VOID},
    {"bytes", AMQP_FIELD_KIND_BYTES},
    {"longstr", AMQP_FIELD_KIND_UTF8},
    {"table", AMQP_FIELD_KIND_TABLE},
    {"array", AMQP_FIELD_KIND_ARRAY},
};

amqp_bytes_t qe_amqp_text(const char *text)
{
    return amqp_cstring_bytes(text);
}

static const char *type_name(uint8_t kind)
{
    for (size_t i = 0; i < sizeof s_types / sizeof s_types[0]; i++) {
        if (s_types[i].kind == kind) {
            return s_types[i].name;
        }
    }
    return NULL;
}

/* --- in --- */

static int add_base64(const char *name, uint8_t kind, const void *bytes, size_t count,
                      struct qe_attributes *out, struct qe_err *err)
{
    char *text = qe_base64_encode(bytes, count);

    if (text == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "header %s", name);
    }
    const int rc = qe_attributes_add_typed(out, name, type_name(kind), text, err);

    qe_free(text);
    return rc;
}

/* As a table of one nameless entry, which is what the library can encode. */
static int add_nested(const char *name, const amqp_field_value_t *value, struct qe_attributes *out,
                      struct qe_err *err)
{
    amqp_table_entry_t entry = {.key = amqp_empty_bytes, .value = *value};
    amqp_table_t table = {.num_entries = 1, .entries = &entry};
    char *bytes = qe_calloc(1, NESTED_MAX_BYTES);
    size_t count = 0;
    int rc = 0;

    if (bytes == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "header %s", name);
    }
    const int status =
        amqp_encode_table((amqp_bytes_t){.len = NESTED_MAX_BYTES, .bytes = bytes}, &table, &count);

    rc = status != AMQP_STATUS_OK ? qe_amqp_fail(err, status, name)
                                  : add_base64(name, value->kind, bytes, count, out, err);
    qe_free(bytes);
    return rc;
}

static bool is_text(amqp_bytes_t bytes)
{
    return bytes.len == 0 || (memchr(bytes.bytes, '\0', bytes.len) == NULL &&
                              qe_text_is_utf8(bytes.bytes, bytes.len));
}

static int add_text(const char *name, amqp_bytes_t bytes, struct qe_attributes *out,
                    struct qe_err *err)
{
    if (!is_text(bytes)) {
        return add_base64(name, AMQP_FIELD_KIND_UTF8, bytes.bytes, bytes.len, out, err);
    }
    char *text = bytes.len == 0 ? qe_strdup("") : qe_strndup(bytes.bytes, bytes.len);

    if (text == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "header %s", name);
    }
    const int rc = qe_attributes_add(out, name, text, err);

    qe_free(text);
    return rc;
}

bool qe_amqp_value_whole(const amqp_field_value_t *value, int64_t *out)
{
    switch (value->kind) {
    case AMQP_FIELD_KIND_I8:
        *out = value->value.i8; /* NOLINT(bugprone-signed-char-misuse,cert-str34-c): a number */
        break;
    case AMQP_FIELD_KIND_U8:
        *out = value->value.u8;
        break;
    case AMQP_FIELD_KIND_I16:
        *out = value->value.i16;
        break;
    case AMQP_FIELD_KIND_U16:
        *out = value->value.u16;
        break;
    case AMQP_FIELD_KIND_I32:
        *out = value->value.i32;
        break;
    case AMQP_FIELD_KIND_U32:
        *out = value->value.u32;
        break;
    case AMQP_FIELD_KIND_I64:
        *out = value->value.i64;
        break;
    default:
        return false;
    }
    return true;
}

static bool print_number(const amqp_field_value_t *value, char out[NUMBER_BYTES])
{
    int64_t whole = 0;

    if (qe_amqp_value_whole(value, &whole)) {
        (void)snprintf(out, NUMBER_BYTES, "%" PRId64, whole);
        return true;
    }
    switch (value->kind) {
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_TIMESTAMP:
        (void)snprintf(out, NUMBER_BYTES, "%" PRIu64, value->value.u64);
        return true;
    case AMQP_FIELD_KIND_BOOLEAN:
        (void)snprintf(out, NUMBER_BYTES, "%s", value->value.boolean != 0 ? "true" : "false");
        return true;
    case AMQP_FIELD_KIND_F32:
        (void)snprintf(out, NUMBER_BYTES, "%.9g", (double)value->value.f32);
        return true;
    case AMQP_FIELD_KIND_F64:
        (void)snprintf(out, NUMBER_BYTES, "%.17g", value->value.f64);
        return true;
    case AMQP_FIELD_KIND_DECIMAL:
        (void)snprintf(out, NUMBER_BYTES, "%" PRIu32 "e-%u", value->value.decimal.value,
                       (unsigned)value->value.decimal.decimals);
        return true;
    case AMQP_FIELD_KIND_VOID:
        out[0] = '\0';
        return true;
    default:
        return false;
    }
}

int qe_amqp_value_read(const char *name, const amqp_field_value_t *value, struct qe_attributes *out,
                       struct qe_err *err)
{
    char text[NUMBER_BYTES];

    if (print_number(value, text)) {
        return qe_attributes_add_typed(out, name, type_name(value->kind), text, err);
    }
    switch (value->kind) {
    case AMQP_FIELD_KIND_UTF8:
        return add_text(name, value->value.bytes, out, err);
    case AMQP_FIELD_KIND_BYTES:
        return add_base64(name, value->kind, value->value.bytes.bytes, value->value.bytes.len, out,
                          err);
    case AMQP_FIELD_KIND_TABLE:
    case AMQP_FIELD_KIND_ARRAY:
        return add_nested(name, value, out, err);
    default:
        return 0; /* the library refuses frames with other kinds */
    }
}

/* --- out --- */

static int not_one(const struct qe_attribute *attribute, struct qe_err *err)
{
    return qe_err_set(err, QE_ERR_INVALID, "attribute \"%.80s\": \"%.40s\" is no %s",
                      attribute->name, attribute->value, attribute->type);
}

static int write_unsigned(const struct qe_attribute *attribute, amqp_field_value_t *out,
                          struct qe_err *err)
{
    static const uint64_t max[] = {UINT8_MAX, UINT16_MAX, UINT32_MAX, UINT64_MAX};
    const size_t size = out->kind == AMQP_FIELD_KIND_U8    ? 0
                        : out->kind == AMQP_FIELD_KIND_U16 ? 1
                        : out->kind == AMQP_FIELD_KIND_U32 ? 2
                                                           : 3;
    uint64_t number = 0;

    if (qe_text_to_u64(attribute->value, max[size], &number, err) != 0) {
        return not_one(attribute, err);
    }
    switch (size) {
    case 0:
        out->value.u8 = (uint8_t)number;
        break;
    case 1:
        out->value.u16 = (uint16_t)number;
        break;
    case 2:
        out->value.u32 = (uint32_t)number;
        break;
    default:
        out->value.u64 = number;
        break;
    }
    return 0;
}

static int write_signed(const struct qe_attribute *attribute, amqp_field_value_t *out,
                        struct qe_err *err)
{
    static const uint64_t max[] = {INT8_MAX, INT16_MAX, INT32_MAX, INT64_MAX};
    const bool is_negative = attribute->value[0] == '-';
    const size_t size = out->kind == AMQP_FIELD_KIND_I8    ? 0
                        : out->kind == AMQP_FIELD_KIND_I16 ? 1
                        : out->kind == AMQP_FIELD_KIND_I32 ? 2
                                                           : 3;
    uint64_t number = 0;

    if (qe_text_to_u64(attribute->value + is_negative, max[size] + is_negative, &number, err) !=
        0) {
        return not_one(attribute, err);
    }
    /* Negated before it is narrowed: the least number has no positive twin. */
    const int64_t value = is_negative ? (int64_t)(0 - number) : (int64_t)number;

    switch (size) {
    case 0:
        out->value.i8 = (int8_t)value;
        break;
    case 1:
        out->value.i16 = (int16_t)value;
        break;
    case 2:
        out->value.i32 = (int32_t)value;
        break;
    default:
        out->value.i64 = value;
        break;
    }
    return 0;
}

static int write_decimal(const struct qe_attribute *attribute, amqp_field_value_t *out,
                         struct qe_err *err)
{
    const char *middle = strstr(attribute->value, "e-");
    const size_t digits_bytes = middle == NULL ? 0 : (size_t)(middle - attribute->value);
    char digits[16] = "";
    uint64_t number = 0;
    uint64_t decimals = 0;

    if (digits_bytes == 0 || digits_bytes >= sizeof digits) {
        return not_one(attribute, err);
    }
    memcpy(digits, attribute->value, digits_bytes);
    if (qe_text_to_u64(digits, UINT32_MAX, &number, err) != 0 ||
        qe_text_to_u64(middle + 2, UINT8_MAX, &decimals, err) != 0) {
        return not_one(attribute, err);
    }
    out->value.decimal.value = (uint32_t)number;
    out->value.decimal.decimals = (uint8_t)decimals;
    return 0;
}

/* What printf writes for those that are no numbers is read back, too. */
static int read_real(const char *text, double *out, struct qe_err *err)
{
    const char *plain = text + (*text == '-');

    if (strcmp(plain, "nan") != 0 && strcmp(plain, "inf") != 0) {
        return qe_text_to_double(text, out, err);
    }
    *out = *plain == 'n' ? (double)NAN : (double)INFINITY;
    *out = *text == '-' ? -*out : *out;
    return 0;
}

static int write_real(const struct qe_attribute *attribute, amqp_field_value_t *out,
                      struct qe_err *err)
{
    double number = 0;

    if (read_real(attribute->value, &number, err) != 0) {
        return not_one(attribute, err);
    }
    if (out->kind == AMQP_FIELD_KIND_F32) {
        out->value.f32 = (float)number;
    } else {
        out->value.f64 = number;
    }
    return 0;
}

/* Into the pool, which outlives the decoded text. */
static int decode(const struct qe_attribute *attribute, amqp_pool_t *pool, amqp_bytes_t *out,
                  struct qe_err *err)
{
    char *bytes = NULL;
    size_t count = 0;
    const int rc = qe_base64_decode(attribute->value, &bytes, &count);

    if (rc > 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "attribute %s", attribute->name);
    }
    if (rc < 0) {
        return not_one(attribute, err);
    }
    *out = amqp_empty_bytes;
    if (count > 0) {
        amqp_pool_alloc_bytes(pool, count, out);
        if (out->bytes != NULL) {
            memcpy(out->bytes, bytes, count);
        }
    }
    qe_free(bytes);
    return count == 0 || out->bytes != NULL
               ? 0
               : qe_err_set(err, QE_ERR_NOMEM, "attribute %s", attribute->name);
}

static int write_nested(const struct qe_attribute *attribute, amqp_pool_t *pool,
                        amqp_field_value_t *out, struct qe_err *err)
{
    amqp_bytes_t bytes = amqp_empty_bytes;
    amqp_table_t table;
    size_t offset = 0;

    if (decode(attribute, pool, &bytes, err) != 0) {
        return -1;
    }
    if (bytes.len == 0 || amqp_decode_table(bytes, pool, &table, &offset) != AMQP_STATUS_OK ||
        offset != bytes.len || table.num_entries != 1 || table.entries[0].value.kind != out->kind) {
        return not_one(attribute, err);
    }
    *out = table.entries[0].value;
    return 0;
}

static int write_boolean(const struct qe_attribute *attribute, amqp_field_value_t *out,
                         struct qe_err *err)
{
    out->value.boolean = strcmp(attribute->value, "true") == 0;
    return out->value.boolean != 0 || strcmp(attribute->value, "false") == 0
               ? 0
               : not_one(attribute, err);
}

static int write_typed(const struct qe_attribute *attribute, amqp_pool_t *pool,
                       amqp_field_value_t *out, struct qe_err *err)
{
    switch (out->kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
        return write_boolean(attribute, out, err);
    case AMQP_FIELD_KIND_I8:
    case AMQP_FIELD_KIND_I16:
    case AMQP_FIELD_KIND_I32:
    case AMQP_FIELD_KIND_I64:
        return write_signed(attribute, out, err);
    case AMQP_FIELD_KIND_F32:
    case AMQP_FIELD_KIND_F64:
        return write_real(attribute, out, err);
    case AMQP_FIELD_KIND_DECIMAL:
        return write_decimal(attribute, out, err);
    case AMQP_FIELD_KIND_BYTES:
    case AMQP_FIELD_KIND_UTF8:
        return decode(attribute, pool, &out->value.bytes, err);
    case AMQP_FIELD_KIND_TABLE:
    case AMQP_FIELD_KIND_ARRAY:
        return write_nested(attribute, pool, out, err);
    case AMQP_FIELD_KIND_VOID:
        return 0;
    default:
        return write_unsigned(attribute, out, err);
    }
}

int qe_amqp_value_write(const struct qe_attribute *attribute, amqp_pool_t *pool,
                        amqp_field_value_t *out, bool *out_known, struct qe_err *err)
{
    for (size_t i = 0; i < sizeof s_types / sizeof s_types[0]; i++) {
        if (strcmp(s_types[i].name, attribute->type) == 0) {
            *out_known = true;
            *out = (amqp_field_value_t){.kind = s_types[i].kind};
            return write_typed(attribute, pool, out, err);
        }
    }
    *out_known = attribute->type[0] == '\0';
    *out = (amqp_field_value_t){.kind = AMQP_FIELD_KIND_UTF8,
                                .value.bytes = qe_amqp_text(attribute->value)};
    return 0;
}
