/* AWS Signature Version 4, in the Authorization header.
 * Source: AWS, "Create a signed AWS API request"; checked against the official test cases. */
#ifndef QE_AWS_SIGV4_H
#define QE_AWS_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/credentials.h"
#include "net/http_client.h"
#include "util/err.h"
#include "util/strbuf.h"

#define QE_SIGV4_TIME_BYTES 17 /* "20260102T030405Z" and its NUL */
#define QE_SIGV4_HEADERS_MAX 32
#define QE_SIGV4_PARAMETERS_MAX 64  /* of a query */
#define QE_SIGV4_SCOPE_MAX_BYTES 64 /* of a region, and of a service's name */

/* Keeps the signing keys of the last few (secret, day, region, service). One thread. */
struct qe_sigv4;
struct qe_sigv4 *qe_sigv4_new(struct qe_err *err) QE_MUST_CHECK;
void qe_sigv4_destroy(struct qe_sigv4 *signer); /* accepts NULL; wipes */

/* All borrowed for the call. `headers` are those to sign, Host and X-Amz-Date among them, and
 * X-Amz-Security-Token where there is one. Names in any order and case; names that stand twice are
 * joined. */
struct qe_sigv4_request {
    const char *method;
    const char *path;  /* as it is sent, "/" at least */
    const char *query; /* as it is sent, without '?'; NULL or "" none. A '+' in it is a plus */
    const struct qe_http_header *headers;
    size_t headers_count;
    const char *body; /* NULL: none */
    size_t body_bytes;
    const char *region;
    const char *service;
    int64_t time_unix_s;
    bool normalize_path; /* resolve "." and ".." and "//" first: every service but S3 */
};

/* The steps between, for tests and for "why does it not match"; each may be NULL. The canonical
 * request holds the session token, if there is one. */
struct qe_sigv4_steps {
    struct qe_strbuf *canonical_request;
    struct qe_strbuf *string_to_sign;
};

/* "20260102T030405Z" in UTC: the X-Amz-Date of `time_unix_s`, which is within the years 1970 to
 * 9999 (else the nearest of them). */
void qe_sigv4_time(int64_t time_unix_s, char out[QE_SIGV4_TIME_BYTES]);

/* Appends the value of the Authorization header. `steps` may be NULL.
 * Errors: QE_ERR_NOMEM; QE_ERR_INVALID for more headers or parameters than the limits above, a
 * region or service that is too long; QE_ERR_UNSUPPORTED: no SHA-256 in OpenSSL. */
int qe_sigv4_sign(struct qe_sigv4 *signer, const struct qe_aws_credentials *credentials,
                  const struct qe_sigv4_request *request, struct qe_strbuf *out_authorization,
                  const struct qe_sigv4_steps *steps, struct qe_err *err) QE_MUST_CHECK;

#endif
