/* Time. Deadlines are CLOCK_MONOTONIC; only what people read is wall-clock. */
#ifndef QE_UTIL_CLOCK_H
#define QE_UTIL_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t qe_clock_mono_ms(void);
int64_t qe_clock_mono_us(void);
int64_t qe_clock_unix_ms(void);

/* A condition variable that waits on CLOCK_MONOTONIC. Returns 0 or an errno value. */
int qe_clock_cond_init(pthread_cond_t *cond);
/* Waits with `lock` held until signalled or deadline_mono_ms; false when the deadline passed. */
bool qe_clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_mono_ms);

/* Small, fast, seedable random numbers (not for secrets): jitter, simulation. One per thread of
 * use. */
struct qe_random {
    uint64_t state[2];
};
void qe_random_init(struct qe_random *random, uint64_t seed); /* seed 0: from the kernel */
uint64_t qe_random_next(struct qe_random *random);
double qe_random_unit(struct qe_random *random); /* [0, 1) */
/* Unguessable bytes from the kernel. 0, or -1 when the kernel has none to give. */
int qe_random_secret(void *out, size_t count) __attribute__((warn_unused_result));

#endif
