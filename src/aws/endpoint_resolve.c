#include <string.h>

#include "aws/endpoint_internal.h"
#include "aws/provider_internal.h"

/* A URL that somebody gave, and where. */
struct given {
    const char *url; /* NULL: nobody */
    const char *place;
};

static struct given given_in_config(const struct qe_aws_settings *settings,
                                    enum qe_aws_service service)
{
    static const enum qe_aws_self_text s_own[QE_AWS_SERVICE_COUNT] = {
        [QE_AWS_SQS] = QE_AWS_SELF_ENDPOINT,
        [QE_AWS_CLOUDWATCH] = QE_AWS_SELF_ENDPOINT_CLOUDWATCH,
        [QE_AWS_STS] = QE_AWS_SELF_ENDPOINT_STS,
    };
    const char *own = settings->self->texts[s_own[service]];

    return (struct given){own != NULL ? own : settings->self->texts[QE_AWS_SELF_ENDPOINT],
                          "the source's endpoint"};
}

static bool is_true(const char *value)
{
    return value != NULL && strcmp(value, "true") == 0;
}

static struct given given_outside(const struct qe_aws_settings *settings,
                                  enum qe_aws_service service)
{
    const char *names[] = {qe_aws_service_variable(service), "AWS_ENDPOINT_URL"};

    if (is_true(qe_aws_env(settings->world, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))) {
        return (struct given){0};
    }
    for (size_t i = 0; i < 2; i++) {
        const char *url = qe_aws_env(settings->world, names[i]);

        if (url != NULL) {
            return (struct given){url, names[i]};
        }
    }
    return (struct given){0};
}

int qe_aws_settings_endpoint(const struct qe_aws_settings *settings, enum qe_aws_service service,
                             const char *region, struct qe_aws_endpoint *out, struct qe_err *err)
{
    const struct qe_aws_endpoint_flags flags = {
        .fips = is_true(qe_aws_env(settings->world, "AWS_USE_FIPS_ENDPOINT")),
        .dual_stack = is_true(qe_aws_env(settings->world, "AWS_USE_DUALSTACK_ENDPOINT")),
    };
    struct given given = given_in_config(settings, service);

    if (given.url == NULL) {
        given = given_outside(settings, service);
    }
    if (given.url == NULL) {
        return qe_aws_endpoint_default(service, region, flags, out, err);
    }
    return qe_aws_endpoint_from_url(service, given.url, region, out, err) == 0
               ? 0
               : qe_err_wrap(err, "%s", given.place);
}
