/* The consumers of one queue in this process, one after the other: at a reload the old one still
 * ends while the new one is there. What the second must know of the first, so that ordered groups
 * stay in order and the gauges tell of both.
 *
 * Any thread; nothing blocks. */
#ifndef QE_CONSUMER_TURNS_H
#define QE_CONSUMER_TURNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/order.h"
#include "model/stats.h"
#include "util/err.h"

/* One consumer's; zeroed before. */
struct qe_turn {
    struct qe_turn *next; /* the next newer one; guarded by turns, as all here */
    int64_t oldest_unix_ms;
    bool has_passed; /* the next one does not wait for it */
};

struct qe_turns;
struct qe_turns *qe_turns_new(struct qe_err *err) QE_MUST_CHECK;
void qe_turns_destroy(struct qe_turns *turns); /* accepts NULL; after the last turn has ended */

/* `turns` may be NULL below: then nobody works on the queue before or after. */

/* Before the first consumer that keeps an order begins. -1: out of memory. */
int qe_turns_keep_order(struct qe_turns *turns) QE_MUST_CHECK;
/* A consumer begins: behind all that are there. */
void qe_turns_join(struct qe_turns *turns, struct qe_turn *turn);
/* It has nothing in hand any more. What its groups wait for is left to the next one, unless it has
 * passed: then that was left before, and what came of it since the next one sees for itself. NULL:
 * it keeps no order, or never began. */
void qe_turns_leave(struct qe_turns *turns, struct qe_turn *turn, struct qe_order *order);
/* What it has in hand it cannot end, and is no reason for the next one to wait: but for the groups
 * of it, which are left to that one, as is all that its groups wait for. */
void qe_turns_pass(struct qe_turns *turns, struct qe_turn *turn, struct qe_order *order);
/* True once all that came before have left, or passed: then what they left is added to the
 * caller's.
 */
bool qe_turns_begin(struct qe_turns *turns, const struct qe_turn *turn, struct qe_order *order);

/* Gauges, which one writer would overwrite with what holds for it alone. Of ages the oldest of all
 * counts; of circuits the newest consumer's, which alone receives. */
void qe_turns_tell_oldest(struct qe_turns *turns, struct qe_turn *turn, int64_t oldest_unix_ms,
                          struct qe_consumer_stats *stats);
void qe_turns_tell_circuit(struct qe_turns *turns, const struct qe_turn *turn,
                           enum qe_circuit circuit, struct qe_consumer_stats *stats);

#endif
