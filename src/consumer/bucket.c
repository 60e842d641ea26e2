#include "consumer/bucket.h"

#include <math.h>

#define RETURNED_LEAST_PER_SECOND 100.0

static double capacity(const struct qe_bucket *bucket)
{
    return bucket->per_second > 1 ? bucket->per_second : 1;
}

static double returned_per_second(const struct qe_bucket *bucket)
{
    return fmax(bucket->per_second, RETURNED_LEAST_PER_SECOND);
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
        double back = fmin(seconds * returned_per_second(bucket), bucket->returned);

        bucket->level = fmin(bucket->level + seconds * bucket->per_second + back, capacity(bucket));
        bucket->returned = fmin(bucket->returned - back, capacity(bucket) - bucket->level);
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

void qe_bucket_return(struct qe_bucket *bucket, size_t count)
{
    if (bucket->per_second > 0) {
        bucket->returned = fmin(bucket->returned + (double)count, capacity(bucket) - bucket->level);
    }
}

int64_t qe_bucket_ready_mono_ms(const struct qe_bucket *bucket)
{
    if (bucket->per_second <= 0 || bucket->level >= 1) {
        return bucket->filled_mono_ms;
    }
    /* The first one holds while something is returned; else the second, which is later then. */
    double lacking = 1 - bucket->level;
    double with_returned = lacking / (bucket->per_second + returned_per_second(bucket));
    double without = (lacking - bucket->returned) / bucket->per_second;

    return bucket->filled_mono_ms + (int64_t)ceil(fmax(with_returned, without) * 1000);
}
