#include "backend/rabbitmq/topology.h"

#include <stdlib.h>
#include <string.h>

#include "util/mem.h"

#define EXCHANGES_MAX 1000000
#define BINDINGS_MAX 10000000
static void exchange_deinit(struct qe_rmq_exchange *exchange)
{
    qe_free(exchange->vhost);
    qe_free(exchange->name);
    qe_free(exchange->alternate);
}

static void binding_deinit(struct qe_rmq_binding *binding)
{
    qe_free(binding->vhost);
    qe_free(binding->source);
    qe_free(binding->destination);
    qe_free(binding->key);
}

void qe_rmq_topology_deinit(struct qe_rmq_topology *topology)
{
    for (size_t i = 0; i < topology->exchanges_count; i++) {
        exchange_deinit(&topology->exchanges[i]);
    }
    for (size_t i = 0; i < topology->bindings_count; i++) {
        binding_deinit(&topology->bindings[i]);
    }
    qe_free(topology->exchanges);
    qe_free(topology->bindings);
    qe_free(topology->by_destination);
    *topology = (struct qe_rmq_topology){0};
}

static const char *text_of(const struct qe_json *object, const char *key)
{
    return qe_json_text(qe_json_get(object, key));
}

static enum qe_rmq_exchange_type type_of(const char *type)
{
    if (type != NULL && strcmp(type, "direct") == 0) {
        return QE_RMQ_DIRECT;
    }
    if (type != NULL && strcmp(type, "fanout") == 0) {
        return QE_RMQ_FANOUT;
    }
    return type != NULL && strcmp(type, "topic") == 0 ? QE_RMQ_TOPIC : QE_RMQ_OTHER;
}

/* An exchange of the delayed-message plugin hands on, later, as the type that it names would. */
static enum qe_rmq_exchange_type routes_as(const struct qe_json *object)
{
    const char *type = text_of(object, "type");

    return type_of(type != NULL && strcmp(type, "x-delayed-message") == 0
                       ? text_of(qe_json_get(object, "arguments"), "x-delayed-type")
                       : type);
}

/* The argument's, or else the policy's. */
static const char *alternate_of(const struct qe_json *object,
                                const struct qe_rmq_policies *policies, const char *vhost,
                                const char *name)
{
    const char *own = text_of(qe_json_get(object, "arguments"), "alternate-exchange");
    const struct qe_rmq_subject subject = {
        .vhost = vhost, .name = name, .applies = QE_RMQ_APPLIES_EXCHANGE};
    bool ignored = false; /* told of the list as a whole */
    const struct qe_rmq_rules *rules =
        own != NULL ? NULL : qe_rmq_policies_find(policies, &subject, &ignored);

    return rules != NULL ? rules->alternate_exchange : own;
}

static int exchange_parse(const struct qe_json *object, const struct qe_rmq_policies *policies,
                          struct qe_rmq_exchange *out, struct qe_err *err)
{
    const char *vhost = text_of(object, "vhost");
    const char *name = text_of(object, "name");

    if (vhost == NULL || name == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "an exchange without name or vhost");
    }
    const char *alternate = alternate_of(object, policies, vhost, name);

    out->type = routes_as(object);
    out->vhost = qe_strdup(vhost);
    out->name = qe_strdup(name);
    out->alternate = alternate == NULL ? NULL : qe_strdup(alternate);
    if (out->vhost == NULL || out->name == NULL || (alternate != NULL && out->alternate == NULL)) {
        return qe_err_set(err, QE_ERR_NOMEM, "exchange %s", name);
    }
    return 0;
}

int qe_rmq_topology_add_exchanges(struct qe_rmq_topology *topology, const struct qe_json *array,
                                  const struct qe_rmq_policies *policies, struct qe_err *err)
{
    if (!qe_json_is_array(array)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "exchanges are no list");
    }
    for (const struct qe_json *at = qe_json_first(array); at != NULL; at = qe_json_next(at)) {
        struct qe_rmq_exchange exchange = {0};

        if (exchange_parse(at, policies, &exchange, err) != 0) {
            exchange_deinit(&exchange);
            return -1;
        }
        if (qe_grow(&topology->exchanges, topology->exchanges_count, &topology->exchanges_capacity,
                    EXCHANGES_MAX, sizeof exchange) != 0) {
            exchange_deinit(&exchange);
            return qe_err_set(err, QE_ERR_NOMEM, "%zu exchanges", topology->exchanges_count + 1);
        }
        topology->exchanges[topology->exchanges_count++] = exchange;
    }
    return 0;
}

static int binding_parse(const struct qe_json *object, struct qe_rmq_binding *out,
                         struct qe_err *err)
{
    const char *texts[] = {text_of(object, "vhost"), text_of(object, "source"),
                           text_of(object, "destination"), text_of(object, "routing_key")};
    const char *type = text_of(object, "destination_type");

    if (texts[0] == NULL || texts[1] == NULL || texts[2] == NULL || texts[3] == NULL ||
        type == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "a binding without source, destination or key");
    }
    out->is_to_exchange = strcmp(type, "exchange") == 0;
    out->vhost = qe_strdup(texts[0]);
    out->source = qe_strdup(texts[1]);
    out->destination = qe_strdup(texts[2]);
    out->key = qe_strdup(texts[3]);
    if (out->vhost == NULL || out->source == NULL || out->destination == NULL || out->key == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "a binding of exchange %s", texts[1]);
    }
    return 0;
}

int qe_rmq_topology_add_bindings(struct qe_rmq_topology *topology, const struct qe_json *array,
                                 struct qe_err *err)
{
    if (!qe_json_is_array(array)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "bindings are no list");
    }
    for (const struct qe_json *at = qe_json_first(array); at != NULL; at = qe_json_next(at)) {
        const char *source = text_of(at, "source");
        struct qe_rmq_binding binding = {0};

        if (source != NULL && source[0] == '\0') {
            continue;
        }
        if (binding_parse(at, &binding, err) != 0) {
            binding_deinit(&binding);
            return -1;
        }
        if (qe_grow(&topology->bindings, topology->bindings_count, &topology->bindings_capacity,
                    BINDINGS_MAX, sizeof binding) != 0) {
            binding_deinit(&binding);
            return qe_err_set(err, QE_ERR_NOMEM, "%zu bindings", topology->bindings_count + 1);
        }
        topology->bindings[topology->bindings_count++] = binding;
    }
    return 0;
}

/* --- order --- */

static int compare_exchanges(const void *a, const void *b)
{
    const struct qe_rmq_exchange *left = a;
    const struct qe_rmq_exchange *right = b;
    const int order = strcmp(left->vhost, right->vhost);

    return order != 0 ? order : strcmp(left->name, right->name);
}

static int compare_bindings(const void *a, const void *b)
{
    const struct qe_rmq_binding *left = a;
    const struct qe_rmq_binding *right = b;
    int order = strcmp(left->vhost, right->vhost);

    order = order != 0 ? order : strcmp(left->source, right->source);
    return order != 0 ? order : strcmp(left->key, right->key);
}

/* The index is an array of copies of the destinations' places, so that qsort needs no context. */
struct place {
    const struct qe_rmq_binding *binding;
};

static int compare_places(const void *a, const void *b)
{
    const struct qe_rmq_binding *left = ((const struct place *)a)->binding;
    const struct qe_rmq_binding *right = ((const struct place *)b)->binding;
    const int order = strcmp(left->vhost, right->vhost);

    return order != 0 ? order : strcmp(left->destination, right->destination);
}

int qe_rmq_topology_seal(struct qe_rmq_topology *topology, struct qe_err *err)
{
    const size_t count = topology->bindings_count;
    struct place *places = NULL;

    if (topology->exchanges_count > 1) {
        qsort(topology->exchanges, topology->exchanges_count, sizeof *topology->exchanges,
              compare_exchanges);
    }
    if (count == 0) {
        return 0;
    }
    qsort(topology->bindings, count, sizeof *topology->bindings, compare_bindings);
    places = qe_calloc(count, sizeof *places);
    topology->by_destination = qe_calloc(count, sizeof *topology->by_destination);
    if (places == NULL || topology->by_destination == NULL) {
        qe_free(places);
        return qe_err_set(err, QE_ERR_NOMEM, "index of %zu bindings", count);
    }
    for (size_t i = 0; i < count; i++) {
        places[i].binding = &topology->bindings[i];
    }
    qsort(places, count, sizeof *places, compare_places);
    for (size_t i = 0; i < count; i++) {
        topology->by_destination[i] = (size_t)(places[i].binding - topology->bindings);
    }
    qe_free(places);
    return 0;
}
