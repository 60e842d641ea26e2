/* The reference consumer of one queue: one receiver thread that owns the driver handle, and a pool
 * of workers that run the handler. Guarantee: at least once. Every message it received is, in the
 * end, settled by its outcome, released, or left to its visibility timeout: never lost.
 *
 *   outcome  what is done with the message
 *   success  acknowledged, even when the handler was cancelled but had finished after all
 *   retry    released with the handler's delay or exponential backoff with full jitter by receive
 *            count; dead-lettered as max_receives once that is reached, and without being handled
 *            when it came more than twice as often
 *   reject   dead-lettered at once; without a dead-letter queue released with the longest backoff
 *            and a warning, never acknowledged
 *
 * README.md beside this file follows a message through, with every guarantee and its test.
 *
 * Where the driver names services that send a bill, an outcome waits up to 20 ms for others, so
 * that ten share one call; but not on FIFO queues and in ordered groups, whose next message waits
 * for it, and not at a stop. Elsewhere it is settled at once, with whatever else is done by then.
 *
 * Messages wait for a worker only when the handler is fast (a tenth of a second of work at most is
 * fetched ahead) and never longer than 5 s or half their visibility: then they are given back.
 *
 * What it counts (struct qe_consumer_stats): received, per delivery; processed, released and
 * dead_lettered, once the broker has confirmed; failed and handling_seconds, per handler run, but
 * not for one that the stop cut short; settle_failures, per try. wait_seconds is from sending to
 * the first handling. in_progress is everything in hand, also what waits to be settled.
 * empty_receives counts long polls that lasted their whole time. */
#ifndef QE_CONSUMER_CONSUMER_H
#define QE_CONSUMER_CONSUMER_H

#include <stdint.h>

#include "backend/backend.h"
#include "consumer/handler.h"
#include "consumer/turns.h"
#include "model/directory.h"
#include "model/stats.h"
#include "util/err.h"
#include "util/regex.h"

#define QE_CONSUMER_BATCHES_MAX 16384 /* workers x batch size */

enum qe_delivery {
    QE_DELIVERY_AT_LEAST_ONCE = 0,
    QE_DELIVERY_AT_MOST_ONCE,    /* acknowledged before it is handled: what fails is lost */
    QE_DELIVERY_EFFECTIVELY_ONCE /* at least once, and what was handled is not handled again */
};

/* EFFECTIVELY_ONCE. See consumer/dedup_store.h and dedup_key.h. All borrowed. */
struct qe_once_options {
    const char *store; /* a SQLite file of its own, or ":memory:" */
    const char *attribute;
    const char *pointer;
    int64_t window_ms;
    int64_t lease_ms; /* of a claim; 0: QE_DEDUP_LEASE_MS */
};

/* All borrowed pointers outlive the consumer, but handler_self: see qe_consumer_new. */
struct qe_consumer_options {
    const char *source;
    const char *vhost;
    const char *queue;
    const struct qe_driver *driver;
    const void *driver_settings;
    struct qe_api_stats *api_stats; /* may be NULL */
    struct qe_consumer_stats *stats;
    struct qe_directory *directory; /* what the source's poller lists; acquired by the consumer;
                                       NULL: nobody lists it */
    struct qe_turns *turns; /* of this queue's consumers, one after the other; NULL: no others */
    uint64_t workers;
    const struct qe_handler *handler;
    void *handler_self; /* owned from the call on, even on failure; NULL is fine */
    int64_t max_handling_time_ms;
    int64_t retry_initial_ms;
    int64_t retry_max_ms;
    uint64_t max_receives;   /* 0: the queue's own policy decides; else the consumer dead-letters at
                                this receive count */
    int64_t receive_wait_ms; /* long poll; 0: 20 s */
    int64_t settle_wait_ms;  /* for others, where calls are billed; 0: 20 ms */
    uint64_t jitter_seed;    /* 0: from the kernel */
    enum qe_delivery delivery;
    struct qe_once_options once;
    const char *dead_letter_queue; /* of the same source and vhost; NULL or "": the queue's own */
    const struct qe_regex *const *reply_to; /* queues that replies may go to; none: any */
    size_t reply_to_count;
    size_t batch_size;          /* messages per handler call, at most; 0: 1 */
    int64_t batch_wait_ms;      /* how long part of a batch waits for more */
    const char *order_by;       /* attribute; NULL or "": none. See README.md, ordered groups */
    double messages_per_second; /* 0: no limit */
    uint64_t circuit_failures;  /* in a row, until nothing is received for a while; 0: never */
    int64_t circuit_pause_ms;
    size_t max_in_hand_bytes; /* bodies; one receive may exceed it; 0: 64 MiB */
};

struct qe_consumer;

/* Starts the threads. A source that is down is retried with backoff; the consumer lives on. */
struct qe_consumer *qe_consumer_new(const struct qe_consumer_options *options,
                                    struct qe_err *err) QE_MUST_CHECK;
/* Stop receiving, release unstarted messages, let running handlers finish until the deadline, then
 * cancel them and release. Any thread; returns at once. Asked twice: the earlier deadline counts.
 * What cannot be settled until 1 s after the deadline is left to its visibility timeout. */
void qe_consumer_stop(struct qe_consumer *consumer, int64_t deadline_mono_ms);
/* Waits until its threads have ended, which qe_consumer_stop() from elsewhere can still hasten:
 * what destroy does first, for those who need both. Twice is fine; one thread. */
void qe_consumer_join(struct qe_consumer *consumer);
/* Stops (at once if not asked before), joins, frees; accepts NULL. Waits for handlers however long
 * they ignore cancellation (see handler.h), with one error in the log. */
void qe_consumer_destroy(struct qe_consumer *consumer);

#endif
