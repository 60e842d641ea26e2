/* What SQS puts an MD5 on: bodies, and the attributes of a message. Pure; any thread. */
#ifndef QE_BACKEND_SQS_CHECKSUM_H
#define QE_BACKEND_SQS_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>

#include "aws/digest.h"
#include "util/err.h"

#define QE_SQS_ATTRIBUTES_MAX 10

/* One message attribute as it is on the wire; all borrowed. */
struct qe_sqs_attribute {
    const char *name;
    const char *type;  /* "String", "Number", "Binary", or one of them with ".label" behind */
    const char *value; /* of a binary type: base64 */
};
bool qe_sqs_type_is_binary(const char *type);

/* Bytes that strict base64 (with its padding) stands for; SIZE_MAX when it is none. */
size_t qe_sqs_base64_bytes(const char *text);

/* Hex MD5 of a body. QE_ERR_UNSUPPORTED where the machine forbids MD5. */
int qe_sqs_md5_body(const char *body, size_t bytes, char out[QE_MD5_HEX_BYTES],
                    struct qe_err *err) QE_MUST_CHECK;
/* Hex MD5 of up to QE_SQS_ATTRIBUTES_MAX attributes. QE_ERR_PROTOCOL for a binary value that is no
 * base64, QE_ERR_LIMIT for too many.
 * Source: Amazon SQS Developer Guide, "Calculating the MD5 message digest for message attributes".
 */
int qe_sqs_md5_attributes(const struct qe_sqs_attribute *attributes, size_t count,
                          char out[QE_MD5_HEX_BYTES], struct qe_err *err) QE_MUST_CHECK;

#endif
