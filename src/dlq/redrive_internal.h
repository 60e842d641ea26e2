/* One redrive that runs: redrive.c (the loop), redrive_receive.c (what comes), redrive_order.c
 * (groups), redrive_end.c (settling, and what is left at the end). */
#ifndef QE_DLQ_REDRIVE_INTERNAL_H
#define QE_DLQ_REDRIVE_INTERNAL_H

#include "dlq/aside.h"
#include "dlq/destination.h"
#include "dlq/redrive.h"
#include "util/text.h"

#define QE_REDRIVE_LOT_MAX 100
#define QE_REDRIVE_ID_BYTES 160

/* What is still to be done with a message of the lot. */
enum qe_redrive_fate {
    QE_FATE_DONE = 0,
    QE_FATE_SEND,
    QE_FATE_DELETE,      /* it is sent */
    QE_FATE_DELETE_AGAIN /* it was sent in an earlier lot */
};

/* When a message of the lot may be sent, for the order of its group. */
enum qe_redrive_turn {
    QE_TURN_NOW = 0,
    QE_TURN_LATER, /* with another bite: one of its group is in this one */
    QE_TURN_NEVER  /* an earlier one of its group stays */
};

struct qe_redrive {
    const struct qe_redrive_options *options;
    struct qe_redrive_result *out;
    struct qe_dlq_origins origins;
    struct qe_aside aside;
    struct qe_dlq_intake intake;
    int64_t start_unix_ms;
    int64_t start_mono_ms;
    bool is_stopping;     /* the caller wants to stop */
    int64_t stop_mono_ms; /* when settling ends then, unless something is answered; 0: not set */
    uint64_t tried;
    size_t lot_max;
    size_t bite_max;    /* of the lot, sent and deleted in one go */
    size_t fresh_count; /* of the lot: not seen before */
    struct qe_message_list lot;

    /* Owned; parallel to the lot, with room for room_count messages. */
    size_t room_count;
    enum qe_redrive_fate *fates;
    const struct qe_queue **targets;
    struct qe_attributes *attributes;
    char (*deduplication_ids)[QE_REDRIVE_ID_BYTES];
    /* Owned; in the order of one call. */
    size_t *picked; /* which of the lot */
    struct qe_outgoing *outgoing;
    struct qe_settlement *settlements;
};

/* Before the first lot. */
void qe_redrive_receive_begin(struct qe_redrive *run);
/* How many may be received now; 0: no more are wanted, or the caller wants to stop. */
size_t qe_redrive_next_lot(struct qe_redrive *run);
/* Up to `count` messages into the lot; none: the queue was found empty, and out->rest says what is
 * in it all the same. */
int qe_redrive_receive(struct qe_redrive *run, size_t count, struct qe_err *err) QE_MUST_CHECK;
/* Of the lot's message `index`, when the first `picked_count` of run->picked are of this bite.
 * Drivers hand out one message of an ordered group at a time; this is for the group whose
 * dead-letter queue keeps no order, while the target may. */
enum qe_redrive_turn qe_redrive_turn_of(const struct qe_redrive *run, size_t index,
                                        size_t picked_count);
/* Room for the lot: a receive may bring more than it was asked for. */
int qe_redrive_make_room(struct qe_redrive *run, struct qe_err *err) QE_MUST_CHECK;
/* Settles the first `count` settlements, and those that failed again. */
void qe_redrive_settle(struct qe_redrive *run, size_t count);
/* After qe_redrive_settle(): notes when this release has failed. */
void qe_redrive_note_release(struct qe_redrive *run, const struct qe_settlement *settlement);
/* Waits until then, and notes a wish to stop: false. */
bool qe_redrive_pause(struct qe_redrive *run, int64_t until_mono_ms);
/* Notes one failure of a call that concerns no single message. True: it is worth another try, and a
 * pause was made. */
bool qe_redrive_try_again(struct qe_redrive *run, unsigned tries, enum qe_err_code code);
/* Gives back what is aside, deletes what could not be deleted before, and frees everything. */
void qe_redrive_end(struct qe_redrive *run);

#endif
