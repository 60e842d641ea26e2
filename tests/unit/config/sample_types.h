/* Two source types that no driver has, with every kind of option: for tests and the fuzz target. */
#ifndef QE_TESTS_UNIT_CONFIG_SAMPLE_TYPES_H
#define QE_TESTS_UNIT_CONFIG_SAMPLE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/config.h"

/* --- type "shelf": sections in lists in sections --- */

struct shelf_dead_letter {
    char *queue; /* NULL: no such section */
    uint64_t max_receives;
};
struct shelf_policy {
    uint64_t most; /* 0: not set */
};
struct shelf_queue {
    char *name;
    int64_t retention_ms;
    bool ordered;
    struct shelf_dead_letter dead_letter;
    struct shelf_policy policy;
};
struct shelf_settings {
    char *path;
    struct qe_section_list queues;
};

static const struct qe_option s_shelf_dead_letter_options[] = {
    {.key = "queue",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct shelf_dead_letter, queue),
     .required = true,
     .help = "Where to."},
    {.key = "max_receives",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct shelf_dead_letter, max_receives),
     .default_text = "5",
     .min = 1,
     .max = 1000,
     .help = "After how many receives."},
};
static const struct qe_section s_shelf_dead_letter = {
    .name = "dead_letter",
    .size_bytes = sizeof(struct shelf_dead_letter),
    .options = s_shelf_dead_letter_options,
    .options_count = 2,
};
static const struct qe_option s_shelf_policy_options[] = {
    {.key = "most",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct shelf_policy, most),
     .min = 1,
     .max = 10,
     .help = "At most."},
};
static const struct qe_section s_shelf_policy = {
    .name = "policy",
    .size_bytes = sizeof(struct shelf_policy),
    .options = s_shelf_policy_options,
    .options_count = 1,
};
static const struct qe_option s_shelf_queue_options[] = {
    {.key = "name",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct shelf_queue, name),
     .required = true,
     .min = 1,
     .max = 20,
     .help = "Name."},
    {.key = "retention",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct shelf_queue, retention_ms),
     .default_text = "4d",
     .min = 1000,
     .max = 1209600000,
     .help = "How long."},
    {.key = "ordered",
     .type = QE_OPT_BOOL,
     .offset = offsetof(struct shelf_queue, ordered),
     .default_text = "false",
     .help = "In order | or not."},
    {.key = "dead_letter",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct shelf_queue, dead_letter),
     .section = &s_shelf_dead_letter,
     .help = "What becomes of poison."},
    {.key = "policy",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct shelf_queue, policy),
     .section = &s_shelf_policy,
     .help = "Nothing in it has a default."},
};

static inline int shelf_check_queue(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct shelf_queue *queue = settings;

    if (queue->dead_letter.queue != NULL && strcmp(queue->dead_letter.queue, queue->name) == 0) {
        *out_key = "dead_letter";
        return qe_err_set(err, QE_ERR_INVALID, "a queue cannot be its own dead-letter queue");
    }
    return 0;
}

static const struct qe_section s_shelf_queue = {
    .name = "queues",
    .size_bytes = sizeof(struct shelf_queue),
    .options = s_shelf_queue_options,
    .options_count = 5,
    .rules = {shelf_check_queue},
};
static const struct qe_option s_shelf_options[] = {
    {.key = "path",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct shelf_settings, path),
     .required = true,
     .example = "queues.db",
     .help = "Where."},
    {.key = "queues",
     .type = QE_OPT_SECTION_LIST,
     .offset = offsetof(struct shelf_settings, queues),
     .max = 3,
     .section = &s_shelf_queue,
     .help = "Which."},
};
static const struct qe_section s_shelf = {
    .name = "shelf",
    .size_bytes = sizeof(struct shelf_settings),
    .options = s_shelf_options,
    .options_count = 2,
};

/* --- type "vault": secrets and the other kinds --- */

struct vault_settings {
    struct qe_secret *password;
    uint64_t buffer_bytes;
    double ratio;
    int mode;
    struct qe_text_list tags;
    struct qe_regex *owner;
    char *note;
    uint64_t seed;
};

static const char *const s_vault_modes[] = {"fast", "safe", NULL};
static const struct qe_option s_vault_options[] = {
    {.key = "password",
     .type = QE_OPT_SECRET,
     .offset = offsetof(struct vault_settings, password),
     .help = "Password."},
    {.key = "buffer",
     .type = QE_OPT_SIZE,
     .offset = offsetof(struct vault_settings, buffer_bytes),
     .default_text = "64KiB",
     .min = 1024,
     .max = 1 << 20,
     .help = "Buffer."},
    {.key = "ratio",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct vault_settings, ratio),
     .default_text = "0.5",
     .min = 0,
     .max = 1,
     .help = "Ratio."},
    {.key = "mode",
     .type = QE_OPT_CHOICE,
     .offset = offsetof(struct vault_settings, mode),
     .default_text = "safe",
     .choices = s_vault_modes,
     .help = "Mode."},
    {.key = "tags",
     .type = QE_OPT_TEXT_LIST,
     .offset = offsetof(struct vault_settings, tags),
     .max = 2,
     .help = "Tags."},
    {.key = "owner",
     .type = QE_OPT_REGEX,
     .offset = offsetof(struct vault_settings, owner),
     .help = "Owner."},
    {.key = "note",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct vault_settings, note),
     .help = "Any text."},
    {.key = "seed",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct vault_settings, seed),
     .help = "Any whole number."},
};
static const struct qe_section s_vault = {
    .name = "vault",
    .size_bytes = sizeof(struct vault_settings),
    .options = s_vault_options,
    .options_count = 8,
};

#define SAMPLE_TYPES_COUNT 2
static const struct qe_source_type s_sample_types[SAMPLE_TYPES_COUNT] = {
    {.name = "shelf", .section = &s_shelf},
    {.name = "vault", .section = &s_vault, .default_vhost = "main"},
};

/* Loads `text` as the file "c.yml". */
static inline struct qe_config *load_sample(const char *text, struct qe_strbuf *errors)
{
    return qe_config_load_text("c.yml", text, strlen(text), s_sample_types, SAMPLE_TYPES_COUNT,
                               errors);
}

/* Uses every key there is, but for secrets. */
#define SAMPLE_RICH                                                                                \
    "shutdown_timeout: 20s\n"                                                                      \
    "defaults:\n"                                                                                  \
    "  poll_interval: 20s\n"                                                                       \
    "  poll_timeout: 5s\n"                                                                         \
    "  discovery_interval: 1m\n"                                                                   \
    "  stale_after: 2m\n"                                                                          \
    "  max_queues: 100\n"                                                                          \
    "sources:\n"                                                                                   \
    "  - name: local\n"                                                                            \
    "    type: shelf\n"                                                                            \
    "    path: \"/tmp/a b.db\"\n"                                                                  \
    "    include: [\"orders-.*$\", \"a|b\"]\n"                                                     \
    "    exclude: ['.*-test']\n"                                                                   \
    "    dead_letter_queues: ['.*-failed']\n"                                                      \
    "    poll_interval: 10s\n"                                                                     \
    "    queues:\n"                                                                                \
    "      - name: orders\n"                                                                       \
    "        retention: 1h30m\n"                                                                   \
    "        ordered: true\n"                                                                      \
    "        dead_letter: {queue: orders-dlq, max_receives: 3}\n"                                  \
    "        policy: {most: 3}\n"                                                                  \
    "      - name: orders-dlq\n"                                                                   \
    "  - name: second\n"                                                                           \
    "    type: vault\n"                                                                            \
    "    buffer: 2KiB\n"                                                                           \
    "    ratio: 0.25\n"                                                                            \
    "    mode: fast\n"                                                                             \
    "    tags: [team, \"$${HOME} $$$$ $x\"]\n"                                                     \
    "    owner: \"a+$\"\n"                                                                         \
    "    note: \"quote \\\" back \\\\ \\u2028 \\u00e9 null\"\n"                                    \
    "    seed: 18446744073709551615\n"                                                             \
    "objectives:\n"                                                                                \
    "  - match: {source: \"lo.*\", vhost: \"\", queue: \"orders.*\"}\n"                            \
    "    oldest_message_age: 5m\n"                                                                 \
    "  - oldest_message_age: 1h\n"                                                                 \
    "consumers:\n"                                                                                 \
    "  - source: local\n"                                                                          \
    "    queue: orders\n"                                                                          \
    "    workers: 7\n"                                                                             \
    "    handler: {type: simulate, latency_p50: 10ms, latency_p99: 90ms, error_rate: 0.05, "       \
    "seed: 1}\n"                                                                                   \
    "    max_handling_time: 1m\n"                                                                  \
    "    retry: {initial: 2s, max: 4m, max_receives: 6}\n"                                         \
    "    delivery: at_least_once\n"                                                                \
    "  - {source: second, vhost: v, queue: orders, handler: {type: discard}}\n"

#endif
