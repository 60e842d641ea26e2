#include "metrics/compress.h"

#include <string.h>

#include <zlib.h>

#include "metrics/compress_internal.h"
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

static void write_le16(unsigned char *out, uint16_t value)
{
    out[0] = (unsigned char)(value & 0xff);
    out[1] = (unsigned char)(value >> 8);
}

static void write_le32(unsigned char *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (unsigned char)(value >> (8 * i) & 0xff);
    }
}

static void describe(struct qe_segment *segment, const void *plain, size_t plain_bytes)
{
    segment->plain_bytes = plain_bytes;
    segment->crc = qe_deflate_crc(plain, plain_bytes);
    segment->combine = (uint32_t)crc32_combine_gen((z_off_t)plain_bytes);
}

static int check_limit(size_t plain_bytes, struct qe_err *err)
{
    return plain_bytes <= PLAIN_MAX_BYTES
               ? 0
               : qe_err_set(err, QE_ERR_LIMIT, "compress: %zu bytes in one family", plain_bytes);
}

struct qe_compressor {
    struct qe_deflate *deflate; /* owned */
    unsigned char *scratch;     /* owned; where a segment of unknown size is written first */
    size_t scratch_bytes;
};

struct qe_compressor *qe_compressor_new(struct qe_err *err)
{
    struct qe_compressor *compressor = qe_calloc(1, sizeof *compressor);

    if (compressor == NULL || (compressor->deflate = qe_deflate_new()) == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "compressor");
        qe_compressor_destroy(compressor); /* accepts NULL and half-built */
        return NULL;
    }
    return compressor;
}

void qe_compressor_destroy(struct qe_compressor *compressor)
{
    if (compressor == NULL) {
        return;
    }
    qe_deflate_destroy(compressor->deflate);
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
    struct qe_deflate_output output = {.data = compressor->scratch,
                                       .capacity_bytes = compressor->scratch_bytes};

    if (qe_deflate_run(compressor->deflate, plain, plain_bytes, &output) != 0) {
        return qe_err_set(err, QE_ERR_INVALID, "compress %zu bytes: the library refused",
                          plain_bytes);
    }
    segment.size_bytes = output.size_bytes;
    segment.data = qe_memdup(compressor->scratch, segment.size_bytes);
    if (segment.data == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "compress %zu bytes", plain_bytes);
    }
    describe(&segment, plain, plain_bytes);
    *out = segment;
    return 0;
}

int qe_segment_store(struct qe_segment *out, const void *plain, size_t plain_bytes,
                     struct qe_err *err)
{
    struct qe_segment segment = {.size_bytes = STORED_HEADER_BYTES + plain_bytes};
    unsigned char *at = NULL;

    if (plain_bytes > STORED_MAX_BYTES) {
        return qe_err_set(err, QE_ERR_LIMIT, "store %zu bytes in one block", plain_bytes);
    }
    segment.data = at = qe_reallocarray(NULL, segment.size_bytes, 1);
    if (at == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "store %zu bytes", plain_bytes);
    }
    at[0] = 0; /* not the last block, stored, padded to the byte */
    write_le16(at + 1, (uint16_t)plain_bytes);
    write_le16(at + 3, (uint16_t)~plain_bytes);
    if (plain_bytes > 0) {
        memcpy(at + STORED_HEADER_BYTES, plain, plain_bytes);
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

void qe_gzip_trailer(const struct qe_gzip_sum *sum, unsigned char out[QE_GZIP_TRAILER_BYTES])
{
    out[0] = 0x03; /* last block, fixed codes, nothing in it */
    out[1] = 0x00;
    write_le32(out + 2, sum->crc);
    write_le32(out + 6, (uint32_t)(sum->plain_bytes & UINT32_MAX));
}
