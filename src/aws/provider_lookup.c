/* Endpoints and single settings of a provider. Its credentials play no part. */
#include "aws/provider_state_internal.h"
#include "aws/url.h"
#include "util/log.h"
#include "util/mem.h"

/* Once per provider: what is sent there can be read on the way, though not signed by others. */
static void warn_of_plain_http(struct qe_aws_provider *provider,
                               const struct qe_aws_endpoint *endpoint)
{
    struct qe_aws_url url = {0};

    if (qe_aws_url_split(endpoint->url, false, &url) != NULL || url.is_https ||
        qe_aws_url_is_loopback(&url)) {
        return;
    }
    pthread_mutex_lock(&provider->lock);
    const bool is_first = !provider->warned_of_plain_http;

    provider->warned_of_plain_http = true;
    pthread_mutex_unlock(&provider->lock);
    if (is_first) {
        qe_log(QE_LOG_WARN, "an AWS endpoint is spoken to without encryption: use https", "url",
               endpoint->url, NULL);
    }
}

int qe_aws_provider_endpoint(struct qe_aws_provider *provider, enum qe_aws_service service,
                             int64_t deadline_mono_ms, struct qe_aws_endpoint *out,
                             struct qe_err *err)
{
    struct qe_aws_settings settings = {0};
    char *region = NULL;
    int rc = qe_aws_settings_init(&settings, &provider->self, provider->world, err);

    if (rc == 0) {
        rc = qe_aws_settings_region(&settings, deadline_mono_ms, &region, err);
    }
    if (rc == 0) {
        rc = qe_aws_settings_endpoint(&settings, service, region, out, err);
    }
    qe_free(region);
    qe_aws_settings_deinit(&settings);
    if (rc == 0) {
        warn_of_plain_http(provider, out);
    }
    return rc;
}

int qe_aws_provider_setting(struct qe_aws_provider *provider, const char *variable, const char *key,
                            char **out, struct qe_err *err)
{
    struct qe_aws_settings settings = {0};
    char *copy = NULL;
    int rc = qe_aws_settings_init(&settings, &provider->self, provider->world, err);

    if (rc == 0) {
        const char *value = key == NULL ? qe_aws_env(provider->world, variable)
                                        : qe_aws_setting(&settings, variable, key, NULL);

        copy = value == NULL ? NULL : qe_strdup(value);
        if (value != NULL && copy == NULL) {
            rc = qe_err_set(err, QE_ERR_NOMEM, "out of memory for %s", variable);
        }
    }
    qe_aws_settings_deinit(&settings);
    if (rc == 0) {
        *out = copy;
    }
    return rc;
}
