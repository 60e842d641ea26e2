/* A command line taken apart as a shell does it, without a shell: blanks between words, quotes and
 * backslashes, and nothing else. Pure; any thread. */
#ifndef QE_AWS_COMMAND_H
#define QE_AWS_COMMAND_H

#include "util/err.h"

#define QE_AWS_COMMAND_WORDS_MAX 64
#define QE_AWS_COMMAND_MAX_BYTES 8192

struct qe_aws_command;

/* QE_ERR_INVALID: empty, a quote that is not closed, too many words; QE_ERR_LIMIT; QE_ERR_NOMEM.
 * Wiped when destroyed: an argument may be a password. */
struct qe_aws_command *qe_aws_command_new(const char *line, struct qe_err *err) QE_MUST_CHECK;
void qe_aws_command_destroy(struct qe_aws_command *command); /* accepts NULL */
/* At least one word; ends with NULL. Borrowed. */
char *const *qe_aws_command_argv(const struct qe_aws_command *command);

#endif
