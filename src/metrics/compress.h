/* Deflate segments that can be stitched into one gzip member. ISA-L where the platform has it, zlib
 * otherwise. */
#ifndef QE_METRICS_COMPRESS_H
#define QE_METRICS_COMPRESS_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

/* A piece of text as independent raw deflate, ended by a full flush (byte-aligned, no back
 * references before it, not the last block), with what is needed to stitch it. */
struct qe_segment {
    void *data; /* owned */
    size_t size_bytes;
    uint32_t crc; /* CRC-32 of the plain text */
    size_t plain_bytes;
};

int qe_segment_compress(struct qe_segment *out, const void *plain, size_t plain_bytes,
                        struct qe_err *err) QE_MUST_CHECK;
void qe_segment_deinit(struct qe_segment *segment);

/* Gzip member = header, segments in order, trailer. */
#define QE_GZIP_HEADER_BYTES 10
#define QE_GZIP_TRAILER_BYTES 10 /* an empty final block, CRC-32 and length */
extern const unsigned char qe_gzip_header[QE_GZIP_HEADER_BYTES];

/* CRC state over the segments so far; start with = {0}. */
struct qe_gzip_sum {
    uint32_t crc;
    uint64_t plain_bytes;
};
void qe_gzip_sum_add(struct qe_gzip_sum *sum, const struct qe_segment *segment);
void qe_gzip_trailer(const struct qe_gzip_sum *sum, unsigned char out[QE_GZIP_TRAILER_BYTES]);

/* "isa-l 2.30" or "zlib 1.2.13": for --version. */
const char *qe_compress_library(void);

#endif
