/* The page at /metrics: finished parts of every source's snapshot plus the live part, stitched
 * without copying. */
#ifndef QE_METRICS_PAGE_H
#define QE_METRICS_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "metrics/negotiate.h"
#include "model/store.h"
#include "util/err.h"

/* Renders one source's poll-side families, once per publish, and compresses each once. For
 * qe_store_new(); keep it as long as the store. stats (may be NULL) is borrowed: our own consumers'
 * handling times are needed to judge a queue's visibility timeout. */
struct qe_renderer qe_page_renderer(struct qe_stats *stats);

/* What the live part shows about this build and process. */
struct qe_build_info {
    const char *version;
    const char *revision;
    const char *compiler;
};

/* One finished page. Parts are borrowed from what the page holds (snapshots, static headers, its
 * own live buffer). */
struct qe_page_part {
    const void *data;
    size_t size_bytes;
};
struct qe_page {
    struct qe_page_part *parts; /* owned */
    size_t parts_count;
    size_t size_bytes; /* of all parts */
    /* private from here */
    struct qe_snapshot *snapshots[QE_SOURCES_MAX];
    size_t snapshots_count;
    void *live; /* owned */
    unsigned char trailer[16];
};

/* Any thread; holds no lock while it works. `gzip`: the parts together are one gzip member. */
int qe_page_new(struct qe_store *store, const struct qe_build_info *build, enum qe_format format,
                bool gzip, struct qe_page **out, struct qe_err *err) QE_MUST_CHECK;
void qe_page_destroy(struct qe_page *page); /* accepts NULL */

#endif
