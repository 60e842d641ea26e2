/* How a consumer delivers: what its sections `deduplication`, `dead_letter`, `batch` and
 * `circuit_breaker` may say, and which keys go together. */
#include <string.h>

#include "config/settings.h"
#include "config/settings_internal.h"
#include "util/json.h"
#include "util/text.h"

#define BATCH_SIZE_MAX 1000

static const struct qe_option s_deduplication_options[] = {
    {.key = "store",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_deduplication_settings, store),
     .required = true,
     .min = 1,
     .max = 4096,
     .help = "SQLite file for the keys of what was handled, created when missing; consumers and "
             "other processes may share it. `:memory:` ends with the consumer, also at a reload."},
    {.key = "attribute",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_deduplication_settings, attribute),
     .default_text = "",
     .default_note = "the message's id",
     .max = 256,
     .help = "The key is the value of this attribute."},
    {.key = "pointer",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_deduplication_settings, pointer),
     .default_text = "",
     .default_note = "the message's id",
     .max = 1024,
     .help = "The key is what this JSON pointer finds in the body: `/order/id`."},
    {.key = "window",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_deduplication_settings, window_ms),
     .default_text = "1d",
     .min = 1000,
     .max = 366 * DAY_MS,
     .help = "How long a key is remembered; longer than a message may come back."},
};

static int check_deduplication(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_deduplication_settings *deduplication = settings;

    if (deduplication->store == NULL) {
        return 0; /* the section is absent */
    }
    *out_key = "pointer";
    if (deduplication->pointer[0] != '\0' && deduplication->attribute[0] != '\0') {
        return qe_err_set(err, QE_ERR_INVALID,
                          "the key comes from an attribute or from the body: leave one out");
    }
    return qe_json_pointer_is_valid(deduplication->pointer)
               ? 0
               : qe_err_set(err, QE_ERR_INVALID,
                            "\"%.100s\" is no JSON pointer: /order/id, with ~1 for / and ~0 for ~",
                            deduplication->pointer);
}

const struct qe_section qe_section_deduplication = {
    .name = "deduplication",
    .size_bytes = sizeof(struct qe_deduplication_settings),
    .options = s_deduplication_options,
    .options_count = COUNT_OF(s_deduplication_options),
    .rules = {check_deduplication},
};

static const struct qe_option s_dead_letter_options[] = {
    {.key = "queue",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_consumer_dead_letter_settings, queue),
     .required = true,
     .min = 1,
     .max = 255,
     .help = "Queue of the same source and vhost that dead letters are sent to, before they are "
             "acknowledged; instead of the queue's own dead-letter queue. It counts as "
             "the queue's dead-letter queue everywhere: metrics, `queuectl dlq`."},
};

const struct qe_section qe_section_consumer_dead_letter = {
    .name = "dead_letter",
    .size_bytes = sizeof(struct qe_consumer_dead_letter_settings),
    .options = s_dead_letter_options,
    .options_count = COUNT_OF(s_dead_letter_options),
};

static const struct qe_option s_batch_options[] = {
    {.key = "size",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct qe_batch_settings, size),
     .default_text = "1",
     .min = 1,
     .max = BATCH_SIZE_MAX,
     .help = "Messages that one call of the handler gets, at most; `exec` takes 1."},
    {.key = "wait",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_batch_settings, wait_ms),
     .default_text = "0s",
     .min = 0,
     .max = MINUTE_MS,
     .help = "How long part of a batch waits for more, but not past a quarter of the visibility."},
};

static const char *batch_unused(const void *settings, const char *key)
{
    const struct qe_batch_settings *batch = settings;

    return batch->size <= 1 && strcmp(key, "wait") == 0 ? "has no effect without a size above 1"
                                                        : NULL;
}

const struct qe_section qe_section_batch = {
    .name = "batch",
    .size_bytes = sizeof(struct qe_batch_settings),
    .options = s_batch_options,
    .options_count = COUNT_OF(s_batch_options),
    .unused = batch_unused,
};

static const struct qe_option s_circuit_breaker_options[] = {
    {.key = "failures",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct qe_circuit_breaker_settings, failures),
     .default_text = "0",
     .min = 0,
     .max = 1000000,
     .help = "After so many failures in a row nothing is received for `pause`; then one message "
             "probes. Rejections are no failures. `0`: never."},
    {.key = "pause",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_circuit_breaker_settings, pause_ms),
     .default_text = "30s",
     .min = 1,
     .max = HOUR_MS,
     .help = "How long nothing is received before a probe."},
};

static const char *circuit_breaker_unused(const void *settings, const char *key)
{
    const struct qe_circuit_breaker_settings *breaker = settings;

    return breaker->failures == 0 && strcmp(key, "pause") == 0 ? "has no effect without failures"
                                                               : NULL;
}

const struct qe_section qe_section_circuit_breaker = {
    .name = "circuit_breaker",
    .size_bytes = sizeof(struct qe_circuit_breaker_settings),
    .options = s_circuit_breaker_options,
    .options_count = COUNT_OF(s_circuit_breaker_options),
    .unused = circuit_breaker_unused,
};

/* --- which keys of a consumer go together --- */

int qe_consumer_delivery_rule(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_consumer_settings *consumer = settings;
    bool has_store = consumer->deduplication.store != NULL;
    bool is_once = consumer->delivery == QE_CONFIG_EFFECTIVELY_ONCE;

    if (is_once && !has_store) {
        *out_key = "delivery";
        return qe_err_set(err, QE_ERR_INVALID,
                          "effectively_once needs to remember what was handled: "
                          "deduplication: {store: /var/lib/queue-exporter/handled.db}");
    }
    return 0;
}

const char *qe_consumer_unused(const void *settings, const char *key)
{
    const struct qe_consumer_settings *consumer = settings;

    if (consumer->delivery != QE_CONFIG_EFFECTIVELY_ONCE && strcmp(key, "deduplication") == 0) {
        return "has no effect without delivery: effectively_once";
    }
    if (consumer->delivery == QE_CONFIG_AT_MOST_ONCE && strcmp(key, "retry") == 0) {
        return "has no effect with delivery: at_most_once, where nothing is tried again";
    }
    return NULL;
}

int qe_consumer_time_rule(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_consumer_settings *consumer = settings;
    char own[32];
    char most[32];

    *out_key = "handler";
    return consumer->handler.timeout_ms <= consumer->max_handling_time_ms
               ? 0
               : qe_err_set(err, QE_ERR_INVALID,
                            "timeout: %s is longer than max_handling_time (%s), which ends it "
                            "before",
                            qe_text_from_duration(consumer->handler.timeout_ms, own),
                            qe_text_from_duration(consumer->max_handling_time_ms, most));
}

int qe_consumer_batch_rule(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_consumer_settings *consumer = settings;

    *out_key = "batch";
    if (consumer->batch.size > 1 && !qe_handler_settings_take_batches(&consumer->handler)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "size: the handler takes one message at a time: use another one, or "
                          "size: 1");
    }
    return consumer->batch.size * consumer->workers <= QE_CONFIG_BATCHES_MAX
               ? 0
               : qe_err_set(err, QE_ERR_INVALID,
                            "size: with that many workers, more than %d messages would be handled "
                            "at the same time",
                            QE_CONFIG_BATCHES_MAX);
}

int qe_consumer_dead_letter_rule(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_consumer_settings *consumer = settings;
    const char *letters = consumer->dead_letter.queue;

    *out_key = "dead_letter";
    return letters == NULL || consumer->queue == NULL || strcmp(letters, consumer->queue) != 0
               ? 0
               : qe_err_set(err, QE_ERR_INVALID,
                            "queue: is the queue itself: what fails for good would come again");
}
