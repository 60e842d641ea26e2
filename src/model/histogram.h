/* Histogram with fixed buckets; observing is lock-free from any thread. */
#ifndef QE_MODEL_HISTOGRAM_H
#define QE_MODEL_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define QE_HISTOGRAM_BUCKETS_MAX 24

/* Bounds with the very text of their `le` label, so that both formats agree ("1.0", never "1"). */
struct qe_histogram_layout {
    size_t count; /* finite bounds; +Inf comes on top */
    double bounds[QE_HISTOGRAM_BUCKETS_MAX];
    const char *le[QE_HISTOGRAM_BUCKETS_MAX];
};

extern const struct qe_histogram_layout qe_histogram_durations; /* seconds: 1 ms ... 5 min */
extern const struct qe_histogram_layout qe_histogram_waits;     /* seconds: 10 ms ... 4 days */
extern const struct qe_histogram_layout qe_histogram_receives;  /* receive counts: 1 ... 100 */

/* Not cumulative; readers add up, so that `_count` always equals the +Inf bucket. */
struct qe_histogram {
    const struct qe_histogram_layout *layout;
    atomic_uint_least64_t buckets[QE_HISTOGRAM_BUCKETS_MAX + 1];
    atomic_uint_least64_t sum_micro; /* sum in millionths: exact addition in any order */
};

void qe_histogram_init(struct qe_histogram *histogram, const struct qe_histogram_layout *layout);
/* A value below 0 (a clock stepped back) counts as 0. */
void qe_histogram_observe(struct qe_histogram *histogram, double value);
uint64_t qe_histogram_count(const struct qe_histogram *histogram);
double qe_histogram_sum(const struct qe_histogram *histogram);
/* Upper bound of the bucket that holds quantile q (0..1]; NAN when empty, INFINITY past the last
 * bound. */
double qe_histogram_quantile_bound(const struct qe_histogram *histogram, double q);
/* Plain copy for an immutable snapshot. */
void qe_histogram_copy(struct qe_histogram *out, const struct qe_histogram *from);

#endif
