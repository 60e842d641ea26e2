/* Errors: a closed set of codes and one plain value that carries the story. */
#ifndef QE_UTIL_ERR_H
#define QE_UTIL_ERR_H

#include <stdbool.h>

#define QE_MUST_CHECK __attribute__((warn_unused_result))
#define QE_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))

/* Room for a search that names every place it looked in; longer ones are cut. */
#define QE_ERR_MESSAGE_BYTES 1024

/* The lower-case name is the `reason` label value; a new code is a metrics change. */
enum qe_err_code {
    QE_OK = 0,
    QE_ERR_NOMEM,
    QE_ERR_INVALID,   /* the caller or the configuration asks for something that cannot be */
    QE_ERR_AUTH,      /* refused: credentials, permissions, a read-only file */
    QE_ERR_NOT_FOUND, /* queue, file, or a receipt that no longer counts */
    QE_ERR_THROTTLED,
    QE_ERR_TIMEOUT, /* deadline passed, or a lock not obtained by it */
    QE_ERR_NETWORK,
    QE_ERR_PROTOCOL, /* the other side's bytes make no sense; a corrupt file */
    QE_ERR_LIMIT,    /* a size, count or quota; a full disk */
    QE_ERR_UNSUPPORTED,
    QE_ERR_CANCELLED, /* interrupted on request; never counted as a failure */
    QE_ERR_IO,        /* the local disk or kernel failed */
    QE_ERR_COUNT      /* keep last */
};

/* Plain value on the caller's stack: owns nothing, is never NULL, never carries a secret. */
struct qe_err {
    enum qe_err_code code;
    int sys_errno; /* set by qe_err_set_errno() only, else 0 */
    char message[QE_ERR_MESSAGE_BYTES];
};

/* Sets code and message (cut to fit). Returns -1, so that callers can `return qe_err_set(...)`. */
int qe_err_set(struct qe_err *err, enum qe_err_code code, const char *fmt, ...) QE_PRINTF(3, 4);

/* As qe_err_set, code derived from `sys_errno`, and ": <strerror>" appended. Returns -1. */
int qe_err_set_errno(struct qe_err *err, int sys_errno, const char *fmt, ...) QE_PRINTF(3, 4);

/* Puts "<context>: " before the message and keeps the code. Returns -1. */
int qe_err_wrap(struct qe_err *err, const char *fmt, ...) QE_PRINTF(2, 3);

/* The `reason` label value of a code: "timeout", "not_found", ... */
const char *qe_err_code_name(enum qe_err_code code);

/* True for what may succeed when tried again unchanged: throttled, timeout, network. */
bool qe_err_is_retryable(enum qe_err_code code);
/* True for what was asked of a broker and will never be done, whoever asks again, and when. */
bool qe_err_is_hopeless(enum qe_err_code code);

#endif
