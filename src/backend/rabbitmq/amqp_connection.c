/* One connection: opened, named, tuned; closed or lost. */
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "backend/rabbitmq/amqp_url.h"
#include "util/mem.h"

/* A socket that can be written to has room for a third of this: more than a frame. */
#define SEND_BUFFER_BYTES (1 << 20)
#define CLOSE_MS 1000

static struct timeval time_left(int64_t deadline_mono_ms, int64_t most_ms)
{
    int64_t left_ms = deadline_mono_ms - qe_clock_mono_ms();

    left_ms = left_ms < most_ms ? left_ms : most_ms;
    left_ms = left_ms > 1 ? left_ms : 1;
    return (struct timeval){.tv_sec = left_ms / 1000, .tv_usec = (left_ms % 1000) * 1000};
}

/* --- opening --- */

static bool is_of_tls(int status)
{
    return status == AMQP_STATUS_SSL_ERROR || status == AMQP_STATUS_SSL_CONNECTION_FAILED;
}

static int open_socket(struct qe_amqp_connection *self, const struct qe_amqp_url *url,
                       int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct timeval patience = time_left(deadline_mono_ms, QE_AMQP_CONNECT_MS);
    const int size_bytes = SEND_BUFFER_BYTES;
    const unsigned untaken_ms = QE_AMQP_UNTAKEN_MS;
    amqp_socket_t *socket =
        url->is_tls ? amqp_ssl_socket_new(self->state) : amqp_tcp_socket_new(self->state);
    char what[320];

    if (socket == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "a socket to %s", url->host);
    }
    if (url->is_tls &&
        qe_amqp_tls_prepare(socket, &self->rmq->settings->tls, url->host, err) != 0) {
        return -1;
    }
    (void)snprintf(what, sizeof what, "%s port %d", url->host, url->port);
    const int status = amqp_socket_open_noblock(socket, url->host, url->port, &patience);

    if (status == AMQP_STATUS_SOCKET_ERROR) { /* the library does not tell why */
        return qe_err_set(err, QE_ERR_NETWORK, "%s: cannot connect: does a broker listen there?",
                          what);
    }
    if (status != AMQP_STATUS_OK) {
        return is_of_tls(status) ? qe_amqp_tls_fail(err, what) : qe_amqp_fail(err, status, what);
    }
    self->fd = amqp_get_sockfd(self->state);
    (void)setsockopt(self->fd, SOL_SOCKET, SO_SNDBUF, &size_bytes, sizeof size_bytes);
    (void)setsockopt(self->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &untaken_ms, sizeof untaken_ms);
    return 0;
}

static amqp_table_entry_t entry_true(const char *name)
{
    return (amqp_table_entry_t){.key = qe_amqp_text(name),
                                .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}};
}

/* Without consumer_cancel_notify a consumer of a deleted queue would wait for ever. */
static amqp_rpc_reply_t log_in(struct qe_amqp_connection *self, const char *name)
{
    const struct qe_rmq_settings *settings = self->rmq->settings;
    amqp_table_entry_t capabilities[] = {
        entry_true("authentication_failure_close"), entry_true("consumer_cancel_notify"),
        entry_true("connection.blocked"),           entry_true("basic.nack"),
        entry_true("publisher_confirms"),           entry_true("exchange_exchange_bindings"),
    };
    amqp_table_entry_t entries[] = {
        {.key = qe_amqp_text("capabilities"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE,
                   .value.table = {.num_entries = sizeof capabilities / sizeof capabilities[0],
                                   .entries = capabilities}}},
        {.key = qe_amqp_text("connection_name"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text(name)}},
        {.key = qe_amqp_text("product"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text("queue-exporter")}},
    };
    const amqp_table_t properties = {.num_entries = sizeof entries / sizeof entries[0],
                                     .entries = entries};
    const char *password =
        settings->password == NULL ? "guest" : qe_secret_bytes(settings->password);

    return amqp_login_with_properties(self->state, self->vhost, QE_AMQP_CHANNELS_MAX,
                                      QE_AMQP_FRAME_MAX_BYTES, QE_AMQP_HEARTBEAT_SECONDS,
                                      &properties, AMQP_SASL_METHOD_PLAIN, settings->username,
                                      password);
}

/* A port for TLS that is spoken to without it ends the connection without a word, and one that
 * speaks something else waits for more. */
static int login_failed(const struct qe_amqp_url *url, int status, struct qe_err *err)
{
    char what[320];

    (void)snprintf(what, sizeof what, "%s port %d", url->host, url->port);
    if (is_of_tls(status)) {
        return qe_amqp_tls_fail(err, what);
    }
    switch (status) {
    case AMQP_STATUS_SOCKET_ERROR:
    case AMQP_STATUS_CONNECTION_CLOSED:
    case AMQP_STATUS_BAD_AMQP_DATA:
        return qe_err_set(err, QE_ERR_NETWORK,
                          "%s: connected, but the other side ends it before the login%s (%s)", what,
                          url->is_tls ? "" : ": if this is a port for TLS, write amqps://",
                          amqp_error_string2(status));
    case AMQP_STATUS_TIMEOUT:
        return qe_err_set(err, QE_ERR_TIMEOUT,
                          "%s: connected, but the login is not answered in time: does a broker "
                          "listen there?",
                          what);
    default:
        return qe_amqp_fail(err, status, what);
    }
}

static int check_login(const struct qe_amqp_url *url, const amqp_rpc_reply_t *reply,
                       struct qe_err *err)
{
    const amqp_connection_close_t *close = reply->reply.decoded;

    if (reply->reply_type == AMQP_RESPONSE_NORMAL) {
        return 0;
    }
    if (reply->reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
        reply->reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        return qe_amqp_refused(err, close->reply_code, close->reply_text);
    }
    return login_failed(url,
                        reply->reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
                            ? reply->library_error
                            : AMQP_STATUS_UNEXPECTED_STATE,
                        err);
}

static int open_it(struct qe_amqp_connection *self, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_amqp_url url;
    char name[200];

    if (qe_amqp_url_parse(self->rmq->settings->amqp_url, &url, err) != 0) {
        return -1;
    }
    self->state = amqp_new_connection();
    if (self->state == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "a connection to %s", url.host);
    }
    if (open_socket(self, &url, deadline_mono_ms, err) != 0) {
        return -1;
    }
    const struct timeval patience = time_left(deadline_mono_ms, QE_AMQP_CONNECT_MS);

    (void)amqp_set_handshake_timeout(self->state, &patience);
    (void)snprintf(name, sizeof name, "queue-exporter %.100s %s", self->rmq->source, self->role);
    const amqp_rpc_reply_t reply = log_in(self, name);

    return check_login(&url, &reply, err);
}

int qe_amqp_connection_open(struct qe_amqp_connection *self, int64_t deadline_mono_ms,
                            struct qe_err *err)
{
    const int64_t start_us = qe_clock_mono_us();
    struct qe_err why = {0};

    if (self->state != NULL) {
        return 0;
    }
    self->is_blocked = false;
    const int rc = open_it(self, deadline_mono_ms, &why);

    qe_amqp_count(self->rmq, QE_RMQ_CONNECT, start_us, rc, &why);
    if (rc != 0) {
        *err = why;
        (void)qe_err_wrap(err, "virtual host %s", self->vhost);
        qe_amqp_connection_lose(self, err);
        return -1;
    }
    return 0;
}

/* --- ending --- */

void qe_amqp_connection_lose(struct qe_amqp_connection *self, const struct qe_err *why)
{
    amqp_connection_state_t state = self->state;

    self->state = NULL;
    self->fd = -1;
    self->is_blocked = false;
    self->lost = *why;
    for (size_t i = 0; i < QE_AMQP_CHANNELS_MAX; i++) {
        struct qe_amqp_channel *channel = self->channels[i];

        if (channel != NULL) {
            self->channels[i] = NULL;
            channel->number = 0;
            channel->closed = *why;
            qe_amqp_content_reset(&channel->content);
            channel->events->closed(channel->owner, why);
        }
    }
    if (state != NULL) {
        (void)amqp_destroy_connection(state);
    }
}

void qe_amqp_connection_close(struct qe_amqp_connection *self, int64_t wait_ms)
{
    const struct timeval patience =
        time_left(qe_clock_mono_ms() + wait_ms, wait_ms < CLOSE_MS ? wait_ms : CLOSE_MS);
    struct qe_err why = {0};

    if (self->state == NULL) {
        return;
    }
    (void)amqp_set_rpc_timeout(self->state, &patience);
    (void)amqp_connection_close(self->state, AMQP_REPLY_SUCCESS);
    (void)qe_err_set(&why, QE_ERR_CANCELLED, "closed");
    qe_amqp_connection_lose(self, &why);
}
