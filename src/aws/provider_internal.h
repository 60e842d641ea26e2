/* What the files of the credential search share: provider.c keeps and renews, chain.c has the
 * order, each provider_*.c is one place to look in. */
#ifndef QE_AWS_PROVIDER_INTERNAL_H
#define QE_AWS_PROVIDER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "aws/credentials.h"
#include "aws/endpoint.h"
#include "aws/profile.h"
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

enum qe_aws_file_state {
    QE_AWS_FILE_READ = 0,
    QE_AWS_FILE_MISSING,
    QE_AWS_FILE_UNREADABLE, /* at its usual place; at one that somebody named it is an error */
    QE_AWS_FILE_NOWHERE     /* no HOME */
};
struct qe_aws_settings {
    const struct qe_aws_world *world;      /* borrowed */
    const struct qe_aws_self *self;        /* borrowed */
    struct qe_aws_profiles *profiles;      /* owned */
    const char *profile_name;              /* borrowed from self or world; "default" */
    const char *profile_named_by;          /* static: who chose it */
    const struct qe_aws_section *profile;  /* borrowed from profiles; NULL: there is none */
    char *paths[2];                        /* owned; by enum qe_aws_profile_file; NULL: nowhere */
    enum qe_aws_file_state file_states[2]; /* same */
};
/* Reads the files. QE_ERR_INVALID with file and line for what cannot be parsed. */
int qe_aws_settings_init(struct qe_aws_settings *settings, const struct qe_aws_self *self,
                         const struct qe_aws_world *world, struct qe_err *err) QE_MUST_CHECK;
void qe_aws_settings_deinit(struct qe_aws_settings *settings); /* = {0} is fine */

/* An environment variable; NULL when it is not set or blank. */
const char *qe_aws_env(const struct qe_aws_world *world, const char *name);
/* An environment variable, or else the profile's key of that meaning; NULL: neither. *out_place
 * (may be NULL) is which of them. */
const char *qe_aws_setting(const struct qe_aws_settings *settings, const char *variable,
                           const char *key, const char **out_place);
/* The authorities that TLS trusts; NULL: the system's. */
const char *qe_aws_ca_file(const struct qe_aws_settings *settings);
/* One that is "true" or "false"; false when it is not set. QE_ERR_INVALID names it. */
int qe_aws_setting_flag(const struct qe_aws_settings *settings, const char *variable,
                        const char *key, bool *out, struct qe_err *err) QE_MUST_CHECK;
/* One whole number up to max; *inout stays as it is when it is not set. */
int qe_aws_setting_number(const struct qe_aws_settings *settings, const char *variable,
                          const char *key, uint64_t max, uint64_t *inout,
                          struct qe_err *err) QE_MUST_CHECK;

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
qe_aws_find qe_aws_find_in_web_identity;
qe_aws_find qe_aws_find_in_profile;
qe_aws_find qe_aws_find_in_container;
qe_aws_find qe_aws_find_in_imds;

/* Notes that a place was passed by. */
enum qe_aws_found qe_aws_skip(struct qe_aws_search *search, const char *place, const char *fmt, ...)
    QE_PRINTF(3, 4);

/* Tries of one request, and the pauses between them. */
struct qe_aws_tries {
    unsigned count; /* that were made */
    unsigned most;
    int64_t pause_ms;   /* after the first; doubled each time */
    bool is_even;       /* the pauses are all of that length */
    int64_t attempt_ms; /* one try takes no longer */
};
/* When the next try must be over. */
int64_t qe_aws_tries_deadline(const struct qe_aws_tries *tries, const struct qe_aws_search *search);
/* After a try that failed and may be made again: pauses and says true, or false when it was the
 * last or no time is left. */
bool qe_aws_tries_again(struct qe_aws_tries *tries, const struct qe_aws_search *search);

/* --- public_text.c: what may be shown of others' words --- */

#define QE_AWS_PUBLIC_BYTES 301
/* One line, printable, cut, and without anything that looks like a key or token. Returns out. */
char *qe_aws_public_text(const char *text, size_t count, char out[QE_AWS_PUBLIC_BYTES]);

/* --- credentials_json.c --- */

/* How a place writes credentials down. */
struct qe_aws_json_form {
    const char *provider;
    const char *token_key;  /* "Token", "SessionToken" */
    const char *account_id; /* when the text has none; NULL: unknown */
    bool is_versioned;      /* has "Version": 1 */
    bool has_code;          /* has "Code": "Success", or another and a "Message" */
    bool must_expire;
    bool outlives_expiry;
};
/* Errors: QE_ERR_PROTOCOL, _AUTH (another Code), _NOMEM; the text is in none of them. */
struct qe_aws_credentials *qe_aws_credentials_from_json(const char *text, size_t bytes,
                                                        const struct qe_aws_json_form *form,
                                                        struct qe_err *err) QE_MUST_CHECK;

/* --- provider_imds.c --- */

/* The region that instance metadata names. Ownership: the caller frees. */
int qe_aws_imds_region(const struct qe_aws_settings *settings, int64_t deadline_mono_ms,
                       char **out_region, struct qe_err *err) QE_MUST_CHECK;

/* --- provider_environment.c --- */

/* Also when the configuration names a profile: it may say credential_source = Environment. */
qe_aws_find qe_aws_use_environment;

/* --- provider_process.c --- */

/* Runs what a profile's credential_process says. */
int qe_aws_run_process(const struct qe_aws_search *search, const char *command,
                       const char *account_id, struct qe_aws_credentials **out,
                       struct qe_err *err) QE_MUST_CHECK;

/* --- provider_web_identity.c --- */

/* Reads the token and takes the role. session_name NULL: ours. */
int qe_aws_use_web_identity(const struct qe_aws_search *search, const char *token_path,
                            const char *role_arn, const char *session_name,
                            struct qe_aws_credentials **out, struct qe_err *err) QE_MUST_CHECK;

/* --- sts.c --- */

struct qe_aws_role {
    const char *arn;
    const char *session_name;       /* NULL: "queue-exporter" */
    const char *external_id;        /* NULL: none */
    int64_t duration_s;             /* 0: STS's own, an hour */
    const char *web_identity_token; /* NULL: signed with `base` */
    const struct qe_aws_credentials *base;
};
/* Asks STS for credentials of a role. Errors: QE_ERR_AUTH, _THROTTLED, _TIMEOUT, _NETWORK,
 * _PROTOCOL, _INVALID (no region, or an argument that STS does not take). */
int qe_aws_assume_role(const struct qe_aws_search *search, const struct qe_aws_role *role,
                       struct qe_aws_credentials **out, struct qe_err *err) QE_MUST_CHECK;
/* An answer of STS, XML or JSON. */
struct qe_aws_credentials *qe_aws_credentials_from_sts(const char *text, size_t bytes,
                                                       const char *provider,
                                                       struct qe_err *err) QE_MUST_CHECK;

/* All places in their order, then the role of the configuration. */
int qe_aws_search_all(const struct qe_aws_settings *settings, int64_t deadline_mono_ms,
                      struct qe_aws_credentials **out, struct qe_err *err) QE_MUST_CHECK;

#endif
