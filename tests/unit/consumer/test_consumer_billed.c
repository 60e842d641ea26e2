/* On a broker whose owner sends a bill per call: outcomes share calls, but never where that would
 * hold something back. */
#include "unit/consumer/rig.h"

#define FOREVER_MS INT64_C(600000)

static struct rig *billed_rig(uint64_t workers)
{
    struct rig *rig = rig_new(workers);

    rig->options.driver = &qe_driver_fake_billed;
    rig->options.settle_wait_ms = FOREVER_MS;
    rig->options.receive_wait_ms = FOREVER_MS;
    rig->fake->queues[0].kind = QE_KIND_STANDARD;
    rig->fake->visibility_ms = 2 * FOREVER_MS;
    return rig;
}

static void ten_outcomes_are_one_call(void **state)
{
    struct rig *rig = billed_rig(3);

    (void)state;
    rig_start(rig);
    for (int i = 0; i < 30; i++) {
        qe_fake_send(rig->fake, i % 10 == 5 ? "retry" : "quick", NULL);
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) >= 20);
    /* Each call takes along whatever is done by then. */
    assert_true(qe_fake_calls(rig->fake, QE_FAKE_SETTLE) <= 3);
    assert_true(rig->fake->largest_settle >= 10);
    rig_destroy(rig);
}

static void outcomes_are_told_in_the_order_in_which_they_came(void **state)
{
    struct rig *rig = billed_rig(2);
    struct qe_fake_event event;

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    for (int i = 1; i < 10; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
    }
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 10);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 10);
    assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, SIZE_MAX), 10);
    for (size_t i = 0; i < 10; i++) { /* the first to come was the last to be done */
        assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, SIZE_MAX, i, &event));
        assert_int_equal(event.message, (i + 1) % 10);
    }
    rig_destroy(rig);
}

static void what_waits_to_be_settled_keeps_no_worker_from_the_next_message(void **state)
{
    struct rig *rig = billed_rig(1);

    (void)state;
    for (int i = 0; i < 9; i++) {
        qe_fake_send(rig->fake, "nap", NULL); /* too slow to be fetched ahead in numbers */
    }
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 9);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_SETTLE), 0);
    assert_int_equal(atomic_load(&rig->stats->in_progress), 9);
    qe_fake_send(rig->fake, "quick", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 10);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_SETTLE), 1);
    assert_int_equal(rig->fake->largest_settle, 10);
    rig_destroy(rig);
}

static void one_outcome_waits_its_time_and_no_longer_poll_is_missed(void **state)
{
    struct rig *rig = billed_rig(2);
    struct qe_fake_event settled = {0};

    (void)state;
    rig->options.settle_wait_ms = 0; /* the usual 20 ms */
    rig_start(rig);
    qe_fake_send(rig->fake, "slow", NULL);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &settled));
    int64_t late_ms = settled.at_mono_ms - atomic_load(&rig->gate.ended_mono_ms);

    print_message("settled %lld ms after the handler\n", (long long)late_ms);
    assert_in_range(late_ms, 19, 5000);
    /* The poll that this cut short is not one that found the queue empty. */
    assert_int_equal(qe_counter_get(&rig->stats->empty_receives), 0);
    rig_destroy(rig);
}

static void stop_settles_at_once(void **state)
{
    struct rig *rig = billed_rig(2);

    (void)state;
    rig_start(rig);
    qe_fake_send(rig->fake, "quick", NULL);
    QE_WAIT_FOR(atomic_load(&rig->gate.ended_mono_ms) > 0);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + FOREVER_MS);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

static void delivery_that_is_about_to_lapse_does_not_wait(void **state)
{
    struct rig *rig = billed_rig(1);

    (void)state;
    rig->fake->visibility_ms = 900;
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 1);
    rig_destroy(rig);
}

static void ordered_queue_does_not_wait(void **state)
{
    struct rig *rig = billed_rig(1);

    (void)state;
    rig->fake->queues[0].kind = QE_KIND_FIFO;
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

static void group_of_a_queue_whose_kind_is_not_known_does_not_wait(void **state)
{
    struct rig *rig = billed_rig(1);

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_LIST, 1000, QE_ERR_AUTH);
    qe_fake_send(rig->fake, "quick", NULL);
    rig->fake->messages[0].group = "g";
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

static void group_of_an_unordered_queue_waits_like_any_other(void **state)
{
    struct rig *rig = billed_rig(1);

    (void)state;
    for (int i = 0; i < 9; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
        rig->fake->messages[i].group = "g";
    }
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 9);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_SETTLE), 0);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_outcomes_are_one_call),
        cmocka_unit_test(outcomes_are_told_in_the_order_in_which_they_came),
        cmocka_unit_test(what_waits_to_be_settled_keeps_no_worker_from_the_next_message),
        cmocka_unit_test(one_outcome_waits_its_time_and_no_longer_poll_is_missed),
        cmocka_unit_test(stop_settles_at_once),
        cmocka_unit_test(delivery_that_is_about_to_lapse_does_not_wait),
        cmocka_unit_test(ordered_queue_does_not_wait),
        cmocka_unit_test(group_of_a_queue_whose_kind_is_not_known_does_not_wait),
        cmocka_unit_test(group_of_an_unordered_queue_waits_like_any_other)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
