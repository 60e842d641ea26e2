#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "metrics/process_internal.h"
#include "util/clock.h"

/* Numbers of the line's fields as proc(5) counts them; the first after the name is field 3. */
#define FIELD_AFTER_NAME 3
#define FIELD_USER_TICKS 14
#define FIELD_SYSTEM_TICKS 15
#define FIELD_THREADS 20
#define FIELD_START_TICKS 22
#define FIELD_VIRTUAL_BYTES 23
#define FIELD_RESIDENT_PAGES 24
#define FIELDS_COUNT 25

bool qe_process_parse_stat(const char *text, struct qe_process *out, double *start_ticks)
{
    double fields[FIELDS_COUNT] = {0};
    const char *at = strrchr(text, ')'); /* the name may hold blanks and brackets itself */

    if (at == NULL || at[1] != ' ' || at[2] == '\0') {
        return false;
    }
    at += 3; /* behind the state, one letter */
    for (size_t field = FIELD_AFTER_NAME + 1; field < FIELDS_COUNT; field++) {
        char *end = NULL;

        fields[field] = (double)strtoll(at, &end, 10);
        if (end == at) {
            return false;
        }
        at = end;
    }
    double ticks = (double)sysconf(_SC_CLK_TCK);

    out->cpu_seconds = (fields[FIELD_USER_TICKS] + fields[FIELD_SYSTEM_TICKS]) / ticks;
    out->threads = fields[FIELD_THREADS];
    out->virtual_bytes = fields[FIELD_VIRTUAL_BYTES];
    out->resident_bytes = fields[FIELD_RESIDENT_PAGES] * (double)sysconf(_SC_PAGESIZE);
    *start_ticks = fields[FIELD_START_TICKS];
    return true;
}

static bool read_stat(char *text, size_t text_bytes)
{
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return false;
    }
    ssize_t count = read(fd, text, text_bytes - 1);

    (void)close(fd);
    text[count > 0 ? count : 0] = '\0';
    return count > 0;
}

/* Start of the process as Unix time, found once: computed anew it would move whenever somebody sets
 * the clock, and the series would say that the process had restarted. */
static double start_time(double start_ticks)
{
    static atomic_int_least64_t s_start_unix_ms;
    int_least64_t known = atomic_load(&s_start_unix_ms);
    struct timespec since_boot;

    if (known != 0) {
        return (double)known / 1e3;
    }
    if (clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) {
        return QE_PROCESS_UNKNOWN;
    }
    double age_seconds = (double)since_boot.tv_sec + (double)since_boot.tv_nsec / 1e9 -
                         start_ticks / (double)sysconf(_SC_CLK_TCK);
    int_least64_t found = qe_clock_unix_ms() - (int64_t)(age_seconds * 1e3);

    /* Two first scrapes at once: the first to store wins for both. */
    if (!atomic_compare_exchange_strong(&s_start_unix_ms, &known, found)) {
        found = known;
    }
    return (double)found / 1e3;
}

double qe_process_walk_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    double count = 0;

    if (directory == NULL) {
        return QE_PROCESS_UNKNOWN;
    }
    /* The stream is this call's own; glibc locks per stream.
     * NOLINTNEXTLINE(concurrency-mt-unsafe) */
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(directory);
    return count - 1; /* the directory's own */
}

/* Since Linux 6.2 the directory's size is the count: one call instead of a walk on each scrape. */
static double count_fds(void)
{
    struct stat directory;

    if (stat("/proc/self/fd", &directory) == 0 && directory.st_size > 0) {
        return (double)directory.st_size;
    }
    return qe_process_walk_fds();
}

void qe_process_read(struct qe_process *out)
{
    char text[1024];
    double start_ticks = 0;
    struct rlimit limit;

    *out = (struct qe_process){QE_PROCESS_UNKNOWN, QE_PROCESS_UNKNOWN, QE_PROCESS_UNKNOWN,
                               QE_PROCESS_UNKNOWN, QE_PROCESS_UNKNOWN, QE_PROCESS_UNKNOWN,
                               QE_PROCESS_UNKNOWN};
    if (read_stat(text, sizeof text) && qe_process_parse_stat(text, out, &start_ticks)) {
        out->start_time_seconds = start_time(start_ticks);
    }
    out->open_fds = count_fds();
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        out->max_fds = (double)limit.rlim_cur;
    }
}
