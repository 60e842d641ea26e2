#include "util/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/text.h"

static const char *const s_code_names[QE_ERR_COUNT] = {
    [QE_OK] = "ok",
    [QE_ERR_NOMEM] = "nomem",
    [QE_ERR_INVALID] = "invalid",
    [QE_ERR_AUTH] = "auth",
    [QE_ERR_NOT_FOUND] = "not_found",
    [QE_ERR_THROTTLED] = "throttled",
    [QE_ERR_TIMEOUT] = "timeout",
    [QE_ERR_NETWORK] = "network",
    [QE_ERR_PROTOCOL] = "protocol",
    [QE_ERR_LIMIT] = "limit",
    [QE_ERR_UNSUPPORTED] = "unsupported",
    [QE_ERR_CANCELLED] = "cancelled",
    [QE_ERR_IO] = "io",
};

/* What is not named here is the local machine's own trouble: QE_ERR_IO. */
static const struct errno_code {
    int sys_errno;
    enum qe_err_code code;
} s_errno_codes[] = {
    {ENOMEM, QE_ERR_NOMEM},
    {EACCES, QE_ERR_AUTH},
    {EPERM, QE_ERR_AUTH},
    {EROFS, QE_ERR_AUTH},
    {ENOENT, QE_ERR_NOT_FOUND},
    {ENOTDIR, QE_ERR_NOT_FOUND},
    {ETIMEDOUT, QE_ERR_TIMEOUT},
    {EBUSY, QE_ERR_TIMEOUT},
    {ECONNREFUSED, QE_ERR_NETWORK},
    {ECONNRESET, QE_ERR_NETWORK},
    {ECONNABORTED, QE_ERR_NETWORK},
    {EPIPE, QE_ERR_NETWORK},
    {ENOTCONN, QE_ERR_NETWORK},
    {EHOSTUNREACH, QE_ERR_NETWORK},
    {EHOSTDOWN, QE_ERR_NETWORK},
    {ENETUNREACH, QE_ERR_NETWORK},
    {ENETDOWN, QE_ERR_NETWORK},
    {ENETRESET, QE_ERR_NETWORK},
    {ENOSPC, QE_ERR_LIMIT},
    {EDQUOT, QE_ERR_LIMIT},
    {EFBIG, QE_ERR_LIMIT},
    {E2BIG, QE_ERR_LIMIT},
    {EMSGSIZE, QE_ERR_LIMIT},
    {EMFILE, QE_ERR_LIMIT},
    {ENFILE, QE_ERR_LIMIT},
    {EAGAIN, QE_ERR_LIMIT}, /* pthread_create: too many threads */
    {EINVAL, QE_ERR_INVALID},
    {EISDIR, QE_ERR_INVALID},
    {EEXIST, QE_ERR_INVALID},
    {ELOOP, QE_ERR_INVALID},
    {ENAMETOOLONG, QE_ERR_INVALID},
    {EADDRINUSE, QE_ERR_INVALID},
    {EADDRNOTAVAIL, QE_ERR_INVALID},
    {ENOSYS, QE_ERR_UNSUPPORTED},
    {EOPNOTSUPP, QE_ERR_UNSUPPORTED},
    {EAFNOSUPPORT, QE_ERR_UNSUPPORTED},
    {EPROTO, QE_ERR_PROTOCOL},
    {EILSEQ, QE_ERR_PROTOCOL},
    {ECANCELED, QE_ERR_CANCELLED},
    {EINTR, QE_ERR_CANCELLED},
};

static enum qe_err_code code_of_errno(int sys_errno)
{
    for (size_t i = 0; i < sizeof s_errno_codes / sizeof s_errno_codes[0]; i++) {
        if (s_errno_codes[i].sys_errno == sys_errno) {
            return s_errno_codes[i].code;
        }
    }
    return QE_ERR_IO;
}

/* Formats into `out`, cut at a character's end. Returns the length. */
static size_t format(char *out, size_t out_bytes, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

static size_t format(char *out, size_t out_bytes, const char *fmt, va_list args)
{
    int wanted = vsnprintf(out, out_bytes, fmt, args);
    size_t length = wanted < 0 ? 0 : (size_t)wanted;

    if (length >= out_bytes) {
        length = qe_text_cut(out, out_bytes - 1, out_bytes - 1);
    }
    out[length] = '\0';
    return length;
}

/* Appends as much of `text` as fits, cut at a character's end. */
static size_t append(char *out, size_t out_bytes, size_t length, const char *text)
{
    size_t count = qe_text_cut(text, strlen(text), out_bytes - 1 - length);

    memcpy(out + length, text, count);
    out[length + count] = '\0';
    return length + count;
}

int qe_err_set(struct qe_err *err, enum qe_err_code code, const char *fmt, ...)
{
    char message[sizeof err->message]; /* an argument may be err->message itself */
    va_list args;

    va_start(args, fmt);
    size_t length = format(message, sizeof message, fmt, args);
    va_end(args);
    err->code = code;
    err->sys_errno = 0;
    memcpy(err->message, message, length + 1);
    return -1;
}

int qe_err_set_errno(struct qe_err *err, int sys_errno, const char *fmt, ...)
{
    char message[sizeof err->message];
    char reason[128] = "";
    va_list args;

    va_start(args, fmt);
    size_t length = format(message, sizeof message, fmt, args);
    va_end(args);
    if (strerror_r(sys_errno, reason, sizeof reason) != 0) {
        (void)snprintf(reason, sizeof reason, "error %d", sys_errno);
    }
    length = append(message, sizeof message, length, ": ");
    length = append(message, sizeof message, length, reason);
    err->code = code_of_errno(sys_errno);
    err->sys_errno = sys_errno;
    memcpy(err->message, message, length + 1);
    return -1;
}

int qe_err_wrap(struct qe_err *err, const char *fmt, ...)
{
    char message[sizeof err->message];
    va_list args;

    va_start(args, fmt);
    size_t length = format(message, sizeof message, fmt, args);
    va_end(args);
    length = append(message, sizeof message, length, ": ");
    length = append(message, sizeof message, length, err->message);
    memcpy(err->message, message, length + 1);
    return -1;
}

const char *qe_err_code_name(enum qe_err_code code)
{
    return (unsigned)code < QE_ERR_COUNT ? s_code_names[code] : "unknown";
}

bool qe_err_is_retryable(enum qe_err_code code)
{
    return code == QE_ERR_THROTTLED || code == QE_ERR_TIMEOUT || code == QE_ERR_NETWORK;
}

bool qe_err_is_hopeless(enum qe_err_code code)
{
    return code == QE_ERR_NOT_FOUND || code == QE_ERR_INVALID || code == QE_ERR_UNSUPPORTED ||
           code == QE_ERR_LIMIT;
}
