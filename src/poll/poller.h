/* One thread per source: list, sample, publish, on an interval with jitter and a deadline. */
#ifndef QE_POLL_POLLER_H
#define QE_POLL_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "model/directory.h"
#include "model/store.h"
#include "util/err.h"
#include "util/regex.h"

/* Adds the links and marks of dead-letter queues that the driver does not know of to the queues
 * that it listed. */
typedef int qe_links_fn(const void *context, const char *source, struct qe_queue_list *list,
                        struct qe_err *err);

/* All borrowed pointers outlive the poller. */
struct qe_poller_options {
    const char *source;
    const struct qe_driver *driver;
    const void *driver_settings;
    struct qe_api_stats *api_stats; /* may be NULL */
    /* Where our own consumers of this source tell what they see; NULL: there are none. */
    const struct qe_stats *stats;
    int64_t poll_interval_ms;
    int64_t poll_timeout_ms;
    int64_t discovery_interval_ms;
    int64_t state_window_ms; /* as in struct qe_poll_report */
    uint64_t max_queues;
    struct qe_regex *const *include; /* none: everything */
    size_t include_count;
    struct qe_regex *const *exclude;
    size_t exclude_count;
    qe_objective_fn *objective; /* may be NULL */
    const void *objective_context;
    struct qe_directory *directory; /* gets each list's queues; may be NULL */
    qe_links_fn *links;             /* may be NULL */
    const void *links_context;
    uint64_t jitter_seed; /* 0: from the kernel */
};

struct qe_poller;

/* Starts the thread; the first poll begins at once. The slot's publisher is this poller until
 * destroy. */
struct qe_poller *qe_poller_new(const struct qe_poller_options *options, struct qe_slot *slot,
                                struct qe_err *err) QE_MUST_CHECK;
/* Asks the thread to end and interrupts its driver; any thread; returns at once. */
void qe_poller_stop(struct qe_poller *poller);
/* Waits for its end, which a call that does not come back can delay. False: the time has come. Any
 * thread. */
bool qe_poller_wait(struct qe_poller *poller, int64_t deadline_mono_ms);
/* Stops, joins, frees; accepts NULL. Waits for a call that hangs, however long: see
 * qe_poller_wait().
 */
void qe_poller_destroy(struct qe_poller *poller);

#endif
