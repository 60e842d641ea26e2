/* delivery: at_most_once and effectively_once. */
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#include "consumer/dedup_store.h"
#include "unit/consumer/rig.h"

/* --- at most once --- */

static struct rig *rig_at_most_once(uint64_t workers)
{
    struct rig *rig = rig_new(workers);

    rig->options.delivery = QE_DELIVERY_AT_MOST_ONCE;
    return rig;
}

static void at_most_once_acknowledges_before_the_handler_runs_and_says_so(void **state)
{
    struct rig *rig = rig_at_most_once(1);
    uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    assert_int_equal(qe_log_count(QE_LOG_WARN), warnings + 1);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    assert_true(qe_fake_message(rig->fake, 0).gone);
    assert_int_equal(qe_counter_get(&rig->stats->processed), 0);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 0), 1);
    assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_EXTEND, 0), 0);
    rig_destroy(rig);
}

static void at_most_once_never_handles_what_it_could_not_acknowledge(void **state)
{
    struct rig *rig = rig_at_most_once(1);

    (void)state;
    rig->fake->visibility_ms = 300;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 1000000, QE_ERR_IO);
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->redeliveries) >= 1);
    assert_int_equal(atomic_load(&rig->gate.started), 0);
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 0, QE_OK);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(atomic_load(&rig->gate.started), 1);
    rig_destroy(rig);
}

static void at_most_once_loses_what_fails_and_counts_it(void **state)
{
    struct rig *rig = rig_at_most_once(2);

    (void)state;
    qe_fake_send(rig->fake, "retry", NULL);
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]) == 1);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_PERMANENT]) == 1);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 0);
    assert_int_equal(qe_fake_count_gone(rig->fake), 2);
    assert_int_equal(qe_counter_get(&rig->stats->released), 0);
    assert_int_equal(qe_counter_get(&rig->stats->processed), 0);
    rig_destroy(rig);
}

static void at_most_once_counts_no_dead_letter_that_nobody_has_sent(void **state)
{
    struct rig *rig = rig_at_most_once(1);
    uint64_t warnings = 0;

    (void)state;
    rig->options.max_receives = 1;
    rig_start(rig);
    warnings = qe_log_count(QE_LOG_WARN);
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_PERMANENT]) == 1);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 0);
    assert_int_equal(qe_log_count(QE_LOG_WARN), warnings + 2); /* why, and that it is lost */
    qe_fake_send(rig->fake, "retry", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]) == 1);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 0);
    for (size_t i = 0; i < QE_FAIL_COUNT; i++) {
        assert_int_equal(qe_counter_get(&rig->stats->dead_lettered[i]), 0);
    }
    rig_destroy(rig);
}

static void at_most_once_keeps_what_fails_where_it_has_a_dead_letter_queue(void **state)
{
    struct rig *rig = rig_at_most_once(2);
    struct qe_fake_sent sent;

    (void)state;
    rig->options.dead_letter_queue = "my-dlq";
    qe_fake_send(rig->fake, "retry", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    assert_string_equal(sent.queue, "my-dlq");
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 0);
    rig_destroy(rig);
}

static void at_most_once_says_what_letters_a_stop_has_lost(void **state)
{
    struct rig *rig = rig_at_most_once(1);
    uint64_t warnings;

    (void)state;
    rig->options.dead_letter_queue = "my-dlq";
    qe_fake_fail(rig->fake, QE_FAKE_SEND, 1000000, QE_ERR_NETWORK);
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->settle_failures) >= 1);
    warnings = qe_log_count(QE_LOG_WARN);
    uint64_t failures = qe_counter_get(&rig->stats->settle_failures);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() - 1000); /* no time left */
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_int_equal(rig->fake->sent_count, 0);
    assert_true(qe_log_count(QE_LOG_WARN) > warnings);
    assert_true(qe_counter_get(&rig->stats->settle_failures) > failures);
    rig_destroy(rig);
}

static void at_most_once_stops_without_losing_what_it_has_not_acknowledged(void **state)
{
    struct rig *rig = rig_at_most_once(1);

    (void)state;
    rig_start(rig);
    rig_warm_up(rig, 40);
    qe_fake_send(rig->fake, "slow", NULL);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 41);
    for (int i = 0; i < 10; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
    }
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 600000);
    atomic_store(&rig->gate.open, true);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_int_equal(qe_fake_count_gone(rig->fake), qe_counter_get(&rig->stats->processed));
    rig_destroy(rig);
}

/* What is acknowledged cannot go back with the one before it, and must not pass it. */
static void at_most_once_stops_in_the_order_of_a_group(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct rig *rig = rig_at_most_once(2);

    (void)state;
    rig->options.order_by = "customer";
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 3, QE_ERR_NETWORK); /* and again after 400 ms */
    qe_fake_send_like(rig->fake, "first", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->settle_failures) == 3);
    qe_fake_send_like(rig->fake, "second", &a);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 1).gone);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 600000);
    qe_consumer_join(rig->consumer);
    assert_int_equal(qe_counter_get(&rig->stats->processed), 2);
    assert_int_equal(qe_counter_get(&rig->stats->released), 0);
    assert_true(qe_fake_message(rig->fake, 0).gone);
    rig_destroy(rig);
}

/* --- effectively once --- */

static char s_folder[] = "/tmp/qe_once_XXXXXX";
static char s_path[64];

static struct rig *rig_once(uint64_t workers, const char *store)
{
    struct rig *rig = rig_new(workers);

    rig->options.delivery = QE_DELIVERY_EFFECTIVELY_ONCE;
    rig->options.once =
        (struct qe_once_options){.store = store, .attribute = "customer", .window_ms = 60000};
    return rig;
}

static void duplicate_is_acknowledged_counted_and_not_handled(void **state)
{
    const struct qe_fake_message like = {.customer = "a"};
    const struct qe_fake_message other = {.customer = "b"};
    struct rig *rig = rig_once(2, ":memory:");

    (void)state;
    qe_fake_send_like(rig->fake, "first", &like);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    qe_fake_send_like(rig->fake, "second", &like);
    qe_fake_send_like(rig->fake, "third", &other);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->duplicates_skipped) == 1);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    assert_int_equal(atomic_load(&rig->gate.started), 2);
    assert_int_equal(qe_fake_count_gone(rig->fake), 3);
    rig_destroy(rig);
}

static void two_with_one_key_are_never_handled_at_the_same_time(void **state)
{
    const struct qe_fake_message like = {.customer = "a"};
    struct rig *rig = rig_once(4, ":memory:");
    struct qe_fake_event event;

    (void)state;
    qe_fake_send_like(rig->fake, "slow", &like);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_send_like(rig->fake, "second", &like);
    QE_WAIT_FOR(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE); /* to wait for the first */
    assert_true(event.unhandled);
    assert_in_range(event.delay_ms, 1, 30000);
    assert_int_equal(atomic_load(&rig->gate.started), 1);
    rig_destroy(rig);
}

static void message_whose_key_somebody_has_holds_its_group(void **state)
{
    const struct qe_fake_message like = {.customer = "a"};
    struct rig *rig = rig_once(4, s_path);
    struct qe_err err = {0};
    struct qe_dedup_store *other = qe_dedup_store_new(s_path, "test\n\norders", 60000, &err);
    struct qe_dedup_claim first = {.key = "id:first"};
    struct qe_fake_event event;
    int64_t first_mono_ms = 0;

    (void)state;
    assert_non_null(other);
    assert_ok(qe_dedup_store_claim(other, &first, 1, &err), err);
    rig->options.once.attribute = NULL;
    rig->options.order_by = "customer";
    qe_fake_send_like(rig->fake, "first", &like);
    qe_fake_send_like(rig->fake, "next", &like);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 0) >= 1);
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 1) >= 1);
    assert_false(qe_fake_message(rig->fake, 1).gone);
    assert_ok(qe_dedup_store_finish(other, &first, 1, &err), err); /* it was not handled */
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    for (size_t i = 0; i < 2; i++) {
        size_t last = qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, i) - 1;

        assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, i, last, &event));
        assert_int_equal(event.verb, QE_SETTLE_ACK);
        assert_true(event.at_mono_ms >= first_mono_ms);
        first_mono_ms = event.at_mono_ms;
    }
    qe_dedup_store_destroy(other);
    rig_destroy(rig);
}

static void second_of_one_key_waits_also_where_nothing_is_taken_back(void **state)
{
    const struct qe_fake_message like = {.customer = "a"};
    struct rig *rig = rig_once(4, ":memory:");
    struct qe_fake_event event;

    (void)state;
    rig->options.driver = &qe_driver_fake_poor;
    qe_fake_send_like(rig->fake, "slow", &like);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_send_like(rig->fake, "second", &like);
    QE_WAIT_FOR(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, 0, &event));
    assert_false(event.unhandled); /* it would come back at once, again and again */
    assert_in_range(event.delay_ms, 1, 30000);
    rig_destroy(rig);
}

static void what_failed_may_be_handled_again(void **state)
{
    const struct qe_fake_message like = {.customer = "a"};
    struct rig *rig = rig_once(2, ":memory:");

    (void)state;
    rig->gate.retry_delay_ms = 0;
    qe_fake_send_like(rig->fake, "once", &like);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(atomic_load(&rig->gate.started), 2);
    assert_int_equal(qe_counter_get(&rig->stats->duplicates_skipped), 0);
    rig_destroy(rig);
}

/* The broker never hears of the outcome, as when the process is killed just before it tells. */
static void crash_between_key_and_acknowledgement_leaves_a_duplicate_that_is_skipped(void **state)
{
    struct rig *rig = rig_once(1, s_path);

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 1000000, QE_ERR_NETWORK);
    qe_fake_send(rig->fake, "one", NULL); /* by its id */
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->settle_failures) >= 1);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms());
    qe_consumer_destroy(rig->consumer);
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 0, QE_OK);
    assert_false(qe_fake_message(rig->fake, 0).gone);
    rig->fake->messages[0].visible_from_mono_ms = 0; /* its delivery lapses */
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->duplicates_skipped) == 1);
    assert_true(qe_fake_message(rig->fake, 0).gone);
    assert_int_equal(atomic_load(&rig->gate.started), 1);
    rig_destroy(rig);
}

static enum qe_dedup_state state_of_key(const char *key)
{
    struct qe_err err = {0};
    struct qe_dedup_store *store = qe_dedup_store_new(s_path, "test\n\norders", 60000, &err);
    struct qe_dedup_claim claim = {.key = key};

    assert_non_null(store);
    assert_ok(qe_dedup_store_claim(store, &claim, 1, &err), err);
    qe_dedup_store_destroy(store);
    return claim.state;
}

static void what_was_handled_is_known_though_the_broker_is_away(void **state)
{
    const struct qe_fake_message like = {.customer = "away"};
    struct rig *rig = rig_once(2, s_path);

    (void)state;
    qe_fake_send_like(rig->fake, "slow", &like);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_fail(rig->fake, QE_FAKE_CREATE, 1000000, QE_ERR_NETWORK);
    qe_fake_fail(rig->fake, QE_FAKE_RECEIVE, 1000000, QE_ERR_NETWORK);
    qe_fake_send(rig->fake, "wakes the long poll", NULL);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_DESTROY) == 1);
    assert_int_equal(state_of_key("text:away"), QE_DEDUP_BUSY);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(state_of_key("text:away") == QE_DEDUP_HANDLED);
    assert_false(qe_fake_message(rig->fake, 0).gone);
    rig_destroy(rig);
}

static void duplicate_of_a_request_gets_the_reply_again(void **state)
{
    const struct qe_fake_message like = {.customer = "r", .reply_to = "answers"};
    struct rig *rig = rig_once(1, ":memory:");
    struct qe_fake_sent sent;

    (void)state;
    rig->gate.reply = "42";
    qe_fake_send_like(rig->fake, "first", &like);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    qe_fake_send_like(rig->fake, "second", &like);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->duplicates_skipped) == 1);
    assert_true(qe_fake_sent(rig->fake, 1, &sent));
    assert_string_equal(sent.body, "42");
    assert_string_equal(sent.correlation_id, "second");
    assert_int_equal(atomic_load(&rig->gate.started), 1);
    rig_destroy(rig);
}

static void store_that_fails_in_between_gives_messages_back_unhandled_and_says_why(void **state)
{
    const struct qe_fake_message first = {.customer = "lock-1"};
    const struct qe_fake_message second = {.customer = "lock-2"};
    struct rig *rig = rig_once(1, s_path);
    uint64_t warnings = qe_log_count(QE_LOG_WARN);
    struct qe_fake_event event;
    sqlite3 *other = NULL;

    (void)state;
    qe_fake_send_like(rig->fake, "quick", &first);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(sqlite3_open(s_path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    qe_fake_send_like(rig->fake, "quick", &second);
    QE_WAIT_FOR(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    assert_true(event.unhandled);
    assert_int_equal(qe_log_count(QE_LOG_WARN), warnings + 1);
    assert_int_equal(atomic_load(&rig->gate.started), 1);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    assert_int_equal(atomic_load(&rig->gate.started), 2);
    rig_destroy(rig);
}

static void store_that_does_not_work_lets_nothing_be_received_and_says_why(void **state)
{
    struct rig *rig = rig_once(1, "/nowhere/at/all/dedup.db");
    uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_log_count(QE_LOG_WARN) > warnings);
    qe_fake_pause_ms(50);
    assert_int_equal(atomic_load(&rig->gate.started), 0);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 0);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_most_once_acknowledges_before_the_handler_runs_and_says_so),
        cmocka_unit_test(at_most_once_never_handles_what_it_could_not_acknowledge),
        cmocka_unit_test(at_most_once_loses_what_fails_and_counts_it),
        cmocka_unit_test(at_most_once_counts_no_dead_letter_that_nobody_has_sent),
        cmocka_unit_test(at_most_once_keeps_what_fails_where_it_has_a_dead_letter_queue),
        cmocka_unit_test(at_most_once_says_what_letters_a_stop_has_lost),
        cmocka_unit_test(at_most_once_stops_without_losing_what_it_has_not_acknowledged),
        cmocka_unit_test(at_most_once_stops_in_the_order_of_a_group),
        cmocka_unit_test(duplicate_is_acknowledged_counted_and_not_handled),
        cmocka_unit_test(two_with_one_key_are_never_handled_at_the_same_time),
        cmocka_unit_test(message_whose_key_somebody_has_holds_its_group),
        cmocka_unit_test(second_of_one_key_waits_also_where_nothing_is_taken_back),
        cmocka_unit_test(what_failed_may_be_handled_again),
        cmocka_unit_test(crash_between_key_and_acknowledgement_leaves_a_duplicate_that_is_skipped),
        cmocka_unit_test(what_was_handled_is_known_though_the_broker_is_away),
        cmocka_unit_test(duplicate_of_a_request_gets_the_reply_again),
        cmocka_unit_test(store_that_fails_in_between_gives_messages_back_unhandled_and_says_why),
        cmocka_unit_test(store_that_does_not_work_lets_nothing_be_received_and_says_why)};
    char wal[80];

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    assert_non_null(mkdtemp(s_folder));
    (void)snprintf(s_path, sizeof s_path, "%s/dedup.db", s_folder);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < 3; i++) {
        static const char *const tails[] = {"", "-wal", "-shm"};

        (void)snprintf(wal, sizeof wal, "%s%s", s_path, tails[i]);
        (void)unlink(wal);
    }
    (void)rmdir(s_folder);
    return rc;
}
