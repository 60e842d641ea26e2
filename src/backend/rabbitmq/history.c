#include "backend/rabbitmq/history.h"

#include "util/mem.h"

struct pair {
    int64_t mono_ms;
    double published;
};

struct qe_rmq_history {
    struct pair *pairs; /* the oldest first; most queues of a broker are quiet and need one */
    size_t count;
    size_t capacity;
    double delivered;            /* as of the last reading */
    double redelivered;          /* as of the last reading */
    int64_t redelivered_mono_ms; /* when it last grew; 0: not while we looked */

    /* The reading that waits for a counter which knows of all it holds; mono_ms 0: none. */
    struct qe_rmq_history_point open;
    double age_seconds; /* of the one before it; < 0: unknown */
    int64_t as_of_mono_ms;

    /* What is in the queue and not in the counter can only become less: */
    double published_before_open;
    double excess_least; /* as large as it may have been at the least */
    bool has_before_open;
    bool has_excess;
    bool is_uncounted; /* it became more */
};

struct qe_rmq_history *qe_rmq_history_new(struct qe_err *err)
{
    struct qe_rmq_history *history = qe_calloc(1, sizeof *history);

    if (history == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "history of a queue");
        return NULL;
    }
    history->age_seconds = -1;
    return history;
}

void qe_rmq_history_destroy(struct qe_rmq_history *history)
{
    if (history != NULL) {
        qe_free(history->pairs);
        qe_free(history);
    }
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

static int add_pair(struct qe_rmq_history *history, const struct qe_rmq_history_point *point,
                    struct qe_err *err)
{
    if (history->count > 0 && history->pairs[history->count - 1].published >= point->published) {
        return 0; /* what counts is when the counter passed a value: the first reading that had it
                   */
    }
    if (history->count == QE_RMQ_HISTORY_PAIRS) {
        thin(history);
    }
    if (qe_grow(&history->pairs, history->count, &history->capacity, QE_RMQ_HISTORY_PAIRS,
                sizeof *history->pairs) != 0) {
        qe_err_set(err, QE_ERR_NOMEM, "history of a queue");
        return -1;
    }
    history->pairs[history->count++] =
        (struct pair){.mono_ms = point->mono_ms, .published = point->published};
    return 0;
}

/* When the oldest of the newest `ready` messages had come in, at the latest; false: unknown. */
static bool came_in(const struct qe_rmq_history *history, double ready, double published,
                    int64_t *out_mono_ms)
{
    const double before = published - ready; /* published ahead of it */

    if (ready <= 0 || history->count == 0 || history->pairs[0].published > before) {
        return false;
    }
    for (size_t i = 1; i < history->count; i++) {
        if (history->pairs[i].published > before) {
            *out_mono_ms = history->pairs[i].mono_ms;
            return history->redelivered_mono_ms <= history->pairs[i - 1].mono_ms;
        }
    }
    return false;
}

static double age_at(int64_t mono_ms, int64_t came_mono_ms)
{
    return mono_ms > came_mono_ms ? (double)(mono_ms - came_mono_ms) / 1e3 : 0;
}

/* What came in uncounted makes the queue hold more than its counter can explain. */
static void look_for_uncounted(struct qe_rmq_history *history,
                               const struct qe_rmq_history_point *point)
{
    const double held = history->open.ready + history->open.in_flight;

    if (history->has_excess && held - point->published > history->excess_least) {
        history->is_uncounted = true;
    }
    if (history->has_before_open &&
        (!history->has_excess || held - history->published_before_open < history->excess_least)) {
        history->excess_least = held - history->published_before_open;
        history->has_excess = true;
    }
}

/* The counter of `point` knows of all that the open reading held. */
static void settle(struct qe_rmq_history *history, const struct qe_rmq_history_point *point)
{
    int64_t then_mono_ms = 0;
    int64_t now_mono_ms = 0;

    look_for_uncounted(history, point);
    history->age_seconds = -1;
    history->as_of_mono_ms = history->open.mono_ms;
    if (!history->is_uncounted &&
        came_in(history, history->open.ready, point->published, &then_mono_ms) &&
        came_in(history, point->ready, point->published, &now_mono_ms)) {
        const double then_seconds = age_at(history->open.mono_ms, then_mono_ms);
        const double now_seconds = age_at(point->mono_ms, now_mono_ms);

        history->age_seconds = then_seconds < now_seconds ? then_seconds : now_seconds;
    }
    history->published_before_open = history->open.published;
    history->has_before_open = true;
    history->open = *point;
}

static bool is_set_back(const struct qe_rmq_history *history,
                        const struct qe_rmq_history_point *point)
{
    return point->published < history->pairs[history->count - 1].published ||
           point->delivered < history->delivered || point->redelivered < history->redelivered;
}

static void begin_anew(struct qe_rmq_history *history)
{
    *history = (struct qe_rmq_history){
        .pairs = history->pairs, .capacity = history->capacity, .age_seconds = -1};
}

int qe_rmq_history_note(struct qe_rmq_history *history, const struct qe_rmq_history_point *point,
                        struct qe_err *err)
{
    if (history->count > 0 && is_set_back(history, point)) {
        begin_anew(history);
    }
    if (history->count > 0 && point->redelivered > history->redelivered) {
        history->redelivered_mono_ms = point->mono_ms;
    }
    history->delivered = point->delivered;
    history->redelivered = point->redelivered;
    if (add_pair(history, point, err) != 0) {
        return -1;
    }
    if (history->open.mono_ms == 0) {
        history->open = *point;
    } else if (point->mono_ms - history->open.mono_ms >= QE_RMQ_SETTLE_MS) {
        settle(history, point);
    }
    return 0;
}

bool qe_rmq_history_age(const struct qe_rmq_history *history, double *out_seconds,
                        int64_t *out_as_of_mono_ms)
{
    *out_seconds = history->age_seconds;
    *out_as_of_mono_ms = history->as_of_mono_ms;
    return history->age_seconds >= 0;
}
