#include "consumer/turns.h"

#include <pthread.h>

#include "util/mem.h"

struct qe_turns {
    pthread_mutex_t lock; /* guards all below, every turn, and the gauges; held for no call */
    struct qe_turn *first;
    struct qe_order *order; /* owned; of those that have left; NULL: none keeps an order */
};

struct qe_turns *qe_turns_new(struct qe_err *err)
{
    struct qe_turns *turns = qe_calloc(1, sizeof *turns);
    int rc;

    if (turns == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "consumers of a queue");
        return NULL;
    }
    rc = pthread_mutex_init(&turns->lock, NULL);
    if (rc != 0) {
        (void)qe_err_set_errno(err, rc, "consumers of a queue");
        qe_free(turns);
        return NULL;
    }
    return turns;
}

void qe_turns_destroy(struct qe_turns *turns)
{
    if (turns != NULL) {
        (void)pthread_mutex_destroy(&turns->lock);
        qe_free(turns->order);
        qe_free(turns);
    }
}

int qe_turns_keep_order(struct qe_turns *turns)
{
    struct qe_order *order = turns == NULL ? NULL : qe_calloc(1, sizeof *order);

    if (order == NULL) {
        return turns == NULL ? 0 : -1;
    }
    pthread_mutex_lock(&turns->lock);
    if (turns->order == NULL) {
        turns->order = order;
        order = NULL;
    }
    pthread_mutex_unlock(&turns->lock);
    qe_free(order);
    return 0;
}

void qe_turns_join(struct qe_turns *turns, struct qe_turn *turn)
{
    struct qe_turn **link;

    if (turns == NULL) {
        return;
    }
    pthread_mutex_lock(&turns->lock);
    for (link = &turns->first; *link != NULL; link = &(*link)->next) {
    }
    *link = turn;
    pthread_mutex_unlock(&turns->lock);
}

static void move(struct qe_order *order, struct qe_order *from)
{
    if (order != NULL && from != NULL) {
        qe_order_move(order, from);
    }
}

void qe_turns_leave(struct qe_turns *turns, struct qe_turn *turn, struct qe_order *order)
{
    if (turns == NULL) {
        return;
    }
    pthread_mutex_lock(&turns->lock);
    for (struct qe_turn **link = &turns->first; *link != NULL; link = &(*link)->next) {
        if (*link == turn) {
            *link = turn->next;
            break;
        }
    }
    if (!turn->has_passed) {
        move(turns->order, order);
    }
    pthread_mutex_unlock(&turns->lock);
}

void qe_turns_pass(struct qe_turns *turns, struct qe_turn *turn, struct qe_order *order)
{
    if (turns == NULL) {
        return;
    }
    pthread_mutex_lock(&turns->lock);
    turn->has_passed = true;
    move(turns->order, order);
    pthread_mutex_unlock(&turns->lock);
}

bool qe_turns_begin(struct qe_turns *turns, const struct qe_turn *turn, struct qe_order *order)
{
    if (turns == NULL) {
        return true;
    }
    pthread_mutex_lock(&turns->lock);
    const struct qe_turn *first = turns->first;
    while (first != turn && first->has_passed) {
        first = first->next;
    }
    bool is_first = first == turn;
    if (is_first) {
        move(order, turns->order);
    }
    pthread_mutex_unlock(&turns->lock);
    return is_first;
}

void qe_turns_tell_oldest(struct qe_turns *turns, struct qe_turn *turn, int64_t oldest_unix_ms,
                          struct qe_consumer_stats *stats)
{
    int64_t oldest = oldest_unix_ms;

    if (turns == NULL) {
        atomic_store(&stats->oldest_in_hand_sent_unix_ms, oldest);
        return;
    }
    pthread_mutex_lock(&turns->lock);
    turn->oldest_unix_ms = oldest_unix_ms;
    for (const struct qe_turn *at = turns->first; at != NULL; at = at->next) {
        if (at->oldest_unix_ms != 0 && (oldest == 0 || at->oldest_unix_ms < oldest)) {
            oldest = at->oldest_unix_ms;
        }
    }
    atomic_store(&stats->oldest_in_hand_sent_unix_ms, oldest);
    pthread_mutex_unlock(&turns->lock);
}

void qe_turns_tell_circuit(struct qe_turns *turns, const struct qe_turn *turn,
                           enum qe_circuit circuit, struct qe_consumer_stats *stats)
{
    if (turns == NULL) {
        atomic_store(&stats->circuit, (int64_t)circuit);
        return;
    }
    pthread_mutex_lock(&turns->lock);
    if (turn->next == NULL) {
        atomic_store(&stats->circuit, (int64_t)circuit);
    }
    pthread_mutex_unlock(&turns->lock);
}
