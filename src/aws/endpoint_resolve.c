#include <string.h>

#include "aws/endpoint_internal.h"
#include "aws/provider_internal.h"

/* A URL that somebody gave, and where. */
struct given {
    const char *url; /* NULL: nobody */
    const char *place;
    struct qe_strbuf text; /* behind url, when it had to be copied */
};

static void look_in_config(const struct qe_aws_settings *settings, enum qe_aws_service service,
                           struct given *given)
{
    static const enum qe_aws_self_text s_own[QE_AWS_SERVICE_COUNT] = {
        [QE_AWS_SQS] = QE_AWS_SELF_ENDPOINT,
        [QE_AWS_CLOUDWATCH] = QE_AWS_SELF_ENDPOINT_CLOUDWATCH,
        [QE_AWS_STS] = QE_AWS_SELF_ENDPOINT_STS,
    };
    const char *own = settings->self->texts[s_own[service]];

    given->url = own != NULL ? own : settings->self->texts[QE_AWS_SELF_ENDPOINT];
    given->place = "the source's endpoint";
}

static void look_in_environment(const struct qe_aws_settings *settings, enum qe_aws_service service,
                                struct given *given)
{
    const char *names[] = {qe_aws_service_variable(service), "AWS_ENDPOINT_URL"};

    for (size_t i = 0; i < 2 && given->url == NULL; i++) {
        given->url = qe_aws_env(settings->world, names[i]);
        given->place = names[i];
    }
}

static int look_in_profile(const struct qe_aws_settings *settings, enum qe_aws_service service,
                           struct given *given, struct qe_err *err)
{
    const char *name = qe_aws_section_get(settings->profile, "services");
    const struct qe_aws_section *services =
        name == NULL ? NULL
                     : qe_aws_profiles_find(settings->profiles, QE_AWS_SECTION_SERVICES, name);

    if (name != NULL && services == NULL) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "the profile '%.60s' has services = %.60s, but %s has no section "
                          "[services %.60s]",
                          settings->profile_name, name,
                          settings->paths[QE_AWS_FILE_CONFIG] == NULL
                              ? "no file"
                              : settings->paths[QE_AWS_FILE_CONFIG],
                          name);
    }
    if (qe_aws_section_get_nested(services, qe_aws_service_id(service), "endpoint_url",
                                  &given->text)) {
        given->url = qe_strbuf_text(&given->text);
        given->place = "endpoint_url of the profile's services";
    } else {
        given->url = qe_aws_section_get(settings->profile, "endpoint_url");
        given->place = "endpoint_url of the profile";
    }
    return qe_strbuf_error(&given->text, err);
}

/* given->url stays NULL when nobody gave one. */
static int look(const struct qe_aws_settings *settings, enum qe_aws_service service,
                struct given *given, struct qe_err *err)
{
    bool ignored = false;

    look_in_config(settings, service, given);
    if (given->url != NULL) {
        return 0;
    }
    if (qe_aws_setting_flag(settings, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                            "ignore_configured_endpoint_urls", &ignored, err) != 0) {
        return -1;
    }
    if (ignored) {
        return 0;
    }
    look_in_environment(settings, service, given);
    return given->url != NULL ? 0 : look_in_profile(settings, service, given, err);
}

static int use(enum qe_aws_service service, const struct given *given, const char *region,
               struct qe_aws_endpoint_flags flags, struct qe_aws_endpoint *out, struct qe_err *err)
{
    if (given->url == NULL) {
        return qe_aws_endpoint_default(service, region, flags, out, err);
    }
    /* As AWS's own tools: neither can be had from an address that somebody else chose. */
    if (flags.fips || flags.dual_stack) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "%s and use_%s_endpoint do not go together: keep one", given->place,
                          flags.fips ? "fips" : "dualstack");
    }
    return qe_aws_endpoint_from_url(service, given->url, region, out, err) == 0
               ? 0
               : qe_err_wrap(err, "%s", given->place);
}

int qe_aws_settings_endpoint(const struct qe_aws_settings *settings, enum qe_aws_service service,
                             const char *region, struct qe_aws_endpoint *out, struct qe_err *err)
{
    struct qe_aws_endpoint_flags flags = {0};
    struct given given = {0};
    int rc = qe_aws_setting_flag(settings, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint",
                                 &flags.fips, err);

    if (rc == 0) {
        rc = qe_aws_setting_flag(settings, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint",
                                 &flags.dual_stack, err);
    }
    if (rc == 0) {
        rc = look(settings, service, &given, err);
    }
    if (rc == 0) {
        rc = use(service, &given, region, flags, out, err);
    }
    qe_strbuf_deinit(&given.text);
    return rc;
}
