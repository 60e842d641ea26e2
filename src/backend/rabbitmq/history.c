#include "backend/rabbitmq/history.h"

#include "util/mem.h"

struct pair {
    int64_t mono_ms;
    double published;
};

struct qe_rmq_history {
    struct pair pairs[QE_RMQ_HISTORY_PAIRS]; /* the oldest first */
    size_t count;
    double redelivered;          /* as of the last reading */
    int64_t redelivered_mono_ms; /* when it last grew; 0: not while we looked */
};

struct qe_rmq_history *qe_rmq_history_new(struct qe_err *err)
{
    struct qe_rmq_history *history = qe_calloc(1, sizeof *history);

    if (history == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "history of a queue");
    }
    return history;
}

void qe_rmq_history_destroy(struct qe_rmq_history *history)
{
    qe_free(history);
}

/* Keeps every second pair of the older half, so that what is kept reaches ever further back. The
 * first pair stays. */
static void thin(struct qe_rmq_history *history)
{
    const size_t half = QE_RMQ_HISTORY_PAIRS / 2;
    size_t kept = 0;

    for (size_t i = 0; i < history->count; i++) {
        if (i >= half || i % 2 == 0) {
            history->pairs[kept++] = history->pairs[i];
        }
    }
    history->count = kept;
}

void qe_rmq_history_note(struct qe_rmq_history *history, const struct qe_rmq_history_point *point)
{
    struct pair *last = history->count == 0 ? NULL : &history->pairs[history->count - 1];

    if (last != NULL &&
        (point->published < last->published || point->redelivered < history->redelivered)) {
        *history = (struct qe_rmq_history){0}; /* the counters were set back */
        last = NULL;
    }
    if (last != NULL && point->redelivered > history->redelivered) {
        history->redelivered_mono_ms = point->mono_ms;
    }
    history->redelivered = point->redelivered;
    if (last != NULL && point->published == last->published) {
        /* What counts is when the counter passed a value, so the first reading that had it. */
        return;
    }
    if (history->count == QE_RMQ_HISTORY_PAIRS) {
        thin(history);
    }
    history->pairs[history->count++] =
        (struct pair){.mono_ms = point->mono_ms, .published = point->published};
}

bool qe_rmq_history_age(const struct qe_rmq_history *history,
                        const struct qe_rmq_history_point *point, double *out_seconds)
{
    const double before = point->published - point->ready; /* published ahead of the oldest */

    if (point->ready <= 0) {
        if (point->in_flight > 0) {
            return false;
        }
        *out_seconds = 0;
        return true;
    }
    if (history->count == 0 || history->pairs[0].published > before) {
        return false;
    }
    for (size_t i = 1; i < history->count; i++) {
        const struct pair *passed = &history->pairs[i];

        if (passed->published <= before) {
            continue;
        }
        /* It was published by then, at the latest. */
        if (history->redelivered_mono_ms > history->pairs[i - 1].mono_ms) {
            return false;
        }
        *out_seconds = (double)(point->mono_ms - passed->mono_ms) / 1e3;
        return *out_seconds >= 0;
    }
    return false;
}
