/* The tables that drive parsing, --help, completion and the man page. */
#ifndef QE_QUEUECTL_COMMANDS_H
#define QE_QUEUECTL_COMMANDS_H

#include <stddef.h>
#include <stdio.h>

#include "queuectl/ctl.h"

/* In the order of --help. */
extern const struct ctl_command *const ctl_commands[];
extern const size_t ctl_commands_count;
/* Flags in front of a command; the first and the last one are also taken behind it. */
extern const struct qe_cli_flag ctl_flags[];
extern const size_t ctl_flags_count;

/* Bytes of the first word of a name of two ("dlq list"); 0: it is one word. */
size_t ctl_group_bytes(const char *name);
/* True when no earlier command of the table has the group of command `index`. */
bool ctl_is_first_of_group(size_t index);

#endif
