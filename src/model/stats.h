/* Live counters: written with atomics by the thread that does the work, read by scrapes at any
 * time. Created once, never freed before the registry: readers need no lock. */
#ifndef QE_MODEL_STATS_H
#define QE_MODEL_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/histogram.h"
#include "util/err.h"

typedef atomic_uint_least64_t qe_counter;
static inline void qe_counter_add(qe_counter *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}
static inline uint64_t qe_counter_get(const qe_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Why a handler did not succeed, and why a message was dead-lettered: a closed set, the `reason`
 * label. */
enum qe_fail_reason {
    QE_FAIL_HANDLER_ERROR = 0, /* the handler said "try again" */
    QE_FAIL_PERMANENT,         /* the handler said "never again" */
    QE_FAIL_TIMEOUT,           /* ran past max_handling_time */
    QE_FAIL_MAX_RECEIVES,      /* delivered too often (dead-lettering only) */
    QE_FAIL_INTERNAL,          /* our own trouble, no try of the message's: no memory, no
                                  descriptors, a program that cannot be started */
    QE_FAIL_COUNT
};
const char *qe_fail_reason_name(enum qe_fail_reason reason);

enum qe_outcome {
    QE_OUTCOME_SUCCESS = 0,
    QE_OUTCOME_RETRY,
    QE_OUTCOME_REJECT,
    QE_OUTCOME_COUNT
};
const char *
qe_outcome_name(enum qe_outcome outcome); /* the `outcome` label: success, retry, reject */

/* A reason of the configuration, for what a handler says more precisely than the closed set. */
struct qe_reason_stats {
    struct qe_reason_stats *_Atomic next;
    char *name; /* owned */
    qe_counter failed, dead_lettered;
};

/* Whether a consumer receives, as its circuit breaker has it. */
enum qe_circuit {
    QE_CIRCUIT_CLOSED = 0,
    QE_CIRCUIT_OPEN,
    QE_CIRCUIT_HALF_OPEN,
    QE_CIRCUIT_COUNT
};
const char *
qe_circuit_name(enum qe_circuit circuit); /* the `state` label: closed, open, half_open */

struct qe_consumer_stats {
    struct qe_consumer_stats *_Atomic next; /* registry's */
    char *source;                           /* owned, as vhost and queue */
    char *vhost;
    char *queue;
    atomic_bool
        active; /* a consumer runs: only then its series are shown. Counters survive a reload */
    qe_counter received, processed, released;
    qe_counter failed[QE_FAIL_COUNT];
    qe_counter dead_lettered[QE_FAIL_COUNT];
    struct qe_reason_stats *_Atomic reasons; /* registry's; only ever appended to */
    qe_counter redeliveries, duplicates_skipped, empty_receives, stale_settles,
        visibility_extensions, settle_failures;
    struct qe_histogram handling_seconds[QE_OUTCOME_COUNT];
    struct qe_histogram wait_seconds;
    struct qe_histogram receives;
    atomic_int_least64_t in_progress, workers, workers_busy;
    atomic_bool has_circuit;      /* a circuit breaker is configured: only then it is shown */
    atomic_int_least64_t circuit; /* enum qe_circuit */
    atomic_int_least64_t last_success_unix_ms; /* 0: none yet */
    /* For the age of the oldest message; written by the consumer's receiver alone, in this order
     * (so that no reader pairs an older message with a newer receive), and read through
     * qe_consumer_stats_observed_age(). Times are those that age counts from: when the message came
     * into this queue where the broker tells, else when it was sent. */
    atomic_int_least64_t oldest_in_hand_sent_unix_ms; /* 0: nothing in hand, or no time known */
    atomic_int_least64_t last_receive_oldest_sent_unix_ms; /* 0: it was empty, or no time known */
    atomic_int_least64_t last_receive_unix_ms; /* when the last good receive ended; 0: none yet */
};
/* Age in seconds of the oldest message that this consumer knows to be, or just to have been, in its
 * queue; < 0 when it knows of none. The older of
 *   - what it holds (received and not settled), as of now;
 *   - what its last receive brought, as of that receive, if that was at most `within_ms` ago. Not
 * as of now: that message may be settled by now, and nothing ages after its end. A true bound from
 * below, since the broker may keep older ones that it did not hand out. An empty receive says
 * nothing here: that nothing is ready is no proof that nothing is in flight or delayed, and the
 * broker's own counts say which. skew_ms: the broker's clock, which the messages' times are of,
 * minus ours. Any thread. */
double qe_consumer_stats_observed_age(const struct qe_consumer_stats *stats, int64_t now_unix_ms,
                                      int64_t skew_ms, int64_t within_ms);

/* Messages that left the queue for good through this consumer: succeeded or dead-lettered. */
uint64_t qe_consumer_stats_settled(const struct qe_consumer_stats *stats);

/* Requests to one source's API, by operation. The driver owns the names (static). */
#define QE_API_OPERATIONS_MAX 24
#define QE_API_SERVICES_MAX 4
#define QE_STRETCH_NONE_PERMILLE 1000
struct qe_api_stats {
    struct qe_api_stats *_Atomic next; /* registry's */
    char *source;                      /* owned */
    atomic_bool active;
    const char *const *operations; /* borrowed, static */
    size_t operations_count;
    qe_counter requests[QE_API_OPERATIONS_MAX];
    qe_counter failures[QE_API_OPERATIONS_MAX][QE_ERR_COUNT];
    struct qe_histogram duration_seconds[QE_API_OPERATIONS_MAX];
    qe_counter retries, throttles;
    /* What the broker's owner charges for, by service. Names are static; none: free of charge, and
     * no series. */
    const char *const *services;
    size_t services_count;
    qe_counter billable_requests[QE_API_SERVICES_MAX];
    qe_counter cost_nanodollars[QE_API_SERVICES_MAX];
    /* QE_STRETCH_NONE_PERMILLE at first; 2500: read 2.5 times less often, to stay within the
     * budget. By service. */
    atomic_int_least64_t interval_stretch_permille[QE_API_SERVICES_MAX];
    atomic_int_least64_t monthly_budget_microdollars; /* 0: none is set, and no series */
    atomic_bool has_clock_skew;                       /* an answer told the broker's time */
    atomic_int_least64_t clock_skew_ms;               /* the broker's clock minus ours */
    atomic_bool has_credentials;                      /* credentials are in use that expire */
    atomic_int_least64_t credentials_expiry_unix_ms;
    atomic_bool renews_credentials; /* renewing is a thing here: the counter of failures is shown */
    atomic_int_least64_t credentials_refresh_failures; /* a total, as its owner counts it */
};
/* One billable request (or several units of one), with its price. Dollars are kept in whole
 * nanodollars: a request of 0.40 per million is 400 of them. Any thread; stats NULL: not counted.
 */
void qe_api_stats_bill(struct qe_api_stats *stats, size_t service, double units, double dollars);
/* Counts one finished request. code QE_OK is success; QE_ERR_CANCELLED counts as a request, not as
 * a failure. */
void qe_api_stats_count(struct qe_api_stats *stats, size_t operation, enum qe_err_code code,
                        double duration_seconds);

enum qe_http_handler {
    QE_HTTP_METRICS = 0,
    QE_HTTP_LANDING,
    QE_HTTP_HEALTHY,
    QE_HTTP_READY,
    QE_HTTP_RELOAD,
    QE_HTTP_CONFIG,
    QE_HTTP_OTHER,
    QE_HTTP_HANDLER_COUNT
};
const char *qe_http_handler_name(enum qe_http_handler handler);

#define QE_HTTP_CODES_COUNT 12
extern const unsigned qe_http_codes[QE_HTTP_CODES_COUNT]; /* every status our handlers send */

/* Of the whole process. */
struct qe_process_stats {
    qe_counter http_requests[QE_HTTP_HANDLER_COUNT][QE_HTTP_CODES_COUNT];
    atomic_bool config_last_reload_successful;
    atomic_int_least64_t config_last_reload_success_unix_ms; /* 0: never loaded */
};
void qe_process_stats_count_http(struct qe_process_stats *stats, enum qe_http_handler handler,
                                 unsigned code);

/* The registry. new/destroy on the main thread; the getters from any thread; destroy after every
 * user stopped. */
struct qe_stats;
struct qe_stats *qe_stats_new(struct qe_err *err) QE_MUST_CHECK;
void qe_stats_destroy(struct qe_stats *stats); /* accepts NULL */
/* Finds or creates; the result lives as long as the registry. */
struct qe_consumer_stats *qe_stats_consumer(struct qe_stats *stats, const char *source,
                                            const char *vhost, const char *queue,
                                            struct qe_err *err) QE_MUST_CHECK;
#define QE_REASONS_MAX                                                                             \
    100 /* per consumer, over the life of the process: reloads may bring others */
/* Makes sure that the consumer has a series of each reason; names are copied. QE_ERR_LIMIT past
 * QE_REASONS_MAX. Main thread. */
int qe_stats_add_reasons(struct qe_consumer_stats *consumer, const char *const *names, size_t count,
                         struct qe_err *err) QE_MUST_CHECK;
/* The counters of that reason; NULL: there is none such, and the closed set counts it. Any thread.
 */
struct qe_reason_stats *qe_consumer_stats_reason(struct qe_consumer_stats *consumer,
                                                 const char *name);
/* What a driver does and what its owner charges for. Names are static. */
struct qe_api_names {
    const char *const *operations;
    size_t operations_count;
    const char *const *services; /* NULL-terminated; NULL: nothing */
};
/* Finds or creates, by source and operations; QE_ERR_LIMIT past QE_API_OPERATIONS_MAX or
 * QE_API_SERVICES_MAX. */
struct qe_api_stats *qe_stats_api(struct qe_stats *stats, const char *source,
                                  const struct qe_api_names *names,
                                  struct qe_err *err) QE_MUST_CHECK;
struct qe_process_stats *qe_stats_process(struct qe_stats *stats);
/* Heads of the lists, sorted by (source, vhost, queue); walk with ->next and skip what is not
 * active. */
const struct qe_consumer_stats *qe_stats_first_consumer(const struct qe_stats *stats);
/* One step of a walk over all queues of a source, in the order of a queue set, beside the
 * consumers: *at starts as qe_stats_first_consumer(). Returns the active consumer of that queue, or
 * NULL. */
const struct qe_consumer_stats *qe_stats_walk(const struct qe_consumer_stats **at,
                                              const char *source, const char *vhost,
                                              const char *queue);
const struct qe_api_stats *qe_stats_first_api(const struct qe_stats *stats);

#endif
