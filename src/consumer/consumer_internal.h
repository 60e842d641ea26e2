/* The consumer's parts among themselves: consumer.c (life), receiver.c (the loop), handle.c (the
 * driver's), room.c (how much it receives), intake.c (what it receives), order.c (what a group
 * waits for), line.c (what waits for a worker), worker.c (running the handler), outcome.c (what
 * becomes of it), hold.c (what that means for its group), once.c (duplicates), forward.c (letters
 * and replies of its own), settle.c (what it tells the broker), extend.c (keeping what runs).
 * README.md shows them along the life of one message.
 *
 * The receiver does every driver call. A job goes FREE -> WAITING -> RUNNING -> DONE -> SETTLING ->
 * FREE; a worker makes only the two steps around the handler, the receiver all others. So an
 * extension can never follow a settlement: one thread does both, and extends RUNNING jobs only. */
#ifndef QE_CONSUMER_CONSUMER_INTERNAL_H
#define QE_CONSUMER_CONSUMER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/breaker.h"
#include "consumer/bucket.h"
#include "consumer/consumer.h"
#include "consumer/dedup_store.h"
#include "consumer/memory.h"
#include "consumer/order.h"
#include "consumer/turns.h"
#include "consumer/verdict.h"
#include "util/repeat.h"

#define QE_CONSUMER_WORKERS_MAX 1024
/* What is billed per call is settled in lots of ten, which is what brokers take at once. */
#define QE_SETTLE_BATCH 10
#define QE_SETTLE_WAIT_MS 20
/* In one call; what is due beyond is extended by the next one. */
#define QE_EXTENSIONS_MAX 100
/* One settle, extend or send call; the driver needs far less when the broker is well. */
#define QE_CONSUMER_CALL_MS 5000
/* After the stop deadline: for handlers to notice, and for the last settlements. */
#define QE_CONSUMER_GRACE_MS 1000
/* A message that waits longer for a worker is given back, for another consumer to take. */
#define QE_WAIT_FOR_WORKER_MS 5000

enum qe_job_state {
    QE_JOB_FREE = 0,
    QE_JOB_WAITING,
    QE_JOB_RUNNING,
    QE_JOB_DONE,
    QE_JOB_SETTLING
};

/* One message in hand. */
struct qe_job {
    struct qe_job *next;       /* in the line of waiting jobs; guarded by lock */
    enum qe_job_state state;   /* guarded by lock */
    struct qe_message message; /* owned; the worker reads it while RUNNING */
    atomic_bool cancelled;     /* set by the receiver, read by the handler */
    int64_t queued_mono_ms;    /* WAITING: since then */
    int64_t give_back_mono_ms; /* WAITING: released when no worker took it until then */
    const char *group; /* what it is kept in order with; borrowed from message; NULL: none */
    uint64_t group_hash;
    struct qe_order_name name; /* as the one below, only where there is a group */
    uint64_t rank;             /* in its group those with a lower one come first */
    bool is_aside;             /* WAITING: for one before it that is not here; guarded by lock */
    /* Written by the worker under lock, read by the receiver from DONE on. */
    struct qe_handled handled; /* its reply is owned */
    bool skipped;              /* its delivery lapsed before a worker was free: not handled */
    int64_t started_mono_ms;   /* 0: not yet */
    int64_t handling_deadline_mono_ms;
    double handling_seconds;
    /* The receiver's own. */
    int64_t received_unix_ms;
    int64_t visibility_ms; /* as delivered; what an extension asks for */
    int64_t extend_at_mono_ms;
    bool timed_out; /* cancelled at its handling deadline: no longer extended */
    bool stopped;   /* cancelled because the consumer stops */
    bool acked; /* at most once: the broker has forgotten it, only the handler has not seen it */
    /* Effectively once. */
    char *key;      /* owned; NULL: none */
    int64_t token;  /* of its claim */
    bool claimed;   /* the claim is to be finished before it is settled */
    bool duplicate; /* had been handled already */
    int64_t renew_at_mono_ms;
    int64_t claim_lapse_mono_ms; /* somebody else may have the key from then on */
    uint64_t number;             /* DONE, SETTLING: which was so first; guarded by lock */
    /* SETTLING. */
    bool has_verdict; /* just received, and decided already: not to be handled */
    struct qe_verdict verdict;
    bool ack_first;             /* at most once: it is handled when this acknowledgement is in */
    bool letter_due;            /* to be sent to the consumer's own dead-letter queue before */
    bool reply_due;             /* as is its reply */
    size_t reply_bytes;         /* of it, as in_hand_bytes counts it */
    struct qe_attributes notes; /* owned; for the dead letter */
    bool is_holding;            /* those of its group that came after it wait for it */
    bool follows;               /* it goes back only because another one does */
    bool is_delayed;            /* it went back, and the broker has taken its delay */
    bool in_batch;              /* waits for others, to be settled with them */
    int64_t settle_at_mono_ms;
    unsigned settle_attempts;
};

/* One place of a table of groups, which a pass over the line fills anew. */
struct qe_met {
    const struct qe_job *job; /* the first of its group in this pass */
    uint64_t pass;            /* an older one: the place is free */
};

struct qe_consumer {
    struct qe_consumer_options options; /* what it points at is borrowed, but handler_self */
    struct qe_deps deps;
    struct qe_queue queue;   /* the receiver's; owned */
    struct qe_queue letters; /* the receiver's; owned: the consumer's own dead-letter queue */

    /* Guards everything in this block. Held across interrupt(), which does not block, so that a
     * handle is never interrupted after its end; across no other call. */
    pthread_mutex_t lock;
    pthread_cond_t work; /* line is not empty, or workers_end */
    pthread_cond_t wake; /* for the receiver: a job is done, or stopping */
    bool stopping;
    int64_t stop_deadline_mono_ms;
    bool workers_end;
    bool receiving; /* the receiver is inside receive(): interrupt it to be heard */
    bool lingering; /* the receiver waits for the last of a fast lot: one signal is enough */
    void *handle;   /* owned; NULL: not open. Only the receiver changes it */
    struct qe_job *line_first;
    struct qe_job *line_last;
    uint64_t line_rank;     /* the highest that was ever put in line */
    struct qe_order *order; /* owned; NULL: nothing is kept in order. The receiver may read it
                               without the lock: nobody else writes */
    struct qe_met *met;     /* owned; NULL: nothing is kept in order */
    size_t met_count;       /* a power of two, and more than twice as many as there are jobs */
    uint64_t pass;
    size_t waiting_count;
    size_t aside_count; /* of them, those that were put aside */
    size_t running_count;
    size_t done_count;
    uint64_t numbers;        /* given to jobs so far */
    size_t batch_open_count; /* the receiver is inside receive() until so many are settled; 0: no
                                batch is open */
    double handling_mean_ms; /* per message, moving; < 0: nothing handled yet */

    /* The receiver's own. */
    struct qe_job *jobs; /* owned */
    size_t jobs_count;
    size_t in_hand_count;              /* not FREE */
    size_t in_hand_bytes;              /* bodies, and replies that are not sent yet */
    size_t usual_bytes;                /* of a body: the largest lately */
    size_t usual_reply_bytes;          /* the same of a reply */
    size_t batch_count;                /* jobs in_batch */
    int64_t settle_wait_ms;            /* how long a batch waits for more; 0: not at all */
    int64_t oldest_unix_ms;            /* what age counts from, of the oldest in hand; 0 none */
    bool oldest_is_gone;               /* oldest_unix_ms is to be found anew */
    struct qe_settlement *settlements; /* owned; room for all jobs, as the three below */
    struct qe_dedup_claim *claims;
    struct qe_job **picked;
    struct qe_extension *extensions; /* owned; QE_EXTENSIONS_MAX */
    struct qe_message_list incoming;
    struct qe_bucket bucket;
    struct qe_breaker breaker;
    struct qe_memory memory;
    struct qe_dedup_store *once; /* owned; NULL: duplicates are not looked for */
    bool once_works;             /* its last call did */
    struct qe_turn turn;         /* guarded by turns */
    bool has_begun;              /* nobody from before a reload is in the way */
    bool said_waiting;
    struct qe_random random;
    int64_t next_receive_mono_ms;  /* backing off until then */
    int64_t trouble_until_mono_ms; /* our own: so long nothing is received for it */
    uint64_t troubles_in_row;
    int64_t tend_mono_ms;       /* the driver wants a call by then; INT64_MAX: it does not */
    bool is_paused;             /* the driver holds nothing ahead of a receive */
    int64_t received_mono_ms;   /* the end of the last receive */
    uint64_t directory_version; /* of the set that was heeded last; 0: none was */
    bool queue_is_listed;       /* in that */
    bool letters_are_listed;
    int64_t patience_mono_ms; /* so long the source's first list is waited for; 0: it was not yet */
    int64_t find_mono_ms;     /* the queue is to be asked for again; INT64_MAX: it is known, or the
                                 directory will tell */
    int64_t find_pause_ms;    /* after a list of our own that took long; 0: none did */
    uint64_t receive_failures_in_row;
    int64_t next_open_mono_ms; /* with something in hand: the handle is not opened again before */
    uint64_t open_failures_in_row;
    bool said_stuck;
    struct qe_repeat receive_trouble;
    struct qe_repeat settle_trouble;
    struct qe_repeat delay_trouble;
    struct qe_repeat extend_trouble;
    struct qe_repeat dead_letter_trouble;
    struct qe_repeat once_trouble;
    struct qe_repeat key_trouble;
    struct qe_repeat unwritten_trouble;
    struct qe_repeat reply_trouble;
    struct qe_repeat loss_trouble;
    struct qe_repeat own_trouble;
    struct qe_repeat handler_trouble;
    struct qe_repeat refused_trouble;

    pthread_t receiver;
    bool receiver_started;
    struct qe_worker *workers; /* owned */
    size_t workers_started;
};

struct qe_worker {
    struct qe_consumer *consumer; /* borrowed */
    uint64_t index;
    pthread_t thread;
    /* Owned; room for one batch. */
    struct qe_job **jobs;
    const struct qe_message **messages;
    struct qe_handled *handled;
};

/* With the lock held: leaves RUNNING or the line, behind all that have. */
void qe_job_leave(struct qe_consumer *consumer, struct qe_job *job, enum qe_job_state state);
/* Orders picked[0..count) as they left. */
void qe_job_sort(struct qe_consumer *consumer, size_t count);

/* Threads' bodies. */
void *qe_receiver_main(void *argument); /* a struct qe_consumer */
void *qe_worker_main(void *argument);   /* a struct qe_worker */

/* --- handle.c; receiver's thread --- */

/* The source's first list is about to come, and spares us one of our own. Not for long. */
bool qe_handle_awaits_list(struct qe_consumer *consumer, int64_t now_mono_ms);
int qe_handle_open(struct qe_consumer *consumer, struct qe_err *err) QE_MUST_CHECK;
void qe_handle_close(struct qe_consumer *consumer); /* none is fine */
/* Takes over what the source's newest list says of our queues. Before anything is settled: what is
 * in hand may have come while that changed. */
void qe_handle_heed(struct qe_consumer *consumer, int64_t now_mono_ms);
/* Until a list elsewhere is asked for again that failed after so long: longer each time, where it
 * takes its time. Pure. */
int64_t qe_handle_list_pause_ms(int64_t before_ms, int64_t took_ms);
/* What the driver has to do by the clock. */
void qe_handle_tend(struct qe_consumer *consumer, int64_t now_mono_ms);
/* Asks for the queues that the source's poller does not list, when it is time: seconds may pass. */
void qe_handle_ask(struct qe_consumer *consumer, int64_t now_mono_ms);
/* Where nothing is received for a while, what a driver holds ahead is for others to take: it is
 * told so then, or at once. */
void qe_handle_pause(struct qe_consumer *consumer, bool at_once, int64_t now_mono_ms);
/* No receive follows: at once, and with what is on its way here. */
void qe_handle_halt(struct qe_consumer *consumer, int64_t now_mono_ms);
/* Nothing is in hand any more: what the driver still holds goes back in order, before the handle's
 * end would give it back in its way. */
void qe_handle_give_back(struct qe_consumer *consumer);
/* When that is due; INT64_MAX: it is not. */
int64_t qe_handle_pause_mono_ms(const struct qe_consumer *consumer);

/* --- line.c; all with the lock held --- */

/* Behind all that are there, but in its group by rank. What waited for it there does so no more. */
void qe_line_put(struct qe_consumer *consumer, struct qe_job *job);
/* When a worker may begin: at once when a whole batch is there or none is asked for, later when a
 * part of one waits for company; INT64_MAX: nothing is there to begin with. */
int64_t qe_line_ready_mono_ms(struct qe_consumer *consumer);
/* Takes the first ones, up to a batch; of each ordered group one, and none of a group that is in
 * work, or where one with a lower rank is not here. They are RUNNING from here on. */
size_t qe_line_take(struct qe_consumer *consumer, struct qe_job **out_jobs);
/* Takes out the job; false: it is not in line. */
bool qe_line_remove(struct qe_consumer *consumer, const struct qe_job *job);
/* Of a group's name; not for security. */
uint64_t qe_line_hash(const char *name);
/* The two parts of a message's name. Not for security. */
uint64_t qe_line_id_hash(const struct qe_message *message);
uint64_t qe_line_content_hash(const struct qe_message *message);
/* The next of the job's group may begin. */
void qe_line_leave_group(struct qe_consumer *consumer, const struct qe_job *job);

/* --- room.c; receiver's thread --- */

/* With the lock held: how many more messages may be received. */
size_t qe_room_messages(struct qe_consumer *consumer, int64_t now_mono_ms);
/* When there may be room again without anything being finished; INT64_MAX: not by waiting. */
int64_t qe_room_ready_mono_ms(const struct qe_consumer *consumer, int64_t now_mono_ms);
/* With the lock held: one more of those in hand may be put aside, where `aside` are; what it waits
 * for still has room then. */
bool qe_room_aside(const struct qe_consumer *consumer, size_t aside);
/* So many, with bodies up to so large, have been received. */
void qe_room_note_received(struct qe_consumer *consumer, size_t count, size_t largest_bytes);
/* A message is done, and has so long a reply; 0: none. */
void qe_room_note_reply(struct qe_consumer *consumer, size_t bytes);
/* One of them is back at the broker, and no handler saw it: the rate is one of handling. */
void qe_room_note_unhandled(struct qe_consumer *consumer);
/* What the handler made of a message: for the circuit breaker, and for a pause where the handler
 * could not be given it. */
void qe_room_note_outcome(struct qe_consumer *consumer, const struct qe_handled *handled);

/* --- all below: receiver's thread only --- */

/* Makes jobs of what was received, and tells its age. */
void qe_intake_accept(struct qe_consumer *consumer);
/* A whole long poll has brought nothing. */
void qe_intake_note_empty(struct qe_consumer *consumer);
/* The message is about to be forgotten. */
void qe_intake_note_gone(struct qe_consumer *consumer, const struct qe_message *message);
/* Tells the age of the oldest in hand, if that may have changed. */
void qe_intake_tell_oldest(struct qe_consumer *consumer);

/* Takes over what workers finished: counts it and decides what becomes of it. */
void qe_outcome_collect(struct qe_consumer *consumer);
/* The job has its reply, which takes room as a body does: for a broker that takes none it may wait
 * long. */
void qe_outcome_count_reply(struct qe_consumer *consumer, struct qe_job *job);
/* What was acknowledged before it was handled has failed, or was never begun. */
void qe_outcome_say_lost(struct qe_consumer *consumer, const struct qe_job *job, const char *why);
/* Decides that a job which was never handled is given back, available again after the delay. */
void qe_outcome_give_back(struct qe_job *job, int64_t delay_ms);
/* A job that came too often, and is not decided, is dead-lettered and not handled; where that
 * cannot be done, it is handled as any other. */
void qe_outcome_refuse(struct qe_consumer *consumer, struct qe_job *job);
/* The consumer stops, and the handlers of what still runs ignore it: their messages are for others
 * to take, and a consumer after this one waits for it no more, but for their groups. */
void qe_outcome_let_go(struct qe_consumer *consumer);
/* A message that belongs into a dead-letter queue, and there is none. */
void qe_outcome_lacks_dead_letter_queue(struct qe_consumer *consumer, struct qe_job *job,
                                        const struct qe_err *err);

/* --- hold.c --- */

/* With the lock held: a job that came, and is not decided, waits for those of its group before it
 * that are not here: aside, or where that is no use, at the broker. *aside: how many are. */
void qe_hold_heed(struct qe_consumer *consumer, struct qe_job *job, size_t *aside);
/* With the lock held: one that no worker has begun goes back, and holds those after it. */
void qe_hold_give_back(struct qe_consumer *consumer, struct qe_job *job, int64_t delay_ms);
/* For how long one goes back that was put aside. */
int64_t qe_hold_delay_ms(const struct qe_consumer *consumer, const struct qe_job *job);
/* What is decided holds those after the job in its ordered group, if it is to be released: until it
 * is back. */
void qe_hold_group(struct qe_consumer *consumer, struct qe_job *job);
/* The same, but none that is in line is given back for it. Again once the broker has been told,
 * since its delay begins then. */
void qe_hold_next(struct qe_consumer *consumer, struct qe_job *job);
/* The job does not come back after all. Those in line may begin once it has left its group. */
void qe_hold_no_more(struct qe_consumer *consumer, struct qe_job *job);
/* Nothing is told to the broker of the job any more: it comes again when its delivery has lapsed,
 * and those after it in its ordered group wait until then. */
void qe_hold_until_lapse(struct qe_consumer *consumer, const struct qe_job *job);
/* A receive has ended, and what it brought has been seen to. What does not come back is waited for
 * no more. */
void qe_hold_note_receive(struct qe_consumer *consumer, int64_t began_mono_ms, bool is_full);

/* --- once.c --- */

/* False: the store does not work, and nothing is to be received until next_receive_mono_ms. */
bool qe_once_ready(struct qe_consumer *consumer, int64_t now_mono_ms);
/* Of the jobs picked[0..count), just received: claims their keys, or decides what becomes of those
 * that are not to be handled, which then have a verdict: true. */
void qe_once_admit(struct qe_consumer *consumer, size_t count);
/* Finishes the claims of picked[0..count), all at once, before they are settled. -1: none was. */
int qe_once_finish(struct qe_consumer *consumer, size_t count, struct qe_err *err) QE_MUST_CHECK;
/* Keeps the claims of what runs or waits. */
void qe_once_renew_due(struct qe_consumer *consumer, int64_t now_mono_ms);

/* --- forward.c --- */

/* Sends what is due of the job: its letter, its reply. -1: it is not to be settled yet. */
int qe_forward(struct qe_consumer *consumer, struct qe_job *job, int64_t deadline_mono_ms,
               struct qe_err *err) QE_MUST_CHECK;
/* Fills the job's notes, as far as memory allows. */
void qe_forward_note(struct qe_consumer *consumer, struct qe_job *job);

/* --- settle.c --- */

/* Tells the broker everything that is decided and due, in one call. Where calls cost money what is
 * decided waits up to QE_SETTLE_WAIT_MS for company, until there are QE_SETTLE_BATCH of it. */
void qe_settle_due(struct qe_consumer *consumer, int64_t now_mono_ms);
/* Of a call that settles something. A consumer that stops has until its stop deadline and a moment
 * more. */
int64_t qe_settle_deadline_mono_ms(struct qe_consumer *consumer, int64_t now_mono_ms);
/* Forgets jobs that could not be settled; their deliveries lapse, and their groups wait for it. */
void qe_settle_abandon(struct qe_consumer *consumer);

/* --- extend.c --- */

/* Extends the deliveries whose handlers still run and that have used up half of their time. */
void qe_extend_due(struct qe_consumer *consumer, int64_t now_mono_ms);

/* One line about a failure, unless it said the same a moment ago; and about its end. */
void qe_consumer_log_trouble(struct qe_consumer *consumer, struct qe_repeat *repeat,
                             const char *what, const struct qe_err *err);
void qe_consumer_log_recovery(struct qe_consumer *consumer, struct qe_repeat *repeat,
                              const char *what);

#endif
