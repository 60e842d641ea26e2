/* The deliveries of a channel that are not settled, by tag. A "multiple" ack settles every delivery
 * up to its tag, so it may be sent only where all of them are done: this is what knows. Pure. */
#ifndef QE_BACKEND_RABBITMQ_AMQP_LEDGER_H
#define QE_BACKEND_RABBITMQ_AMQP_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

struct qe_amqp_entry {
    uint64_t tag;
    uint32_t round;    /* which basic.consume brought it */
    bool is_settled;   /* of the settlement that is being made */
    bool is_postponed; /* it waits for its delay, and nobody works on it */
};

/* = {0} is valid and empty. */
struct qe_amqp_ledger {
    struct qe_amqp_entry *entries; /* owned; in the order of tags, which is that of delivery */
    size_t count;
    size_t capacity;
    bool has_gap; /* a delivery is missing here: nothing may be acked but one by one */
};
void qe_amqp_ledger_deinit(struct qe_amqp_ledger *ledger); /* twice is safe */
/* Tags grow. One that cannot be added is a gap until clear(). */
int qe_amqp_ledger_add(struct qe_amqp_ledger *ledger, uint64_t tag, uint32_t round,
                       struct qe_err *err) QE_MUST_CHECK;
void qe_amqp_ledger_clear(struct qe_amqp_ledger *ledger);
/* False: it is not there, or marked already. */
bool qe_amqp_ledger_mark(struct qe_amqp_ledger *ledger, uint64_t tag);
/* There, and not marked. */
bool qe_amqp_ledger_has(const struct qe_amqp_ledger *ledger, uint64_t tag);
/* How many are not settled that this round brought. */
size_t qe_amqp_ledger_count_round(const struct qe_amqp_ledger *ledger, uint32_t round);
void qe_amqp_ledger_postpone(struct qe_amqp_ledger *ledger, uint64_t tag);
/* How many are postponed in all, and *out_of_round: that this round brought. */
size_t qe_amqp_ledger_count_postponed(const struct qe_amqp_ledger *ledger, uint32_t round,
                                      size_t *out_of_round);
/* Takes the next ack for what is marked: `multiple`, and then it settles all that are marked from
 * the first entry on, or one alone. False: nothing is marked any more. */
bool qe_amqp_ledger_take_ack(struct qe_amqp_ledger *ledger, uint64_t *out_tag, bool *out_multiple);
/* Forgets one. */
void qe_amqp_ledger_remove(struct qe_amqp_ledger *ledger, uint64_t tag);

#endif
