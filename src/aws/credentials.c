#include <string.h>

#include "aws/provider_internal.h"
#include "util/mem.h"

#define ACCESS_KEY_ID_MAX_BYTES 256
#define ACCOUNT_ID_BYTES 12

/* They go into a header: nothing that could end it, and no blank that nobody sees. */
static bool is_plain(const char *text, size_t max_bytes)
{
    const size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return length > 0 && length <= max_bytes;
}

static bool is_account_id(const char *text)
{
    return strlen(text) == ACCOUNT_ID_BYTES && strspn(text, "0123456789") == ACCOUNT_ID_BYTES;
}

static int check(const struct qe_aws_parts *parts, struct qe_err *err)
{
    const char *bad =
        !is_plain(parts->access_key_id, ACCESS_KEY_ID_MAX_BYTES)   ? "access key id"
        : !is_plain(parts->secret_access_key, QE_SECRET_MAX_BYTES) ? "secret access key"
        : parts->session_token != NULL && !is_plain(parts->session_token, QE_SECRET_MAX_BYTES)
            ? "session token"
            : NULL;

    return bad == NULL ? 0
                       : qe_err_set(err, QE_ERR_INVALID,
                                    "the %s is empty, too long, or holds a blank, a line end or "
                                    "another character that no key has",
                                    bad);
}

struct qe_aws_credentials *qe_aws_credentials_new(const struct qe_aws_parts *parts,
                                                  struct qe_err *err)
{
    const char *account =
        parts->account_id != NULL && is_account_id(parts->account_id) ? parts->account_id : "";

    if (check(parts, err) != 0) {
        return NULL;
    }
    struct qe_aws_credentials *made = qe_calloc(1, sizeof *made);

    if (made == NULL || (made->access_key_id = qe_strdup(parts->access_key_id)) == NULL ||
        (made->account_id = qe_strdup(account)) == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for credentials");
        goto failed;
    }
    made->secret_access_key =
        qe_secret_new(parts->secret_access_key, strlen(parts->secret_access_key), err);
    if (made->secret_access_key == NULL) {
        goto failed;
    }
    if (parts->session_token != NULL) {
        made->session_token =
            qe_secret_new(parts->session_token, strlen(parts->session_token), err);
        if (made->session_token == NULL) {
            goto failed;
        }
    }
    made->expires_unix_ms = parts->expires_unix_ms;
    made->provider = parts->provider;
    made->outlives_expiry = parts->outlives_expiry;
    atomic_init(&made->refs, 1);
    return made;

failed:
    qe_aws_credentials_release(made);
    return NULL;
}

struct qe_aws_credentials *qe_aws_credentials_acquire(struct qe_aws_credentials *credentials)
{
    (void)atomic_fetch_add_explicit(&credentials->refs, 1, memory_order_relaxed);
    return credentials;
}

void qe_aws_credentials_release(struct qe_aws_credentials *credentials)
{
    /* Half-built ones have no count yet. */
    if (credentials == NULL ||
        (atomic_load_explicit(&credentials->refs, memory_order_relaxed) > 0 &&
         atomic_fetch_sub_explicit(&credentials->refs, 1, memory_order_acq_rel) != 1)) {
        return;
    }
    qe_free(credentials->access_key_id);
    qe_secret_destroy(credentials->secret_access_key);
    qe_secret_destroy(credentials->session_token);
    qe_free(credentials->account_id);
    qe_free(credentials);
}

bool qe_aws_credentials_equal(const struct qe_aws_credentials *a,
                              const struct qe_aws_credentials *b)
{
    return strcmp(a->access_key_id, b->access_key_id) == 0 &&
           qe_secret_equal(a->secret_access_key, b->secret_access_key) &&
           qe_secret_equal(a->session_token, b->session_token);
}
