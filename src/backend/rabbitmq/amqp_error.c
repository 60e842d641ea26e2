/* What librabbitmq and RabbitMQ say, in our words. */
#include <errno.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/text.h"

#define TEXT_MAX_BYTES 500

int qe_amqp_fail(struct qe_err *err, int status, const char *what)
{
    enum qe_err_code code = QE_ERR_NETWORK;

    switch (status) {
    case AMQP_STATUS_NO_MEMORY:
        code = QE_ERR_NOMEM;
        break;
    case AMQP_STATUS_TIMEOUT:
        code = QE_ERR_TIMEOUT;
        break;
    case AMQP_STATUS_BAD_AMQP_DATA:
    case AMQP_STATUS_UNKNOWN_CLASS:
    case AMQP_STATUS_UNKNOWN_METHOD:
    case AMQP_STATUS_WRONG_METHOD:
    case AMQP_STATUS_UNEXPECTED_STATE:
    case AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION:
        code = QE_ERR_PROTOCOL;
        break;
    case AMQP_STATUS_TABLE_TOO_BIG:
        code = QE_ERR_LIMIT;
        break;
    case AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD:
        code = QE_ERR_UNSUPPORTED;
        break;
    case AMQP_STATUS_SSL_PEER_VERIFY_FAILED:
    case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED:
        return qe_err_set(err, code,
                          "%s: the server's certificate is not trusted, or is another host's: see "
                          "tls.ca_file",
                          what);
    default:
        break;
    }
    return qe_err_set(err, code, "%s: %s", what, amqp_error_string2(status));
}

static enum qe_err_code code_of(unsigned code)
{
    switch (code) {
    case 311: /* CONTENT_TOO_LARGE */
    case 506: /* RESOURCE_ERROR */
        return QE_ERR_LIMIT;
    case 312: /* NO_ROUTE */
    case 402: /* INVALID_PATH */
    case 404:
        return QE_ERR_NOT_FOUND;
    case 403: /* ACCESS_REFUSED */
    case 405: /* RESOURCE_LOCKED: another connection's own */
    case 530: /* NOT_ALLOWED */
        return QE_ERR_AUTH;
    case 406: /* PRECONDITION_FAILED */
        return QE_ERR_INVALID;
    case 540: /* NOT_IMPLEMENTED */
        return QE_ERR_UNSUPPORTED;
    case 320: /* CONNECTION_FORCED */
    case 541: /* INTERNAL_ERROR */
        return QE_ERR_NETWORK;
    default:
        return QE_ERR_PROTOCOL;
    }
}

int qe_amqp_refused(struct qe_err *err, unsigned code, amqp_bytes_t text)
{
    const char *bytes = text.bytes;
    const size_t count = qe_text_cut(bytes, text.len, TEXT_MAX_BYTES);

    (void)qe_err_set(err, code_of(code), "RabbitMQ says %u %.*s", code, (int)count,
                     bytes == NULL ? "" : bytes);
    if (code == 530 && strstr(err->message, "not found") != NULL) { /* a virtual host */
        err->code = QE_ERR_NOT_FOUND;
    }
    return -1;
}
