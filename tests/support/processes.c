#include "support/processes.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/check.h"

size_t qe_count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

bool qe_process_is_gone(pid_t pid)
{
    assert_true(pid > 1);
    for (size_t i = 0; i < 500; i++) {
        char path[64];
        char line[256] = "";
        const struct timespec step = {.tv_nsec = 10000000};

        (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *file = fopen(path, "re");

        if (file == NULL) {
            return true;
        }
        const char *got = fgets(line, sizeof line, file);

        (void)fclose(file);
        if (got != NULL && strstr(line, ") Z ") != NULL) {
            return true;
        }
        (void)nanosleep(&step, NULL);
    }
    return false;
}
