#include "util/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Fault injection, for tests: one thread local increment and compare per allocation. */
static _Thread_local size_t s_allocations;
static _Thread_local size_t s_fail_at;

static bool fails_now(void)
{
    s_allocations++;
    return s_allocations == s_fail_at;
}

void qe_mem_fail_at(size_t nth)
{
    s_allocations = 0;
    s_fail_at = nth;
}

size_t qe_mem_allocations(void)
{
    return s_allocations;
}

void *qe_calloc(size_t count, size_t size_bytes)
{
    /* malloc(0) may or may not be NULL, and callers read NULL as "out of memory". calloc would see
     * the overflow too, but sanitizers end the program over it. */
    if (count == 0 || size_bytes == 0 || count > SIZE_MAX / size_bytes || fails_now()) {
        return NULL;
    }
    return calloc(count, size_bytes);
}

void *qe_reallocarray(void *block, size_t count, size_t size_bytes)
{
    if (count == 0 || size_bytes == 0 || count > SIZE_MAX / size_bytes || fails_now()) {
        return NULL;
    }
    return realloc(block, count * size_bytes);
}

void qe_free(void *block)
{
    free(block);
}

void *qe_memdup(const void *data, size_t size_bytes)
{
    if (size_bytes == SIZE_MAX) {
        return NULL;
    }
    char *copy = qe_reallocarray(NULL, size_bytes + 1, 1);

    if (copy == NULL) {
        return NULL;
    }
    if (size_bytes > 0) { /* memcpy from NULL is undefined even for 0 bytes */
        memcpy(copy, data, size_bytes);
    }
    copy[size_bytes] = '\0';
    return copy;
}

char *qe_strdup(const char *text)
{
    return qe_memdup(text, strlen(text));
}

char *qe_strndup(const char *text, size_t max_bytes)
{
    return qe_memdup(text, strnlen(text, max_bytes));
}

int qe_grow(void *items, size_t count, size_t *capacity, size_t max_count, size_t item_bytes)
{
    if (count < *capacity) {
        return 0;
    }
    if (count >= max_count) {
        return -1;
    }
    size_t wanted = *capacity < 4 ? 8 : *capacity;

    wanted = wanted > max_count / 2 ? max_count : wanted * 2;
    if (wanted <= count) {
        wanted = count + 1;
    }
    /* `items` is the address of some `T *`: copied through memcpy, because reading it as `void *`
     * would alias two pointer types. */
    void *old = NULL;

    memcpy(&old, items, sizeof old);
    void *grown = qe_reallocarray(old, wanted, item_bytes);

    if (grown == NULL) {
        return -1;
    }
    memcpy(items, &grown, sizeof grown);
    *capacity = wanted;
    return 0;
}
