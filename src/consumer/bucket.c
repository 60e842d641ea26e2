#include "consumer/bucket.h"

#include <math.h>

static double capacity(const struct qe_bucket *bucket)
{
    return bucket->per_second > 1 ? bucket->per_second : 1;
}

void qe_bucket_init(struct qe_bucket *bucket, double per_second, int64_t now_mono_ms)
{
    *bucket =
        (struct qe_bucket){.per_second = per_second, .level = 1, .filled_mono_ms = now_mono_ms};
}

size_t qe_bucket_room(struct qe_bucket *bucket, int64_t now_mono_ms)
{
    if (bucket->per_second <= 0) {
        return SIZE_MAX;
    }
    if (now_mono_ms > bucket->filled_mono_ms) {
        double seconds = (double)(now_mono_ms - bucket->filled_mono_ms) / 1000;

        bucket->level = fmin(bucket->level + seconds * bucket->per_second, capacity(bucket));
        bucket->filled_mono_ms = now_mono_ms;
    }
    return bucket->level >= 1 ? (size_t)bucket->level : 0;
}

void qe_bucket_take(struct qe_bucket *bucket, size_t count)
{
    if (bucket->per_second > 0) {
        bucket->level -= (double)count;
    }
}

int64_t qe_bucket_ready_mono_ms(const struct qe_bucket *bucket)
{
    if (bucket->per_second <= 0 || bucket->level >= 1) {
        return bucket->filled_mono_ms;
    }
    return bucket->filled_mono_ms + (int64_t)ceil((1 - bucket->level) * 1000 / bucket->per_second);
}
