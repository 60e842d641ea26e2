/* A growing, NUL-terminated byte buffer with a cap. Errors stick: after one failed append every
 * further append fails too, so a caller may append many times and check once with
 * qe_strbuf_error(). */
#ifndef QE_UTIL_STRBUF_H
#define QE_UTIL_STRBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "util/err.h"

struct qe_strbuf {
    char *data; /* owned; NULL until the first append */
    size_t length_bytes;
    size_t capacity_bytes;
    size_t max_bytes;        /* 0 means QE_STRBUF_DEFAULT_MAX_BYTES */
    enum qe_err_code failed; /* QE_OK, QE_ERR_NOMEM or QE_ERR_LIMIT */
    /* Set by the owner before the first append: what it holds is wiped before its memory is given
     * back, also when it grows. Not after qe_strbuf_detach(). */
    bool is_secret;
};

#define QE_STRBUF_DEFAULT_MAX_BYTES ((size_t)1 << 30)

void qe_strbuf_init(struct qe_strbuf *buf, size_t max_bytes);
void qe_strbuf_deinit(struct qe_strbuf *buf); /* also valid on = {0}; twice is safe */
void qe_strbuf_reset(struct qe_strbuf *buf);  /* empties, keeps the memory, clears the error */
int qe_strbuf_append_slow(struct qe_strbuf *buf, const void *bytes, size_t count);
/* Inline: a scrape appends thousands of short pieces, and nearly all of them fit. */
static inline int qe_strbuf_append(struct qe_strbuf *buf, const void *bytes, size_t count)
{
    if (buf->failed != QE_OK || count >= buf->capacity_bytes - buf->length_bytes || count == 0) {
        return qe_strbuf_append_slow(buf, bytes, count);
    }
    memcpy(buf->data + buf->length_bytes, bytes, count);
    buf->length_bytes += count;
    buf->data[buf->length_bytes] = '\0';
    return 0;
}
static inline int qe_strbuf_append_text(struct qe_strbuf *buf, const char *text)
{
    return qe_strbuf_append(buf, text, strlen(text));
}
static inline int qe_strbuf_append_char(struct qe_strbuf *buf, char c)
{
    return qe_strbuf_append(buf, &c, 1);
}
int qe_strbuf_printf(struct qe_strbuf *buf, const char *fmt, ...) QE_PRINTF(2, 3);

/* Makes sure `count` more bytes fit and returns where to write them, or NULL. The caller then sets
 * length_bytes. */
char *qe_strbuf_reserve(struct qe_strbuf *buf, size_t count);

/* 0, or -1 with *err set when any append failed. */
int qe_strbuf_error(const struct qe_strbuf *buf, struct qe_err *err) QE_MUST_CHECK;

/* Text so far, never NULL ("" when empty). Borrowed until the next change. */
const char *qe_strbuf_text(const struct qe_strbuf *buf);

/* Hands the memory to the caller (qe_free) and leaves an empty buffer; NULL when nothing was ever
 * appended. */
char *qe_strbuf_detach(struct qe_strbuf *buf);

#endif
