/* The only door to malloc. Tests make the n-th allocation fail through qe_mem_fail_at(). */
#ifndef QE_UTIL_MEM_H
#define QE_UTIL_MEM_H

#include <stddef.h>

/* Zeroed memory for `count` objects of `size_bytes` each; NULL on overflow or exhaustion, also for
 * 0 bytes. */
void *qe_calloc(size_t count, size_t size_bytes);
/* Grows or shrinks; on NULL the old block is untouched. New bytes are not zeroed. */
void *qe_reallocarray(void *block, size_t count, size_t size_bytes);
void qe_free(void *block); /* accepts NULL */
char *qe_strdup(const char *text);
char *qe_strndup(const char *text, size_t max_bytes);
/* Copy of `size_bytes` bytes, with one NUL behind them that is not counted. */
void *qe_memdup(const void *data, size_t size_bytes);

/* Makes room for one more item in a growing array: doubles *capacity, never beyond max_count.
 * `items` is the address of the array pointer. Returns 0, or -1 when out of memory or at the cap;
 * nothing changes then. */
int qe_grow(void *items, size_t count, size_t *capacity, size_t max_count, size_t item_bytes);

/* Tests: the n-th allocation from now on this thread fails (1 = the next), once; 0 switches it off.
 * qe_mem_allocations(): allocations asked for on this thread since the last qe_mem_fail_at(). */
void qe_mem_fail_at(size_t nth);
size_t qe_mem_allocations(void);

#endif
