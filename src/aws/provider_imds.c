/* EC2 instance metadata, version 2 only: version 1 has no protection against requests that somebody
 * else makes us send.
 * Source: Amazon EC2 User Guide, "Use the Instance Metadata Service". */
#include <stdio.h>
#include <string.h>

#include "aws/provider_internal.h"
#include "aws/url.h"
#include "util/mem.h"
#include "util/text.h"

#define PLACE "instance metadata"
#define ENDPOINT_IPV4 "http://169.254.169.254"
#define ENDPOINT_IPV6 "http://[fd00:ec2::254]"
#define TOKEN_PATH "/latest/api/token"
#define ROLES_PATH "/latest/meta-data/iam/security-credentials/"
#define REGION_PATH "/latest/meta-data/placement/region"
#define TOKEN_LIFE "21600" /* seconds: the longest there is */
#define WORD_MAX_BYTES 128 /* of a role's or region's name */
#define WORD_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-"
#define TIMEOUT_DEFAULT_S 1
#define TIMEOUT_MAX_S 60
#define TRIES_DEFAULT 3
#define TRIES_MAX 10
#define PAUSE_MS 100

/* One conversation. */
struct imds {
    const struct qe_aws_search *search; /* borrowed */
    char endpoint[QE_AWS_URL_MAX_BYTES + 1];
    uint64_t timeout_s;
    uint64_t tries;
    bool tries_named; /* somebody wants that many also when nobody answers */
    struct qe_strbuf token;
    struct qe_http_reply reply;
};

static void imds_deinit(struct imds *imds)
{
    qe_strbuf_deinit(&imds->token);
    qe_http_reply_deinit(&imds->reply);
}

static int choose_endpoint(struct imds *imds, struct qe_err *err)
{
    const struct qe_aws_settings *settings = imds->search->settings;
    const char *place = NULL;
    const char *mode = qe_aws_setting(settings, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
                                      "ec2_metadata_service_endpoint_mode", &place);
    const bool is_ipv6 = mode != NULL && qe_text_equal_nocase(mode, "ipv6");
    struct qe_aws_url url = {0};

    if (mode != NULL && !is_ipv6 && !qe_text_equal_nocase(mode, "ipv4")) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "%s: \"%.40s\" is not a valid endpoint mode: IPv4 "
                          "or IPv6",
                          place, mode);
    }
    const char *named = qe_aws_setting(settings, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                       "ec2_metadata_service_endpoint", &place);
    const char *used = named != NULL ? named : is_ipv6 ? ENDPOINT_IPV6 : ENDPOINT_IPV4;
    const char *wrong = qe_aws_url_split(used, false, &url);

    if (wrong != NULL) {
        return qe_err_set(err, QE_ERR_INVALID, "%s is not a URL: %s", place, wrong);
    }
    size_t length = strlen(used);

    length -= used[length - 1] == '/' ? 1 : 0;
    memcpy(imds->endpoint, used, length);
    imds->endpoint[length] = '\0';
    return 0;
}

/* QE_ERR_UNSUPPORTED: switched off. */
static int imds_init(struct imds *imds, const struct qe_aws_search *search, struct qe_err *err)
{
    const struct qe_aws_settings *settings = search->settings;
    bool off = false;

    memset(imds, 0, sizeof *imds);
    imds->search = search;
    imds->token.is_secret = true;
    imds->tries_named = qe_aws_setting(settings, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
                                       "metadata_service_num_attempts", NULL) != NULL;
    if (qe_aws_setting_flag(settings, "AWS_EC2_METADATA_DISABLED", "ec2_metadata_disabled", &off,
                            err) != 0) {
        return -1;
    }
    if (off) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "switched off by AWS_EC2_METADATA_DISABLED");
    }
    imds->timeout_s = TIMEOUT_DEFAULT_S;
    imds->tries = TRIES_DEFAULT;
    if (qe_aws_setting_number(settings, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout",
                              TIMEOUT_MAX_S, &imds->timeout_s, err) != 0 ||
        qe_aws_setting_number(settings, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
                              "metadata_service_num_attempts", TRIES_MAX, &imds->tries, err) != 0) {
        return -1;
    }
    imds->timeout_s = imds->timeout_s == 0 ? 1 : imds->timeout_s;
    return choose_endpoint(imds, err);
}

/* One request, tried again when it is worth it. 0: an answer below 500 came. */
static int ask(struct imds *imds, const char *method, const char *path,
               const struct qe_http_header *header, struct qe_err *err)
{
    const struct qe_aws_world *world = imds->search->settings->world;
    const int64_t timeout_ms = (int64_t)imds->timeout_s * 1000;
    struct qe_aws_tries tries = {
        .most = (unsigned)imds->tries, .pause_ms = PAUSE_MS, .attempt_ms = 2 * timeout_ms};
    char url[sizeof imds->endpoint + sizeof ROLES_PATH + WORD_MAX_BYTES];
    struct qe_http_request request = {.method = method,
                                      .url = url,
                                      .headers = header,
                                      .headers_count = 1,
                                      .connect_timeout_ms = timeout_ms,
                                      .no_proxy = true,
                                      .is_secret = true};

    (void)snprintf(url, sizeof url, "%s%s", imds->endpoint, path);
    for (;;) {
        bool answered = true;

        qe_http_reply_deinit(&imds->reply);
        request.deadline_mono_ms = qe_aws_tries_deadline(&tries, imds->search);
        if (world->fetch(world->self, &request, NULL, &imds->reply, err) != 0) {
            answered = false;
            qe_err_wrap(err, "%s", imds->endpoint);
        } else if (imds->reply.status < 500 && imds->reply.status != 429) {
            return 0;
        } else {
            qe_err_set(err, QE_ERR_NETWORK, "%s%s: status %u", imds->endpoint, path,
                       imds->reply.status);
        }
        /* Nobody listens on most machines: no reason to wait for that three times. */
        if ((!answered && !imds->tries_named) || !qe_err_is_retryable(err->code) ||
            !qe_aws_tries_again(&tries, imds->search)) {
            return -1;
        }
    }
}

static bool is_token(const struct qe_strbuf *text)
{
    for (size_t i = 0; i < text->length_bytes; i++) {
        if (text->data[i] <= ' ' || text->data[i] > '~') {
            return false;
        }
    }
    return text->length_bytes > 0;
}

/* A session: without it, nothing else is answered. */
static int take_token(struct imds *imds, struct qe_err *err)
{
    static const struct qe_http_header s_life = {"x-aws-ec2-metadata-token-ttl-seconds",
                                                 TOKEN_LIFE};

    if (ask(imds, "PUT", TOKEN_PATH, &s_life, err) != 0) {
        return err->code == QE_ERR_TIMEOUT
                   ? qe_err_set(err, QE_ERR_TIMEOUT,
                                "%.400s (in a container: set HttpPutResponseHopLimit=2 of the "
                                "instance)",
                                err->message)
                   : -1;
    }
    switch (imds->reply.status) {
    case 200:
        break;
    case 403:
        return qe_err_set(err, QE_ERR_UNSUPPORTED,
                          "%s refuses: request forbidden: IMDS is disabled for this instance",
                          imds->endpoint);
    case 404:
    case 405:
        return qe_err_set(err, QE_ERR_UNSUPPORTED,
                          "%s knows only version 1, which is not used: version 2 is needed",
                          imds->endpoint);
    default:
        return qe_err_set(err, QE_ERR_PROTOCOL, "%s%s: status %u", imds->endpoint, TOKEN_PATH,
                          imds->reply.status);
    }
    qe_strbuf_reset(&imds->token);
    if (!is_token(&imds->reply.body)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "%s%s: that is no token", imds->endpoint,
                          TOKEN_PATH);
    }
    return qe_strbuf_append(&imds->token, imds->reply.body.data, imds->reply.body.length_bytes) == 0
               ? 0
               : qe_strbuf_error(&imds->token, err);
}

/* QE_ERR_NOT_FOUND: there is no such item. */
static int get(struct imds *imds, const char *path, struct qe_err *err)
{
    for (unsigned sessions = 0; sessions < 2; sessions++) {
        if (imds->token.length_bytes == 0 && take_token(imds, err) != 0) {
            return -1;
        }
        const struct qe_http_header token = {"x-aws-ec2-metadata-token",
                                             qe_strbuf_text(&imds->token)};

        if (ask(imds, "GET", path, &token, err) != 0) {
            return -1;
        }
        if (imds->reply.status != 401) {
            break;
        }
        qe_strbuf_reset(&imds->token); /* the session has ended: a new one, once */
    }
    if (imds->reply.status == 200) {
        return 0;
    }
    return qe_err_set(err, imds->reply.status == 404 ? QE_ERR_NOT_FOUND : QE_ERR_PROTOCOL,
                      "%s%s: status %u", imds->endpoint, path, imds->reply.status);
}

/* The first line of an answer, which goes into a URL or a host name. */
static int take_word(const struct imds *imds, const char *what, char out[WORD_MAX_BYTES],
                     struct qe_err *err)
{
    const char *text = qe_strbuf_text(&imds->reply.body);
    const size_t length = strcspn(text, "\r\n");

    if (length == 0 || length >= WORD_MAX_BYTES || strspn(text, WORD_CHARACTERS) != length) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "%s: that is no %s", imds->endpoint, what);
    }
    memcpy(out, text, length);
    out[length] = '\0';
    return 0;
}

static struct qe_aws_credentials *fetch(struct imds *imds, struct qe_err *err)
{
    static const struct qe_aws_json_form s_form = {.provider = QE_AWS_FROM_IMDS,
                                                   .token_key = "Token",
                                                   .has_code = true,
                                                   .must_expire = true,
                                                   .outlives_expiry = true};
    char path[sizeof ROLES_PATH + WORD_MAX_BYTES];
    char role[WORD_MAX_BYTES];

    if (get(imds, ROLES_PATH, err) != 0) {
        if (err->code == QE_ERR_NOT_FOUND) {
            qe_err_set(err, QE_ERR_NOT_FOUND, "no IAM role attached to this instance (%s)",
                       imds->endpoint);
        }
        return NULL;
    }
    if (take_word(imds, "role's name", role, err) != 0) {
        return NULL;
    }
    (void)snprintf(path, sizeof path, "%s%s", ROLES_PATH, role);
    if (get(imds, path, err) != 0) {
        return NULL;
    }
    return qe_aws_credentials_from_json(qe_strbuf_text(&imds->reply.body),
                                        imds->reply.body.length_bytes, &s_form, err);
}

/* Whether instance metadata is simply not to be had here: what most machines are like. */
static bool is_absent(enum qe_err_code code)
{
    return code == QE_ERR_UNSUPPORTED || code == QE_ERR_NOT_FOUND || code == QE_ERR_NETWORK ||
           code == QE_ERR_TIMEOUT;
}

enum qe_aws_found qe_aws_find_in_imds(struct qe_aws_search *search, struct qe_aws_credentials **out,
                                      struct qe_err *err)
{
    struct imds imds;
    struct qe_aws_credentials *made = imds_init(&imds, search, err) == 0 ? fetch(&imds, err) : NULL;

    imds_deinit(&imds);
    if (made != NULL) {
        *out = made;
        return QE_AWS_FOUND;
    }
    if (is_absent(err->code)) {
        return qe_aws_skip(search, PLACE, "%s", err->message);
    }
    qe_err_wrap(err, PLACE);
    return QE_AWS_BROKEN;
}

int qe_aws_imds_region(const struct qe_aws_settings *settings, int64_t deadline_mono_ms,
                       char **out_region, struct qe_err *err)
{
    const struct qe_aws_search search = {.settings = settings,
                                         .deadline_mono_ms = deadline_mono_ms};
    char region[WORD_MAX_BYTES];
    struct imds imds;
    int rc = imds_init(&imds, &search, err);

    if (rc == 0) {
        rc = get(&imds, REGION_PATH, err);
    }
    if (rc == 0) {
        rc = take_word(&imds, "region", region, err);
    }
    imds_deinit(&imds);
    if (rc == 0) {
        *out_region = qe_strdup(region);
        rc = *out_region == NULL ? qe_err_set(err, QE_ERR_NOMEM, "out of memory for a region") : 0;
    }
    return rc;
}
