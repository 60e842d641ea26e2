#include "aws/digest.h"

#include <pthread.h>

#include <openssl/evp.h>
#include <openssl/params.h>

#include "util/mem.h"

/* Fetched once: EVP_sha256() and friends look the algorithm up again on every use. */
static pthread_once_t s_once = PTHREAD_ONCE_INIT;
static EVP_MD *s_sha256;
static EVP_MD *s_md5;
static EVP_MAC *s_hmac;

static void fetch_algorithms(void)
{
    s_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    s_md5 = EVP_MD_fetch(NULL, "MD5", "-fips"); /* a checksum may be weak */
    s_hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

static int digest(const EVP_MD *algorithm, const char *name, const void *bytes, size_t count,
                  unsigned char *out, struct qe_err *err)
{
    if (algorithm == NULL) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "%s is not available in OpenSSL here", name);
    }
    if (EVP_Digest(bytes, count, out, NULL, algorithm, NULL) != 1) {
        return qe_err_set(err, QE_ERR_NOMEM, "%s of %zu bytes", name, count);
    }
    return 0;
}

int qe_sha256(const void *bytes, size_t count, unsigned char out[QE_SHA256_BYTES],
              struct qe_err *err)
{
    (void)pthread_once(&s_once, fetch_algorithms);
    return digest(s_sha256, "SHA-256", bytes, count, out, err);
}

int qe_md5(const void *bytes, size_t count, unsigned char out[QE_MD5_BYTES], struct qe_err *err)
{
    (void)pthread_once(&s_once, fetch_algorithms);
    return digest(s_md5, "MD5", bytes, count, out, err);
}

void qe_hex(const unsigned char *bytes, size_t count, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 0x0f];
    }
    out[2 * count] = '\0';
}

/* --- pieces: MD5 and SHA-256 differ in name and size only --- */

struct stream {
    const EVP_MD *algorithm; /* s_md5 or s_sha256 */
    EVP_MD_CTX *context;     /* owned */
};
struct qe_md5 {
    struct stream stream;
};
struct qe_sha256 {
    struct stream stream;
};

static int restart(struct stream *stream)
{
    return EVP_DigestInit_ex2(stream->context, stream->algorithm, NULL) == 1 ? 0 : -1;
}

static int begin(struct stream *stream, const EVP_MD *algorithm, const char *name,
                 struct qe_err *err)
{
    if (algorithm == NULL) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "%s is not available in OpenSSL here", name);
    }
    stream->algorithm = algorithm;
    stream->context = EVP_MD_CTX_new();
    if (stream->context == NULL || restart(stream) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "%s", name);
    }
    return 0;
}

/* Hex of what was added, and empty again whatever happened. */
static int end(struct stream *stream, size_t size_bytes, char *out)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    int rc = EVP_DigestFinal_ex(stream->context, bytes, NULL) == 1 ? 0 : -1;

    if (restart(stream) != 0 || rc != 0) {
        return -1;
    }
    qe_hex(bytes, size_bytes, out);
    return 0;
}

struct qe_md5 *qe_md5_new(struct qe_err *err)
{
    struct qe_md5 *md5 = qe_calloc(1, sizeof *md5);

    (void)pthread_once(&s_once, fetch_algorithms);
    if (md5 == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "MD5");
    } else if (begin(&md5->stream, s_md5, "MD5", err) != 0) {
        qe_md5_destroy(md5);
        md5 = NULL;
    }
    return md5;
}

int qe_md5_add(struct qe_md5 *md5, const void *bytes, size_t count)
{
    return EVP_DigestUpdate(md5->stream.context, bytes, count) == 1 ? 0 : -1;
}

int qe_md5_end(struct qe_md5 *md5, char out[QE_MD5_HEX_BYTES])
{
    return end(&md5->stream, QE_MD5_BYTES, out);
}

void qe_md5_destroy(struct qe_md5 *md5)
{
    if (md5 != NULL) {
        EVP_MD_CTX_free(md5->stream.context);
        qe_free(md5);
    }
}

struct qe_sha256 *qe_sha256_new(struct qe_err *err)
{
    struct qe_sha256 *sha256 = qe_calloc(1, sizeof *sha256);

    (void)pthread_once(&s_once, fetch_algorithms);
    if (sha256 == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "SHA-256");
    } else if (begin(&sha256->stream, s_sha256, "SHA-256", err) != 0) {
        qe_sha256_destroy(sha256);
        sha256 = NULL;
    }
    return sha256;
}

int qe_sha256_add(struct qe_sha256 *sha256, const void *bytes, size_t count)
{
    return EVP_DigestUpdate(sha256->stream.context, bytes, count) == 1 ? 0 : -1;
}

int qe_sha256_end(struct qe_sha256 *sha256, char out[QE_SHA256_HEX_BYTES])
{
    return end(&sha256->stream, QE_SHA256_BYTES, out);
}

void qe_sha256_destroy(struct qe_sha256 *sha256)
{
    if (sha256 != NULL) {
        EVP_MD_CTX_free(sha256->stream.context);
        qe_free(sha256);
    }
}

/* --- keyed --- */

struct qe_hmac {
    EVP_MAC_CTX *context; /* owned; OpenSSL wipes it when it is freed */
};

static int set_key(struct qe_hmac *hmac, const void *key, size_t key_bytes)
{
    char name[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", name, 0),
                                 OSSL_PARAM_construct_end()};

    /* To OpenSSL no key means "the key you have": one of no bytes still needs an address. */
    return EVP_MAC_init(hmac->context, key == NULL ? (const void *)"" : key, key_bytes, params) == 1
               ? 0
               : -1;
}

struct qe_hmac *qe_hmac_new(const void *key, size_t key_bytes, struct qe_err *err)
{
    (void)pthread_once(&s_once, fetch_algorithms);
    if (s_hmac == NULL || s_sha256 == NULL) {
        (void)qe_err_set(err, QE_ERR_UNSUPPORTED, "HMAC-SHA-256 is not available in OpenSSL here");
        return NULL;
    }
    struct qe_hmac *hmac = qe_calloc(1, sizeof *hmac);

    if (hmac == NULL || (hmac->context = EVP_MAC_CTX_new(s_hmac)) == NULL ||
        set_key(hmac, key, key_bytes) != 0) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "HMAC-SHA-256");
        qe_hmac_destroy(hmac);
        return NULL;
    }
    return hmac;
}

int qe_hmac_run(struct qe_hmac *hmac, const void *bytes, size_t count,
                unsigned char out[QE_SHA256_BYTES])
{
    /* No key: starts again with the one it has, from its saved state. */
    if (EVP_MAC_init(hmac->context, NULL, 0, NULL) != 1 ||
        EVP_MAC_update(hmac->context, bytes, count) != 1) {
        return -1;
    }
    return EVP_MAC_final(hmac->context, out, NULL, QE_SHA256_BYTES) == 1 ? 0 : -1;
}

void qe_hmac_destroy(struct qe_hmac *hmac)
{
    if (hmac != NULL) {
        EVP_MAC_CTX_free(hmac->context);
        qe_free(hmac);
    }
}

int qe_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t count,
                   unsigned char out[QE_SHA256_BYTES], struct qe_err *err)
{
    struct qe_hmac *hmac = qe_hmac_new(key, key_bytes, err);
    int rc = hmac == NULL ? -1 : 0;

    if (rc == 0 && qe_hmac_run(hmac, bytes, count, out) != 0) {
        rc = qe_err_set(err, QE_ERR_NOMEM, "HMAC-SHA-256");
    }
    qe_hmac_destroy(hmac);
    return rc;
}
