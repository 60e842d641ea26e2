/* What stands in line, and who may begin: by the parts alone, without threads. */
#include <stdio.h>
#include <time.h>

#include "consumer/consumer_internal.h"
#include "support/check.h"
#include "util/clock.h"
#include "util/mem.h"

#define JOBS 16000
#define MET 65536

static char s_names[JOBS][16];

static struct qe_consumer *line_new(size_t batch_size)
{
    struct qe_consumer *consumer = qe_calloc(1, sizeof *consumer);

    assert_non_null(consumer);
    assert_int_equal(pthread_mutex_init(&consumer->lock, NULL), 0);
    assert_int_equal(qe_clock_cond_init(&consumer->work), 0);
    consumer->options.batch_size = batch_size;
    consumer->options.order_by = "group";
    consumer->jobs_count = JOBS;
    consumer->jobs = qe_calloc(JOBS, sizeof *consumer->jobs);
    consumer->met_count = MET;
    consumer->met = qe_calloc(MET, sizeof *consumer->met);
    consumer->order = qe_calloc(1, sizeof *consumer->order);
    assert_non_null(consumer->order);
    assert_non_null(consumer->jobs);
    assert_non_null(consumer->met);
    return consumer;
}

static void line_destroy(struct qe_consumer *consumer)
{
    assert_int_equal(pthread_cond_destroy(&consumer->work), 0);
    assert_int_equal(pthread_mutex_destroy(&consumer->lock), 0);
    qe_free(consumer->order);
    qe_free(consumer->met);
    qe_free(consumer->jobs);
    qe_free(consumer);
}

static struct qe_job *join(struct qe_consumer *consumer, size_t index, size_t group)
{
    struct qe_job *job = &consumer->jobs[index];

    (void)snprintf(s_names[index], sizeof s_names[index], "g%zu", group);
    job->group = s_names[index];
    job->group_hash = qe_line_hash(job->group);
    return job;
}

static void one_of_each_group_may_begin_and_none_of_a_group_in_work(void **state)
{
    struct qe_consumer *consumer = line_new(10);
    struct qe_job *taken[10];

    (void)state;
    join(consumer, 0, 1)->state = QE_JOB_RUNNING;
    qe_line_put(consumer, join(consumer, 1, 1));
    qe_line_put(consumer, join(consumer, 2, 2));
    qe_line_put(consumer, join(consumer, 3, 2));
    qe_line_put(consumer, join(consumer, 4, 3));
    qe_line_put(consumer, &consumer->jobs[5]); /* of no group */
    qe_line_put(consumer, &consumer->jobs[6]);
    assert_int_equal(qe_line_take(consumer, taken), 4);
    assert_ptr_equal(taken[0], &consumer->jobs[2]);
    assert_ptr_equal(taken[1], &consumer->jobs[4]);
    assert_ptr_equal(taken[2], &consumer->jobs[5]);
    assert_ptr_equal(taken[3], &consumer->jobs[6]);
    assert_int_equal(qe_line_take(consumer, taken), 0); /* those behind them wait */
    assert_true(qe_line_ready_mono_ms(consumer) == INT64_MAX);
    consumer->jobs[2].state = QE_JOB_FREE;
    assert_int_equal(qe_line_take(consumer, taken), 1);
    assert_ptr_equal(taken[0], &consumer->jobs[3]);
    line_destroy(consumer);
}

static struct qe_job *rank(struct qe_job *job, uint64_t rank)
{
    job->rank = rank;
    return job;
}

static void group_stands_by_rank_and_waits_for_what_is_not_here(void **state)
{
    struct qe_consumer *consumer = line_new(10);
    const struct qe_order_entry away = {.group_hash = qe_line_hash("g1"), .rank = 3};
    struct qe_job *taken[10];

    (void)state;
    qe_line_put(consumer, rank(join(consumer, 0, 1), 5));
    qe_line_put(consumer, rank(join(consumer, 1, 2), 6));
    qe_line_put(consumer, rank(join(consumer, 2, 1), 7));
    qe_order_add(consumer->order, &away);
    assert_int_equal(qe_line_take(consumer, taken), 1); /* the other group's */
    assert_ptr_equal(taken[0], &consumer->jobs[1]);
    assert_true(qe_line_ready_mono_ms(consumer) == INT64_MAX);
    qe_line_put(consumer, rank(join(consumer, 3, 1), 6)); /* before 7, and it waits as they do */
    assert_int_equal(qe_line_take(consumer, taken), 0);
    qe_line_put(consumer, rank(join(consumer, 4, 1), 3));
    for (size_t i = 0; i < 4; i++) {
        static const size_t order[] = {4, 0, 3, 2};

        assert_int_equal(qe_line_take(consumer, taken), 1);
        assert_ptr_equal(taken[0], &consumer->jobs[order[i]]);
        taken[0]->state = QE_JOB_FREE;
    }
    assert_null(consumer->line_first);
    assert_null(consumer->line_last);
    line_destroy(consumer);
}

/* As with order_by and 16 workers with batches of 1000: each looks whenever something changes. */
static void looking_costs_little_however_long_the_line_is(void **state)
{
    struct qe_consumer *consumer = line_new(1000);
    clock_t began;

    (void)state;
    for (size_t i = 0; i < JOBS / 2; i++) { /* all groups that wait are in work */
        join(consumer, JOBS - 1 - i, i)->state = QE_JOB_RUNNING;
        qe_line_put(consumer, join(consumer, i, i));
    }
    began = clock();
    assert_true(qe_line_ready_mono_ms(consumer) == INT64_MAX);
    double spent_ms = (double)(clock() - began) * 1000 / CLOCKS_PER_SEC;
    print_message("%.2f ms of CPU\n", spent_ms);
    assert_true(spent_ms < 25); /* of this process alone, however busy the machine is */
    line_destroy(consumer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_each_group_may_begin_and_none_of_a_group_in_work),
        cmocka_unit_test(group_stands_by_rank_and_waits_for_what_is_not_here),
        cmocka_unit_test(looking_costs_little_however_long_the_line_is)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
