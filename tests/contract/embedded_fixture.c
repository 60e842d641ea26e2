#define _DEFAULT_SOURCE /* mkdtemp */
#include "contract/embedded_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/check.h"

static char s_work[] = "work";
static char s_work_dlq[] = "work-dlq";
static char s_brief[] = "brief";
static char s_ordered[] = "ordered";
static char s_memory[] = ":memory:";

static struct qe_embedded_queue_settings queue(char *name, int64_t visibility_timeout_ms)
{
    return (struct qe_embedded_queue_settings){.name = name,
                                               .visibility_timeout_ms = visibility_timeout_ms,
                                               .retention_ms = INT64_C(345600000),
                                               .deduplication_window_ms = 300000};
}

int embedded_fixture_init(struct embedded_fixture *fixture, bool in_memory)
{
    *fixture = (struct embedded_fixture){.in_memory = in_memory};
    fixture->queues[0] = queue(s_work, EMBEDDED_WORK_MS);
    fixture->queues[0].dead_letter.queue = s_work_dlq;
    fixture->queues[0].dead_letter.max_receives = 3;
    fixture->queues[1] = queue(s_work_dlq, EMBEDDED_WORK_MS);
    fixture->queues[2] = queue(s_brief, EMBEDDED_BRIEF_MS);
    fixture->queues[3] = queue(s_ordered, EMBEDDED_WORK_MS);
    fixture->queues[3].ordered = true;
    fixture->settings = (struct qe_embedded_settings){
        .path = s_memory, .queues = {.items = fixture->queues, .count = EMBEDDED_FIXTURE_QUEUES}};
    if (in_memory) {
        return 0;
    }
    const char *base = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): before any thread */
    (void)snprintf(fixture->directory, sizeof(fixture->directory), "%s/qe-embedded-XXXXXX",
                   base != NULL && strlen(base) < 32 ? base : "/tmp");
    if (mkdtemp(fixture->directory) == NULL) {
        return -1;
    }
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/queues.db", fixture->directory);
    fixture->settings.path = fixture->path;
    return 0;
}

void embedded_fixture_deinit(struct embedded_fixture *fixture)
{
    if (fixture->directory[0] == '\0') {
        return;
    }
    DIR *directory = opendir(fixture->directory);

    if (directory != NULL) {
        for (const struct dirent *entry = readdir(directory); entry != NULL;
             entry = readdir(directory)) {
            char path[512];

            if (entry->d_name[0] == '.') {
                continue;
            }
            (void)snprintf(path, sizeof(path), "%s/%s", fixture->directory, entry->d_name);
            (void)unlink(path);
        }
        (void)closedir(directory);
    }
    (void)rmdir(fixture->directory);
    fixture->directory[0] = '\0';
}

void *embedded_fixture_open(const struct embedded_fixture *fixture)
{
    const struct qe_deps deps = {.source = "local"};
    struct qe_err err = {0};
    void *handle = NULL;

    assert_ok(qe_driver_embedded.create(&fixture->settings, &deps, &handle, &err), err);
    return handle;
}
