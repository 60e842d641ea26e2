/* Listeners, limits, start and stop. The only door to libmicrohttpd, with server_*.c. */
#include "http/server.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/listen.h"
#include "http/server_internal.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

#define CONNECTIONS_DEFAULT 100
#define CONNECTIONS_MAX 104
/* Connections beyond the limit that are accepted only to be told 503; a library at its own limit
 * leaves clients hanging. Together with CONNECTIONS_MAX 120. */
#define CONNECTIONS_RESERVE 16
#define HEADER_DEADLINE_DEFAULT_MS 10000
#define IDLE_TIMEOUT_DEFAULT_MS 60000
#define REPLY_DEADLINE_DEFAULT_MS 300000
#define REFUSED_DEADLINE_MS 2000
#define WATCHDOG_INTERVAL_MAX_MS 250
#define STOP_WAIT_MS 3000
#define STOP_STEP_MS 5
/* Head of the request, headers of the reply and the library's copy of the parts' addresses. The
 * library zeroes all of it for each request, so no more than that. */
#define CONNECTION_MEMORY_BYTES 32768

static unsigned or_default(unsigned value, unsigned fallback)
{
    return value == 0 ? fallback : value;
}

/* --- what libmicrohttpd calls --- */

static void log_library(void *cls, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* What it has to say is about clients (resets, nonsense), never about us. */
static void log_library(void *cls, const char *format, va_list arguments)
{
    char text[256];

    (void)cls;
    if (!qe_log_enabled(QE_LOG_DEBUG)) {
        return;
    }
    (void)vsnprintf(text, sizeof text, format, arguments);
    qe_log(QE_LOG_DEBUG, "http", "library", text, NULL);
}

/* Paths are compared as they were sent: "%2d" hides nothing that way. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the library's type. */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

static void notify_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                              enum MHD_ConnectionNotificationCode toe)
{
    struct qe_http_listener *listener = cls;

    if (toe == MHD_CONNECTION_NOTIFY_CLOSED) {
        qe_guard_close(listener->guard, *socket_context);
        *socket_context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *peer =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (fd != NULL) {
        *socket_context =
            qe_guard_open(listener->guard, fd->connect_fd, peer == NULL ? NULL : peer->client_addr,
                          qe_clock_mono_ms());
    }
}

/* --- watchdog --- */

static void *watch(void *argument)
{
    struct qe_http_server *server = argument;
    bool stopping = false;

    while (!stopping) {
        (void)pthread_mutex_lock(&server->watchdog_lock);
        if (!server->watchdog_stopping) {
            (void)qe_clock_cond_wait(&server->watchdog_wake, &server->watchdog_lock,
                                     qe_clock_mono_ms() + server->watchdog_interval_ms);
        }
        stopping = server->watchdog_stopping;
        (void)pthread_mutex_unlock(&server->watchdog_lock);
        for (size_t i = 0; i < server->listeners_count; i++) {
            (void)qe_guard_sweep(server->listeners[i].guard, qe_clock_mono_ms());
        }
    }
    return NULL;
}

static int watchdog_start(struct qe_http_server *server, struct qe_err *err)
{
    int status = pthread_create(&server->watchdog, NULL, watch, server);

    if (status != 0) {
        return qe_err_set_errno(err, status, "cannot start the http watchdog thread");
    }
    server->watchdog_started = true;
    return 0;
}

static void watchdog_stop(struct qe_http_server *server)
{
    if (!server->watchdog_started) {
        return;
    }
    (void)pthread_mutex_lock(&server->watchdog_lock);
    server->watchdog_stopping = true;
    (void)pthread_cond_signal(&server->watchdog_wake);
    (void)pthread_mutex_unlock(&server->watchdog_lock);
    (void)pthread_join(server->watchdog, NULL);
    server->watchdog_started = false;
}

/* --- start --- */

static struct qe_guard_options guard_options(const struct qe_http_options *options)
{
    unsigned active = or_default(options->max_connections, CONNECTIONS_DEFAULT);

    active = active < CONNECTIONS_MAX ? active : CONNECTIONS_MAX;
    return (struct qe_guard_options){
        .slots = active + CONNECTIONS_RESERVE,
        .max_active = active,
        .max_per_client = or_default(options->max_per_client, (active + 1) / 2),
        .head_ms = or_default(options->header_deadline_ms, HEADER_DEADLINE_DEFAULT_MS),
        .idle_ms = or_default(options->idle_timeout_ms, IDLE_TIMEOUT_DEFAULT_MS),
        .reply_ms = or_default(options->reply_deadline_ms, REPLY_DEADLINE_DEFAULT_MS),
        .refused_ms = REFUSED_DEADLINE_MS,
    };
}

static int listener_start(struct qe_http_listener *listener, const char *address,
                          const struct qe_guard_options *limits, struct qe_err *err)
{
    const unsigned flags =
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    unsigned connections = limits->max_active + CONNECTIONS_RESERVE;
    /* The library's own limit per address cuts without a word: it is for those who take the places
     * where others would be told 503. */
    unsigned per_client = limits->max_per_client + CONNECTIONS_RESERVE / 2;

    listener->guard = qe_guard_new(limits, err);
    if (listener->guard == NULL) {
        return -1;
    }
    listener->fd = qe_listen_open(address, &listener->port, err);
    if (listener->fd < 0) {
        return -1;
    }
    listener->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, qe_http_serve, listener, MHD_OPTION_EXTERNAL_LOGGER, log_library,
        NULL, MHD_OPTION_LISTEN_SOCKET, listener->fd, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_client < connections ? per_client : connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((limits->idle_ms + 999) / 1000),
        MHD_OPTION_NOTIFY_COMPLETED, qe_http_served, listener, MHD_OPTION_NOTIFY_CONNECTION,
        notify_connection, listener, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_END);
    if (listener->daemon == NULL) {
        return qe_err_set(err, QE_ERR_IO,
                          "cannot start the http server on %.100s (out of memory, "
                          "threads or descriptors)",
                          address);
    }
    return 0;
}

static int start_all(struct qe_http_server *server, const struct qe_http_options *options,
                     struct qe_err *err)
{
    struct qe_guard_options limits = guard_options(options);
    struct qe_http_response out_of_memory;

    qe_http_respond_text(&out_of_memory, 500, "Out of memory.\n");
    server->out_of_memory = qe_http_reply_new_take(&out_of_memory);
    server->listeners = qe_calloc(options->listen_count, sizeof *server->listeners);
    if (server->out_of_memory == NULL || server->listeners == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "http server");
    }
    server->worker = qe_worker_new(err);
    if (server->worker == NULL) {
        return -1;
    }
    for (size_t i = 0; i < options->listen_count; i++) {
        struct qe_http_listener *listener = &server->listeners[i];
        listener->server = server;
        listener->fd = -1;
        server->listeners_count = i + 1;
        if (listener_start(listener, options->listen[i], &limits, err) != 0) {
            return -1;
        }
    }
    int64_t interval_ms = limits.head_ms / 4 + 1;
    server->watchdog_interval_ms =
        interval_ms < WATCHDOG_INTERVAL_MAX_MS ? (unsigned)interval_ms : WATCHDOG_INTERVAL_MAX_MS;
    return watchdog_start(server, err);
}

struct qe_http_server *qe_http_server_new(const struct qe_http_options *options, struct qe_err *err)
{
    if (options->listen_count == 0) {
        qe_err_set(err, QE_ERR_INVALID, "no address to listen on");
        return NULL;
    }
    struct qe_http_server *server = qe_calloc(1, sizeof *server);
    if (server == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "http server");
        return NULL;
    }
    server->routes = options->routes;
    server->routes_count = options->routes_count;
    server->context = options->context;
    server->stats = options->stats;
    atomic_init(&server->stopping, false);
    /* On Linux neither init can fail with these attributes. */
    (void)pthread_mutex_init(&server->watchdog_lock, NULL);
    (void)qe_clock_cond_init(&server->watchdog_wake);
    if (start_all(server, options, err) != 0) {
        qe_http_server_destroy(server);
        return NULL;
    }
    return server;
}

unsigned qe_http_server_port(const struct qe_http_server *server, size_t index)
{
    return index < server->listeners_count ? server->listeners[index].port : 0;
}

/* --- stop --- */

static size_t busy_count(struct qe_http_server *server)
{
    size_t busy = 0;

    for (size_t i = 0; i < server->listeners_count; i++) {
        if (server->listeners[i].guard != NULL) {
            busy += qe_guard_count(server->listeners[i].guard).busy;
        }
    }
    return busy;
}

static void wait_for_replies(struct qe_http_server *server)
{
    const struct timespec step = {.tv_nsec = STOP_STEP_MS * 1000000L};
    int64_t deadline_mono_ms = qe_clock_mono_ms() + STOP_WAIT_MS;

    while (busy_count(server) > 0 && qe_clock_mono_ms() < deadline_mono_ms) {
        (void)nanosleep(&step, NULL);
    }
}

static void stop_accepting(struct qe_http_server *server)
{
    for (size_t i = 0; i < server->listeners_count; i++) {
        struct qe_http_listener *listener = &server->listeners[i];
        if (listener->daemon != NULL &&
            MHD_quiesce_daemon(listener->daemon) != MHD_INVALID_SOCKET) {
            /* Refuses newcomers at once; the descriptor itself must live until the daemon ends. */
            (void)shutdown(listener->fd, SHUT_RDWR);
        }
    }
}

void qe_http_server_destroy(struct qe_http_server *server)
{
    if (server == NULL) {
        return;
    }
    atomic_store(&server->stopping, true);
    stop_accepting(server);
    /* Before the daemons: the library may not be stopped with a request suspended. The worker
     * itself stays, for requests that still come on open connections. */
    qe_worker_stop(server->worker);
    wait_for_replies(server);
    watchdog_stop(server);
    for (size_t i = 0; i < server->listeners_count; i++) {
        struct qe_http_listener *listener = &server->listeners[i];
        if (listener->daemon != NULL) {
            MHD_stop_daemon(listener->daemon);
        }
        if (listener->fd >= 0) {
            (void)close(listener->fd);
        }
        qe_guard_destroy(listener->guard);
    }
    qe_worker_destroy(server->worker);
    if (server->out_of_memory != NULL) {
        MHD_destroy_response(server->out_of_memory);
    }
    (void)pthread_cond_destroy(&server->watchdog_wake);
    (void)pthread_mutex_destroy(&server->watchdog_lock);
    qe_free(server->listeners);
    qe_free(server);
}
