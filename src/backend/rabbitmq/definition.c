#include "backend/rabbitmq/definition.h"

#include <math.h>
#include <string.h>

#include "util/mem.h"

#define DELIVERIES_MAX 4294967295.0 /* as a message counts them: more is no limit */
#define DELIVERY_LIMIT_OF_4 20      /* what a quorum queue has that says nothing, from 4.0 on */

void qe_rmq_definition_deinit(struct qe_rmq_definition *definition)
{
    qe_free(definition->vhost);
    qe_free(definition->name);
    qe_free(definition->node);
    qe_free(definition->policy);
    qe_rmq_rules_deinit(&definition->rules);
    *definition = (struct qe_rmq_definition){0};
}

static enum qe_queue_kind kind_of(const char *type)
{
    if (type != NULL && strcmp(type, "quorum") == 0) {
        return QE_KIND_QUORUM;
    }
    return type != NULL && strcmp(type, "stream") == 0 ? QE_KIND_STREAM : QE_KIND_CLASSIC;
}

static bool is_true(const struct qe_json *value)
{
    bool flag = false;

    return qe_json_bool(value, &flag) && flag;
}

/* A quorum queue that has lost its majority has no leader, which is null, and no state. */
static bool lacks_leader(const struct qe_json *queue)
{
    return qe_json_is_array(qe_json_get(queue, "members")) &&
           qe_json_text(qe_json_get(queue, "leader")) == NULL &&
           qe_json_text(qe_json_get(queue, "node")) == NULL;
}

static const char *text_of(const struct qe_json *queue, const char *key)
{
    const char *text = qe_json_text(qe_json_get(queue, key));

    return text == NULL ? "" : text;
}

const char *qe_rmq_leader_of(const struct qe_json *queue)
{
    const char *leader = qe_json_text(qe_json_get(queue, "leader"));
    const char *node = leader != NULL ? leader : qe_json_text(qe_json_get(queue, "node"));

    return node == NULL ? "" : node;
}

static void take_delivery_limit(const struct qe_json *queue, struct qe_rmq_definition *out)
{
    const struct qe_json *limit = qe_json_get(queue, "delivery_limit");
    double number = 0;

    if (qe_json_number(limit, &number) && number >= 0) {
        out->rules.delivery_limit = number;
        out->has_own_limit = true;
    } else if (qe_json_text(limit) != NULL) { /* "unlimited" */
        out->rules.delivery_limit = (double)INFINITY;
        out->has_own_limit = true;
    }
}

int qe_rmq_definition_parse(const struct qe_json *queue, struct qe_rmq_definition *out,
                            struct qe_err *err)
{
    const char *vhost = qe_json_text(qe_json_get(queue, "vhost"));
    const char *name = qe_json_text(qe_json_get(queue, "name"));
    const struct qe_json *arguments = qe_json_get(queue, "arguments");
    struct qe_rmq_definition made = {0};
    double number = 0;

    if (vhost == NULL || name == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "a queue without name or vhost");
    }
    if (qe_rmq_rules_parse(arguments, "x-", &made.rules, err) != 0) {
        return -1;
    }
    made.vhost = qe_strdup(vhost);
    made.name = qe_strdup(name);
    made.node = qe_strdup(qe_rmq_leader_of(queue));
    made.policy = qe_strdup(text_of(queue, "policy"));
    if (made.vhost == NULL || made.name == NULL || made.node == NULL || made.policy == NULL) {
        qe_rmq_definition_deinit(&made);
        return qe_err_set(err, QE_ERR_NOMEM, "queue %s", name);
    }
    made.kind = kind_of(qe_json_text(qe_json_get(queue, "type")));
    made.is_exclusive = is_true(qe_json_get(queue, "exclusive"));
    made.has_priorities = qe_json_number(qe_json_get(arguments, "x-max-priority"), &number);
    made.is_single_active = is_true(qe_json_get(arguments, "x-single-active-consumer"));
    made.is_down = strcmp(text_of(queue, "state"), "down") == 0 || lacks_leader(queue);
    take_delivery_limit(queue, &made);
    *out = made;
    return 0;
}

static unsigned applies_to(enum qe_queue_kind kind)
{
    if (kind == QE_KIND_QUORUM) {
        return QE_RMQ_APPLIES_QUORUM;
    }
    return kind == QE_KIND_STREAM ? QE_RMQ_APPLIES_STREAM : QE_RMQ_APPLIES_CLASSIC;
}

static double smaller(double a, double b)
{
    if (a < 0 || b < 0) {
        return a < 0 ? b : a;
    }
    return a < b ? a : b;
}

static int adopt(char **own, const char *theirs, struct qe_err *err)
{
    if (*own != NULL || theirs == NULL) {
        return 0;
    }
    *own = qe_strdup(theirs);
    return *own != NULL ? 0 : qe_err_set(err, QE_ERR_NOMEM, "rules of a queue");
}

static int apply_one(struct qe_rmq_definition *definition, const struct qe_rmq_rules *theirs,
                     struct qe_err *err)
{
    struct qe_rmq_rules *own = &definition->rules;

    if (theirs == NULL) {
        return 0;
    }
    own->max_length_messages = smaller(own->max_length_messages, theirs->max_length_messages);
    own->max_length_bytes = smaller(own->max_length_bytes, theirs->max_length_bytes);
    own->message_ttl_ms = smaller(own->message_ttl_ms, theirs->message_ttl_ms);
    if (!definition->has_own_limit) {
        own->delivery_limit = smaller(own->delivery_limit, theirs->delivery_limit);
    }
    /* Each key by itself: an argument's exchange goes with a policy's routing key. */
    return adopt(&own->dead_letter_exchange, theirs->dead_letter_exchange, err) != 0 ||
                   adopt(&own->dead_letter_key, theirs->dead_letter_key, err) != 0 ||
                   adopt(&own->overflow, theirs->overflow, err) != 0
               ? -1
               : 0;
}

bool qe_rmq_definition_refuses(const struct qe_rmq_definition *definition)
{
    const struct qe_rmq_rules *rules = &definition->rules;

    return definition->is_doubtful ||
           ((rules->max_length_messages >= 0 || rules->max_length_bytes >= 0) &&
            rules->overflow != NULL &&
            strncmp(rules->overflow, "reject-publish", sizeof "reject-publish" - 1) == 0);
}

void qe_rmq_definition_tell(const struct qe_rmq_definition *definition, struct qe_queue *out)
{
    const double limit = definition->rules.delivery_limit;
    const bool is_limited =
        definition->kind == QE_KIND_QUORUM && limit >= 0 && limit < DELIVERIES_MAX;

    out->kind = definition->kind;
    out->delivery_known = true;
    out->is_single_active = definition->is_single_active;
    out->may_refuse = definition->is_exclusive || qe_rmq_definition_refuses(definition);
    out->deliveries_most = is_limited ? (int64_t)limit : -1;
}

int qe_rmq_definition_apply(struct qe_rmq_definition *definition,
                            const struct qe_rmq_policies *policies,
                            const struct qe_rmq_policies *operator_policies, unsigned version_major,
                            struct qe_err *err)
{
    struct qe_rmq_subject subject = {.vhost = definition->vhost,
                                     .name = definition->name,
                                     .applies = applies_to(definition->kind),
                                     .policy = definition->policy};

    if (apply_one(definition, qe_rmq_policies_find(policies, &subject, &definition->is_doubtful),
                  err) != 0) {
        return -1;
    }
    subject.policy = NULL; /* the broker says so only in its statistics */
    if (apply_one(definition,
                  qe_rmq_policies_find(operator_policies, &subject, &definition->is_doubtful),
                  err) != 0) {
        return -1;
    }
    if (definition->is_doubtful) { /* the other one may be smaller */
        definition->rules.max_length_messages = definition->rules.max_length_bytes = -1;
        definition->rules.message_ttl_ms = -1;
    }
    if (definition->kind == QE_KIND_QUORUM && !definition->has_own_limit && version_major >= 4 &&
        definition->rules.delivery_limit < 0) {
        definition->rules.delivery_limit = DELIVERY_LIMIT_OF_4;
    }
    return 0;
}
