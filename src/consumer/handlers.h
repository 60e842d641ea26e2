/* The handlers that there are, and what each is told. Every text that options point at is borrowed
 * and outlives the handler; arrays of texts and pairs are copied. */
#ifndef QE_CONSUMER_HANDLERS_H
#define QE_CONSUMER_HANDLERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/command.h"
#include "consumer/facts.h"
#include "consumer/handled.h"
#include "consumer/handler.h"

/* Succeeds at once. */
extern const struct qe_handler qe_handler_discard;

/* Pretends to work: log-normal latency through the two percentiles; a share error_rate of
 * deliveries fails (RETRY); a message with the attribute simulate=retry or simulate=reject always
 * fails so (poison). Same seed, same messages: same outcomes. */
struct qe_simulate_options {
    int64_t latency_p50_ms;
    int64_t latency_p99_ms;
    double error_rate;
    uint64_t seed;
};
extern const struct qe_handler qe_handler_simulate;
void *qe_handler_simulate_new(const struct qe_simulate_options *options,
                              struct qe_err *err) QE_MUST_CHECK;

/* What those that work outside of this process have in common. */
struct qe_handler_common {
    struct qe_origin origin;
    struct qe_reason_words reasons;
    int64_t timeout_ms; /* 0: the consumer's max_handling_time alone; else the sooner of the two */
    size_t reply_max_bytes;
    size_t batch_answer_max_bytes; /* one to a single message may be longer, by reply_max_bytes */
    uint64_t workers;
    bool in_batches; /* messages go out as lists, of whatever length */
};
/* When this call ends at the latest; *out_by_timeout: by the handler's own timeout. */
int64_t qe_handler_deadline(const struct qe_handler_common *common,
                            const struct qe_handling *handling, bool *out_by_timeout);

/* A process per message: the body on its standard input, facts as QUEUE_... in its environment.
 * Exit status 0 is done, 65 permanent, all else is tried again; its last line on standard error is
 * the detail, and a configured word before a colon there the label. */
struct qe_exec_options {
    struct qe_handler_common common;
    struct qe_program program;
};
extern const struct qe_handler qe_handler_exec;
void *qe_handler_exec_new(const struct qe_exec_options *options, struct qe_err *err) QE_MUST_CHECK;

/* A long-lived process per worker: one line of JSON in, one line of JSON out. Its protocol is in
 * consumer/exchange.h. */
struct qe_coprocess_options {
    struct qe_handler_common common;
    struct qe_program program;
};
extern const struct qe_handler qe_handler_coprocess;
void *qe_handler_coprocess_new(const struct qe_coprocess_options *options,
                               struct qe_err *err) QE_MUST_CHECK;

/* A POST per message: the body as it is, facts as X-Queue-... headers; 2xx is done. */
struct qe_http_handler_options {
    struct qe_handler_common common;
    const char *url;
    const struct qe_pair *headers;
    size_t headers_count;
    const char *ca_file; /* NULL: the system's */
    const char *cert_file;
    const char *key_file;
    bool posts_once; /* each on a connection of its own, since a kept one may be sent on again */
};
extern const struct qe_handler qe_handler_http;
void *qe_handler_http_new(const struct qe_http_handler_options *options,
                          struct qe_err *err) QE_MUST_CHECK;

#endif
