#include <inttypes.h>
#include <stdio.h>

#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/log.h"

#define DEFAULT_RECEIVE_WAIT_MS 20000
/* When receiving fails: first and longest pause, and how often before a new handle is tried. */
#define RECEIVE_BACKOFF_FIRST_MS 200
#define RECEIVE_BACKOFF_MAX_MS 10000
#define FAILURES_PER_HANDLE 3
/* When opening the handle fails that something in hand needs: first and longest pause. */
#define REOPEN_FIRST_MS 500
#define REOPEN_MAX_MS 4000
/* When a message is handled in less than this, it is worth a moment to settle a whole lot at once.
 */
#define FAST_HANDLING_MS 0.5
#define LINGER_MS 2
/* Keeps every wait within what clocks can express. */
#define LONGEST_WAIT_MS 3600000
/* Between two looks whether the consumer from before a reload has ended, and whether the source has
 * been listed. */
#define TURN_LOOK_MS 20

static int64_t min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void qe_consumer_log_trouble(struct qe_consumer *consumer, struct qe_repeat *repeat,
                             const char *what, const struct qe_err *err)
{
    uint64_t unlogged = 0;
    char unlogged_text[24];

    if (!qe_repeat_failed(repeat, err->code, qe_clock_mono_ms(), &unlogged)) {
        return;
    }
    (void)snprintf(unlogged_text, sizeof unlogged_text, "%" PRIu64, unlogged);
    qe_log(QE_LOG_WARN, what, "source", consumer->options.source, "queue", consumer->options.queue,
           "reason", qe_err_code_name(err->code), "error", err->message, "more_since_last_line",
           unlogged > 0 ? unlogged_text : NULL, NULL);
}

void qe_consumer_log_recovery(struct qe_consumer *consumer, struct qe_repeat *repeat,
                              const char *what)
{
    if (qe_repeat_ended(repeat)) {
        qe_log(QE_LOG_INFO, what, "source", consumer->options.source, "queue",
               consumer->options.queue, NULL);
    }
}

static void receive_failed(struct qe_consumer *consumer, const struct qe_err *err)
{
    const struct qe_backoff backoff = {.initial_ms = RECEIVE_BACKOFF_FIRST_MS,
                                       .max_ms = RECEIVE_BACKOFF_MAX_MS};
    int64_t pause;

    if (err->code == QE_ERR_CANCELLED) {
        return; /* on request: something else is to be done first */
    }
    qe_consumer_log_trouble(consumer, &consumer->receive_trouble, "receiving failed", err);
    consumer->receive_failures_in_row++;
    /* At least half the ceiling: an immediate second failure helps nobody. */
    pause = qe_backoff_ceiling_ms(&backoff, consumer->receive_failures_in_row) / 2;
    pause += (int64_t)(qe_random_unit(&consumer->random) * (double)pause);
    consumer->next_receive_mono_ms = qe_clock_mono_ms() + pause;
    if (consumer->receive_failures_in_row % FAILURES_PER_HANDLE == 0) {
        qe_handle_close(consumer);
    }
}

/* --- the loop --- */

/* With the lock held: what a stop is waited for; INT64_MAX: nothing. */
static int64_t stop_wake(const struct qe_consumer *consumer, int64_t now_mono_ms)
{
    const int64_t deadline = consumer->stop_deadline_mono_ms;

    if (!consumer->stopping) {
        return INT64_MAX;
    }
    if (now_mono_ms < deadline) {
        return deadline;
    }
    return consumer->said_stuck ? INT64_MAX : deadline + QE_CONSUMER_GRACE_MS;
}

/* With the lock held: something is in hand, and cannot be extended or settled. What a stop has to
 * wait for no more needs no handle. */
static bool lacks_handle(const struct qe_consumer *consumer, int64_t now_mono_ms)
{
    const bool is_over =
        consumer->stopping && now_mono_ms >= consumer->stop_deadline_mono_ms + QE_CONSUMER_GRACE_MS;

    return consumer->handle == NULL && consumer->in_hand_count > 0 && !is_over;
}

/* With the lock held: when the receiver must act at the latest. */
static int64_t next_wake(const struct qe_consumer *consumer, int64_t now_mono_ms)
{
    int64_t wake = now_mono_ms + LONGEST_WAIT_MS;
    int64_t longest_ms = consumer->options.max_handling_time_ms;
    bool can_extend = consumer->options.driver->extend != NULL && consumer->handle != NULL;

    for (size_t i = 0; i < consumer->jobs_count; i++) {
        const struct qe_job *job = &consumer->jobs[i];

        if (job->state == QE_JOB_WAITING) {
            /* A worker may take it while the receiver is away, and its deadline runs from then. */
            wake = min_ms(wake, job->give_back_mono_ms);
            wake = longest_ms > 0 ? min_ms(wake, now_mono_ms + longest_ms) : wake;
        } else if (job->state == QE_JOB_SETTLING && consumer->handle != NULL) {
            wake = min_ms(wake, job->settle_at_mono_ms);
        } else if (job->state == QE_JOB_RUNNING && !job->timed_out && !job->stopped) {
            wake = min_ms(wake, job->handling_deadline_mono_ms);
            wake = can_extend ? min_ms(wake, job->extend_at_mono_ms) : wake;
        }
        if (job->claimed && (job->state == QE_JOB_WAITING || job->state == QE_JOB_RUNNING)) {
            wake = min_ms(wake, job->renew_at_mono_ms);
        }
    }
    if (consumer->handle != NULL) {
        wake = min_ms(wake, consumer->tend_mono_ms);
    } else if (lacks_handle(consumer, now_mono_ms)) {
        wake = min_ms(wake, consumer->next_open_mono_ms);
    }
    return min_ms(wake, stop_wake(consumer, now_mono_ms));
}

/* Cancels what ran too long, or everything once the stop deadline has passed. */
static void cancel_due(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    pthread_mutex_lock(&consumer->lock);
    bool stop_now = consumer->stopping && now_mono_ms >= consumer->stop_deadline_mono_ms;
    for (size_t i = 0; i < consumer->jobs_count && consumer->running_count > 0; i++) {
        struct qe_job *job = &consumer->jobs[i];

        if (job->state != QE_JOB_RUNNING) {
            continue;
        }
        job->timed_out = job->timed_out || now_mono_ms >= job->handling_deadline_mono_ms;
        job->stopped = job->stopped || stop_now;
        if (job->timed_out || job->stopped) {
            atomic_store(&job->cancelled, true);
        }
    }
    pthread_mutex_unlock(&consumer->lock);
}

/* With the lock held. What is acknowledged already cannot be given back: it may begin until the
 * stop deadline. */
static bool must_go(const struct qe_consumer *consumer, const struct qe_job *job,
                    int64_t now_mono_ms)
{
    if (job->acked) {
        return consumer->stopping && now_mono_ms >= consumer->stop_deadline_mono_ms;
    }
    return consumer->stopping || job->give_back_mono_ms <= now_mono_ms;
}

/* With the lock held. One of its group goes: what is behind must not overtake it. */
static bool must_follow(const struct qe_consumer *consumer, size_t going, const struct qe_job *job)
{
    for (size_t i = 0; i < going && job->group != NULL && !job->acked; i++) {
        const struct qe_job *before = consumer->picked[i];

        if (before->group != NULL && before->group_hash == job->group_hash) {
            return true;
        }
    }
    return false;
}

/* Gives back messages that wait for a worker too long, or all of them when stopping. */
static void give_back_due(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    size_t count = 0;

    pthread_mutex_lock(&consumer->lock);
    for (struct qe_job *job = consumer->line_first; job != NULL;) {
        struct qe_job *next = job->next;

        if (must_go(consumer, job, now_mono_ms) || must_follow(consumer, count, job)) {
            consumer->picked[count++] = job;
        }
        job = next;
    }
    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        job->follows = job->is_aside && !consumer->stopping;
        qe_hold_give_back(consumer, job, job->follows ? qe_hold_delay_ms(consumer, job) : 0);
    }
    const bool all_busy = consumer->running_count >= consumer->options.workers;
    pthread_mutex_unlock(&consumer->lock);
    /* A broker that pushes would push them to us again. */
    qe_handle_pause(consumer, count > 0 && all_busy, now_mono_ms);
}

/* A fast lot is settled in one call instead of many. */
static void linger(struct qe_consumer *consumer)
{
    int64_t until = qe_clock_mono_ms() + LINGER_MS;

    pthread_mutex_lock(&consumer->lock);
    if (consumer->handling_mean_ms >= 0 && consumer->handling_mean_ms < FAST_HANDLING_MS) {
        bool in_time = true;
        consumer->lingering = true;
        while (in_time && !consumer->stopping &&
               consumer->waiting_count + consumer->running_count > 0) {
            in_time = qe_clock_cond_wait(&consumer->wake, &consumer->lock, until);
        }
        consumer->lingering = false;
    }
    pthread_mutex_unlock(&consumer->lock);
}

static void receive(struct qe_consumer *consumer, size_t max, int64_t until_mono_ms, bool is_whole)
{
    const struct qe_driver *driver = consumer->options.driver;
    const int64_t began = qe_clock_mono_ms();
    struct qe_err err = {0};

    consumer->is_paused = false;
    int rc = driver->receive(consumer->handle, &consumer->queue, max, until_mono_ms,
                             &consumer->incoming, &err);

    consumer->received_mono_ms = qe_clock_mono_ms();
    pthread_mutex_lock(&consumer->lock);
    consumer->receiving = false;
    consumer->batch_open_count = 0;
    pthread_mutex_unlock(&consumer->lock);
    if (rc != 0) {
        receive_failed(consumer, &err);
        return;
    }
    consumer->receive_failures_in_row = 0;
    qe_consumer_log_recovery(consumer, &consumer->receive_trouble, "receiving works again");
    const size_t count = consumer->incoming.count;
    if (count > 0) {
        qe_intake_accept(consumer);
    } else if (is_whole) { /* one that something else to do has cut short says nothing */
        qe_intake_note_empty(consumer);
    }
    qe_hold_note_receive(consumer, began, count >= max);
    if (count > 0) {
        linger(consumer);
    }
}

/* What is in hand does not wait until something may be received again: its deliveries would lapse
 * meanwhile. */
static void reopen_handle(struct qe_consumer *consumer)
{
    const struct qe_backoff backoff = {.initial_ms = REOPEN_FIRST_MS, .max_ms = REOPEN_MAX_MS};
    const int64_t now = qe_clock_mono_ms();
    struct qe_err err = {0};

    pthread_mutex_lock(&consumer->lock);
    const bool is_due = lacks_handle(consumer, now) && consumer->next_open_mono_ms <= now;
    pthread_mutex_unlock(&consumer->lock);
    if (!is_due) {
        return;
    }
    if (qe_handle_open(consumer, &err) == 0) {
        consumer->open_failures_in_row = 0;
        return;
    }
    consumer->open_failures_in_row++;
    consumer->next_open_mono_ms =
        qe_clock_mono_ms() + qe_backoff_ceiling_ms(&backoff, consumer->open_failures_in_row);
    qe_consumer_log_trouble(consumer, &consumer->receive_trouble,
                            "the source cannot be opened again; what is in hand is not extended "
                            "and not settled until it can",
                            &err);
}

/* Opens the handle when it is time; true when it is open. */
static bool ensure_handle(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    struct qe_err err = {0};

    if (consumer->handle != NULL) {
        return true;
    }
    /* With something in hand the next step sees to it. */
    if (consumer->in_hand_count > 0 || now_mono_ms < consumer->next_receive_mono_ms) {
        return false;
    }
    if (qe_handle_awaits_list(consumer, now_mono_ms)) {
        consumer->next_receive_mono_ms = now_mono_ms + TURN_LOOK_MS;
        return false;
    }
    if (qe_handle_open(consumer, &err) != 0) {
        receive_failed(consumer, &err);
        return false;
    }
    return true;
}

static bool begin_turn(struct qe_consumer *consumer)
{
    pthread_mutex_lock(&consumer->lock);
    const bool begins = qe_turns_begin(consumer->options.turns, &consumer->turn, consumer->order);
    pthread_mutex_unlock(&consumer->lock);
    return begins;
}

/* In an ordered queue nothing is received while a consumer from before a reload has something in
 * hand: it may be of any group. What a group waits for there it waits for here. */
static bool may_begin(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    if (consumer->has_begun || now_mono_ms < consumer->next_receive_mono_ms) {
        return consumer->has_begun;
    }
    consumer->has_begun = consumer->options.order_by == NULL || begin_turn(consumer);
    if (!consumer->has_begun) {
        consumer->next_receive_mono_ms = now_mono_ms + TURN_LOOK_MS;
        if (!consumer->said_waiting) {
            qe_log(QE_LOG_INFO,
                   "order_by: nothing is received until the consumer from before the reload has "
                   "finished what it has in hand",
                   "source", consumer->options.source, "queue", consumer->options.queue, NULL);
        }
        consumer->said_waiting = true;
    }
    return consumer->has_begun;
}

/* What waits aside does so until what it waits for counts as missing, which a receive finds out. */
static int64_t aside_until(const struct qe_consumer *consumer, int64_t now_mono_ms)
{
    const int64_t end = qe_order_end_mono_ms(consumer->order, now_mono_ms);

    return end > now_mono_ms ? end : now_mono_ms + 1;
}

/* Receives, or sleeps until something is due. */
static void receive_or_sleep(struct qe_consumer *consumer)
{
    const int64_t wait_ms = consumer->options.receive_wait_ms > 0
                                ? consumer->options.receive_wait_ms
                                : DEFAULT_RECEIVE_WAIT_MS;
    bool is_open = may_begin(consumer, qe_clock_mono_ms()) &&
                   ensure_handle(consumer, qe_clock_mono_ms()) &&
                   qe_once_ready(consumer, qe_clock_mono_ms());
    int64_t now = qe_clock_mono_ms();

    pthread_mutex_lock(&consumer->lock);
    int64_t wake = next_wake(consumer, now);
    size_t max = qe_room_messages(consumer, now);
    bool busy = consumer->stopping || consumer->done_count > 0 || wake <= now;
    bool paused = now < consumer->next_receive_mono_ms;
    bool receives = !busy && !paused && is_open && max > 0;
    int64_t until = min_ms(wake, now + wait_ms);
    if (receives) {
        consumer->receiving = true;
        consumer->batch_open_count = consumer->batch_count;
        until = consumer->aside_count > 0 ? min_ms(until, aside_until(consumer, now)) : until;
    } else if (!busy) {
        wake = paused ? min_ms(wake, consumer->next_receive_mono_ms) : wake;
        wake = min_ms(wake, qe_handle_pause_mono_ms(consumer));
        wake = max == 0 ? min_ms(wake, qe_room_ready_mono_ms(consumer, now)) : wake;
        (void)qe_clock_cond_wait(&consumer->wake, &consumer->lock, wake);
    }
    pthread_mutex_unlock(&consumer->lock);
    if (receives) {
        receive(consumer, max, until, until == now + wait_ms);
    }
}

/* --- stopping --- */

/* A handler that does not even end when it must. Its thread is waited for all the same. */
static void give_up_on_handlers(struct qe_consumer *consumer)
{
    if (consumer->said_stuck) {
        return;
    }
    qe_log(QE_LOG_ERROR, "a handler ignores cancellation; waiting for it", "source",
           consumer->options.source, "queue", consumer->options.queue, "handler",
           consumer->options.handler->name, NULL);
    qe_outcome_let_go(consumer);
    consumer->said_stuck = true;
}

/* True when nothing is left to wait for. Otherwise sleeps until something is due. */
static bool stop_or_sleep(struct qe_consumer *consumer)
{
    int64_t now = qe_clock_mono_ms();

    pthread_mutex_lock(&consumer->lock);
    bool over = now >= consumer->stop_deadline_mono_ms + QE_CONSUMER_GRACE_MS;
    bool idle = consumer->running_count == 0 && consumer->done_count == 0;
    pthread_mutex_unlock(&consumer->lock);
    if (over) {
        qe_settle_abandon(consumer);
    }
    if (over && !idle) {
        give_up_on_handlers(consumer);
    }
    if (idle && consumer->in_hand_count == 0) {
        return true;
    }
    pthread_mutex_lock(&consumer->lock);
    int64_t wake = next_wake(consumer, now);
    if (consumer->done_count == 0 && wake > now) {
        (void)qe_clock_cond_wait(&consumer->wake, &consumer->lock, wake);
    }
    pthread_mutex_unlock(&consumer->lock);
    return false;
}

/* False when the consumer has stopped. */
static bool step(struct qe_consumer *consumer)
{
    reopen_handle(consumer);
    int64_t now = qe_clock_mono_ms();

    pthread_mutex_lock(&consumer->lock);
    bool stopping = consumer->stopping;
    pthread_mutex_unlock(&consumer->lock);
    qe_handle_heed(consumer, now);
    cancel_due(consumer, now);
    if (stopping) {
        qe_handle_halt(consumer, now);
    } else {
        qe_handle_pause(consumer, false, now);
    }
    give_back_due(consumer, now);
    qe_outcome_collect(consumer);
    qe_settle_due(consumer, now);
    qe_extend_due(consumer, now);
    qe_once_renew_due(consumer, now);
    qe_intake_tell_oldest(consumer);
    qe_handle_tend(consumer, now);
    if (stopping) {
        return !stop_or_sleep(consumer);
    }
    qe_handle_ask(consumer, now);
    receive_or_sleep(consumer);
    return true;
}

void *qe_receiver_main(void *argument)
{
    struct qe_consumer *consumer = argument;

    while (step(consumer)) {
    }
    qe_intake_tell_oldest(consumer);
    qe_handle_give_back(consumer);
    qe_handle_close(consumer);
    qe_turns_leave(consumer->options.turns, &consumer->turn, consumer->order);
    return NULL;
}
