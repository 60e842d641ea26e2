/* A message on its way out: checked before it is sent, one entry of SendMessageBatch, and the
 * checksums that come back compared. Pure. */
#ifndef QE_BACKEND_SQS_LETTER_H
#define QE_BACKEND_SQS_LETTER_H

#include <stdint.h>

#include "backend/sqs/checksum.h"
#include "util/json.h"
#include "util/strbuf.h"

#define QE_SQS_MESSAGE_MAX_BYTES ((size_t)1 << 20) /* body and attributes together */
#define QE_SQS_DELAY_MAX_SECONDS 900
#define QE_SQS_GROUP_MAX_BYTES 128 /* also of a deduplication id */

/* Attributes that stand for what SQS has no field for. */
#define QE_SQS_CORRELATION_ID "correlation-id"
#define QE_SQS_REPLY_TO "reply-to"

/* Everything borrowed. */
struct qe_sqs_letter {
    const char *body;
    size_t body_bytes;
    struct qe_sqs_attribute attributes[QE_SQS_ATTRIBUTES_MAX];
    size_t attributes_count;
    const char *group;            /* "" none */
    const char *deduplication_id; /* "" none */
    int64_t delay_seconds;        /* -1: the queue's own */
};

/* Adds an attribute; type "" is "String". QE_ERR_LIMIT past QE_SQS_ATTRIBUTES_MAX. */
int qe_sqs_letter_add(struct qe_sqs_letter *letter, const char *name, const char *type,
                      const char *value, struct qe_err *err) QE_MUST_CHECK;
/* What counts against QE_SQS_MESSAGE_MAX_BYTES. */
size_t qe_sqs_letter_bytes(const struct qe_sqs_letter *letter);
/* Whether SQS can take it: QE_ERR_LIMIT (size) before a byte of the body is read, or QE_ERR_INVALID
 * naming the character, attribute, group or id that SQS refuses.
 * Source: Amazon SQS API Reference, SendMessage and MessageAttributeValue (2012-11-05). */
int qe_sqs_letter_check(const struct qe_sqs_letter *letter, struct qe_err *err) QE_MUST_CHECK;
/* Appends what stands behind the entry's Id: ,"MessageBody":"...",... A checked letter. */
void qe_sqs_letter_append(const struct qe_sqs_letter *letter, struct qe_strbuf *out);
/* Compares the checksums of the entry that SQS answered. QE_ERR_PROTOCOL: what it has got is not
 * what was sent. Without MD5 on this machine, nothing is compared. */
int qe_sqs_letter_verify(const struct qe_sqs_letter *letter, const struct qe_json *answer,
                         struct qe_err *err) QE_MUST_CHECK;

#endif
