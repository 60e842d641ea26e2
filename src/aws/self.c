#include <string.h>

#include "aws/provider_internal.h"
#include "util/mem.h"

/* Source: AWS STS API Reference, AssumeRole. */
#define ROLE_DURATION_MIN_MS INT64_C(900000)
#define ROLE_DURATION_MAX_MS INT64_C(43200000)

static int copy_secret(const struct qe_secret *from, struct qe_secret **to, struct qe_err *err)
{
    if (from == NULL || qe_secret_length(from) == 0) {
        return 0;
    }
    *to = qe_secret_new(qe_secret_bytes(from), qe_secret_length(from), err);
    return *to == NULL ? -1 : 0;
}

static int check_keys(const struct qe_aws_self *self, struct qe_err *err)
{
    const bool has_id = self->texts[QE_AWS_SELF_ACCESS_KEY_ID] != NULL;

    if (has_id != (self->secret_access_key != NULL)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "access_key_id and secret_access_key go together: %s is missing",
                          has_id ? "secret_access_key" : "access_key_id");
    }
    if (self->session_token != NULL && !has_id) {
        return qe_err_set(err, QE_ERR_INVALID, "session_token needs access_key_id too");
    }
    if (has_id && self->texts[QE_AWS_SELF_PROFILE] != NULL) {
        return qe_err_set(err, QE_ERR_INVALID, "access_key_id and profile: keep one of them");
    }
    return 0;
}

static int check_role(const struct qe_aws_self *self, struct qe_err *err)
{
    const int64_t duration_ms = self->role_duration_ms;

    if (self->texts[QE_AWS_SELF_ROLE_ARN] == NULL) {
        return self->texts[QE_AWS_SELF_ROLE_EXTERNAL_ID] == NULL &&
                       self->texts[QE_AWS_SELF_ROLE_SESSION_NAME] == NULL && duration_ms == 0
                   ? 0
                   : qe_err_set(err, QE_ERR_INVALID, "the role to assume has no arn");
    }
    if (duration_ms != 0 &&
        (duration_ms < ROLE_DURATION_MIN_MS || duration_ms > ROLE_DURATION_MAX_MS)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "a role can be assumed for 15m to 12h, which %lld s is not",
                          (long long)(duration_ms / 1000));
    }
    return 0;
}

int qe_aws_self_init(struct qe_aws_self *self, const struct qe_aws_identity *identity,
                     struct qe_err *err)
{
    const char *const texts[QE_AWS_SELF_TEXT_COUNT] = {
        [QE_AWS_SELF_REGION] = identity->region,
        [QE_AWS_SELF_PROFILE] = identity->profile,
        [QE_AWS_SELF_ACCESS_KEY_ID] = identity->access_key_id,
        [QE_AWS_SELF_ROLE_ARN] = identity->role_arn,
        [QE_AWS_SELF_ROLE_EXTERNAL_ID] = identity->role_external_id,
        [QE_AWS_SELF_ROLE_SESSION_NAME] = identity->role_session_name,
        [QE_AWS_SELF_ENDPOINT] = identity->endpoint,
        [QE_AWS_SELF_ENDPOINT_CLOUDWATCH] = identity->endpoint_cloudwatch,
        [QE_AWS_SELF_ENDPOINT_STS] = identity->endpoint_sts,
    };

    *self = (struct qe_aws_self){.role_duration_ms = identity->role_duration_ms};
    for (size_t i = 0; i < QE_AWS_SELF_TEXT_COUNT; i++) {
        if (texts[i] == NULL || texts[i][0] == '\0') {
            continue;
        }
        self->texts[i] = qe_strdup(texts[i]);
        if (self->texts[i] == NULL) {
            qe_err_set(err, QE_ERR_NOMEM, "out of memory for an identity");
            goto failed;
        }
    }
    if (copy_secret(identity->secret_access_key, &self->secret_access_key, err) != 0 ||
        copy_secret(identity->session_token, &self->session_token, err) != 0 ||
        check_keys(self, err) != 0 || check_role(self, err) != 0) {
        goto failed;
    }
    return 0;

failed:
    qe_aws_self_deinit(self);
    return -1;
}

void qe_aws_self_deinit(struct qe_aws_self *self)
{
    for (size_t i = 0; i < QE_AWS_SELF_TEXT_COUNT; i++) {
        qe_free(self->texts[i]);
    }
    qe_secret_destroy(self->secret_access_key);
    qe_secret_destroy(self->session_token);
    *self = (struct qe_aws_self){0};
}

bool qe_aws_self_equal(const struct qe_aws_self *a, const struct qe_aws_self *b)
{
    for (size_t i = 0; i < QE_AWS_SELF_TEXT_COUNT; i++) {
        const char *left = a->texts[i] == NULL ? "" : a->texts[i];
        const char *right = b->texts[i] == NULL ? "" : b->texts[i];

        if (strcmp(left, right) != 0) {
            return false;
        }
    }
    return a->role_duration_ms == b->role_duration_ms &&
           qe_secret_equal(a->secret_access_key, b->secret_access_key) &&
           qe_secret_equal(a->session_token, b->session_token);
}
