#include "util/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/mem.h"
#include "util/secret.h"

#define FIRST_CAPACITY_BYTES 64

void qe_strbuf_init(struct qe_strbuf *buf, size_t max_bytes)
{
    *buf = (struct qe_strbuf){.max_bytes = max_bytes};
}

static void wipe(struct qe_strbuf *buf)
{
    if (buf->is_secret && buf->data != NULL) {
        qe_secret_wipe(buf->data, buf->capacity_bytes);
    }
}

void qe_strbuf_deinit(struct qe_strbuf *buf)
{
    wipe(buf);
    qe_free(buf->data);
    *buf = (struct qe_strbuf){.max_bytes = buf->max_bytes, .is_secret = buf->is_secret};
}

void qe_strbuf_reset(struct qe_strbuf *buf)
{
    wipe(buf);
    buf->length_bytes = 0;
    buf->failed = QE_OK;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

static char *fail(struct qe_strbuf *buf, enum qe_err_code code)
{
    buf->failed = code;
    return NULL;
}

/* realloc would leave a copy behind that nobody wipes. */
static char *move_secret(struct qe_strbuf *buf, size_t capacity)
{
    char *moved = qe_calloc(capacity, 1);

    if (moved != NULL && buf->data != NULL) {
        memcpy(moved, buf->data, buf->length_bytes);
        wipe(buf);
        qe_free(buf->data);
    }
    return moved;
}

char *qe_strbuf_reserve(struct qe_strbuf *buf, size_t count)
{
    size_t max_bytes = buf->max_bytes == 0 ? QE_STRBUF_DEFAULT_MAX_BYTES : buf->max_bytes;

    if (buf->failed != QE_OK) {
        return NULL;
    }
    /* The length never passes the cap; a caller that broke that by hand is refused here too. */
    if (buf->length_bytes > max_bytes || count > max_bytes - buf->length_bytes) {
        return fail(buf, QE_ERR_LIMIT);
    }
    size_t needed = buf->length_bytes + count + 1; /* the NUL */

    if (needed > buf->capacity_bytes) {
        size_t capacity = buf->capacity_bytes < FIRST_CAPACITY_BYTES / 2 ? FIRST_CAPACITY_BYTES
                                                                         : buf->capacity_bytes * 2;

        capacity = capacity < needed ? needed : capacity;
        capacity = capacity > max_bytes + 1 ? max_bytes + 1 : capacity;
        char *grown =
            buf->is_secret ? move_secret(buf, capacity) : qe_reallocarray(buf->data, capacity, 1);

        if (grown == NULL) {
            return fail(buf, QE_ERR_NOMEM);
        }
        buf->data = grown;
        buf->capacity_bytes = capacity;
    }
    return buf->data + buf->length_bytes;
}

int qe_strbuf_append_slow(struct qe_strbuf *buf, const void *bytes, size_t count)
{
    char *out = qe_strbuf_reserve(buf, count);

    if (out == NULL) {
        return -1;
    }
    if (count > 0) {
        memcpy(out, bytes, count);
    }
    out[count] = '\0';
    buf->length_bytes += count;
    return 0;
}

int qe_strbuf_printf(struct qe_strbuf *buf, const char *fmt, ...)
{
    char small[256];
    va_list args;

    va_start(args, fmt);
    int wanted = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (wanted < 0) { /* a wide character that cannot be written, or past INT_MAX */
        fail(buf, QE_ERR_LIMIT);
        return -1;
    }
    size_t count = (size_t)wanted;

    if (count < sizeof small) {
        return qe_strbuf_append(buf, small, count);
    }
    char *out = qe_strbuf_reserve(buf, count);

    if (out == NULL) {
        return -1;
    }
    va_start(args, fmt);
    (void)vsnprintf(out, count + 1, fmt, args);
    va_end(args);
    buf->length_bytes += count;
    return 0;
}

int qe_strbuf_error(const struct qe_strbuf *buf, struct qe_err *err)
{
    if (buf->failed == QE_OK) {
        return 0;
    }
    if (buf->failed == QE_ERR_LIMIT) {
        size_t max_bytes = buf->max_bytes == 0 ? QE_STRBUF_DEFAULT_MAX_BYTES : buf->max_bytes;

        return qe_err_set(err, QE_ERR_LIMIT, "text is longer than %zu bytes", max_bytes);
    }
    return qe_err_set(err, buf->failed, "out of memory for %zu bytes of text", buf->length_bytes);
}

/* After qe_strbuf_reserve() the end may be unmarked. Written only when it is, so that several
 * threads may read a finished buffer. */
static void terminate(const struct qe_strbuf *buf)
{
    // cppcheck-suppress duplicateConditionalAssign ; the write is what must not happen twice
    if (buf->data[buf->length_bytes] != '\0') {
        buf->data[buf->length_bytes] = '\0';
    }
}

const char *qe_strbuf_text(const struct qe_strbuf *buf)
{
    if (buf->data == NULL) {
        return "";
    }
    terminate(buf);
    return buf->data;
}

char *qe_strbuf_detach(struct qe_strbuf *buf)
{
    char *data = buf->data;

    if (data != NULL) {
        terminate(buf);
    }
    *buf = (struct qe_strbuf){.max_bytes = buf->max_bytes, .is_secret = buf->is_secret};
    return data;
}
