/* Receiving until a queue is found empty, and what its broker says of it then. */
#ifndef QE_DLQ_RECEIVE_H
#define QE_DLQ_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "dlq/aside.h"
#include "dlq/depth.h"

/* What is in the queue by its broker's word, and did not come. */
struct qe_dlq_rest {
    uint64_t ready;
    uint64_t in_flight; /* others hold it */
    /* What is in hand holds up its groups: what is behind it counts as ready, or in flight where
     * the driver has received it ahead. All of that is in `ready` then. */
    bool is_behind;
};

struct qe_dlq_intake {
    const struct qe_aside *hand; /* borrowed: what is in hand, and of which queue */
    int64_t call_timeout_ms;     /* also of the patience with a queue that should have more */
    /* Asked while it is waited for what should come; the answer true ends the wait. */
    bool (*stopped)(void *context);
    void *context;
    uint64_t seen; /* kept by the caller: how many different messages came */
    struct qe_dlq_depth before;
    struct qe_dlq_rest rest; /* once nothing came */
};

/* Notes the depth, and has the driver learn what it must know of the queue. Before the first
 * receive; all above `seen` is set. */
void qe_dlq_intake_begin(struct qe_dlq_intake *intake);

/* Up to `max` messages, appended to *out; none: the queue is empty for us, and `rest` says what its
 * broker counts all the same. As of receive() otherwise.
 *
 * No message yet is no empty queue. A long poll asks every part of a queue, and is told to end when
 * its time is over: the answer is a trip later, so that one more look, without a wait, comes before
 * an empty hand counts. Where a server has not answered even then, and where it counts messages as
 * ready that it does not give, it is asked for as long as a call may take. Errors: QE_ERR_TIMEOUT
 * when it has not answered by then. */
int qe_dlq_receive(struct qe_dlq_intake *intake, size_t max, struct qe_message_list *out,
                   struct qe_err *err) QE_MUST_CHECK;

#endif
