#include "model/backlog.h"

#include <math.h>
#include <string.h>

/* A trend: the fitted change over the window is at least so many messages and this share of the
 * mean backlog; nearly every pair of points agrees on its direction (Kendall's tau: a single jump
 * gives at most 0.53); and chance alone would hardly ever make them agree so (tau in its standard
 * deviations for independent readings). */
#define TREND_BEGINS_MESSAGES 5.0
#define TREND_BEGINS_SHARE 0.03
#define TREND_BEGINS_AGREEMENT 0.65
#define TREND_BEGINS_DEVIATIONS 3.5
/* It goes on down to half of that. */
#define TREND_ENDS 0.5

static const char *const s_state_names[QE_BACKLOG_STATE_COUNT] = {
    "unknown", "idle", "draining", "steady", "growing", "stalled", "no_consumers"};

const char *qe_backlog_state_name(enum qe_backlog_state state)
{
    return (unsigned)state < QE_BACKLOG_STATE_COUNT ? s_state_names[state] : "unknown";
}

static double value_or(const struct qe_sample *sample, enum qe_field field, double otherwise)
{
    return qe_sample_has(sample, field) ? sample->values[field] : otherwise;
}

/* --- since when all readings say so --- */

static void note(int64_t *mono_ms, bool says_so, int64_t now_mono_ms)
{
    if (!says_so) {
        *mono_ms = INT64_MAX;
    } else if (*mono_ms == INT64_MAX) {
        *mono_ms = now_mono_ms;
    }
}

/* For a whole window, up to now. */
static bool lasts(int64_t mono_ms, const struct qe_backlog_reading *reading)
{
    return mono_ms != INT64_MAX && reading->now_mono_ms - mono_ms >= reading->window_ms;
}

static void begin(struct qe_backlog *backlog, const struct qe_backlog_reading *reading)
{
    *backlog = (struct qe_backlog){.is_begun = true,
                                   .since_mono_ms = reading->now_mono_ms,
                                   .not_empty_mono_ms = INT64_MAX,
                                   .empty_mono_ms = INT64_MAX,
                                   .no_consumer_mono_ms = INT64_MAX,
                                   .none_in_flight_mono_ms = INT64_MAX,
                                   .only_own_in_flight_mono_ms = INT64_MAX,
                                   .settled_mono_ms = reading->now_mono_ms,
                                   .released_mono_ms = INT64_MAX,
                                   .own_settled = reading->own_settled,
                                   .drain_seconds = -1};
    backlog->has_acknowledged = qe_sample_has(reading->sample, QE_FIELD_ACKNOWLEDGED_TOTAL);
    backlog->acknowledged_total = value_or(reading->sample, QE_FIELD_ACKNOWLEDGED_TOTAL, 0);
}

static bool has_gone_back(const struct qe_backlog *backlog, const struct qe_sample *sample)
{
    return backlog->has_acknowledged && qe_sample_has(sample, QE_FIELD_ACKNOWLEDGED_TOTAL) &&
           sample->values[QE_FIELD_ACKNOWLEDGED_TOTAL] < backlog->acknowledged_total;
}

/* Something left the queue through a consumer since the last reading, as far as anybody can tell. A
 * backlog that fell is taken for that only where nothing counts: it may have been purged. */
static bool has_settled(const struct qe_backlog *backlog, const struct qe_backlog_reading *reading,
                        double messages)
{
    const struct qe_sample *sample = reading->sample;

    if (reading->own_settled > backlog->own_settled) {
        return true;
    }
    if (backlog->has_acknowledged && qe_sample_has(sample, QE_FIELD_ACKNOWLEDGED_TOTAL)) {
        return sample->values[QE_FIELD_ACKNOWLEDGED_TOTAL] > backlog->acknowledged_total;
    }
    return backlog->points_count > 0 &&
           (float)messages < backlog->points[backlog->points_count - 1].messages;
}

static void take_marks(struct qe_backlog *backlog, const struct qe_backlog_reading *reading,
                       double messages)
{
    const struct qe_sample *sample = reading->sample;
    const int64_t now = reading->now_mono_ms;
    const double in_flight = value_or(sample, QE_FIELD_IN_FLIGHT_MESSAGES, (double)INFINITY);
    const bool has_acknowledged = qe_sample_has(sample, QE_FIELD_ACKNOWLEDGED_TOTAL);

    /* A counter that comes or goes tells nothing of what was before. */
    if (has_settled(backlog, reading, messages) || has_acknowledged != backlog->has_acknowledged) {
        backlog->settled_mono_ms = now;
    }
    note(&backlog->not_empty_mono_ms, messages > 0, now);
    note(&backlog->empty_mono_ms, messages <= 0, now);
    /* Unknown counts as seen: only what is known to be 0 proves anything. */
    note(&backlog->no_consumer_mono_ms, value_or(sample, QE_FIELD_CONSUMERS, 1) <= 0, now);
    note(&backlog->none_in_flight_mono_ms, in_flight <= 0, now);
    note(&backlog->only_own_in_flight_mono_ms, in_flight <= (double)reading->own_in_hand, now);
    backlog->has_acknowledged = has_acknowledged;
    backlog->acknowledged_total = value_or(sample, QE_FIELD_ACKNOWLEDGED_TOTAL, 0);
    backlog->own_settled = reading->own_settled;
}

/* --- what was given back to be tried later --- */

static bool tells_tries(const struct qe_sample *sample)
{
    return qe_sample_has(sample, QE_FIELD_DELIVERED_TOTAL) &&
           qe_sample_has(sample, QE_FIELD_ACKNOWLEDGED_TOTAL) &&
           qe_sample_has(sample, QE_FIELD_IN_FLIGHT_MESSAGES) &&
           qe_sample_has(sample, QE_FIELD_DELAYED_MESSAGES);
}

/* Of those that came to be delayed, no more were given back than deliveries ended so. Those that
 * are delayed no longer, and those that were settled, are taken for some that had been given back:
 * rather too few than to take what a sender has delayed for failing. */
static void take_backoff(struct qe_backlog *backlog, const struct qe_backlog_reading *reading)
{
    const struct qe_sample *sample = reading->sample;
    const bool has_tries = tells_tries(sample);
    const double delivered = value_or(sample, QE_FIELD_DELIVERED_TOTAL, 0);
    const double in_flight = value_or(sample, QE_FIELD_IN_FLIGHT_MESSAGES, 0);
    const double delayed = value_or(sample, QE_FIELD_DELAYED_MESSAGES, 0);

    if (has_tries && backlog->has_tries) {
        const double settled =
            sample->values[QE_FIELD_ACKNOWLEDGED_TOTAL] - backlog->acknowledged_total;
        const double released =
            delivered - backlog->delivered_total - settled - (in_flight - backlog->in_flight);
        const double rise = delayed - backlog->delayed;

        if (released > 0) {
            backlog->released_mono_ms = reading->now_mono_ms;
        }
        backlog->backoff += fmax(fmin(rise, released), 0) - fmax(-rise, settled);
    }
    backlog->backoff = has_tries ? fmin(fmax(backlog->backoff, 0), delayed) : 0;
    backlog->has_tries = has_tries;
    backlog->delivered_total = delivered;
    backlog->in_flight = in_flight;
    backlog->delayed = delayed;
}

/* Where messages come and go between two readings, the number of the delayed stands still: while
 * deliveries end without a settlement, one of them at least is taken for given back. */
static double in_backoff(const struct qe_backlog *backlog, const struct qe_backlog_reading *reading)
{
    const bool is_tried = backlog->released_mono_ms != INT64_MAX &&
                          reading->now_mono_ms - backlog->released_mono_ms < reading->window_ms;

    return is_tried ? fmax(backlog->backoff, fmin(backlog->delayed, 1)) : backlog->backoff;
}

/* --- the points of the trend --- */

static void drop_oldest(struct qe_backlog *backlog)
{
    backlog->points_count--;
    memmove(&backlog->points[0], &backlog->points[1],
            backlog->points_count * sizeof backlog->points[0]);
}

/* The newest reading is always the last point. It takes the place of the one before it while that
 * stands closer than a share of the window to its own predecessor. */
static void take_point(struct qe_backlog *backlog, const struct qe_backlog_reading *reading,
                       double messages)
{
    const uint32_t now = (uint32_t)reading->now_mono_ms;
    const int64_t spacing_ms = reading->window_ms / (QE_BACKLOG_POINTS_MAX - 1);
    struct qe_backlog_point *points = backlog->points;
    size_t count = backlog->points_count;

    if (count >= 2 &&
        (uint32_t)(points[count - 1].mono_ms - points[count - 2].mono_ms) < spacing_ms) {
        backlog->points_count--;
    } else if (count == QE_BACKLOG_POINTS_MAX) {
        drop_oldest(backlog);
    }
    points[backlog->points_count] =
        (struct qe_backlog_point){.mono_ms = now, .messages = (float)messages};
    backlog->points_count++;
    while (backlog->points_count > QE_BACKLOG_TREND_POINTS_MIN &&
           (uint32_t)(now - points[1].mono_ms) >= reading->window_ms) {
        drop_oldest(backlog); /* the second oldest covers the window alone */
    }
}

/* --- the trend --- */

struct trend {
    double per_second;
    double change; /* over all points */
    double mean;
    double agreement;  /* of pairs of points on a direction: -1 all fall, 1 all rise */
    double deviations; /* the same, in standard deviations */
};

/* Pairs that rise minus pairs that fall. */
static int rising_pairs(const struct qe_backlog *backlog)
{
    const struct qe_backlog_point *points = backlog->points;
    int sum = 0;

    for (size_t i = 1; i < backlog->points_count; i++) {
        for (size_t j = 0; j < i; j++) {
            sum += (points[i].messages > points[j].messages) -
                   (points[i].messages < points[j].messages);
        }
    }
    return sum;
}

/* Least squares over the points. */
static struct trend fit(const struct qe_backlog *backlog)
{
    const struct qe_backlog_point *points = backlog->points;
    const size_t count = backlog->points_count;
    const uint32_t oldest = points[0].mono_ms;
    double mean_x = 0;
    double mean_y = 0;
    double xx = 0;
    double xy = 0;

    for (size_t i = 0; i < count; i++) {
        mean_x += (double)(uint32_t)(points[i].mono_ms - oldest) / 1e3 / (double)count;
        mean_y += (double)points[i].messages / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        double x = (double)(uint32_t)(points[i].mono_ms - oldest) / 1e3 - mean_x;

        xx += x * x;
        xy += x * ((double)points[i].messages - mean_y);
    }
    const double slope = xx > 0 ? xy / xx : 0;
    const double n = (double)count;
    const double rising = rising_pairs(backlog);

    return (struct trend){.per_second = slope,
                          .change =
                              slope * (double)(uint32_t)(points[count - 1].mono_ms - oldest) / 1e3,
                          .mean = mean_y,
                          .agreement = rising / (n * (n - 1) / 2),
                          .deviations = rising / sqrt(n * (n - 1) * (2 * n + 5) / 18)};
}

static enum qe_backlog_state judge_trend(const struct qe_backlog *backlog,
                                         const struct trend *trend)
{
    if (backlog->points_count < QE_BACKLOG_TREND_POINTS_MIN) {
        return QE_BACKLOG_UNKNOWN;
    }
    const enum qe_backlog_state direction =
        trend->change > 0 ? QE_BACKLOG_GROWING : QE_BACKLOG_DRAINING;
    const double ease = backlog->state == direction ? TREND_ENDS : 1;
    double least = trend->mean * TREND_BEGINS_SHARE;

    least = (least > TREND_BEGINS_MESSAGES ? least : TREND_BEGINS_MESSAGES) * ease;
    return fabs(trend->change) >= least &&
                   fabs(trend->agreement) >= TREND_BEGINS_AGREEMENT * ease &&
                   fabs(trend->deviations) >= TREND_BEGINS_DEVIATIONS * ease
               ? direction
               : QE_BACKLOG_STEADY;
}

/* --- the verdict --- */

static bool is_stalled(const struct qe_backlog *backlog, const struct qe_backlog_reading *reading)
{
    return lasts(backlog->settled_mono_ms, reading) &&
           (backlog->has_acknowledged || lasts(backlog->only_own_in_flight_mono_ms, reading));
}

/* Who asks for each message anew is attached to nothing, but what it holds or settles shows that it
 * is there. A backlog that falls does not: messages may have expired. */
static bool has_nobody(const struct qe_backlog *backlog, const struct qe_backlog_reading *reading)
{
    return lasts(backlog->no_consumer_mono_ms, reading) &&
           (!qe_sample_has(reading->sample, QE_FIELD_IN_FLIGHT_MESSAGES) ||
            lasts(backlog->none_in_flight_mono_ms, reading)) &&
           (!backlog->has_acknowledged || lasts(backlog->settled_mono_ms, reading));
}

static enum qe_backlog_state judge(const struct qe_backlog *backlog,
                                   const struct qe_backlog_reading *reading,
                                   const struct trend *trend)
{
    if (lasts(backlog->empty_mono_ms, reading)) {
        return lasts(backlog->settled_mono_ms, reading) ? QE_BACKLOG_IDLE : QE_BACKLOG_STEADY;
    }
    if (!reading->may_stand_still && lasts(backlog->not_empty_mono_ms, reading)) {
        if (has_nobody(backlog, reading)) {
            return QE_BACKLOG_NO_CONSUMERS;
        }
        if (is_stalled(backlog, reading)) {
            return QE_BACKLOG_STALLED;
        }
    }
    return judge_trend(backlog, trend);
}

static bool covers_window(const struct qe_backlog *backlog,
                          const struct qe_backlog_reading *reading)
{
    return backlog->points_count >= QE_BACKLOG_POINTS_MIN &&
           reading->now_mono_ms - backlog->since_mono_ms >= reading->window_ms;
}

/* The published state changes when the same new one is found twice; the first one at once, since
 * there is none to hold on to. */
static void settle_on(struct qe_backlog *backlog, enum qe_backlog_state found)
{
    if (backlog->state == QE_BACKLOG_UNKNOWN || backlog->candidate == (uint8_t)found) {
        backlog->state = (uint8_t)found;
    }
    backlog->candidate = (uint8_t)found;
}

void qe_backlog_observe(struct qe_backlog *backlog, const struct qe_backlog_reading *reading)
{
    const struct qe_sample *sample = reading->sample;

    if (reading->is_stream || !qe_sample_has(sample, QE_FIELD_READY_MESSAGES)) {
        *backlog = (struct qe_backlog){.drain_seconds = -1};
        return;
    }
    if (!backlog->is_begun || has_gone_back(backlog, sample)) {
        begin(backlog, reading);
    }
    take_backoff(backlog, reading);
    double messages = sample->values[QE_FIELD_READY_MESSAGES] +
                      value_or(sample, QE_FIELD_IN_FLIGHT_MESSAGES, 0) +
                      in_backoff(backlog, reading);

    take_marks(backlog, reading, messages);
    take_point(backlog, reading, messages);
    backlog->drain_seconds = -1;
    backlog->covers_window = covers_window(backlog, reading);
    if (!backlog->covers_window) {
        return;
    }
    struct trend trend = fit(backlog);

    settle_on(backlog, judge(backlog, reading, &trend));
    if (backlog->state == QE_BACKLOG_DRAINING && trend.per_second < 0) {
        backlog->drain_seconds = messages / -trend.per_second;
    }
}

bool qe_backlog_change(const struct qe_backlog *backlog, double *out_messages, double *out_seconds)
{
    if (!backlog->covers_window) {
        return false;
    }
    const struct qe_backlog_point *first = &backlog->points[0];
    const struct qe_backlog_point *last = &backlog->points[backlog->points_count - 1];

    *out_messages = (double)last->messages - (double)first->messages;
    *out_seconds = (double)(uint32_t)(last->mono_ms - first->mono_ms) / 1e3;
    return true;
}

bool qe_backlog_drain_seconds(const struct qe_backlog *backlog, double *out_seconds)
{
    *out_seconds = backlog->drain_seconds;
    return backlog->state == QE_BACKLOG_DRAINING && backlog->drain_seconds >= 0;
}
