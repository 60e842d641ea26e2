/* profile.c holds and finds, profile_parse.c reads. */
#ifndef QE_AWS_PROFILE_INTERNAL_H
#define QE_AWS_PROFILE_INTERNAL_H

#include "aws/profile.h"

struct qe_aws_property {
    char *key;              /* owned; lower case */
    struct qe_strbuf value; /* may be a secret */
};

struct qe_aws_section {
    enum qe_aws_section_kind kind;
    char *name;                         /* owned */
    struct qe_aws_property *properties; /* owned */
    size_t properties_count;
    size_t properties_capacity;
};

struct qe_aws_profiles {
    struct qe_aws_section *sections; /* owned */
    size_t sections_count;
    size_t sections_capacity;
};

/* The section of that name, made if need be; the index of it, or SIZE_MAX with *err. */
size_t qe_aws_profiles_want(struct qe_aws_profiles *profiles, enum qe_aws_section_kind kind,
                            const char *name, size_t name_bytes, struct qe_err *err);
/* The key, emptied and made if need be; NULL with *err. `key` is in lower case. */
struct qe_aws_property *qe_aws_section_want(struct qe_aws_section *section, const char *key,
                                            size_t key_bytes, struct qe_err *err);
/* The file has ended: its [default] counts unless it has a [profile default] too. */
int qe_aws_profiles_settle_default(struct qe_aws_profiles *profiles,
                                   struct qe_err *err) QE_MUST_CHECK;

#endif
