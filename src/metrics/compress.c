#include "metrics/compress.h"

#include <stdbool.h>

#ifdef QE_HAVE_ISAL
#include <isa-l.h>
#endif
#define ZLIB_CONST /* its input is const, as it should be */
#include <zlib.h>

#include "util/mem.h"

#define PLAIN_MAX_BYTES ((size_t)1 << 30) /* both libraries count in 32 bits */
#define STORED_MAX_BYTES 65535u
#define STORED_HEADER_BYTES 5u

/* Deflate, no flags, no time, unknown system: the same page is the same bytes everywhere. */
const unsigned char qe_gzip_header[QE_GZIP_HEADER_BYTES] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};

/* More than any segment can take: all of it stored, and the flush behind it. */
static size_t stored_bytes(size_t plain_bytes)
{
    return plain_bytes + (plain_bytes / STORED_MAX_BYTES + 1) * STORED_HEADER_BYTES;
}

static uint32_t crc_of(const void *plain, size_t plain_bytes);

static void describe(struct qe_segment *segment, const void *plain, size_t plain_bytes)
{
    segment->plain_bytes = plain_bytes;
    segment->crc = crc_of(plain, plain_bytes);
    segment->combine = (uint32_t)crc32_combine_gen((z_off_t)plain_bytes);
}

static int check_limit(size_t plain_bytes, struct qe_err *err)
{
    return plain_bytes <= PLAIN_MAX_BYTES
               ? 0
               : qe_err_set(err, QE_ERR_LIMIT, "compress: %zu bytes in one family", plain_bytes);
}

#ifdef QE_HAVE_ISAL

#define TEXT_OF(x) #x
#define TEXT_OF_VALUE(x) TEXT_OF(x)

struct qe_compressor {
    struct isal_zstream stream;
    unsigned char *level_buffer;
    unsigned char *scratch; /* where a segment of unknown size is written first */
    size_t scratch_bytes;
};

static uint32_t crc_of(const void *plain, size_t plain_bytes)
{
    return crc32_gzip_refl(0, plain, plain_bytes);
}

static int library_init(struct qe_compressor *compressor)
{
    compressor->level_buffer = qe_reallocarray(NULL, ISAL_DEF_LVL1_DEFAULT, 1);
    return compressor->level_buffer != NULL ? 0 : -1;
}

static void library_deinit(struct qe_compressor *compressor)
{
    qe_free(compressor->level_buffer);
}

static int library_deflate(struct qe_compressor *compressor, const void *plain, size_t plain_bytes,
                           size_t *out_bytes)
{
    struct isal_zstream *stream = &compressor->stream;
    union {
        const void *in;
        uint8_t *unchanged; /* the library only reads, but does not say so */
    } input = {.in = plain};

    isal_deflate_stateless_init(stream);
    stream->level = 1;
    stream->level_buf = compressor->level_buffer;
    stream->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    stream->flush = FULL_FLUSH;
    stream->end_of_stream = 0;
    stream->next_in = input.unchanged;
    stream->avail_in = (uint32_t)plain_bytes;
    stream->next_out = compressor->scratch;
    stream->avail_out = (uint32_t)compressor->scratch_bytes;
    if (isal_deflate_stateless(stream) != COMP_OK || stream->avail_in != 0) {
        return -1;
    }
    *out_bytes = stream->total_out;
    return 0;
}

const char *qe_compress_library(void)
{
    return "isa-l " TEXT_OF_VALUE(ISAL_MAJOR_VERSION) "." TEXT_OF_VALUE(
        ISAL_MINOR_VERSION) "." TEXT_OF_VALUE(ISAL_PATCH_VERSION);
}

#else

struct qe_compressor {
    z_stream stream;
    bool ready;
    unsigned char *scratch; /* where a segment of unknown size is written first */
    size_t scratch_bytes;
};

static uint32_t crc_of(const void *plain, size_t plain_bytes)
{
    return (uint32_t)crc32_z(0, plain, plain_bytes);
}

static void *zlib_alloc(void *context, unsigned count, unsigned size_bytes)
{
    (void)context;
    return qe_calloc(count, size_bytes);
}

static void zlib_free(void *context, void *block)
{
    (void)context;
    qe_free(block);
}

static int library_init(struct qe_compressor *compressor)
{
    compressor->stream.zalloc = zlib_alloc;
    compressor->stream.zfree = zlib_free;
    compressor->ready = deflateInit2(&compressor->stream, 1, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL,
                                     Z_DEFAULT_STRATEGY) == Z_OK;
    return compressor->ready ? 0 : -1;
}

static void library_deinit(struct qe_compressor *compressor)
{
    if (compressor->ready) {
        (void)deflateEnd(&compressor->stream);
    }
}

static int library_deflate(struct qe_compressor *compressor, const void *plain, size_t plain_bytes,
                           size_t *out_bytes)
{
    z_stream *stream = &compressor->stream;

    if (deflateReset(stream) != Z_OK) {
        return -1;
    }
    stream->next_in = plain;
    stream->avail_in = (uInt)plain_bytes;
    stream->next_out = compressor->scratch;
    stream->avail_out = (uInt)compressor->scratch_bytes;
    if (deflate(stream, Z_FULL_FLUSH) != Z_OK || stream->avail_in != 0 || stream->avail_out == 0) {
        return -1;
    }
    *out_bytes = stream->total_out;
    return 0;
}

const char *qe_compress_library(void)
{
    return "zlib " ZLIB_VERSION;
}

#endif

struct qe_compressor *qe_compressor_new(struct qe_err *err)
{
    struct qe_compressor *compressor = qe_calloc(1, sizeof *compressor);

    if (compressor == NULL || library_init(compressor) != 0) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "compressor");
        qe_compressor_destroy(compressor);
        return NULL;
    }
    return compressor;
}

void qe_compressor_destroy(struct qe_compressor *compressor)
{
    if (compressor == NULL) {
        return;
    }
    library_deinit(compressor);
    qe_free(compressor->scratch);
    qe_free(compressor);
}

static int make_scratch(struct qe_compressor *compressor, size_t wanted_bytes)
{
    if (compressor->scratch_bytes >= wanted_bytes) {
        return 0;
    }
    /* Freed first: its content is not needed, and both at once would be the peak of a render. */
    qe_free(compressor->scratch);
    compressor->scratch_bytes = 0;
    compressor->scratch = qe_reallocarray(NULL, wanted_bytes, 1);
    if (compressor->scratch == NULL) {
        return -1;
    }
    compressor->scratch_bytes = wanted_bytes;
    return 0;
}

int qe_segment_compress(struct qe_compressor *compressor, struct qe_segment *out, const void *plain,
                        size_t plain_bytes, struct qe_err *err)
{
    struct qe_segment segment = {0};

    if (check_limit(plain_bytes, err) != 0) {
        return -1;
    }
    /* 1/1000 and 256 more than stored: what zlib's own bound leaves for codes that do not pay. */
    if (make_scratch(compressor, stored_bytes(plain_bytes) + plain_bytes / 1000 + 256) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "compress %zu bytes", plain_bytes);
    }
    if (library_deflate(compressor, plain, plain_bytes, &segment.size_bytes) != 0) {
        return qe_err_set(err, QE_ERR_INVALID, "compress %zu bytes: the library refused",
                          plain_bytes);
    }
    segment.data = qe_memdup(compressor->scratch, segment.size_bytes);
    if (segment.data == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "compress %zu bytes", plain_bytes);
    }
    describe(&segment, plain, plain_bytes);
    *out = segment;
    return 0;
}

void qe_segment_deinit(struct qe_segment *segment)
{
    qe_free(segment->data);
    *segment = (struct qe_segment){0};
}

void qe_gzip_sum_add(struct qe_gzip_sum *sum, const struct qe_segment *segment)
{
    sum->crc = (uint32_t)crc32_combine_op(sum->crc, segment->crc, segment->combine);
    sum->plain_bytes += segment->plain_bytes;
}

static void write_le32(unsigned char *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (unsigned char)(value >> (8 * i) & 0xff);
    }
}

void qe_gzip_trailer(const struct qe_gzip_sum *sum, unsigned char out[QE_GZIP_TRAILER_BYTES])
{
    out[0] = 0x03; /* last block, fixed codes, nothing in it */
    out[1] = 0x00;
    write_le32(out + 2, sum->crc);
    write_le32(out + 6, (uint32_t)(sum->plain_bytes & UINT32_MAX));
}
