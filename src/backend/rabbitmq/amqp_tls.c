/* Whose certificate is accepted. librabbitmq's own check knows no addresses in certificates, so the
 * name is given to OpenSSL, which knows both.
 * Source: X509_VERIFY_PARAM_set1_host(3), librabbitmq's amqp_openssl.c. */
#include <amqp_ssl_socket.h>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "backend/rabbitmq/amqp_internal.h"

int qe_amqp_tls_prepare(amqp_socket_t *socket, const struct qe_rmq_tls_settings *tls,
                        const char *host, struct qe_err *err)
{
    SSL_CTX *context = amqp_ssl_socket_get_context(socket);
    X509_VERIFY_PARAM *param = context == NULL ? NULL : SSL_CTX_get0_param(context);

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
