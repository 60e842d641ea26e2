/* What bounds a consumer: batches, ordered groups, rate, circuit breaker, memory. */
#include "unit/consumer/rig.h"

/* --- batches --- */

static struct rig *rig_with_batches(size_t size, int64_t wait_ms)
{
    struct rig *rig = rig_new(1);

    rig->options.batch_size = size;
    rig->options.batch_wait_ms = wait_ms;
    return rig;
}

static void batch_is_handed_over_whole_with_a_result_per_message(void **state)
{
    static const char *const ids[] = {"quick", "reject", "quick", "retry", "quick"};
    struct rig *rig = rig_with_batches(5, 600000);

    (void)state;
    rig->gate.retry_delay_ms = 3600000;
    for (size_t i = 0; i < 5; i++) {
        qe_fake_send(rig->fake, ids[i], NULL);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 3);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]) == 1);
    assert_int_equal(atomic_load(&rig->gate.largest_batch), 5);
    assert_int_equal(atomic_load(&rig->gate.started), 5);
    rig_destroy(rig);
}

static void part_of_a_batch_is_handed_over_when_its_time_is_up(void **state)
{
    struct rig *rig = rig_with_batches(100, 60);
    int64_t began;

    (void)state;
    rig_start(rig);
    began = qe_clock_mono_ms();
    qe_fake_send(rig->fake, "quick", NULL);
    qe_fake_pause_ms(20);
    qe_fake_send(rig->fake, "quick", NULL);
    qe_fake_send(rig->fake, "quick", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 3);
    print_message("after %lld ms\n", (long long)(qe_clock_mono_ms() - began));
    assert_in_range(atomic_load(&rig->gate.ended_mono_ms) - began, 55, 10000);
    assert_in_range(atomic_load(&rig->gate.largest_batch), 2, 3);
    rig_destroy(rig);
}

static void part_of_a_batch_that_waits_goes_back_at_once_when_the_consumer_stops(void **state)
{
    struct rig *rig = rig_with_batches(10, 600000);

    (void)state;
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 1);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_int_equal(atomic_load(&rig->gate.started), 0);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 0);
    assert_true(qe_fake_message(rig->fake, 0).visible_from_mono_ms <= qe_clock_mono_ms());
    rig_destroy(rig);
}

static void handler_that_takes_one_at_a_time_is_refused_batches(void **state)
{
    struct qe_handler single = s_gate_handler;
    struct rig *rig = rig_with_batches(2, 10);
    struct qe_err err = {0};

    (void)state;
    single.takes_batches = false;
    rig->options.handler = &single;
    assert_null(qe_consumer_new(&rig->options, &err));
    assert_int_equal(err.code, QE_ERR_INVALID);
    rig_destroy(rig);
}

/* --- ordered groups --- */

static struct rig *rig_in_order(uint64_t workers)
{
    struct rig *rig = rig_new(workers);

    rig->options.order_by = "customer";
    return rig;
}

static void
messages_of_a_group_are_handled_one_after_the_other_and_groups_beside_each_other(void **state)
{
    const struct qe_fake_message of[] = {{.customer = "a"}, {.customer = "b"}};
    struct rig *rig = rig_in_order(8);

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        qe_fake_send_like(rig->fake, "nap", &of[i % 2]);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 20);
    assert_int_equal(atomic_load(&rig->gate.most_at_once), 2);
    for (size_t i = 2; i < 20; i++) { /* in their order */
        struct qe_fake_event before;
        struct qe_fake_event after;

        assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, i - 2, 0, &before));
        assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, i, 0, &after));
        assert_true(before.at_mono_ms <= after.at_mono_ms);
    }
    rig_destroy(rig);
}

/* Where the broker counts what was given back unhandled, that is no try all the same. */
static void what_a_group_holds_keeps_all_its_tries(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct rig *rig = rig_in_order(2);
    struct qe_driver counts = qe_driver_fake;

    (void)state;
    counts.caps &= ~(uint32_t)QE_CAP_UNRECEIVE;
    rig->options.driver = &counts;
    rig->options.max_receives = 3;
    rig->gate.retry_delay_ms = 100;
    qe_fake_send_like(rig->fake, "nap-once", &a);
    qe_fake_send_like(rig->fake, "held-retry", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 1).dead);
    assert_true(qe_fake_message(rig->fake, 0).gone);
    assert_true(qe_fake_message(rig->fake, 1).receives > 3);
    assert_int_equal(atomic_load(&rig->gate.started), 2 + 3);
    rig_destroy(rig);
}

static void failure_holds_its_own_group_and_no_other(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    const struct qe_fake_message b = {.customer = "b"};
    struct rig *rig = rig_in_order(4);
    struct qe_fake_event first;
    struct qe_fake_event second;

    (void)state;
    rig->gate.retry_delay_ms = 300;
    qe_fake_send_like(rig->fake, "nap-once", &a);
    qe_fake_send_like(rig->fake, "quick", &a);
    qe_fake_send_like(rig->fake, "quick", &b);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 2).gone);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) >= 2);
    qe_fake_send_like(rig->fake, "quick", &a); /* comes while the group is held */
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 4);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 1, &first)); /* after its retry */
    assert_int_equal(first.verb, QE_SETTLE_ACK);
    for (size_t i = 1; i < 4; i += 2) {
        size_t last = qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, i) - 1;

        assert_true(last > 0); /* it was given back */
        assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, i, last, &second));
        assert_int_equal(second.verb, QE_SETTLE_ACK);
        assert_true(second.at_mono_ms >= first.at_mono_ms);
        assert_int_equal(qe_fake_message(rig->fake, i).receives, 1); /* as if nothing had been */
    }
    rig_destroy(rig);
}

/* RabbitMQ gives ids only to those whose sender did. */
static void failure_holds_its_group_where_messages_have_no_ids(void **state)
{
    const struct qe_fake_message first = {.customer = "a", .correlation_id = "1"};
    const struct qe_fake_message next = {.customer = "a", .correlation_id = "2"};
    struct rig *rig = rig_in_order(2);
    struct qe_fake_event event;

    (void)state;
    rig->gate.fails_first = true;
    rig->gate.retry_delay_ms = 500;
    qe_fake_send_like(rig->fake, "", &first);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    qe_fake_send_like(rig->fake, "", &next);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 1, &event));
    assert_int_equal(event.verb, QE_SETTLE_ACK); /* the first to come back ends the hold */
    const int64_t first_mono_ms = event.at_mono_ms;
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE); /* which it is not */
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, 1, &event));
    assert_int_equal(event.verb, QE_SETTLE_ACK);
    assert_true(event.at_mono_ms >= first_mono_ms);
    rig_destroy(rig);
}

/* The broker's delay begins when it is told, which may take a while. */
static void failure_holds_its_group_from_when_the_broker_was_told(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct rig *rig = rig_in_order(2);
    struct qe_fake_event event;

    (void)state;
    rig->gate.retry_delay_ms = 1500;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 4, QE_ERR_NETWORK); /* 100 + 200 + 400 + 800 ms */
    qe_fake_send_like(rig->fake, "once", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    qe_fake_pause_ms(300); /* 1.8 s after it failed, and 1.2 before it comes back */
    qe_fake_send_like(rig->fake, "quick", &a);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    rig_destroy(rig);
}

#define STEP_MS 500

static int64_t in_steps(int64_t asked_ms)
{
    return (asked_ms + STEP_MS - 1) / STEP_MS * STEP_MS;
}

static void failure_holds_its_group_until_it_is_back_where_delays_are_rounded_up(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct rig *rig = rig_in_order(2);
    struct qe_driver driver = qe_driver_fake;
    struct qe_fake_event event;

    (void)state;
    driver.delay_ms = in_steps;
    rig->options.driver = &driver;
    rig->fake->delay_step_ms = STEP_MS;
    rig->gate.retry_delay_ms = 20;
    qe_fake_send_like(rig->fake, "once", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    qe_fake_pause_ms(100); /* longer than was asked for */
    qe_fake_send_like(rig->fake, "quick", &a);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    rig_destroy(rig);
}

static void message_that_no_dead_letter_queue_takes_holds_its_group(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct rig *rig = rig_in_order(2);
    struct qe_fake_event event;

    (void)state;
    rig->fake->has_dead_letter_queue = false;
    rig->options.retry_max_ms = 200;
    qe_fake_send_like(rig->fake, "nap-reject", &a);
    qe_fake_send_like(rig->fake, "quick", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 1) >= 1);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    assert_false(qe_fake_message(rig->fake, 1).gone);
    rig_destroy(rig);
}

static void message_that_is_given_back_takes_along_what_is_behind_it_in_its_group(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct rig *rig = rig_in_order(3);
    struct qe_fake_event event;

    (void)state;
    rig->fake->visibility_ms = 600;
    qe_fake_send_like(rig->fake, "slow", &a);
    qe_fake_send_like(rig->fake, "quick", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 1).receives == 1);
    qe_fake_pause_ms(150);
    qe_fake_send_like(rig->fake, "quick", &a); /* waits a while less */
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, 2) == 1);
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 1) >= 1);
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 2) >= 1);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1, 0, &event));
    const int64_t first_mono_ms = event.at_mono_ms;
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 2, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    assert_true(event.at_mono_ms <= first_mono_ms + 50);
    rig_destroy(rig);
}

/* --- rate --- */

static void rate_limit_holds_back_receiving_and_not_what_was_received(void **state)
{
    struct rig *rig = rig_new(8);
    int64_t began;

    (void)state;
    rig->options.messages_per_second = 50;
    for (int i = 0; i < 1000; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
    }
    began = qe_clock_mono_ms();
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) >= 80);
    uint64_t received = qe_counter_get(&rig->stats->received);
    int64_t spent_ms = qe_clock_mono_ms() - began;
    print_message("%llu in %lld ms\n", (unsigned long long)received, (long long)spent_ms);
    /* One second's worth at once, where the machine let it collect that much. */
    assert_true(received <= (uint64_t)spent_ms * 50 / 1000 + 51);
    assert_int_equal(qe_counter_get(&rig->stats->released), 0);
    rig_destroy(rig);
}

/* What a group holds goes back, and costs the others nothing. */
static void rate_limit_counts_what_is_handled_and_not_what_goes_back(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    const struct qe_fake_message b = {.customer = "b"};
    struct rig *rig = rig_in_order(4);
    char id[16];

    (void)state;
    rig->options.messages_per_second = 4;
    rig->gate.retry_delay_ms = 3600000;
    qe_fake_send_like(rig->fake, "retry", &a);
    for (int i = 0; i < 60; i++) {
        (void)snprintf(id, sizeof id, "held-%d", i);
        qe_fake_send_like(rig->fake, id, &a);
    }
    for (int i = 0; i < 20; i++) {
        qe_fake_send_like(rig->fake, "quick", &b);
    }
    const int64_t began = qe_clock_mono_ms();
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) >= 1);
    const int64_t first_ms = qe_clock_mono_ms() - began;
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) >= 8);
    const unsigned handled = atomic_load(&rig->gate.started);
    const int64_t spent_ms = qe_clock_mono_ms() - began;
    print_message("the first after %lld ms, %u in %lld ms\n", (long long)first_ms, handled,
                  (long long)spent_ms);
    assert_true(first_ms < 8000); /* else 15 s: 60 at four a second */
    assert_true(handled <= (uint64_t)spent_ms * 4 / 1000 + 5);
    for (size_t i = 1; i <= 60; i++) {
        assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, i), 1);
    }
    rig_destroy(rig);
}

/* --- circuit breaker --- */

static void circuit_opens_when_handling_fails_probes_with_one_and_closes(void **state)
{
    struct rig *rig = rig_new(2);
    uint64_t received;

    (void)state;
    rig->options.circuit_failures = 5;
    rig->options.circuit_pause_ms = 200;
    rig->gate.retry_delay_ms = 3600000;
    assert_false(atomic_load(&rig->stats->has_circuit));
    for (int i = 0; i < 40; i++) {
        qe_fake_send(rig->fake, i < 10 ? "nap-retry" : "nap", NULL);
    }
    rig_start(rig);
    assert_true(atomic_load(&rig->stats->has_circuit));
    QE_WAIT_FOR(atomic_load(&rig->stats->circuit) == QE_CIRCUIT_OPEN);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 0);
    received = qe_counter_get(&rig->stats->received);
    assert_in_range(received, 5, 15); /* those in hand are handled all the same */
    qe_fake_pause_ms(50);
    assert_int_equal(qe_counter_get(&rig->stats->received), received);
    /* Each of the bad ones that are left is a probe, which opens it again. */
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 30);
    assert_int_equal(atomic_load(&rig->stats->circuit), QE_CIRCUIT_CLOSED);
    assert_int_equal(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]), 10);
    rig_destroy(rig);
}

static void rejected_messages_do_not_open_the_circuit(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    rig->options.circuit_failures = 2;
    rig->options.circuit_pause_ms = 3600000;
    for (int i = 0; i < 20; i++) {
        qe_fake_send(rig->fake, "reject", NULL);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]) == 20);
    assert_int_equal(atomic_load(&rig->stats->circuit), QE_CIRCUIT_CLOSED);
    rig_destroy(rig);
}

/* --- memory --- */

static void bodies_in_hand_are_bounded_whatever_the_backlog(void **state)
{
    const struct qe_fake_message large = {.body_bytes = (size_t)1 << 20};
    struct rig *rig = rig_new(16);

    (void)state;
    rig->options.max_in_hand_bytes = (size_t)4 << 20;
    rig_start(rig);
    qe_fake_send_like(rig->fake, "quick", &large); /* now it knows how large they are */
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    for (int i = 0; i < 100; i++) {
        qe_fake_send_like(rig->fake, "slow", &large);
    }
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 4);
    qe_fake_pause_ms(50);
    assert_int_equal(atomic_load(&rig->stats->in_progress), 4); /* of 16 that have a worker */
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 101);
    rig_destroy(rig);
}

/* The broker takes no reply for now: what is done waits with it. */
static void replies_that_wait_take_the_room_of_bodies(void **state)
{
    const struct qe_fake_message request = {.reply_to = "answers", .body_bytes = 1000};
    static char s_reply[((size_t)1 << 20) + 1];
    struct rig *rig = rig_new(2);

    (void)state;
    memset(s_reply, 'r', sizeof s_reply - 1);
    rig->gate.reply = s_reply;
    rig->options.max_in_hand_bytes = (size_t)4 << 20;
    qe_fake_fail(rig->fake, QE_FAKE_SEND, 1000000, QE_ERR_NETWORK);
    for (int i = 0; i < 100; i++) {
        qe_fake_send_like(rig->fake, "quick", &request);
    }
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) >= 3);
    qe_fake_pause_ms(100);
    assert_int_equal(atomic_load(&rig->gate.started), 3); /* a fourth might be too much */
    qe_fake_fail(rig->fake, QE_FAKE_SEND, 0, QE_ERR_NETWORK);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 100);
    rig_destroy(rig);
}

static void message_larger_than_all_that_is_allowed_is_handled_alone(void **state)
{
    const struct qe_fake_message large = {.body_bytes = (size_t)3 << 20};
    struct rig *rig = rig_new(4);

    (void)state;
    rig->options.max_in_hand_bytes = (size_t)1 << 20;
    rig_start(rig);
    qe_fake_send_like(rig->fake, "quick", &large);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    for (int i = 0; i < 5; i++) {
        qe_fake_send_like(rig->fake, "nap", &large);
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 6);
    assert_int_equal(atomic_load(&rig->gate.most_at_once), 1);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_is_handed_over_whole_with_a_result_per_message),
        cmocka_unit_test(part_of_a_batch_is_handed_over_when_its_time_is_up),
        cmocka_unit_test(part_of_a_batch_that_waits_goes_back_at_once_when_the_consumer_stops),
        cmocka_unit_test(handler_that_takes_one_at_a_time_is_refused_batches),
        cmocka_unit_test(
            messages_of_a_group_are_handled_one_after_the_other_and_groups_beside_each_other),
        cmocka_unit_test(what_a_group_holds_keeps_all_its_tries),
        cmocka_unit_test(failure_holds_its_own_group_and_no_other),
        cmocka_unit_test(failure_holds_its_group_where_messages_have_no_ids),
        cmocka_unit_test(failure_holds_its_group_from_when_the_broker_was_told),
        cmocka_unit_test(failure_holds_its_group_until_it_is_back_where_delays_are_rounded_up),
        cmocka_unit_test(message_that_no_dead_letter_queue_takes_holds_its_group),
        cmocka_unit_test(message_that_is_given_back_takes_along_what_is_behind_it_in_its_group),
        cmocka_unit_test(rate_limit_holds_back_receiving_and_not_what_was_received),
        cmocka_unit_test(rate_limit_counts_what_is_handled_and_not_what_goes_back),
        cmocka_unit_test(circuit_opens_when_handling_fails_probes_with_one_and_closes),
        cmocka_unit_test(rejected_messages_do_not_open_the_circuit),
        cmocka_unit_test(bodies_in_hand_are_bounded_whatever_the_backlog),
        cmocka_unit_test(replies_that_wait_take_the_room_of_bodies),
        cmocka_unit_test(message_larger_than_all_that_is_allowed_is_handled_alone)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
