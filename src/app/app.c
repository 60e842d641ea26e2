#include "app/app.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "app/build.h"
#include "app/generation.h"
#include "app/limits.h"
#include "app/reload.h"
#include "app/runtime.h"
#include "http/routes.h"
#include "http/server.h"
#include "metrics/page.h"
#include "model/store.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

/* An error and the place it is in; the log cuts what is longer still. */
#define LINE_MAX_BYTES (QE_ERR_MESSAGE_BYTES + 512)

struct qe_app {
    const struct qe_flags *flags;
    struct qe_stats *stats;
    struct qe_renderer renderer;
    struct qe_store *store;
    struct qe_runtime *runtime;
    struct qe_reload *reload;
    struct qe_routes_context routes_context;
    struct qe_routes *routes;
    struct qe_http_server *server;
    atomic_bool is_applied;  /* the first configuration is in force: every source has its slot */
    atomic_bool is_stopping; /* whoever sends requests here should send them elsewhere */
    pthread_mutex_t lock;    /* guards generation; held for one reference count */
    struct qe_generation *generation;
};

static void fill_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

int qe_app_block_signals(struct qe_err *err)
{
    sigset_t set;
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    fill_signals(&set);
    int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (rc != 0) {
        return qe_err_set_errno(err, rc, "cannot block signals");
    }
    /* A client or a pipe that goes away is an error of one write, never the end of the daemon. */
    return sigaction(SIGPIPE, &ignore, NULL) == 0
               ? 0
               : qe_err_set(err, QE_ERR_IO, "cannot ignore SIGPIPE");
}

static struct qe_generation *acquire_generation(struct qe_app *app)
{
    pthread_mutex_lock(&app->lock);
    struct qe_generation *generation = qe_generation_acquire(app->generation);
    pthread_mutex_unlock(&app->lock);
    return generation;
}

/* Server thread. */
static bool is_ready(void *context, char *why, size_t why_bytes)
{
    struct qe_app *app = context;
    struct qe_snapshot *snapshots[QE_SOURCES_MAX];
    bool ready = atomic_load(&app->is_applied); /* before the look at the sources it vouches for */
    size_t count = qe_store_acquire_all(app->store, snapshots);

    if (!ready) {
        (void)snprintf(why, why_bytes, "the configuration is being applied");
    } else if (atomic_load(&app->is_stopping)) {
        ready = false;
        (void)snprintf(why, why_bytes, "it is stopping");
    }
    for (size_t i = 0; i < count; i++) {
        if (ready && !snapshots[i]->status.polled) {
            ready = false;
            (void)snprintf(why, why_bytes, "source %s has not finished its first round",
                           snapshots[i]->source);
        }
        qe_snapshot_release(snapshots[i]);
    }
    return ready;
}

/* Server thread. */
static int print_config(void *context, struct qe_strbuf *out)
{
    struct qe_generation *generation = acquire_generation(context);
    int rc = qe_config_print(generation->config, out);

    qe_generation_release(generation);
    return rc;
}

/* Server thread. */
static int request_reload(void *context, struct qe_strbuf *reason)
{
    struct qe_app *app = context;

    return qe_reload_request(app->reload, reason);
}

static void log_lines(const char *lines)
{
    char line[LINE_MAX_BYTES];

    for (const char *at = lines; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
        (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        qe_log(QE_LOG_ERROR, "configuration error", "error", line, NULL);
    }
}

/* Main thread. Puts the reasons into `errors` on failure; the old configuration then stays in
 * force. */
static int load_and_apply(struct qe_app *app, struct qe_strbuf *errors)
{
    struct qe_err err = {0};
    struct qe_generation *next = qe_generation_load(app->flags->config_file, errors);

    if (next == NULL) {
        return -1;
    }
    qe_limits_check(next->config);
    int rc = qe_runtime_apply(app->runtime, next, &err);
    /* What could be applied runs: it is the configuration in force, and the next reload retries the
     * rest. */
    pthread_mutex_lock(&app->lock);
    struct qe_generation *previous = app->generation;
    app->generation = next;
    pthread_mutex_unlock(&app->lock);
    qe_generation_release(previous);
    if (rc != 0) {
        (void)qe_strbuf_printf(errors, "%s: %s\n", app->flags->config_file, err.message);
    }
    return rc;
}

static void reload(struct qe_app *app)
{
    struct qe_process_stats *stats = qe_stats_process(app->stats);
    struct qe_strbuf errors;

    qe_strbuf_init(&errors, (size_t)64 << 10);
    qe_reload_begin(app->reload);
    int rc = load_and_apply(app, &errors);
    if (rc == 0) {
        atomic_store(&stats->config_last_reload_success_unix_ms, qe_clock_unix_ms());
        qe_log(QE_LOG_INFO, "configuration reloaded", "file", app->flags->config_file, NULL);
    } else {
        log_lines(qe_strbuf_text(&errors));
        qe_log(QE_LOG_ERROR, "reload failed", "file", app->flags->config_file, NULL);
    }
    /* After the log: who sees the metric finds the reason there. */
    atomic_store(&stats->config_last_reload_successful, rc == 0);
    qe_reload_end(app->reload, rc, qe_strbuf_text(&errors));
    qe_strbuf_deinit(&errors);
}

static int start_server(struct qe_app *app, struct qe_err *err)
{
    app->routes_context = (struct qe_routes_context){
        .store = app->store,
        .build = qe_build_info(),
        .telemetry_path = app->flags->telemetry_path,
        .lifecycle_enabled = app->flags->lifecycle_enabled,
        .app = app,
        .is_ready = is_ready,
        .print_config = print_config,
        .reload = request_reload,
    };
    app->routes = qe_routes_new(&app->routes_context, err);
    if (app->routes == NULL) {
        return -1;
    }
    struct qe_http_options options = {
        .listen = app->flags->listen,
        .listen_count = app->flags->listen_count,
        .context = &app->routes_context,
        .stats = qe_stats_process(app->stats),
    };
    options.routes = qe_routes_table(app->routes, &options.routes_count);
    app->server = qe_http_server_new(&options, err);
    return app->server != NULL ? 0 : -1;
}

static int build(struct qe_app *app, struct qe_err *err)
{
    app->stats = qe_stats_new(err);
    if (app->stats == NULL) {
        return -1;
    }
    app->renderer = qe_page_renderer(app->stats);
    app->store = qe_store_new(&app->renderer, app->stats, err);
    if (app->store == NULL) {
        return -1;
    }
    app->runtime = qe_runtime_new(app->store, err);
    app->reload = app->runtime != NULL ? qe_reload_new(err) : NULL;
    if (app->reload == NULL || start_server(app, err) != 0) {
        return -1;
    }
    qe_limits_check(app->generation->config);
    return qe_runtime_apply(app->runtime, app->generation, err);
}

struct qe_app *qe_app_new_take(const struct qe_flags *flags, struct qe_generation *generation,
                               struct qe_err *err)
{
    struct qe_app *app = qe_calloc(1, sizeof *app);

    if (app == NULL) {
        qe_generation_release(generation);
        qe_err_set(err, QE_ERR_NOMEM, "app");
        return NULL;
    }
    pthread_mutex_init(&app->lock, NULL);
    app->flags = flags;
    app->generation = generation;
    if (build(app, err) != 0) {
        qe_app_destroy(app);
        return NULL;
    }
    atomic_store(&app->is_applied, true);
    struct qe_process_stats *stats = qe_stats_process(app->stats);
    atomic_store(&stats->config_last_reload_successful, true);
    atomic_store(&stats->config_last_reload_success_unix_ms, qe_clock_unix_ms());
    for (size_t i = 0; i < flags->listen_count; i++) {
        char port[16];
        (void)snprintf(port, sizeof port, "%u", qe_http_server_port(app->server, i));
        qe_log(QE_LOG_INFO, "listening", "address", flags->listen[i], "port", port, NULL);
    }
    return app;
}

/* Takes stale samples down. Here, because a poller's thread may be the one that hangs. */
static void expire(struct qe_app *app)
{
    struct qe_err err = {0};

    if (qe_store_expire(app->store, qe_clock_mono_ms(), &err) != 0) {
        qe_log(QE_LOG_ERROR, "stale samples could not be taken down", "error", err.message, NULL);
    }
    for (const char *source = qe_store_next_hanging(app->store); source != NULL;
         source = qe_store_next_hanging(app->store)) {
        qe_log(QE_LOG_ERROR, "a call to the source does not come back; it is shown as down",
               "source", source, NULL);
    }
}

void qe_app_run(struct qe_app *app)
{
    static const struct timespec tick = {.tv_sec = 1};
    sigset_t set;
    int signal_number = 0;

    fill_signals(&set);
    do {
        signal_number = sigtimedwait(&set, NULL, &tick);
        if (signal_number == SIGHUP) {
            reload(app);
        }
        expire(app);
    } while (signal_number != SIGTERM && signal_number != SIGINT);

    int64_t timeout_ms = app->generation->config->shutdown_timeout_ms;
    atomic_store(&app->is_stopping, true);
    qe_log(QE_LOG_INFO, "stopping", "signal", signal_number == SIGTERM ? "SIGTERM" : "SIGINT",
           NULL);
    /* Nobody can reload any more: a request that waits is told so before the server waits for it.
     */
    qe_reload_close(app->reload);
    qe_runtime_stop(app->runtime, qe_clock_mono_ms() + timeout_ms);
}

void qe_app_destroy(struct qe_app *app)
{
    if (app == NULL) {
        return;
    }
    if (app->reload != NULL) {
        qe_reload_close(app->reload);
    }
    qe_http_server_destroy(app->server);
    qe_routes_destroy(app->routes);
    if (!qe_runtime_destroy(app->runtime)) {
        return; /* what a thread that does not end still uses is the process's to give back */
    }
    qe_reload_destroy(app->reload);
    qe_store_destroy(app->store);
    qe_stats_destroy(app->stats);
    qe_generation_release(app->generation);
    pthread_mutex_destroy(&app->lock);
    qe_free(app);
}
