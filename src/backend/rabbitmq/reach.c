/* Questions to a topology: where a message goes, and with which keys messages come. */
#include <stdlib.h>
#include <string.h>

#include "backend/rabbitmq/topology.h"

#define VISITS_MAX 64 /* exchanges on the way of one message */
/* Of all questions to one topology: some seconds' worth. A broker of 10 000 queues that each have
 * their own key on one topic exchange would take 100 million. */
#define STEPS_MAX UINT64_C(50000000)

static const struct qe_rmq_exchange *find_exchange(const struct qe_rmq_topology *topology,
                                                   const char *vhost, const char *name)
{
    size_t low = 0;
    size_t high = topology->exchanges_count;

    for (; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const struct qe_rmq_exchange *at = &topology->exchanges[middle];
        int order = strcmp(at->vhost, vhost);

        order = order != 0 ? order : strcmp(at->name, name);
        if (order == 0) {
            return at;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* The first binding of `source`, from `key` on; key NULL: from its first. */
static size_t first_binding(const struct qe_rmq_topology *topology, const char *vhost,
                            const char *source, const char *key)
{
    size_t low = 0;
    size_t high = topology->bindings_count;

    for (; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const struct qe_rmq_binding *at = &topology->bindings[middle];
        int order = strcmp(at->vhost, vhost);

        order = order != 0 ? order : strcmp(at->source, source);
        order = order != 0 || key == NULL ? order : strcmp(at->key, key);
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* --- topics --- */

#define WORDS_MAX 256 /* a key has at most 255 bytes */

struct words {
    const char *at[WORDS_MAX];
    size_t bytes[WORDS_MAX];
    size_t count;
};

/* What lies between dots; an empty key has no word at all. False: more than any key can have. */
static bool split(const char *key, struct words *out)
{
    out->count = 0;
    for (const char *at = key; *key != '\0';) {
        const size_t bytes = strcspn(at, ".");

        if (out->count == WORDS_MAX) {
            return false;
        }
        out->at[out->count] = at;
        out->bytes[out->count++] = bytes;
        if (at[bytes] == '\0') {
            break;
        }
        at += bytes + 1;
    }
    return true;
}

static bool is_word(const struct words *words, size_t index, char c)
{
    return words->bytes[index] == 1 && words->at[index][0] == c;
}

static bool words_match(const struct words *pattern, size_t p, const struct words *key, size_t k)
{
    return is_word(pattern, p, '*') || (pattern->bytes[p] == key->bytes[k] &&
                                        memcmp(pattern->at[p], key->at[k], key->bytes[k]) == 0);
}

/* "*" is one word, "#" any number of them: on a mismatch the last "#" takes one more. */
bool qe_rmq_topic_matches(const char *pattern, const char *key)
{
    struct words patterns;
    struct words words;
    size_t p = 0;
    size_t k = 0;
    size_t retry_p = SIZE_MAX;
    size_t retry_k = 0;

    if (!split(pattern, &patterns) || !split(key, &words)) {
        return false;
    }
    for (; k < words.count;) {
        if (p < patterns.count && is_word(&patterns, p, '#')) {
            retry_p = ++p;
            retry_k = k;
        } else if (p < patterns.count && words_match(&patterns, p, &words, k)) {
            p++;
            k++;
        } else if (retry_p != SIZE_MAX) {
            p = retry_p;
            k = ++retry_k;
        } else {
            return false;
        }
    }
    for (; p < patterns.count && is_word(&patterns, p, '#');) {
        p++;
    }
    return p == patterns.count;
}

/* --- where a message goes --- */

struct walk {
    struct qe_rmq_topology *topology;
    const char *vhost;
    const char *key; /* NULL: any */
    const char *visits[VISITS_MAX];
    size_t visits_count;
    struct qe_rmq_targets *out;
};

static void add_target(struct qe_rmq_targets *out, const char *name)
{
    for (size_t i = 0; i < out->count; i++) {
        if (strcmp(out->names[i], name) == 0) {
            return;
        }
    }
    if (out->count == QE_LINKS_MAX) {
        out->is_cut = true;
        return;
    }
    out->names[out->count++] = name;
}

/* An exchange gets each message once, however many ways lead to it. */
static void add_visit(struct walk *walk, const char *exchange)
{
    for (size_t i = 0; i < walk->visits_count; i++) {
        if (strcmp(walk->visits[i], exchange) == 0) {
            return;
        }
    }
    if (walk->visits_count == VISITS_MAX) {
        walk->out->is_cut = true;
        return;
    }
    walk->visits[walk->visits_count++] = exchange;
}

static bool lets_through(const struct qe_rmq_binding *binding, enum qe_rmq_exchange_type type,
                         const char *key)
{
    if (key == NULL || type == QE_RMQ_FANOUT || type == QE_RMQ_OTHER) {
        return true;
    }
    return type == QE_RMQ_DIRECT ? strcmp(binding->key, key) == 0
                                 : qe_rmq_topic_matches(binding->key, key);
}

/* Follows the bindings of one exchange. */
static void visit(struct walk *walk, const char *name)
{
    struct qe_rmq_topology *topology = walk->topology;
    const struct qe_rmq_exchange *exchange = find_exchange(topology, walk->vhost, name);
    bool is_routed = false;

    if (exchange == NULL) {
        return;
    }
    const char *from = exchange->type == QE_RMQ_DIRECT ? walk->key : NULL;

    for (size_t i = first_binding(topology, walk->vhost, name, from); i < topology->bindings_count;
         i++) {
        const struct qe_rmq_binding *binding = &topology->bindings[i];

        if (strcmp(binding->vhost, walk->vhost) != 0 || strcmp(binding->source, name) != 0 ||
            (from != NULL && strcmp(binding->key, from) != 0)) {
            break;
        }
        if (++topology->steps > STEPS_MAX) {
            walk->out->is_cut = true;
            return;
        }
        if (!lets_through(binding, exchange->type, walk->key)) {
            continue;
        }
        is_routed = true;
        if (binding->is_to_exchange) {
            add_visit(walk, binding->destination);
        } else {
            add_target(walk->out, binding->destination);
        }
    }
    if (!is_routed && exchange->alternate != NULL) {
        add_visit(walk, exchange->alternate);
    }
}

void qe_rmq_topology_reach(struct qe_rmq_topology *topology, const char *vhost,
                           const char *exchange, const char *key, struct qe_rmq_targets *out)
{
    struct walk walk = {.topology = topology, .vhost = vhost, .key = key, .out = out};

    add_visit(&walk, exchange);
    for (size_t i = 0; i < walk.visits_count; i++) { /* grows while it is walked */
        if (walk.visits[i][0] != '\0') {
            visit(&walk, walk.visits[i]);
        } else if (key != NULL && i == 0) { /* it is bound to no exchange, nor is it an alternate */
            add_target(out, key);
        }
    }
}

/* --- with which keys messages come --- */

static size_t first_of_destination(const struct qe_rmq_topology *topology, const char *vhost,
                                   const char *queue)
{
    size_t low = 0;
    size_t high = topology->bindings_count;

    for (; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const struct qe_rmq_binding *at = &topology->bindings[topology->by_destination[middle]];
        int order = strcmp(at->vhost, vhost);

        order = order != 0 ? order : strcmp(at->destination, queue);
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool tells_its_key(const struct qe_rmq_topology *topology,
                          const struct qe_rmq_binding *binding)
{
    const struct qe_rmq_exchange *exchange =
        find_exchange(topology, binding->vhost, binding->source);

    if (exchange == NULL) {
        return false;
    }
    return exchange->type == QE_RMQ_DIRECT ||
           (exchange->type == QE_RMQ_TOPIC && strpbrk(binding->key, "*#") == NULL);
}

void qe_rmq_topology_keys(const struct qe_rmq_topology *topology, const char *vhost,
                          const char *queue, struct qe_rmq_keys *out)
{
    *out = (struct qe_rmq_keys){0};
    out->keys[out->count++] = queue; /* of what is published straight to it */
    for (size_t i = first_of_destination(topology, vhost, queue); i < topology->bindings_count;
         i++) {
        const struct qe_rmq_binding *binding = &topology->bindings[topology->by_destination[i]];

        if (strcmp(binding->vhost, vhost) != 0 || strcmp(binding->destination, queue) != 0) {
            return;
        }
        if (binding->is_to_exchange) {
            continue;
        }
        if (!tells_its_key(topology, binding) || out->count == QE_LINKS_MAX) {
            out->is_any = true;
            return;
        }
        out->keys[out->count++] = binding->key;
    }
}
