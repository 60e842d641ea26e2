#include "backend/rabbitmq/policy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"
#include "util/strbuf.h"

#define POLICIES_MAX 100000
#define KEY_BYTES 64
#define LIMIT_MAX 9007199254740992.0 /* 2^53: exact in a double */

void qe_rmq_rules_init(struct qe_rmq_rules *rules)
{
    *rules = (struct qe_rmq_rules){.max_length_messages = -1,
                                   .max_length_bytes = -1,
                                   .message_ttl_ms = -1,
                                   .delivery_limit = -1};
}

void qe_rmq_rules_deinit(struct qe_rmq_rules *rules)
{
    qe_free(rules->dead_letter_exchange);
    qe_free(rules->dead_letter_key);
    qe_free(rules->alternate_exchange);
    qe_free(rules->overflow);
    qe_rmq_rules_init(rules);
}

static const struct qe_json *member(const struct qe_json *object, const char *prefix,
                                    const char *key)
{
    char name[KEY_BYTES];

    (void)snprintf(name, sizeof name, "%s%s", prefix, key);
    return qe_json_get(object, name);
}

static int copy_text(const struct qe_json *value, char **out, struct qe_err *err)
{
    const char *text = qe_json_text(value);

    if (text == NULL) {
        return 0;
    }
    *out = qe_strdup(text);
    return *out != NULL ? 0 : qe_err_set(err, QE_ERR_NOMEM, "rules of a queue");
}

static double limit_of(const struct qe_json *value)
{
    double number = 0;

    return qe_json_number(value, &number) && number >= 0 && number <= LIMIT_MAX ? number : -1;
}

/* A negative one says that there is none, which from 4.0 on is not what a missing one says. */
static double delivery_limit_of(const struct qe_json *value)
{
    double number = 0;

    return qe_json_number(value, &number) && number < 0 ? (double)INFINITY : limit_of(value);
}

int qe_rmq_rules_parse(const struct qe_json *object, const char *prefix, struct qe_rmq_rules *out,
                       struct qe_err *err)
{
    struct qe_rmq_rules rules;

    qe_rmq_rules_init(&rules);
    if (!qe_json_is_object(object)) { /* "[]" stands for none at some versions */
        *out = rules;
        return 0;
    }
    if (copy_text(member(object, prefix, "dead-letter-exchange"), &rules.dead_letter_exchange,
                  err) != 0 ||
        copy_text(member(object, prefix, "dead-letter-routing-key"), &rules.dead_letter_key, err) !=
            0 ||
        copy_text(qe_json_get(object, "alternate-exchange"), &rules.alternate_exchange, err) != 0 ||
        copy_text(member(object, prefix, "overflow"), &rules.overflow, err) != 0) {
        qe_rmq_rules_deinit(&rules);
        return -1;
    }
    rules.max_length_messages = limit_of(member(object, prefix, "max-length"));
    rules.max_length_bytes = limit_of(member(object, prefix, "max-length-bytes"));
    rules.message_ttl_ms = limit_of(member(object, prefix, "message-ttl"));
    rules.delivery_limit = delivery_limit_of(member(object, prefix, "delivery-limit"));
    *out = rules;
    return 0;
}

/* --- policies --- */

static void policy_deinit(struct qe_rmq_policy *policy)
{
    qe_free(policy->vhost);
    qe_free(policy->name);
    qe_regex_destroy(policy->pattern);
    qe_rmq_rules_deinit(&policy->rules);
}

void qe_rmq_policies_deinit(struct qe_rmq_policies *policies)
{
    for (size_t i = 0; i < policies->count; i++) {
        policy_deinit(&policies->items[i]);
    }
    qe_free(policies->items);
    *policies = (struct qe_rmq_policies){0};
}

static unsigned applies_of(const char *text)
{
    static const struct {
        const char *text;
        unsigned applies;
    } names[] = {
        {"all", QE_RMQ_APPLIES_CLASSIC | QE_RMQ_APPLIES_QUORUM | QE_RMQ_APPLIES_STREAM |
                    QE_RMQ_APPLIES_EXCHANGE},
        {"queues", QE_RMQ_APPLIES_CLASSIC | QE_RMQ_APPLIES_QUORUM | QE_RMQ_APPLIES_STREAM},
        {"classic_queues", QE_RMQ_APPLIES_CLASSIC},
        {"quorum_queues", QE_RMQ_APPLIES_QUORUM},
        {"streams", QE_RMQ_APPLIES_STREAM},
        {"exchanges", QE_RMQ_APPLIES_EXCHANGE},
    };

    for (size_t i = 0; text != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i].text) == 0) {
            return names[i].applies;
        }
    }
    return 0;
}

/* The broker looks for the pattern anywhere in the name; qe_regex wants the whole of it. */
static struct qe_regex *pattern_of(const char *pattern, struct qe_err *err)
{
    struct qe_strbuf text;
    struct qe_regex *regex = NULL;

    qe_strbuf_init(&text, 0);
    (void)qe_strbuf_append_text(&text, "(?s:.*?)(?:");
    (void)qe_strbuf_append_text(&text, pattern);
    (void)qe_strbuf_append_text(&text, ")(?s:.*)");
    if (qe_strbuf_error(&text, err) == 0) {
        regex = qe_regex_new(qe_strbuf_text(&text), err);
    }
    qe_strbuf_deinit(&text);
    return regex;
}

static int policy_parse(const struct qe_json *object, struct qe_rmq_policy *out, struct qe_err *err)
{
    const char *vhost = qe_json_text(qe_json_get(object, "vhost"));
    const char *name = qe_json_text(qe_json_get(object, "name"));
    const char *pattern = qe_json_text(qe_json_get(object, "pattern"));

    if (vhost == NULL || name == NULL || pattern == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "a policy without vhost, name or pattern");
    }
    out->applies = applies_of(qe_json_text(qe_json_get(object, "apply-to")));
    (void)qe_json_number(qe_json_get(object, "priority"), &out->priority);
    out->vhost = qe_strdup(vhost);
    out->name = qe_strdup(name);
    if (out->vhost == NULL || out->name == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "policy %s", name);
    }
    if (qe_rmq_rules_parse(qe_json_get(object, "definition"), "", &out->rules, err) != 0) {
        return -1;
    }
    out->pattern = pattern_of(pattern, err);
    return out->pattern != NULL ? 0 : qe_err_wrap(err, "policy %s of vhost %s", name, vhost);
}

static int compare_policies(const void *a, const void *b)
{
    const struct qe_rmq_policy *left = a;
    const struct qe_rmq_policy *right = b;
    const int order = strcmp(left->vhost, right->vhost);

    if (order != 0) {
        return order;
    }
    return left->priority > right->priority ? -1 : left->priority < right->priority ? 1 : 0;
}

int qe_rmq_policies_parse(const struct qe_json *array, struct qe_rmq_policies *out,
                          struct qe_err *err)
{
    if (!qe_json_is_array(array)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "policies are no list");
    }
    for (const struct qe_json *at = qe_json_first(array); at != NULL; at = qe_json_next(at)) {
        struct qe_rmq_policy policy = {0};
        struct qe_err why = {0};

        if (policy_parse(at, &policy, &why) != 0) {
            if (why.code == QE_ERR_NOMEM) {
                policy_deinit(&policy);
                *err = why;
                return -1;
            }
            out->doubtful = why; /* the others stand */
        }
        if (policy.vhost == NULL || policy.name == NULL) {
            policy_deinit(&policy);
            continue;
        }
        if (qe_grow(&out->items, out->count, &out->capacity, POLICIES_MAX, sizeof policy) != 0) {
            policy_deinit(&policy);
            return qe_err_set(err, QE_ERR_NOMEM, "%zu policies", out->count + 1);
        }
        out->items[out->count++] = policy;
    }
    if (out->count > 1) {
        qsort(out->items, out->count, sizeof *out->items, compare_policies);
    }
    return 0;
}

const struct qe_rmq_rules *qe_rmq_policies_find(const struct qe_rmq_policies *policies,
                                                const struct qe_rmq_subject *subject,
                                                bool *out_doubtful)
{
    const struct qe_rmq_rules *matching = NULL;
    const bool is_told = subject->policy != NULL && subject->policy[0] != '\0';
    bool is_doubtful = false;

    for (size_t i = 0; i < policies->count; i++) {
        const struct qe_rmq_policy *policy = &policies->items[i];

        if (strcmp(policy->vhost, subject->vhost) != 0) {
            continue;
        }
        if (is_told && strcmp(policy->name, subject->policy) == 0) {
            return &policy->rules;
        }
        if (matching != NULL || (policy->applies & subject->applies) == 0) {
            continue;
        }
        if (policy->pattern == NULL) {
            is_doubtful = true;
        } else if (qe_regex_matches(policy->pattern, subject->name)) {
            matching = &policy->rules;
            if (!is_told) {
                break;
            }
        }
    }
    *out_doubtful = *out_doubtful || is_doubtful;
    return matching;
}
