/* The option table of the embedded store, and the rules between its keys. */
#include <string.h>

#include "backend/embedded/internal.h"

static const char *const s_synchronous_names[] = {"full", "normal", NULL};

static const struct qe_option s_dead_letter_options[] = {
    {.key = "queue",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_embedded_dead_letter_settings, queue),
     .help = "Queue that takes messages received too often; created when missing."},
    {.key = "max_receives",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct qe_embedded_dead_letter_settings, max_receives),
     .min = 1,
     .max = 1000,
     .help = "Receives after which a message goes to `queue` instead of being delivered again."},
};

static int check_dead_letter(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_embedded_dead_letter_settings *dead_letter = settings;

    if (dead_letter->queue != NULL && dead_letter->max_receives == 0) {
        *out_key = "queue";
        return qe_err_set(err, QE_ERR_INVALID, "needs \"max_receives\" beside it");
    }
    if (dead_letter->queue == NULL && dead_letter->max_receives != 0) {
        *out_key = "max_receives";
        return qe_err_set(err, QE_ERR_INVALID, "needs \"queue\" beside it");
    }
    return 0;
}

static const struct qe_section s_dead_letter_section = {
    .name = "dead_letter",
    .size_bytes = sizeof(struct qe_embedded_dead_letter_settings),
    .options = s_dead_letter_options,
    .options_count = sizeof(s_dead_letter_options) / sizeof(s_dead_letter_options[0]),
    .rules = {check_dead_letter},
};

#define DAY_MS 86400000.0

static const struct qe_option s_queue_options[] = {
    {.key = "name",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_embedded_queue_settings, name),
     .required = true,
     .help = "Name of the queue, at most 255 bytes, no control characters."},
    {.key = "visibility_timeout",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_embedded_queue_settings, visibility_timeout_ms),
     .default_text = "30s",
     .min = 1,
     .max = DAY_MS / 2,
     .help = "How long a received message stays hidden from others."},
    {.key = "retention",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_embedded_queue_settings, retention_ms),
     .default_text = "4d",
     .min = 1,
     .max = 3650 * DAY_MS,
     .help = "Age at which a message is removed, counted from its arrival in this queue."},
    {.key = "delay",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_embedded_queue_settings, delay_ms),
     .default_text = "0s",
     .min = 0,
     .max = 365 * DAY_MS,
     .help = "Delay before a sent message can be received, unless the sender gives its own."},
    {.key = "ordered",
     .type = QE_OPT_BOOL,
     .offset = offsetof(struct qe_embedded_queue_settings, ordered),
     .default_text = "false",
     .help = "Deliver each message group in order, one message of a group in flight at a time."},
    {.key = "deduplication_window",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_embedded_queue_settings, deduplication_window_ms),
     .default_text = "5m",
     .min = 0,
     .max = 30 * DAY_MS,
     .help = "A deduplication id sent again within this time is accepted and not added; `0` "
             "switches that off."},
    {.key = "dead_letter",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_embedded_queue_settings, dead_letter),
     .section = &s_dead_letter_section,
     .help = "Where messages go that cannot be handled."},
};

/* NULL, or what is wrong with the name. */
static const char *name_fault(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > QE_EMBEDDED_QUEUE_NAME_MAX_BYTES) {
        return "must have 1 to 255 bytes";
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return "must not hold control characters";
        }
    }
    return qe_text_is_utf8(name, length) ? NULL : "must be UTF-8";
}

static int check_queue(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_embedded_queue_settings *queue = settings;
    const char *fault = name_fault(queue->name);

    if (fault != NULL) {
        *out_key = "name";
        return qe_err_set(err, QE_ERR_INVALID, "%s", fault);
    }
    if (queue->dead_letter.queue == NULL) {
        return 0;
    }
    *out_key = "dead_letter";
    fault = name_fault(queue->dead_letter.queue);
    if (fault != NULL) {
        return qe_err_set(err, QE_ERR_INVALID, "queue %s", fault);
    }
    if (strcmp(queue->dead_letter.queue, queue->name) == 0) {
        return qe_err_set(err, QE_ERR_INVALID, "queue \"%s\" cannot dead-letter into itself",
                          queue->name);
    }
    *out_key = NULL;
    return 0;
}

static const struct qe_section s_queue_section = {
    .name = "queues",
    .size_bytes = sizeof(struct qe_embedded_queue_settings),
    .options = s_queue_options,
    .options_count = sizeof(s_queue_options) / sizeof(s_queue_options[0]),
    .rules = {check_queue},
};

static const struct qe_option s_options[] = {
    {.key = "path",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_embedded_settings, path),
     .required = true,
     .example = "queues.db",
     .help = "The store's file, created when missing; or `\":memory:\"`, gone when the process "
             "ends."},
    {.key = "synchronous",
     .type = QE_OPT_CHOICE,
     .offset = offsetof(struct qe_embedded_settings, synchronous),
     .default_text = "full",
     .choices = s_synchronous_names,
     .help = "`full`: an accepted message survives a power cut; `normal`: only a crash, and three "
             "times as fast."},
    {.key = "queues",
     .type = QE_OPT_SECTION_LIST,
     .offset = offsetof(struct qe_embedded_settings, queues),
     .max = QE_EMBEDDED_QUEUES_MAX,
     .section = &s_queue_section,
     .help = "Queues to create when missing; existing ones take these settings."},
};

static int check_store(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_embedded_settings *store = settings;
    const struct qe_embedded_queue_settings *queues = store->queues.items;

    if (store->path[0] == '\0') {
        *out_key = "path";
        return qe_err_set(err, QE_ERR_INVALID, "must name a file, or be \":memory:\"");
    }
    for (size_t i = 0; i < store->queues.count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(queues[i].name, queues[j].name) == 0) {
                *out_key = "queues";
                return qe_err_set(err, QE_ERR_INVALID, "queue \"%s\" appears twice",
                                  queues[i].name);
            }
        }
    }
    return 0;
}

const struct qe_section qe_embedded_section = {
    .name = "embedded",
    .size_bytes = sizeof(struct qe_embedded_settings),
    .options = s_options,
    .options_count = sizeof(s_options) / sizeof(s_options[0]),
    .rules = {check_store},
};
