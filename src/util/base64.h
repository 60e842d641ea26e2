/* Base64 of RFC 4648, for bodies that are not text. */
#ifndef QE_QUEUECTL_BASE64_H
#define QE_QUEUECTL_BASE64_H

#include <stddef.h>

/* The caller frees; NULL when out of memory. */
char *ctl_base64_encode(const char *bytes, size_t count);
/* Exactly as ctl_base64_encode() writes it, with its padding. *out has one NUL behind *out_count
 * bytes, and is the caller's. -1: it is not base64; 1: out of memory. */
int ctl_base64_decode(const char *text, char **out, size_t *out_count);

#endif
