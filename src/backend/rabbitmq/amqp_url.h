/* Where a broker is: amqp://host[:port], amqps://host[:port], the host a name, an address or an
 * address in brackets. User and virtual host are not part of it: they are settings of their own. */
#ifndef QE_BACKEND_RABBITMQ_AMQP_URL_H
#define QE_BACKEND_RABBITMQ_AMQP_URL_H

#include <stdbool.h>

#include "util/err.h"

#define QE_AMQP_PORT 5672
#define QE_AMQPS_PORT 5671

struct qe_amqp_url {
    bool is_tls;
    char host[256]; /* without brackets */
    int port;
};
int qe_amqp_url_parse(const char *text, struct qe_amqp_url *out, struct qe_err *err) QE_MUST_CHECK;

#endif
