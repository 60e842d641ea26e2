/* Any bytes as a configuration: no crash, no hang; and what loads must print to a file that loads
 * to the same settings. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit/config/sample_types.h"
#include "util/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what, const char *text)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n%s\n", what, text);
        abort();
    }
}

static int has_secret(const struct qe_config *config)
{
    for (size_t i = 0; i < config->sources_count; i++) {
        const struct qe_source_settings *source = &config->sources[i];

        if (source->type == &s_sample_types[1] &&
            ((const struct vault_settings *)source->driver_settings)->password != NULL) {
            return 1;
        }
    }
    return 0;
}

static int same_poll(const struct qe_poll_settings *a, const struct qe_poll_settings *b)
{
    return a->poll_interval_ms == b->poll_interval_ms && a->poll_timeout_ms == b->poll_timeout_ms &&
           a->discovery_interval_ms == b->discovery_interval_ms &&
           a->stale_after_ms == b->stale_after_ms && a->max_queues == b->max_queues;
}

static int same_config(const struct qe_config *a, const struct qe_config *b)
{
    int same = a->shutdown_timeout_ms == b->shutdown_timeout_ms &&
               same_poll(&a->defaults, &b->defaults) && a->sources_count == b->sources_count &&
               a->consumers_count == b->consumers_count && qe_objectives_equal(a, b);

    for (size_t i = 0; same && i < a->sources_count; i++) {
        same = qe_source_settings_equal(&a->sources[i], &b->sources[i]);
    }
    for (size_t i = 0; same && i < a->consumers_count; i++) {
        same = qe_consumer_settings_equal(&a->consumers[i], &b->consumers[i]);
    }
    return same;
}

static void check_round_trip(const struct qe_config *config)
{
    struct qe_strbuf printed;
    struct qe_strbuf errors;

    qe_strbuf_init(&printed, 0);
    qe_strbuf_init(&errors, 0);
    require(qe_config_print(config, &printed) == 0, "print", "");
    if (!has_secret(config) && printed.length_bytes <= QE_CONFIG_FILE_MAX_BYTES) {
        struct qe_config *again =
            qe_config_load_text("printed.yml", qe_strbuf_text(&printed), printed.length_bytes,
                                s_sample_types, SAMPLE_TYPES_COUNT, &errors);

        require(again != NULL, qe_strbuf_text(&errors), qe_strbuf_text(&printed));
        require(same_config(config, again), "loads to other settings", qe_strbuf_text(&printed));
        qe_config_destroy(again);
    }
    qe_strbuf_deinit(&printed);
    qe_strbuf_deinit(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qe_strbuf errors;

    qe_strbuf_init(&errors, 0);
    struct qe_config *config = qe_config_load_text("fuzz.yml", (const char *)data, size,
                                                   s_sample_types, SAMPLE_TYPES_COUNT, &errors);
    require((config == NULL) == (errors.length_bytes > 0), "a reason exactly when it fails",
            qe_strbuf_text(&errors));
    if (config != NULL) {
        check_round_trip(config);
    }
    qe_config_destroy(config);
    qe_strbuf_deinit(&errors);
    return 0;
}
