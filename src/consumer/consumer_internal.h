/* The consumer's parts among themselves: consumer.c (life), receiver.c (the loop), intake.c (what
 * it receives), settle.c (what it tells the broker), worker.c (running the handler).
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

#include "consumer/consumer.h"
#include "consumer/verdict.h"
#include "util/repeat.h"

#define QE_CONSUMER_WORKERS_MAX 1024
/* What is billed per call is settled in lots of ten, which is what brokers take at once. */
#define QE_SETTLE_BATCH 10
#define QE_SETTLE_WAIT_MS 20
/* One settle or extend call; the driver needs far less when the broker is well. */
#define QE_CONSUMER_CALL_MS 5000
/* After the stop deadline: for handlers to notice, and for the last settlements. */
#define QE_CONSUMER_GRACE_MS 1000

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
    int64_t give_back_mono_ms; /* WAITING: released when no worker took it until then */
    /* Written by the worker under lock, read by the receiver from DONE on. */
    struct qe_handled handled;
    bool skipped; /* its delivery lapsed before a worker was free: not handled */
    int64_t started_mono_ms;
    int64_t handling_deadline_mono_ms;
    double handling_seconds;
    /* The receiver's own. */
    int64_t visibility_ms; /* as delivered; what an extension asks for */
    int64_t extend_at_mono_ms;
    bool timed_out; /* cancelled at its handling deadline: no longer extended */
    bool stopped;   /* cancelled because the consumer stops */
    struct qe_verdict verdict;
    bool in_batch; /* SETTLING: waits for others, to be settled with them */
    int64_t settle_at_mono_ms;
    unsigned settle_attempts;
};

struct qe_consumer {
    struct qe_consumer_options options; /* what it points at is borrowed, but handler_self */
    struct qe_deps deps;
    struct qe_queue queue; /* the receiver's; owned */

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
    size_t waiting_count;
    size_t running_count;
    size_t done_count;
    size_t batch_open_count; /* the receiver is inside receive() until so many are settled; 0: no
                                batch is open */
    double handling_mean_ms; /* moving; < 0: nothing handled yet */

    /* The receiver's own. */
    struct qe_job *jobs; /* owned */
    size_t jobs_count;
    size_t in_hand_count;              /* not FREE */
    size_t in_hand_bytes;              /* bodies */
    size_t batch_count;                /* jobs in_batch */
    int64_t settle_wait_ms;            /* how long a batch waits for more; 0: not at all */
    int64_t oldest_unix_ms;            /* what age counts from, of the oldest in hand; 0 none */
    bool oldest_is_gone;               /* oldest_unix_ms is to be found anew */
    struct qe_settlement *settlements; /* owned; room for all jobs, as the two below */
    struct qe_job **picked;
    struct qe_message_list incoming;
    struct qe_random random;
    int64_t next_receive_mono_ms; /* backing off until then */
    uint64_t receive_failures_in_row;
    bool said_stuck;
    struct qe_repeat receive_trouble;
    struct qe_repeat settle_trouble;
    struct qe_repeat extend_trouble;
    struct qe_repeat dead_letter_trouble;

    pthread_t receiver;
    bool receiver_started;
    struct qe_worker *workers; /* owned */
    size_t workers_started;
};

struct qe_worker {
    struct qe_consumer *consumer; /* borrowed */
    uint64_t index;
    pthread_t thread;
};

/* Threads' bodies. */
void *qe_receiver_main(void *argument); /* a struct qe_consumer */
void *qe_worker_main(void *argument);   /* a struct qe_worker */

/* --- receiver's thread only --- */

/* Makes jobs of what was received, and tells its age. */
void qe_intake_accept(struct qe_consumer *consumer);
/* A whole long poll has brought nothing. */
void qe_intake_note_empty(struct qe_consumer *consumer);
/* The message is about to be forgotten. */
void qe_intake_note_gone(struct qe_consumer *consumer, const struct qe_message *message);
/* Tells the age of the oldest in hand, if that may have changed. */
void qe_intake_tell_oldest(struct qe_consumer *consumer);

/* Takes over what workers finished: counts it and decides what becomes of it. */
void qe_settle_collect(struct qe_consumer *consumer);
/* Marks a job that was never handled to be given back at once. The caller holds no lock. */
void qe_settle_give_back(struct qe_consumer *consumer, struct qe_job *job);
/* Tells the broker everything that is decided and due, in one call. Where calls cost money what is
 * decided waits up to QE_SETTLE_WAIT_MS for company, until there are QE_SETTLE_BATCH of it. */
void qe_settle_due(struct qe_consumer *consumer, int64_t now_mono_ms);
/* Extends the deliveries whose handlers still run and that have used up half of their time. */
void qe_settle_extend_due(struct qe_consumer *consumer, int64_t now_mono_ms);
/* Forgets jobs that could not be settled; their deliveries lapse. */
void qe_settle_abandon(struct qe_consumer *consumer);
/* One line about a failure, unless it said the same a moment ago. */
void qe_consumer_log_trouble(struct qe_consumer *consumer, struct qe_repeat *repeat,
                             const char *what, const struct qe_err *err);

#endif
