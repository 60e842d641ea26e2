#include "backend/embedded/embedded.h"
#include "unit/poll/fixture.h"
#include "util/log.h"

static void good_source_is_listed_once_and_sampled_each_interval(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 4);
    struct seen seen = look(bench, "orders");

    assert_true(seen.status.up);
    assert_int_equal(seen.queues, 2);
    assert_int_equal(seen.status.queues_listed, 2);
    assert_true(seen.queue.up);
    assert_true(qe_sample_has(&seen.queue.sample, QE_FIELD_READY_MESSAGES));
    assert_int_equal(qe_fake_calls(bench->fake, QE_FAKE_LIST), 1);
    bench_destroy(bench);
}

static void source_that_cannot_be_opened_is_down_and_recovers_by_itself(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    qe_fake_fail(bench->fake, QE_FAKE_CREATE, 5, QE_ERR_PROTOCOL);
    bench_start(bench);
    QE_WAIT_FOR(failures(bench, QE_ERR_PROTOCOL) >= 1);
    QE_WAIT_FOR(is_up(bench));
    struct seen seen = look(bench, "orders");

    assert_int_equal(seen.status.poll_failures_total[QE_ERR_PROTOCOL], 5);
    assert_true(seen.status.polls_total >= 6);
    assert_int_equal(qe_fake_calls(bench->fake, QE_FAKE_CREATE), 6);
    bench_destroy(bench);
}

static void failing_list_keeps_the_known_queues_sampled_and_counts(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench->options.discovery_interval_ms = 0; /* list before each sample */
    bench_start(bench);
    QE_WAIT_FOR(is_up(bench));
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 1000000, QE_ERR_NETWORK);
    QE_WAIT_FOR(failures(bench, QE_ERR_NETWORK) >= 1);
    unsigned samples = qe_fake_calls(bench->fake, QE_FAKE_SAMPLE);
    QE_WAIT_FOR(qe_fake_calls(bench->fake, QE_FAKE_SAMPLE) >= samples + 3);
    struct seen seen = look(bench, "orders");

    assert_int_equal(seen.queues, 2);
    assert_true(seen.queue.up);
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 0, QE_OK);
    QE_WAIT_FOR(is_up(bench));
    bench_destroy(bench);
}

/* Nobody is paged for a source whose queues are all read, until its list is too old. */
static void source_that_is_read_is_up_until_its_list_is_stale(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench_start(bench);
    QE_WAIT_FOR(is_up(bench));
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 1000000, QE_ERR_NETWORK);
    pthread_mutex_lock(&bench->fake->lock);
    bench->fake->relist = true;
    pthread_mutex_unlock(&bench->fake->lock);
    QE_WAIT_FOR(failures(bench, QE_ERR_NETWORK) >= 3);
    struct seen seen = look(bench, "orders");

    assert_true(seen.status.up);
    assert_true(seen.queue.up);
    assert_int_equal(seen.status.last_error.code, QE_ERR_NETWORK);
    qe_fake_fail(bench->fake, QE_FAKE_SAMPLE, 1000000, QE_ERR_IO);
    QE_WAIT_FOR(!is_up(bench));
    qe_fake_fail(bench->fake, QE_FAKE_SAMPLE, 0, QE_OK);
    QE_WAIT_FOR(is_up(bench));
    bench_destroy(bench);

    bench = bench_new(STALE_MS);
    bench->options.discovery_interval_ms = 100;
    bench_start(bench);
    QE_WAIT_FOR(is_up(bench));
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 1000000, QE_ERR_NETWORK);
    QE_WAIT_FOR(!is_up(bench));
    assert_true(look(bench, "orders").queue.up);
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 0, QE_OK);
    QE_WAIT_FOR(is_up(bench));
    bench_destroy(bench);
}

static void first_list_that_fails_is_tried_again(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 2, QE_ERR_AUTH);
    bench_start(bench);
    QE_WAIT_FOR(is_up(bench));
    assert_int_equal(failures(bench, QE_ERR_AUTH), 2);
    bench_destroy(bench);
}

static void one_bad_queue_does_not_take_the_source_down(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    qe_fake_set_sample_error(bench->fake, 1, QE_ERR_THROTTLED);
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 3);
    assert_true(is_up(bench));
    assert_true(look(bench, "orders").queue.up);
    assert_false(look(bench, "orders-dlq").queue.up);
    assert_int_equal(failures(bench, QE_ERR_THROTTLED), 0);
    bench_destroy(bench);
}

static void source_that_answers_for_no_queue_is_down(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    qe_fake_set_sample_error(bench->fake, 0, QE_ERR_THROTTLED);
    qe_fake_set_sample_error(bench->fake, 1, QE_ERR_THROTTLED);
    bench_start(bench);
    QE_WAIT_FOR(failures(bench, QE_ERR_THROTTLED) >= 1);
    assert_false(is_up(bench));
    bench_destroy(bench);
}

static void queue_that_fails_is_named_with_its_vhost_unless_that_is_the_default_one(void **state)
{
    static const struct {
        const char *vhost;
        const char *said;
    } rows[] = {{"/", "queue orders-dlq: "}, {"shop", "queue shop/orders-dlq: "}};
    struct qe_driver driver = qe_driver_fake;

    (void)state;
    driver.default_vhost = "/";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *bench = bench_new(STALE_MS);
        struct qe_snapshot *all[QE_SOURCES_MAX];

        bench->options.driver = &driver;
        bench->fake->vhost = rows[i].vhost;
        qe_fake_set_sample_error(bench->fake, 1, QE_ERR_THROTTLED);
        bench_start(bench);
        QE_WAIT_FOR(look(bench, "orders").status.last_error.code == QE_ERR_THROTTLED);
        assert_int_equal(qe_store_acquire_all(bench->store, all), 1);
        assert_ptr_equal(strstr(all[0]->status.last_error.message, rows[i].said),
                         all[0]->status.last_error.message);
        qe_snapshot_release(all[0]);
        bench_destroy(bench);
    }
}

static void vanished_queue_brings_one_new_list_and_no_failure(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 2);
    pthread_mutex_lock(&bench->fake->lock);
    bench->fake->queues_count = 1; /* orders-dlq is deleted */
    pthread_mutex_unlock(&bench->fake->lock);
    QE_WAIT_FOR(look(bench, "orders").queues == 1);
    assert_int_equal(qe_fake_calls(bench->fake, QE_FAKE_LIST), 2);
    assert_int_equal(failures(bench, QE_ERR_NOT_FOUND), 0);
    bench_destroy(bench);
}

static void driver_that_asks_for_a_list_gets_one(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    pthread_mutex_lock(&bench->fake->lock);
    bench->fake->relist = true;
    pthread_mutex_unlock(&bench->fake->lock);
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 4);
    assert_int_equal(qe_fake_calls(bench->fake, QE_FAKE_LIST), 2);
    bench_destroy(bench);
}

static void equal_list_keeps_the_published_set(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench->options.discovery_interval_ms = 0;
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 1);
    const struct qe_queue_set *before = look(bench, "orders").set;
    QE_WAIT_FOR(polls(bench) >= 5);
    assert_ptr_equal(look(bench, "orders").set, before);
    bench_destroy(bench);
}

static void sample_that_hangs_ends_at_the_deadline(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench->options.poll_timeout_ms = 40;
    bench->fake->hang_sample = true;
    bench_start(bench);
    QE_WAIT_FOR(failures(bench, QE_ERR_TIMEOUT) >= 2);
    assert_false(is_up(bench));
    bench_destroy(bench);
}

static void stop_interrupts_a_hanging_sample_and_publishes_nothing(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench->options.poll_timeout_ms = 600000;
    bench->fake->hang_sample = true;
    bench_start(bench);
    QE_WAIT_FOR(qe_fake_calls(bench->fake, QE_FAKE_SAMPLE) == 1);
    qe_poller_destroy(bench->poller); /* hangs, and the test with it, without the interrupt */
    bench->poller = NULL;
    assert_int_equal(polls(bench), 0);
    bench_destroy(bench);
}

static void get_stuck(struct bench *bench, bool is_stuck)
{
    pthread_mutex_lock(&bench->fake->lock);
    bench->fake->stuck_sample = is_stuck;
    (void)pthread_cond_broadcast(&bench->fake->changed);
    pthread_mutex_unlock(&bench->fake->lock);
}

static void poll_that_comes_back_after_its_source_is_gone_does_no_harm(void **state)
{
    struct bench *bench = bench_new(STALE_MS);
    struct qe_err err = {0};

    (void)state;
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 1);
    get_stuck(bench, true);
    unsigned samples = qe_fake_calls(bench->fake, QE_FAKE_SAMPLE);

    QE_WAIT_FOR(qe_fake_calls(bench->fake, QE_FAKE_SAMPLE) > samples);
    qe_poller_stop(bench->poller);
    assert_false(qe_poller_wait(bench->poller, qe_clock_mono_ms() + 20));
    qe_store_close(bench->store, bench->slot); /* nobody waits for it any longer */
    assert_ptr_equal(qe_store_open(bench->store, "test", "fake", STALE_MS, &err), bench->slot);
    get_stuck(bench, false);
    assert_true(qe_poller_wait(bench->poller, qe_clock_mono_ms() + 20000));
    struct seen seen = look(bench, "orders");

    assert_false(seen.status.polled); /* the source's new life has not begun yet */
    assert_int_equal(seen.queues, 0);
    bench_destroy(bench);
}

static void handle_is_replaced_after_three_failures(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    qe_fake_fail(bench->fake, QE_FAKE_SAMPLE, 7, QE_ERR_IO);
    bench_start(bench);
    QE_WAIT_FOR(is_up(bench));
    assert_int_equal(qe_fake_calls(bench->fake, QE_FAKE_CREATE), 3);
    assert_int_equal(qe_fake_calls(bench->fake, QE_FAKE_DESTROY), 2);
    assert_int_equal(failures(bench, QE_ERR_IO), 7);
    bench_destroy(bench);
}

static void handle_of_a_source_that_is_read_and_down_is_kept(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench->fake->source_error = QE_ERR_LIMIT;
    bench_start(bench);
    QE_WAIT_FOR(failures(bench, QE_ERR_LIMIT) >= 7);
    assert_int_equal(qe_fake_calls(bench->fake, QE_FAKE_CREATE), 1);
    assert_false(is_up(bench));
    bench_destroy(bench);
}

/* A new handle would know no queue, and could not list them either. */
static void handle_that_reads_queues_but_cannot_list_them_is_kept(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench_start(bench);
    QE_WAIT_FOR(is_up(bench));
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 1000, QE_ERR_IO);
    pthread_mutex_lock(&bench->fake->lock);
    bench->fake->relist = true;
    pthread_mutex_unlock(&bench->fake->lock);
    QE_WAIT_FOR(failures(bench, QE_ERR_IO) >= 7);
    assert_int_equal(qe_fake_calls(bench->fake, QE_FAKE_CREATE), 1);
    assert_true(look(bench, "orders").queue.sample.known != 0);
    bench_destroy(bench);
}

static void lasting_failure_is_one_line_not_one_per_poll(void **state)
{
    struct bench *bench = bench_new(STALE_MS);
    uint64_t warnings = qe_log_count(QE_LOG_WARN);
    uint64_t infos = qe_log_count(QE_LOG_INFO);

    (void)state;
    qe_fake_fail(bench->fake, QE_FAKE_SAMPLE, 10, QE_ERR_IO);
    bench_start(bench);
    QE_WAIT_FOR(failures(bench, QE_ERR_IO) == 10);
    QE_WAIT_FOR(polls(bench) >= 13);
    assert_int_equal(qe_log_count(QE_LOG_WARN) - warnings, 1);
    assert_int_equal(qe_log_count(QE_LOG_INFO) - infos, 1); /* it is back */
    bench_destroy(bench);
}

static bool expired(struct bench *bench)
{
    struct qe_err err = {0};

    assert_ok(qe_store_expire(bench->store, qe_clock_mono_ms(), &err), err);
    return look(bench, "orders").queue.sample.known == 0;
}

static void stale_samples_disappear_between_polls(void **state)
{
    struct bench *bench = bench_new(60);

    (void)state;
    bench->options.poll_interval_ms = 600000; /* no second poll */
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) == 1);
    QE_WAIT_FOR(expired(bench));
    assert_int_equal(polls(bench), 1);
    bench_destroy(bench);
}

static void cap_is_reported(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    bench->options.max_queues = 2;
    qe_fake_add_queue(bench->fake, "payments", NULL);
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 1);
    struct seen seen = look(bench, "orders");

    assert_int_equal(seen.status.queues_listed, 3);
    assert_int_equal(seen.status.queues_dropped, 1);
    assert_int_equal(seen.queues, 2);
    bench_destroy(bench);
}

static void embedded_store_is_polled(void **state)
{
    struct bench *bench = bench_new(STALE_MS);
    char path[] = ":memory:";
    char name[] = "orders";
    struct qe_embedded_queue_settings queue = {
        .name = name, .visibility_timeout_ms = 30000, .retention_ms = 3600000};
    struct qe_embedded_settings settings = {.path = path, .queues = {.items = &queue, .count = 1}};

    (void)state;
    bench->options.driver = &qe_driver_embedded;
    bench->options.driver_settings = &settings;
    bench_start(bench);
    QE_WAIT_FOR(is_up(bench));
    struct seen seen = look(bench, "orders");

    assert_int_equal(seen.queues, 1);
    assert_double_equal(seen.queue.sample.values[QE_FIELD_READY_MESSAGES], 0);
    bench_destroy(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_source_is_listed_once_and_sampled_each_interval),
        cmocka_unit_test(source_that_cannot_be_opened_is_down_and_recovers_by_itself),
        cmocka_unit_test(failing_list_keeps_the_known_queues_sampled_and_counts),
        cmocka_unit_test(source_that_is_read_is_up_until_its_list_is_stale),
        cmocka_unit_test(first_list_that_fails_is_tried_again),
        cmocka_unit_test(one_bad_queue_does_not_take_the_source_down),
        cmocka_unit_test(source_that_answers_for_no_queue_is_down),
        cmocka_unit_test(vanished_queue_brings_one_new_list_and_no_failure),
        cmocka_unit_test(driver_that_asks_for_a_list_gets_one),
        cmocka_unit_test(equal_list_keeps_the_published_set),
        cmocka_unit_test(queue_that_fails_is_named_with_its_vhost_unless_that_is_the_default_one),
        cmocka_unit_test(sample_that_hangs_ends_at_the_deadline),
        cmocka_unit_test(stop_interrupts_a_hanging_sample_and_publishes_nothing),
        cmocka_unit_test(poll_that_comes_back_after_its_source_is_gone_does_no_harm),
        cmocka_unit_test(handle_is_replaced_after_three_failures),
        cmocka_unit_test(handle_of_a_source_that_is_read_and_down_is_kept),
        cmocka_unit_test(handle_that_reads_queues_but_cannot_list_them_is_kept),
        cmocka_unit_test(lasting_failure_is_one_line_not_one_per_poll),
        cmocka_unit_test(stale_samples_disappear_between_polls),
        cmocka_unit_test(cap_is_reported),
        cmocka_unit_test(embedded_store_is_polled)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
