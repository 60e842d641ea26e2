/* A command as it is configured. */
#ifndef QE_CONSUMER_COMMAND_H
#define QE_CONSUMER_COMMAND_H

#include <stddef.h>

#include "util/err.h"

/* A name and a value of the configuration; borrowed. */
struct qe_pair {
    const char *name;
    const char *value;
};
/* NULL when out of memory, or for none. The caller frees; the texts stay borrowed. */
struct qe_pair *qe_pairs_copy(const struct qe_pair *pairs, size_t count);

struct qe_program {
    char *const *words; /* the program and its arguments */
    size_t words_count;
    const struct qe_pair *environment;
    size_t environment_count;
};

struct qe_command {
    char **argv;                 /* owned; the texts are borrowed. Ends with NULL */
    struct qe_pair *environment; /* owned */
    size_t environment_count;
};
int qe_command_init(struct qe_command *command, const struct qe_program *program,
                    struct qe_err *err) QE_MUST_CHECK;
void qe_command_deinit(struct qe_command *command);

#endif
