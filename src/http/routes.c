#include "http/routes.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "http/landing.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

#define CONFIG_MAX_BYTES ((size_t)64 << 20)
#define REASON_MAX_BYTES ((size_t)1 << 20)
#define WHY_MAX_BYTES 256
#define PATH_MAX_BYTES 256

#define TELEMETRY_ROUTE 0

struct qe_routes {
    struct qe_http_route *table; /* owned */
    size_t count;
    char *telemetry_path; /* owned; the table's */
};

static void add_header(struct qe_http_response *response, const char *name, const char *value)
{
    if (response->headers_count < QE_HTTP_HEADERS_MAX) {
        response->headers[response->headers_count].name = name;
        response->headers[response->headers_count].value = value;
        response->headers_count++;
    }
}

/* The buffer's text becomes the body; `buf` is left empty. A buffer that failed gives 500. */
static void respond_buffer(struct qe_http_response *response, unsigned status,
                           const char *content_type, struct qe_strbuf *buf)
{
    struct qe_err err = {0};

    if (qe_strbuf_error(buf, &err) != 0) {
        qe_strbuf_deinit(buf);
        qe_http_respond_text(response, 500, "The answer does not fit into memory.\n");
        return;
    }
    if (buf->length_bytes == 0) {
        qe_strbuf_deinit(buf);
        qe_http_respond_text(response, status, "");
        response->content_type = content_type;
        return;
    }
    qe_http_respond_take(response, status, content_type, qe_strbuf_detach(buf));
}

/* --- /metrics --- */

struct metrics_body {
    struct qe_page *page;       /* owned */
    struct qe_http_part *parts; /* owned; point into page */
};

static void metrics_body_destroy(void *argument)
{
    struct metrics_body *body = argument;

    if (body == NULL) {
        return;
    }
    qe_page_destroy(body->page);
    qe_free(body->parts);
    qe_free(body);
}

static struct metrics_body *metrics_body_new(const struct qe_routes_context *context,
                                             enum qe_format format, bool gzip, struct qe_err *err)
{
    struct metrics_body *body = qe_calloc(1, sizeof *body);

    if (body == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "metrics page");
        return NULL;
    }
    if (qe_page_new(context->store, context->build, format, gzip, &body->page, err) != 0) {
        metrics_body_destroy(body);
        return NULL;
    }
    body->parts = qe_calloc(body->page->parts_count + 1, sizeof *body->parts);
    if (body->parts == NULL) {
        metrics_body_destroy(body);
        qe_err_set(err, QE_ERR_NOMEM, "metrics page");
        return NULL;
    }
    for (size_t i = 0; i < body->page->parts_count; i++) {
        body->parts[i].data = body->page->parts[i].data;
        body->parts[i].size_bytes = body->page->parts[i].size_bytes;
    }
    return body;
}

static void handle_metrics(void *argument, const struct qe_http_request *request,
                           struct qe_http_response *response)
{
    const struct qe_routes_context *context = argument;
    struct qe_negotiated negotiated = qe_negotiate_accept(request->accept);
    bool gzip = qe_negotiate_gzip(request->accept_encoding);
    struct qe_err err = {0};
    struct metrics_body *body = metrics_body_new(context, negotiated.format, gzip, &err);

    if (body == NULL) {
        struct qe_strbuf text;
        qe_strbuf_init(&text, REASON_MAX_BYTES);
        (void)qe_strbuf_printf(&text, "The page could not be made: %s\n", err.message);
        respond_buffer(response, 500, QE_HTTP_TEXT_TYPE, &text);
        return;
    }
    response->content_type = qe_negotiated_content_type(negotiated);
    response->parts = body->parts;
    response->parts_count = body->page->parts_count;
    response->body = body;
    response->free_body = metrics_body_destroy;
    add_header(response, "Vary", "Accept, Accept-Encoding");
    if (gzip) {
        add_header(response, "Content-Encoding", "gzip");
    }
}

/* --- the others --- */

static void landing_page_destroy(void *page)
{
    qe_landing_page_deinit(page);
    qe_free(page);
}

static void handle_landing(void *argument, const struct qe_http_request *request,
                           struct qe_http_response *response)
{
    const struct qe_routes_context *context = argument;
    struct qe_snapshot *snapshots[QE_SOURCES_MAX];
    struct qe_landing_page *page = qe_calloc(1, sizeof *page);
    struct qe_err err = {0};

    (void)request;
    if (page == NULL) {
        qe_http_respond_text(response, 500, "Out of memory.\n");
        return;
    }
    size_t count = qe_store_acquire_all(context->store, snapshots);
    struct qe_landing_facts facts = {
        .version = context->build->version,
        .telemetry_path = context->telemetry_path,
        .snapshots = snapshots,
        .snapshots_count = count,
        .now_unix_ms = qe_clock_unix_ms(),
    };
    int rc = qe_landing_page_init(page, &facts, &err);
    for (size_t i = 0; i < count; i++) {
        qe_snapshot_release(snapshots[i]);
    }
    if (rc != 0) {
        qe_free(page);
        qe_http_respond_text(response, 500, "Out of memory.\n");
        return;
    }
    response->content_type = "text/html; charset=UTF-8";
    response->text.data = page->html;
    response->text.size_bytes = page->html_bytes;
    response->body = page;
    response->free_body = landing_page_destroy;
    add_header(response, "Content-Security-Policy", page->policy);
    add_header(response, "Referrer-Policy", "no-referrer");
    add_header(response, "Cache-Control", "no-store");
}

static void handle_healthy(void *context, const struct qe_http_request *request,
                           struct qe_http_response *response)
{
    (void)context;
    (void)request;
    qe_http_respond_text(response, 200, "queue_exporter is Healthy.\n");
}

static void handle_ready(void *argument, const struct qe_http_request *request,
                         struct qe_http_response *response)
{
    const struct qe_routes_context *context = argument;
    char why[WHY_MAX_BYTES] = "";
    struct qe_strbuf text;

    (void)request;
    if (context->is_ready(context->app, why, sizeof why)) {
        qe_http_respond_text(response, 200, "queue_exporter is Ready.\n");
        return;
    }
    qe_strbuf_init(&text, 2 * sizeof why);
    (void)qe_strbuf_printf(&text, "queue_exporter is not ready: %.*s\n", (int)sizeof why - 1, why);
    respond_buffer(response, 503, QE_HTTP_TEXT_TYPE, &text);
}

static void handle_reload(void *argument, const struct qe_http_request *request,
                          struct qe_http_response *response)
{
    const struct qe_routes_context *context = argument;
    struct qe_strbuf reason;

    (void)request;
    if (!context->lifecycle_enabled) {
        qe_http_respond_text(response, 403, "Lifecycle API is not enabled.\n");
        return;
    }
    qe_strbuf_init(&reason, REASON_MAX_BYTES);
    if (context->reload(context->app, &reason) == 0) {
        qe_strbuf_deinit(&reason);
        qe_http_respond_text(response, 200, "");
        return;
    }
    if (reason.length_bytes == 0) {
        (void)qe_strbuf_append_text(&reason, "The reload failed; the log says why.\n");
    }
    respond_buffer(response, 500, QE_HTTP_TEXT_TYPE, &reason);
}

static void handle_config(void *argument, const struct qe_http_request *request,
                          struct qe_http_response *response)
{
    const struct qe_routes_context *context = argument;
    struct qe_strbuf text;

    (void)request;
    qe_strbuf_init(&text, CONFIG_MAX_BYTES);
    if (context->print_config(context->app, &text) != 0) {
        qe_strbuf_deinit(&text);
        qe_http_respond_text(response, 500, "The configuration could not be printed.\n");
        return;
    }
    respond_buffer(response, 200, QE_HTTP_TEXT_TYPE, &text);
    add_header(response, "Cache-Control", "no-store");
}

/* --- table --- */

static const struct qe_http_route s_table[] = {
    [TELEMETRY_ROUTE] = {.path = NULL, /* the telemetry path */
                         .methods = QE_HTTP_GET,
                         .stat = QE_HTTP_METRICS,
                         .handle = handle_metrics},
    {.path = "/", .methods = QE_HTTP_GET, .stat = QE_HTTP_LANDING, .handle = handle_landing},
    {.path = "/-/healthy",
     .methods = QE_HTTP_GET,
     .stat = QE_HTTP_HEALTHY,
     .handle = handle_healthy},
    {.path = "/-/ready", .methods = QE_HTTP_GET, .stat = QE_HTTP_READY, .handle = handle_ready},
    {.path = "/-/reload",
     .methods = QE_HTTP_POST | QE_HTTP_PUT,
     .method_error = "Only POST or PUT requests allowed\n",
     .stat = QE_HTTP_RELOAD,
     .handle = handle_reload,
     .slow = true},
    {.path = "/config", .methods = QE_HTTP_GET, .stat = QE_HTTP_CONFIG, .handle = handle_config},
};
#define TABLE_COUNT (sizeof s_table / sizeof s_table[0])

/* Only what needs no escape in a request line: a path that is compared as it is sent must be
 * written as it is sent. */
static bool is_plain_path(const char *path)
{
    for (const char *at = path; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at) && strchr("/-._~!$&'()*+,;=:@", *at) == NULL) {
            return false;
        }
    }
    return path[0] == '/' && strlen(path) < PATH_MAX_BYTES;
}

int qe_routes_check_telemetry_path(const char *path, struct qe_err *err)
{
    if (path == NULL || !is_plain_path(path)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "telemetry path \"%.100s\": it must start with / and have only letters, "
                          "digits and -._~!$&'()*+,;=:@/ (--web.telemetry-path=/metrics)",
                          path == NULL ? "" : path);
    }
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        if (s_table[i].path != NULL && strcmp(s_table[i].path, path) == 0) {
            return qe_err_set(err, QE_ERR_INVALID,
                              "telemetry path \"%s\" is another endpoint's; choose one like "
                              "/metrics with --web.telemetry-path",
                              path);
        }
    }
    /* Kept free for what may come. */
    if (qe_text_starts_with(path, "/-/")) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "telemetry path \"%.100s\": /-/ is for the exporter's own endpoints; "
                          "choose one like /metrics with --web.telemetry-path",
                          path);
    }
    return 0;
}

struct qe_routes *qe_routes_new(struct qe_routes_context *context, struct qe_err *err)
{
    if (qe_routes_check_telemetry_path(context->telemetry_path, err) != 0) {
        return NULL;
    }
    struct qe_routes *routes = qe_calloc(1, sizeof *routes);
    if (routes == NULL || (routes->telemetry_path = qe_strdup(context->telemetry_path)) == NULL ||
        (routes->table = qe_memdup(s_table, sizeof s_table)) == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "routes");
        qe_routes_destroy(routes);
        return NULL;
    }
    routes->table[TELEMETRY_ROUTE].path = routes->telemetry_path;
    routes->count = TABLE_COUNT;
    return routes;
}

void qe_routes_destroy(struct qe_routes *routes)
{
    if (routes == NULL) {
        return;
    }
    qe_free(routes->table);
    qe_free(routes->telemetry_path);
    qe_free(routes);
}

const struct qe_http_route *qe_routes_table(const struct qe_routes *routes, size_t *out_count)
{
    *out_count = routes->count;
    return routes->table;
}
