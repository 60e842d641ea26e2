#include <pthread.h>

#include "http/worker.h"
#include "support/check.h"

struct job {
    struct qe_worker_job job; /* first */
    pthread_mutex_t *lock;    /* guards what is below, and lets a job be held up */
    unsigned *order;
    unsigned ran_as;
    bool cancelled;
};

static void run(struct qe_worker_job *argument, bool cancelled)
{
    struct job *job = (struct job *)(void *)argument;

    (void)pthread_mutex_lock(job->lock);
    job->ran_as = ++*job->order;
    job->cancelled = cancelled;
    (void)pthread_mutex_unlock(job->lock);
}

static void jobs_run_in_order_and_the_waiting_ones_are_cancelled_at_the_end(void **state)
{
    struct qe_err err = {0};
    struct qe_worker *worker = qe_worker_new(&err);
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    unsigned order = 0;
    struct job jobs[3];

    (void)state;
    assert_ok(worker == NULL ? -1 : 0, err);
    for (unsigned i = 0; i < 3; i++) {
        jobs[i] = (struct job){.job.run = run, .lock = &lock, .order = &order};
        assert_true(qe_worker_submit(worker, &jobs[i].job));
    }
    qe_worker_stop(worker);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(jobs[i].ran_as, i + 1); /* none is forgotten */
    }
    struct job late = {.job.run = run, .lock = &lock, .order = &order};
    assert_false(qe_worker_submit(worker, &late.job));
    qe_worker_stop(worker);
    qe_worker_destroy(worker);
    assert_int_equal(late.ran_as, 0);
    qe_worker_stop(NULL);
    qe_worker_destroy(NULL);
}

static int build_worker(void *context, struct qe_err *err)
{
    struct qe_worker *worker = qe_worker_new(err);

    (void)context;
    qe_worker_destroy(worker);
    return worker == NULL ? -1 : 0;
}

static void running_out_of_memory_is_reported(void **state)
{
    (void)state;
    qe_check_torture(build_worker, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_in_order_and_the_waiting_ones_are_cancelled_at_the_end),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
