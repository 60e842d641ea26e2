#include "backend/sqs/checksum.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/text.h"

/* --- base64 --- */

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+') {
        return 62;
    }
    return c == '/' ? 63 : -1;
}

size_t qe_sqs_base64_bytes(const char *text)
{
    size_t length = strlen(text);
    size_t padding = 0;

    if (length % 4 != 0) {
        return SIZE_MAX;
    }
    for (; padding < 2 && padding < length && text[length - 1 - padding] == '='; padding++) {
    }
    for (size_t i = 0; i < length - padding; i++) {
        if (base64_digit(text[i]) < 0) {
            return SIZE_MAX;
        }
    }
    return length / 4 * 3 - padding;
}

/* The text has been found to be base64. */
static int add_base64(struct qe_md5 *md5, const char *text, size_t bytes)
{
    int rc = 0;

    for (size_t done = 0; done < bytes && rc == 0; done += 3, text += 4) {
        uint32_t bits = 0;

        for (size_t i = 0; i < 4; i++) {
            int digit = base64_digit(text[i]);

            bits = bits << 6 | (uint32_t)(digit < 0 ? 0 : digit);
        }
        const unsigned char decoded[3] = {(unsigned char)(bits >> 16), (unsigned char)(bits >> 8),
                                          (unsigned char)bits};

        rc = qe_md5_add(md5, decoded, bytes - done < 3 ? bytes - done : 3);
    }
    return rc;
}

/* --- MD5 --- */

bool qe_sqs_type_is_binary(const char *type)
{
    return strcmp(type, "Binary") == 0 || qe_text_starts_with(type, "Binary.");
}

int qe_sqs_md5_body(const char *body, size_t bytes, char out[QE_MD5_HEX_BYTES], struct qe_err *err)
{
    unsigned char digest[QE_MD5_BYTES];

    if (qe_md5(body, bytes, digest, err) != 0) {
        return -1;
    }
    qe_hex(digest, sizeof digest, out);
    return 0;
}

static int add_length(struct qe_md5 *md5, size_t bytes)
{
    const unsigned char length[4] = {(unsigned char)(bytes >> 24), (unsigned char)(bytes >> 16),
                                     (unsigned char)(bytes >> 8), (unsigned char)bytes};

    return qe_md5_add(md5, length, sizeof length);
}

static int add_text(struct qe_md5 *md5, const char *text)
{
    size_t bytes = strlen(text);

    return add_length(md5, bytes) == 0 ? qe_md5_add(md5, text, bytes) : -1;
}

static int add_attribute(struct qe_md5 *md5, const struct qe_sqs_attribute *attribute)
{
    static const unsigned char is_text = 1;
    static const unsigned char is_binary = 2;

    if (add_text(md5, attribute->name) != 0 || add_text(md5, attribute->type) != 0) {
        return -1;
    }
    if (!qe_sqs_type_is_binary(attribute->type)) {
        return qe_md5_add(md5, &is_text, 1) == 0 ? add_text(md5, attribute->value) : -1;
    }
    size_t bytes = qe_sqs_base64_bytes(attribute->value);

    if (qe_md5_add(md5, &is_binary, 1) != 0 || add_length(md5, bytes) != 0) {
        return -1;
    }
    return add_base64(md5, attribute->value, bytes);
}

static int compare_names(const void *a, const void *b)
{
    const struct qe_sqs_attribute *left = a;
    const struct qe_sqs_attribute *right = b;

    return strcmp(left->name, right->name);
}

int qe_sqs_md5_attributes(const struct qe_sqs_attribute *attributes, size_t count,
                          char out[QE_MD5_HEX_BYTES], struct qe_err *err)
{
    struct qe_sqs_attribute sorted[QE_SQS_ATTRIBUTES_MAX];
    int rc = 0;

    if (count > QE_SQS_ATTRIBUTES_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "%zu attributes: at most %d", count,
                          QE_SQS_ATTRIBUTES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = attributes[i];
        if (qe_sqs_type_is_binary(sorted[i].type) &&
            qe_sqs_base64_bytes(sorted[i].value) == SIZE_MAX) {
            return qe_err_set(err, QE_ERR_PROTOCOL, "attribute %.80s: not base64", sorted[i].name);
        }
    }
    qsort(sorted, count, sizeof sorted[0], compare_names);
    struct qe_md5 *md5 = qe_md5_new(err);

    if (md5 == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = add_attribute(md5, &sorted[i]);
    }
    if (rc != 0 || qe_md5_end(md5, out) != 0) {
        rc = qe_err_set(err, QE_ERR_NOMEM, "MD5 of the attributes");
    }
    qe_md5_destroy(md5);
    return rc;
}
