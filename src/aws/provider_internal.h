/* What the files of the credential search share: provider.c keeps and renews, chain.c has the
 * order, each provider_*.c is one place to look in. */
#ifndef QE_AWS_PROVIDER_INTERNAL_H
#define QE_AWS_PROVIDER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "aws/credentials.h"
#include "aws/endpoint.h"
#include "aws/world.h"
#include "util/err.h"
#include "util/secret.h"
#include "util/strbuf.h"

/* --- credentials.c --- */

#define QE_AWS_FROM_CONFIG "config"
#define QE_AWS_FROM_ENVIRONMENT "environment"
#define QE_AWS_FROM_WEB_IDENTITY "web identity"
#define QE_AWS_FROM_PROFILE "profile"
#define QE_AWS_FROM_PROCESS "credential process"
#define QE_AWS_FROM_CONTAINER "container"
#define QE_AWS_FROM_IMDS "instance metadata"
#define QE_AWS_FROM_ROLE "assumed role"

/* What credentials are made of; all borrowed but `provider`, which is static. */
struct qe_aws_parts {
    const char *access_key_id;
    const char *secret_access_key;
    const char *session_token; /* NULL: none */
    const char *account_id;    /* NULL, or anything that is no account id: unknown */
    int64_t expires_unix_ms;   /* 0: never */
    const char *provider;
    bool outlives_expiry;
};
/* QE_ERR_INVALID for what cannot be a key, without its text. */
struct qe_aws_credentials *qe_aws_credentials_new(const struct qe_aws_parts *parts,
                                                  struct qe_err *err) QE_MUST_CHECK;
/* The same keys. */
bool qe_aws_credentials_equal(const struct qe_aws_credentials *a,
                              const struct qe_aws_credentials *b);

/* --- self.c: an own copy of what the configuration says --- */

enum qe_aws_self_text {
    QE_AWS_SELF_REGION = 0,
    QE_AWS_SELF_PROFILE,
    QE_AWS_SELF_ACCESS_KEY_ID,
    QE_AWS_SELF_ROLE_ARN,
    QE_AWS_SELF_ROLE_EXTERNAL_ID,
    QE_AWS_SELF_ROLE_SESSION_NAME,
    QE_AWS_SELF_ENDPOINT,
    QE_AWS_SELF_ENDPOINT_CLOUDWATCH,
    QE_AWS_SELF_ENDPOINT_STS,
    QE_AWS_SELF_TEXT_COUNT
};
struct qe_aws_self {
    char *texts[QE_AWS_SELF_TEXT_COUNT]; /* owned; NULL: not given */
    struct qe_secret *secret_access_key; /* owned; NULL: not given */
    struct qe_secret *session_token;     /* owned; NULL: not given */
    int64_t role_duration_ms;            /* 0: an hour */
};
/* Blank texts count as not given. QE_ERR_INVALID for what contradicts itself. */
int qe_aws_self_init(struct qe_aws_self *self, const struct qe_aws_identity *identity,
                     struct qe_err *err) QE_MUST_CHECK;
void qe_aws_self_deinit(struct qe_aws_self *self); /* = {0} is fine; twice is safe */
bool qe_aws_self_equal(const struct qe_aws_self *a, const struct qe_aws_self *b);

/* --- settings.c: what environment and files say --- */

struct qe_aws_settings {
    const struct qe_aws_world *world; /* borrowed */
    const struct qe_aws_self *self;   /* borrowed */
};
/* Reads the files. QE_ERR_INVALID with file and line for what cannot be parsed. */
int qe_aws_settings_init(struct qe_aws_settings *settings, const struct qe_aws_self *self,
                         const struct qe_aws_world *world, struct qe_err *err) QE_MUST_CHECK;
void qe_aws_settings_deinit(struct qe_aws_settings *settings); /* = {0} is fine */

/* An environment variable; NULL when it is not set or blank. */
const char *qe_aws_env(const struct qe_aws_world *world, const char *name);

/* --- region.c, endpoint_resolve.c --- */

/* QE_ERR_INVALID naming every place where a region could stand. Ownership: the caller frees. */
int qe_aws_settings_region(const struct qe_aws_settings *settings, int64_t deadline_mono_ms,
                           char **out_region, struct qe_err *err) QE_MUST_CHECK;
int qe_aws_settings_endpoint(const struct qe_aws_settings *settings, enum qe_aws_service service,
                             const char *region, struct qe_aws_endpoint *out,
                             struct qe_err *err) QE_MUST_CHECK;

/* --- the search --- */

/* One search, from the first place to the one that has credentials. */
struct qe_aws_search {
    const struct qe_aws_settings *settings; /* borrowed */
    int64_t deadline_mono_ms;
    struct qe_strbuf skipped; /* "environment: AWS_ACCESS_KEY_ID is not set; ..." */
};
/* What a place to look in says. */
enum qe_aws_found {
    QE_AWS_FOUND = 0,      /* *out is filled */
    QE_AWS_NOT_CONFIGURED, /* go on; why is in search->skipped */
    QE_AWS_BROKEN          /* the search ends here, with *err */
};
typedef enum qe_aws_found qe_aws_find(struct qe_aws_search *search, struct qe_aws_credentials **out,
                                      struct qe_err *err);

qe_aws_find qe_aws_find_in_config;
qe_aws_find qe_aws_find_in_environment;

/* Notes that a place was passed by. */
enum qe_aws_found qe_aws_skip(struct qe_aws_search *search, const char *place, const char *fmt, ...)
    QE_PRINTF(3, 4);

/* All places in their order, then the role of the configuration. */
int qe_aws_search_all(const struct qe_aws_settings *settings, int64_t deadline_mono_ms,
                      struct qe_aws_credentials **out, struct qe_err *err) QE_MUST_CHECK;

#endif
