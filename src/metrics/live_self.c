#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "metrics/line_internal.h"
#include "metrics/live_internal.h"
#include "model/stats.h"
#include "util/log.h"

/* "name{handler="...",code="..."} " of every line: the same on each scrape, so made once. Copied at
 * full size, which compiles to a few moves. */
#define HTTP_PREFIX_BYTES 96
struct http_prefix {
    size_t length;
    char text[HTTP_PREFIX_BYTES];
};
static struct http_prefix s_http_prefixes[QE_HTTP_HANDLER_COUNT][QE_HTTP_CODES_COUNT];
static pthread_once_t s_http_prefixes_once = PTHREAD_ONCE_INIT;

static void fill_http_prefixes(void)
{
    for (size_t handler = 0; handler < QE_HTTP_HANDLER_COUNT; handler++) {
        for (size_t i = 0; i < QE_HTTP_CODES_COUNT; i++) {
            struct http_prefix *prefix = &s_http_prefixes[handler][i];
            int length =
                snprintf(prefix->text, sizeof prefix->text, "%s_total{handler=\"%s\",code=\"%u\"} ",
                         qe_catalogue[QE_FAMILY_HTTP_REQUESTS].name,
                         qe_http_handler_name((enum qe_http_handler)handler), qe_http_codes[i]);

            prefix->length =
                (size_t)length; /* words of ours: they fit, and a test reads them all */
        }
    }
}

static void render_http(struct qe_strbuf *out, const struct qe_process_stats *process,
                        enum qe_format format)
{
    const size_t room_bytes = (size_t)QE_HTTP_HANDLER_COUNT * QE_HTTP_CODES_COUNT *
                              (HTTP_PREFIX_BYTES + QE_NUMBER_MAX_BYTES + 1);

    (void)pthread_once(&s_http_prefixes_once, fill_http_prefixes);
    qe_catalogue_header(out, QE_FAMILY_HTTP_REQUESTS, format);
    char *begin = qe_strbuf_reserve(out, room_bytes);
    char *at = begin;

    for (size_t handler = 0; begin != NULL && handler < QE_HTTP_HANDLER_COUNT; handler++) {
        for (size_t i = 0; i < QE_HTTP_CODES_COUNT; i++) {
            const struct http_prefix *prefix = &s_http_prefixes[handler][i];

            memcpy(at, prefix->text, HTTP_PREFIX_BYTES);
            at += prefix->length;
            at += qe_number_write_u64(qe_counter_get(&process->http_requests[handler][i]), at);
            *at++ = '\n';
        }
    }
    if (begin != NULL) {
        *at = '\0';
        out->length_bytes += (size_t)(at - begin);
    }
}

static void render_log(struct qe_strbuf *out, enum qe_format format)
{
    qe_catalogue_header(out, QE_FAMILY_LOG_MESSAGES, format);
    for (size_t i = 0; i < QE_LOG_LEVEL_COUNT; i++) {
        qe_line_begin(out, QE_FAMILY_LOG_MESSAGES, "{");
        qe_label_word(out, "level", qe_log_level_name((enum qe_log_level)i));
        qe_line_end_u64(out, qe_log_count((enum qe_log_level)i));
    }
}

static void render_reload(struct qe_strbuf *out, const struct qe_process_stats *process,
                          enum qe_format format)
{
    int64_t unix_ms = atomic_load(&process->config_last_reload_success_unix_ms);

    qe_catalogue_header(out, QE_FAMILY_CONFIG_RELOAD_SUCCESSFUL, format);
    qe_line_u64(out, QE_FAMILY_CONFIG_RELOAD_SUCCESSFUL, "",
                atomic_load(&process->config_last_reload_successful) ? 1 : 0);
    if (unix_ms != 0) {
        qe_catalogue_header(out, QE_FAMILY_CONFIG_RELOAD_SUCCESS, format);
        qe_line_double(out, QE_FAMILY_CONFIG_RELOAD_SUCCESS, "", (double)unix_ms / 1e3);
    }
}

static void to_lower(char *text)
{
    for (; *text != '\0'; text++) {
        *text = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
    }
}

static void render_build(struct qe_strbuf *out, const struct qe_build_info *build,
                         enum qe_format format)
{
    struct utsname system = {0};

    (void)uname(&system); /* on failure the labels are empty, and so left out */
    to_lower(system.sysname);
    qe_catalogue_header(out, QE_FAMILY_BUILD_INFO, format);
    qe_line_begin(out, QE_FAMILY_BUILD_INFO, "{");
    qe_label_add_known(out, "version", build->version);
    qe_label_add_known(out, "revision", build->revision);
    qe_label_add_known(out, "compiler", build->compiler);
    qe_label_add_known(out, "os", system.sysname);
    qe_label_add_known(out, "arch", system.machine);
    qe_line_end_u64(out, 1);
}

static void render_process(struct qe_strbuf *out, const struct qe_process *process,
                           enum qe_format format)
{
    const struct {
        enum qe_family family;
        double value;
    } rows[] = {
        {QE_FAMILY_PROCESS_CPU, process->cpu_seconds},
        {QE_FAMILY_PROCESS_OPEN_FDS, process->open_fds},
        {QE_FAMILY_PROCESS_MAX_FDS, process->max_fds},
        {QE_FAMILY_PROCESS_VIRTUAL_MEMORY, process->virtual_bytes},
        {QE_FAMILY_PROCESS_RESIDENT_MEMORY, process->resident_bytes},
        {QE_FAMILY_PROCESS_START_TIME, process->start_time_seconds},
        {QE_FAMILY_PROCESS_THREADS, process->threads},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].value >= 0) {
            qe_catalogue_header(out, rows[i].family, format);
            qe_line_double(out, rows[i].family, "", rows[i].value);
        }
    }
}

void qe_live_render_self(struct qe_strbuf *out, struct qe_stats *stats,
                         const struct qe_build_info *build, const struct qe_process *process,
                         enum qe_format format)
{
    if (stats != NULL) {
        render_http(out, qe_stats_process(stats), format);
    }
    render_log(out, format);
    if (stats != NULL) {
        render_reload(out, qe_stats_process(stats), format);
    }
    render_build(out, build, format);
    render_process(out, process, format);
}
