/* The families that come from a source's snapshot, one block of lines each. For this folder and its
 * tests. */
#ifndef QE_METRICS_POLL_INTERNAL_H
#define QE_METRICS_POLL_INTERNAL_H

#include <stdatomic.h>
#include <stddef.h>

#include "metrics/catalogue.h"
#include "metrics/compress.h"
#include "model/store.h"
#include "util/strbuf.h"

/* One family of one source: finished text and its compressed form. Immutable; shared by the
 * snapshots in which nothing of it changed. */
struct qe_block {
    atomic_size_t refs;
    char *text; /* owned */
    size_t text_bytes;
    struct qe_segment segment; /* owned */
};

/* qe_snapshot.rendered. */
struct qe_rendered {
    struct qe_block *blocks[QE_FAMILY_POLL_COUNT]; /* acquired; NULL: no sample */
};

/* qe_queue_set.annex: what is prepared once per set. Publishing thread only, until it is freed with
 * the set. */
struct qe_annex {
    struct qe_strbuf labels; /* {source="a",queue="b" of every queue, back to back */
    size_t *offsets;         /* owned; count + 1 of them */
    struct qe_block *latest[QE_FAMILY_POLL_COUNT]; /* acquired; what the last render made */
    double *columns[QE_FAMILY_POLL_COUNT]; /* owned; what `latest` was made of; NULL: not kept */
};

/* What a block is rendered from. */
struct qe_poll_view {
    const struct qe_snapshot *snapshot;
    const struct qe_annex *annex; /* NULL: the source has not been listed yet */
    const struct qe_stats *stats; /* may be NULL: then nothing is known of our own consumers */
};

/* Appends the block of a POLL family; nothing when there is no sample. */
void qe_poll_render_family(struct qe_strbuf *out, enum qe_family family,
                           const struct qe_poll_view *view);

/* What a family's lines hang on besides the set: a number per queue, NaN for no line, written to
 * `out`, of one per queue. False: on more, or on what is another number each time. */
bool qe_poll_column(double *out, enum qe_family family, const struct qe_poll_view *view);
/* The family is a field of the samples, and none of them has it. known: of all together. */
bool qe_poll_is_unknown(enum qe_family family, uint32_t known);
/* The family's lines hang on the set alone. */
bool qe_poll_is_of_set(enum qe_family family);

/* The two halves of it: families of queues (view->annex is set), families of the source. */
void qe_poll_render_queues(struct qe_strbuf *out, enum qe_family family,
                           const struct qe_poll_view *view);
void qe_poll_render_source(struct qe_strbuf *out, enum qe_family family,
                           const struct qe_poll_view *view);

#endif
