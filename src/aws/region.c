#include "aws/provider_internal.h"
#include "util/mem.h"

int qe_aws_settings_region(const struct qe_aws_settings *settings, int64_t deadline_mono_ms,
                           char **out_region, struct qe_err *err)
{
    const char *found = settings->self->texts[QE_AWS_SELF_REGION];

    (void)deadline_mono_ms;
    if (found == NULL) {
        found = qe_aws_env(settings->world, "AWS_REGION");
    }
    if (found == NULL) {
        found = qe_aws_env(settings->world, "AWS_DEFAULT_REGION");
    }
    if (found == NULL) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "no AWS region: set `region` of the source, or AWS_REGION or "
                          "AWS_DEFAULT_REGION");
    }
    *out_region = qe_strdup(found);
    return *out_region == NULL ? qe_err_set(err, QE_ERR_NOMEM, "out of memory for a region") : 0;
}
