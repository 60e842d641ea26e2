/* What the files of option tables share. */
#ifndef QE_CONFIG_SETTINGS_INTERNAL_H
#define QE_CONFIG_SETTINGS_INTERNAL_H

#include "config/config.h"
#include "config/option.h"

#define SECOND_MS 1000.0
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

extern const struct qe_section qe_section_handler;       /* struct qe_handler_settings */
extern const struct qe_section qe_section_deduplication; /* struct qe_deduplication_settings */
extern const struct qe_section
    qe_section_consumer_dead_letter;             /* struct qe_consumer_dead_letter_settings */
extern const struct qe_section qe_section_batch; /* struct qe_batch_settings */
extern const struct qe_section qe_section_circuit_breaker; /* struct qe_circuit_breaker_settings */

/* Rules of struct qe_consumer_settings. */
qe_unused_fn qe_consumer_unused;
qe_rule_fn qe_consumer_delivery_rule;
qe_rule_fn qe_consumer_time_rule;
qe_rule_fn qe_consumer_batch_rule;
qe_rule_fn qe_consumer_dead_letter_rule;

/* Whether one call of the handler may get several messages. */
bool qe_handler_settings_take_batches(const struct qe_handler_settings *handler);

#endif
