/* The part of the page that is rendered on each scrape: requests to the sources, consumers, the
 * exporter itself. For this folder and its tests. */
#ifndef QE_METRICS_LIVE_INTERNAL_H
#define QE_METRICS_LIVE_INTERNAL_H

#include "metrics/page.h"
#include "metrics/process_internal.h"
#include "util/strbuf.h"

/* Appends every LIVE family that has samples, headers included, and the format's end. Any thread.
 * stats may be NULL. The buffer's error sticks. */
void qe_live_render(struct qe_strbuf *out, struct qe_stats *stats,
                    const struct qe_build_info *build, const struct qe_process *process,
                    enum qe_format format);

/* Its parts, a file each: requests to the sources, with what they cost; the consumers; and what is
 * left when there is neither consumer nor source. */
void qe_live_render_api(struct qe_strbuf *out, const struct qe_stats *stats, enum qe_format format);
void qe_live_render_consumers(struct qe_strbuf *out, const struct qe_stats *stats,
                              enum qe_format format);
void qe_live_render_self(struct qe_strbuf *out, struct qe_stats *stats,
                         const struct qe_build_info *build, const struct qe_process *process,
                         enum qe_format format);

#endif
