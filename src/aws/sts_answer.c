/* The answers of STS. Its XML is of one fixed shape, without attributes below the root, comments or
 * CDATA: finding elements by name is enough, and what is found more than once is refused. */
#include <stdio.h>
#include <string.h>

#include "aws/provider_internal.h"
#include "aws/timestamp.h"
#include "util/json.h"

#define VALUE_MAX_BYTES ((size_t)32 << 10)

struct range {
    const char *start;
    size_t bytes;
};

/* The first `needle` in the range; NULL: none. */
static const char *find(struct range range, const char *needle, size_t needle_bytes)
{
    for (size_t i = 0; i + needle_bytes <= range.bytes; i++) {
        const char *at = memchr(range.start + i, needle[0], range.bytes - needle_bytes - i + 1);

        if (at == NULL) {
            return NULL;
        }
        if (memcmp(at, needle, needle_bytes) == 0) {
            return at;
        }
        i = (size_t)(at - range.start);
    }
    return NULL;
}

/* What stands between <name> and </name>; start NULL: it is not there. */
static struct range element(struct range in, const char *name)
{
    char open[64];
    char close[64];
    const size_t name_bytes = strlen(name);

    (void)snprintf(open, sizeof open, "<%s>", name);
    (void)snprintf(close, sizeof close, "</%s>", name);
    const char *start = find(in, open, name_bytes + 2);

    if (start == NULL) {
        return (struct range){0};
    }
    start += name_bytes + 2;
    const struct range rest = {start, (size_t)(in.start + in.bytes - start)};
    const char *end = find(rest, close, name_bytes + 3);

    if (end == NULL) {
        return (struct range){0};
    }
    return (struct range){start, (size_t)(end - start)};
}

/* One of the five entities at the front of a range: its character and its length; 0: none. */
static char entity(struct range at, size_t *out_bytes)
{
    static const struct {
        const char *name;
        char c;
    } s_entities[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};

    for (size_t i = 0; i < sizeof s_entities / sizeof s_entities[0]; i++) {
        const size_t bytes = strlen(s_entities[i].name);

        if (at.bytes >= bytes && memcmp(at.start, s_entities[i].name, bytes) == 0) {
            *out_bytes = bytes;
            return s_entities[i].c;
        }
    }
    return '\0';
}

/* Appends the text of an element. */
static int take(struct range in, const char *name, struct qe_strbuf *out, struct qe_err *err)
{
    const struct range value = element(in, name);
    size_t step = 1;

    if (value.start == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "%s is missing", name);
    }
    if (memchr(value.start, '<', value.bytes) != NULL ||
        memchr(value.start, '\0', value.bytes) != NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "%s is not a text", name);
    }
    for (size_t i = 0; i < value.bytes; i += step) {
        char c = value.start[i];

        step = 1;
        if (c == '&') {
            c = entity((struct range){value.start + i, value.bytes - i}, &step);
        }
        if (c == '\0') {
            return qe_err_set(err, QE_ERR_PROTOCOL, "%s holds an unknown entity", name);
        }
        (void)qe_strbuf_append_char(out, c);
    }
    return qe_strbuf_error(out, err);
}

/* "arn:aws:sts::123456789012:assumed-role/name/session" -> "123456789012", in place. */
static const char *account_of(struct qe_strbuf *arn)
{
    char *text = arn->data;

    for (size_t colons = 0; text != NULL && colons < 4; colons++) {
        text = strchr(text, ':');
        text = text == NULL ? NULL : text + 1;
    }
    if (text == NULL) {
        return NULL;
    }
    text[strcspn(text, ":")] = '\0';
    return text;
}

enum value {
    VALUE_ID,
    VALUE_SECRET,
    VALUE_TOKEN,
    VALUE_EXPIRES,
    VALUE_ARN,
    VALUE_COUNT
};

static int fill_from_xml(struct range text, struct qe_strbuf values[VALUE_COUNT],
                         struct qe_aws_parts *parts, struct qe_err *err)
{
    const struct range credentials = element(text, "Credentials");
    const struct range user = element(text, "AssumedRoleUser");
    struct qe_err ignored = {0};

    if (credentials.start == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "Credentials is missing");
    }
    if (take(credentials, "AccessKeyId", &values[VALUE_ID], err) != 0 ||
        take(credentials, "SecretAccessKey", &values[VALUE_SECRET], err) != 0 ||
        take(credentials, "SessionToken", &values[VALUE_TOKEN], err) != 0 ||
        take(credentials, "Expiration", &values[VALUE_EXPIRES], err) != 0 ||
        (user.start != NULL && take(user, "Arn", &values[VALUE_ARN], &ignored) != 0 &&
         ignored.code == QE_ERR_NOMEM)) {
        *err = ignored.code == QE_ERR_NOMEM ? ignored : *err;
        return -1;
    }
    if (qe_aws_parse_timestamp(qe_strbuf_text(&values[VALUE_EXPIRES]), &parts->expires_unix_ms,
                               err) != 0) {
        return qe_err_wrap(err, "Expiration");
    }
    parts->access_key_id = qe_strbuf_text(&values[VALUE_ID]);
    parts->secret_access_key = qe_strbuf_text(&values[VALUE_SECRET]);
    parts->session_token = qe_strbuf_text(&values[VALUE_TOKEN]);
    parts->account_id = account_of(&values[VALUE_ARN]);
    return 0;
}

static struct qe_aws_credentials *from_xml(struct range text, const char *provider,
                                           struct qe_err *err)
{
    struct qe_strbuf values[VALUE_COUNT];
    struct qe_aws_parts parts = {.provider = provider};
    struct qe_aws_credentials *made = NULL;

    for (size_t i = 0; i < VALUE_COUNT; i++) {
        values[i] = (struct qe_strbuf){.max_bytes = VALUE_MAX_BYTES, .is_secret = true};
    }
    if (fill_from_xml(text, values, &parts, err) == 0) {
        made = qe_aws_credentials_new(&parts, err);
    }
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        qe_strbuf_deinit(&values[i]);
    }
    return made;
}

static int fill_from_json(const struct qe_json *root, struct qe_strbuf *arn,
                          struct qe_aws_parts *parts, struct qe_err *err)
{
    /* {"AssumeRoleResponse": {"AssumeRoleResult": {"Credentials": {...}}}} */
    const struct qe_json *response = qe_json_first(root);
    const struct qe_json *result = qe_json_first(response);
    const struct qe_json *credentials = qe_json_get(result, "Credentials");
    const char *user = qe_json_text(qe_json_get(qe_json_get(result, "AssumedRoleUser"), "Arn"));
    double expires_s = 0;

    parts->access_key_id = qe_json_text(qe_json_get(credentials, "AccessKeyId"));
    parts->secret_access_key = qe_json_text(qe_json_get(credentials, "SecretAccessKey"));
    parts->session_token = qe_json_text(qe_json_get(credentials, "SessionToken"));
    if (parts->access_key_id == NULL || parts->secret_access_key == NULL ||
        parts->session_token == NULL ||
        !qe_json_number(qe_json_get(credentials, "Expiration"), &expires_s) || expires_s < 1 ||
        expires_s > 1e11) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "Credentials, or a part of them, is missing");
    }
    parts->expires_unix_ms = (int64_t)(expires_s * 1000);
    if (user != NULL && qe_strbuf_append_text(arn, user) != 0) {
        return qe_strbuf_error(arn, err);
    }
    parts->account_id = account_of(arn);
    return 0;
}

static struct qe_aws_credentials *from_json(struct range text, const char *provider,
                                            struct qe_err *err)
{
    struct qe_json *root = qe_json_parse(text.start, text.bytes, err);
    struct qe_aws_parts parts = {.provider = provider};
    struct qe_strbuf arn = {.max_bytes = VALUE_MAX_BYTES};
    struct qe_aws_credentials *made = NULL;

    if (root != NULL && fill_from_json(root, &arn, &parts, err) == 0) {
        made = qe_aws_credentials_new(&parts, err);
    }
    qe_strbuf_deinit(&arn);
    qe_json_destroy_wiped(root);
    return made;
}

struct qe_aws_credentials *qe_aws_credentials_from_sts(const char *text, size_t bytes,
                                                       const char *provider, struct qe_err *err)
{
    size_t blank = 0;

    while (blank < bytes && (text[blank] == ' ' || text[blank] == '\t' || text[blank] == '\r' ||
                             text[blank] == '\n')) {
        blank++;
    }
    const struct range rest = {text + blank, bytes - blank};

    if (rest.bytes > 0 && rest.start[0] == '<') {
        return from_xml(rest, provider, err);
    }
    if (rest.bytes > 0 && rest.start[0] == '{') {
        return from_json(rest, provider, err);
    }
    qe_err_set(err, QE_ERR_PROTOCOL, "the answer is neither XML nor JSON");
    return NULL;
}
