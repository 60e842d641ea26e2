/* The embedded store: queues in one SQLite file, or in memory. The schema, and how another program
 * shares the file, is in README.md beside this header. */
#ifndef QE_BACKEND_EMBEDDED_EMBEDDED_H
#define QE_BACKEND_EMBEDDED_EMBEDDED_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "config/option.h"

#define QE_EMBEDDED_QUEUE_NAME_MAX_BYTES 255
/* Two places of QE_MESSAGE_ATTRIBUTES_MAX for each fact that dead-lettering may add. */
#define QE_EMBEDDED_ATTRIBUTES_MAX 56

enum qe_embedded_synchronous {
    QE_EMBEDDED_SYNC_FULL = 0, /* an accepted send survives a power cut */
    QE_EMBEDDED_SYNC_NORMAL    /* survives a crash of the process; a power cut may lose the last */
};

struct qe_embedded_dead_letter_settings {
    char *queue; /* NULL: none */
    uint64_t max_receives;
};

struct qe_embedded_queue_settings {
    char *name;
    int64_t visibility_timeout_ms;
    int64_t retention_ms;
    int64_t delay_ms;
    bool ordered;
    int64_t deduplication_window_ms; /* 0: no deduplication */
    struct qe_embedded_dead_letter_settings dead_letter;
};

/* What qe_driver_embedded.section fills. */
struct qe_embedded_settings {
    char *path;                    /* a file, or ":memory:": shared by the handles of one process
                                      that name the same source, gone with the last of them */
    int synchronous;               /* enum qe_embedded_synchronous */
    struct qe_section_list queues; /* of struct qe_embedded_queue_settings */
};

extern const struct qe_driver qe_driver_embedded;

#endif
