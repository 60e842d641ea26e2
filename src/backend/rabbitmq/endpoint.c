/* Where the nodes' own metrics are, when the configuration does not say. */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/internal.h"
#include "util/mem.h"
#include "util/text.h"

#define HOST_BYTES 256
#define PROTOCOL_TAIL "/prometheus" /* of "http/..." and "https/..." */

void qe_rmq_forget_endpoints(struct qe_rmq *self)
{
    for (size_t i = 0; i < self->endpoints_count; i++) {
        qe_free(self->endpoints[i].url);
        qe_rmq_told_deinit(&self->endpoints[i].told);
    }
    self->endpoints_count = 0;
}

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           qe_text_starts_with(host, "127.");
}

static bool is_anywhere(const char *address)
{
    return address[0] == '\0' || strcmp(address, "::") == 0 || strcmp(address, "0.0.0.0") == 0;
}

static void copy(char out[HOST_BYTES], const char *text, size_t bytes)
{
    bytes = bytes < HOST_BYTES ? bytes : 0;
    memcpy(out, text, bytes);
    out[bytes] = '\0';
}

/* The host of a URL, without the brackets of an IPv6 address. */
static void host_of(const char *url, char out[HOST_BYTES])
{
    const char *at = strstr(url, "://");

    at = at == NULL ? url : at + 3;
    if (*at == '[') {
        copy(out, at + 1, strcspn(at + 1, "]"));
    } else {
        copy(out, at, strcspn(at, ":/"));
    }
}

/* How to reach a node's listener from here: at the address it is bound to, unless that is any; the
 * only node of a broker, where its management API is; else the host in the node's name. "": not. */
static void choose_host(const struct qe_json *listener, const char *management_host, bool is_only,
                        char out[HOST_BYTES])
{
    const char *bound = qe_json_text(qe_json_get(qe_json_get(listener, "socket_opts"), "ip"));
    const char *node = qe_json_text(qe_json_get(listener, "node"));
    const char *at = node == NULL ? NULL : strchr(node, '@');

    out[0] = '\0';
    bound = bound == NULL ? "" : bound;
    if (!is_anywhere(bound)) {
        /* Bound to its own loopback, it can be reached by whoever reaches the API there. */
        if (is_loopback(bound) == is_loopback(management_host) || !is_loopback(bound)) {
            copy(out, bound, strlen(bound));
        }
    } else if (is_only) {
        copy(out, management_host, strlen(management_host));
    } else if (at != NULL) {
        copy(out, at + 1, strlen(at + 1));
    }
    if (strspn(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._:") !=
        strlen(out)) {
        out[0] = '\0';
    }
}

static int add(struct qe_rmq *self, bool is_tls, const char *host, double port, struct qe_err *err)
{
    char url[HOST_BYTES + 32];
    const bool is_ipv6 = strchr(host, ':') != NULL;

    (void)snprintf(url, sizeof url, "%s://%s%s%s:%u", is_tls ? "https" : "http", is_ipv6 ? "[" : "",
                   host, is_ipv6 ? "]" : "", (unsigned)port);
    for (size_t i = 0; i < self->endpoints_count; i++) {
        if (strcmp(self->endpoints[i].url, url) == 0) {
            return 0;
        }
    }
    if (self->endpoints_count == QE_RMQ_METRICS_URLS_MAX) {
        return 0; /* not all nodes then: the poll will see that, and ask the management API */
    }
    struct qe_rmq_endpoint *endpoint = &self->endpoints[self->endpoints_count];

    *endpoint = (struct qe_rmq_endpoint){.url = qe_strdup(url)};
    if (endpoint->url == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "address of a node's metrics");
    }
    self->endpoints_count++;
    return 0;
}

static bool is_metrics(const struct qe_json *listener, bool *out_is_tls)
{
    const char *protocol = qe_json_text(qe_json_get(listener, "protocol"));

    *out_is_tls = protocol != NULL && strcmp(protocol, "https" PROTOCOL_TAIL) == 0;
    return *out_is_tls || (protocol != NULL && strcmp(protocol, "http" PROTOCOL_TAIL) == 0);
}

int qe_rmq_find_endpoints(struct qe_rmq *self, const struct qe_json *overview, struct qe_err *err)
{
    const struct qe_json *at = qe_json_first(qe_json_get(overview, "listeners"));
    char management_host[HOST_BYTES];
    char host[HOST_BYTES];

    if (self->settings->metrics_urls.count > 0) {
        return 0;
    }
    qe_rmq_forget_endpoints(self);
    host_of(self->base_url, management_host);
    for (; at != NULL; at = qe_json_next(at)) {
        double port = 0;
        bool is_tls = false;

        if (!is_metrics(at, &is_tls) || !qe_json_number(qe_json_get(at, "port"), &port) ||
            port < 1 || port > 65535) {
            continue;
        }
        choose_host(at, management_host, self->nodes.count <= 1, host);
        if (host[0] != '\0' && add(self, is_tls, host, port, err) != 0) {
            return -1;
        }
    }
    return 0;
}
