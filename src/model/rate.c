#include "model/rate.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static double value_of(const struct qe_sample *sample, enum qe_field field)
{
    return qe_sample_has(sample, field) ? sample->values[field] : (double)NAN;
}

static void drop_oldest(struct qe_rate *rate)
{
    rate->count--;
    memmove(&rate->points[0], &rate->points[1], rate->count * sizeof rate->points[0]);
}

void qe_rate_observe(struct qe_rate *rate, const struct qe_sample *sample, int64_t mono_ms)
{
    const struct qe_rate_point point = {mono_ms, value_of(sample, QE_FIELD_PUBLISHED_TOTAL),
                                        value_of(sample, QE_FIELD_ACKNOWLEDGED_TOTAL)};
    struct qe_rate_point *points = rate->points;

    if (rate->count > 0) {
        const struct qe_rate_point *last = &points[rate->count - 1];

        if (last->mono_ms >= mono_ms) {
            return;
        }
        if (point.published_total < last->published_total ||
            point.acknowledged_total < last->acknowledged_total) {
            rate->count = 0; /* it was restarted, and what it counted before is not known */
        }
    }
    /* Where readings are frequent the newest takes the place of one that stands close to its own
     * predecessor. */
    if (rate->count >= 2 && points[rate->count - 1].mono_ms - points[rate->count - 2].mono_ms <
                                QE_RATE_WINDOW_MS / (QE_RATE_POINTS_MAX - 1)) {
        rate->count--;
    } else if (rate->count == QE_RATE_POINTS_MAX) {
        drop_oldest(rate);
    }
    points[rate->count] = point;
    rate->count++;
    while (rate->count > 2 && mono_ms - points[1].mono_ms >= QE_RATE_WINDOW_MS) {
        drop_oldest(rate); /* the second oldest covers the window alone */
    }
}

static bool get(const struct qe_rate *rate, size_t member, double *out_per_second)
{
    if (rate->count < 2) {
        return false;
    }
    const struct qe_rate_point *first = &rate->points[0];
    const struct qe_rate_point *last = &rate->points[rate->count - 1];
    const double from = member == 0 ? first->published_total : first->acknowledged_total;
    const double to = member == 0 ? last->published_total : last->acknowledged_total;
    const double per_second = (to - from) * 1e3 / (double)(last->mono_ms - first->mono_ms);

    if (isnan(per_second)) {
        return false;
    }
    *out_per_second = per_second;
    return true;
}

bool qe_rate_in(const struct qe_rate *rate, double *out_per_second)
{
    return get(rate, 0, out_per_second);
}

bool qe_rate_out(const struct qe_rate *rate, double *out_per_second)
{
    return get(rate, 1, out_per_second);
}
