/* prlimit is not in POSIX. */
#define _GNU_SOURCE
#include "util/descriptors.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>

/* Written once, before there are other threads. */
static struct rlimit s_before;
static bool s_is_raised;

void qe_descriptors_raise(void)
{
    struct rlimit limit;

    if (s_is_raised || getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) {
        return;
    }
    s_before = limit;
    limit.rlim_cur = limit.rlim_max;
    s_is_raised = setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

void qe_descriptors_restore(pid_t child)
{
    if (s_is_raised) {
        /* One that has ended, or became somebody else, keeps what it has. */
        (void)prlimit(child, RLIMIT_NOFILE, &s_before, NULL);
    }
}

uint64_t qe_descriptors_max(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY
               ? UINT64_MAX
               : (uint64_t)limit.rlim_cur;
}
