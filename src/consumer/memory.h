/* What a consumer remembers of messages that failed or were given back unhandled, between their
 * deliveries: no broker keeps it. Bounded: past QE_MEMORY_MESSAGES_MAX the one that was added
 * longest ago is forgotten, and with a restart all are. One thread. */
#ifndef QE_CONSUMER_MEMORY_H
#define QE_CONSUMER_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define QE_MEMORY_MESSAGES_MAX 4096
#define QE_MEMORY_HEADS 1024

struct qe_memory_entry {
    char *id;    /* owned */
    char *error; /* owned; of the first delivery: "reason: what happened"; NULL: none failed yet */
    uint32_t unhandled; /* so many of its receives came to no handler */
    int64_t first_seen_unix_ms;
    uint32_t next; /* in its chain; as older and newer: 1 + index into entries, 0: none */
    uint32_t older;
    uint32_t newer;
};

struct qe_memory {
    struct qe_memory_entry *entries; /* owned; grows as it is needed */
    size_t count;
    size_t capacity;
    uint32_t heads[QE_MEMORY_HEADS];
    uint32_t oldest;
    uint32_t newest;
    uint32_t unused; /* chain of forgotten entries */
};

void qe_memory_deinit(struct qe_memory *memory); /* = {0} is fine; twice is safe */
/* NULL: no error is remembered. Borrowed until the next change. */
const struct qe_memory_entry *qe_memory_find(const struct qe_memory *memory, const char *id);
/* The first failure of a message; one that is remembered already stays as it is. An empty id is
 * not kept. -1: out of memory, nothing has changed. */
int qe_memory_add(struct qe_memory *memory, const char *id, const char *error,
                  int64_t first_seen_unix_ms, struct qe_err *err) QE_MUST_CHECK;
/* One receive more that came to no handler, and that the broker counts all the same. An empty id is
 * not kept. -1: out of memory, nothing has changed. */
int qe_memory_add_unhandled(struct qe_memory *memory, const char *id,
                            struct qe_err *err) QE_MUST_CHECK;
/* The broker counts anew: it is another message of this id, or has been dead-lettered and redriven.
 */
void qe_memory_reset_unhandled(struct qe_memory *memory, const char *id);
/* So many are known of. */
uint32_t qe_memory_unhandled(const struct qe_memory *memory, const char *id);
void qe_memory_forget(struct qe_memory *memory, const char *id);

#endif
