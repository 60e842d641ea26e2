#include "support/processes.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

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

void qe_allow_descriptors(bool allowed)
{
    struct rlimit limit;
    int free_fd = allowed ? 0 : dup(0);

    assert_true(free_fd >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = allowed ? limit.rlim_max : (rlim_t)free_fd; /* all below are taken */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (!allowed) {
        (void)close(free_fd);
    }
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
