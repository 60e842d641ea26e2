/* A message that goes back holds those of its group that came after it. */
#include "consumer/consumer_internal.h"
#include "util/clock.h"

/* It should not be much longer away than what it waits for. */
#define LATE_MAX_MS 5000

static bool holds(const struct qe_job *job)
{
    return job->group != NULL && !job->acked && job->verdict.verb == QE_SETTLE_RELEASE;
}

/* With the lock held. */
static void add(struct qe_consumer *consumer, const struct qe_job *job, int64_t due_mono_ms)
{
    const struct qe_order_entry entry = {.group_hash = job->group_hash,
                                         .name = job->name,
                                         .rank = job->rank,
                                         .due_mono_ms = due_mono_ms,
                                         .follows = job->follows,
                                         .is_delayed = job->is_delayed};

    qe_order_add(consumer->order, &entry);
}

/* With the lock held. */
static void hold(struct qe_consumer *consumer, struct qe_job *job)
{
    const struct qe_driver *driver = consumer->options.driver;
    int64_t delay_ms = job->verdict.delay_ms;

    if (holds(job)) {
        delay_ms = driver->delay_ms != NULL ? driver->delay_ms(delay_ms) : delay_ms;
        delay_ms += job->follows ? 0 : QE_ORDER_BEHIND_MS;
        add(consumer, job, qe_clock_mono_ms() + delay_ms);
        job->is_holding = true;
    }
}

void qe_hold_next(struct qe_consumer *consumer, struct qe_job *job)
{
    pthread_mutex_lock(&consumer->lock);
    hold(consumer, job);
    pthread_mutex_unlock(&consumer->lock);
}

void qe_hold_give_back(struct qe_consumer *consumer, struct qe_job *job, int64_t delay_ms)
{
    (void)qe_line_remove(consumer, job);
    qe_job_leave(consumer, job, QE_JOB_SETTLING);
    qe_outcome_give_back(job, delay_ms);
    hold(consumer, job);
}

/* Those of its group that are in hand and not begun go back behind it. */
static void release_group(struct qe_consumer *consumer, const struct qe_job *failed)
{
    for (struct qe_job *job = consumer->line_first; job != NULL;) {
        struct qe_job *next = job->next;

        if (job->group_hash == failed->group_hash && job->group != NULL && !job->acked) {
            job->follows = true;
            qe_hold_give_back(consumer, job, failed->verdict.delay_ms + QE_ORDER_BEHIND_MS);
        }
        job = next;
    }
}

void qe_hold_group(struct qe_consumer *consumer, struct qe_job *job)
{
    pthread_mutex_lock(&consumer->lock);
    hold(consumer, job);
    if (holds(job)) {
        release_group(consumer, job);
    }
    pthread_mutex_unlock(&consumer->lock);
}

void qe_hold_no_more(struct qe_consumer *consumer, struct qe_job *job)
{
    if (job->is_holding) {
        pthread_mutex_lock(&consumer->lock);
        qe_order_remove(consumer->order, job->group_hash, job->rank);
        pthread_mutex_unlock(&consumer->lock);
        job->is_holding = false;
    }
}

void qe_hold_until_lapse(struct qe_consumer *consumer, const struct qe_job *job)
{
    const int64_t now = qe_clock_mono_ms();
    const int64_t lapse = job->message.visible_until_mono_ms;

    if (job->group != NULL && !job->acked) {
        pthread_mutex_lock(&consumer->lock);
        add(consumer, job, (lapse > now ? lapse : now) + QE_ORDER_BEHIND_MS);
        pthread_mutex_unlock(&consumer->lock);
    }
}

/* --- what comes --- */

/* Until all before it ought to be back; when one is late, for as long as that is, so that it does
 * not come again and again. */
static int64_t delay_behind(const struct qe_order_ahead *ahead, int64_t now_mono_ms)
{
    const int64_t due_ms = ahead->due_mono_ms - now_mono_ms;
    const int64_t late_ms = now_mono_ms - ahead->first_due_mono_ms;
    int64_t delay_ms = late_ms < LATE_MAX_MS ? late_ms : LATE_MAX_MS;

    delay_ms = delay_ms > due_ms ? delay_ms : due_ms;
    return delay_ms > QE_ORDER_BEHIND_MS ? delay_ms : QE_ORDER_BEHIND_MS;
}

void qe_hold_heed(struct qe_consumer *consumer, struct qe_job *job, size_t *aside)
{
    const int64_t now = qe_clock_mono_ms();
    const struct qe_order_ahead ahead =
        qe_order_ahead(consumer->order, job->group_hash, job->rank, now);

    job->is_aside = false;
    if (!ahead.is_any) {
        return;
    }
    if (!ahead.backs_off && ahead.due_mono_ms <= job->give_back_mono_ms &&
        qe_room_aside(consumer, *aside)) {
        job->is_aside = true;
        (*aside)++;
        return;
    }
    job->follows = true;
    qe_outcome_give_back(job, delay_behind(&ahead, now));
    hold(consumer, job);
}

int64_t qe_hold_delay_ms(const struct qe_consumer *consumer, const struct qe_job *job)
{
    const int64_t now = qe_clock_mono_ms();
    const struct qe_order_ahead ahead =
        qe_order_ahead(consumer->order, job->group_hash, job->rank, now);

    return ahead.is_any ? delay_behind(&ahead, now) : 0;
}

void qe_hold_note_receive(struct qe_consumer *consumer, int64_t began_mono_ms, bool is_full)
{
    if (consumer->options.order_by == NULL) {
        return;
    }
    pthread_mutex_lock(&consumer->lock);
    if (qe_order_note_receive(consumer->order, began_mono_ms, is_full, qe_clock_mono_ms())) {
        (void)pthread_cond_broadcast(&consumer->work);
    }
    pthread_mutex_unlock(&consumer->lock);
}
