/* How many more messages may be received: what the workers can do soon, what memory is allowed, the
 * rate, and the circuit breaker. The smallest counts. */
#include "consumer/consumer_internal.h"
#include "util/clock.h"
#include "util/log.h"

/* Fetched ahead: what the workers finish in this time, but not more bytes than that. */
#define AHEAD_MS 100.0
#define AHEAD_MAX_BYTES ((size_t)8 << 20)

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
 * again at once. What only waits for others to be settled with keeps no worker busy. */
static size_t room_for_work(const struct qe_consumer *consumer, size_t in_work, int64_t now_mono_ms)
{
    size_t target = (size_t)consumer->options.workers * consumer->options.batch_size +
                    ahead(consumer, now_mono_ms);
    size_t room = target > in_work ? target - in_work : 0;

    return least(room, consumer->jobs_count - consumer->in_hand_count);
}

/* As many as would still fit if they are as large as the largest were lately. One always does when
 * nothing else is in hand. */
static size_t room_in_memory(const struct qe_consumer *consumer)
{
    size_t most = consumer->options.max_in_hand_bytes;
    size_t left = most > consumer->in_hand_bytes ? most - consumer->in_hand_bytes : 0;
    size_t room = left / consumer->usual_bytes;

    return room == 0 && consumer->in_hand_count == 0 ? 1 : room;
}

static void tell_circuit(struct qe_consumer *consumer)
{
    qe_turns_tell_circuit(consumer->options.turns, &consumer->turn, consumer->breaker.state,
                          consumer->options.stats);
}

size_t qe_room_messages(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    size_t in_work = consumer->in_hand_count - consumer->batch_count;
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

void qe_room_note_outcome(struct qe_consumer *consumer, const struct qe_handled *handled)
{
    bool failed = handled->outcome == QE_OUTCOME_RETRY;

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
