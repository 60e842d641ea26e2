/* The configuration file as typed settings. Loading reports every error in one run, each with
 * file:line:column. */
#ifndef QE_CONFIG_CONFIG_H
#define QE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/option.h"
#include "util/err.h"
#include "util/regex.h"
#include "util/secret.h"
#include "util/strbuf.h"

#define QE_CONFIG_FILE_MAX_BYTES ((size_t)1 << 20)
#define QE_CONFIG_DEPTH_MAX 32
#define QE_CONFIG_ERRORS_MAX 100 /* past that: "... and more" */

struct qe_poll_settings {
    int64_t poll_interval_ms;
    int64_t poll_timeout_ms;
    int64_t discovery_interval_ms;
    int64_t stale_after_ms;  /* resolved: 3 x poll_interval when not set */
    int64_t state_window_ms; /* 0: no queue_state */
    uint64_t max_queues;
};

/* A source `type` and the table of its own keys; app hands in one per driver. */
struct qe_source_type {
    const char *name;
    const struct qe_section *section;
    const char *default_vhost; /* what a queue named without a vhost is in; NULL: "" */
};

struct qe_source_settings {
    char *name;
    char *type_name;                   /* borrowed view of type->name is enough for most; owned */
    const struct qe_source_type *type; /* borrowed from the schema */
    struct qe_poll_settings poll;      /* file's `defaults`, overridden by the source's own keys */
    struct qe_regex_list include;      /* on the whole name; empty: everything */
    struct qe_regex_list exclude;
    struct qe_regex_list dead_letter_queues; /* beside those that links name */
    void *driver_settings;                   /* owned; the struct of type->section */
};

struct qe_retry_settings {
    int64_t initial_ms;
    int64_t max_ms;
    uint64_t max_receives; /* 0: leave it to the queue's own policy */
};

enum qe_handler_type {
    QE_HANDLER_DISCARD = 0,
    QE_HANDLER_SIMULATE,
    QE_HANDLER_EXEC,
    QE_HANDLER_COPROCESS,
    QE_HANDLER_HTTP
};
/* An environment variable or a header; its value may be a secret. */
struct qe_pair_settings {
    char *name;
    struct qe_secret *value;
};
struct qe_handler_settings {
    int type;                           /* enum qe_handler_type */
    struct qe_text_list command;        /* exec, coprocess */
    struct qe_section_list environment; /* exec, coprocess: struct qe_pair_settings */
    char *url;                          /* http, as all to key_file */
    struct qe_section_list headers;     /* struct qe_pair_settings */
    struct qe_secret *authorization;    /* NULL: none */
    char *ca_file;                      /* NULL: the system's */
    char *cert_file;
    char *key_file;
    int64_t timeout_ms; /* exec, coprocess, http; 0: max_handling_time */
    uint64_t max_reply_bytes;
    int64_t latency_p50_ms; /* simulate, as all below */
    int64_t latency_p99_ms;
    double error_rate; /* 0..1 */
    uint64_t seed;
};

/* As the consumer's own enum has it; a test holds them together. */
enum qe_config_delivery {
    QE_CONFIG_AT_LEAST_ONCE = 0,
    QE_CONFIG_AT_MOST_ONCE,
    QE_CONFIG_EFFECTIVELY_ONCE
};
struct qe_deduplication_settings {
    char *store;     /* NULL: the section is absent */
    char *attribute; /* "" none; both "": the message's id */
    char *pointer;
    int64_t window_ms;
};
struct qe_consumer_dead_letter_settings {
    char *queue; /* NULL: the section is absent */
};
struct qe_batch_settings {
    uint64_t size;
    int64_t wait_ms;
};
struct qe_circuit_breaker_settings {
    uint64_t failures; /* 0: none */
    int64_t pause_ms;
};

struct qe_consumer_settings {
    char *source;
    char *vhost; /* "" where the broker has none */
    char *queue;
    uint64_t workers;
    struct qe_handler_settings handler;
    struct qe_text_list reasons; /* that the handler may give beside the closed set */
    int64_t max_handling_time_ms;
    struct qe_retry_settings retry;
    int delivery; /* enum qe_config_delivery */
    struct qe_deduplication_settings deduplication;
    struct qe_consumer_dead_letter_settings dead_letter;
    struct qe_regex_list reply_to_queues; /* empty: any */
    struct qe_batch_settings batch;
    char *order_by;    /* "" none */
    double rate_limit; /* messages per second; 0: none */
    struct qe_circuit_breaker_settings circuit_breaker;
    uint64_t max_in_hand_bytes;
};

struct qe_objective_match {
    struct qe_regex *source; /* NULL: any */
    struct qe_regex *vhost;
    struct qe_regex *queue;
};
struct qe_objective_settings {
    struct qe_objective_match match;
    int64_t oldest_message_age_ms; /* 0: none */
};

struct qe_config {
    int64_t shutdown_timeout_ms;
    struct qe_poll_settings defaults;
    struct qe_source_settings *sources; /* owned */
    size_t sources_count;
    struct qe_objective_settings *objectives;
    size_t objectives_count;
    struct qe_consumer_settings *consumers;
    size_t consumers_count;
    const struct qe_source_type *types; /* borrowed from the caller of qe_config_load */
    size_t types_count;
};

/* Loads, expands ${ENV} and ${ENV:-default}, checks. On failure returns NULL and appends one line
 * per error to `errors`
 * ("file:line:column: message\n"); never a secret's value. Files named by x_file are read here.
 * `types` is borrowed for the life of the result. */
struct qe_config *qe_config_load(const char *path, const struct qe_source_type *types,
                                 size_t types_count, struct qe_strbuf *errors) QE_MUST_CHECK;
/* The same from memory; `name` stands for the file in messages. What the fuzz target calls. */
struct qe_config *qe_config_load_text(const char *name, const char *text, size_t text_bytes,
                                      const struct qe_source_type *types, size_t types_count,
                                      struct qe_strbuf *errors) QE_MUST_CHECK;
void qe_config_destroy(struct qe_config *config); /* accepts NULL and half-built */
/* The source of that name, borrowed from the configuration; NULL: there is none. Any thread. */
const struct qe_source_settings *qe_config_source(const struct qe_config *config, const char *name);

/* The effective configuration as YAML, defaults filled in, secrets as <secret>. */
int qe_config_print(const struct qe_config *config, struct qe_strbuf *out);

/* Same effective settings, secrets included: what reload compares to leave the unchanged running.
 */
bool qe_source_settings_equal(const struct qe_source_settings *a,
                              const struct qe_source_settings *b);
bool qe_consumer_settings_equal(const struct qe_consumer_settings *a,
                                const struct qe_consumer_settings *b);

bool qe_objectives_equal(const struct qe_config *a, const struct qe_config *b);

/* First matching objective in seconds, < 0 for none. `context` is the struct qe_config. (Shape of
 * qe_objective_fn.) */
double qe_config_objective(const void *context, const char *source, const char *vhost,
                           const char *queue);

/* The configuration reference in Markdown, made from the tables; the README carries it between
 * markers. */
int qe_config_reference(const struct qe_source_type *types, size_t types_count,
                        struct qe_strbuf *out);

#endif
