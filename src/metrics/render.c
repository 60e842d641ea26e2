#include <stdatomic.h>
#include <stdint.h>

#include "metrics/line_internal.h"
#include "metrics/page.h"
#include "metrics/poll_internal.h"
#include "util/mem.h"

/* One family of a million queues with long names stays below; more is not a page. */
#define BLOCK_MAX_BYTES ((size_t)1 << 30)

/* --- blocks --- */

static struct qe_block *block_acquire(struct qe_block *block)
{
    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

static void block_release(struct qe_block *block)
{
    if (block == NULL || atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    qe_segment_deinit(&block->segment);
    qe_free(block->text);
    qe_free(block);
}

/* Takes the text out of `text`, which is left empty on success. */
static struct qe_block *block_new(struct qe_strbuf *text, struct qe_compressor *compressor,
                                  struct qe_err *err)
{
    struct qe_block *block = qe_calloc(1, sizeof *block);

    if (block == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "render a block of %zu bytes", text->length_bytes);
        return NULL;
    }
    atomic_init(&block->refs, 1);
    if (qe_segment_compress(compressor, &block->segment, text->data, text->length_bytes, err) !=
        0) {
        block_release(block);
        return NULL;
    }
    block->text_bytes = text->length_bytes;
    block->text = qe_strbuf_detach(text);
    char *shrunk = qe_reallocarray(block->text, block->text_bytes, 1);

    /* A block that cannot be made smaller is still a good block. */
    block->text = shrunk != NULL ? shrunk : block->text;
    return block;
}

static bool block_is(const struct qe_block *block, const struct qe_strbuf *text)
{
    return block != NULL && block->text_bytes == text->length_bytes &&
           memcmp(block->text, text->data, block->text_bytes) == 0;
}

/* --- the annex of a queue set --- */

static void annex_destroy(void *opaque)
{
    struct qe_annex *annex = opaque;

    if (annex == NULL) {
        return;
    }
    for (size_t i = 0; i < QE_FAMILY_POLL_COUNT; i++) {
        block_release(annex->latest[i]);
        qe_free(annex->columns[i]);
    }
    qe_strbuf_deinit(&annex->labels);
    qe_free(annex->offsets);
    qe_free(annex);
}

static int fill_labels(struct qe_annex *annex, const char *source, const struct qe_queue_set *set,
                       struct qe_err *err)
{
    annex->offsets = qe_reallocarray(NULL, set->count + 1, sizeof *annex->offsets);
    if (annex->offsets == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "source %s: labels of %zu queues", source, set->count);
    }
    qe_strbuf_init(&annex->labels, BLOCK_MAX_BYTES);
    for (size_t i = 0; i < set->count; i++) {
        annex->offsets[i] = annex->labels.length_bytes;
        qe_label_queue(&annex->labels, source, set->items[i].vhost, set->items[i].name);
    }
    annex->offsets[set->count] = annex->labels.length_bytes;
    /* The slack that qe_line_write() may read past the last label. */
    char *slack = qe_strbuf_reserve(&annex->labels, QE_LABEL_CHUNK_BYTES);

    if (qe_strbuf_error(&annex->labels, err) != 0) {
        return qe_err_wrap(err, "source %s: labels", source);
    }
    memset(slack, 0, QE_LABEL_CHUNK_BYTES);
    return 0;
}

static struct qe_annex *annex_of(const struct qe_snapshot *snapshot, struct qe_err *err)
{
    struct qe_queue_set *set = snapshot->set;

    if (set->annex != NULL) {
        return set->annex;
    }
    struct qe_annex *annex = qe_calloc(1, sizeof *annex);

    if (annex == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "source %s: labels", snapshot->source);
        return NULL;
    }
    if (fill_labels(annex, snapshot->source, set, err) != 0) {
        annex_destroy(annex);
        return NULL;
    }
    set->annex = annex;
    set->annex_destroy = annex_destroy;
    return annex;
}

/* --- rendering a snapshot --- */

static void rendered_destroy(void *opaque)
{
    struct qe_rendered *rendered = opaque;

    if (rendered == NULL) {
        return;
    }
    for (size_t i = 0; i < QE_FAMILY_POLL_COUNT; i++) {
        block_release(rendered->blocks[i]);
    }
    qe_free(rendered);
}

void qe_poll_render_family(struct qe_strbuf *out, enum qe_family family,
                           const struct qe_poll_view *view)
{
    if (family >= QE_FAMILY_SOURCE_UP) {
        qe_poll_render_source(out, family, view);
    } else if (view->annex != NULL) {
        qe_poll_render_queues(out, family, view);
    }
}

struct render {
    struct qe_poll_view view;
    struct qe_annex *annex; /* as in view; NULL before the first list */
    struct qe_compressor *compressor;
    struct qe_strbuf text; /* reused while nothing new comes of it */
    double *column;        /* owned; one per queue; NULL: none is needed, or there is no memory */
    uint32_t known;        /* what the sample of any queue has */
};

/* True: every line is as in the last render of this set, which is known without making them. Else
 * *out_is_known: `column` now holds what the lines are made of. */
static bool is_as_before(struct render *render, enum qe_family family, bool *out_is_known)
{
    const struct qe_annex *annex = render->annex;
    const size_t bytes =
        render->column == NULL ? 0 : render->view.snapshot->set->count * sizeof *render->column;

    *out_is_known = false;
    if (annex == NULL || bytes == 0 || family >= QE_FAMILY_SOURCE_UP) {
        return false;
    }
    if (qe_poll_is_of_set(family)) {
        return annex->latest[family] != NULL;
    }
    *out_is_known = qe_poll_column(render->column, family, &render->view);
    return *out_is_known && annex->latest[family] != NULL && annex->columns[family] != NULL &&
           memcmp(annex->columns[family], render->column, bytes) == 0;
}

/* The latest block of this family is what comes of `column`. */
static void keep_column(struct render *render, enum qe_family family)
{
    double *old = render->annex->columns[family];

    render->annex->columns[family] = render->column;
    render->column = old != NULL ? old
                                 : qe_reallocarray(NULL, render->view.snapshot->set->count + 1,
                                                   sizeof *render->column);
}

static void forget_latest(struct qe_annex *annex, enum qe_family family)
{
    block_release(annex->latest[family]);
    annex->latest[family] = NULL;
    qe_free(annex->columns[family]);
    annex->columns[family] = NULL;
}

/* Renders one family into *out. What did not change since the last render of this set is shared
 * with it: settings of queues rarely do, and then cost neither memory nor compression. */
static int render_block(struct render *render, enum qe_family family, struct qe_block **out,
                        struct qe_err *err)
{
    struct qe_block **latest = render->annex != NULL ? &render->annex->latest[family] : NULL;
    bool has_column = false;

    if (render->annex != NULL && family < QE_FAMILY_SOURCE_UP &&
        qe_poll_is_unknown(family, render->known)) {
        forget_latest(render->annex, family);
        return 0;
    }
    if (latest != NULL && is_as_before(render, family, &has_column)) {
        *out = block_acquire(*latest);
        return 0;
    }
    qe_strbuf_reset(&render->text);
    if (latest != NULL && *latest != NULL) {
        /* Almost exactly what is needed: then the hole that an old block left can be used again. */
        (void)qe_strbuf_reserve(&render->text, (*latest)->text_bytes + (*latest)->text_bytes / 32 +
                                                   (size_t)QE_SHORT_TEXT_BYTES * 8);
    }
    qe_poll_render_family(&render->text, family, &render->view);
    if (qe_strbuf_error(&render->text, err) != 0) {
        return qe_err_wrap(err, "render %s", qe_catalogue[family].name);
    }
    if (render->text.length_bytes == 0) {
        if (latest != NULL) {
            forget_latest(render->annex, family);
        }
        return 0;
    }
    if (latest != NULL && block_is(*latest, &render->text)) {
        *out = block_acquire(*latest);
    } else {
        *out = block_new(&render->text, render->compressor, err);
        if (*out == NULL) {
            return -1;
        }
        if (latest != NULL) {
            block_release(*latest);
            *latest = block_acquire(*out);
        }
    }
    if (has_column) {
        keep_column(render, family);
    }
    return 0;
}

static int render_all(struct render *render, struct qe_rendered *out, struct qe_err *err)
{
    for (size_t i = 0; i < QE_FAMILY_POLL_COUNT; i++) {
        if (render_block(render, (enum qe_family)i, &out->blocks[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int render_prepare(struct render *render, struct qe_err *err)
{
    const struct qe_snapshot *snapshot = render->view.snapshot;

    qe_strbuf_init(&render->text, BLOCK_MAX_BYTES);
    if (snapshot->set != NULL) {
        render->annex = annex_of(snapshot, err);
        if (render->annex == NULL) {
            return -1;
        }
        render->view.annex = render->annex;
        for (size_t i = 0; i < snapshot->set->count; i++) {
            render->known |= snapshot->states[i].sample.known;
        }
        /* Without memory for it everything is rendered anew. */
        render->column = qe_reallocarray(NULL, snapshot->set->count + 1, sizeof *render->column);
    }
    render->compressor = qe_compressor_new(err);
    return render->compressor != NULL ? 0 : -1;
}

static void *render_snapshot(const struct qe_snapshot *snapshot, void *context, struct qe_err *err)
{
    struct render render = {.view = {.snapshot = snapshot, .stats = context}};
    struct qe_rendered *rendered = qe_calloc(1, sizeof *rendered);

    if (rendered == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "source %s: page", snapshot->source);
    } else if (render_prepare(&render, err) != 0 || render_all(&render, rendered, err) != 0) {
        rendered_destroy(rendered);
        rendered = NULL;
    }
    qe_strbuf_deinit(&render.text);
    qe_free(render.column);
    qe_compressor_destroy(render.compressor);
    return rendered;
}

struct qe_renderer qe_page_renderer(struct qe_stats *stats)
{
    return (struct qe_renderer){
        .render = render_snapshot, .destroy = rendered_destroy, .context = stats};
}
