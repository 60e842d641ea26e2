#include "model/histogram.h"

#include <math.h>

const struct qe_histogram_layout qe_histogram_durations = {
    .count = 17,
    .bounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
               300},
    .le = {"0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5",
           "5.0", "10.0", "30.0", "60.0", "120.0", "300.0"},
};

/* Waits spread wider than handling: from at once to the longest usual retention. */
const struct qe_histogram_layout qe_histogram_waits = {
    .count = 18,
    .bounds = {0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1800, 3600, 14400, 43200, 86400,
               172800, 345600},
    .le = {"0.01", "0.05", "0.1", "0.5", "1.0", "5.0", "10.0", "30.0", "60.0", "300.0", "900.0",
           "1800.0", "3600.0", "14400.0", "43200.0", "86400.0", "172800.0", "345600.0"},
};

/* Fine where max receives usually lies. */
const struct qe_histogram_layout qe_histogram_receives = {
    .count = 12,
    .bounds = {1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100},
    .le = {"1.0", "2.0", "3.0", "4.0", "5.0", "7.0", "10.0", "15.0", "20.0", "30.0", "50.0",
           "100.0"},
};

/* One observation adds at most this to the sum (31 years in seconds): a broken clock must not wrap
 * the sum around. */
#define SUM_STEP_MAX 1e9

void qe_histogram_init(struct qe_histogram *histogram, const struct qe_histogram_layout *layout)
{
    histogram->layout = layout;
    for (size_t i = 0; i <= QE_HISTOGRAM_BUCKETS_MAX; i++) {
        atomic_init(&histogram->buckets[i], 0);
    }
    atomic_init(&histogram->sum_micro, 0);
}

void qe_histogram_observe(struct qe_histogram *histogram, double value)
{
    const struct qe_histogram_layout *layout = histogram->layout;
    double seen = value > 0 ? value : 0; /* NaN becomes 0 too */
    double added = seen < SUM_STEP_MAX ? seen : SUM_STEP_MAX;
    size_t bucket = 0;

    for (; bucket < layout->count && seen > layout->bounds[bucket]; bucket++) {
    }
    atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_micro, (uint64_t)(added * 1e6 + 0.5),
                              memory_order_relaxed);
}

static uint64_t bucket_count(const struct qe_histogram *histogram, size_t bucket)
{
    return atomic_load_explicit(&histogram->buckets[bucket], memory_order_relaxed);
}

uint64_t qe_histogram_count(const struct qe_histogram *histogram)
{
    uint64_t count = 0;

    for (size_t i = 0; i <= histogram->layout->count; i++) {
        count += bucket_count(histogram, i);
    }
    return count;
}

double qe_histogram_sum(const struct qe_histogram *histogram)
{
    return (double)atomic_load_explicit(&histogram->sum_micro, memory_order_relaxed) / 1e6;
}

double qe_histogram_quantile_bound(const struct qe_histogram *histogram, double q)
{
    const struct qe_histogram_layout *layout = histogram->layout;
    struct qe_histogram copy;

    qe_histogram_copy(&copy, histogram); /* count and buckets of the same moment */
    uint64_t count = qe_histogram_count(&copy);

    if (count == 0) {
        return (double)NAN;
    }
    double rank = ceil(q * (double)count);
    uint64_t seen = 0;

    for (size_t i = 0; i < layout->count; i++) {
        seen += bucket_count(&copy, i);
        if (seen > 0 && (double)seen >= rank) {
            return layout->bounds[i];
        }
    }
    return (double)INFINITY;
}

void qe_histogram_copy(struct qe_histogram *out, const struct qe_histogram *from)
{
    out->layout = from->layout;
    for (size_t i = 0; i <= QE_HISTOGRAM_BUCKETS_MAX; i++) {
        atomic_init(&out->buckets[i], bucket_count(from, i));
    }
    atomic_init(&out->sum_micro, atomic_load_explicit(&from->sum_micro, memory_order_relaxed));
}
