/* What becomes of canaries, told from how many messages there are: for brokers where looking at
 * messages takes them from those who are to handle them. */
#ifndef QE_QUEUECTL_REDRIVE_DEPTH_H
#define QE_QUEUECTL_REDRIVE_DEPTH_H

#include "queuectl/ctl.h"

/* Of the queues that the canaries go to; what goes elsewhere is watched less well. */
#define CTL_PLACES_MAX 64

/* UINT64_MAX: not known. */
struct ctl_depth {
    uint64_t at_hand; /* ready, and in flight: with SQS that is also what waits for its next try */
    uint64_t delayed; /* waits for its time: the queue's own, and all in the delay queues of its
                         vhost, which its queues share */
    uint64_t consumers;
    bool is_late; /* the broker does not know yet, since it has just begun or has a new leader */
};
#define CTL_DEPTH_UNKNOWN                                                                          \
    ((struct ctl_depth){.at_hand = UINT64_MAX, .delayed = UINT64_MAX, .consumers = UINT64_MAX})

struct ctl_place {
    const struct qe_queue *queue; /* borrowed */
    size_t canaries;              /* sent there; of a grave: found there */
    struct ctl_depth before;      /* the canaries */
    struct ctl_depth after;       /* they were watched: of several looks */
};

/* One look at `count` places: out[i] is of places[i]. `listed` knows the delay queues; NULL: there
 * are none. What cannot be read is not known. */
void ctl_depths_read(const struct ctl *ctl, const struct qe_queue_set *listed,
                     const struct ctl_place *places, size_t count, struct ctl_depth *out);
/* Adds a look to those of `all`: the fewest at hand, since a queue at work is empty now and then;
 * the most delayed, since what is tried again is not delayed now and then. */
void ctl_depth_merge(struct ctl_depth *all, const struct ctl_depth *look);
/* Says what may still wait of the canaries of `place`. False: by all that is known, nothing. */
bool ctl_depth_tell(const struct ctl *ctl, const struct ctl_place *place);

#endif
