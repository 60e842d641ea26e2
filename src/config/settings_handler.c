#include "config/settings.h"
#include "config/settings_internal.h"
#include "util/text.h"

#define P99_PER_P50 10

static const char *const s_handler_types[] = {"discard", "simulate", NULL};

static const struct qe_option s_handler_options[] = {
    {.key = "type",
     .type = QE_OPT_CHOICE,
     .offset = offsetof(struct qe_handler_settings, type),
     .required = true,
     .choices = s_handler_types,
     .help = "`discard` acknowledges at once; `simulate` pretends to work."},
    {.key = "latency_p50",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_handler_settings, latency_p50_ms),
     .default_text = "20ms",
     .min = 0,
     .max = HOUR_MS,
     .help = "`simulate`: half of the messages take less."},
    {.key = "latency_p99",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_handler_settings, latency_p99_ms),
     .default_note = "10 × `latency_p50`",
     .min = 0,
     .max = 10 * HOUR_MS,
     .help = "`simulate`: one message in a hundred takes longer; at least `latency_p50`."},
    {.key = "error_rate",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_handler_settings, error_rate),
     .default_text = "0",
     .min = 0,
     .max = 1,
     .help = "`simulate`: the share of deliveries that fail."},
    {.key = "seed",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct qe_handler_settings, seed),
     .default_text = "0",
     .help = "`simulate`: the same seed gives the same outcomes; `0` gives others each time."},
};

static int check_handler(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_handler_settings *handler = settings;
    char p50[32];

    if (handler->latency_p99_ms == 0 || handler->latency_p99_ms >= handler->latency_p50_ms) {
        return 0;
    }
    *out_key = "latency_p99";
    return qe_err_set(err, QE_ERR_INVALID, "is less than latency_p50 (%s)",
                      qe_text_from_duration(handler->latency_p50_ms, p50));
}

const struct qe_section qe_section_handler = {
    .name = "handler",
    .size_bytes = sizeof(struct qe_handler_settings),
    .options = s_handler_options,
    .options_count = COUNT_OF(s_handler_options),
    .rules = {check_handler},
};

void qe_handler_settings_resolve(struct qe_handler_settings *handler)
{
    if (handler->latency_p99_ms == 0) {
        handler->latency_p99_ms = P99_PER_P50 * handler->latency_p50_ms;
    }
}
