/* The shared settings files of AWS's tools: ~/.aws/config and ~/.aws/credentials, parsed.
 * Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files"; checked with
 * the SDKs' own cases for parsers. */
#ifndef QE_AWS_PROFILE_H
#define QE_AWS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"
#include "util/strbuf.h"

#define QE_AWS_PROFILE_FILE_MAX_BYTES ((size_t)1 << 20)
#define QE_AWS_PROFILE_SECTIONS_MAX 4096
#define QE_AWS_PROFILE_PROPERTIES_MAX 256 /* of one section */

enum qe_aws_profile_file {
    QE_AWS_FILE_CONFIG = 0, /* [default], [profile x], [services y], [sso-session z] */
    QE_AWS_FILE_CREDENTIALS /* [x] */
};
enum qe_aws_section_kind {
    QE_AWS_SECTION_PROFILE = 0,
    QE_AWS_SECTION_SERVICES,
    QE_AWS_SECTION_SSO_SESSION,
    QE_AWS_SECTION_BARE_DEFAULT /* [default] of the file that is being read */
};

/* Immutable once it is read; then any thread. Values are wiped when it is destroyed. */
struct qe_aws_profiles;
struct qe_aws_section;

struct qe_aws_profiles *qe_aws_profiles_new(struct qe_err *err) QE_MUST_CHECK;
void qe_aws_profiles_destroy(struct qe_aws_profiles *profiles); /* accepts NULL */

/* Adds what a file says. What is there already is replaced key by key: so the configuration file
 * first, since the credentials file wins. path: for messages. Sections and keys with names that
 * cannot be are passed over.
 * Errors: QE_ERR_INVALID with path and line, never with the line itself; _LIMIT; _NOMEM. What was
 * added before the error stays. */
int qe_aws_profiles_add(struct qe_aws_profiles *profiles, enum qe_aws_profile_file file,
                        const char *path, const char *text, size_t bytes,
                        struct qe_err *err) QE_MUST_CHECK;

/* NULL: there is none. */
const struct qe_aws_section *qe_aws_profiles_find(const struct qe_aws_profiles *profiles,
                                                  enum qe_aws_section_kind kind, const char *name);
/* Walks all of a kind, from NULL to NULL. */
const struct qe_aws_section *qe_aws_profiles_next(const struct qe_aws_profiles *profiles,
                                                  enum qe_aws_section_kind kind,
                                                  const struct qe_aws_section *after);

const char *qe_aws_section_name(const struct qe_aws_section *section);
size_t qe_aws_section_count(const struct qe_aws_section *section);
/* Lower case, and "" for a key without a value. */
const char *qe_aws_section_key(const struct qe_aws_section *section, size_t index);
const char *qe_aws_section_value(const struct qe_aws_section *section, size_t index);
/* NULL: no such key, or a blank value. section NULL: NULL. `key` is in lower case. */
const char *qe_aws_section_get(const struct qe_aws_section *section, const char *key);
/* Appends the value of a nested key ("sqs =" and below it " endpoint_url = ..."); false when there
 * is none. */
bool qe_aws_section_get_nested(const struct qe_aws_section *section, const char *key,
                               const char *nested_key, struct qe_strbuf *out);

#endif
