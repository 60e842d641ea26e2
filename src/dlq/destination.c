#include "dlq/destination.h"

#include <string.h>

#include "model/dead_letter.h"
#include "util/mem.h"

#define NAMED_MAX 10000 /* a DLQ that so many queues share is none */

void qe_dlq_origins_deinit(struct qe_dlq_origins *origins)
{
    for (size_t i = 0; i < origins->named_count; i++) {
        qe_queue_deinit(origins->named[i]);
        qe_free(origins->named[i]);
    }
    qe_free(origins->named);
    *origins = (struct qe_dlq_origins){0};
}

/* Where nothing can be listed a name is taken at its word: the driver says what is wrong with it.
 */
static const struct qe_queue *by_name_only(struct qe_dlq_origins *origins, const char *name,
                                           struct qe_err *err)
{
    for (size_t i = 0; i < origins->named_count; i++) {
        if (strcmp(origins->named[i]->name, name) == 0) {
            return origins->named[i];
        }
    }
    struct qe_queue *made = qe_calloc(1, sizeof *made);

    if (made == NULL || qe_grow(&origins->named, origins->named_count, &origins->named_capacity,
                                NAMED_MAX, sizeof(struct qe_queue *)) != 0) {
        qe_free(made);
        qe_err_set(err, QE_ERR_NOMEM, "queue %.200s", name);
        return NULL;
    }
    if (qe_queue_init(made, origins->from->vhost, name, origins->from->kind, err) != 0) {
        qe_free(made);
        return NULL;
    }
    origins->named[origins->named_count] = made;
    origins->named_count++;
    return made;
}

static const struct qe_queue *by_name(struct qe_dlq_origins *origins, const char *name,
                                      struct qe_err *err)
{
    if (strcmp(name, origins->from->name) == 0) {
        qe_err_set(err, QE_ERR_NOT_FOUND, "it says that it came from %s itself: say --to", name);
        return NULL;
    }
    if (origins->queues == NULL) {
        return by_name_only(origins, name, err);
    }
    size_t index = qe_queue_set_find(origins->queues, origins->from->vhost, name);

    if (index == SIZE_MAX) {
        qe_err_set(err, QE_ERR_NOT_FOUND,
                   "queue %.200s, which it came from, is not listed: say --to", name);
        return NULL;
    }
    return &origins->queues->items[index];
}

static const struct qe_queue *by_link(const struct qe_dlq_origins *origins, struct qe_err *err)
{
    const struct qe_queue_set *set = origins->queues;
    size_t index =
        set == NULL ? SIZE_MAX : qe_queue_set_find(set, origins->from->vhost, origins->from->name);
    size_t count =
        index == SIZE_MAX ? 0 : set->link_source_starts[index + 1] - set->link_source_starts[index];

    if (count == 1) {
        return &set->items[set->link_sources[set->link_source_starts[index]]];
    }
    if (count == 0) {
        qe_err_set(err, QE_ERR_NOT_FOUND,
                   "it does not say where it came from, and no queue is known to dead-letter into "
                   "%.200s: say --to",
                   origins->from->name);
    } else {
        qe_err_set(
            err, QE_ERR_NOT_FOUND,
            "it does not say where it came from, and %zu queues dead-letter into %.200s: say "
            "--to",
            count, origins->from->name);
    }
    return NULL;
}

const struct qe_queue *qe_dlq_origin_of(struct qe_dlq_origins *origins,
                                        const struct qe_message *message, struct qe_err *err)
{
    const char *name = qe_attributes_get(&message->attributes, QE_DEAD_LETTER_SOURCE);

    return name != NULL && name[0] != '\0' ? by_name(origins, name, err) : by_link(origins, err);
}
