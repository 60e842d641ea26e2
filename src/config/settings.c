#include "config/settings.h"

#include "config/settings_internal.h"
#include "util/text.h"

#define POLL_TIMEOUT_DEFAULT_MS 10000
#define STALE_AFTER_INTERVALS 3

#define OBJECTIVES_MAX 1000
#define CONSUMERS_MAX 1000

/* The polling keys stand in `defaults` and in every source, which start from what `defaults` says:
 * there the table has no default of its own. */
#define POLL_OPTION(base, member, option_type, low, high, text, note, name, words)                 \
    {                                                                                              \
        .key = (name), .help = (words), .type = (option_type),                                     \
        .offset = (base) + offsetof(struct qe_poll_settings, member), .min = (low), .max = (high), \
        .default_text = (text), .default_note = (note)                                             \
    }
#define POLL_OPTIONS(base, interval, discovery, window, queues, note_timeout, note_stale, note)    \
    POLL_OPTION(base, poll_interval_ms, QE_OPT_DURATION, 100, DAY_MS, interval, note,              \
                "poll_interval", "Time between two polls of a source, give or take some jitter."), \
        POLL_OPTION(base, poll_timeout_ms, QE_OPT_DURATION, 100, HOUR_MS, NULL, note_timeout,      \
                    "poll_timeout", "One deadline for a whole poll; at most `poll_interval`."),    \
        POLL_OPTION(base, discovery_interval_ms, QE_OPT_DURATION, 100, DAY_MS, discovery, note,    \
                    "discovery_interval", "How often a source is asked which queues it has."),     \
        POLL_OPTION(base, stale_after_ms, QE_OPT_DURATION, 100, 30 * DAY_MS, NULL, note_stale,     \
                    "stale_after", STALE_AFTER_HELP),                                              \
        POLL_OPTION(base, state_window_ms, QE_OPT_DURATION, 0, DAY_MS, window, note,               \
                    "state_window", STATE_WINDOW_HELP),                                            \
        POLL_OPTION(base, max_queues, QE_OPT_UINT, 1, 1000000, queues, note, "max_queues",         \
                    MAX_QUEUES_HELP)
#define STALE_AFTER_HELP                                                                           \
    "Age at which the last good reading of a queue disappears; at least `poll_interval`."
#define STATE_WINDOW_HELP                                                                          \
    "How much of its past `queue_state` judges a queue by, and at least 4 readings; `0s`: no "     \
    "`queue_state`."
#define MAX_QUEUES_HELP                                                                            \
    "Most queues of one source that are watched; dead-letter queues are always kept."

static const struct qe_option s_defaults_options[] = {
    POLL_OPTIONS(0, "30s", "5m", "5m", "5000", "`10s`, or `poll_interval` where that is less",
                 "3 × `poll_interval`", NULL),
};

const struct qe_section qe_section_defaults = {
    .name = "defaults",
    .size_bytes = sizeof(struct qe_poll_settings),
    .options = s_defaults_options,
    .options_count = COUNT_OF(s_defaults_options),
    .rules = {qe_poll_timeout_rule, qe_poll_stale_rule},
};

static const struct qe_option s_source_options[] = {
    {.key = "name",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_source_settings, name),
     .required = true,
     .example = "local",
     .min = 1,
     .max = 128,
     .help = "Name of this source: the `source` label, and what `consumers` refer to. Unique."},
    {.key = "type",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_source_settings, type_name),
     .required = true,
     .help = "Kind of broker; decides which further keys there are."},
    {.key = "include",
     .type = QE_OPT_REGEX_LIST,
     .offset = offsetof(struct qe_source_settings, include),
     .default_note = "every queue",
     .help = "Watch only queues whose whole name matches one of these."},
    {.key = "exclude",
     .type = QE_OPT_REGEX_LIST,
     .offset = offsetof(struct qe_source_settings, exclude),
     .default_note = "no queue",
     .help = "Do not watch queues whose whole name matches one of these."},
    {.key = "dead_letter_queues",
     .type = QE_OPT_REGEX_LIST,
     .offset = offsetof(struct qe_source_settings, dead_letter_queues),
     .default_note = "those that a queue of the source says to be",
     .help =
         "Further dead-letter queues: needed where the queues that use them are not watched and "
         "their settings not read."},
    POLL_OPTIONS(offsetof(struct qe_source_settings, poll), NULL, NULL, NULL, NULL,
                 "as in `defaults`", "as in `defaults`", "as in `defaults`"),
};

const struct qe_section qe_section_source = {
    .name = "sources",
    .size_bytes = sizeof(struct qe_source_settings),
    .options = s_source_options,
    .options_count = COUNT_OF(s_source_options),
};

static const struct qe_option s_match_options[] = {
    {.key = "source",
     .type = QE_OPT_REGEX,
     .offset = offsetof(struct qe_objective_match, source),
     .default_note = "any",
     .help = "Regular expression on the whole name of the source."},
    {.key = "vhost",
     .type = QE_OPT_REGEX,
     .offset = offsetof(struct qe_objective_match, vhost),
     .default_note = "any",
     .help = "Regular expression on the whole vhost; empty where the broker has none."},
    {.key = "queue",
     .type = QE_OPT_REGEX,
     .offset = offsetof(struct qe_objective_match, queue),
     .default_note = "any",
     .help = "Regular expression on the whole name of the queue."},
};

static const struct qe_section s_match_section = {
    .name = "match",
    .size_bytes = sizeof(struct qe_objective_match),
    .options = s_match_options,
    .options_count = COUNT_OF(s_match_options),
};

static const struct qe_option s_objective_options[] = {
    {.key = "match",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_objective_settings, match),
     .section = &s_match_section,
     .help = "Which queues; without it, all that no earlier objective took."},
    {.key = "oldest_message_age",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_objective_settings, oldest_message_age_ms),
     .required = true,
     .min = 1,
     .max = 366 * DAY_MS,
     .help = "No message should wait longer: `queue_objective_oldest_message_age_seconds`."},
};

const struct qe_section qe_section_objective = {
    .name = "objectives",
    .size_bytes = sizeof(struct qe_objective_settings),
    .options = s_objective_options,
    .options_count = COUNT_OF(s_objective_options),
};

/* In the order of parsing: sources start from what `defaults` says. */
static const struct qe_option s_root_options[] = {
    {.key = "shutdown_timeout",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_root_settings, shutdown_timeout_ms),
     .default_text = "30s",
     .min = 0,
     .max = HOUR_MS,
     .help = "How long running handlers may finish after SIGTERM or SIGINT."},
    {.key = "defaults",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_root_settings, defaults),
     .section = &qe_section_defaults,
     .help = "Polling, for every source that does not say otherwise."},
    {.key = "sources",
     .type = QE_OPT_SECTION_LIST,
     .offset = offsetof(struct qe_root_settings, sources),
     .max = QE_CONFIG_SOURCES_MAX,
     .section = &qe_section_source,
     .help = "Brokers to watch; at least one."},
    {.key = "objectives",
     .type = QE_OPT_SECTION_LIST,
     .offset = offsetof(struct qe_root_settings, objectives),
     .max = OBJECTIVES_MAX,
     .section = &qe_section_objective,
     .help = "What is promised for queues; the first that matches a queue wins."},
    {.key = "consumers",
     .type = QE_OPT_SECTION_LIST,
     .offset = offsetof(struct qe_root_settings, consumers),
     .max = CONSUMERS_MAX,
     .section = &qe_section_consumer,
     .help = "Queues to work on."},
};

const struct qe_section qe_section_root = {
    .name = "the configuration",
    .size_bytes = sizeof(struct qe_root_settings),
    .options = s_root_options,
    .options_count = COUNT_OF(s_root_options),
};

void qe_poll_settings_resolve(struct qe_poll_settings *poll)
{
    if (poll->poll_timeout_ms == 0) {
        poll->poll_timeout_ms = poll->poll_interval_ms < POLL_TIMEOUT_DEFAULT_MS
                                    ? poll->poll_interval_ms
                                    : POLL_TIMEOUT_DEFAULT_MS;
    }
    if (poll->stale_after_ms == 0) {
        poll->stale_after_ms = STALE_AFTER_INTERVALS * poll->poll_interval_ms;
    }
}

int qe_poll_timeout_rule(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_poll_settings *poll = settings;
    char timeout[32];
    char interval[32];

    if (poll->poll_timeout_ms <= poll->poll_interval_ms) {
        return 0;
    }
    *out_key = "poll_timeout";
    return qe_err_set(err, QE_ERR_INVALID, "%s is longer than poll_interval (%s)",
                      qe_text_from_duration(poll->poll_timeout_ms, timeout),
                      qe_text_from_duration(poll->poll_interval_ms, interval));
}

int qe_poll_stale_rule(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_poll_settings *poll = settings;
    char stale[32];
    char interval[32];

    if (poll->stale_after_ms == 0 || poll->stale_after_ms >= poll->poll_interval_ms) {
        return 0;
    }
    *out_key = "stale_after";
    return qe_err_set(err, QE_ERR_INVALID, "%s is shorter than poll_interval (%s)",
                      qe_text_from_duration(poll->stale_after_ms, stale),
                      qe_text_from_duration(poll->poll_interval_ms, interval));
}
