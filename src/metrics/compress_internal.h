/* One raw deflate library behind compress.c: compress_isal.c where ISA-L is built in,
 * compress_zlib.c otherwise. For this folder only. */
#ifndef QE_METRICS_COMPRESS_INTERNAL_H
#define QE_METRICS_COMPRESS_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

struct qe_deflate;

struct qe_deflate *qe_deflate_new(void); /* NULL when out of memory */
void qe_deflate_destroy(struct qe_deflate *self);

struct qe_deflate_output {
    unsigned char *data; /* borrowed */
    size_t capacity_bytes;
    size_t size_bytes; /* result */
};

/* Deflates `plain` up to a full flush. -1 when the library refuses or the room is too small. */
int qe_deflate_run(struct qe_deflate *self, const void *plain, size_t plain_bytes,
                   struct qe_deflate_output *out);

uint32_t qe_deflate_crc(const void *plain, size_t plain_bytes);

#endif
