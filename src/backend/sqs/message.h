/* An answer of ReceiveMessage as messages. Pure. */
#ifndef QE_BACKEND_SQS_MESSAGE_H
#define QE_BACKEND_SQS_MESSAGE_H

#include <stdint.h>

#include "model/message.h"
#include "util/err.h"
#include "util/json.h"

/* When a delivery began and when it lapses, as far as can be known from here: see
 * qe_sqs_span_pack(). */
struct qe_sqs_span {
    int64_t received_mono_ms; /* when the answer was here: it began no later */
    int64_t margin_ms;        /* how much earlier it may have begun */
    int64_t visibility_ms;
};
/* As it is kept in qe_message.tag: received_mono_ms and, up to a minute, margin_ms. */
uint64_t qe_sqs_span_pack(const struct qe_sqs_span *span);
int64_t qe_sqs_span_received_mono_ms(uint64_t tag);
int64_t qe_sqs_span_margin_ms(uint64_t tag);
/* How much earlier than `now` a delivery may have begun that was asked for at `asked_mono_ms` and
 * arrived in an answer of so many bytes. SQS begins it when it answers, and an answer of a long
 * poll may come long after the request: the time a request takes on the way is unknown, and a
 * second, plus one for each MiB, is taken for it; never more than a quarter of the visibility, so
 * that something is left of it. */
int64_t qe_sqs_span_margin_of(int64_t asked_mono_ms, int64_t now_mono_ms, size_t answer_bytes,
                              int64_t visibility_ms);

/* Appends every message of the answer (NULL: none) that is whole: visible_until_mono_ms is the
 * earliest moment at which it may lapse, `tag` is packed as above. Attributes that SQS has of its
 * own become the fields of the message; DeadLetterQueueSourceArn becomes the attribute
 * "dead-letter-source".
 * Errors: QE_ERR_NOMEM; QE_ERR_PROTOCOL for what is no answer, or when a message is not whole (no
 * receipt, no body, a checksum that does not fit): the whole ones are there all the same, the
 * others come again when their visibility ends.
 * Source: Amazon SQS API Reference, ReceiveMessage (2012-11-05). */
int qe_sqs_messages_parse(const struct qe_json *answer, const struct qe_sqs_span *span,
                          struct qe_message_list *out, struct qe_err *err) QE_MUST_CHECK;

#endif
