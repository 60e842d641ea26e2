/* Deflate segments that can be stitched into one gzip member. ISA-L where the platform has it, zlib
 * otherwise. */
#ifndef QE_METRICS_COMPRESS_H
#define QE_METRICS_COMPRESS_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

/* A piece of text as independent raw deflate, ended by a full flush (byte-aligned, no back
 * references before it, not the last block), with what is needed to stitch it. = {0} is a valid
 * empty. */
struct qe_segment {
    void *data; /* owned; exactly size_bytes */
    size_t size_bytes;
    uint32_t crc;     /* CRC-32 of the plain text */
    uint32_t combine; /* how its length shifts a CRC before it: makes stitching cheap */
    size_t plain_bytes;
};

/* The compressor's working memory (some 400 KB): made once per render and used for all its blocks,
 * from one thread at a time. */
struct qe_compressor;
struct qe_compressor *qe_compressor_new(struct qe_err *err) QE_MUST_CHECK;
void qe_compressor_destroy(struct qe_compressor *compressor); /* accepts NULL */

/* Errors: QE_ERR_NOMEM; QE_ERR_LIMIT past 1 GiB of plain text. */
int qe_segment_compress(struct qe_compressor *compressor, struct qe_segment *out, const void *plain,
                        size_t plain_bytes, struct qe_err *err) QE_MUST_CHECK;
/* The same without compressing: for a short text that is not used twice, where setting up codes
 * costs more time than it saves in bytes. Errors: QE_ERR_NOMEM; QE_ERR_LIMIT past 65 535 bytes. */
int qe_segment_store(struct qe_segment *out, const void *plain, size_t plain_bytes,
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

/* "isa-l 2.30.0" or "zlib 1.2.13": for --version. */
const char *qe_compress_library(void);

#endif
