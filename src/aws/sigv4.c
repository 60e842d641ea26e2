#include "aws/sigv4.h"

#include <string.h>
#include <time.h>

#include "aws/digest.h"
#include "aws/sigv4_internal.h"
#include "util/mem.h"
#include "util/secret.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"
#define DAY_BYTES 8                          /* "20260102" */
#define TIME_MAX_S INT64_C(253402300799)     /* the last second of the year 9999 */
#define SCRATCH_MAX_BYTES ((size_t)64 << 10) /* of a path or query, encoded */

/* Three services of a source, two identities while credentials change, and two days at midnight:
 * more are not in use at once. */
#define KEYS_COUNT 8

/* A signing key and what it was made from. */
struct key {
    struct qe_hmac *hmac;     /* owned; NULL: free */
    struct qe_secret *secret; /* owned */
    char day[DAY_BYTES + 1];
    char region[QE_SIGV4_SCOPE_MAX_BYTES + 1];
    char service[QE_SIGV4_SCOPE_MAX_BYTES + 1];
    uint64_t used; /* by the clock of uses: the smallest goes first */
};

struct qe_sigv4 {
    struct qe_sha256 *sha256; /* owned */
    struct qe_strbuf scratch; /* path or query */
    struct qe_strbuf names;   /* of the signed headers */
    struct qe_strbuf to_sign; /* nothing secret in it */
    struct key keys[KEYS_COUNT];
    uint64_t uses;
};

static void write_digits(char *out, int digits, int number)
{
    int left = number;

    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + left % 10);
        left /= 10;
    }
}

void qe_sigv4_time(int64_t time_unix_s, char out[QE_SIGV4_TIME_BYTES])
{
    const time_t seconds = time_unix_s < 0            ? 0
                           : time_unix_s > TIME_MAX_S ? TIME_MAX_S
                                                      : time_unix_s;
    struct tm utc = {0};

    (void)gmtime_r(&seconds, &utc);
    memcpy(out, "00000000T000000Z", QE_SIGV4_TIME_BYTES);
    write_digits(out, 4, utc.tm_year + 1900);
    write_digits(out + 4, 2, utc.tm_mon + 1);
    write_digits(out + 6, 2, utc.tm_mday);
    write_digits(out + 9, 2, utc.tm_hour);
    write_digits(out + 11, 2, utc.tm_min);
    write_digits(out + 13, 2, utc.tm_sec);
}

static void forget(struct key *key)
{
    qe_hmac_destroy(key->hmac);
    qe_secret_destroy(key->secret);
    *key = (struct key){0};
}

void qe_sigv4_destroy(struct qe_sigv4 *signer)
{
    if (signer == NULL) {
        return;
    }
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        forget(&signer->keys[i]);
    }
    qe_sha256_destroy(signer->sha256);
    qe_strbuf_deinit(&signer->scratch);
    qe_strbuf_deinit(&signer->names);
    qe_strbuf_deinit(&signer->to_sign);
    qe_free(signer);
}

struct qe_sigv4 *qe_sigv4_new(struct qe_err *err)
{
    struct qe_sigv4 *signer = qe_calloc(1, sizeof *signer);

    if (signer == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "signer");
        return NULL;
    }
    qe_strbuf_init(&signer->scratch, SCRATCH_MAX_BYTES);
    qe_strbuf_init(&signer->names, SCRATCH_MAX_BYTES);
    qe_strbuf_init(&signer->to_sign, SCRATCH_MAX_BYTES);
    signer->sha256 = qe_sha256_new(err);
    if (signer->sha256 == NULL) {
        qe_sigv4_destroy(signer);
        return NULL;
    }
    return signer;
}

/* --- the key: HMAC(HMAC(HMAC(HMAC("AWS4" + secret, day), region), service), "aws4_request") --- */

static int first_key(const struct qe_secret *secret, struct qe_hmac **out, struct qe_err *err)
{
    static const char prefix[] = "AWS4";
    char bytes[sizeof prefix - 1 + QE_SECRET_MAX_BYTES];
    const size_t length = qe_secret_length(secret);

    memcpy(bytes, prefix, sizeof prefix - 1);
    memcpy(bytes + sizeof prefix - 1, qe_secret_bytes(secret), length);
    *out = qe_hmac_new(bytes, sizeof prefix - 1 + length, err);
    qe_secret_wipe(bytes, sizeof prefix - 1 + length);
    return *out == NULL ? -1 : 0;
}

/* Replaces *hmac by one whose key is what *hmac makes of `text`. */
static int next_key(struct qe_hmac **hmac, const char *text, struct qe_err *err)
{
    unsigned char bytes[QE_SHA256_BYTES];
    struct qe_hmac *next = NULL;

    if (qe_hmac_run(*hmac, text, strlen(text), bytes) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "signing key");
    }
    next = qe_hmac_new(bytes, sizeof bytes, err);
    qe_secret_wipe(bytes, sizeof bytes);
    if (next == NULL) {
        return -1;
    }
    qe_hmac_destroy(*hmac);
    *hmac = next;
    return 0;
}

static int derive(struct key *key, const struct qe_secret *secret, struct qe_err *err)
{
    if (first_key(secret, &key->hmac, err) != 0 || next_key(&key->hmac, key->day, err) != 0 ||
        next_key(&key->hmac, key->region, err) != 0 ||
        next_key(&key->hmac, key->service, err) != 0 ||
        next_key(&key->hmac, TERMINATOR, err) != 0) {
        return -1;
    }
    key->secret = qe_secret_new(qe_secret_bytes(secret), qe_secret_length(secret), err);
    return key->secret == NULL ? -1 : 0;
}

static bool is_key_for(const struct key *key, const struct qe_secret *secret,
                       const struct qe_sigv4_request *request, const char *day)
{
    return key->hmac != NULL && memcmp(key->day, day, DAY_BYTES) == 0 &&
           strcmp(key->region, request->region) == 0 &&
           strcmp(key->service, request->service) == 0 && qe_secret_equal(key->secret, secret);
}

static struct key *find_key(struct qe_sigv4 *signer, const struct qe_secret *secret,
                            const struct qe_sigv4_request *request, const char *day,
                            struct qe_err *err)
{
    struct key *oldest = &signer->keys[0];

    for (size_t i = 0; i < KEYS_COUNT; i++) {
        struct key *key = &signer->keys[i];
        if (is_key_for(key, secret, request, day)) {
            key->used = ++signer->uses;
            return key;
        }
        oldest = key->used < oldest->used ? key : oldest;
    }
    forget(oldest);
    memcpy(oldest->day, day, DAY_BYTES);
    memcpy(oldest->region, request->region, strlen(request->region));
    memcpy(oldest->service, request->service, strlen(request->service));
    if (derive(oldest, secret, err) != 0) {
        forget(oldest);
        return NULL;
    }
    oldest->used = ++signer->uses;
    return oldest;
}

/* --- the signature --- */

static int hash_canonical(struct qe_sigv4 *signer, const struct qe_sigv4_request *request,
                          struct qe_strbuf *copy, char out[QE_SHA256_HEX_BYTES], struct qe_err *err)
{
    struct qe_sigv4_sink sink;
    char body_hash[QE_SHA256_HEX_BYTES];
    unsigned char bytes[QE_SHA256_BYTES];

    if (qe_sha256(request->body == NULL ? "" : request->body,
                  request->body == NULL ? 0 : request->body_bytes, bytes, err) != 0) {
        return -1;
    }
    qe_hex(bytes, sizeof bytes, body_hash);
    sink.hash = signer->sha256;
    sink.copy = copy;
    sink.used_bytes = 0;
    sink.failed = false;
    int rc = qe_sigv4_canonical(request, &sink, &signer->scratch, &signer->names, err);

    qe_sigv4_put(&sink, body_hash, sizeof body_hash - 1);
    if (qe_sigv4_flush(&sink) != 0 && rc == 0) {
        rc = qe_err_set(err, QE_ERR_NOMEM, "canonical request");
    }
    /* Also after a failure: the hash must be empty for the next request. */
    if (qe_sha256_end(signer->sha256, out) != 0 && rc == 0) {
        rc = qe_err_set(err, QE_ERR_NOMEM, "SHA-256");
    }
    return rc;
}

static int check(const struct qe_sigv4_request *request, struct qe_err *err)
{
    if (strlen(request->region) > QE_SIGV4_SCOPE_MAX_BYTES ||
        strlen(request->service) > QE_SIGV4_SCOPE_MAX_BYTES) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "the region or service to sign for is longer than %d bytes",
                          QE_SIGV4_SCOPE_MAX_BYTES);
    }
    return 0;
}

static void append_scope(struct qe_strbuf *out, const char *time,
                         const struct qe_sigv4_request *request)
{
    (void)qe_strbuf_append(out, time, DAY_BYTES);
    (void)qe_strbuf_append_char(out, '/');
    (void)qe_strbuf_append_text(out, request->region);
    (void)qe_strbuf_append_char(out, '/');
    (void)qe_strbuf_append_text(out, request->service);
    (void)qe_strbuf_append_text(out, "/" TERMINATOR);
}

static int sign(struct qe_sigv4 *signer, const struct qe_aws_credentials *credentials,
                const struct qe_sigv4_request *request, const char *time,
                char out[QE_SHA256_HEX_BYTES], struct qe_err *err)
{
    const struct key *key = find_key(signer, credentials->secret_access_key, request, time, err);
    unsigned char signature[QE_SHA256_BYTES];

    if (key == NULL) {
        return -1;
    }
    if (qe_hmac_run(key->hmac, signer->to_sign.data, signer->to_sign.length_bytes, signature) !=
        0) {
        return qe_err_set(err, QE_ERR_NOMEM, "HMAC-SHA-256");
    }
    qe_hex(signature, sizeof signature, out);
    return 0;
}

int qe_sigv4_sign(struct qe_sigv4 *signer, const struct qe_aws_credentials *credentials,
                  const struct qe_sigv4_request *request, struct qe_strbuf *out_authorization,
                  const struct qe_sigv4_steps *steps, struct qe_err *err)
{
    struct qe_strbuf *to_sign = &signer->to_sign;
    char time[QE_SIGV4_TIME_BYTES];
    char hex[QE_SHA256_HEX_BYTES];

    if (check(request, err) != 0 ||
        hash_canonical(signer, request, steps == NULL ? NULL : steps->canonical_request, hex,
                       err) != 0) {
        return -1;
    }
    qe_sigv4_time(request->time_unix_s, time);
    qe_strbuf_reset(to_sign);
    (void)qe_strbuf_append_text(to_sign, ALGORITHM "\n");
    (void)qe_strbuf_append_text(to_sign, time);
    (void)qe_strbuf_append_char(to_sign, '\n');
    append_scope(to_sign, time, request);
    (void)qe_strbuf_append_char(to_sign, '\n');
    (void)qe_strbuf_append_text(to_sign, hex);
    if (qe_strbuf_error(to_sign, err) != 0 ||
        sign(signer, credentials, request, time, hex, err) != 0) {
        return -1;
    }
    if (steps != NULL && steps->string_to_sign != NULL) {
        (void)qe_strbuf_append_text(steps->string_to_sign, qe_strbuf_text(to_sign));
    }
    (void)qe_strbuf_append_text(out_authorization, ALGORITHM " Credential=");
    (void)qe_strbuf_append_text(out_authorization, credentials->access_key_id);
    (void)qe_strbuf_append_char(out_authorization, '/');
    append_scope(out_authorization, time, request);
    (void)qe_strbuf_append_text(out_authorization, ", SignedHeaders=");
    (void)qe_strbuf_append_text(out_authorization, qe_strbuf_text(&signer->names));
    (void)qe_strbuf_append_text(out_authorization, ", Signature=");
    (void)qe_strbuf_append_text(out_authorization, hex);
    return qe_strbuf_error(out_authorization, err);
}
