#include <string.h>

#include "aws/provider_internal.h"
#include "util/text.h"

/* A secret access key has 40 characters, a session token hundreds: so long a run of base64 in mixed
 * letters and digits is taken for one. */
#define SECRET_MIN_BYTES 32
#define TOKEN_PREFIX "eyJ" /* what every JSON web token begins with */
#define HIDDEN "[hidden]"

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_base64(char c)
{
    return is_upper(c) || is_lower(c) || is_digit(c) || c == '+' || c == '/' || c == '=';
}

/* The run of base64 at the front: whether it looks like a key. A path begins with '/'. */
static bool is_key(const char *run, size_t count)
{
    bool upper = false;
    bool lower = false;
    bool digit = false;

    for (size_t i = 0; i < count; i++) {
        upper = upper || is_upper(run[i]);
        lower = lower || is_lower(run[i]);
        digit = digit || is_digit(run[i]);
    }
    return count >= SECRET_MIN_BYTES && upper && lower && digit && run[0] != '/';
}

static bool looks_secret(const char *word, size_t count)
{
    const size_t prefix_bytes = sizeof TOKEN_PREFIX - 1;
    size_t run = 0;

    for (size_t i = 0; i < count; i += run + 1) {
        for (run = 0; i + run < count && is_base64(word[i + run]);) {
            run++;
        }
        if (is_key(word + i, run) ||
            (run > prefix_bytes && memcmp(word + i, TOKEN_PREFIX, prefix_bytes) == 0)) {
            return true;
        }
    }
    return false;
}

/* Bytes of the word at the front: up to a blank or to what cannot be printed. */
static size_t word_bytes(const char *text, size_t count)
{
    size_t length = 0;
    size_t step = 1;

    for (; length < count && step > 0; length += step) {
        const unsigned char c = (unsigned char)text[length];

        step = c <= ' ' || c == 0x7f ? 0 : qe_text_char_bytes(text + length, count - length);
    }
    return length;
}

char *qe_aws_public_text(const char *text, size_t count, char out[QE_AWS_PUBLIC_BYTES])
{
    size_t used = 0;
    size_t step = 0;

    for (size_t i = 0; i < count; i += step) {
        const size_t length = word_bytes(text + i, count - i);
        const bool is_hidden = looks_secret(text + i, length);
        const char *word = is_hidden ? HIDDEN : text + i;
        const size_t shown = is_hidden ? sizeof HIDDEN - 1 : length;
        const size_t room = QE_AWS_PUBLIC_BYTES - 1 - used;
        const size_t blank = used > 0 && shown > 0 && room > 0 ? 1 : 0;

        step = length == 0 ? 1 : length;
        memcpy(out + used, " ", blank);
        used += blank;
        const size_t kept = qe_text_cut(word, shown, room - blank);

        memcpy(out + used, word, kept);
        used += kept;
    }
    out[used] = '\0';
    return out;
}
