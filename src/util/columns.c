/* wcwidth() belongs to X/Open. NOLINTNEXTLINE(bugprone-reserved-identifier) */
#define _XOPEN_SOURCE 700
#include "util/columns.h"

#include <locale.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include "util/text.h"

#define ELLIPSIS "\xe2\x80\xa6" /* U+2026 */

void qe_columns_setup(void)
{
    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* NOLINT(concurrency-mt-unsafe): the only thread */
}

/* Of valid UTF-8. */
static uint32_t code_point(const char *bytes, size_t count)
{
    uint32_t code = (unsigned char)bytes[0];

    code &= count == 1 ? 0x7fu : 0xffu >> (count + 1);
    for (size_t i = 1; i < count; i++) {
        code = code << 6 | ((unsigned char)bytes[i] & 0x3fu);
    }
    return code;
}

/* They turn the order in which a terminal shows the rest of the line. */
static bool is_bidi_control(uint32_t code)
{
    return code == 0x061c || (code >= 0x200e && code <= 0x200f) ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

size_t qe_columns_next(const char *bytes, size_t count, size_t *out_columns)
{
    size_t known = qe_text_char_bytes(bytes, count);
    uint32_t code = known > 0 ? code_point(bytes, known) : 0;

    *out_columns = 1;
    if (known == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) || is_bidi_control(code)) {
        return 0;
    }
    int columns = code < 0x80 ? 1 : wcwidth((wchar_t)code);

    if (columns < 0) {
        return 0;
    }
    *out_columns = (size_t)columns;
    return known;
}

void qe_columns_append(struct qe_strbuf *out, const char *text, size_t count)
{
    size_t bytes = 0;
    size_t columns = 0;

    for (size_t i = 0; i < count; i += bytes) {
        bytes = qe_columns_next(text + i, count - i, &columns);
        if (bytes > 0) {
            (void)qe_strbuf_append(out, text + i, bytes);
            continue;
        }
        (void)qe_strbuf_printf(out, "\\x%02x", (unsigned)(unsigned char)text[i]);
        bytes = 1;
    }
}

size_t qe_columns_of(const char *safe)
{
    size_t left = strlen(safe);
    size_t sum = 0;
    size_t columns = 0;

    for (size_t bytes = 0; left > 0; safe += bytes, left -= bytes) {
        bytes = qe_columns_next(safe, left, &columns);
        bytes = bytes > 0 ? bytes : 1;
        sum += columns;
    }
    return sum;
}

size_t qe_columns_beginning(const char *safe, size_t most, size_t *out_columns)
{
    size_t left = strlen(safe);
    size_t at = 0;
    size_t columns = 0;

    *out_columns = 0;
    for (size_t bytes = 0; left > 0; at += bytes, left -= bytes) {
        bytes = qe_columns_next(safe + at, left, &columns);
        bytes = bytes > 0 ? bytes : 1;
        if (*out_columns + columns > most) {
            break;
        }
        *out_columns += columns;
    }
    return at;
}

size_t qe_columns_append_cut(struct qe_strbuf *out, const char *safe, size_t columns)
{
    size_t all = qe_columns_of(safe);
    size_t head = 0;
    size_t dropped = 0;

    if (all <= columns) {
        (void)qe_strbuf_append_text(out, safe);
        return all;
    }
    if (columns == 0) {
        return 0;
    }
    size_t tail_most = (columns - 1) / 2;
    size_t head_bytes = qe_columns_beginning(safe, columns - 1 - tail_most, &head);

    /* What is left out ends where at most tail_most columns are left: a wide character that lies
     * across that place goes too. */
    size_t tail_at = qe_columns_beginning(safe, all - tail_most, &dropped);

    if (dropped < all - tail_most) {
        size_t wide = 0;

        tail_at += qe_columns_next(safe + tail_at, strlen(safe + tail_at), &wide);
        dropped += wide;
    }
    (void)qe_strbuf_append(out, safe, head_bytes);
    (void)qe_strbuf_append_text(out, ELLIPSIS);
    (void)qe_strbuf_append_text(out, safe + tail_at);
    return head + 1 + (all - dropped);
}
