/* The canonical request: what is hashed, and never kept, since the session token is in it. */
#ifndef QE_AWS_SIGV4_INTERNAL_H
#define QE_AWS_SIGV4_INTERNAL_H

#include "aws/digest.h"
#include "aws/sigv4.h"

/* Room for pieces, so that a request of few bytes is hashed in one go. */
#define QE_SIGV4_CHUNK_BYTES 1024

/* Where the canonical request goes: into a hash, and into a text if somebody wants to see it.
 * A failure sticks. */
struct qe_sigv4_sink {
    struct qe_sha256 *hash; /* borrowed */
    struct qe_strbuf *copy; /* borrowed; NULL: nobody looks */
    size_t used_bytes;
    bool failed;
    char chunk[QE_SIGV4_CHUNK_BYTES];
};
void qe_sigv4_put(struct qe_sigv4_sink *sink, const char *bytes, size_t count);
/* Hands on what is still in the chunk and wipes it. 0, or -1 when anything failed. */
int qe_sigv4_flush(struct qe_sigv4_sink *sink) QE_MUST_CHECK;

/* Writes all but the last line (the body's hash) and fills `out_names` with the names of the
 * signed headers, joined by ';'. `scratch` is reset and used. Errors: QE_ERR_NOMEM, _INVALID. */
int qe_sigv4_canonical(const struct qe_sigv4_request *request, struct qe_sigv4_sink *sink,
                       struct qe_strbuf *scratch, struct qe_strbuf *out_names,
                       struct qe_err *err) QE_MUST_CHECK;

#endif
