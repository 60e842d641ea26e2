#ifdef QE_HAVE_ISAL

#include <isa-l.h>

#include "metrics/compress.h"
#include "metrics/compress_internal.h"
#include "util/mem.h"

#define TEXT_OF(x) #x
#define TEXT_OF_VALUE(x) TEXT_OF(x)

struct qe_deflate {
    struct isal_zstream stream;
    unsigned char *level_buffer; /* owned */
};

struct qe_deflate *qe_deflate_new(void)
{
    struct qe_deflate *self = qe_calloc(1, sizeof *self);

    if (self == NULL) {
        return NULL;
    }
    self->level_buffer = qe_reallocarray(NULL, ISAL_DEF_LVL1_DEFAULT, 1);
    if (self->level_buffer == NULL) {
        qe_deflate_destroy(self);
        return NULL;
    }
    return self;
}

void qe_deflate_destroy(struct qe_deflate *self)
{
    if (self != NULL) {
        qe_free(self->level_buffer);
    }
    qe_free(self);
}

int qe_deflate_run(struct qe_deflate *self, const void *plain, size_t plain_bytes,
                   struct qe_deflate_output *out)
{
    struct isal_zstream *stream = &self->stream;
    union {
        const void *in;
        uint8_t *unchanged; /* the library only reads, but does not say so */
    } input = {.in = plain};

    isal_deflate_stateless_init(stream);
    stream->level = 1;
    stream->level_buf = self->level_buffer;
    stream->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    stream->flush = FULL_FLUSH;
    stream->end_of_stream = 0;
    stream->next_in = input.unchanged;
    stream->avail_in = (uint32_t)plain_bytes;
    stream->next_out = out->data;
    stream->avail_out = (uint32_t)out->capacity_bytes;
    if (isal_deflate_stateless(stream) != COMP_OK || stream->avail_in != 0) {
        return -1;
    }
    out->size_bytes = stream->total_out;
    return 0;
}

uint32_t qe_deflate_crc(const void *plain, size_t plain_bytes)
{
    return crc32_gzip_refl(0, plain, plain_bytes);
}

const char *qe_compress_library(void)
{
    return "isa-l " TEXT_OF_VALUE(ISAL_MAJOR_VERSION) "." TEXT_OF_VALUE(
        ISAL_MINOR_VERSION) "." TEXT_OF_VALUE(ISAL_PATCH_VERSION);
}

#else

typedef int qe_compress_isal_is_not_built; /* C has no empty files */

#endif
