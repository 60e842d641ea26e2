/* Command lines of both programs: one table drives parsing and --help. */
#ifndef QE_APP_CLI_H
#define QE_APP_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "util/err.h"

#define QE_CLI_FLAGS_MAX 32

/* Exit codes of both programs. */
enum qe_exit {
    QE_EXIT_OK = 0,      /* ended as asked */
    QE_EXIT_FAILURE = 1, /* could not do it: broker, disk, port */
    QE_EXIT_USAGE = 2    /* the command line or the configuration is wrong */
};

/* Exactly one of the three ways to take a value. */
struct qe_cli_flag {
    const char *name;     /* without dashes: "web.listen-address" */
    const char *argument; /* what its value is called in --help; NULL: a switch, it takes none */
    const char *help;
    const char *default_text; /* shown in --help; NULL: none */
    /* Called for each occurrence. -1: a usage error, `err` says why. NULL: the value goes to
     * `offset` as it is. */
    int (*take)(void *context, const char *value, struct qe_err *err);
    size_t
        offset; /* in the context: a bool for a switch, else a const char * (borrowed from argv) */
};

/* Parses argv[1..]; `--name=value`, `--name value`, `--` ends the flags. Flags and operands may be
 * mixed unless `stop_at_operand`. Returns the index of the first operand in argv (operands are
 * moved to the end), or -1 with QE_ERR_INVALID that names the flag. Main thread, before others
 * start: it uses getopt_long. */
int qe_cli_parse(const struct qe_cli_flag *flags, size_t flags_count, bool stop_at_operand,
                 int argc, char **argv, void *context, struct qe_err *err) QE_MUST_CHECK;

/* One paragraph per flag, for --help. */
void qe_cli_print_flags(FILE *out, const struct qe_cli_flag *flags, size_t flags_count);

#endif
