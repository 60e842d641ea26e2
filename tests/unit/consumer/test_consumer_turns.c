/* A reload: the consumer of before, which ends, and the one that follows it. */
#include "consumer/order.h"
#include "consumer/turns.h"
#include "unit/consumer/rig.h"

struct turns_rig {
    struct rig *rig;
    struct qe_turns *turns;
    struct qe_consumer *before;
};

static struct turns_rig two_new(const char *order_by)
{
    struct qe_err err = {0};
    struct turns_rig two = {.rig = rig_new(4), .turns = qe_turns_new(&err)};

    assert_non_null(two.turns);
    two.rig->options.turns = two.turns;
    two.rig->options.order_by = order_by;
    return two;
}

/* The one that runs has all the time it wants to end in, and its successor starts. */
static void two_reload(struct turns_rig *two)
{
    two->before = two->rig->consumer;
    qe_consumer_stop(two->before, qe_clock_mono_ms() + 600000);
    rig_start(two->rig);
}

static void two_destroy(struct turns_rig *two)
{
    atomic_store(&two->rig->gate.open, true);
    qe_consumer_destroy(two->before);
    rig_destroy(two->rig);
    qe_turns_destroy(two->turns);
}

static void group_stays_in_order_across_a_reload(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct turns_rig two = two_new("customer");
    struct rig *rig = two.rig;
    struct qe_fake_event first;
    struct qe_fake_event next;

    (void)state;
    qe_fake_send_like(rig->fake, "slow", &a);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_send_like(rig->fake, "quick", &a);
    two_reload(&two);
    qe_fake_send_like(rig->fake, "quick", &a);
    qe_fake_pause_ms(200);
    assert_int_equal(atomic_load(&rig->gate.started), 1); /* those behind it wait */
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 3);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &first));
    for (size_t i = 1; i < 3; i++) {
        size_t last = qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, i) - 1;

        assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, i, last, &next));
        assert_int_equal(next.verb, QE_SETTLE_ACK);
        assert_true(next.at_mono_ms >= first.at_mono_ms);
    }
    two_destroy(&two);
}

static void group_that_a_failure_holds_is_held_after_a_reload_too(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    const struct qe_fake_message b = {.customer = "b"};
    struct turns_rig two = two_new("customer");
    struct rig *rig = two.rig;
    struct qe_fake_event first;
    struct qe_fake_event next;

    (void)state;
    rig->gate.retry_delay_ms = 700;
    qe_fake_send_like(rig->fake, "once", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    two_reload(&two);
    qe_fake_send_like(rig->fake, "quick", &a);
    qe_fake_send_like(rig->fake, "quick", &b);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 2).gone);
    assert_false(qe_fake_message(rig->fake, 1).gone);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 3);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 1, &first));
    assert_int_equal(first.verb, QE_SETTLE_ACK);
    size_t last = qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 1) - 1;
    assert_true(last > 0); /* it was given back behind it */
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, last, &next));
    assert_true(next.at_mono_ms >= first.at_mono_ms);
    two_destroy(&two);
}

static void one_that_a_second_reload_ends_before_it_began_stands_in_nobodys_way(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct turns_rig two = two_new("customer");
    struct rig *rig = two.rig;
    struct qe_consumer *oldest;

    (void)state;
    qe_fake_send_like(rig->fake, "slow", &a);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_send_like(rig->fake, "quick", &a);
    two_reload(&two);
    oldest = two.before;
    two_reload(&two);
    qe_consumer_destroy(two.before); /* the second: ends while the first still runs */
    two.before = oldest;
    qe_fake_pause_ms(100);
    assert_int_equal(atomic_load(&rig->gate.started), 1);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    two_destroy(&two);
}

/* One that cannot be killed, say. Its group waits for its message, the others for nothing. */
static void one_whose_handler_hangs_is_waited_for_no_longer_than_its_stop(int64_t visibility_ms)
{
    const struct qe_fake_message a = {.customer = "a"};
    const struct qe_fake_message b = {.customer = "b"};
    struct turns_rig two = two_new("customer");
    struct rig *rig = two.rig;
    struct qe_fake_event first;
    struct qe_fake_event next;

    rig->fake->visibility_ms = visibility_ms;
    qe_fake_send_like(rig->fake, "stubborn", &a);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    two_reload(&two);
    qe_consumer_stop(two.before, qe_clock_mono_ms());
    qe_fake_send_like(rig->fake, "quick", &a);
    qe_fake_send_like(rig->fake, "quick", &b);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 2).gone);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 0).receives == 2); /* others have it */
    assert_false(qe_fake_message(rig->fake, 1).gone);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 0).gone && qe_fake_message(rig->fake, 1).gone);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &first));
    size_t last = qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 1) - 1;
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, last, &next));
    assert_int_equal(next.verb, QE_SETTLE_ACK);
    assert_true(next.at_mono_ms >= first.at_mono_ms);
    two_destroy(&two);
}

static void hanging_handler_stops_no_queue(void **state)
{
    (void)state;
    one_whose_handler_hangs_is_waited_for_no_longer_than_its_stop(2000);
}

static void hanging_handler_stops_no_queue_where_no_delivery_lapses(void **state)
{
    (void)state;
    one_whose_handler_hangs_is_waited_for_no_longer_than_its_stop(0);
}

/* The broker has it until its delivery lapses, and gives it to others only then. */
static void message_not_settled_before_the_stop_holds_its_group_until_it_lapses(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    const struct qe_fake_message b = {.customer = "b"};
    struct turns_rig two = two_new("customer");
    struct rig *rig = two.rig;
    struct qe_fake_event first;
    struct qe_fake_event next;

    (void)state;
    rig->fake->visibility_ms = 5000;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 1000000, QE_ERR_NETWORK);
    qe_fake_send_like(rig->fake, "first", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->settle_failures) >= 1);
    two_reload(&two);
    qe_consumer_stop(two.before, qe_clock_mono_ms());
    qe_consumer_join(two.before);
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 0, QE_OK);
    qe_fake_send_like(rig->fake, "second", &a);
    qe_fake_send_like(rig->fake, "quick", &b);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 2).gone);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 0).gone && qe_fake_message(rig->fake, 1).gone);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &first));
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 2);
    size_t last = qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 1) - 1;
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, last, &next));
    assert_int_equal(next.verb, QE_SETTLE_ACK);
    assert_true(next.at_mono_ms >= first.at_mono_ms);
    two_destroy(&two);
}

/* What ends after that is in the next one's hands: it would hold its group once more, and for
 * nobody. */
static void one_that_has_passed_leaves_nothing_to_those_after_the_next(void **state)
{
    const struct qe_order_entry entry = {.group_hash = 1, .name = {.id = 1}, .rank = 1};
    struct qe_turn turn[3] = {{0}};
    struct qe_order *order[3];
    struct qe_err err = {0};
    struct qe_turns *turns = qe_turns_new(&err);

    (void)state;
    assert_non_null(turns);
    assert_int_equal(qe_turns_keep_order(turns), 0);
    for (size_t i = 0; i < 3; i++) {
        order[i] = qe_calloc(1, sizeof *order[i]);
        assert_non_null(order[i]);
        qe_turns_join(turns, &turn[i]);
    }
    qe_order_add(order[0], &entry);
    qe_turns_pass(turns, &turn[0], order[0]);
    assert_true(qe_turns_begin(turns, &turn[1], order[1]));
    assert_true(qe_order_holds(order[1], 1, 2));
    qe_order_remove(order[1], 1, 1); /* it has come */
    qe_order_add(order[0], &entry);
    qe_turns_leave(turns, &turn[0], order[0]);
    qe_turns_leave(turns, &turn[1], order[1]);
    assert_true(qe_turns_begin(turns, &turn[2], order[2]));
    assert_false(qe_order_holds(order[2], 1, 2));
    qe_turns_leave(turns, &turn[2], order[2]);
    for (size_t i = 0; i < 3; i++) {
        qe_free(order[i]);
    }
    qe_turns_destroy(turns);
}

/* Received and not begun: it goes back with its place in its group. */
static void at_most_once_keeps_its_groups_in_order_across_a_reload(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct turns_rig two = two_new("customer");
    struct rig *rig = two.rig;

    (void)state;
    rig->options.delivery = QE_DELIVERY_AT_MOST_ONCE;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 1000, QE_ERR_NETWORK); /* no acknowledgement, yet */
    qe_fake_send_like(rig->fake, "slow", &a);
    qe_fake_send_like(rig->fake, "quick", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->received) == 2);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->settle_failures) >= 2);
    pthread_mutex_lock(&rig->fake->lock);
    rig->fake->newest_first = true;
    pthread_mutex_unlock(&rig->fake->lock);
    two_reload(&two);
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 0, QE_OK);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) >= 1);
    assert_int_equal(qe_counter_get(&rig->stats->released), 2);
    qe_fake_pause_ms(100);
    assert_int_equal(atomic_load(&rig->gate.started), 1); /* the slow one */
    assert_int_equal(qe_counter_get(&rig->stats->processed), 0);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    two_destroy(&two);
}

static void without_order_the_new_one_works_while_the_old_one_ends(void **state)
{
    struct turns_rig two = two_new(NULL);
    struct rig *rig = two.rig;

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    two_reload(&two);
    qe_fake_send(rig->fake, "quick", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    two_destroy(&two);
}

static void oldest_in_hand_is_that_of_both_and_the_circuit_that_of_the_new_one(void **state)
{
    struct turns_rig two = two_new(NULL);
    struct rig *rig = two.rig;
    const atomic_int_least64_t *oldest = &rig->stats->oldest_in_hand_sent_unix_ms;
    int64_t now = qe_clock_unix_ms();

    (void)state;
    rig->options.circuit_failures = 1;
    rig->options.circuit_pause_ms = 3600000;
    qe_fake_send(rig->fake, "slow", NULL);
    rig->fake->messages[0].sent_unix_ms = now - 90000;
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    QE_WAIT_FOR(atomic_load(oldest) == now - 90000);
    two_reload(&two);
    qe_fake_send(rig->fake, "retry", NULL); /* opens the circuit of the new one */
    QE_WAIT_FOR(atomic_load(&rig->stats->circuit) == QE_CIRCUIT_OPEN);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 1);
    assert_int_equal(atomic_load(oldest), now - 90000); /* it has nothing, but the old one has */
    atomic_store(&rig->gate.open, true);
    qe_consumer_destroy(two.before); /* whose circuit was closed to the end */
    two.before = NULL;
    QE_WAIT_FOR(atomic_load(oldest) == 0);
    assert_int_equal(atomic_load(&rig->stats->circuit), QE_CIRCUIT_OPEN);
    two_destroy(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_stays_in_order_across_a_reload),
        cmocka_unit_test(group_that_a_failure_holds_is_held_after_a_reload_too),
        cmocka_unit_test(one_that_a_second_reload_ends_before_it_began_stands_in_nobodys_way),
        cmocka_unit_test(hanging_handler_stops_no_queue),
        cmocka_unit_test(hanging_handler_stops_no_queue_where_no_delivery_lapses),
        cmocka_unit_test(message_not_settled_before_the_stop_holds_its_group_until_it_lapses),
        cmocka_unit_test(one_that_has_passed_leaves_nothing_to_those_after_the_next),
        cmocka_unit_test(at_most_once_keeps_its_groups_in_order_across_a_reload),
        cmocka_unit_test(without_order_the_new_one_works_while_the_old_one_ends),
        cmocka_unit_test(oldest_in_hand_is_that_of_both_and_the_circuit_that_of_the_new_one)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
