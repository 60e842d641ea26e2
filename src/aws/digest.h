/* SHA-256, HMAC-SHA-256 and MD5. The only door to OpenSSL. Any thread; algorithms are fetched once.
 * An object belongs to one thread at a time.
 * Errors: QE_ERR_UNSUPPORTED where OpenSSL has no such algorithm, QE_ERR_NOMEM. */
#ifndef QE_AWS_DIGEST_H
#define QE_AWS_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

#define QE_SHA256_BYTES 32
#define QE_MD5_BYTES 16
#define QE_SHA256_HEX_BYTES (2 * QE_SHA256_BYTES + 1)
#define QE_MD5_HEX_BYTES (2 * QE_MD5_BYTES + 1)

int qe_sha256(const void *bytes, size_t count, unsigned char out[QE_SHA256_BYTES],
              struct qe_err *err) QE_MUST_CHECK;
int qe_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t count,
                   unsigned char out[QE_SHA256_BYTES], struct qe_err *err) QE_MUST_CHECK;
/* A checksum, not a protection. QE_ERR_UNSUPPORTED where the machine's policy forbids MD5 (FIPS):
 * then the check it is for is left out. */
int qe_md5(const void *bytes, size_t count, unsigned char out[QE_MD5_BYTES],
           struct qe_err *err) QE_MUST_CHECK;
/* Lower-case hex with a NUL: `out` has 2 * count + 1 bytes. */
void qe_hex(const unsigned char *bytes, size_t count, char *out);

/* Several pieces as if they were one. An object is used again and again: end makes it empty. */
struct qe_md5;
struct qe_md5 *qe_md5_new(struct qe_err *err) QE_MUST_CHECK;
int qe_md5_add(struct qe_md5 *md5, const void *bytes, size_t count);
/* Hex of all that was added; ready for the next use. */
int qe_md5_end(struct qe_md5 *md5, char out[QE_MD5_HEX_BYTES]);
void qe_md5_destroy(struct qe_md5 *md5); /* accepts NULL */

struct qe_sha256;
struct qe_sha256 *qe_sha256_new(struct qe_err *err) QE_MUST_CHECK;
int qe_sha256_add(struct qe_sha256 *sha256, const void *bytes, size_t count);
/* Hex of all that was added; empty for the next use, also after a failure. */
int qe_sha256_end(struct qe_sha256 *sha256, char out[QE_SHA256_HEX_BYTES]);
void qe_sha256_destroy(struct qe_sha256 *sha256); /* accepts NULL */

/* A key that many messages are authenticated with: what depends on the key alone is done once. The
 * key itself is kept in OpenSSL's memory, and wiped by destroy. */
struct qe_hmac;
struct qe_hmac *qe_hmac_new(const void *key, size_t key_bytes, struct qe_err *err) QE_MUST_CHECK;
int qe_hmac_run(struct qe_hmac *hmac, const void *bytes, size_t count,
                unsigned char out[QE_SHA256_BYTES]) QE_MUST_CHECK;
void qe_hmac_destroy(struct qe_hmac *hmac); /* accepts NULL */

#endif
