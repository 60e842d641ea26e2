/* Which region, and at which address a service of it is spoken to. */
#ifndef QE_AWS_ENDPOINT_H
#define QE_AWS_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "aws/credentials.h"
#include "util/err.h"

enum qe_aws_service {
    QE_AWS_SQS = 0,
    QE_AWS_CLOUDWATCH,
    QE_AWS_STS,
    QE_AWS_SERVICE_COUNT
};

struct qe_aws_endpoint {
    char *url;    /* owned: scheme, host, port, path ("/" at least) */
    char *host;   /* owned: the Host header as it is signed: lower case, port only when it is
                     not the scheme's own, IPv6 in brackets */
    char *path;   /* owned: as signed, "/" at least */
    char *region; /* owned: to sign for */
    const char *signing_name; /* static: "sqs", "monitoring", "sts" */
    bool is_overridden;       /* somebody named it: not AWS's own address */
};
void qe_aws_endpoint_deinit(struct qe_aws_endpoint *endpoint); /* = {0} is fine; twice is safe */

/* The address of `service` for a provider's identity: explicit, environment, profile, then the
 * partition's own by region, FIPS and dual stack. May ask instance metadata for the region.
 * Errors: QE_ERR_INVALID naming every place where a region could stand, or a bad URL and its place;
 * plain http to a host that is not overridden never happens. */
int qe_aws_provider_endpoint(struct qe_aws_provider *provider, enum qe_aws_service service,
                             int64_t deadline_mono_ms, struct qe_aws_endpoint *out,
                             struct qe_err *err) QE_MUST_CHECK;

/* AWS's own address: pure. `region` is checked to be a host label. */
struct qe_aws_endpoint_flags {
    bool fips;
    bool dual_stack;
};
int qe_aws_endpoint_default(enum qe_aws_service service, const char *region,
                            struct qe_aws_endpoint_flags flags, struct qe_aws_endpoint *out,
                            struct qe_err *err) QE_MUST_CHECK;
/* From a URL somebody gave. */
int qe_aws_endpoint_from_url(enum qe_aws_service service, const char *url, const char *region,
                             struct qe_aws_endpoint *out, struct qe_err *err) QE_MUST_CHECK;

#endif
