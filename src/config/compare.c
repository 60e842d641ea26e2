/* What is the same after a reload, and which objective a queue has. */
#include <string.h>

#include "config/config.h"
#include "config/settings.h"

bool qe_source_settings_equal(const struct qe_source_settings *a,
                              const struct qe_source_settings *b)
{
    /* By name: after a reload the types may be another table of the same program. */
    return strcmp(a->type->name, b->type->name) == 0 &&
           qe_section_equal(&qe_section_source, a, b) &&
           qe_section_equal(a->type->section, a->driver_settings, b->driver_settings);
}

bool qe_consumer_settings_equal(const struct qe_consumer_settings *a,
                                const struct qe_consumer_settings *b)
{
    return qe_section_equal(&qe_section_consumer, a, b);
}

bool qe_objectives_equal(const struct qe_config *a, const struct qe_config *b)
{
    bool equal = a->objectives_count == b->objectives_count;

    for (size_t i = 0; equal && i < a->objectives_count; i++) {
        equal = qe_section_equal(&qe_section_objective, &a->objectives[i], &b->objectives[i]);
    }
    return equal;
}

static bool matches(const struct qe_regex *regex, const char *text)
{
    return regex == NULL || qe_regex_matches(regex, text == NULL ? "" : text);
}

double qe_config_objective(const void *context, const char *source, const char *vhost,
                           const char *queue)
{
    const struct qe_config *config = context;

    for (size_t i = 0; i < config->objectives_count; i++) {
        const struct qe_objective_settings *objective = &config->objectives[i];

        if (matches(objective->match.source, source) && matches(objective->match.vhost, vhost) &&
            matches(objective->match.queue, queue)) {
            return (double)objective->oldest_message_age_ms / 1000.0;
        }
    }
    return -1;
}
