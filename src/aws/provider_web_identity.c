/* A token that somebody else signs (EKS puts it into a file) for the credentials of a role. */
#include <string.h>

#include "aws/provider_internal.h"

#define PLACE "web identity"
/* Source: AWS STS API Reference, AssumeRoleWithWebIdentity: WebIdentityToken. */
#define TOKEN_MAX_BYTES ((size_t)20000)

/* The token without blanks around it, within the buffer's own memory. */
static char *trimmed(struct qe_strbuf *text)
{
    char *start = text->data;
    size_t length = text->length_bytes;

    while (length > 0 && strchr(" \t\r\n", start[length - 1]) != NULL) {
        start[--length] = '\0';
    }
    return start == NULL ? NULL : start + strspn(start, " \t\r\n");
}

int qe_aws_use_web_identity(const struct qe_aws_search *search, const char *token_path,
                            const char *role_arn, const char *session_name,
                            struct qe_aws_credentials **out, struct qe_err *err)
{
    const struct qe_aws_world *world = search->settings->world;
    struct qe_strbuf text = {.is_secret = true};
    /* Read anew each time: the token is replaced long before it ends. */
    int rc = world->read_file(world->self, token_path, TOKEN_MAX_BYTES, &text, err);
    const char *token = rc == 0 ? trimmed(&text) : NULL;

    if (rc == 0 && (token == NULL || token[0] == '\0')) {
        rc = qe_err_set(err, QE_ERR_INVALID, "%s is empty", token_path);
    }
    if (rc == 0) {
        const struct qe_aws_role role = {
            .arn = role_arn, .session_name = session_name, .web_identity_token = token};

        rc = qe_aws_assume_role(search, &role, out, err);
    }
    qe_strbuf_deinit(&text);
    return rc;
}

enum qe_aws_found qe_aws_find_in_web_identity(struct qe_aws_search *search,
                                              struct qe_aws_credentials **out, struct qe_err *err)
{
    const struct qe_aws_world *world = search->settings->world;
    const char *path = qe_aws_env(world, "AWS_WEB_IDENTITY_TOKEN_FILE");
    const char *role_arn = qe_aws_env(world, "AWS_ROLE_ARN");

    if (search->settings->self->texts[QE_AWS_SELF_PROFILE] != NULL) {
        return qe_aws_skip(search, PLACE, "passed by, since the configuration names a profile");
    }
    if (path == NULL) {
        return qe_aws_skip(search, PLACE, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
    }
    if (role_arn == NULL) {
        qe_err_set(err, QE_ERR_INVALID,
                   PLACE ": AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
        return QE_AWS_BROKEN;
    }
    if (qe_aws_use_web_identity(search, path, role_arn, qe_aws_env(world, "AWS_ROLE_SESSION_NAME"),
                                out, err) != 0) {
        qe_err_wrap(err, PLACE);
        return QE_AWS_BROKEN;
    }
    return QE_AWS_FOUND;
}
