/* Whose certificate is accepted, and why TLS did not come about. librabbitmq's own check knows no
 * addresses in certificates, so the name is given to OpenSSL, which knows both. Source:
 * X509_VERIFY_PARAM_set1_host(3), librabbitmq's amqp_openssl.c. */
#include <amqp_ssl_socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "backend/rabbitmq/amqp_internal.h"

/* librabbitmq tells that TLS failed, and OpenSSL's queue of errors why. With TLS 1.3 a client has
 * shaken hands before the server has looked at its certificate: the refusal comes with the first
 * answer. */
int qe_amqp_tls_fail(struct qe_err *err, const char *what)
{
    static const char refused[] = "the server refuses our certificate: see tls.cert_file and "
                                  "tls.key_file";
    static const char wanted[] = "the server wants a certificate of ours: see tls.cert_file and "
                                 "tls.key_file";
    static const struct {
        int reason;
        enum qe_err_code code;
        const char *text;
    } table[] = {
        {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, QE_ERR_AUTH, wanted},
        /* What a server of TLS 1.2 says then, and of all that it cannot agree to. */
        {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, QE_ERR_AUTH,
         "the server ends the handshake: it may want a certificate of ours: see tls.cert_file and "
         "tls.key_file"},
        {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, QE_ERR_AUTH, refused},
        {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, QE_ERR_AUTH, refused},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, QE_ERR_AUTH, refused},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, QE_ERR_AUTH, refused},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, QE_ERR_AUTH, refused},
        {SSL_R_TLSV1_ALERT_UNKNOWN_CA, QE_ERR_AUTH, refused},
        {SSL_R_TLSV1_ALERT_ACCESS_DENIED, QE_ERR_AUTH, refused},
        {SSL_R_TLSV1_ALERT_DECRYPT_ERROR, QE_ERR_AUTH, refused},
        {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, QE_ERR_UNSUPPORTED,
         "the server knows no TLS 1.2 or newer"},
        {SSL_R_UNSUPPORTED_PROTOCOL, QE_ERR_UNSUPPORTED, "the server knows no TLS 1.2 or newer"},
        {SSL_R_WRONG_VERSION_NUMBER, QE_ERR_PROTOCOL,
         "what answers there speaks no TLS: is it the port for amqp://?"},
    };
    const unsigned long why = ERR_peek_last_error();
    const char *said = ERR_GET_LIB(why) == ERR_LIB_SSL ? ERR_reason_error_string(why) : NULL;

    if (said == NULL) { /* its last words are lost when it does not wait for them to be read */
        return qe_err_set(err, QE_ERR_NETWORK,
                          "%s: the server ends the connection: if it wants certificates of its "
                          "clients, see tls.cert_file and tls.key_file",
                          what);
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].reason == ERR_GET_REASON(why)) {
            return qe_err_set(err, table[i].code, "%s: %s (%s)", what, table[i].text, said);
        }
    }
    return qe_err_set(err, QE_ERR_NETWORK, "%s: no TLS came about: %s", what, said);
}

int qe_amqp_tls_prepare(amqp_socket_t *socket, const struct qe_rmq_tls_settings *tls,
                        const char *host, struct qe_err *err)
{
    SSL_CTX *context = amqp_ssl_socket_get_context(socket);
    X509_VERIFY_PARAM *param = context == NULL ? NULL : SSL_CTX_get0_param(context);

    ERR_clear_error(); /* for qe_amqp_tls_fail() */
    if (param == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "TLS to %s", host);
    }
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 0); /* OpenSSL does: below */
    if (tls->ca_file == NULL) {
        if (SSL_CTX_set_default_verify_paths(context) != 1) {
            return qe_err_set(err, QE_ERR_IO, "the system's certificates cannot be read");
        }
    } else if (amqp_ssl_socket_set_cacert(socket, tls->ca_file) != AMQP_STATUS_OK) {
        return qe_err_set(err, QE_ERR_INVALID, "tls.ca_file %s holds no certificates to read",
                          tls->ca_file);
    }
    if (tls->cert_file != NULL &&
        amqp_ssl_socket_set_key(socket, tls->cert_file, tls->key_file) != AMQP_STATUS_OK) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "tls.cert_file %s and tls.key_file %s: no certificate and its key",
                          tls->cert_file, tls->key_file);
    }
    if (amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) != AMQP_STATUS_OK) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "TLS 1.2 or newer");
    }
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1 &&
        X509_VERIFY_PARAM_set1_host(param, host, 0) != 1) {
        return qe_err_set(err, QE_ERR_INVALID, "TLS to \"%s\": no name and no address", host);
    }
    return 0;
}
