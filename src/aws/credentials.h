/* Who we are to AWS: an immutable, refcounted set of credentials, and the provider that finds and
 * renews them.
 *
 * Order: explicit settings; environment; web identity; shared config and credentials files;
 * container; instance metadata (IMDSv2). The first provider that is *configured* wins; one that is
 * configured but broken ends the search with its error. When nothing is found, one message names
 * every provider and why it was skipped, and holds no secret.
 * Source: facts gathered from the SDKs' documentation and behaviour; see README.md beside this. */
#ifndef QE_AWS_CREDENTIALS_H
#define QE_AWS_CREDENTIALS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "aws/world.h"
#include "util/err.h"
#include "util/secret.h"

struct qe_aws_credentials {
    atomic_size_t refs;
    char *access_key_id;                 /* owned; not a secret, but not logged either */
    struct qe_secret *secret_access_key; /* owned */
    struct qe_secret *session_token;     /* owned; NULL: none */
    char *account_id;                    /* owned; "" unknown */
    int64_t expires_unix_ms;             /* 0: never */
    const char *provider;                /* static: "config", "environment", "web identity", ... */
    bool outlives_expiry; /* instance metadata: good for a while longer when it cannot renew */
};
struct qe_aws_credentials *qe_aws_credentials_acquire(struct qe_aws_credentials *credentials);
void qe_aws_credentials_release(struct qe_aws_credentials *credentials); /* accepts NULL */

/* What the configuration file says of a source; every text may be NULL. Borrowed by the provider's
 * constructor for the call only. */
struct qe_aws_identity {
    const char *region;
    const char *profile;
    const char *access_key_id;
    const struct qe_secret *secret_access_key;
    const struct qe_secret *session_token;
    const char *role_arn; /* assumed with whatever the rest gives */
    const char *role_external_id;
    const char *role_session_name; /* NULL: "queue-exporter" */
    int64_t role_duration_ms;      /* 0: one hour */
    const char *endpoint;          /* for every service, as the configuration file gives it */
    const char *endpoint_cloudwatch;
    const char *endpoint_sts;
};

struct qe_aws_provider;

/* Finds, or makes, the provider of an equal identity: handles of one source share it, so that
 * credentials are fetched once. Reads environment and files through `world` (borrowed, outlives the
 * provider; NULL: the real one), but asks nobody yet.
 * Thread: any. Errors: QE_ERR_NOMEM; QE_ERR_INVALID for files that cannot be parsed or an identity
 * that contradicts itself. */
struct qe_aws_provider *qe_aws_provider_acquire(const struct qe_aws_identity *identity,
                                                const struct qe_aws_world *world,
                                                struct qe_err *err) QE_MUST_CHECK;
void qe_aws_provider_release(struct qe_aws_provider *provider); /* accepts NULL */

/* Credentials that hold for now. Renews them ahead of their expiry (10 minutes and a random 0 to 5
 * before it; at half their life when that is shorter) on the calling thread, in half of its time
 * and 5 s at most while the old ones hold, one thread at a time: meanwhile, and when renewing
 * fails, the others and later calls get the old ones until they really expire. A failed renewal is
 * tried again with backoff, 1 to 30 s. Thread: any. Ownership: *out is acquired for the caller.
 * Errors: QE_ERR_AUTH (nothing found, or refused), _TIMEOUT, _NETWORK, _PROTOCOL, _INVALID, _IO. */
int qe_aws_provider_get(struct qe_aws_provider *provider, int64_t deadline_mono_ms,
                        struct qe_aws_credentials **out, struct qe_err *err) QE_MUST_CHECK;
/* The service has refused these: the next get renews. Static ones are read again from where they
 * came; while the same keys come out, not more often than every 30 s. Those that were replaced
 * meanwhile are none of its business. Any thread. */
void qe_aws_provider_refused(struct qe_aws_provider *provider,
                             const struct qe_aws_credentials *credentials);

/* What the environment or else the profile says now, as a copy for the caller to free; *out is NULL
 * when neither says anything. `key` NULL: the environment alone. Any thread. Errors: QE_ERR_NOMEM;
 * QE_ERR_INVALID for files that cannot be parsed. */
int qe_aws_provider_setting(struct qe_aws_provider *provider, const char *variable, const char *key,
                            char **out, struct qe_err *err) QE_MUST_CHECK;

/* When what is in use expires (0: never, or nothing yet), and how many renewals failed. Any thread.
 */
int64_t qe_aws_provider_expires_unix_ms(struct qe_aws_provider *provider);
uint64_t qe_aws_provider_refresh_failures(struct qe_aws_provider *provider);

#endif
