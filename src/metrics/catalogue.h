/* The only place where a family's name, type, unit, HELP and labels are written. */
#ifndef QE_METRICS_CATALOGUE_H
#define QE_METRICS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>

#include "util/strbuf.h"

enum qe_metric_type {
    QE_METRIC_GAUGE = 0,
    QE_METRIC_COUNTER,
    QE_METRIC_HISTOGRAM
};

/* Where a family is rendered: once per poll into the source's snapshot, or on each scrape. */
enum qe_metric_part {
    QE_PART_POLL = 0,
    QE_PART_LIVE
};

/* In the order of the page: every POLL family stands before every LIVE one. */
enum qe_family {
    QE_FAMILY_QUEUE_INFO = 0,
    /* ... one per family of the catalogue: the metrics/ owner completes this list ... */
    QE_FAMILY_COUNT
};

struct qe_family_def {
    const char *name; /* counters without _total */
    enum qe_metric_type type;
    enum qe_metric_part part;
    const char *unit;   /* "seconds", "bytes", ... only when it is the name's suffix; else "" */
    const char *labels; /* comma-separated, in rendering order: "source,vhost,queue,method" */
    const char *help;   /* one sentence; says so when a value is cached from the last poll */
};

extern const struct qe_family_def qe_catalogue[QE_FAMILY_COUNT];

/* The metric reference in Markdown; the README carries it between markers, and a test says when
 * they drift. */
int qe_catalogue_reference(struct qe_strbuf *out);

#endif
