#include <stdbool.h>

#include "metrics/line_internal.h"
#include "metrics/live_internal.h"
#include "model/stats.h"

/* Starts the labels of the next line in the scratch buffer `labels`. */
static void begin_labels(struct qe_strbuf *out, struct qe_strbuf *labels, const char *source)
{
    qe_line_check(out, labels);
    qe_strbuf_reset(labels);
    (void)qe_strbuf_append_char(labels, '{');
    qe_label_add(labels, "source", source);
}

/* --- by operation --- */

static void begin_operation(struct qe_strbuf *out, struct qe_strbuf *labels,
                            const struct qe_api_stats *api, size_t operation)
{
    begin_labels(out, labels, api->source);
    qe_label_word(labels, "operation", api->operations[operation]);
}

static void render_failures(struct qe_strbuf *out, struct qe_strbuf *labels,
                            const struct qe_api_stats *api, size_t operation)
{
    for (int code = QE_OK + 1; code < QE_ERR_COUNT; code++) {
        if (code != QE_ERR_CANCELLED) {
            begin_operation(out, labels, api, operation);
            qe_label_word(labels, "reason", qe_err_code_name((enum qe_err_code)code));
            qe_line_u64(out, QE_FAMILY_API_REQUEST_FAILURES, qe_strbuf_text(labels),
                        qe_counter_get(&api->failures[operation][code]));
        }
    }
}

static void render_operations(struct qe_strbuf *out, struct qe_strbuf *labels,
                              enum qe_family family, const struct qe_api_stats *api)
{
    for (size_t i = 0; i < api->operations_count; i++) {
        if (family == QE_FAMILY_API_REQUEST_FAILURES) {
            render_failures(out, labels, api, i);
            continue;
        }
        begin_operation(out, labels, api, i);
        if (family == QE_FAMILY_API_REQUESTS) {
            qe_line_u64(out, family, qe_strbuf_text(labels), qe_counter_get(&api->requests[i]));
        } else {
            qe_line_histogram(out, family, qe_strbuf_text(labels), &api->duration_seconds[i]);
        }
    }
}

/* --- by service: what its owner charges for --- */

static double value_of_service(enum qe_family family, const struct qe_api_stats *api,
                               size_t service)
{
    if (family == QE_FAMILY_API_BILLABLE_REQUESTS) {
        return (double)qe_counter_get(&api->billable_requests[service]);
    }
    if (family == QE_FAMILY_API_COST) {
        return (double)qe_counter_get(&api->cost_nanodollars[service]) / 1e9;
    }
    return (double)atomic_load(&api->interval_stretch_permille[service]) / 1e3;
}

static void render_services(struct qe_strbuf *out, struct qe_strbuf *labels, enum qe_family family,
                            const struct qe_api_stats *api)
{
    for (size_t i = 0; i < api->services_count; i++) {
        begin_labels(out, labels, api->source);
        qe_label_word(labels, "service", api->services[i]);
        qe_line_double(out, family, qe_strbuf_text(labels), value_of_service(family, api, i));
    }
}

/* --- one value per source, where it is known --- */

static bool value_of_source(enum qe_family family, const struct qe_api_stats *api, double *out)
{
    if (family == QE_FAMILY_API_RETRIES) {
        *out = (double)qe_counter_get(&api->retries);
        return true;
    }
    if (family == QE_FAMILY_API_THROTTLES) {
        *out = (double)qe_counter_get(&api->throttles);
        return true;
    }
    if (family == QE_FAMILY_MONTHLY_BUDGET) {
        *out = (double)atomic_load(&api->monthly_budget_microdollars) / 1e6;
        return *out > 0;
    }
    if (family == QE_FAMILY_CLOCK_SKEW) {
        *out = (double)atomic_load(&api->clock_skew_ms) / 1e3;
        return atomic_load(&api->has_clock_skew);
    }
    if (family == QE_FAMILY_CREDENTIALS_EXPIRY) {
        *out = (double)atomic_load(&api->credentials_expiry_unix_ms) / 1e3;
        return atomic_load(&api->has_credentials);
    }
    /* QE_FAMILY_CREDENTIALS_REFRESH_FAILURES */
    *out = (double)atomic_load(&api->credentials_refresh_failures);
    return atomic_load(&api->renews_credentials);
}

static void render_source(struct qe_strbuf *out, struct qe_strbuf *labels, enum qe_family family,
                          const struct qe_api_stats *api)
{
    double value = 0;

    if (value_of_source(family, api, &value)) {
        begin_labels(out, labels, api->source);
        qe_line_double(out, family, qe_strbuf_text(labels), value);
    }
}

/* --- all of them --- */

static void render_one(struct qe_strbuf *out, struct qe_strbuf *labels, enum qe_family family,
                       const struct qe_api_stats *api)
{
    if (family <= QE_FAMILY_API_REQUEST_DURATION) {
        render_operations(out, labels, family, api);
    } else if (family == QE_FAMILY_API_BILLABLE_REQUESTS || family == QE_FAMILY_API_COST ||
               family == QE_FAMILY_INTERVAL_STRETCH) {
        render_services(out, labels, family, api);
    } else {
        render_source(out, labels, family, api);
    }
}

void qe_live_render_api(struct qe_strbuf *out, const struct qe_stats *stats, enum qe_format format)
{
    struct qe_strbuf labels;

    qe_strbuf_init(&labels, 0);
    for (int i = QE_FAMILY_API_REQUESTS; i <= QE_FAMILY_CREDENTIALS_REFRESH_FAILURES; i++) {
        size_t before = out->length_bytes;

        qe_catalogue_header(out, (enum qe_family)i, format);
        size_t header_end = out->length_bytes;

        for (const struct qe_api_stats *api = qe_stats_first_api(stats); api != NULL;
             api = api->next) {
            if (atomic_load(&api->active)) {
                render_one(out, &labels, (enum qe_family)i, api);
            }
        }
        if (out->length_bytes == header_end) {
            out->length_bytes = before; /* no sample, no header */
        }
    }
    qe_line_check(out, &labels);
    qe_strbuf_deinit(&labels);
}
