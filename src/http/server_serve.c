/* One request: gather its head, judge it, answer. Every request gets an answer where the library
 * still lets us give one; MHD_NO would close without a word. */
#include "http/server_internal.h"
#include "util/clock.h"
#include "util/mem.h"

/* One request under way; con_cls. The library calls for its head, for each piece of its body, and
 * at its end; for a slow route once more when the worker has the answer. */
struct exchange {
    struct qe_worker_job job;
    struct qe_http_listener *listener;
    struct qe_guard_slot *slot; /* borrowed from the guard; may be NULL */
    struct MHD_Connection *connection;
    struct qe_http_head head;
    struct qe_http_verdict verdict;
    struct qe_http_response response; /* of a slow handler, until queued */
    bool submitted;
};

static enum MHD_Result note_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                   const char *value)
{
    (void)kind;
    qe_http_head_add(cls, key, value);
    return MHD_YES;
}

static struct qe_guard_slot *slot_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info == NULL ? NULL : info->socket_context;
}

static void count(const struct qe_http_server *server, enum qe_http_handler stat, unsigned status)
{
    if (server->stats != NULL) {
        qe_process_stats_count_http(server->stats, stat, status);
    }
}

/* The last resort, made at start. */
static enum MHD_Result queue_out_of_memory(struct qe_http_server *server,
                                           struct MHD_Connection *connection,
                                           enum qe_http_handler stat)
{
    count(server, stat, 500);
    return MHD_queue_response(connection, 500, server->out_of_memory);
}

/* Consumes `response`. */
static enum MHD_Result queue_take(struct qe_http_listener *listener,
                                  struct MHD_Connection *connection, enum qe_http_handler stat,
                                  const struct qe_http_response *response)
{
    unsigned status = response->status == 0 ? 200 : response->status;
    struct MHD_Response *reply = qe_http_reply_new_take(response);

    if (reply == NULL) {
        return queue_out_of_memory(listener->server, connection, stat);
    }
    if (atomic_load(&listener->server->stopping)) {
        (void)MHD_add_response_header(reply, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    enum MHD_Result result = MHD_queue_response(connection, status, reply);
    MHD_destroy_response(reply); /* our reference; the connection has its own */
    count(listener->server, stat, status);
    return result;
}

static void add_header(struct qe_http_response *response, const char *name, const char *value)
{
    response->headers[response->headers_count].name = name;
    response->headers[response->headers_count].value = value;
    response->headers_count++;
}

static enum MHD_Result queue_verdict(const struct exchange *exchange)
{
    const struct qe_http_verdict *verdict = &exchange->verdict;
    struct qe_http_response response;

    qe_http_respond_text(&response, verdict->status, verdict->text);
    if (verdict->allow != NULL) {
        add_header(&response, MHD_HTTP_HEADER_ALLOW, verdict->allow);
    }
    if (verdict->close) {
        add_header(&response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    return queue_take(exchange->listener, exchange->connection, verdict->stat, &response);
}

static void handle(struct exchange *exchange, struct qe_http_response *response)
{
    const struct qe_http_head *head = &exchange->head;
    const struct qe_http_route *route = exchange->verdict.route;
    struct qe_http_request request = {
        .method = exchange->verdict.method,
        .path = route->path,
        .accept = head->has_accept ? head->accept : NULL,
        .accept_encoding = head->has_accept_encoding ? head->accept_encoding : NULL,
    };

    *response = (struct qe_http_response){0};
    route->handle(exchange->listener->server->context, &request, response);
}

/* Worker thread. */
static void run_slow(struct qe_worker_job *job, bool cancelled)
{
    /* The job is the exchange's first member. */
    struct exchange *exchange = (struct exchange *)(void *)job;
    struct MHD_Connection *connection = exchange->connection;

    if (cancelled) {
        qe_http_respond_text(&exchange->response, 503, "The exporter is stopping.\n");
    } else {
        handle(exchange, &exchange->response);
    }
    MHD_resume_connection(connection);
}

/* The whole request is here. */
static enum MHD_Result answer(struct exchange *exchange)
{
    struct qe_guard *guard = exchange->listener->guard;
    struct qe_http_response response;

    if (exchange->verdict.status != 200) {
        qe_guard_busy(guard, exchange->slot, qe_clock_mono_ms());
        return queue_verdict(exchange);
    }
    if (exchange->submitted) {
        qe_guard_busy(guard, exchange->slot, qe_clock_mono_ms());
        response = exchange->response;
        exchange->response = (struct qe_http_response){0};
        return queue_take(exchange->listener, exchange->connection, exchange->verdict.stat,
                          &response);
    }
    if (exchange->verdict.route->slow) {
        qe_guard_pause(guard, exchange->slot);
        exchange->submitted = true;
        exchange->job.run = run_slow;
        MHD_suspend_connection(exchange->connection);
        if (!qe_worker_submit(exchange->listener->server->worker, &exchange->job)) {
            run_slow(&exchange->job, true);
        }
        return MHD_YES;
    }
    qe_guard_busy(guard, exchange->slot, qe_clock_mono_ms());
    handle(exchange, &response);
    return queue_take(exchange->listener, exchange->connection, exchange->verdict.stat, &response);
}

static size_t head_bytes(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    return info == NULL ? 0 : info->header_size;
}

static struct exchange *exchange_new(struct qe_http_listener *listener,
                                     struct MHD_Connection *connection)
{
    struct exchange *exchange = qe_calloc(1, sizeof *exchange);

    if (exchange != NULL) {
        exchange->listener = listener;
        exchange->connection = connection;
        exchange->slot = slot_of(connection);
        (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, note_header, &exchange->head);
    }
    return exchange;
}

static void judge(struct exchange *exchange)
{
    const struct qe_http_server *server = exchange->listener->server;

    if (head_bytes(exchange->connection) > QE_HTTP_HEAD_MAX_BYTES) {
        exchange->head.too_long = true;
    }
    exchange->verdict = qe_http_judge(&exchange->head, server->routes, server->routes_count);
    if (qe_guard_is_refused(exchange->listener->guard, exchange->slot)) {
        exchange->verdict.status = 503;
        exchange->verdict.text = "Too many connections; try again later.\n";
        exchange->verdict.allow = NULL;
        exchange->verdict.close = true;
    }
}

/* NOLINTNEXTLINE(readability-function-size): the library calls it so. */
enum MHD_Result qe_http_serve(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_data_size, void **con_cls)
{
    struct qe_http_listener *listener = cls;
    struct exchange *exchange = *con_cls;

    (void)upload_data;
    if (exchange != NULL) {
        if (*upload_data_size > 0) {
            *upload_data_size = 0; /* read and dropped */
            return MHD_YES;
        }
        return answer(exchange);
    }
    exchange = exchange_new(listener, connection);
    if (exchange == NULL) {
        return queue_out_of_memory(listener->server, connection, QE_HTTP_OTHER);
    }
    *con_cls = exchange;
    exchange->head.method = method;
    exchange->head.target = url;
    exchange->head.version = version;
    judge(exchange);
    /* Answered before the body: the library then closes instead of reading it. */
    return exchange->verdict.close ? answer(exchange) : MHD_YES;
}

void qe_http_served(void *cls, struct MHD_Connection *connection, void **con_cls,
                    enum MHD_RequestTerminationCode toe)
{
    struct qe_http_listener *listener = cls;
    struct exchange *exchange = *con_cls;

    (void)toe;
    qe_guard_idle(listener->guard, slot_of(connection), qe_clock_mono_ms());
    if (exchange == NULL) {
        return;
    }
    *con_cls = NULL;
    if (exchange->response.free_body != NULL) {
        exchange->response.free_body(exchange->response.body);
    }
    qe_free(exchange);
}
