#include "util/base64.h"

#include <stdbool.h>
#include <string.h>

#include "util/mem.h"

static const char s_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *qe_base64_encode(const char *bytes, size_t count)
{
    const unsigned char *from = (const unsigned char *)bytes;
    char *out = qe_calloc((count + 2) / 3 * 4 + 1, 1);
    size_t length = 0;

    for (size_t i = 0; out != NULL && i < count; i += 3) {
        size_t left = count - i;
        unsigned group = (unsigned)from[i] << 16;
        group |= left > 1 ? (unsigned)from[i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned)from[i + 2] : 0;
        out[length++] = s_alphabet[group >> 18];
        out[length++] = s_alphabet[group >> 12 & 63];
        out[length++] = left > 1 ? s_alphabet[group >> 6 & 63] : '=';
        out[length++] = left > 2 ? s_alphabet[group & 63] : '=';
    }
    return out;
}

/* 0..63, or -1. */
static int value_of(char c)
{
    const char *at = c != '\0' ? strchr(s_alphabet, c) : NULL;

    return at != NULL ? (int)(at - s_alphabet) : -1;
}

/* Four characters to `count` (1..3) bytes. False: they are none of base64. */
static bool decode_group(const char *text, size_t count, unsigned char *out)
{
    unsigned group = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i <= count ? value_of(text[i]) : 0;

        if (value < 0 || (i > count && text[i] != '=')) {
            return false;
        }
        group = group << 6 | (unsigned)value;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = (unsigned char)(group >> (16 - 8 * i) & 0xff);
    }
    return true;
}

int qe_base64_decode(const char *text, char **out, size_t *out_count)
{
    size_t length = strlen(text);
    size_t padding =
        length >= 4 ? (size_t)(text[length - 1] == '=') + (text[length - 2] == '=') : 0;

    if (length % 4 != 0) {
        return -1;
    }
    unsigned char *bytes = qe_calloc(length / 4 * 3 + 1, 1);

    if (bytes == NULL) {
        return 1;
    }
    for (size_t i = 0; i < length; i += 4) {
        if (!decode_group(text + i, i + 4 == length ? 3 - padding : 3, bytes + i / 4 * 3)) {
            qe_free(bytes);
            return -1;
        }
    }
    *out = (char *)bytes;
    *out_count = length / 4 * 3 - padding;
    return 0;
}
