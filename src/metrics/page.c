#include "metrics/page.h"

#include <stdatomic.h>

#include "metrics/compress.h"
#include "metrics/live_internal.h"
#include "metrics/poll_internal.h"
#include "util/mem.h"

/* Compressing a live part of this size would take longer than all else that a scrape costs, to save
 * a few KB of a page. With consumers it is longer, and compressed. */
#define STORED_LIVE_MAX_BYTES 16384

/* --- headers of the POLL families --- */

struct header {
    struct qe_strbuf text;
    struct qe_segment segment;
};

struct headers {
    struct header items[QE_FAMILY_POLL_COUNT];
};

static void headers_destroy(struct headers *headers)
{
    for (size_t i = 0; headers != NULL && i < QE_FAMILY_POLL_COUNT; i++) {
        qe_strbuf_deinit(&headers->items[i].text);
        qe_segment_deinit(&headers->items[i].segment);
    }
    qe_free(headers);
}

static int headers_fill(struct headers *headers, enum qe_format format,
                        struct qe_compressor *compressor, struct qe_err *err)
{
    for (size_t i = 0; i < QE_FAMILY_POLL_COUNT; i++) {
        struct header *header = &headers->items[i];

        qe_catalogue_header(&header->text, (enum qe_family)i, format);
        if (qe_strbuf_error(&header->text, err) != 0 ||
            qe_segment_compress(compressor, &header->segment, header->text.data,
                                header->text.length_bytes, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static struct headers *headers_new(enum qe_format format, struct qe_err *err)
{
    struct headers *headers = qe_calloc(1, sizeof *headers);
    struct qe_compressor *compressor = NULL;

    if (headers == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "headers of the page");
        return NULL;
    }
    compressor = qe_compressor_new(err);
    if (compressor == NULL || headers_fill(headers, format, compressor, err) != 0) {
        headers_destroy(headers);
        headers = NULL;
    }
    qe_compressor_destroy(compressor);
    return headers;
}

/* The headers of a format: made by the first page that needs them and kept until the process ends.
 * No pthread_once: it could not be tried again after running out of memory. */
static const struct headers *headers_of(enum qe_format format, struct qe_err *err)
{
    static struct headers *_Atomic s_headers[QE_FORMAT_COUNT];
    struct headers *known = atomic_load(&s_headers[format]);

    if (known != NULL) {
        return known;
    }
    struct headers *made = headers_new(format, err);

    if (made != NULL && !atomic_compare_exchange_strong(&s_headers[format], &known, made)) {
        headers_destroy(made); /* another scrape was first */
        made = known;
    }
    return made;
}

/* --- the page --- */

/* What qe_page.live points at. */
struct live {
    struct qe_strbuf text;
    struct qe_segment segment;
};

struct build {
    struct qe_page *page;
    const struct headers *headers;
    bool gzip;
    struct qe_gzip_sum sum;
};

static void add_bytes(struct qe_page *page, const void *data, size_t size_bytes)
{
    page->parts[page->parts_count] = (struct qe_page_part){data, size_bytes};
    page->parts_count++;
    page->size_bytes += size_bytes;
}

static void add(struct build *build, const char *text, size_t text_bytes,
                const struct qe_segment *segment)
{
    if (build->gzip) {
        add_bytes(build->page, segment->data, segment->size_bytes);
        qe_gzip_sum_add(&build->sum, segment);
    } else {
        add_bytes(build->page, text, text_bytes);
    }
}

/* A family's header and the block of every source that has one. */
static void add_family(struct build *build, enum qe_family family)
{
    const struct header *header = &build->headers->items[family];
    bool headed = false;

    for (size_t i = 0; i < build->page->snapshots_count; i++) {
        const struct qe_rendered *rendered = build->page->snapshots[i]->rendered;
        const struct qe_block *block = rendered != NULL ? rendered->blocks[family] : NULL;

        if (block == NULL) {
            continue;
        }
        if (!headed) {
            add(build, header->text.data, header->text.length_bytes, &header->segment);
            headed = true;
        }
        add(build, block->text, block->text_bytes, &block->segment);
    }
}

static int render_live(struct live *live, struct qe_stats *stats, const struct qe_build_info *info,
                       enum qe_format format, struct qe_err *err)
{
    struct qe_process process;

    qe_process_read(&process);
    qe_strbuf_init(&live->text, 0);
    qe_live_render(&live->text, stats, info, &process, format);
    return qe_strbuf_error(&live->text, err);
}

/* A compressor's memory is larger than what a scrape gives it to do: the last one used is kept for
 * the next scrape. Two scrapes at once make a second, and the later to finish stays. */
static struct qe_compressor *_Atomic s_spare_compressor;

static struct qe_compressor *take_compressor(struct qe_err *err)
{
    struct qe_compressor *spare = atomic_exchange(&s_spare_compressor, NULL);

    return spare != NULL ? spare : qe_compressor_new(err);
}

static void give_back_compressor(struct qe_compressor *compressor)
{
    if (compressor != NULL) {
        qe_compressor_destroy(atomic_exchange(&s_spare_compressor, compressor));
    }
}

static int compress_live(struct live *live, struct qe_err *err)
{
    if (live->text.length_bytes <= STORED_LIVE_MAX_BYTES) {
        return qe_segment_store(&live->segment, live->text.data, live->text.length_bytes, err);
    }
    struct qe_compressor *compressor = take_compressor(err);
    int rc = compressor != NULL ? qe_segment_compress(compressor, &live->segment, live->text.data,
                                                      live->text.length_bytes, err)
                                : -1;

    give_back_compressor(compressor);
    return rc;
}

static void assemble(struct build *build)
{
    struct qe_page *page = build->page;
    const struct live *live = page->live;

    if (build->gzip) {
        add_bytes(page, qe_gzip_header, QE_GZIP_HEADER_BYTES);
    }
    for (size_t i = 0; i < QE_FAMILY_POLL_COUNT; i++) {
        add_family(build, (enum qe_family)i);
    }
    add(build, live->text.data, live->text.length_bytes, &live->segment);
    if (build->gzip) {
        qe_gzip_trailer(&build->sum, page->trailer);
        add_bytes(page, page->trailer, QE_GZIP_TRAILER_BYTES);
    }
}

/* Header of gzip, live part and trailer; per family one header and one block per source. */
static size_t parts_max(const struct qe_page *page)
{
    return 3 + QE_FAMILY_POLL_COUNT * (1 + page->snapshots_count);
}

int qe_page_new(struct qe_store *store, const struct qe_build_info *build, enum qe_format format,
                bool gzip, struct qe_page **out, struct qe_err *err)
{
    struct qe_page *page = qe_calloc(1, sizeof *page);

    if (page == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "page");
    }
    struct build work = {.page = page, .gzip = gzip};

    page->snapshots_count = qe_store_acquire_all(store, page->snapshots);
    page->parts = qe_calloc(parts_max(page), sizeof *page->parts);
    page->live = qe_calloc(1, sizeof(struct live));
    if (page->parts == NULL || page->live == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "page of %zu sources", page->snapshots_count);
        qe_page_destroy(page);
        return -1;
    }
    work.headers = headers_of(format, err);
    if (work.headers == NULL ||
        render_live(page->live, qe_store_stats(store), build, format, err) != 0 ||
        (gzip && compress_live(page->live, err) != 0)) {
        qe_page_destroy(page);
        return -1;
    }
    assemble(&work);
    *out = page;
    return 0;
}

void qe_page_destroy(struct qe_page *page)
{
    if (page == NULL) {
        return;
    }
    struct live *live = page->live;

    if (live != NULL) {
        qe_strbuf_deinit(&live->text);
        qe_segment_deinit(&live->segment);
    }
    for (size_t i = 0; i < page->snapshots_count; i++) {
        qe_snapshot_release(page->snapshots[i]);
    }
    qe_free(page->live);
    qe_free(page->parts);
    qe_free(page);
}
