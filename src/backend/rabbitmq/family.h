/* The text that a node's rabbitmq_prometheus plugin answers with, as far as it speaks of queues.
 * Pure; anything may come in. */
#ifndef QE_BACKEND_RABBITMQ_FAMILY_H
#define QE_BACKEND_RABBITMQ_FAMILY_H

#include <stddef.h>

#include "backend/rabbitmq/reading.h"
#include "util/err.h"

/* A queue by name; neither text has a NUL behind it, and both are good for the call only. */
struct qe_rmq_named {
    const char *vhost;
    size_t vhost_bytes;
    const char *name;
    size_t name_bytes;
};

/* One value of one queue. 1: taken; 0: there is no such queue; -1 ends the reading. */
typedef int qe_rmq_value_fn(void *context, const struct qe_rmq_named *queue,
                            enum qe_rmq_value value, double number, struct qe_err *err);

struct qe_rmq_families {
    qe_rmq_value_fn *value;
    void *context;
    char node[256];    /* result: which node answered; "" it did not say */
    char cluster[256]; /* result: of which cluster */
};

/* RabbitMQ (3.10, 4.0) writes names as they are, so that a quote or a backslash in one breaks the
 * text format. A name is read as it stands, and, where there is no such queue, as the format says.
 *
 * Reads a whole answer: lines it does not know are passed over. QE_ERR_PROTOCOL, with the line's
 * number, for what is no such text; QE_ERR_NOMEM. Source: rabbitmq_prometheus, /metrics/detailed;
 * the text format 0.0.4. */
int qe_rmq_families_read(struct qe_rmq_families *families, const char *text, size_t bytes,
                         struct qe_err *err) QE_MUST_CHECK;

#endif
