/* One thread that runs jobs one after the other: what may take long must not hold up the thread
 * that serves scrapes. */
#ifndef QE_HTTP_WORKER_H
#define QE_HTTP_WORKER_H

#include <stdbool.h>

#include "util/err.h"

/* Part of the caller's own struct, which lives until run has returned. */
struct qe_worker_job {
    struct qe_worker_job *next; /* the worker's */
    /* Worker thread; the job is the caller's again from the call on. cancelled: the worker is
     * stopping, so end it quickly. */
    void (*run)(struct qe_worker_job *job, bool cancelled);
};

struct qe_worker;

struct qe_worker *qe_worker_new(struct qe_err *err) QE_MUST_CHECK;
/* Waits for the job that runs, runs the waiting ones as cancelled, joins; accepts NULL, twice is
 * fine. Others may go on submitting, in vain. */
void qe_worker_stop(struct qe_worker *worker);
void qe_worker_destroy(struct qe_worker *worker); /* stops first; accepts NULL */
/* Any thread. False when stopped: the job stays the caller's. */
bool qe_worker_submit(struct qe_worker *worker, struct qe_worker_job *job) QE_MUST_CHECK;

#endif
