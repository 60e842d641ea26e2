/* Numbers as Prometheus reads them: integers without exponent up to 2^53, other doubles as the
 * shortest decimal that reads back equal, NaN, +Inf, -Inf. Locale plays no part. */
#ifndef QE_UTIL_NUMBER_H
#define QE_UTIL_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define QE_NUMBER_MAX_BYTES 32

/* Writes at most QE_NUMBER_MAX_BYTES bytes, no NUL; returns how many. */
size_t qe_number_write_double(double value, char *out);
size_t qe_number_write_u64(uint64_t value, char *out);

#endif
