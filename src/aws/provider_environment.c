#include <string.h>

#include "aws/provider_internal.h"
#include "aws/timestamp.h"

#define PLACE "environment"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* An own copy without blanks around it: a line end behind a key is what `echo` and mounted secrets
 * leave there. */
static void copy_trimmed(const char *value, struct qe_strbuf *out)
{
    const char *from = value == NULL ? "" : value;
    const char *end = from + strlen(from);

    while (is_blank(*from)) {
        from++;
    }
    while (end > from && is_blank(end[-1])) {
        end--;
    }
    (void)qe_strbuf_append(out, from, (size_t)(end - from));
}

static const char *token_name(const struct qe_aws_world *world)
{
    return qe_aws_env(world, "AWS_SESSION_TOKEN") != NULL ? "AWS_SESSION_TOKEN"
                                                          : "AWS_SECURITY_TOKEN"; /* its old name */
}

/* keys: room for id, secret and token. */
static struct qe_aws_credentials *make(const struct qe_aws_world *world, struct qe_strbuf keys[3],
                                       struct qe_err *err)
{
    const char *token = qe_aws_env(world, token_name(world));
    const char *expires = qe_aws_env(world, "AWS_CREDENTIAL_EXPIRATION");
    struct qe_aws_parts parts = {
        .account_id = qe_aws_env(world, "AWS_ACCOUNT_ID"),
        .provider = QE_AWS_FROM_ENVIRONMENT,
    };

    copy_trimmed(qe_aws_env(world, "AWS_ACCESS_KEY_ID"), &keys[0]);
    copy_trimmed(qe_aws_env(world, "AWS_SECRET_ACCESS_KEY"), &keys[1]);
    copy_trimmed(token, &keys[2]);
    for (size_t i = 0; i < 3; i++) {
        if (qe_strbuf_error(&keys[i], err) != 0) {
            return NULL;
        }
    }
    if (expires != NULL && qe_aws_parse_timestamp(expires, &parts.expires_unix_ms, err) != 0) {
        qe_err_set(err, QE_ERR_INVALID,
                   "AWS_CREDENTIAL_EXPIRATION is not a time like 2026-01-02T03:04:05Z");
        return NULL;
    }
    parts.access_key_id = qe_strbuf_text(&keys[0]);
    parts.secret_access_key = qe_strbuf_text(&keys[1]);
    parts.session_token = token == NULL ? NULL : qe_strbuf_text(&keys[2]);
    return qe_aws_credentials_new(&parts, err);
}

enum qe_aws_found qe_aws_use_environment(struct qe_aws_search *search,
                                         struct qe_aws_credentials **out, struct qe_err *err)
{
    const struct qe_aws_world *world = search->settings->world;
    const char *id = qe_aws_env(world, "AWS_ACCESS_KEY_ID");
    const char *secret = qe_aws_env(world, "AWS_SECRET_ACCESS_KEY");

    if (id == NULL && secret == NULL) {
        return qe_aws_skip(search, PLACE, "AWS_ACCESS_KEY_ID is not set");
    }
    if (id == NULL || secret == NULL) {
        qe_err_set(err, QE_ERR_INVALID,
                   PLACE ": AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go "
                         "together, but %s is not set",
                   id == NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY");
        return QE_AWS_BROKEN;
    }
    struct qe_strbuf keys[3] = {{.is_secret = true}, {.is_secret = true}, {.is_secret = true}};

    *out = make(world, keys, err);
    for (size_t i = 0; i < 3; i++) {
        qe_strbuf_deinit(&keys[i]);
    }
    if (*out == NULL) {
        qe_err_wrap(err, PLACE);
        return QE_AWS_BROKEN;
    }
    return QE_AWS_FOUND;
}

enum qe_aws_found qe_aws_find_in_environment(struct qe_aws_search *search,
                                             struct qe_aws_credentials **out, struct qe_err *err)
{
    return search->settings->self->texts[QE_AWS_SELF_PROFILE] == NULL
               ? qe_aws_use_environment(search, out, err)
               : qe_aws_skip(search, PLACE, "passed by, since the configuration names a profile");
}
