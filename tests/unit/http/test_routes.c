#include "http/routes.h"
#include "unit/http/client.h"

struct app {
    bool ready;
    bool config_fails;
    bool reload_fails;
    const char *reload_reason;
    unsigned reloads;
};

static bool is_ready(void *context, char *why, size_t why_bytes)
{
    const struct app *app = context;

    if (!app->ready) {
        (void)snprintf(why, why_bytes, "source local has not finished its first round");
    }
    return app->ready;
}

static int print_config(void *context, struct qe_strbuf *out)
{
    const struct app *app = context;

    return app->config_fails ? -1 : qe_strbuf_append_text(out, "sources: []\n");
}

static int reload(void *context, struct qe_strbuf *reason)
{
    struct app *app = context;

    app->reloads++;
    if (app->reload_fails) {
        (void)qe_strbuf_append_text(reason, app->reload_reason);
    }
    return app->reload_fails ? -1 : 0;
}

struct fixture {
    struct app app;
    struct qe_stats *stats;
    struct qe_renderer renderer;
    struct qe_store *store;
    struct qe_build_info build;
    struct qe_routes_context context;
    struct qe_routes *routes;
    struct qe_http_server *server;
    unsigned port;
};

/* One source, polled once, with one queue. */
static void publish(struct qe_store *store)
{
    struct qe_queue_list list = {0};
    struct qe_batch batch = {0};
    struct qe_sample sample = {0};
    struct qe_err err = {0};
    struct qe_poll_report report = {
        .now_unix_ms = qe_clock_unix_ms(), .now_mono_ms = qe_clock_mono_ms(), .queues_listed = 1};

    struct qe_slot *slot = qe_store_open(store, "local", "embedded", 60000, &err);
    assert_ok(slot == NULL ? -1 : 0, err);
    struct qe_queue *queue = qe_queue_list_add(&list, &err);
    assert_ok(queue == NULL ? -1 : 0, err);
    int rc = qe_queue_init(queue, NULL, "orders", QE_KIND_EMBEDDED, &err);
    assert_ok(rc, err);
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);
    assert_ok(set == NULL ? -1 : 0, err);
    rc = qe_batch_init(&batch, set, &err);
    assert_ok(rc, err);
    qe_sample_set(&sample, QE_FIELD_READY_MESSAGES, 17);
    qe_batch_set(&batch, 0, &sample);
    rc = qe_slot_publish(slot, &batch, &report, &err);
    assert_ok(rc, err);
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
}

static void start(struct fixture *fixture, bool lifecycle_enabled)
{
    static const char *const s_listen[] = {"127.0.0.1:0"};
    struct qe_err err = {0};

    *fixture = (struct fixture){.app.ready = true};
    fixture->build = (struct qe_build_info){.version = "1.2", .revision = "r", .compiler = "c"};
    fixture->stats = qe_stats_new(&err);
    assert_ok(fixture->stats == NULL ? -1 : 0, err);
    fixture->renderer = qe_page_renderer(fixture->stats);
    fixture->store = qe_store_new(&fixture->renderer, fixture->stats, &err);
    assert_ok(fixture->store == NULL ? -1 : 0, err);
    publish(fixture->store);
    fixture->context = (struct qe_routes_context){.store = fixture->store,
                                                  .build = &fixture->build,
                                                  .telemetry_path = "/metrics",
                                                  .lifecycle_enabled = lifecycle_enabled,
                                                  .app = &fixture->app,
                                                  .is_ready = is_ready,
                                                  .print_config = print_config,
                                                  .reload = reload};
    fixture->routes = qe_routes_new(&fixture->context, &err);
    assert_ok(fixture->routes == NULL ? -1 : 0, err);
    struct qe_http_options options = {.listen = s_listen,
                                      .listen_count = 1,
                                      .context = &fixture->context,
                                      .stats = qe_stats_process(fixture->stats)};
    options.routes = qe_routes_table(fixture->routes, &options.routes_count);
    fixture->server = qe_http_server_new(&options, &err);
    assert_ok(fixture->server == NULL ? -1 : 0, err);
    fixture->port = qe_http_server_port(fixture->server, 0);
}

static void stop(struct fixture *fixture)
{
    qe_http_server_destroy(fixture->server);
    qe_routes_destroy(fixture->routes);
    qe_store_destroy(fixture->store);
    qe_stats_destroy(fixture->stats);
}

/* Status, and the whole body. */
static void expect(const struct fixture *fixture, const char *request, unsigned status,
                   const char *body)
{
    char *reply = client_exchange(fixture->port, request);

    if (client_status(reply) != status || strcmp(client_body(reply), body) != 0) {
        fail_msg("%s: not %u \"%s\" but %s", request, status, body, reply);
    }
    assert_true(client_has_header(reply, "Content-Type: text/plain; charset=utf-8"));
    assert_true(client_has_header(reply, "X-Content-Type-Options: nosniff"));
    qe_free(reply);
}

static void metrics_are_negotiated(void **state)
{
    struct fixture fixture;

    (void)state;
    start(&fixture, false);
    char *reply = client_exchange(fixture.port, "GET /metrics HTTP/1.0\r\n\r\n");
    assert_int_equal(client_status(reply), 200);
    assert_true(client_has_header(reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8"));
    assert_true(client_has_header(reply, "Vary: Accept, Accept-Encoding"));
    assert_null(strstr(reply, "Content-Encoding"));
    assert_non_null(strstr(client_body(reply), "orders"));
    qe_free(reply);
    reply = client_exchange(fixture.port, "GET /metrics HTTP/1.0\r\n"
                                          "Accept: application/openmetrics-text\r\n"
                                          "Accept-Encoding: gzip\r\n\r\n");
    assert_true(client_has_header(
        reply, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_true(client_has_header(reply, "Content-Encoding: gzip"));
    assert_memory_equal(client_body(reply), "\x1f\x8b", 2);
    qe_free(reply);
    reply = client_exchange(fixture.port, "GET /metrics HTTP/1.0\r\n"
                                          "Accept-Encoding: gzip;q=0\r\n\r\n");
    assert_null(strstr(reply, "Content-Encoding"));
    qe_free(reply);
    reply = client_exchange(fixture.port, "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert_int_equal(client_status(reply), 200);
    assert_string_equal(client_body(reply), "");
    assert_null(strstr(reply, "Content-Length: 0\r\n"));
    qe_free(reply);
    stop(&fixture);
}

static void the_landing_page_is_at_the_root_only(void **state)
{
    struct fixture fixture;

    (void)state;
    start(&fixture, false);
    char *reply = client_exchange(fixture.port, "GET / HTTP/1.0\r\n\r\n");
    assert_int_equal(client_status(reply), 200);
    assert_true(client_has_header(reply, "Content-Type: text/html; charset=UTF-8"));
    assert_non_null(strstr(reply, "Content-Security-Policy: default-src 'none';"));
    assert_non_null(strstr(client_body(reply), "<td>local</td><td>embedded</td>"));
    assert_non_null(strstr(client_body(reply), "href=\"/metrics\""));
    qe_free(reply);
    expect(&fixture, "GET /index.html HTTP/1.0\r\n\r\n", 404,
           "Not found. The endpoints are listed at /\n");
    stop(&fixture);
}

static void health_and_readiness_differ(void **state)
{
    struct fixture fixture;

    (void)state;
    start(&fixture, false);
    expect(&fixture, "GET /-/healthy HTTP/1.0\r\n\r\n", 200, "queue_exporter is Healthy.\n");
    expect(&fixture, "GET /-/ready HTTP/1.0\r\n\r\n", 200, "queue_exporter is Ready.\n");
    fixture.app.ready = false;
    expect(&fixture, "GET /-/healthy HTTP/1.0\r\n\r\n", 200, "queue_exporter is Healthy.\n");
    expect(&fixture, "GET /-/ready HTTP/1.0\r\n\r\n", 503,
           "queue_exporter is not ready: source local has not finished its first round\n");
    stop(&fixture);
}

static void reload_must_be_enabled_and_asked_for_properly(void **state)
{
    struct fixture fixture;

    (void)state;
    start(&fixture, false);
    expect(&fixture, "POST /-/reload HTTP/1.0\r\n\r\n", 403, "Lifecycle API is not enabled.\n");
    assert_int_equal(fixture.app.reloads, 0);
    stop(&fixture);

    start(&fixture, true);
    expect(&fixture, "GET /-/reload HTTP/1.0\r\n\r\n", 405, "Only POST or PUT requests allowed\n");
    assert_int_equal(fixture.app.reloads, 0);
    expect(&fixture, "POST /-/reload HTTP/1.0\r\n\r\n", 200, "");
    expect(&fixture, "PUT /-/reload HTTP/1.0\r\n\r\n", 200, "");
    assert_int_equal(fixture.app.reloads, 2);
    fixture.app.reload_fails = true;
    fixture.app.reload_reason = "queue_exporter.yml:3:1: unknown key\n";
    expect(&fixture, "POST /-/reload HTTP/1.0\r\n\r\n", 500,
           "queue_exporter.yml:3:1: unknown key\n");
    fixture.app.reload_reason = "";
    expect(&fixture, "POST /-/reload HTTP/1.0\r\n\r\n", 500,
           "The reload failed; the log says why.\n");
    stop(&fixture);
}

static void the_configuration_is_plain_text(void **state)
{
    struct fixture fixture;

    (void)state;
    start(&fixture, false);
    expect(&fixture, "GET /config HTTP/1.0\r\n\r\n", 200, "sources: []\n");
    fixture.app.config_fails = true;
    expect(&fixture, "GET /config HTTP/1.0\r\n\r\n", 500,
           "The configuration could not be printed.\n");
    stop(&fixture);
}

struct path_row {
    const char *path;
    bool good;
    const char *why;
};

static void telemetry_paths_that_cannot_be_served_are_refused(void **state)
{
    static const struct path_row s_rows[] = {
        {"/metrics", true, "the usual"},
        {"/a/b.c-d_e", true, "deeper"},
        {"/config/", true, "not the endpoint itself"},
        {"/", false, "the landing page's"},
        {"/config", false, "an endpoint"},
        {"/-/ready", false, "an endpoint"},
        {"/-/other", false, "kept free"},
        {"", false, "empty"},
        {NULL, false, "none"},
        {"metrics", false, "no slash"},
        {"/metrics?x", false, "a query is no path"},
        {"/me trics", false, "blank"},
        {"/m\xc3\xa9trics", false, "would arrive escaped"},
        {"/%6d", false, "would never match"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_routes_context context = {.telemetry_path = s_rows[i].path};
        struct qe_err err = {0};
        struct qe_routes *routes = qe_routes_new(&context, &err);
        if ((routes != NULL) != s_rows[i].good) {
            fail_msg("%s (%s): %s", s_rows[i].path, s_rows[i].why, err.message);
        }
        if (routes == NULL) {
            assert_int_equal(err.code, QE_ERR_INVALID);
            assert_non_null(strstr(err.message, "--web.telemetry-path"));
        }
        qe_routes_destroy(routes);
    }
}

static int build_routes(void *context, struct qe_err *err)
{
    struct qe_routes *routes = qe_routes_new(context, err);

    qe_routes_destroy(routes);
    return routes == NULL ? -1 : 0;
}

static void running_out_of_memory_is_reported(void **state)
{
    struct qe_routes_context context = {.telemetry_path = "/metrics"};

    (void)state;
    qe_check_torture(build_routes, &context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_are_negotiated),
        cmocka_unit_test(the_landing_page_is_at_the_root_only),
        cmocka_unit_test(health_and_readiness_differ),
        cmocka_unit_test(reload_must_be_enabled_and_asked_for_properly),
        cmocka_unit_test(the_configuration_is_plain_text),
        cmocka_unit_test(telemetry_paths_that_cannot_be_served_are_refused),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
