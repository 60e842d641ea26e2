#include "http/worker.h"

#include <pthread.h>

#include "util/mem.h"

struct qe_worker {
    pthread_mutex_t lock; /* guards first, last and stopping */
    pthread_cond_t changed;
    pthread_t thread;
    struct qe_worker_job *first;
    struct qe_worker_job *last;
    bool stopping;
};

/* The next job, or NULL when stopping and nothing is left. */
static struct qe_worker_job *take(struct qe_worker *worker, bool *out_cancelled)
{
    (void)pthread_mutex_lock(&worker->lock);
    while (worker->first == NULL && !worker->stopping) {
        (void)pthread_cond_wait(&worker->changed, &worker->lock);
    }
    struct qe_worker_job *job = worker->first;
    if (job != NULL) {
        worker->first = job->next;
        worker->last = worker->first == NULL ? NULL : worker->last;
    }
    *out_cancelled = worker->stopping;
    (void)pthread_mutex_unlock(&worker->lock);
    return job;
}

static void *work(void *argument)
{
    struct qe_worker *worker = argument;
    bool cancelled = false;

    for (struct qe_worker_job *job = take(worker, &cancelled); job != NULL;
         job = take(worker, &cancelled)) {
        job->run(job, cancelled);
    }
    return NULL;
}

struct qe_worker *qe_worker_new(struct qe_err *err)
{
    struct qe_worker *worker = qe_calloc(1, sizeof *worker);

    if (worker == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "http worker");
        return NULL;
    }
    /* On Linux the two inits cannot fail with default attributes. */
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->changed, NULL);
    int status = pthread_create(&worker->thread, NULL, work, worker);
    if (status != 0) {
        qe_err_set_errno(err, status, "cannot start the http worker thread");
        (void)pthread_cond_destroy(&worker->changed);
        (void)pthread_mutex_destroy(&worker->lock);
        qe_free(worker);
        return NULL;
    }
    return worker;
}

void qe_worker_stop(struct qe_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&worker->lock);
    bool first_time = !worker->stopping;
    worker->stopping = true;
    (void)pthread_cond_signal(&worker->changed);
    (void)pthread_mutex_unlock(&worker->lock);
    if (first_time) {
        (void)pthread_join(worker->thread, NULL);
    }
}

void qe_worker_destroy(struct qe_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    qe_worker_stop(worker);
    (void)pthread_cond_destroy(&worker->changed);
    (void)pthread_mutex_destroy(&worker->lock);
    qe_free(worker);
}

bool qe_worker_submit(struct qe_worker *worker, struct qe_worker_job *job)
{
    job->next = NULL;
    (void)pthread_mutex_lock(&worker->lock);
    bool taken = !worker->stopping;
    if (taken && worker->last == NULL) {
        worker->first = job;
    } else if (taken) {
        worker->last->next = job;
    }
    worker->last = taken ? job : worker->last;
    (void)pthread_cond_signal(&worker->changed);
    (void)pthread_mutex_unlock(&worker->lock);
    return taken;
}
