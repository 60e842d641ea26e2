/* Messages as JSON, out and in: everything that is needed to send one again. What queuectl prints
 * and reads, and what handlers are given. */
#ifndef QE_MODEL_MESSAGE_JSON_H
#define QE_MODEL_MESSAGE_JSON_H

#include "model/message.h"
#include "util/err.h"
#include "util/json.h"

/* An object with everything that is needed to send it again, and what is known of it: "id", "body"
 * (or "body_base64" where it is no text), "receives", "sent", "attributes" and so on; what is not
 * known is not there. NULL when out of memory. */
struct qe_json *qe_message_to_json(const struct qe_message *message) QE_MUST_CHECK;
/* The other way round, into an initialised message. QE_ERR_PROTOCOL says what is not as it should
 * be. */
int qe_message_from_json(const struct qe_json *object, struct qe_message *out,
                         struct qe_err *err) QE_MUST_CHECK;

#endif
