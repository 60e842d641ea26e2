/* Base64 of RFC 4648, for bodies that are not text. */
#ifndef QE_UTIL_BASE64_H
#define QE_UTIL_BASE64_H

#include <stddef.h>

/* The caller frees; NULL when out of memory. */
char *qe_base64_encode(const char *bytes, size_t count);
/* Exactly as qe_base64_encode() writes it, with its padding. *out has one NUL behind *out_count
 * bytes, and is the caller's. -1: it is not base64; 1: out of memory. */
int qe_base64_decode(const char *text, char **out, size_t *out_count);

#endif
