#ifndef QE_HAVE_ISAL

#include <stdbool.h>

#define ZLIB_CONST /* its input is const, as it should be */
#include <zlib.h>

#include "metrics/compress.h"
#include "metrics/compress_internal.h"
#include "util/mem.h"

struct qe_deflate {
    z_stream stream;
    bool ready;
};

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

struct qe_deflate *qe_deflate_new(void)
{
    struct qe_deflate *self = qe_calloc(1, sizeof *self);

    if (self == NULL) {
        return NULL;
    }
    self->stream.zalloc = zlib_alloc;
    self->stream.zfree = zlib_free;
    self->ready = deflateInit2(&self->stream, 1, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL,
                               Z_DEFAULT_STRATEGY) == Z_OK;
    if (!self->ready) {
        qe_deflate_destroy(self);
        return NULL;
    }
    return self;
}

void qe_deflate_destroy(struct qe_deflate *self)
{
    if (self != NULL && self->ready) {
        (void)deflateEnd(&self->stream);
    }
    qe_free(self);
}

int qe_deflate_run(struct qe_deflate *self, const void *plain, size_t plain_bytes,
                   struct qe_deflate_output *out)
{
    z_stream *stream = &self->stream;

    if (deflateReset(stream) != Z_OK) {
        return -1;
    }
    stream->next_in = plain;
    stream->avail_in = (uInt)plain_bytes;
    stream->next_out = out->data;
    stream->avail_out = (uInt)out->capacity_bytes;
    if (deflate(stream, Z_FULL_FLUSH) != Z_OK || stream->avail_in != 0 || stream->avail_out == 0) {
        return -1;
    }
    out->size_bytes = stream->total_out;
    return 0;
}

uint32_t qe_deflate_crc(const void *plain, size_t plain_bytes)
{
    return (uint32_t)crc32_z(0, plain, plain_bytes);
}

const char *qe_compress_library(void)
{
    return "zlib " ZLIB_VERSION;
}

#else

typedef int qe_compress_zlib_is_not_built; /* C has no empty files */

#endif
