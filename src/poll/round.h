/* One poll: open if needed, list if due, sample, publish. What the poller's thread does between two
 * sleeps. */
#ifndef QE_POLL_ROUND_H
#define QE_POLL_ROUND_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "poll/poller.h"
#include "poll/schedule.h"
#include "util/repeat.h"

struct qe_poller {
    struct qe_poller_options options; /* what it points at is borrowed */
    struct qe_slot *slot;             /* borrowed */
    struct qe_deps deps;
    pthread_t thread;
    /* Guards handle (the pointer), stopping and ended. Held across interrupt(), which does not
     * block, so that a handle is never interrupted after its end. */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* stopping or ended was set */
    bool stopping;
    bool ended;   /* the thread has nothing left to do */
    void *handle; /* owned; NULL: not open. Only the thread changes it */

    /* The thread's own. */
    struct qe_schedule schedule;
    struct qe_queue_set *set; /* acquired; NULL before the first good list */
    size_t queues_listed;
    size_t queues_dropped;
    size_t missing_count; /* queues the last sample found gone */
    /* Owned; parallel to set->items: the queue's last answer was a failure. With it a queue that is
     * not asked in every poll is not taken for recovered. NULL: none failed yet. */
    bool *failing;
    int64_t next_list_mono_ms;
    int64_t listed_mono_ms; /* when the last list succeeded */
    unsigned failures_in_row;
    bool was_up;
    const char *method;       /* static: in which way queues were read last; NULL: none is told */
    struct qe_repeat whole;   /* the poll as a whole */
    struct qe_repeat partial; /* single queues */
    struct qe_repeat facts;   /* what is missing of queues that are well */
    struct qe_repeat publish;
};

/* Never fails: what goes wrong is published, counted and logged. */
void qe_poll_round(struct qe_poller *poller);
/* Closes the driver's handle, if open. Thread: the poller's. */
void qe_poll_close(struct qe_poller *poller);
bool qe_poll_is_stopping(struct qe_poller *poller);

#endif
