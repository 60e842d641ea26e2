/* FNV-1a, 64 bits: for tables, and for telling texts apart that nobody chooses to look the same. */
#ifndef QE_UTIL_HASH_H
#define QE_UTIL_HASH_H

#include <stddef.h>
#include <stdint.h>

#define QE_HASH_START UINT64_C(0xcbf29ce484222325)

/* Goes on from `hash`: QE_HASH_START, or what an earlier call gave. */
static inline uint64_t qe_hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *from = bytes;

    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ from[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

#endif
