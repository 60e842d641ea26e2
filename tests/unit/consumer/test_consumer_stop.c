#include "unit/consumer/rig.h"

static void idle_consumer_stops_in_the_middle_of_a_long_poll(void **state)
{
    struct rig *rig = rig_new(4);

    (void)state;
    rig->options.receive_wait_ms = 600000;
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_RECEIVE) == 1);
    rig_destroy(rig); /* hangs, and the test with it, without the interrupt */
}

static void consumer_of_a_dead_source_stops(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_CREATE, 1000000, QE_ERR_AUTH);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_CREATE) >= 1);
    rig_destroy(rig);
}

static void unstarted_messages_are_released_at_once_and_none_is_lost(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_fake_event event;
    uint64_t waiting;

    (void)state;
    rig_start(rig);
    rig_warm_up(rig, 40);
    qe_fake_send(rig->fake, "slow", NULL);
    for (int i = 0; i < 10; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
    }
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 41);
    qe_fake_pause_ms(20); /* time to fetch ahead; how much it got is read, not assumed */
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 600000);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 1); /* while the slow one still runs */
    waiting = qe_counter_get(&rig->stats->released);
    print_message("%llu released\n", (unsigned long long)waiting);
    atomic_store(&rig->gate.open, true);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_int_equal(qe_fake_count_gone(rig->fake), 41);
    assert_int_equal(qe_counter_get(&rig->stats->processed), 41);
    for (size_t i = 41; i < 51; i++) {
        struct qe_fake_message message = qe_fake_message(rig->fake, i);

        assert_false(message.gone);
        assert_true(message.visible_from_mono_ms <= qe_clock_mono_ms()); /* up for grabs */
        if (qe_fake_event(rig->fake, QE_FAKE_SETTLE, i, 0, &event)) {
            assert_int_equal(event.verb, QE_SETTLE_RELEASE);
            assert_int_equal(event.delay_ms, 0);
            assert_true(event.unhandled);
            assert_int_equal(message.receives, 0);
        }
    }
    rig_destroy(rig);
}

static void running_handlers_may_finish_until_the_deadline(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 2);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 600000);
    qe_fake_pause_ms(20);
    assert_int_equal(atomic_load(&rig->stats->in_progress), 2);
    atomic_store(&rig->gate.open, true);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_int_equal(qe_fake_count_gone(rig->fake), 2);
    rig_destroy(rig);
}

static void handlers_past_the_deadline_are_cancelled_and_released(void **state)
{
    struct rig *rig = rig_new(2);
    struct qe_fake_event event;

    (void)state;
    rig->options.max_receives = 1; /* a stop must not dead-letter what it cut short */
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 30);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    assert_int_equal(event.delay_ms, 0);
    assert_false(event.unhandled); /* it ran, if not to its end */
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 1);
    assert_int_equal(event.result, QE_SETTLED);
    assert_int_equal(qe_counter_get(&rig->stats->released), 1);
    assert_int_equal(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]), 0);
    rig_destroy(rig);
}

static void earlier_of_two_deadlines_counts(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 20);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 600000);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    rig_destroy(rig);
}

static void settlements_that_fail_end_with_the_grace(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 1000000, QE_ERR_NETWORK);
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->settle_failures) >= 1);
    rig_destroy(rig); /* left to its visibility */
}

static void stop_opens_the_source_again_for_what_is_in_hand(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    rig->options.receive_wait_ms = 50;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_fail(rig->fake, QE_FAKE_CREATE, 1000000, QE_ERR_NETWORK);
    qe_fake_fail(rig->fake, QE_FAKE_RECEIVE, 1000000, QE_ERR_NETWORK);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_DESTROY) == 1);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(atomic_load(&rig->gate.ended_mono_ms) > 0);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 600000);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_CREATE) >= 3);       /* in vain, more than once */
    assert_in_range(qe_fake_calls(rig->fake, QE_FAKE_CREATE), 3, 20); /* and with pauses */
    assert_int_equal(atomic_load(&rig->stats->in_progress), 1);
    qe_fake_fail(rig->fake, QE_FAKE_CREATE, 0, QE_OK);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_true(qe_fake_message(rig->fake, 0).gone);
    rig_destroy(rig);
}

static void handler_that_ignores_cancellation_is_named_and_waited_for(void **state)
{
    struct rig *rig = rig_new(1);
    uint64_t errors = qe_log_count(QE_LOG_ERROR);

    (void)state;
    qe_fake_send(rig->fake, "stubborn", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms());
    QE_WAIT_FOR(qe_log_count(QE_LOG_ERROR) == errors + 1);
    atomic_store(&rig->gate.open, true);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_int_equal(qe_counter_get(&rig->stats->processed), 1); /* done after all, so settled */
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_consumer_stops_in_the_middle_of_a_long_poll),
        cmocka_unit_test(consumer_of_a_dead_source_stops),
        cmocka_unit_test(unstarted_messages_are_released_at_once_and_none_is_lost),
        cmocka_unit_test(running_handlers_may_finish_until_the_deadline),
        cmocka_unit_test(handlers_past_the_deadline_are_cancelled_and_released),
        cmocka_unit_test(earlier_of_two_deadlines_counts),
        cmocka_unit_test(settlements_that_fail_end_with_the_grace),
        cmocka_unit_test(stop_opens_the_source_again_for_what_is_in_hand),
        cmocka_unit_test(handler_that_ignores_cancellation_is_named_and_waited_for)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
