#include "backend/rabbitmq/dead_letter.h"

#include <string.h>

/* Queues of the default exchange are named by whoever published, and may not exist; and a queue is
 * no dead-letter queue of its own: a message may go round, but is not put aside. */
static void keep_existing(const struct qe_rmq_table *table, const struct qe_rmq_definition *queue,
                          struct qe_rmq_targets *targets, bool *out_loops)
{
    size_t kept = 0;

    for (size_t i = 0; i < targets->count; i++) {
        if (strcmp(targets->names[i], queue->name) == 0) {
            *out_loops = true;
        } else if (qe_rmq_table_get(table, queue->vhost, targets->names[i]) != NULL) {
            targets->names[kept++] = targets->names[i];
        }
    }
    targets->count = kept;
}

/* True: with keys that nobody tells, too. */
static bool reach_all(struct qe_rmq_topology *topology, const struct qe_rmq_definition *queue,
                      struct qe_rmq_targets *out)
{
    const struct qe_rmq_rules *rules = &queue->rules;
    struct qe_rmq_keys keys;

    if (rules->dead_letter_key != NULL) {
        qe_rmq_topology_reach(topology, queue->vhost, rules->dead_letter_exchange,
                              rules->dead_letter_key, out);
        return false;
    }
    qe_rmq_topology_keys(topology, queue->vhost, queue->name, &keys);
    if (keys.is_any) {
        qe_rmq_topology_reach(topology, queue->vhost, rules->dead_letter_exchange, NULL, out);
    }
    for (size_t i = 0; i < keys.count && !keys.is_any; i++) {
        qe_rmq_topology_reach(topology, queue->vhost, rules->dead_letter_exchange, keys.keys[i],
                              out);
    }
    return keys.is_any;
}

void qe_rmq_dead_letters_find(struct qe_rmq_topology *topology, const struct qe_rmq_table *table,
                              const struct qe_rmq_definition *queue,
                              struct qe_rmq_dead_letters *out)
{
    *out = (struct qe_rmq_dead_letters){0};
    if (queue->kind == QE_KIND_STREAM) { /* nothing leaves a stream but by age or size */
        return;
    }
    if (queue->rules.dead_letter_exchange == NULL) {
        out->is_known = true;
        return;
    }
    if (topology == NULL) {
        out->may_reach_others = true;
        return;
    }
    const bool has_other_keys = reach_all(topology, queue, &out->targets);

    keep_existing(table, queue, &out->targets, &out->may_reach_itself);
    /* By the default exchange, with keys nobody tells: some queue, or none. */
    const bool is_anywhere =
        queue->rules.dead_letter_exchange[0] == '\0' && queue->rules.dead_letter_key == NULL;

    out->is_known = out->targets.count > 0 || (!out->targets.is_cut && !is_anywhere);
    out->is_unroutable =
        out->targets.count == 0 && !out->targets.is_cut && !out->may_reach_itself && !is_anywhere;
    out->may_reach_others = out->targets.is_cut || (is_anywhere && has_other_keys);
}
