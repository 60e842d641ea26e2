/* What the kernel says about this process: the standard process_* set. For this folder and its
 * tests. */
#ifndef QE_METRICS_PROCESS_INTERNAL_H
#define QE_METRICS_PROCESS_INTERNAL_H

#include <stdbool.h>

#define QE_PROCESS_UNKNOWN (-1.0)

/* QE_PROCESS_UNKNOWN where the kernel did not tell: such a family is left out rather than bogus. */
struct qe_process {
    double cpu_seconds;
    double open_fds;
    double max_fds;
    double virtual_bytes;
    double resident_bytes;
    double start_time_seconds;
    double threads;
};

/* Any thread. */
void qe_process_read(struct qe_process *out);

/* The part of it that stands in /proc/<pid>/stat (proc(5)); false when `text` is not such a line,
 * *out is then untouched. `start_ticks` counts from boot. */
bool qe_process_parse_stat(const char *text, struct qe_process *out, double *start_ticks);

/* Open descriptors by listing them: for kernels that do not tell the count. */
double qe_process_walk_fds(void);

#endif
