/* AssumeRole and AssumeRoleWithWebIdentity, in STS's query protocol.
 * Source: AWS STS API Reference (2011-06-15). */
#include <stdio.h>
#include <string.h>

#include "aws/error.h"
#include "aws/provider_internal.h"
#include "aws/sigv4.h"
#include "aws/skew.h"
#include "util/mem.h"

#define SESSION_NAME "queue-exporter"
#define SESSION_NAME_CHARACTERS                                                                    \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-"
#define CONTENT_TYPE "application/x-www-form-urlencoded; charset=utf-8"
#define FORM_MAX_BYTES ((size_t)128 << 10)
#define TRIES_MAX 3
#define TRY_MS 5000
#define PAUSE_MS 50
/* STS could not reach the provider of the web identity: it asks to be tried again. */
#define CODE_AGAIN "IDPCommunicationError"

/* One call, in the making. All owned. */
struct sts {
    const struct qe_aws_search *search; /* borrowed */
    const struct qe_aws_role *role;     /* borrowed */
    struct qe_aws_endpoint endpoint;
    struct qe_strbuf form; /* holds the token of a web identity */
    struct qe_strbuf authorization;
    struct qe_sigv4 *signer; /* NULL: unsigned */
    struct qe_http_reply reply;
    struct qe_aws_skew skew;
};

static void sts_deinit(struct sts *sts)
{
    qe_aws_endpoint_deinit(&sts->endpoint);
    qe_strbuf_deinit(&sts->form);
    qe_strbuf_deinit(&sts->authorization);
    qe_sigv4_destroy(sts->signer);
    qe_http_reply_deinit(&sts->reply);
}

static void add(struct qe_strbuf *form, const char *name, const char *value)
{
    static const char s_plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    static const char s_digits[] = "0123456789ABCDEF";

    (void)qe_strbuf_append_char(form, '&');
    (void)qe_strbuf_append_text(form, name);
    (void)qe_strbuf_append_char(form, '=');
    for (const char *c = value; *c != '\0'; c++) {
        const unsigned char byte = (unsigned char)*c;
        const char escaped[3] = {'%', s_digits[byte >> 4], s_digits[byte & 15]};

        if (strchr(s_plain, *c) != NULL) {
            (void)qe_strbuf_append_char(form, *c);
        } else {
            (void)qe_strbuf_append(form, escaped, sizeof escaped);
        }
    }
}

/* What STS would refuse, said before it is asked. */
static int check(const struct qe_aws_role *role, struct qe_err *err)
{
    const size_t arn_bytes = strlen(role->arn);
    const char *name = role->session_name;

    if (arn_bytes < 20 || arn_bytes > 2048 || strncmp(role->arn, "arn:", 4) != 0) {
        return qe_err_set(err, QE_ERR_INVALID, "\"%.80s\" is no arn of a role", role->arn);
    }
    if (name != NULL && (strlen(name) < 2 || strlen(name) > 64 ||
                         strspn(name, SESSION_NAME_CHARACTERS) != strlen(name))) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "the role's session name must be 2 to 64 letters, digits or _+=,.@-");
    }
    return 0;
}

static int write_form(struct sts *sts, struct qe_err *err)
{
    const struct qe_aws_role *role = sts->role;

    (void)qe_strbuf_append_text(&sts->form, role->web_identity_token == NULL
                                                ? "Action=AssumeRole"
                                                : "Action=AssumeRoleWithWebIdentity");
    add(&sts->form, "Version", "2011-06-15");
    add(&sts->form, "RoleArn", role->arn);
    add(&sts->form, "RoleSessionName",
        role->session_name == NULL ? SESSION_NAME : role->session_name);
    if (role->duration_s > 0) {
        char duration[24];

        (void)snprintf(duration, sizeof duration, "%lld", (long long)role->duration_s);
        add(&sts->form, "DurationSeconds", duration);
    }
    if (role->external_id != NULL) {
        add(&sts->form, "ExternalId", role->external_id);
    }
    if (role->web_identity_token != NULL) {
        add(&sts->form, "WebIdentityToken", role->web_identity_token);
    }
    return qe_strbuf_error(&sts->form, err);
}

static int prepare(struct sts *sts, struct qe_err *err)
{
    const struct qe_aws_search *search = sts->search;
    char *region = NULL;
    int rc = check(sts->role, err);

    if (rc == 0) {
        rc = qe_aws_settings_region(search->settings, search->deadline_mono_ms, &region, err);
    }
    if (rc == 0) {
        rc = qe_aws_settings_endpoint(search->settings, QE_AWS_STS, region, &sts->endpoint, err);
    }
    if (rc == 0) {
        rc = write_form(sts, err);
    }
    if (rc == 0 && sts->role->web_identity_token == NULL) {
        sts->signer = qe_sigv4_new(err);
        rc = sts->signer == NULL ? -1 : 0;
    }
    qe_free(region);
    return rc;
}

/* headers: Content-Type, Host and X-Amz-Date, and the token's if there is one; Authorization is
 * put behind them. */
static int sign(struct sts *sts, struct qe_http_header *headers, size_t *count, int64_t time_unix_s,
                struct qe_err *err)
{
    const struct qe_sigv4_request request = {.method = "POST",
                                             .path = sts->endpoint.path,
                                             .headers = headers,
                                             .headers_count = *count,
                                             .body = qe_strbuf_text(&sts->form),
                                             .body_bytes = sts->form.length_bytes,
                                             .region = sts->endpoint.region,
                                             .service = sts->endpoint.signing_name,
                                             .time_unix_s = time_unix_s,
                                             .normalize_path = true};

    qe_strbuf_reset(&sts->authorization);
    if (qe_sigv4_sign(sts->signer, sts->role->base, &request, &sts->authorization, NULL, err) !=
        0) {
        return -1;
    }
    headers[*count] = (struct qe_http_header){.name = "Authorization",
                                              .value = qe_strbuf_text(&sts->authorization)};
    (*count)++;
    return 0;
}

/* One try. 0: an answer came, whatever it says. */
static int send(struct sts *sts, int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_aws_world *world = sts->search->settings->world;
    const int64_t time_unix_s =
        (world->now_unix_ms(world->self) + qe_aws_skew_offset_ms(&sts->skew)) / 1000;
    // cppcheck-suppress variableScope ; headers point to it until they are sent
    char date[QE_SIGV4_TIME_BYTES];
    struct qe_http_header headers[5] = {{"Content-Type", CONTENT_TYPE},
                                        {"Host", sts->endpoint.host}};
    size_t count = 2;

    if (sts->signer != NULL) {
        const struct qe_secret *token = sts->role->base->session_token;

        qe_sigv4_time(time_unix_s, date);
        headers[count++] = (struct qe_http_header){"X-Amz-Date", date};
        if (token != NULL) {
            headers[count++] =
                (struct qe_http_header){"X-Amz-Security-Token", qe_secret_bytes(token)};
        }
        if (sign(sts, headers, &count, time_unix_s, err) != 0) {
            return -1;
        }
    }
    const struct qe_http_request request = {.method = "POST",
                                            .url = sts->endpoint.url,
                                            .headers = headers,
                                            .headers_count = count,
                                            .body = qe_strbuf_text(&sts->form),
                                            .body_bytes = sts->form.length_bytes,
                                            .deadline_mono_ms = deadline_mono_ms,
                                            .is_secret = true};

    qe_http_reply_deinit(&sts->reply);
    return world->fetch(world->self, &request, qe_aws_ca_file(sts->search->settings), &sts->reply,
                        err);
}

/* Of an answer that is a refusal: its error, and whether another try may help. */
static bool judge(struct sts *sts, int64_t used_offset_ms, struct qe_err *err)
{
    struct qe_aws_error error = {0};
    char words[QE_AWS_PUBLIC_BYTES];

    qe_aws_error_read(&sts->reply, &error);
    qe_err_set(err, error.err.code, "STS: %s",
               qe_aws_public_text(error.err.message, strlen(error.err.message), words));
    return error.retry != QE_AWS_RETRY_NO || strcmp(error.code, CODE_AGAIN) == 0 ||
           (error.may_be_skew && qe_aws_skew_explains(&sts->skew, used_offset_ms));
}

static int call(struct sts *sts, struct qe_err *err)
{
    struct qe_aws_tries tries = {.most = TRIES_MAX, .pause_ms = PAUSE_MS, .attempt_ms = TRY_MS};
    bool again = true;

    while (again) {
        const int64_t offset_ms = qe_aws_skew_offset_ms(&sts->skew);

        if (send(sts, qe_aws_tries_deadline(&tries, sts->search), err) != 0) {
            again = qe_err_is_retryable(err->code);
            qe_err_wrap(err, "STS");
        } else if (sts->reply.status >= 200 && sts->reply.status < 300) {
            return 0;
        } else {
            (void)qe_aws_skew_learn(&sts->skew, &sts->reply);
            again = judge(sts, offset_ms, err);
        }
        again = again && qe_aws_tries_again(&tries, sts->search);
    }
    return -1;
}

int qe_aws_assume_role(const struct qe_aws_search *search, const struct qe_aws_role *role,
                       struct qe_aws_credentials **out, struct qe_err *err)
{
    const bool is_web = role->web_identity_token != NULL;
    struct sts sts = {
        .search = search, .role = role, .form = {.max_bytes = FORM_MAX_BYTES, .is_secret = true}};
    struct qe_aws_credentials *made = NULL;
    int rc = prepare(&sts, err);

    if (rc == 0) {
        rc = call(&sts, err);
    }
    if (rc == 0) {
        made = qe_aws_credentials_from_sts(
            qe_strbuf_text(&sts.reply.body), sts.reply.body.length_bytes,
            is_web ? QE_AWS_FROM_WEB_IDENTITY : QE_AWS_FROM_ROLE, err);
        rc = made == NULL ? qe_err_wrap(err, "STS") : 0;
    }
    sts_deinit(&sts);
    if (rc == 0) {
        *out = made;
    }
    return rc == 0 ? 0 : qe_err_wrap(err, "role %.200s", role->arn);
}
