/* The JSON that handlers outside of this process are spoken to in. One message is an object, a
 * batch an array of such:
 *
 *   {"id":7,"source":"local","queue":"orders","message":{"id":"...","body":"...", ...}}
 *
 * "id" is the call's own number, "message" as of model/message_json.h. The answer is an object, or
 * an array of such in any order:
 *
 *   {"id":7,"result":"ack"}                              done
 *   {"id":7,"result":"ack","reply":"text"}               with a reply ("reply_base64": any bytes)
 *   {"id":7,"result":"retry","reason":"...","delay":30}  again, in 30 seconds (without: backoff)
 *   {"id":7,"result":"reject","reason":"..."}            never again
 *
 * "reason" is one of the consumer's configured words, or free text, or both: "word: text". */
#ifndef QE_CONSUMER_EXCHANGE_H
#define QE_CONSUMER_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "consumer/handled.h"
#include "consumer/handlers.h"

/* One call: messages with the numbers first_id, first_id + 1, ... */
struct qe_exchange {
    const struct qe_handler_common *common;
    const struct qe_message *const *messages; /* borrowed */
    size_t count;
    uint64_t first_id; /* below 2^53, what JSON's numbers bear */
};

/* Appends the question, without a line end. */
int qe_exchange_ask(const struct qe_exchange *exchange, struct qe_strbuf *out,
                    struct qe_err *err) QE_MUST_CHECK;
/* Empties what held a question or an answer; the memory that an unusual one took is not kept. */
void qe_exchange_reset(struct qe_strbuf *text);
/* How long the answer may be. Of a batch it is bounded as a whole: a thousand replies, each as long
 * as it may be, would be more than a process has. */
size_t qe_exchange_answer_max_bytes(const struct qe_exchange *exchange);
/* Reads the answer into out[0..count-1]. A message without a usable answer of its own is tried
 * again, and its detail says what was wrong. -1: the answer as a whole makes no sense
 * (QE_ERR_PROTOCOL), and nothing was written. */
int qe_exchange_answer(const struct qe_exchange *exchange, const char *text, size_t bytes,
                       struct qe_handled *out, struct qe_err *err) QE_MUST_CHECK;
/* What failed when there is no answer, or none that makes sense. */
enum qe_fail_reason qe_exchange_reason(const struct qe_err *err);
/* All of them failed alike. */
void qe_exchange_fail(const struct qe_exchange *exchange, struct qe_handled *out,
                      enum qe_fail_reason reason, const char *why);

#endif
