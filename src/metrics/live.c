#include <stdbool.h>

#include "metrics/line_internal.h"
#include "metrics/live_internal.h"
#include "model/stats.h"

/* --- requests to the sources --- */

/* Starts the labels of the next line in the scratch buffer `labels`. */
static void begin_labels(struct qe_strbuf *out, struct qe_strbuf *labels, const char *source,
                         const char *operation)
{
    qe_line_check(out, labels);
    qe_strbuf_reset(labels);
    (void)qe_strbuf_append_char(labels, '{');
    qe_label_add(labels, "source", source);
    if (operation != NULL) {
        qe_label_word(labels, "operation", operation);
    }
}

static void render_api_failures(struct qe_strbuf *out, struct qe_strbuf *labels,
                                const struct qe_api_stats *api, size_t operation)
{
    for (int code = QE_OK + 1; code < QE_ERR_COUNT; code++) {
        if (code != QE_ERR_CANCELLED) {
            begin_labels(out, labels, api->source, api->operations[operation]);
            qe_label_word(labels, "reason", qe_err_code_name((enum qe_err_code)code));
            qe_line_u64(out, QE_FAMILY_API_REQUEST_FAILURES, qe_strbuf_text(labels),
                        qe_counter_get(&api->failures[operation][code]));
        }
    }
}

static void render_api_operations(struct qe_strbuf *out, struct qe_strbuf *labels,
                                  enum qe_family family, const struct qe_api_stats *api)
{
    for (size_t i = 0; i < api->operations_count; i++) {
        begin_labels(out, labels, api->source, api->operations[i]);
        if (family == QE_FAMILY_API_REQUESTS) {
            qe_line_u64(out, family, qe_strbuf_text(labels), qe_counter_get(&api->requests[i]));
        } else if (family == QE_FAMILY_API_REQUEST_DURATION) {
            qe_line_histogram(out, family, qe_strbuf_text(labels), &api->duration_seconds[i]);
        } else {
            render_api_failures(out, labels, api, i);
        }
    }
}

static void render_api_family(struct qe_strbuf *out, enum qe_family family,
                              const struct qe_stats *stats)
{
    struct qe_strbuf labels;

    qe_strbuf_init(&labels, 0);
    for (const struct qe_api_stats *api = qe_stats_first_api(stats); api != NULL; api = api->next) {
        if (!atomic_load(&api->active)) {
            continue;
        }
        if (family == QE_FAMILY_API_RETRIES || family == QE_FAMILY_API_THROTTLES) {
            begin_labels(out, &labels, api->source, NULL);
            qe_line_u64(
                out, family, qe_strbuf_text(&labels),
                qe_counter_get(family == QE_FAMILY_API_RETRIES ? &api->retries : &api->throttles));
        } else {
            render_api_operations(out, &labels, family, api);
        }
    }
    qe_line_check(out, &labels);
    qe_strbuf_deinit(&labels);
}

static void render_api(struct qe_strbuf *out, const struct qe_stats *stats, enum qe_format format)
{
    for (int i = QE_FAMILY_API_REQUESTS; i <= QE_FAMILY_API_THROTTLES; i++) {
        size_t before = out->length_bytes;

        qe_catalogue_header(out, (enum qe_family)i, format);
        size_t header_end = out->length_bytes;

        render_api_family(out, (enum qe_family)i, stats);
        if (out->length_bytes == header_end) {
            out->length_bytes = before; /* no sample, no header */
        }
    }
}

void qe_live_render(struct qe_strbuf *out, struct qe_stats *stats,
                    const struct qe_build_info *build, const struct qe_process *process,
                    enum qe_format format)
{
    if (stats != NULL) {
        render_api(out, stats, format);
        qe_live_render_consumers(out, stats, format);
    }
    qe_live_render_self(out, stats, build, process, format);
    if (format == QE_FORMAT_OPENMETRICS) {
        (void)qe_strbuf_append_text(out, "# EOF\n");
    }
}
