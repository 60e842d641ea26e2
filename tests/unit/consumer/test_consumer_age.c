/* What a consumer tells of the age of its messages. */
#include "unit/consumer/rig.h"

static int64_t in_hand(const struct rig *rig)
{
    return atomic_load(&rig->stats->oldest_in_hand_sent_unix_ms);
}

static int64_t received(const struct rig *rig)
{
    return atomic_load(&rig->stats->last_receive_oldest_sent_unix_ms);
}

static void oldest_in_hand_is_told_until_it_is_settled(void **state)
{
    struct rig *rig = rig_new(3);
    int64_t now = qe_clock_unix_ms();

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    qe_fake_send(rig->fake, "nap", NULL);
    qe_fake_send(rig->fake, "slow", NULL);
    rig->fake->messages[0].sent_unix_ms = now - 30000;
    rig->fake->messages[1].sent_unix_ms = now - 90000;
    rig->fake->messages[2].sent_unix_ms = now - 60000;
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 3);
    assert_int_equal(received(rig), now - 90000);
    assert_true(atomic_load(&rig->stats->last_receive_unix_ms) >= now);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    QE_WAIT_FOR(in_hand(rig) == now - 60000); /* the oldest is gone, the next is told */
    /* A minute on, when the receive is history. */
    assert_double_equal(qe_consumer_stats_observed_age(rig->stats, now + 60000, 0, 1000), 120);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(in_hand(rig) == 0);
    rig_destroy(rig);
}

static void age_counts_from_when_a_message_came_into_this_queue(void **state)
{
    struct rig *rig = rig_new(1);
    int64_t now = qe_clock_unix_ms();

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    rig->fake->messages[0].sent_unix_ms =
        now - 90000; /* into the queue it was dead-lettered from */
    rig->fake->messages[0].enqueued_unix_ms = now - 5000;
    rig_start(rig);
    QE_WAIT_FOR(in_hand(rig) != 0);
    assert_int_equal(in_hand(rig), now - 5000);
    assert_int_equal(received(rig), now - 5000);
    rig_destroy(rig);
}

static void message_without_a_time_tells_no_age(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    rig->fake->messages[0].sent_unix_ms = 0;
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    assert_int_equal(in_hand(rig), 0);
    assert_int_equal(received(rig), 0);
    assert_true(atomic_load(&rig->stats->last_receive_unix_ms) > 0);
    assert_true(qe_consumer_stats_observed_age(rig->stats, qe_clock_unix_ms(), 0, 60000) < 0);
    rig_destroy(rig);
}

static void whole_empty_poll_ends_what_the_last_receive_told(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    rig->options.receive_wait_ms = 30;
    rig_start(rig);
    qe_fake_send(rig->fake, "quick", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    uint64_t empty = qe_counter_get(&rig->stats->empty_receives);

    QE_WAIT_FOR(qe_counter_get(&rig->stats->empty_receives) >= empty + 2);
    assert_int_equal(received(rig), 0);
    assert_int_equal(in_hand(rig), 0);
    assert_true(qe_consumer_stats_observed_age(rig->stats, qe_clock_unix_ms(), 0, 60000) < 0);
    rig_destroy(rig);
}

static void stop_leaves_no_age_behind(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(in_hand(rig) != 0);
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 1000000,
                 QE_ERR_NETWORK); /* nothing can be given back */
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms());
    qe_consumer_join(rig->consumer);
    assert_int_equal(in_hand(rig), 0);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oldest_in_hand_is_told_until_it_is_settled),
        cmocka_unit_test(age_counts_from_when_a_message_came_into_this_queue),
        cmocka_unit_test(message_without_a_time_tells_no_age),
        cmocka_unit_test(whole_empty_poll_ends_what_the_last_receive_told),
        cmocka_unit_test(stop_leaves_no_age_behind)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
