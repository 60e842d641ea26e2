/* What is left of a test in the process table: descriptors, and processes that should be gone. */
#ifndef QE_TESTS_SUPPORT_PROCESSES_H
#define QE_TESTS_SUPPORT_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Descriptors that this process has open. Fails the test where /proc is not there. */
size_t qe_count_descriptors(void);
/* False: from here on this process can open no more of them; true: it can again. */
void qe_allow_descriptors(bool allowed);
/* Whether the process of that number is gone, within a while: a killed one may linger until init
 * has taken it. */
bool qe_process_is_gone(pid_t pid);

#endif
