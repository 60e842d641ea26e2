#include "http/landing.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "util/mem.h"
#include "util/number.h"
#include "util/text.h"

#define PAGE_MAX_BYTES ((size_t)8 << 20)
#define NONCE_BYTES 16
#define COLUMNS "8" /* of the table of sources */
#define MINUTE_SECONDS 60LL
#define HOUR_SECONDS 3600LL
#define DAY_SECONDS 86400LL

static const char s_style[] =
    "\n:root{color-scheme:light dark;--line:#d0d4da;--soft:#5a6372;--good:#116329;--bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--line:#3a4049;--soft:#a0a8b4;--good:#57c478;"
    "--bad:#ff8a80}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}\n"
    "@media(prefers-color-scheme:dark){body{background:#15181c;color:#dfe3e8}a{color:#8ab4f8}}\n"
    "h1{font-size:1.5rem;margin-bottom:0}nav a{margin-right:1.2rem}\n"
    ".soft{color:var(--soft)}.up{color:var(--good)}.down{color:var(--bad)}\n"
    "div{overflow-x:auto}table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);"
    "vertical-align:top}\n"
    ".n{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".has-error td{border-bottom:0}.error td{padding:0 0 .6rem 1.2rem;overflow-wrap:anywhere}\n";

static const char *escape_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* Bytes of the UTF-8 character at `text`, or 0 when it is none. */
static size_t character_bytes(const char *text)
{
    size_t most = strnlen(text, 4);

    for (size_t count = 1; count <= most; count++) {
        if (qe_text_is_utf8(text, count)) {
            return count;
        }
    }
    return 0;
}

void qe_landing_append_escaped(struct qe_strbuf *out, const char *text)
{
    size_t step = 1;

    for (const char *at = text; *at != '\0'; at += step) {
        const char *escape = escape_of(*at);
        size_t bytes = character_bytes(at);
        unsigned char first = (unsigned char)*at;
        step = bytes == 0 ? 1 : bytes;
        if (escape != NULL) {
            (void)qe_strbuf_append_text(out, escape);
        } else if (bytes == 0 || first < 0x20 || first == 0x7f) {
            (void)qe_strbuf_append_text(out, "\xEF\xBF\xBD");
        } else {
            (void)qe_strbuf_append(out, at, bytes);
        }
    }
}

void qe_landing_append_age(struct qe_strbuf *out, int64_t age_ms)
{
    long long seconds = age_ms < 0 ? 0 : age_ms / 1000;

    if (seconds < 2 * MINUTE_SECONDS) {
        (void)qe_strbuf_printf(out, "%lld s", seconds);
    } else if (seconds < 2LL * 3600) {
        (void)qe_strbuf_printf(out, "%lld min", seconds / MINUTE_SECONDS);
    } else if (seconds < 2LL * 86400) {
        (void)qe_strbuf_printf(out, "%lld h", seconds / HOUR_SECONDS);
    } else {
        (void)qe_strbuf_printf(out, "%lld d", seconds / DAY_SECONDS);
    }
}

/* What waits in the source's dead-letter queues; false when nothing of it is known. */
static bool dead_letter_messages(const struct qe_snapshot *snapshot, double *out)
{
    static const enum qe_field s_fields[] = {QE_FIELD_READY_MESSAGES, QE_FIELD_IN_FLIGHT_MESSAGES,
                                             QE_FIELD_DELAYED_MESSAGES};
    const struct qe_queue_set *set = snapshot->set;
    bool known = false;

    *out = 0;
    for (size_t i = 0; set != NULL && i < set->count; i++) {
        if (!set->is_dead_letter_queue[i]) {
            continue;
        }
        const struct qe_sample *sample = &snapshot->states[i].sample;
        for (size_t f = 0; f < sizeof s_fields / sizeof s_fields[0]; f++) {
            if (qe_sample_has(sample, s_fields[f])) {
                *out += sample->values[s_fields[f]];
                known = true;
            }
        }
    }
    return known;
}

static void append_state(struct qe_strbuf *out, const struct qe_source_status *status)
{
    if (!status->polled) {
        (void)qe_strbuf_append_text(out, "<td class=\"soft\">not polled yet</td>");
    } else if (status->up) {
        (void)qe_strbuf_append_text(out, "<td class=\"up\">up</td>");
    } else {
        (void)qe_strbuf_append_text(out, "<td class=\"down\">down</td>");
    }
}

static void append_queues(struct qe_strbuf *out, const struct qe_snapshot *snapshot)
{
    size_t watched = snapshot->set == NULL ? 0 : snapshot->set->count;
    double messages = 0;

    (void)qe_strbuf_printf(out, "<td class=\"n\">%zu</td><td class=\"n\">%zu</td>", watched,
                           snapshot->status.queues_listed);
    (void)qe_strbuf_printf(out, "<td class=\"n%s\">%zu</td><td class=\"n\">",
                           snapshot->status.queues_dropped > 0 ? " down" : "",
                           snapshot->status.queues_dropped);
    if (dead_letter_messages(snapshot, &messages)) {
        char number[QE_NUMBER_MAX_BYTES] = "";
        (void)qe_strbuf_append(out, number, qe_number_write_double(messages, number));
    } else {
        (void)qe_strbuf_append_text(out, "–");
    }
    (void)qe_strbuf_append_text(out, "</td>");
}

/* One may be many sentences long, such as a search that names all the places it looked in: a row of
 * its own, and a line for each part. */
static void append_error(struct qe_strbuf *out, const struct qe_err *error)
{
    const char *end = NULL;

    (void)qe_strbuf_append_text(out, "<tr class=\"error\"><td colspan=\"" COLUMNS
                                     "\"><span class=\"down\">");
    qe_landing_append_escaped(out, qe_err_code_name(error->code));
    (void)qe_strbuf_append_text(out, "</span>: ");
    for (const char *at = error->message; at != NULL; at = end) {
        char part[QE_ERR_MESSAGE_BYTES];

        end = strstr(at, "; ");
        end = end != NULL ? end + 2 : NULL;
        (void)snprintf(part, sizeof part, "%.*s", end != NULL ? (int)(end - at) - 1 : -1, at);
        qe_landing_append_escaped(out, part);
        (void)qe_strbuf_append_text(out, end != NULL ? "<br>" : "");
    }
    (void)qe_strbuf_append_text(out, "</td></tr>\n");
}

static void append_source(struct qe_strbuf *out, const struct qe_snapshot *snapshot,
                          int64_t now_unix_ms)
{
    const struct qe_source_status *status = &snapshot->status;
    bool has_error = status->last_error.code != QE_OK;

    (void)qe_strbuf_append_text(out, has_error ? "<tr class=\"has-error\"><td>" : "<tr><td>");
    qe_landing_append_escaped(out, snapshot->source);
    (void)qe_strbuf_append_text(out, "</td><td>");
    qe_landing_append_escaped(out, snapshot->backend);
    if (status->method != NULL) {
        (void)qe_strbuf_append_text(out, ", read by ");
        qe_landing_append_escaped(out, status->method);
    }
    (void)qe_strbuf_append_text(out, "</td>");
    append_state(out, status);
    append_queues(out, snapshot);
    (void)qe_strbuf_append_text(out, "<td class=\"n\">");
    if (status->last_success_unix_ms > 0) {
        qe_landing_append_age(out, now_unix_ms - status->last_success_unix_ms);
    } else {
        (void)qe_strbuf_append_text(out, "never read");
    }
    (void)qe_strbuf_append_text(out, "</td></tr>\n");
    if (has_error) {
        append_error(out, &status->last_error);
    }
}

static void append_head(struct qe_strbuf *out, const struct qe_landing_facts *facts,
                        const char *nonce)
{
    (void)qe_strbuf_append_text(
        out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"UTF-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<title>queue_exporter</title>\n");
    (void)qe_strbuf_printf(out, "<style nonce=\"%s\">", nonce);
    (void)qe_strbuf_append_text(out, s_style);
    (void)qe_strbuf_append_text(out,
                                "</style>\n</head>\n<body>\n<h1>queue_exporter</h1>\n"
                                "<p class=\"soft\">Watches message queues and their dead-letter "
                                "queues for Prometheus. Version ");
    qe_landing_append_escaped(out, facts->version == NULL ? "unknown" : facts->version);
    (void)qe_strbuf_append_text(out, "</p>\n<nav><a href=\"");
    qe_landing_append_escaped(out, facts->telemetry_path);
    (void)qe_strbuf_append_text(out, "\">Metrics</a><a href=\"/config\">Configuration</a>"
                                     "<a href=\"/-/healthy\">Healthy</a>"
                                     "<a href=\"/-/ready\">Ready</a></nav>\n");
}

static void append_sources(struct qe_strbuf *out, const struct qe_landing_facts *facts)
{
    (void)qe_strbuf_append_text(out, "<h2>Sources</h2>\n");
    if (facts->snapshots_count == 0) {
        (void)qe_strbuf_append_text(
            out, "<p>No source is configured; add one under <code>sources:</code> in the "
                 "configuration file.</p>\n");
        return;
    }
    (void)qe_strbuf_append_text(
        out, "<div><table>\n<thead><tr><th>Source</th><th>Type</th><th>State</th>"
             "<th class=\"n\">Watched</th><th class=\"n\">Listed</th><th class=\"n\">Dropped</th>"
             "<th class=\"n\">Dead letters</th><th class=\"n\">Age of data</th>"
             "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < facts->snapshots_count; i++) {
        append_source(out, facts->snapshots[i], facts->now_unix_ms);
    }
    (void)qe_strbuf_append_text(out, "</tbody>\n</table></div>\n");
}

static int make_nonce(char out[2 * NONCE_BYTES + 1], struct qe_err *err)
{
    unsigned char bytes[NONCE_BYTES];

    if (qe_random_secret(bytes, sizeof bytes) != 0) {
        return qe_err_set(err, QE_ERR_IO, "no random bytes for the landing page");
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
    return 0;
}

int qe_landing_page_init(struct qe_landing_page *page, const struct qe_landing_facts *facts,
                         struct qe_err *err)
{
    struct qe_strbuf html;
    char nonce[2 * NONCE_BYTES + 1];

    if (make_nonce(nonce, err) != 0) {
        return -1;
    }
    qe_strbuf_init(&html, PAGE_MAX_BYTES);
    append_head(&html, facts, nonce);
    append_sources(&html, facts);
    (void)qe_strbuf_append_text(&html, "</body>\n</html>\n");
    if (qe_strbuf_error(&html, err) != 0) {
        qe_strbuf_deinit(&html);
        return -1;
    }
    *page = (struct qe_landing_page){.html_bytes = html.length_bytes};
    (void)snprintf(page->policy, sizeof page->policy,
                   "default-src 'none'; style-src 'nonce-%s'; base-uri 'none'; form-action 'none'; "
                   "frame-ancestors 'none'",
                   nonce);
    page->html = qe_strbuf_detach(&html);
    return 0;
}

void qe_landing_page_deinit(struct qe_landing_page *page)
{
    qe_free(page->html);
    *page = (struct qe_landing_page){0};
}
