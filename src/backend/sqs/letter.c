#include "backend/sqs/letter.h"

#include <stdio.h>
#include <string.h>

#include "backend/sqs/internal.h"
#include "util/text.h"

#define ATTRIBUTE_NAME_MAX_BYTES 256

int qe_sqs_letter_add(struct qe_sqs_letter *letter, const char *name, const char *type,
                      const char *value, struct qe_err *err)
{
    if (letter->attributes_count >= QE_SQS_ATTRIBUTES_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT,
                          "attribute %.80s: an SQS message has at most %d attributes, correlation "
                          "id and reply-to included",
                          name, QE_SQS_ATTRIBUTES_MAX);
    }
    letter->attributes[letter->attributes_count++] = (struct qe_sqs_attribute){
        .name = name, .type = type[0] == '\0' ? "String" : type, .value = value};
    return 0;
}

static size_t value_bytes(const struct qe_sqs_attribute *attribute)
{
    size_t decoded =
        qe_sqs_type_is_binary(attribute->type) ? qe_sqs_base64_bytes(attribute->value) : SIZE_MAX;

    return decoded != SIZE_MAX ? decoded : strlen(attribute->value);
}

size_t qe_sqs_letter_bytes(const struct qe_sqs_letter *letter)
{
    size_t bytes = letter->body_bytes;

    for (size_t i = 0; i < letter->attributes_count; i++) {
        const struct qe_sqs_attribute *attribute = &letter->attributes[i];

        bytes += strlen(attribute->name) + strlen(attribute->type) + value_bytes(attribute);
    }
    return bytes;
}

/* --- what SQS refuses --- */

static uint32_t code_point(const char *bytes, size_t count)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t value = (unsigned char)bytes[0] & masks[count];

    for (size_t i = 1; i < count; i++) {
        value = value << 6 | ((unsigned char)bytes[i] & 0x3f);
    }
    return value;
}

/* The characters of XML 1.0; of valid UTF-8, surrogates cannot be. */
static bool is_taken(uint32_t character)
{
    return character >= 0x20 ? character != 0xfffe && character != 0xffff
                             : character == 0x09 || character == 0x0a || character == 0x0d;
}

static int check_characters(const char *what, const char *bytes, size_t count, struct qe_err *err)
{
    size_t step = 0;

    for (size_t i = 0; i < count; i += step) {
        step = 1;
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f) {
            continue;
        }
        step = qe_text_char_bytes(bytes + i, count - i);
        if (step == 0) {
            return qe_err_set(err, QE_ERR_INVALID,
                              "%s: byte %zu is not UTF-8, and SQS takes only text: encode it, for "
                              "example as base64",
                              what, i);
        }
        uint32_t character = code_point(bytes + i, step);

        if (!is_taken(character)) {
            return qe_err_set(err, QE_ERR_INVALID,
                              "%s: SQS does not take the character U+%04X at byte %zu: encode it, "
                              "for example as base64",
                              what, (unsigned)character, i);
        }
    }
    return 0;
}

static bool is_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t length = strlen(name);

    return length > 0 && length <= ATTRIBUTE_NAME_MAX_BYTES && name[strspn(name, allowed)] == 0 &&
           name[0] != '.' && name[length - 1] != '.' && strstr(name, "..") == NULL;
}

static bool is_reserved(const char *name)
{
    static const char *const prefixes[] = {"aws.", "amazon."};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t length = strlen(prefixes[i]);

        if (strlen(name) >= length) {
            char start[8] = "";

            memcpy(start, name, length);
            if (qe_text_equal_nocase(start, prefixes[i])) {
                return true;
            }
        }
    }
    return false;
}

static bool is_type(const char *type)
{
    static const char *const bases[] = {"String", "Number", "Binary"};

    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        size_t length = strlen(bases[i]);

        if (strncmp(type, bases[i], length) == 0) {
            return type[length] == '\0' || (type[length] == '.' && type[length + 1] != '\0');
        }
    }
    return false;
}

static int check_attribute(const struct qe_sqs_attribute *attribute, struct qe_err *err)
{
    char what[128];
    size_t cut = qe_text_cut(attribute->name, strlen(attribute->name), 80);

    if (!is_name(attribute->name) || is_reserved(attribute->name)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "attribute \"%.*s\": SQS takes names of A-Z, a-z, 0-9, _, - and single "
                          "inner dots, up to 256, not beginning with AWS. or Amazon.",
                          (int)cut, attribute->name);
    }
    (void)snprintf(what, sizeof what, "attribute %.*s", (int)cut, attribute->name);
    if (!is_type(attribute->type)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "%s: type \"%.60s\" is none of String, Number, Binary, nor one of them "
                          "with .label",
                          what, attribute->type);
    }
    if (attribute->value[0] == '\0') {
        return qe_err_set(err, QE_ERR_INVALID, "%s: SQS takes no empty value", what);
    }
    if (qe_sqs_type_is_binary(attribute->type)) {
        return qe_sqs_base64_bytes(attribute->value) != SIZE_MAX
                   ? 0
                   : qe_err_set(err, QE_ERR_INVALID, "%s: a binary value is given in base64", what);
    }
    return check_characters(what, attribute->value, strlen(attribute->value), err);
}

/* Of a group or deduplication id: SQS takes printable ASCII without the blank. */
static int check_id(const char *what, const char *id, struct qe_err *err)
{
    size_t length = strlen(id);

    for (size_t i = 0; i < length; i++) {
        if (id[i] <= 0x20 || id[i] >= 0x7f) {
            return qe_err_set(err, QE_ERR_INVALID,
                              "%s: SQS takes letters, digits and punctuation only", what);
        }
    }
    return length <= QE_SQS_GROUP_MAX_BYTES
               ? 0
               : qe_err_set(err, QE_ERR_INVALID, "%s: has %zu characters: SQS takes at most %d",
                            what, length, QE_SQS_GROUP_MAX_BYTES);
}

static int check_names(const struct qe_sqs_letter *letter, struct qe_err *err)
{
    for (size_t i = 0; i < letter->attributes_count; i++) {
        if (check_attribute(&letter->attributes[i], err) != 0) {
            return -1;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(letter->attributes[i].name, letter->attributes[j].name) == 0) {
                return qe_err_set(err, QE_ERR_INVALID, "attribute %.80s is there twice",
                                  letter->attributes[i].name);
            }
        }
    }
    return 0;
}

int qe_sqs_letter_check(const struct qe_sqs_letter *letter, struct qe_err *err)
{
    size_t bytes = qe_sqs_letter_bytes(letter);

    if (bytes > QE_SQS_MESSAGE_MAX_BYTES) {
        return qe_err_set(err, QE_ERR_LIMIT,
                          "the message has %zu bytes with its attributes: SQS takes at most %zu",
                          bytes, QE_SQS_MESSAGE_MAX_BYTES);
    }
    if (letter->body_bytes == 0) {
        return qe_err_set(err, QE_ERR_INVALID, "SQS takes no empty body");
    }
    if (check_characters("body", letter->body, letter->body_bytes, err) != 0 ||
        check_names(letter, err) != 0 || check_id("group", letter->group, err) != 0) {
        return -1;
    }
    return check_id("deduplication id", letter->deduplication_id, err);
}

/* --- on the wire --- */

static void append_member(struct qe_strbuf *out, const char *key, const char *value)
{
    (void)qe_strbuf_append_text(out, key);
    qe_sqs_append_text(out, value, strlen(value));
}

static void append_attributes(const struct qe_sqs_letter *letter, struct qe_strbuf *out)
{
    (void)qe_strbuf_append_text(out, ",\"MessageAttributes\":{");
    for (size_t i = 0; i < letter->attributes_count; i++) {
        const struct qe_sqs_attribute *attribute = &letter->attributes[i];

        append_member(out, i == 0 ? "" : ",", attribute->name);
        append_member(out, ":{\"DataType\":", attribute->type);
        append_member(
            out, qe_sqs_type_is_binary(attribute->type) ? ",\"BinaryValue\":" : ",\"StringValue\":",
            attribute->value);
        (void)qe_strbuf_append_char(out, '}');
    }
    (void)qe_strbuf_append_char(out, '}');
}

void qe_sqs_letter_append(const struct qe_sqs_letter *letter, struct qe_strbuf *out)
{
    (void)qe_strbuf_append_text(out, ",\"MessageBody\":");
    qe_sqs_append_text(out, letter->body, letter->body_bytes);
    if (letter->attributes_count > 0) {
        append_attributes(letter, out);
    }
    if (letter->delay_seconds >= 0) {
        (void)qe_strbuf_printf(out, ",\"DelaySeconds\":%lld", (long long)letter->delay_seconds);
    }
    if (letter->group[0] != '\0') {
        append_member(out, ",\"MessageGroupId\":", letter->group);
    }
    if (letter->deduplication_id[0] != '\0') {
        append_member(out, ",\"MessageDeduplicationId\":", letter->deduplication_id);
    }
}

/* A checksum that is not in the answer is not compared. `rc` is of making our own. */
static int compare(const char *what, int rc, const char *own, const char *theirs,
                   struct qe_err *err)
{
    if (rc != 0) {
        return err->code == QE_ERR_UNSUPPORTED ? 0 : -1;
    }
    if (theirs == NULL || qe_text_equal_nocase(own, theirs)) {
        return 0;
    }
    return qe_err_set(err, QE_ERR_PROTOCOL,
                      "SQS has got another %s than was sent: its MD5 is %.40s, not %s", what,
                      theirs, own);
}

int qe_sqs_letter_verify(const struct qe_sqs_letter *letter, const struct qe_json *answer,
                         struct qe_err *err)
{
    char own[QE_MD5_HEX_BYTES] = "";
    struct qe_err why = {0};
    int rc = qe_sqs_md5_body(letter->body, letter->body_bytes, own, &why);

    rc = compare("body", rc, own, qe_json_text(qe_json_get(answer, "MD5OfMessageBody")), &why);
    if (rc == 0 && letter->attributes_count > 0) {
        rc = qe_sqs_md5_attributes(letter->attributes, letter->attributes_count, own, &why);
        rc = compare("attributes", rc, own,
                     qe_json_text(qe_json_get(answer, "MD5OfMessageAttributes")), &why);
    }
    if (rc != 0) {
        *err = why;
    }
    return rc;
}
