#include "app/queue_turns.h"

#include "util/mem.h"

struct qe_queue_turns {
    struct qe_queue_turns *next;
    const struct qe_consumer_stats *stats; /* borrowed */
    struct qe_turns *turns;                /* owned */
};

struct qe_turns *qe_queue_turns_find(struct qe_queue_turns **list,
                                     const struct qe_consumer_stats *stats, struct qe_err *err)
{
    struct qe_queue_turns *one = *list;

    while (one != NULL && one->stats != stats) {
        one = one->next;
    }
    if (one != NULL) {
        return one->turns;
    }
    one = qe_calloc(1, sizeof *one);
    if (one == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "queue");
        return NULL;
    }
    one->turns = qe_turns_new(err);
    if (one->turns == NULL) {
        qe_free(one);
        return NULL;
    }
    one->stats = stats;
    one->next = *list;
    *list = one;
    return one->turns;
}

void qe_queue_turns_destroy(struct qe_queue_turns *list)
{
    while (list != NULL) {
        struct qe_queue_turns *one = list;

        list = one->next;
        qe_turns_destroy(one->turns);
        qe_free(one);
    }
}
