#include "aws/provider_internal.h"
#include "util/mem.h"

static const char *find(const struct qe_aws_settings *settings)
{
    const char *found = settings->self->texts[QE_AWS_SELF_REGION];

    found = found != NULL ? found : qe_aws_env(settings->world, "AWS_REGION");
    found = found != NULL ? found : qe_aws_env(settings->world, "AWS_DEFAULT_REGION");
    return found != NULL ? found : qe_aws_section_get(settings->profile, "region");
}

int qe_aws_settings_region(const struct qe_aws_settings *settings, int64_t deadline_mono_ms,
                           char **out_region, struct qe_err *err)
{
    const char *found = find(settings);
    struct qe_err why = {0};

    if (found != NULL) {
        *out_region = qe_strdup(found);
        return *out_region == NULL ? qe_err_set(err, QE_ERR_NOMEM, "out of memory for a region")
                                   : 0;
    }
    if (qe_aws_imds_region(settings, deadline_mono_ms, out_region, &why) == 0) {
        return 0;
    }
    if (why.code == QE_ERR_NOMEM) {
        *err = why;
        return -1;
    }
    return qe_err_set(err, QE_ERR_INVALID,
                      "no AWS region: set `region` of the source, AWS_REGION, AWS_DEFAULT_REGION, "
                      "or region of the profile '%.60s'; instance metadata: %s",
                      settings->profile_name, why.message);
}
