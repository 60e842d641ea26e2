#include <stdlib.h>
#include <string.h>

#include "model/queue.h"
#include "util/mem.h"

static int compare_items(const void *a, const void *b)
{
    return qe_queue_compare(a, b);
}

static void drop_duplicates(struct qe_queue *items, size_t *count)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        if (kept > 0 && qe_queue_compare(&items[kept - 1], &items[i]) == 0) {
            qe_queue_deinit(&items[i]);
            continue;
        }
        if (kept != i) { /* never over something that lives: that place was moved or freed */
            items[kept] = items[i];
            items[i] = (struct qe_queue){0};
        }
        kept++;
    }
    *count = kept;
}

size_t qe_queue_set_find(const struct qe_queue_set *set, const char *vhost, const char *name)
{
    size_t low = 0;
    size_t high = set->count;
    const char *wanted_vhost = vhost == NULL ? "" : vhost;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct qe_queue *item = &set->items[middle];
        int order = strcmp(item->vhost, wanted_vhost);

        order = order != 0 ? order : strcmp(item->name, name);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return SIZE_MAX;
}

static int resolve_targets(struct qe_queue_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct qe_queue *queue = &set->items[i];

        if (queue->links_count == 0) {
            continue;
        }
        size_t *targets = qe_calloc(queue->links_count, sizeof *targets);

        if (targets == NULL) {
            return -1;
        }
        set->link_targets[i] = targets;
        for (size_t j = 0; j < queue->links_count; j++) {
            targets[j] = qe_queue_set_find(set, queue->links[j].vhost, queue->links[j].queue);
            if (targets[j] != SIZE_MAX) {
                set->link_source_starts[targets[j] + 1]++;
            }
        }
    }
    return 0;
}

/* "orders" dead-letters into "orders.retry", which sends everything back after a minute: nothing
 * stays in either for somebody to look at. */
static bool is_retry_loop(const struct qe_queue_set *set, size_t from, size_t to)
{
    if (!set->items[from].returns_by_time && !set->items[to].returns_by_time) {
        return false;
    }
    for (size_t i = 0; i < set->items[to].links_count; i++) {
        if (set->link_targets[to][i] == from) {
            return true;
        }
    }
    return false;
}

static void mark_target(struct qe_queue_set *set, size_t from, size_t to)
{
    if (!is_retry_loop(set, from, to)) {
        set->is_dead_letter_queue[to] = true;
        return;
    }
    set->items[from].is_delay_queue |= set->items[from].returns_by_time;
    set->items[to].is_delay_queue |= set->items[to].returns_by_time;
}

static void mark_dead_letter_queues(struct qe_queue_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i].is_dead_letter_elsewhere) {
            set->is_dead_letter_queue[i] = true;
        }
        for (size_t j = 0; j < set->items[i].links_count; j++) {
            size_t target = set->link_targets[i][j];

            if (target != SIZE_MAX && !set->is_dead_letter_queue[target]) {
                mark_target(set, i, target);
            }
        }
    }
}

/* The links the other way round, as a counting sort by target: resolve_targets() has left the count
 * of target t in link_source_starts[t + 1]. */
static int resolve_sources(struct qe_queue_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        set->link_source_starts[i + 1] += set->link_source_starts[i];
    }
    size_t total = set->link_source_starts[set->count];

    if (total == 0) {
        return 0;
    }
    set->link_sources = qe_calloc(total, sizeof *set->link_sources);
    if (set->link_sources == NULL) {
        return -1;
    }
    /* Filled from the back, so that the starts serve as cursors and end where they belong. */
    for (size_t i = set->count; i > 0; i--) {
        set->link_source_starts[i] = set->link_source_starts[i - 1];
    }
    for (size_t i = 0; i < set->count; i++) {
        for (size_t j = 0; j < set->items[i].links_count; j++) {
            size_t target = set->link_targets[i][j];

            if (target != SIZE_MAX) {
                set->link_sources[set->link_source_starts[target + 1]] = i;
                set->link_source_starts[target + 1]++;
            }
        }
    }
    return 0;
}

static int resolve(struct qe_queue_set *set)
{
    set->link_source_starts = qe_calloc(set->count + 1, sizeof *set->link_source_starts);
    if (set->link_source_starts == NULL) {
        return -1;
    }
    if (set->count == 0) {
        return 0;
    }
    set->link_targets = qe_calloc(set->count, sizeof *set->link_targets);
    set->is_dead_letter_queue = qe_calloc(set->count, sizeof *set->is_dead_letter_queue);
    if (set->link_targets == NULL || set->is_dead_letter_queue == NULL) {
        return -1;
    }
    if (resolve_targets(set) != 0) {
        return -1;
    }
    mark_dead_letter_queues(set);
    return resolve_sources(set);
}

static void destroy(struct qe_queue_set *set)
{
    if (set->annex != NULL && set->annex_destroy != NULL) {
        set->annex_destroy(set->annex);
    }
    for (size_t i = 0; i < set->count; i++) {
        if (set->link_targets != NULL) {
            qe_free(set->link_targets[i]);
        }
        qe_queue_deinit(&set->items[i]);
    }
    qe_free(set->link_targets);
    qe_free(set->link_sources);
    qe_free(set->link_source_starts);
    qe_free(set->is_dead_letter_queue);
    qe_free(set->items);
    qe_free(set);
}

struct qe_queue_set *qe_queue_set_new_take(struct qe_queue_list *list, struct qe_err *err)
{
    struct qe_queue_set *set = qe_calloc(1, sizeof *set);

    if (set == NULL) {
        qe_queue_list_deinit(list);
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for a set of queues");
        return NULL;
    }
    atomic_init(&set->refs, 1);
    set->items = list->items;
    set->count = list->count;
    *list = (struct qe_queue_list){0};
    if (set->count > 0) {
        qsort(set->items, set->count, sizeof *set->items, compare_items);
        drop_duplicates(set->items, &set->count);
    }
    if (resolve(set) != 0) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for a set of %zu queues", set->count);
        destroy(set);
        return NULL;
    }
    return set;
}

struct qe_queue_set *qe_queue_set_acquire(struct qe_queue_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void qe_queue_set_release(struct qe_queue_set *set)
{
    if (set != NULL && atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) == 1) {
        destroy(set);
    }
}

static bool equal_links(const struct qe_queue *a, const struct qe_queue *b)
{
    if (a->links_count != b->links_count) {
        return false;
    }
    for (size_t i = 0; i < a->links_count; i++) {
        if (strcmp(a->links[i].vhost, b->links[i].vhost) != 0 ||
            strcmp(a->links[i].queue, b->links[i].queue) != 0 ||
            a->links[i].by_consumer != b->links[i].by_consumer) {
            return false;
        }
    }
    return true;
}

static bool equal_labels(const struct qe_queue *a, const struct qe_queue *b)
{
    if (a->labels_count != b->labels_count) {
        return false;
    }
    for (size_t i = 0; i < a->labels_count; i++) {
        if (strcmp(a->labels[i].name, b->labels[i].name) != 0 ||
            strcmp(a->labels[i].value, b->labels[i].value) != 0) {
            return false;
        }
    }
    return true;
}

static bool equal_delivery(const struct qe_queue *a, const struct qe_queue *b)
{
    return a->delivery_known == b->delivery_known && a->is_single_active == b->is_single_active &&
           a->may_refuse == b->may_refuse && a->deliveries_most == b->deliveries_most;
}

static bool equal_facts(const struct qe_queue *a, const struct qe_queue *b)
{
    return a->kind == b->kind && a->retention_from_first_send == b->retention_from_first_send &&
           a->dead_letter_known == b->dead_letter_known &&
           a->dead_letter_unroutable == b->dead_letter_unroutable &&
           a->returns_by_time == b->returns_by_time && a->is_delay_queue == b->is_delay_queue &&
           a->is_dead_letter_elsewhere == b->is_dead_letter_elsewhere &&
           qe_queue_compare(a, b) == 0 && strcmp(a->address, b->address) == 0 &&
           strcmp(a->arn, b->arn) == 0 && strcmp(a->region, b->region) == 0 &&
           strcmp(a->account_id, b->account_id) == 0 && equal_delivery(a, b) && equal_links(a, b) &&
           equal_labels(a, b);
}

bool qe_queue_set_equal(const struct qe_queue_set *a, const struct qe_queue_set *b)
{
    if (a == b) {
        return true;
    }
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!equal_facts(&a->items[i], &b->items[i])) {
            return false;
        }
    }
    return true;
}
