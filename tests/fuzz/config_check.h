/* What both configuration targets promise: a reason exactly when it fails; and what loads prints to
 * a file that loads to the same settings. Included once by each. */
#ifndef QE_TESTS_FUZZ_CONFIG_CHECK_H
#define QE_TESTS_FUZZ_CONFIG_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "util/strbuf.h"

static void require(int condition, const char *what, const char *text)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n%s\n", what, text);
        abort();
    }
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

/* A secret is printed as <secret>, and read back as a secret of that word. */
static void check_round_trip(const struct qe_config *config)
{
    struct qe_strbuf printed;
    struct qe_strbuf reprinted;
    struct qe_strbuf errors;

    qe_strbuf_init(&printed, 0);
    qe_strbuf_init(&reprinted, 0);
    qe_strbuf_init(&errors, 0);
    require(qe_config_print(config, &printed) == 0, "print", "");
    if (printed.length_bytes <= QE_CONFIG_FILE_MAX_BYTES) {
        struct qe_config *again =
            qe_config_load_text("printed.yml", qe_strbuf_text(&printed), printed.length_bytes,
                                config->types, config->types_count, &errors);

        require(again != NULL, qe_strbuf_text(&errors), qe_strbuf_text(&printed));
        require(qe_config_print(again, &reprinted) == 0, "print", "");
        require(strcmp(qe_strbuf_text(&printed), qe_strbuf_text(&reprinted)) == 0,
                "prints to something else", qe_strbuf_text(&reprinted));
        require(strstr(qe_strbuf_text(&printed), "<secret>") != NULL || same_config(config, again),
                "loads to other settings", qe_strbuf_text(&printed));
        qe_config_destroy(again);
    }
    qe_strbuf_deinit(&printed);
    qe_strbuf_deinit(&reprinted);
    qe_strbuf_deinit(&errors);
}

static void check_config(const char *text, size_t bytes, const struct qe_source_type *types,
                         size_t types_count)
{
    struct qe_strbuf errors;

    qe_strbuf_init(&errors, 0);
    struct qe_config *config =
        qe_config_load_text("fuzz.yml", text, bytes, types, types_count, &errors);

    require((config == NULL) == (errors.length_bytes > 0), "a reason exactly when it fails",
            qe_strbuf_text(&errors));
    if (config != NULL) {
        check_round_trip(config);
    }
    qe_config_destroy(config);
    qe_strbuf_deinit(&errors);
}

#endif
