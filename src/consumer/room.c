/* How many more messages may be received: what the workers can do soon, what memory is allowed, the
 * rate, and the circuit breaker. The smallest counts. And none for a while, where we could not even
 * hand one to its handler. */
#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/log.h"

/* Fetched ahead: what the workers finish in this time, but not more bytes than that. */
#define AHEAD_MS 100.0
#define AHEAD_MAX_BYTES ((size_t)8 << 20)
/* Nothing is received for so long, and longer each time that none got through in between. */
#define TROUBLE_FIRST_MS 1000
#define TROUBLE_MAX_MS 30000
/* So long without any, it is over: what some messages get through is not told each time. */
#define TROUBLE_OVER_MS 60000

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* With the lock held. A worker in a long handling will not be there for what is fetched ahead. */
static size_t count_nimble_workers(const struct qe_consumer *consumer, int64_t now_mono_ms)
{
    size_t nimble = (size_t)consumer->options.workers;

    for (size_t i = 0; i < consumer->jobs_count && consumer->running_count > 0; i++) {
        const struct qe_job *job = &consumer->jobs[i];

        if (nimble > 0 && job->state == QE_JOB_RUNNING &&
            now_mono_ms - job->started_mono_ms > (int64_t)AHEAD_MS) {
            nimble--;
        }
    }
    return nimble;
}

/* What is acknowledged before it is handled is lost if it waits too long: nothing ahead there. */
static size_t ahead(const struct qe_consumer *consumer, int64_t now_mono_ms)
{
    if (consumer->handling_mean_ms < 0 || consumer->in_hand_bytes >= AHEAD_MAX_BYTES ||
        consumer->options.delivery == QE_DELIVERY_AT_MOST_ONCE) {
        return 0;
    }
    double nimble = (double)count_nimble_workers(consumer, now_mono_ms);
    double soon = nimble * AHEAD_MS / (consumer->handling_mean_ms + 0.001);
    double most = (double)consumer->jobs_count;

    return (size_t)(soon < most ? soon : most);
}

/* One batch per worker, and ahead of them what they will have finished in a moment. A slow handler
 * thus holds back nothing that another consumer could do, and what was given back is not fetched
 * again at once. What only waits, for others to be settled with or for one before it that is not
 * here, keeps no worker busy. */
static size_t room_for_work(const struct qe_consumer *consumer, size_t in_work, int64_t now_mono_ms)
{
    size_t target = (size_t)consumer->options.workers * consumer->options.batch_size +
                    ahead(consumer, now_mono_ms);
    size_t room = target > in_work ? target - in_work : 0;

    return least(room, consumer->jobs_count - consumer->in_hand_count);
}

/* With the lock held. As many as would still fit if they are as large as the largest were lately,
 * and they and those that are not done yet get as large replies. One always does when nothing else
 * is in hand. */
static size_t room_in_memory(const struct qe_consumer *consumer)
{
    size_t replies_due = consumer->waiting_count + consumer->running_count + consumer->done_count;
    size_t taken = consumer->in_hand_bytes + replies_due * consumer->usual_reply_bytes;
    size_t most = consumer->options.max_in_hand_bytes;
    size_t left = most > taken ? most - taken : 0;
    size_t room = left / (consumer->usual_bytes + consumer->usual_reply_bytes);

    return room == 0 && consumer->in_hand_count == 0 ? 1 : room;
}

/* What is aside never takes the places of the workers' batches. */
bool qe_room_aside(const struct qe_consumer *consumer, size_t aside)
{
    const struct qe_consumer_options *options = &consumer->options;

    return options->delivery != QE_DELIVERY_AT_MOST_ONCE &&
           aside < consumer->jobs_count - (size_t)options->workers * options->batch_size &&
           room_in_memory(consumer) > 0;
}

static void tell_circuit(struct qe_consumer *consumer)
{
    qe_turns_tell_circuit(consumer->options.turns, &consumer->turn, consumer->breaker.state,
                          consumer->options.stats);
}

size_t qe_room_messages(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    size_t in_work = consumer->in_hand_count - consumer->batch_count - consumer->aside_count;
    size_t room = room_for_work(consumer, in_work, now_mono_ms);

    room = least(room, room_in_memory(consumer));
    room = least(room, qe_breaker_room(&consumer->breaker, in_work, now_mono_ms));
    tell_circuit(consumer);
    return least(room, qe_bucket_room(&consumer->bucket, now_mono_ms));
}

int64_t qe_room_ready_mono_ms(const struct qe_consumer *consumer, int64_t now_mono_ms)
{
    int64_t ready = qe_bucket_ready_mono_ms(&consumer->bucket);

    if (consumer->breaker.state == QE_CIRCUIT_OPEN &&
        consumer->breaker.open_until_mono_ms > ready) {
        ready = consumer->breaker.open_until_mono_ms;
    }
    return ready > now_mono_ms ? ready : INT64_MAX;
}

void qe_room_note_received(struct qe_consumer *consumer, size_t count, size_t largest_bytes)
{
    size_t usual = consumer->usual_bytes - consumer->usual_bytes / 8;

    qe_bucket_take(&consumer->bucket, count);
    usual = usual > largest_bytes ? usual : largest_bytes;
    consumer->usual_bytes = usual > 0 ? usual : 1;
}

void qe_room_note_reply(struct qe_consumer *consumer, size_t bytes)
{
    size_t usual = consumer->usual_reply_bytes - consumer->usual_reply_bytes / 64;

    consumer->usual_reply_bytes = usual > bytes ? usual : bytes;
}

void qe_room_note_unhandled(struct qe_consumer *consumer)
{
    qe_bucket_return(&consumer->bucket, 1);
}

/* One lot of failures is one pause. What is in hand is handled all the same; what the broker has
 * pushed ahead is for others. */
static void pause_receiving(struct qe_consumer *consumer, const struct qe_handled *handled)
{
    const struct qe_backoff backoff = {.initial_ms = TROUBLE_FIRST_MS, .max_ms = TROUBLE_MAX_MS};
    int64_t now = qe_clock_mono_ms();
    struct qe_err err = {0};

    (void)qe_err_set(&err, QE_ERR_IO, "%s", handled->detail);
    qe_consumer_log_trouble(consumer, &consumer->own_trouble,
                            "a message could not be given to its handler, for a reason of our own; "
                            "it goes back as it came, and nothing is received for a while",
                            &err);
    if (now >= consumer->trouble_until_mono_ms) {
        consumer->troubles_in_row++;
        consumer->trouble_until_mono_ms =
            now + qe_backoff_ceiling_ms(&backoff, consumer->troubles_in_row);
    }
    if (consumer->next_receive_mono_ms < consumer->trouble_until_mono_ms) {
        consumer->next_receive_mono_ms = consumer->trouble_until_mono_ms;
    }
    qe_handle_pause(consumer, true, now);
}

static void note_no_trouble(struct qe_consumer *consumer)
{
    consumer->troubles_in_row = 0;
    if (qe_clock_mono_ms() - consumer->trouble_until_mono_ms >= TROUBLE_OVER_MS) {
        qe_consumer_log_recovery(consumer, &consumer->own_trouble,
                                 "handlers are given their messages again");
    }
}

void qe_room_note_outcome(struct qe_consumer *consumer, const struct qe_handled *handled)
{
    bool failed = handled->outcome == QE_OUTCOME_RETRY;

    if (failed && handled->reason == QE_FAIL_INTERNAL && handled->label == NULL) {
        pause_receiving(consumer, handled);
    } else {
        note_no_trouble(consumer);
    }
    if (!qe_breaker_note(&consumer->breaker, failed, qe_clock_mono_ms())) {
        return;
    }
    tell_circuit(consumer);
    if (consumer->breaker.state == QE_CIRCUIT_OPEN) {
        qe_log(QE_LOG_WARN, "circuit open: handling fails, so nothing is received for a while",
               "source", consumer->options.source, "queue", consumer->options.queue, "last_reason",
               qe_verdict_reason(handled), "detail", handled->detail, NULL);
    } else {
        qe_log(QE_LOG_INFO, "circuit closed: handling works again", "source",
               consumer->options.source, "queue", consumer->options.queue, NULL);
    }
}
