/* The option table of RabbitMQ, and the rules between its keys. */
#include <string.h>

#include "backend/rabbitmq/amqp_url.h"
#include "backend/rabbitmq/internal.h"
#include "util/text.h"
#include "util/url.h"

static const char *const s_methods[] = {"auto", "metrics", "totals", "statistics", NULL};
static const char *const s_delay_methods[] = {"queues", "plugin", NULL};

static const struct qe_option s_tls_options[] = {
    {.key = "ca_file",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_rmq_tls_settings, ca_file),
     .default_note = "the system's",
     .help = "Certificates (PEM) to trust instead."},
    {.key = "cert_file",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_rmq_tls_settings, cert_file),
     .help = "Own certificate (PEM) to show."},
    {.key = "key_file",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_rmq_tls_settings, key_file),
     .help = "Its private key (PEM)."},
};

static int check_tls(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_rmq_tls_settings *tls = settings;

    if ((tls->cert_file == NULL) != (tls->key_file == NULL)) {
        *out_key = tls->cert_file == NULL ? "key_file" : "cert_file";
        return qe_err_set(err, QE_ERR_INVALID, "cert_file and key_file go together");
    }
    return 0;
}

static const struct qe_section s_tls_section = {
    .name = "tls",
    .size_bytes = sizeof(struct qe_rmq_tls_settings),
    .options = s_tls_options,
    .options_count = sizeof(s_tls_options) / sizeof(s_tls_options[0]),
    .rules = {check_tls},
};

static const struct qe_option s_options[] = {
    {.key = "management_url",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_rmq_settings, management_url),
     .default_text = "http://127.0.0.1:15672",
     .min = 1,
     .max = 1024,
     .help = "The management API (plugin `rabbitmq_management`) of any node of the cluster, or of "
             "what balances them."},
    {.key = "metrics_urls",
     .type = QE_OPT_TEXT_LIST,
     .offset = offsetof(struct qe_rmq_settings, metrics_urls),
     .max = QE_RMQ_METRICS_URLS_MAX,
     .default_note = "as the broker says where they are",
     .help = "Plugin `rabbitmq_prometheus` of each node, the cheap way to read depths: "
             "`http://rabbit1:15692`. Each node tells of its own queues only: name all of them."},
    {.key = "amqp_url",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_rmq_settings, amqp_url),
     .min = 1,
     .max = 1024,
     .default_note = "none: its queues are only watched",
     .help = "Where its queues are worked on: `amqp://rabbit1:5672`, or `amqps://` for TLS. For "
             "consumers and `queuectl`, whose user needs the permissions `write` to send, `read` "
             "to receive, and `configure` on `^qe\\.delay\\.` for delays."},
    {.key = "delay_method",
     .type = QE_OPT_CHOICE,
     .offset = offsetof(struct qe_rmq_settings, delay_method),
     .default_text = "queues",
     .choices = s_delay_methods,
     .help = "Where delayed messages, and retries after a pause, wait: `queues` of our own, "
             "replicated, in steps from 100 ms to 7 days, that lose nothing; or `plugin`, which "
             "`rabbitmq_delayed_message_exchange` on the broker makes exact, up to 49 days, for "
             "classic queues that refuse nothing (others: `queues`). **It can lose messages**: "
             "what waits is on one node, is gone with its disk or when the plugin is disabled, is "
             "confirmed up to 2 s before it is on the disk, and is handed on once, unconfirmed. "
             "Not for more than some 100 000 waiting. "
             "Needs `write` on each such queue."},
    {.key = "username",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_rmq_settings, username),
     .default_text = "guest",
     .min = 1,
     .max = 255,
     .help = "A user with the tag `monitoring`, and a permission row (`^$ ^$ ^$` will do) on each "
             "virtual host to watch."},
    {.key = "password",
     .type = QE_OPT_SECRET,
     .offset = offsetof(struct qe_rmq_settings, password),
     .default_note = "`guest`",
     .help = "The user's password."},
    {.key = "vhosts",
     .type = QE_OPT_TEXT_LIST,
     .offset = offsetof(struct qe_rmq_settings, vhosts),
     .max = 1000,
     .default_note = "every one",
     .help = "Virtual hosts to watch."},
    {.key = "method",
     .type = QE_OPT_CHOICE,
     .offset = offsetof(struct qe_rmq_settings, method),
     .default_text = "auto",
     .choices = s_methods,
     .help = "How depths are read: `metrics` from each node's `rabbitmq_prometheus`, `totals` from "
             "the management API without its statistics, `statistics` with them. `auto`: the "
             "first of these that the broker offers, and `statistics` alone where "
             "`statistics_max_load` allows them at every poll."},
    {.key = "statistics_max_load",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_rmq_settings, statistics_max_load),
     .default_text = "0.005",
     .max = 1,
     .help = "Share of its time that the broker may spend on what costs it most: message counters, "
             "sizes, consumers and the ages of oldest messages. They are asked as often as that "
             "allows; where it would be less than every 5 minutes, or with `0`, they are absent."},
    {.key = "exclusive_queues",
     .type = QE_OPT_BOOL,
     .offset = offsetof(struct qe_rmq_settings, exclusive_queues),
     .default_text = "false",
     .help = "Watch exclusive queues, too, which come and go with one connection."},
    {.key = "tls",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_rmq_settings, tls),
     .section = &s_tls_section,
     .help = "For addresses that begin with https:// or amqps://."},
};

/* NULL, or what is wrong with an address. */
static const char *url_fault(const char *url)
{
    const char *host = qe_text_starts_with(url, "http://")    ? url + strlen("http://")
                       : qe_text_starts_with(url, "https://") ? url + strlen("https://")
                                                              : NULL;

    if (host == NULL) {
        return "must begin with http:// or https://";
    }
    if (host[strcspn(host, "?#@ \t\r\n")] != '\0') {
        return "must not hold a user, a query, a fragment or blanks";
    }
    return strcspn(host, "/") == 0 ? "names no host" : NULL;
}

static int check_urls(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_rmq_settings *own = settings;
    const char *fault = url_fault(own->management_url);
    struct qe_amqp_url where;

    if (fault != NULL) {
        *out_key = "management_url";
        return qe_err_set(err, QE_ERR_INVALID, "%s", fault);
    }
    *out_key = "amqp_url";
    if (own->amqp_url != NULL && qe_amqp_url_parse(own->amqp_url, &where, err) != 0) {
        return -1;
    }
    *out_key = "metrics_urls";
    for (size_t i = 0; i < own->metrics_urls.count; i++) {
        fault = url_fault(own->metrics_urls.items[i]);
        if (fault != NULL) {
            char shown[QE_URL_SHOWN_BYTES];

            return qe_err_set(err, QE_ERR_INVALID, "URL \"%s\" %s",
                              qe_url_show(own->metrics_urls.items[i], shown), fault);
        }
    }
    *out_key = NULL;
    return 0;
}

/* The name goes before a colon, and is not escaped there. */
static int check_user(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_rmq_settings *own = settings;

    if (strchr(own->username, ':') != NULL) {
        *out_key = "username";
        return qe_err_set(err, QE_ERR_INVALID, "must not hold a colon");
    }
    return 0;
}

static int check_vhosts(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_text_list *vhosts = &((const struct qe_rmq_settings *)settings)->vhosts;

    *out_key = "vhosts";
    for (size_t i = 0; i < vhosts->count; i++) {
        if (vhosts->items[i][0] == '\0') {
            return qe_err_set(err, QE_ERR_INVALID,
                              "a virtual host's name cannot be empty; the "
                              "first one is called \"/\"");
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(vhosts->items[i], vhosts->items[j]) == 0) {
                return qe_err_set(err, QE_ERR_INVALID, "virtual host \"%s\" appears twice",
                                  vhosts->items[i]);
            }
        }
    }
    *out_key = NULL;
    return 0;
}

const struct qe_section qe_rmq_section = {
    .name = "rabbitmq",
    .size_bytes = sizeof(struct qe_rmq_settings),
    .options = s_options,
    .options_count = sizeof(s_options) / sizeof(s_options[0]),
    .rules = {check_urls, check_user, check_vhosts},
};
