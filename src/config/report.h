/* The errors of one configuration run: collected in any order, written sorted by position. */
#ifndef QE_CONFIG_REPORT_H
#define QE_CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"
#include "util/strbuf.h"

struct qe_report_line {
    size_t line; /* 1-based; 0: the file as a whole */
    size_t column;
    size_t order;  /* of discovery: keeps the sort stable */
    char *message; /* owned */
};

struct qe_report {
    const char *file;             /* borrowed; as the user wrote it */
    struct qe_report_line *lines; /* owned */
    size_t count;
    size_t capacity;
    size_t dropped; /* errors past QE_CONFIG_ERRORS_MAX */
    bool out_of_memory;
};

void qe_report_init(struct qe_report *report, const char *file);
void qe_report_deinit(struct qe_report *report); /* twice is safe */

/* Adds one error at line:column. The caller sees to it that no secret is in the message. */
void qe_report_add(struct qe_report *report, size_t line, size_t column, const char *fmt, ...)
    QE_PRINTF(4, 5);
void qe_report_nomem(struct qe_report *report);
/* Errors so far, dropped ones and exhaustion included: two equal readings mean nothing went wrong
 * in between. */
size_t qe_report_errors(const struct qe_report *report);

/* Appends "file:line:column: message\n" per error, sorted by position, each line once. */
void qe_report_write(struct qe_report *report, struct qe_strbuf *out);

/* Text of the user's as an error may show it: cut, control bytes replaced, a URL without its user
 * and password. Returns out. */
#define QE_SHOWN_BYTES 72
const char *qe_report_show(const char *text, char out[QE_SHOWN_BYTES]);

#endif
