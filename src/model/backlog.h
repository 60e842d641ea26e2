/* What a queue does over time: the verdict of a window of readings, not of one. Pure, no clock.
 *
 * The backlog is what waits for consumers or is with them: ready + in flight, and what they gave
 * back to be tried again later. Messages that their sender delayed wait for their time, not for
 * anybody. Which of the delayed ones were received before, no broker tells: it is reckoned from
 * what was delivered and neither settled nor is in flight, where the broker counts that.
 *
 *   idle          empty at every reading of the window, and nothing settled in between
 *   no_consumers  messages at every reading, never a consumer attached, and nothing seen settled
 *                 nor in anybody's hands
 *   stalled       messages at every reading, and nothing settled
 *   growing       the backlog rises, by far more than it jitters
 *   draining      it falls so
 *   steady        none of these
 *   unknown       its readings do not cover a window yet, the counts are not known, or it is a
 *                 stream, whose messages stay when they are settled
 *
 * "Nothing settled" needs a proof: the broker's own counter of acknowledged messages stands still;
 * or, where it has none, nothing was ever in flight but what our own consumer has in hand, the
 * backlog never fell, and our own consumer settled nothing. A window is counted from the first
 * reading that says so: what is empty, and read again after an hour, may have got its messages a
 * moment ago. A dead-letter or delay queue is there to hold messages: never no_consumers nor
 * stalled. Hysteresis: a trend ends later than it begins, and a new state has to be found twice in
 * a row. */
#ifndef QE_MODEL_BACKLOG_H
#define QE_MODEL_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/sample.h"

/* The `state` label of queue_state. */
enum qe_backlog_state {
    QE_BACKLOG_UNKNOWN = 0,
    QE_BACKLOG_IDLE,
    QE_BACKLOG_DRAINING,
    QE_BACKLOG_STEADY,
    QE_BACKLOG_GROWING,
    QE_BACKLOG_STALLED,
    QE_BACKLOG_NO_CONSUMERS,
    QE_BACKLOG_STATE_COUNT
};
const char *qe_backlog_state_name(enum qe_backlog_state state);

/* Readings that are kept, about equally far apart. A verdict needs some of them, a trend more:
 * where readings are rare the window is longer than configured. */
#define QE_BACKLOG_POINTS_MAX 24
#define QE_BACKLOG_POINTS_MIN 4
#define QE_BACKLOG_TREND_POINTS_MIN 10

/* Small on purpose: there is one for every queue in every snapshot. */
struct qe_backlog_point {
    uint32_t mono_ms; /* the clock's low half: only differences matter, of less than 49 days */
    float messages;
};

/* The history of one queue; plain data, = {0} is a valid start. */
struct qe_backlog {
    bool is_begun;
    bool has_acknowledged; /* by the last reading: acknowledged_total is known */
    bool covers_window;    /* the readings do */
    bool has_tries;        /* by the last reading: what `backoff` is reckoned from is known */
    uint8_t points_count;
    uint8_t state;         /* enum qe_backlog_state, as published */
    uint8_t candidate;     /* what the last reading found */
    int64_t since_mono_ms; /* the first reading of this history */
    /* The first of the readings up to now that all say: not empty, empty, no consumer, nothing in
     * flight, nothing but what our own consumer has. INT64_MAX: the newest one says otherwise. */
    int64_t not_empty_mono_ms, empty_mono_ms, no_consumer_mono_ms, none_in_flight_mono_ms,
        only_own_in_flight_mono_ms;
    int64_t settled_mono_ms;   /* the newest reading before which something was settled, or before
                                  which it cannot be told; else since_mono_ms */
    double acknowledged_total; /* the broker's, at the last reading; so the next three */
    double delivered_total;
    double in_flight;
    double delayed;
    double backoff;           /* that many of the delayed were received before, most likely */
    int64_t released_mono_ms; /* the newest reading before which a delivery ended and nothing was
                                 settled; INT64_MAX none */
    uint64_t own_settled;     /* our own consumer's, at the last reading */
    double drain_seconds;     /* < 0: not draining */
    struct qe_backlog_point points[QE_BACKLOG_POINTS_MAX]; /* oldest first; the last is the newest
                                                              reading */
};

/* One good reading, and what else is known of the queue. */
struct qe_backlog_reading {
    const struct qe_sample *sample;
    int64_t now_mono_ms;
    int64_t window_ms;    /* > 0 */
    uint64_t own_settled; /* what our own consumer of this queue has settled since the start: acked
                             or dead-lettered; 0 without one */
    uint64_t own_in_hand; /* what our own consumer has of it now */
    bool is_stream;
    bool may_stand_still; /* a dead-letter or a delay queue */
};

/* Takes a reading in and judges anew. Readings come in the order of time; a broker's counter that
 * goes back (it was restarted) starts the history again. */
void qe_backlog_observe(struct qe_backlog *backlog, const struct qe_backlog_reading *reading);

/* The newest reading less the one that the window begins with, and how many seconds lie between
 * them: the window, or longer where readings are rare. False: they do not cover a window yet. */
bool qe_backlog_change(const struct qe_backlog *backlog, double *out_messages, double *out_seconds);

/* Seconds until the queue is empty if it goes on as it does; false when it is not draining. */
bool qe_backlog_drain_seconds(const struct qe_backlog *backlog, double *out_seconds);

#endif
