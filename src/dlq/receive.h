/* Receiving until a queue is found empty. */
#ifndef QE_DLQ_RECEIVE_H
#define QE_DLQ_RECEIVE_H

#include "backend/backend.h"

/* Up to `max` messages, appended to *out; none: the queue is empty for us. A long poll asks every
 * part of a queue, and is told to end when its time is over: the answer is a trip later, so that
 * one more look, without a wait, comes before an empty hand counts. As of receive() otherwise. */
int qe_dlq_receive(const struct qe_driver *driver, void *handle, const struct qe_queue *from,
                   size_t max, struct qe_message_list *out, struct qe_err *err) QE_MUST_CHECK;

#endif
