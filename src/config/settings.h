/* The option tables of what is not a driver's: defaults, sources, objectives, consumers. */
#ifndef QE_CONFIG_SETTINGS_H
#define QE_CONFIG_SETTINGS_H

#include "config/config.h"
#include "config/option.h"

#define QE_CONFIG_SOURCES_MAX 256 /* as many as the store has room for */

#define QE_CONFIG_BATCHES_MAX 16384 /* workers x batch.size, as the consumer has it */

/* The file's top level; `sources`, `objectives` and `consumers` hold the structs of config.h. */
struct qe_root_settings {
    int64_t shutdown_timeout_ms;
    struct qe_poll_settings defaults; /* 0 where not set and without a fixed default */
    struct qe_section_list sources;
    struct qe_section_list objectives;
    struct qe_section_list consumers;
};

extern const struct qe_section qe_section_root;
extern const struct qe_section qe_section_defaults;  /* struct qe_poll_settings */
extern const struct qe_section qe_section_source;    /* struct qe_source_settings, common keys */
extern const struct qe_section qe_section_objective; /* struct qe_objective_settings */
extern const struct qe_section qe_section_consumer;  /* struct qe_consumer_settings */

/* What `reasons` may not name; NULL-terminated. */
extern const char *const qe_config_reserved_reasons[];

/* Fills what depends on other keys where it was not set. */
void qe_poll_settings_resolve(struct qe_poll_settings *poll);
void qe_handler_settings_resolve(struct qe_handler_settings *handler);
/* Rules of struct qe_poll_settings; what is 0 is not set yet. */
qe_rule_fn qe_poll_timeout_rule;
qe_rule_fn qe_poll_stale_rule;

/* Frees a source with its driver's settings. */
void qe_source_settings_deinit(struct qe_source_settings *source);

#endif
