#include <stdarg.h>
#include <stdio.h>

#include "aws/provider_internal.h"

#define SKIPPED_MAX_BYTES ((size_t)4096)

enum qe_aws_found qe_aws_skip(struct qe_aws_search *search, const char *place, const char *fmt, ...)
{
    char why[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    (void)qe_strbuf_printf(&search->skipped, "%s%s: %s",
                           search->skipped.length_bytes == 0 ? "" : "; ", place, why);
    return QE_AWS_NOT_CONFIGURED;
}

enum qe_aws_found qe_aws_find_in_config(struct qe_aws_search *search,
                                        struct qe_aws_credentials **out, struct qe_err *err)
{
    const struct qe_aws_self *self = search->settings->self;

    if (self->texts[QE_AWS_SELF_ACCESS_KEY_ID] == NULL) {
        return qe_aws_skip(search, "configuration", "no access_key_id");
    }
    const struct qe_aws_parts parts = {
        .access_key_id = self->texts[QE_AWS_SELF_ACCESS_KEY_ID],
        .secret_access_key = qe_secret_bytes(self->secret_access_key),
        .session_token = self->session_token == NULL ? NULL : qe_secret_bytes(self->session_token),
        .provider = QE_AWS_FROM_CONFIG,
    };

    *out = qe_aws_credentials_new(&parts, err);
    if (*out == NULL) {
        qe_err_wrap(err, "configuration");
        return QE_AWS_BROKEN;
    }
    return QE_AWS_FOUND;
}

static qe_aws_find *const s_places[] = {
    qe_aws_find_in_config,  qe_aws_find_in_environment, qe_aws_find_in_web_identity,
    qe_aws_find_in_profile, qe_aws_find_in_container,   qe_aws_find_in_imds,
};

static int find(struct qe_aws_search *search, struct qe_aws_credentials **out, struct qe_err *err)
{
    for (size_t i = 0; i < sizeof s_places / sizeof s_places[0]; i++) {
        const enum qe_aws_found found = s_places[i](search, out, err);

        if (found != QE_AWS_NOT_CONFIGURED) {
            return found == QE_AWS_FOUND ? 0 : -1;
        }
    }
    return qe_err_set(err, QE_ERR_AUTH, "no AWS credentials found. %s",
                      qe_strbuf_text(&search->skipped));
}

/* The role that the configuration asks for, on top of what was found. Replaces *credentials. */
static int put_role(const struct qe_aws_search *search, struct qe_aws_credentials **credentials,
                    struct qe_err *err)
{
    const struct qe_aws_self *self = search->settings->self;
    const struct qe_aws_role role = {
        .arn = self->texts[QE_AWS_SELF_ROLE_ARN],
        .session_name = self->texts[QE_AWS_SELF_ROLE_SESSION_NAME],
        .external_id = self->texts[QE_AWS_SELF_ROLE_EXTERNAL_ID],
        .duration_s = self->role_duration_ms / 1000,
        .base = *credentials,
    };
    struct qe_aws_credentials *made = NULL;

    if (role.arn == NULL) {
        return 0;
    }
    if (qe_aws_assume_role(search, &role, &made, err) != 0) {
        return qe_err_wrap(err, "with credentials of %s",
                           role.base == NULL ? "nobody" : role.base->provider);
    }
    qe_aws_credentials_release(*credentials);
    *credentials = made;
    return 0;
}

int qe_aws_search_all(const struct qe_aws_settings *settings, int64_t deadline_mono_ms,
                      struct qe_aws_credentials **out, struct qe_err *err)
{
    struct qe_aws_search search = {.settings = settings, .deadline_mono_ms = deadline_mono_ms};
    struct qe_aws_credentials *found = NULL;

    qe_strbuf_init(&search.skipped, SKIPPED_MAX_BYTES);
    int rc = find(&search, &found, err);

    if (rc == 0) {
        rc = put_role(&search, &found, err);
    }
    qe_strbuf_deinit(&search.skipped);
    if (rc != 0) {
        qe_aws_credentials_release(found);
        return -1;
    }
    *out = found;
    return 0;
}
