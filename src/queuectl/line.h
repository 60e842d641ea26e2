/* A message as a line of JSON: what is printed with --json and exported, and what is imported. */
#ifndef QE_QUEUECTL_LINE_H
#define QE_QUEUECTL_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "model/message.h"
#include "util/err.h"
#include "util/json.h"

/* One line of JSON, in which what a terminal would obey is escaped. Takes the object, which may be
 * NULL; rc: of filling it. -1: that failed, which only want of memory does; *err says of which
 * `kind` of thing, and its name. */
int ctl_write_object(FILE *out, int rc, struct qe_json *object, const char *kind, const char *name,
                     struct qe_err *err) QE_MUST_CHECK;
int ctl_line_write(FILE *out, const struct qe_message *message, struct qe_err *err) QE_MUST_CHECK;
/* Into an initialised message, which is the caller's also on failure. keeps_facts: with what
 * dead-lettering added to its attributes. QE_ERR_PROTOCOL: it is no such line; QE_ERR_LIMIT: more
 * than can be sent. */
int ctl_line_read(const char *line, size_t bytes, bool keeps_facts, struct qe_message *out,
                  struct qe_err *err) QE_MUST_CHECK;

#endif
