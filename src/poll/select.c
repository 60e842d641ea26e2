#include "poll/select.h"

#include <stdlib.h>

#include "util/mem.h"

enum verdict {
    DROP = 0,
    WATCH,
    WATCH_DEAD_LETTER /* the cap does not touch it */
};

struct selection {
    struct qe_queue_list *list;
    unsigned char *verdicts; /* owned; enum verdict per queue */
    size_t *pending;         /* owned; kept queues whose links are still to be followed */
    size_t pending_count;
};

static int compare_queues(const void *a, const void *b)
{
    return qe_queue_compare(a, b);
}

static bool matches_any(struct qe_regex *const *regexes, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (qe_regex_matches(regexes[i], name)) {
            return true;
        }
    }
    return false;
}

static bool passes_filters(const struct qe_select_rules *rules, const char *name)
{
    if (rules->include_count > 0 && !matches_any(rules->include, rules->include_count, name)) {
        return false;
    }
    return !matches_any(rules->exclude, rules->exclude_count, name);
}

static size_t find(const struct qe_queue_list *list, const struct qe_dead_letter_link *link)
{
    struct qe_queue key = {.vhost = link->vhost, .name = link->queue};
    const struct qe_queue *found =
        bsearch(&key, list->items, list->count, sizeof *list->items, compare_queues);

    return found == NULL ? SIZE_MAX : (size_t)(found - list->items);
}

static void sort_and_deduplicate(struct qe_queue_list *list)
{
    size_t kept = 0;

    if (list->count < 2) {
        return;
    }
    qsort(list->items, list->count, sizeof *list->items, compare_queues);
    for (size_t i = 1; i < list->count; i++) {
        if (qe_queue_compare(&list->items[kept], &list->items[i]) == 0) {
            qe_queue_deinit(&list->items[i]);
            continue;
        }
        kept++;
        if (kept != i) {
            list->items[kept] = list->items[i];
        }
    }
    list->count = kept + 1;
}

static void apply_filters(struct selection *selection, const struct qe_select_rules *rules)
{
    for (size_t i = 0; i < selection->list->count; i++) {
        if (passes_filters(rules, selection->list->items[i].name)) {
            selection->verdicts[i] = WATCH;
            selection->pending[selection->pending_count++] = i;
        }
    }
}

/* A queue enters `pending` when it is first kept, so each is followed once: linear, and cycles end.
 */
static void keep_dead_letter_queues(struct selection *selection)
{
    for (size_t next = 0; next < selection->pending_count; next++) {
        const struct qe_queue *queue = &selection->list->items[selection->pending[next]];

        for (size_t i = 0; i < queue->links_count; i++) {
            size_t target = find(selection->list, &queue->links[i]);

            if (target == SIZE_MAX) {
                continue;
            }
            if (selection->verdicts[target] == DROP) {
                selection->pending[selection->pending_count++] = target;
            }
            selection->verdicts[target] = WATCH_DEAD_LETTER;
        }
    }
}

static void mark_dead_letter(struct selection *selection, size_t index)
{
    if (selection->verdicts[index] != DROP) {
        selection->verdicts[index] = WATCH_DEAD_LETTER;
        selection->list->items[index].is_dead_letter_elsewhere = true;
    }
}

/* Marked by whoever listed them, or by the links of queues that the filters took: who watches
 * dead-letter queues only must be told when they grow. Not by those of a delay queue, whose
 * messages go on. */
static void mark_dead_letter_queues(struct selection *selection)
{
    for (size_t i = 0; i < selection->list->count; i++) {
        const struct qe_queue *queue = &selection->list->items[i];

        if (queue->is_dead_letter_elsewhere) {
            mark_dead_letter(selection, i);
        }
        if (selection->verdicts[i] != DROP || queue->returns_by_time) {
            continue;
        }
        for (size_t j = 0; j < queue->links_count; j++) {
            size_t target = find(selection->list, &queue->links[j]);

            if (target != SIZE_MAX) {
                mark_dead_letter(selection, target);
            }
        }
    }
}

static size_t apply_cap(struct selection *selection, uint64_t max_queues)
{
    size_t dropped = 0;

    if (max_queues == 0) {
        return 0;
    }
    for (size_t i = selection->list->count; i > 0; i--) {
        if (selection->pending_count - dropped <= max_queues) {
            break;
        }
        if (selection->verdicts[i - 1] == WATCH) {
            selection->verdicts[i - 1] = DROP;
            dropped++;
        }
    }
    return dropped;
}

static void remove_dropped(struct selection *selection)
{
    struct qe_queue_list *list = selection->list;
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (selection->verdicts[i] == DROP) {
            qe_queue_deinit(&list->items[i]);
            continue;
        }
        if (kept != i) {
            list->items[kept] = list->items[i];
        }
        kept++;
    }
    list->count = kept;
}

int qe_select_queues(struct qe_queue_list *list, const struct qe_select_rules *rules,
                     size_t *out_dropped, struct qe_err *err)
{
    struct selection selection = {.list = list};
    int rc = 0;

    sort_and_deduplicate(list);
    if (list->count == 0) {
        *out_dropped = 0;
        return 0;
    }
    selection.verdicts = qe_calloc(list->count, sizeof *selection.verdicts);
    selection.pending = qe_calloc(list->count, sizeof *selection.pending);
    if (selection.verdicts == NULL || selection.pending == NULL) {
        rc = qe_err_set(err, QE_ERR_NOMEM, "select among %zu queues", list->count);
        goto done;
    }
    apply_filters(&selection, rules);
    keep_dead_letter_queues(&selection);
    mark_dead_letter_queues(&selection);
    *out_dropped = apply_cap(&selection, rules->max_queues);
    remove_dropped(&selection);
done:
    qe_free(selection.verdicts);
    qe_free(selection.pending);
    return rc;
}
