/* error_table.c knows AWS's codes, error_text.c finds them in an answer. */
#ifndef QE_AWS_ERROR_INTERNAL_H
#define QE_AWS_ERROR_INTERNAL_H

#include "aws/error.h"

#define QE_AWS_MESSAGE_MAX_BYTES 400 /* of AWS's own words */

enum qe_aws_error_flags {
    QE_AWS_MAY_BE_CREDENTIALS = 1,
    QE_AWS_MAY_BE_SKEW = 2
};

/* One code in one of its spellings. */
struct qe_aws_error_row {
    const char *name;
    enum qe_err_code code;
    enum qe_aws_retry retry;
    unsigned flags;
    const char *hint; /* NULL: AWS's own words will do */
};
/* NULL: unknown. */
const struct qe_aws_error_row *qe_aws_error_find(const char *name);

/* What is said where; every text "" when it is not. */
struct qe_aws_error_text {
    char code[QE_AWS_CODE_BYTES];
    char legacy_code[QE_AWS_CODE_BYTES];
    char message[QE_AWS_MESSAGE_MAX_BYTES + 1]; /* one line, printable */
};
void qe_aws_error_text_read(const struct qe_http_reply *reply, struct qe_aws_error_text *out);

#endif
