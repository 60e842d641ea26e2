#include <string.h>

#include "aws/provider_internal.h"
#include "aws/timestamp.h"
#include "util/json.h"

/* *out NULL when it is not there. */
static int take_text(const struct qe_json *object, const char *key, bool needed, const char **out,
                     struct qe_err *err)
{
    const struct qe_json *value = qe_json_get(object, key);

    *out = qe_json_text(value);
    if (value != NULL && *out == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "%s is not a text", key);
    }
    if (*out != NULL && (*out)[0] == '\0') {
        *out = NULL;
    }
    return *out != NULL || !needed ? 0 : qe_err_set(err, QE_ERR_PROTOCOL, "%s is missing", key);
}

static int check_version(const struct qe_json *root, struct qe_err *err)
{
    double version = 0;

    if (qe_json_number(qe_json_get(root, "Version"), &version) && version == 1.0) {
        return 0;
    }
    return qe_err_set(err, QE_ERR_PROTOCOL, "its Version is not 1");
}

static int check_code(const struct qe_json *root, struct qe_err *err)
{
    const char *code = qe_json_text(qe_json_get(root, "Code"));
    const char *message = qe_json_text(qe_json_get(root, "Message"));
    char words[2][QE_AWS_PUBLIC_BYTES];

    if (code == NULL || strcmp(code, "Success") == 0) {
        return 0;
    }
    message = message == NULL ? "no reason given" : message;
    return qe_err_set(err, QE_ERR_AUTH, "%s: %s", qe_aws_public_text(code, strlen(code), words[0]),
                      qe_aws_public_text(message, strlen(message), words[1]));
}

static int fill(const struct qe_json *root, const struct qe_aws_json_form *form,
                struct qe_aws_parts *parts, struct qe_err *err)
{
    const char *expires = NULL;

    if (!qe_json_is_object(root)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "it is not an object");
    }
    if ((form->is_versioned && check_version(root, err) != 0) ||
        (form->has_code && check_code(root, err) != 0) ||
        take_text(root, "AccessKeyId", true, &parts->access_key_id, err) != 0 ||
        take_text(root, "SecretAccessKey", true, &parts->secret_access_key, err) != 0 ||
        take_text(root, form->token_key, form->must_expire, &parts->session_token, err) != 0 ||
        take_text(root, "Expiration", form->must_expire, &expires, err) != 0) {
        return -1;
    }
    if (expires != NULL && qe_aws_parse_timestamp(expires, &parts->expires_unix_ms, err) != 0) {
        return qe_err_wrap(err, "Expiration");
    }
    parts->account_id = qe_json_text(qe_json_get(root, "AccountId")); /* a number is not worth it */
    parts->account_id = parts->account_id == NULL ? form->account_id : parts->account_id;
    parts->provider = form->provider;
    parts->outlives_expiry = form->outlives_expiry;
    return 0;
}

struct qe_aws_credentials *qe_aws_credentials_from_json(const char *text, size_t bytes,
                                                        const struct qe_aws_json_form *form,
                                                        struct qe_err *err)
{
    struct qe_json *root = qe_json_parse(text, bytes, err);
    struct qe_aws_credentials *made = NULL;
    struct qe_aws_parts parts = {0};

    if (root == NULL) {
        return NULL;
    }
    if (fill(root, form, &parts, err) == 0) {
        made = qe_aws_credentials_new(&parts, err);
    }
    qe_json_destroy_wiped(root);
    return made;
}
