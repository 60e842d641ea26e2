#include "util/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static int64_t now_us(clockid_t clock)
{
    struct timespec now = {0};

    (void)clock_gettime(clock, &now); /* cannot fail for the two clocks used here */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t qe_clock_mono_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

int64_t qe_clock_mono_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t qe_clock_unix_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}

int qe_clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    int rc = pthread_condattr_init(&attributes);

    if (rc != 0) {
        return rc;
    }
    rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (rc == 0) {
        rc = pthread_cond_init(cond, &attributes);
    }
    (void)pthread_condattr_destroy(&attributes);
    return rc;
}

bool qe_clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_mono_ms)
{
    int64_t deadline = deadline_mono_ms < 0 ? 0 : deadline_mono_ms;
    struct timespec until = {.tv_sec = (time_t)(deadline / 1000),
                             .tv_nsec = (long)(deadline % 1000) * 1000000L};

    return pthread_cond_timedwait(cond, lock, &until) == 0;
}

/* splitmix64: spreads a seed, however poor, over the whole state. */
static uint64_t splitmix(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void qe_random_init(struct qe_random *random, uint64_t seed)
{
    if (seed == 0 && qe_random_secret(&seed, sizeof seed) != 0) {
        /* Good enough for jitter, which is all that a seed of 0 may be used for. */
        seed = (uint64_t)qe_clock_mono_us() ^ ((uint64_t)qe_clock_unix_ms() << 32);
    }
    random->state[0] = splitmix(&seed);
    random->state[1] = splitmix(&seed);
}

static uint64_t rotate_left(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

/* xoroshiro128++ (Blackman and Vigna, public domain). */
uint64_t qe_random_next(struct qe_random *random)
{
    uint64_t s0 = random->state[0];
    uint64_t s1 = random->state[1];
    uint64_t result = rotate_left(s0 + s1, 17) + s0;

    s1 ^= s0;
    random->state[0] = rotate_left(s0, 49) ^ s1 ^ (s1 << 21);
    random->state[1] = rotate_left(s1, 28);
    return result;
}

double qe_random_unit(struct qe_random *random)
{
    return (double)(qe_random_next(random) >> 11) * 0x1.0p-53;
}

int qe_random_secret(void *out, size_t count)
{
    unsigned char *at = out;

    for (size_t done = 0; done < count;) {
        ssize_t got = getrandom(at + done, count - done, 0);

        if (got < 0 && errno != EINTR) {
            return -1;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}
