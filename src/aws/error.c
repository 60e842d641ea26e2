#include "aws/error.h"

#include <string.h>

#include "aws/error_internal.h"

/* What a status says where no code does: the service's front, a proxy, or something else that
 * answers at this address. */
static const struct {
    unsigned status;
    enum qe_err_code code;
    enum qe_aws_retry retry;
    const char *hint;
} s_statuses[] = {
    {401, QE_ERR_AUTH, QE_AWS_RETRY_NO, NULL},
    {403, QE_ERR_AUTH, QE_AWS_RETRY_NO, NULL},
    {407, QE_ERR_AUTH, QE_AWS_RETRY_NO, "the proxy wants a user and password"},
    {408, QE_ERR_TIMEOUT, QE_AWS_RETRY_TRANSIENT, NULL},
    {413, QE_ERR_LIMIT, QE_AWS_RETRY_NO, NULL},
    {429, QE_ERR_THROTTLED, QE_AWS_RETRY_THROTTLED, NULL},
    {500, QE_ERR_NETWORK, QE_AWS_RETRY_TRANSIENT, NULL},
    {501, QE_ERR_UNSUPPORTED, QE_AWS_RETRY_NO, NULL},
    {502, QE_ERR_NETWORK, QE_AWS_RETRY_TRANSIENT, NULL},
    {503, QE_ERR_NETWORK, QE_AWS_RETRY_TRANSIENT, NULL},
    {504, QE_ERR_NETWORK, QE_AWS_RETRY_TRANSIENT, NULL},
};

/* An unknown code: new ones come. */
static enum qe_err_code code_of_status(unsigned status)
{
    switch (status) {
    case 401:
    case 403:
        return QE_ERR_AUTH;
    case 404:
        return QE_ERR_NOT_FOUND;
    case 408:
        return QE_ERR_TIMEOUT;
    case 413:
        return QE_ERR_LIMIT;
    case 429:
        return QE_ERR_THROTTLED;
    default:
        return status >= 500 ? QE_ERR_NETWORK : QE_ERR_INVALID;
    }
}

static enum qe_aws_retry retry_of_status(unsigned status)
{
    for (size_t i = 0; i < sizeof s_statuses / sizeof s_statuses[0]; i++) {
        if (s_statuses[i].status == status) {
            return s_statuses[i].retry;
        }
    }
    return QE_AWS_RETRY_NO;
}

static void judge_row(const struct qe_aws_error_row *row, unsigned status, struct qe_aws_error *out)
{
    out->err.code = row->code;
    out->retry = row->retry;
    /* A service in trouble is asked again whatever it calls its trouble. */
    if (out->retry == QE_AWS_RETRY_NO && status >= 500) {
        out->retry = retry_of_status(status);
    }
    out->may_be_credentials = (row->flags & QE_AWS_MAY_BE_CREDENTIALS) != 0;
    out->may_be_skew = (row->flags & QE_AWS_MAY_BE_SKEW) != 0;
}

/* Names first, so that it stands where a log line is read: "QueueDoesNotExist (HTTP 400): words".
 */
static void say(struct qe_aws_error *out, unsigned status, const char *hint, const char *words)
{
    const char *code = out->code[0] != '\0' ? out->code : out->legacy_code;

    (void)qe_err_set(&out->err, out->err.code, "%s%sHTTP %u%s%s%s%s%s", code,
                     code[0] == '\0' ? "" : " (", status, code[0] == '\0' ? "" : ")",
                     hint == NULL ? "" : ": ", hint == NULL ? "" : hint,
                     words[0] == '\0' ? "" : ": ", words);
}

static void judge_status(unsigned status, const char *words, struct qe_aws_error *out)
{
    const char *hint = status >= 300 && status < 400 ? "redirects are not followed" : NULL;

    out->err.code = QE_ERR_PROTOCOL;
    for (size_t i = 0; i < sizeof s_statuses / sizeof s_statuses[0]; i++) {
        if (s_statuses[i].status == status) {
            out->err.code = s_statuses[i].code;
            out->retry = s_statuses[i].retry;
            hint = s_statuses[i].hint;
        }
    }
    say(out, status, hint, words);
}

void qe_aws_error_read(const struct qe_http_reply *reply, struct qe_aws_error *out)
{
    struct qe_aws_error_text text;

    *out = (struct qe_aws_error){.err = reply->err};
    if (reply->err.code != QE_OK) {
        if (reply->err.code == QE_ERR_NETWORK || reply->err.code == QE_ERR_TIMEOUT) {
            out->retry = QE_AWS_RETRY_TRANSIENT;
        }
        return;
    }
    qe_aws_error_text_read(reply, &text);
    memcpy(out->code, text.code, sizeof out->code);
    memcpy(out->legacy_code, text.legacy_code, sizeof out->legacy_code);
    if (text.code[0] == '\0' && text.legacy_code[0] == '\0') {
        judge_status(reply->status, text.message, out);
        return;
    }
    const struct qe_aws_error_row *row = qe_aws_error_find(text.code);

    row = row == NULL ? qe_aws_error_find(text.legacy_code) : row;
    if (row != NULL) {
        judge_row(row, reply->status, out);
    } else {
        out->err.code = code_of_status(reply->status);
        out->retry = retry_of_status(reply->status);
    }
    say(out, reply->status, row == NULL ? NULL : row->hint, text.message);
}

enum qe_err_code qe_aws_error_code(const char *code, bool is_sender_fault)
{
    const struct qe_aws_error_row *row = qe_aws_error_find(code);

    if (row != NULL) {
        return row->code;
    }
    return is_sender_fault ? QE_ERR_INVALID : QE_ERR_NETWORK;
}
