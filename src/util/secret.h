/* A secret: never printed, wiped when freed, kept out of core dumps where the kernel can
 * (MADV_DONTDUMP). */
#ifndef QE_UTIL_SECRET_H
#define QE_UTIL_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

#define QE_SECRET_MAX_BYTES 8192

struct qe_secret;

/* Copies `count` bytes; the caller wipes its own copy with qe_secret_wipe(). */
struct qe_secret *qe_secret_new(const char *bytes, size_t count, struct qe_err *err) QE_MUST_CHECK;
/* Reads a file's content without its final line end; the error names the path, never the content.
 */
struct qe_secret *qe_secret_new_from_file(const char *path, struct qe_err *err) QE_MUST_CHECK;
void qe_secret_destroy(struct qe_secret *secret); /* accepts NULL */

const char *
qe_secret_bytes(const struct qe_secret *secret); /* NUL-terminated; borrowed; "" for NULL */
size_t qe_secret_length(const struct qe_secret *secret);
bool qe_secret_equal(const struct qe_secret *a,
                     const struct qe_secret *b); /* constant time for equal lengths */
void qe_secret_wipe(void *bytes, size_t count);  /* not optimised away */

#endif
