/* What the handles of one store share inside one process: who may write next, and wake-ups for long
 * polls. Every mutex here is held for a few instructions, never over I/O.
 * Other processes are not here: they are met through SQLite's locks and its data version. */
#ifndef QE_BACKEND_EMBEDDED_HUB_H
#define QE_BACKEND_EMBEDDED_HUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct qe_hub;

/* The hub of `key` (a path, or a memory store's name); made at the first acquire, freed with the
 * last release. Thread: any. */
struct qe_hub *qe_hub_acquire(const char *key, struct qe_err *err) QE_MUST_CHECK;
void qe_hub_release(struct qe_hub *hub); /* accepts NULL */

/* The write turn goes round in arrival order, roughly: it is handed over, so that a handle that
 * writes in a loop cannot starve the others. False: deadline passed, or *stop became true.
 * stop may be NULL. */
bool qe_hub_take_turn(struct qe_hub *hub, int64_t deadline_mono_ms, const atomic_bool *stop);
void qe_hub_give_turn(struct qe_hub *hub);

/* A number that changes with every notify of this queue (and of a few others). */
uint64_t qe_hub_generation(struct qe_hub *hub, int64_t queue_id);
void qe_hub_notify(struct qe_hub *hub, int64_t queue_id);
/* Waits until the generation differs from `seen`, *stop is true, or the deadline. */
void qe_hub_wait(struct qe_hub *hub, int64_t queue_id, uint64_t seen, int64_t deadline_mono_ms,
                 const atomic_bool *stop);
/* Makes every waiter look at its `stop` again. */
void qe_hub_kick(struct qe_hub *hub);

#endif
