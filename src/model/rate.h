/* How fast messages come and go: from a broker's own counters, over the last seconds. Pure, no
 * clock.
 *
 * Depths alone cannot tell: a queue that stays at 5 may pass thousands. A broker that does not
 * count leaves both rates unknown. */
#ifndef QE_MODEL_RATE_H
#define QE_MODEL_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/sample.h"

/* A rate is the mean over about so long, or over the last two readings where they are rarer. */
#define QE_RATE_WINDOW_MS 10000
#define QE_RATE_POINTS_MAX 8

struct qe_rate_point {
    int64_t mono_ms;
    double published_total;    /* NAN: not known */
    double acknowledged_total; /* NAN: not known */
};

/* Of one queue; plain data, = {0} is a valid start. */
struct qe_rate {
    uint8_t count;
    struct qe_rate_point points[QE_RATE_POINTS_MAX]; /* oldest first */
};

/* Takes a reading in; one of the same moment is taken once. Readings come in the order of time. */
void qe_rate_observe(struct qe_rate *rate, const struct qe_sample *sample, int64_t mono_ms);
/* Messages per second that were published to the queue, or settled by whoever received them. False:
 * unknown, since the broker does not count or was restarted (its counter went back). */
bool qe_rate_in(const struct qe_rate *rate, double *out_per_second);
bool qe_rate_out(const struct qe_rate *rate, double *out_per_second);

#endif
