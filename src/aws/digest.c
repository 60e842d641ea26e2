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

int qe_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t count,
                   unsigned char out[QE_SHA256_BYTES], struct qe_err *err)
{
    char name[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", name, 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *context = NULL;
    int rc = -1;

    (void)pthread_once(&s_once, fetch_algorithms);
    if (s_hmac == NULL) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "HMAC is not available in OpenSSL here");
    }
    context = EVP_MAC_CTX_new(s_hmac);
    if (context != NULL && EVP_MAC_init(context, key, key_bytes, params) == 1 &&
        EVP_MAC_update(context, bytes, count) == 1 &&
        EVP_MAC_final(context, out, NULL, QE_SHA256_BYTES) == 1) {
        rc = 0;
    }
    EVP_MAC_CTX_free(context);
    return rc == 0 ? 0 : qe_err_set(err, QE_ERR_NOMEM, "HMAC-SHA-256");
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

struct qe_md5 {
    EVP_MD_CTX *context;
};

static int restart(struct qe_md5 *md5)
{
    return EVP_DigestInit_ex2(md5->context, s_md5, NULL) == 1 ? 0 : -1;
}

struct qe_md5 *qe_md5_new(struct qe_err *err)
{
    (void)pthread_once(&s_once, fetch_algorithms);
    if (s_md5 == NULL) {
        (void)qe_err_set(err, QE_ERR_UNSUPPORTED, "MD5 is not available in OpenSSL here");
        return NULL;
    }
    struct qe_md5 *md5 = qe_calloc(1, sizeof *md5);

    if (md5 == NULL || (md5->context = EVP_MD_CTX_new()) == NULL || restart(md5) != 0) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "MD5");
        qe_md5_destroy(md5);
        return NULL;
    }
    return md5;
}

int qe_md5_add(struct qe_md5 *md5, const void *bytes, size_t count)
{
    return EVP_DigestUpdate(md5->context, bytes, count) == 1 ? 0 : -1;
}

int qe_md5_end(struct qe_md5 *md5, char out[QE_MD5_HEX_BYTES])
{
    unsigned char bytes[QE_MD5_BYTES];

    if (EVP_DigestFinal_ex(md5->context, bytes, NULL) != 1) {
        return -1;
    }
    qe_hex(bytes, sizeof bytes, out);
    return restart(md5);
}

void qe_md5_destroy(struct qe_md5 *md5)
{
    if (md5 != NULL) {
        EVP_MD_CTX_free(md5->context);
        qe_free(md5);
    }
}
