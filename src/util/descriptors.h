/* How many file descriptors this process may have, and the programs that it starts. Source:
 * POSIX.1-2008, setrlimit(); Linux, prlimit(2). */
#ifndef QE_UTIL_DESCRIPTORS_H
#define QE_UTIL_DESCRIPTORS_H

#include <stdint.h>
#include <sys/types.h>

/* Raises what we may have to what we are allowed to. Once, before there are other threads. */
void qe_descriptors_raise(void);
/* Gives a child, which has just been started, the limit that we were started with: some programs
 * go through all numbers up to it, or cannot use one past 1023. What it does before is done with
 * ours: posix_spawn() has no place for it. Never raised: nothing. */
void qe_descriptors_restore(pid_t child);
/* What we may have; UINT64_MAX: no limit, or none that is known. */
uint64_t qe_descriptors_max(void);

#endif
