/* Queues that are not asked in every poll, and ages that our own consumer saw. */
#include "support/capture.h"
#include "unit/poll/fixture.h"
#include "util/log.h"

static void set_skipped(struct bench *bench, size_t queue, bool is_skipped)
{
    pthread_mutex_lock(&bench->fake->lock);
    bench->fake->queues[queue].is_skipped = is_skipped;
    pthread_mutex_unlock(&bench->fake->lock);
}

static void poll_that_skips_every_queue_is_good(void **state)
{
    struct bench *bench = bench_new(STALE_MS);
    uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 1);
    set_skipped(bench, 0, true);
    set_skipped(bench, 1, true);
    QE_WAIT_FOR(polls(bench) >= 4);
    struct seen seen = look(bench, "orders");

    assert_true(seen.status.up);
    assert_true(seen.queue.up);
    assert_true(qe_sample_has(&seen.queue.sample, QE_FIELD_READY_MESSAGES));
    assert_int_equal(failures(bench, QE_ERR_CANCELLED), 0);
    assert_int_equal(qe_fake_calls(bench->fake, QE_FAKE_CREATE), 1);
    assert_int_equal(qe_log_count(QE_LOG_WARN), warnings);
    bench_destroy(bench);
}

/* All that is asked fails: what is skipped does not vouch for the source. */
static void source_whose_asked_queues_all_fail_is_down(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    set_skipped(bench, 0, true);
    qe_fake_set_sample_error(bench->fake, 1, QE_ERR_NETWORK);
    bench_start(bench);
    QE_WAIT_FOR(failures(bench, QE_ERR_NETWORK) >= 1);
    assert_false(is_up(bench));
    bench_destroy(bench);
}

static void failing_queue_that_is_skipped_has_not_recovered(void **state)
{
    struct bench *bench = bench_new(STALE_MS);
    uint64_t infos = 0;

    (void)state;
    qe_fake_set_sample_error(bench->fake, 1, QE_ERR_THROTTLED);
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 2);
    infos = qe_log_count(QE_LOG_INFO);
    set_skipped(bench, 1, true);
    uint64_t before = polls(bench);

    QE_WAIT_FOR(polls(bench) >= before + 3);
    assert_int_equal(qe_log_count(QE_LOG_INFO), infos);
    assert_false(look(bench, "orders-dlq").queue.up);
    qe_fake_set_sample_error(bench->fake, 1, QE_OK);
    set_skipped(bench, 0, true); /* the others need not be asked in the same poll */
    set_skipped(bench, 1, false);
    QE_WAIT_FOR(look(bench, "orders-dlq").queue.up); /* the line is written before it shows */
    assert_int_equal(qe_log_count(QE_LOG_INFO), infos + 1);
    bench_destroy(bench);
}

static void set_facts_error(struct bench *bench, enum qe_err_code code)
{
    pthread_mutex_lock(&bench->fake->lock);
    bench->fake->facts_error = code;
    pthread_mutex_unlock(&bench->fake->lock);
}

/* The ages of queues that are well: one line when they cannot be had, one when they can again. */
static void what_is_missing_of_good_queues_is_said_once(void **state)
{
    struct bench *bench = bench_new(STALE_MS);
    const uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    set_facts_error(bench, QE_ERR_AUTH);
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 4);
    assert_int_equal(qe_log_count(QE_LOG_WARN), warnings + 1);
    struct seen seen = look(bench, "orders");

    assert_true(seen.status.up);
    assert_true(seen.queue.up);
    assert_int_equal(seen.status.last_error.code, QE_ERR_AUTH);
    const uint64_t infos = qe_log_count(QE_LOG_INFO);

    set_facts_error(bench, QE_OK);
    QE_WAIT_FOR(look(bench, "orders").status.last_error.code == QE_OK);
    assert_int_equal(qe_log_count(QE_LOG_INFO), infos + 1);
    bench_destroy(bench);
}

static void a_deleted_queue_is_no_warning(void **state)
{
    struct bench *bench = bench_new(STALE_MS);
    const uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    qe_fake_set_sample_error(bench->fake, 1, QE_ERR_NOT_FOUND);
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 2);
    assert_false(look(bench, "orders-dlq").queue.up);
    assert_int_equal(qe_log_count(QE_LOG_WARN), warnings);
    bench_destroy(bench);
}

/* Some queues are not asked in a poll, or not believed yet: they are watched all the same. */
static void failures_are_counted_among_all_that_are_watched(void **state)
{
    struct bench *bench = bench_new(STALE_MS);

    (void)state;
    set_skipped(bench, 0, true);
    qe_fake_set_sample_error(bench->fake, 1, QE_ERR_NOT_FOUND);
    qe_capture_stderr();
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 2);
    const char *log = qe_captured();

    assert_non_null(strstr(log, "failed=1 of=2 reason=not_found"));
    bench_destroy(bench);
}

static double age_told_to_the_driver(struct bench *bench, size_t queue)
{
    pthread_mutex_lock(&bench->fake->lock);
    double age = bench->fake->queues[queue].observed_age_seconds;
    pthread_mutex_unlock(&bench->fake->lock);
    return age;
}

static bool has_age(struct bench *bench, const char *queue)
{
    struct seen seen = look(bench, queue);

    return qe_sample_has(&seen.queue.sample, QE_FIELD_OLDEST_AGE_SECONDS);
}

static void what_our_consumer_saw_is_the_age_the_driver_does_not_know(void **state)
{
    struct bench *bench = bench_new(STALE_MS);
    struct qe_err err = {0};
    struct qe_consumer_stats *mine = qe_stats_consumer(bench->stats, "test", "", "orders", &err);
    struct qe_consumer_stats *other =
        qe_stats_consumer(bench->stats, "other", "", "orders-dlq", &err);

    (void)state;
    assert_true(mine != NULL && other != NULL);
    atomic_store(&mine->oldest_in_hand_sent_unix_ms, qe_clock_unix_ms() - 500000);
    atomic_store(&mine->active, true);
    atomic_store(&other->oldest_in_hand_sent_unix_ms, qe_clock_unix_ms() - 500000);
    atomic_store(&other->active, true); /* of another source */
    bench->options.stats = bench->stats;
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 1);
    struct seen seen = look(bench, "orders");

    assert_true(age_told_to_the_driver(bench, 0) >= 500);
    assert_double_equal(age_told_to_the_driver(bench, 1), -1);
    assert_true(qe_sample_has(&seen.queue.sample, QE_FIELD_OLDEST_AGE_SECONDS));
    assert_int_equal(seen.queue.sample.age_method, QE_AGE_CONSUMER);
    assert_true(seen.queue.sample.values[QE_FIELD_OLDEST_AGE_SECONDS] >= 500);
    assert_true(seen.queue.sample.values[QE_FIELD_OLDEST_AGE_SECONDS] < 560);
    assert_false(has_age(bench, "orders-dlq"));
    atomic_store(&mine->active, false); /* it ended: nobody sees any more */
    QE_WAIT_FOR(!has_age(bench, "orders"));
    bench_destroy(bench);
}

static void clock_of_the_broker_is_what_age_is_counted_with(void **state)
{
    struct bench *bench = bench_new(STALE_MS);
    struct qe_err err = {0};
    static const char *const operations[] = {"x"};
    const struct qe_api_names names = {operations, 1, NULL};
    struct qe_api_stats *api = qe_stats_api(bench->stats, "test", &names, &err);
    struct qe_consumer_stats *mine = qe_stats_consumer(bench->stats, "test", "", "orders", &err);

    (void)state;
    assert_true(mine != NULL && api != NULL);
    /* Our clock is an hour behind: the message seems to come from the future. */
    atomic_store(&mine->oldest_in_hand_sent_unix_ms, qe_clock_unix_ms() + 3590000);
    atomic_store(&mine->active, true);
    atomic_store(&api->clock_skew_ms, 3600000);
    atomic_store(&api->has_clock_skew, true);
    bench->options.stats = bench->stats;
    bench->options.api_stats = api;
    bench_start(bench);
    QE_WAIT_FOR(polls(bench) >= 1);
    double age = look(bench, "orders").queue.sample.values[QE_FIELD_OLDEST_AGE_SECONDS];

    assert_true(age >= 10 && age < 70);
    bench_destroy(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poll_that_skips_every_queue_is_good),
        cmocka_unit_test(source_whose_asked_queues_all_fail_is_down),
        cmocka_unit_test(failing_queue_that_is_skipped_has_not_recovered),
        cmocka_unit_test(what_is_missing_of_good_queues_is_said_once),
        cmocka_unit_test(a_deleted_queue_is_no_warning),
        cmocka_unit_test(failures_are_counted_among_all_that_are_watched),
        cmocka_unit_test(what_our_consumer_saw_is_the_age_the_driver_does_not_know),
        cmocka_unit_test(clock_of_the_broker_is_what_age_is_counted_with)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
