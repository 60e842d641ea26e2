/* RabbitMQ, watched and worked on. Which way of reading costs the broker how much, which
 * permissions are needed and how ages are known is in README.md beside this header. */
#ifndef QE_BACKEND_RABBITMQ_RABBITMQ_H
#define QE_BACKEND_RABBITMQ_RABBITMQ_H

#include <stdbool.h>

#include "backend/backend.h"
#include "config/option.h"

enum qe_rmq_method {
    QE_RMQ_AUTO = 0,
    QE_RMQ_METRICS,   /* each node's rabbitmq_prometheus */
    QE_RMQ_TOTALS,    /* management API, queue totals without statistics */
    QE_RMQ_STATISTICS /* management API, all of it */
};

enum qe_rmq_delay_method {
    QE_RMQ_DELAY_QUEUES = 0,
    QE_RMQ_DELAY_PLUGIN /* the delayed-message plugin, where it is safe: see amqp_plugin.c */
};

struct qe_rmq_tls_settings {
    char *ca_file; /* NULL: the system's */
    char *cert_file;
    char *key_file;
};

struct qe_rmq_settings {
    char *management_url;
    struct qe_text_list metrics_urls;
    char *amqp_url; /* NULL: nothing is worked on */
    char *username;
    struct qe_secret *password; /* NULL: RabbitMQ's own default, "guest" */
    struct qe_text_list vhosts; /* none: every one */
    int method;                 /* enum qe_rmq_method */
    double statistics_max_load;
    bool exclusive_queues;
    int delay_method; /* enum qe_rmq_delay_method */
    struct qe_rmq_tls_settings tls;
};

extern const struct qe_section qe_rmq_section;
extern const struct qe_driver qe_driver_rabbitmq;

#endif
