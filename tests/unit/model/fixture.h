/* Queues, sets and batches for the tests of this folder. */
#ifndef QE_TESTS_UNIT_MODEL_FIXTURE_H
#define QE_TESTS_UNIT_MODEL_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "model/batch.h"
#include "model/queue.h"
#include "support/check.h"

/* Adds a queue; "vhost/name" has a vhost, "name" none. */
static inline struct qe_queue *fixture_add(struct qe_queue_list *list, const char *path)
{
    struct qe_err err = {0};
    struct qe_queue *queue = qe_queue_list_add(list, &err);
    const char *slash = strchr(path, '/');
    char vhost[64] = "";

    assert_ok(queue == NULL ? -1 : 0, err);
    if (slash != NULL) {
        assert_true((size_t)(slash - path) < sizeof vhost);
        memcpy(vhost, path, (size_t)(slash - path));
    }
    assert_ok(qe_queue_init(queue, vhost, slash == NULL ? path : slash + 1, QE_KIND_EMBEDDED, &err),
              err);
    return queue;
}

static inline struct qe_queue_set *fixture_take(struct qe_queue_list *list)
{
    struct qe_err err = {0};
    struct qe_queue_set *set = qe_queue_set_new_take(list, &err);

    assert_ok(set == NULL ? -1 : 0, err);
    if (set == NULL) { /* for the analyzer, which does not know that the check above is final */
        abort();
    }
    return set;
}

/* A set of queues by name, ended by NULL. */
static inline struct qe_queue_set *fixture_set(const char *const *names)
{
    struct qe_queue_list list = {0};

    for (; *names != NULL; names++) {
        (void)fixture_add(&list, *names);
    }
    return fixture_take(&list);
}

#endif
