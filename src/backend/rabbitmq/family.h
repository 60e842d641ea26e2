/* The text that a node's rabbitmq_prometheus plugin answers with, as far as it speaks of queues,
 * read piece by piece as it comes. Pure; anything may come in. */
#ifndef QE_BACKEND_RABBITMQ_FAMILY_H
#define QE_BACKEND_RABBITMQ_FAMILY_H

#include "backend/rabbitmq/told.h"
#include "util/err.h"

#define QE_RMQ_FAMILY_NAME_BYTES 64

/* A queue by name; neither text has a NUL behind it, and both are good for the call only. */
struct qe_rmq_named {
    const char *vhost;
    size_t vhost_bytes;
    const char *name;
    size_t name_bytes;
};

/* The queue's number; SIZE_MAX: there is no such queue. Always the same for the same names, until
 * the order in `told` is forgotten. */
typedef size_t qe_rmq_number_fn(void *context, const struct qe_rmq_named *queue);

struct qe_rmq_families {
    qe_rmq_number_fn *number;
    void *context;
    struct qe_rmq_told *told; /* borrowed; result: what is told of each queue */
    char node[256];           /* result: which node answered; "" it did not say */
    char cluster[256];        /* result: of which cluster */
    /* The reader's own: */
    char family[QE_RMQ_FAMILY_NAME_BYTES]; /* of the last line, with its '{' */
    size_t family_bytes;                   /* 0: none, or too long */
    bool is_value;                         /* its lines tell `value` of queues */
    enum qe_rmq_value value;
    size_t line;              /* lines that were read */
    struct qe_strbuf rest;    /* of a line that has not come to its end */
    struct qe_strbuf room[2]; /* for names without their escapes */
};

/* Begins an answer; told is borrowed until deinit, and begun. */
void qe_rmq_families_init(struct qe_rmq_families *families, qe_rmq_number_fn *number, void *context,
                          struct qe_rmq_told *told);
void qe_rmq_families_deinit(struct qe_rmq_families *families); /* = {0} is fine; twice is safe */

/* RabbitMQ (3.10, 4.0) writes names as they are, so that a quote or a backslash in one breaks the
 * text format. A name is read as it stands, and, where there is no such queue, as the format says.
 *
 * Reads the next piece of the answer, cut anywhere: lines it does not know are passed over. Of
 * several lines about the same, the last counts. QE_ERR_PROTOCOL, with the line's number, for what
 * is no such text; QE_ERR_NOMEM. After a failure: deinit. Source: rabbitmq_prometheus,
 * /metrics/detailed; the text format 0.0.4. */
int qe_rmq_families_feed(struct qe_rmq_families *families, const char *text, size_t bytes,
                         struct qe_err *err) QE_MUST_CHECK;
/* There is no more: QE_ERR_PROTOCOL when the last line is cut short. The order of queues is kept
 * by qe_rmq_told_end(), which is the caller's, once it has taken what is told. */
int qe_rmq_families_end(struct qe_rmq_families *families, struct qe_err *err) QE_MUST_CHECK;

#endif
