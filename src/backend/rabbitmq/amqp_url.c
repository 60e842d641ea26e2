#include "backend/rabbitmq/amqp_url.h"

#include <string.h>

#include "util/text.h"

int qe_amqp_url_parse(const char *text, struct qe_amqp_url *out, struct qe_err *err)
{
    struct qe_amqp_url url = {.is_tls = qe_text_starts_with(text, "amqps://")};
    const char *host = text + strlen(url.is_tls ? "amqps://" : "amqp://");
    uint64_t port = url.is_tls ? QE_AMQPS_PORT : QE_AMQP_PORT;

    if (!url.is_tls && !qe_text_starts_with(text, "amqp://")) {
        return qe_err_set(err, QE_ERR_INVALID, "must begin with amqp:// or amqps://");
    }
    if (host[strcspn(host, "@?# \t\r\n")] != '\0') {
        return qe_err_set(err, QE_ERR_INVALID,
                          "must not hold a user, a query, a fragment or blanks: username and "
                          "password are settings of their own");
    }
    const bool is_bracketed = *host == '[';
    const size_t bytes = strcspn(host + is_bracketed, is_bracketed ? "]" : ":/");
    const char *rest = host + is_bracketed + bytes;

    if (is_bracketed && *rest++ != ']') {
        return qe_err_set(err, QE_ERR_INVALID, "lacks the ] behind its address");
    }
    if (bytes == 0 || bytes >= sizeof url.host) {
        return qe_err_set(err, QE_ERR_INVALID, "names no host");
    }
    memcpy(url.host, host + is_bracketed, bytes);
    if (*rest == ':') {
        char digits[8] = "";
        const size_t digits_bytes = strcspn(rest + 1, "/");

        if (digits_bytes >= sizeof digits) {
            return qe_err_set(err, QE_ERR_INVALID, "has no port from 1 to 65535");
        }
        memcpy(digits, rest + 1, digits_bytes);
        if (qe_text_to_u64(digits, 65535, &port, err) != 0 || port == 0) {
            return qe_err_set(err, QE_ERR_INVALID, "has no port from 1 to 65535");
        }
        rest += 1 + digits_bytes;
    }
    if (*rest != '\0' && strcmp(rest, "/") != 0) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "must end behind host and port: virtual hosts are named with each queue");
    }
    url.port = (int)port;
    *out = url;
    return 0;
}
