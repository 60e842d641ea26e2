/* Credentials that the container's agent hands out over HTTP: ECS, EKS Pod Identity, Greengrass.
 * Source: AWS SDKs and Tools Reference Guide, "Container credential provider". */
#include <stdio.h>
#include <string.h>

#include "aws/provider_internal.h"
#include "aws/url.h"
#include "util/json.h"
#include "util/text.h"

#define PLACE "container"
#define RELATIVE_VARIABLE "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL_VARIABLE "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN_FILE_VARIABLE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
#define TOKEN_VARIABLE "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define RELATIVE_HOST "http://169.254.170.2"
#define TOKEN_MAX_BYTES ((size_t)16384)
#define URL_BYTES (QE_AWS_URL_MAX_BYTES + sizeof RELATIVE_HOST)
#define CONNECT_MS 2000
#define TRY_MS 5000
#define TRIES_MAX 3
#define PAUSE_MS 1000

/* Where credentials may come from without encryption: this machine, and the agents' addresses. */
static bool may_be_plain(const struct qe_aws_url *url)
{
    return qe_aws_url_is_loopback(url) || qe_aws_url_is_host(url, "169.254.170.2") ||
           qe_aws_url_is_host(url, "169.254.170.23") || qe_aws_url_is_host(url, "[fd00:ec2::23]");
}

static int check_full(const char *full, char out[URL_BYTES], struct qe_err *err)
{
    struct qe_aws_url url = {0};
    const char *wrong = qe_aws_url_split(full, true, &url);

    if (wrong != NULL) {
        return qe_err_set(err, QE_ERR_INVALID, FULL_VARIABLE " is not a URL: %s", wrong);
    }
    if (!url.is_https && !may_be_plain(&url)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "unsupported host '%.*s' in " FULL_VARIABLE ": over http, credentials "
                          "come only from a loopback address, 169.254.170.2, 169.254.170.23 or "
                          "[fd00:ec2::23]",
                          (int)(url.host_bytes < 100 ? url.host_bytes : 100), url.host);
    }
    (void)snprintf(out, URL_BYTES, "%s", full);
    return 0;
}

static int find_url(const struct qe_aws_world *world, char out[URL_BYTES], struct qe_err *err)
{
    const char *relative = qe_aws_env(world, RELATIVE_VARIABLE);
    struct qe_aws_url url = {0};

    if (relative == NULL) {
        return check_full(qe_aws_env(world, FULL_VARIABLE), out, err);
    }
    if (relative[0] != '/' || strlen(relative) > QE_AWS_URL_MAX_BYTES) {
        return qe_err_set(err, QE_ERR_INVALID, RELATIVE_VARIABLE " does not begin with '/'");
    }
    (void)snprintf(out, URL_BYTES, "%s%s", RELATIVE_HOST, relative);
    const char *wrong = qe_aws_url_split(out, true, &url);

    return wrong == NULL ? 0 : qe_err_set(err, QE_ERR_INVALID, RELATIVE_VARIABLE ": %s", wrong);
}

/* The value of the Authorization header; empty when nobody asks for one. The file wins, and is read
 * anew each time: it is replaced while we run. */
static int read_token(const struct qe_aws_world *world, struct qe_strbuf *out, struct qe_err *err)
{
    const char *path = qe_aws_env(world, TOKEN_FILE_VARIABLE);
    const char *token = qe_aws_env(world, TOKEN_VARIABLE);
    const char *place = path == NULL ? TOKEN_VARIABLE : TOKEN_FILE_VARIABLE;

    if (path != NULL && world->read_file(world->self, path, TOKEN_MAX_BYTES, out, err) != 0) {
        return qe_err_wrap(err, TOKEN_FILE_VARIABLE);
    }
    if (path == NULL && token != NULL && qe_strbuf_append_text(out, token) != 0) {
        return qe_strbuf_error(out, err);
    }
    while (out->length_bytes > 0 && strchr("\r\n", out->data[out->length_bytes - 1]) != NULL) {
        out->data[--out->length_bytes] = '\0'; /* what an editor leaves at a file's end */
    }
    for (size_t i = 0; i < out->length_bytes; i++) {
        if ((unsigned char)out->data[i] < ' ' || out->data[i] == 0x7f) {
            return qe_err_set(err, QE_ERR_INVALID,
                              "%s holds a line end or another character that ends a header", place);
        }
    }
    if (path != NULL && out->length_bytes == 0) {
        return qe_err_set(err, QE_ERR_INVALID, "%s: %s is empty", place, path);
    }
    return 0;
}

/* The agent's own words for a refusal: {"code": ..., "message": ...}. */
static int refusal(const struct qe_http_reply *reply, struct qe_err *err)
{
    const enum qe_err_code code = reply->status == 429   ? QE_ERR_THROTTLED
                                  : reply->status >= 500 ? QE_ERR_NETWORK
                                                         : QE_ERR_AUTH;
    struct qe_err ignored = {0};
    struct qe_json *root =
        qe_json_parse(qe_strbuf_text(&reply->body), reply->body.length_bytes, &ignored);
    const char *texts[2] = {qe_json_text(qe_json_get(root, "code")),
                            qe_json_text(qe_json_get(root, "message"))};
    char words[2][QE_AWS_PUBLIC_BYTES] = {"", ""};

    for (size_t i = 0; i < 2; i++) {
        if (texts[i] != NULL) {
            (void)qe_aws_public_text(texts[i], strlen(texts[i]), words[i]);
        }
    }
    qe_err_set(err, code, "it answered with status %u%s%s%s%s", reply->status,
               words[0][0] == '\0' ? "" : ", ", words[0], words[1][0] == '\0' ? "" : ": ",
               words[1]);
    qe_json_destroy_wiped(root);
    return -1;
}

static int ask(const struct qe_aws_search *search, struct qe_http_request *request,
               struct qe_http_reply *reply, struct qe_err *err)
{
    const struct qe_aws_world *world = search->settings->world;
    struct qe_aws_tries tries = {
        .most = TRIES_MAX, .pause_ms = PAUSE_MS, .is_even = true, .attempt_ms = TRY_MS};
    int rc = -1;

    for (bool again = true; again;
         again = rc != 0 && qe_err_is_retryable(err->code) && qe_aws_tries_again(&tries, search)) {
        qe_http_reply_deinit(reply);
        request->deadline_mono_ms = qe_aws_tries_deadline(&tries, search);
        rc = world->fetch(world->self, request, qe_aws_ca_file(search->settings), reply, err);
        if (rc == 0 && reply->status != 200) {
            rc = refusal(reply, err);
        }
    }
    return rc;
}

static struct qe_aws_credentials *fetch(const struct qe_aws_search *search, const char *url,
                                        const char *token, struct qe_err *err)
{
    static const struct qe_aws_json_form s_form = {
        .provider = QE_AWS_FROM_CONTAINER, .token_key = "Token", .must_expire = true};
    const struct qe_http_header headers[] = {{"Accept", "application/json"},
                                             {"Authorization", token}};
    struct qe_http_request request = {.method = "GET",
                                      .url = url,
                                      .headers = headers,
                                      .headers_count = token[0] == '\0' ? 1 : 2,
                                      .connect_timeout_ms = CONNECT_MS,
                                      .no_proxy = true,
                                      .is_secret = true};
    struct qe_http_reply reply = {0};
    struct qe_aws_credentials *made = NULL;

    if (ask(search, &request, &reply, err) == 0) {
        made = qe_aws_credentials_from_json(qe_strbuf_text(&reply.body), reply.body.length_bytes,
                                            &s_form, err);
    }
    qe_http_reply_deinit(&reply);
    return made;
}

enum qe_aws_found qe_aws_find_in_container(struct qe_aws_search *search,
                                           struct qe_aws_credentials **out, struct qe_err *err)
{
    const struct qe_aws_world *world = search->settings->world;
    struct qe_strbuf token = {.is_secret = true};
    struct qe_aws_credentials *made = NULL;
    char url[URL_BYTES];

    if (qe_aws_env(world, RELATIVE_VARIABLE) == NULL && qe_aws_env(world, FULL_VARIABLE) == NULL) {
        return qe_aws_skip(search, PLACE,
                           "neither " RELATIVE_VARIABLE " nor " FULL_VARIABLE " is set");
    }
    if (find_url(world, url, err) == 0 && read_token(world, &token, err) == 0) {
        made = fetch(search, url, qe_strbuf_text(&token), err);
    }
    qe_strbuf_deinit(&token);
    if (made == NULL) {
        qe_err_wrap(err, PLACE);
        return QE_AWS_BROKEN;
    }
    *out = made;
    return QE_AWS_FOUND;
}
