#include <string.h>

#include "config/settings.h"
#include "config/settings_internal.h"
#include "util/text.h"

/* Each is a series of its own, twice per queue. */
#define REASONS_MAX 20
#define REASON_MAX_BYTES 40
#define REASON_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789_"

static const struct qe_option s_retry_options[] = {
    {.key = "initial",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_retry_settings, initial_ms),
     .default_text = "1s",
     .min = 0,
     .max = 12 * HOUR_MS,
     .help = "Delay before a failed message is delivered again, doubled with every receive."},
    {.key = "max",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_retry_settings, max_ms),
     .default_text = "5m",
     .min = 0,
     .max = 12 * HOUR_MS,
     .help = "Longest such delay; at least `initial`."},
    {.key = "max_receives",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct qe_retry_settings, max_receives),
     .default_text = "0",
     .min = 0,
     .max = 1000000,
     .help = "Receives after which the consumer dead-letters a failing message; `0` leaves that to "
             "the queue's own policy."},
};

static int check_retry(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_retry_settings *retry = settings;
    char initial[32];

    if (retry->max_ms >= retry->initial_ms) {
        return 0;
    }
    *out_key = "max";
    return qe_err_set(err, QE_ERR_INVALID, "is less than initial (%s)",
                      qe_text_from_duration(retry->initial_ms, initial));
}

static const struct qe_section s_retry_section = {
    .name = "retry",
    .size_bytes = sizeof(struct qe_retry_settings),
    .options = s_retry_options,
    .options_count = COUNT_OF(s_retry_options),
    .rules = {check_retry},
};

/* Label values that are there anyway. Those of model/stats.h, which this floor does not know; a
 * test holds them together. */
const char *const qe_config_reserved_reasons[] = {"handler_error", "permanent", "timeout",
                                                  "max_receives",  "internal",  NULL};

static bool is_reserved(const char *word)
{
    bool reserved = false;

    for (size_t i = 0; qe_config_reserved_reasons[i] != NULL; i++) {
        reserved = reserved || strcmp(word, qe_config_reserved_reasons[i]) == 0;
    }
    return reserved;
}

static int check_reasons(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_text_list *reasons = &((const struct qe_consumer_settings *)settings)->reasons;

    *out_key = "reasons";
    for (size_t i = 0; i < reasons->count; i++) {
        const char *word = reasons->items[i];

        if (strspn(word, REASON_CHARACTERS) != strlen(word) || word[0] < 'a' || word[0] > 'z' ||
            strlen(word) > REASON_MAX_BYTES) {
            return qe_err_set(
                err, QE_ERR_INVALID,
                "\"%s\" is no such word: a letter first, then a-z, 0-9 and _, at most "
                "%d in all",
                word, REASON_MAX_BYTES);
        }
        if (is_reserved(word)) {
            return qe_err_set(err, QE_ERR_INVALID, "\"%s\" is built in: leave it out", word);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(word, reasons->items[j]) == 0) {
                return qe_err_set(err, QE_ERR_INVALID, "\"%s\" stands there twice", word);
            }
        }
    }
    return 0;
}

static const char *const s_deliveries[] = {"at_least_once", "at_most_once", "effectively_once",
                                           NULL};

static const struct qe_option s_consumer_options[] = {
    {.key = "source",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_consumer_settings, source),
     .required = true,
     .min = 1,
     .max = 128,
     .help = "Name of the source to receive from."},
    {.key = "vhost",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_consumer_settings, vhost),
     .default_text = "",
     .min = 0,
     .max = 255,
     .help = "Where the broker has vhosts."},
    {.key = "queue",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_consumer_settings, queue),
     .required = true,
     .min = 1,
     .max = 255,
     .help = "Queue to work on; one consumer per queue."},
    {.key = "workers",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct qe_consumer_settings, workers),
     .default_text = "4",
     .min = 1,
     .max = 1024,
     .help = "Messages handled at the same time."},
    {.key = "handler",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_consumer_settings, handler),
     .required = true,
     .section = &qe_section_handler,
     .help = "What is done with a message."},
    {.key = "reasons",
     .type = QE_OPT_TEXT_LIST,
     .offset = offsetof(struct qe_consumer_settings, reasons),
     .default_note = "none",
     .max = REASONS_MAX,
     .help =
         "Reasons that the handler may give beside the built-in ones, as values of the `reason` "
         "label: `[bad_address, downstream]`."},
    {.key = "max_handling_time",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_consumer_settings, max_handling_time_ms),
     .default_text = "5m",
     .min = 1,
     .max = 12 * HOUR_MS,
     .help = "A handler that takes longer has failed; until then its message stays invisible."},
    {.key = "retry",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_consumer_settings, retry),
     .section = &s_retry_section,
     .help = "What happens to a message whose handling failed."},
    {.key = "delivery",
     .type = QE_OPT_CHOICE,
     .offset = offsetof(struct qe_consumer_settings, delivery),
     .default_text = "at_least_once",
     .choices = s_deliveries,
     .help = "`at_least_once`: acknowledged after the handler, so none is lost and one may be "
             "handled twice. `effectively_once`: that, and what was handled is not handled again. "
             "`at_most_once`: acknowledged **before** the handler: **what fails or is cut short is "
             "lost**."},
    {.key = "deduplication",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_consumer_settings, deduplication),
     .section = &qe_section_deduplication,
     .help = "How `effectively_once` knows what was handled."},
    {.key = "dead_letter",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_consumer_settings, dead_letter),
     .section = &qe_section_consumer_dead_letter,
     .help = "A dead-letter queue of this consumer's, where the queue has none."},
    {.key = "reply_to_queues",
     .type = QE_OPT_REGEX_LIST,
     .offset = offsetof(struct qe_consumer_settings, reply_to_queues),
     .default_note = "any queue",
     .help = "Send replies only to queues whose whole name matches one of these. Whoever sends a "
             "message names its reply queue, so set this where not all of them are trusted."},
    {.key = "batch",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_consumer_settings, batch),
     .section = &qe_section_batch,
     .help = "Several messages for one call of the handler, with a result for each."},
    {.key = "order_by",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_consumer_settings, order_by),
     .default_text = "",
     .default_note = "the broker's own groups",
     .max = 256,
     .help =
         "Attribute: messages of the same value are handled one after the other, in order, also "
         "after a failure, which holds the others of its value only."},
    {.key = "rate_limit",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_consumer_settings, rate_limit),
     .default_text = "0",
     .min = 0,
     .max = 1000000,
     .help = "Messages received per second, at most, but for those that go back unhandled; after a "
             "pause one second's worth at once. `0`: no limit."},
    {.key = "circuit_breaker",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_consumer_settings, circuit_breaker),
     .section = &qe_section_circuit_breaker,
     .help = "Stops receiving while handling fails: `queue_consumer_circuit_state`."},
    {.key = "max_in_hand",
     .type = QE_OPT_SIZE,
     .offset = offsetof(struct qe_consumer_settings, max_in_hand_bytes),
     .default_text = "64MiB",
     .min = 65536,
     .max = 68719476736.0,
     .help = "Message bodies, and replies that wait to be sent, in memory at the same time, "
             "whatever the backlog; one that is larger is handled alone. A `workers`th of it is "
             "how long the answer to a batch may be."},
};

const struct qe_section qe_section_consumer = {
    .name = "consumers",
    .size_bytes = sizeof(struct qe_consumer_settings),
    .options = s_consumer_options,
    .options_count = COUNT_OF(s_consumer_options),
    .rules = {check_reasons, qe_consumer_delivery_rule, qe_consumer_time_rule,
              qe_consumer_batch_rule, qe_consumer_dead_letter_rule},
    .unused = qe_consumer_unused,
};
