#include "backend/rabbitmq/rabbitmq.h"

#include <string.h>

#include "backend/rabbitmq/internal.h"
#include "util/mem.h"

static const char *const s_operations[QE_RMQ_OPERATIONS_ALL_COUNT] = {
    [QE_RMQ_OVERVIEW] = "overview",
    [QE_RMQ_VHOSTS] = "vhosts",
    [QE_RMQ_QUEUES] = "queues",
    [QE_RMQ_TOTALS_OF] = "queue_totals",
    [QE_RMQ_STATISTICS_OF] = "queue_statistics",
    [QE_RMQ_POLICIES] = "policies",
    [QE_RMQ_EXCHANGES] = "exchanges",
    [QE_RMQ_BINDINGS] = "bindings",
    [QE_RMQ_NODES] = "nodes",
    [QE_RMQ_NODE_METRICS] = "node_metrics",
    [QE_RMQ_CONNECT] = "connect",
    [QE_RMQ_SEND] = "send",
    [QE_RMQ_RECEIVE] = "receive",
    [QE_RMQ_SETTLE] = "settle",
    [QE_RMQ_PURGE] = "purge",
    [QE_RMQ_PUBLISH] = "publish",
    [QE_RMQ_SUBSCRIBE] = "subscribe",
};

static void destroy(void *handle)
{
    struct qe_rmq *self = handle;

    if (self == NULL) {
        return;
    }
    qe_rmq_work_end(self);
    qe_http_client_destroy(self->client);
    qe_secret_destroy(self->authorization);
    qe_rmq_forget_places(self);
    qe_rmq_table_destroy(self->table);
    qe_rmq_nodes_deinit(&self->nodes);
    qe_rmq_forget_vhosts(self);
    qe_rmq_forget_endpoints(self);
    qe_free(self->base_url);
    qe_free(self->source);
    qe_free(self);
}

static char *without_slash(const char *url)
{
    size_t bytes = strlen(url);

    for (; bytes > 0 && url[bytes - 1] == '/'; bytes--) {
    }
    return qe_strndup(url, bytes);
}

/* What needs memory and nothing else. */
static int fill(struct qe_rmq *self, struct qe_err *err)
{
    const struct qe_rmq_settings *settings = self->settings;
    const struct qe_http_client_options options = {.ca_file = settings->tls.ca_file,
                                                   .cert_file = settings->tls.cert_file,
                                                   .key_file = settings->tls.key_file,
                                                   .user_agent = "queue_exporter",
                                                   .connections_max = 16};
    const char *password =
        settings->password == NULL ? "guest" : qe_secret_bytes(settings->password);

    self->base_url = without_slash(settings->management_url);
    if (self->base_url == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "source %s", self->source);
    }
    for (size_t i = 0; i < settings->metrics_urls.count && i < QE_RMQ_METRICS_URLS_MAX; i++) {
        struct qe_rmq_endpoint *endpoint = &self->endpoints[i];

        *endpoint = (struct qe_rmq_endpoint){.url = without_slash(settings->metrics_urls.items[i]),
                                             .is_configured = true};
        self->endpoints_count = i + 1;
        if (endpoint->url == NULL) {
            return qe_err_set(err, QE_ERR_NOMEM, "source %s", self->source);
        }
    }
    self->authorization = qe_rmq_authorization(settings->username, password, err);
    if (self->authorization == NULL) {
        return -1;
    }
    self->client = qe_http_client_new(&options, err);
    return self->client == NULL ? -1 : qe_rmq_work_begin(self, err);
}

static int create(const void *settings, const struct qe_deps *deps, void **out, struct qe_err *err)
{
    struct qe_rmq *self = qe_calloc(1, sizeof *self);

    if (self == NULL || (self->source = qe_strdup(deps->source)) == NULL) {
        destroy(self);
        return qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory", deps->source);
    }
    self->settings = settings;
    self->stats = deps->stats;
    if (fill(self, err) != 0) {
        destroy(self);
        return -1;
    }
    *out = self;
    return 0;
}

static void interrupt(void *handle)
{
    struct qe_rmq *self = handle;

    atomic_store(&self->interrupted, true);
    qe_http_interrupt(self->client);
    qe_rmq_work_wake(self);
}

static const char *delayed_uncounted(const void *settings)
{
    const struct qe_rmq_settings *self = settings;

    return self->delay_method == QE_RMQ_DELAY_PLUGIN
               ? "what waits in the delayed-message plugin is in no count (delay_method)"
               : NULL;
}

const struct qe_driver qe_driver_rabbitmq = {
    .name = "rabbitmq",
    .caps = QE_CAP_LIST | QE_CAP_DEPTH | QE_CAP_OLDEST_AGE | QE_CAP_DLQ_LINK | QE_CAP_SEND |
            QE_CAP_RECEIVE | QE_CAP_DELAY | QE_CAP_PURGE | QE_CAP_DEAD_LETTER | QE_CAP_TOPICS,
    .lists_elsewhere = true,
    .default_vhost = "/",
    .section = &qe_rmq_section,
    .operations = s_operations,
    .operations_count = QE_RMQ_OPERATIONS_ALL_COUNT,
    .delayed_uncounted = delayed_uncounted,
    .create = create,
    .list = qe_rmq_list,
    .sample = qe_rmq_sample,
    .send = qe_rmq_send,
    .receive = qe_rmq_receive,
    .pause = qe_rmq_pause,
    .halt = qe_rmq_halt,
    .give_back = qe_rmq_give_back,
    .settle = qe_rmq_settle,
    .holds = qe_rmq_holds,
    .purge = qe_rmq_purge,
    .publish = qe_rmq_publish,
    .subscribe = qe_rmq_subscribe,
    .unsubscribe = qe_rmq_unsubscribe,
    .delay_ms = qe_rmq_delay_ms,
    .tend = qe_rmq_tend,
    .interrupt = interrupt,
    .destroy = destroy,
};
