/* A temporary store for the tests of the embedded driver: its settings, its directory, its removal.
 */
#ifndef QE_TESTS_CONTRACT_EMBEDDED_FIXTURE_H
#define QE_TESTS_CONTRACT_EMBEDDED_FIXTURE_H

#include <stdbool.h>

#include "backend/embedded/embedded.h"

#define EMBEDDED_FIXTURE_QUEUES 4

struct embedded_fixture {
    bool in_memory;
    char directory[64]; /* "" in memory */
    char path[96];
    struct qe_embedded_queue_settings queues[EMBEDDED_FIXTURE_QUEUES];
    struct qe_embedded_settings settings;
};

#define EMBEDDED_BRIEF_MS 200
#define EMBEDDED_WORK_MS 30000

/* Makes the directory and the settings: queues "work" (into "work-dlq" after 3 receives), "brief"
 * and "ordered". -1 when there is no room for a directory. */
int embedded_fixture_init(struct embedded_fixture *fixture, bool in_memory);
/* Removes every file and the directory. */
void embedded_fixture_deinit(struct embedded_fixture *fixture);
/* Opens a handle; fails the test when that fails. */
void *embedded_fixture_open(const struct embedded_fixture *fixture);

#endif
