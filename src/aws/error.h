/* What a failed request says, and what to do about it. Pure: bytes in, verdict out. */
#ifndef QE_AWS_ERROR_H
#define QE_AWS_ERROR_H

#include <stdbool.h>

#include "net/http_client.h"
#include "util/err.h"

#define QE_AWS_CODE_BYTES 96

/* Whether the same request may succeed a moment later. */
enum qe_aws_retry {
    QE_AWS_RETRY_NO = 0,
    QE_AWS_RETRY_TRANSIENT, /* connection, TLS, timeout, 500, 502, 503, 504 */
    QE_AWS_RETRY_THROTTLED  /* slower, please */
};

struct qe_aws_error {
    struct qe_err err; /* code: what to do; message: the code, the status, the words */
    enum qe_aws_retry retry;
    bool may_be_credentials; /* others, or renewed ones, may be accepted */
    bool may_be_skew;        /* refused with a signature of another time */
    /* As of qe_aws_call: the modern and the legacy spelling; "" none. Only [A-Za-z0-9._-]. */
    char code[QE_AWS_CODE_BYTES];
    char legacy_code[QE_AWS_CODE_BYTES];
};

/* reply: one that is not a 2xx, or has an error of its own. Reads JSON errors (__type), the headers
 * x-amzn-query-error and X-Amzn-Errortype, query XML, and pages of proxies. Never shows the session
 * token, though AWS repeats it when a signature does not match.
 * Source: AWS service models of SQS and CloudWatch; the SDKs' parsers and lists of codes. */
void qe_aws_error_read(const struct qe_http_reply *reply, struct qe_aws_error *out);

/* The same for one entry of a batch that failed alone: its Code and SenderFault. */
enum qe_err_code qe_aws_error_code(const char *code, bool is_sender_fault);

#endif
