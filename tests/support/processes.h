/* What is left of a test in the process table: descriptors, and processes that should be gone. */
#ifndef QE_TESTS_SUPPORT_PROCESSES_H
#define QE_TESTS_SUPPORT_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Descriptors that this process has open. Fails the test where /proc is not there. */
size_t qe_count_descriptors(void);
/* Whether the process of that number is gone, within a while: a killed one may linger until init
 * has taken it. */
bool qe_process_is_gone(pid_t pid);

#endif
