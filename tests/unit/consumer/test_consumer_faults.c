#include "unit/consumer/rig.h"

static void source_that_cannot_be_opened_is_tried_until_it_can(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_CREATE, 2, QE_ERR_PROTOCOL);
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_CREATE), 3);
    rig_destroy(rig);
}

static void failing_list_is_tried_again(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_LIST, 1, QE_ERR_NETWORK);
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

static void receive_errors_are_one_line_and_end_with_a_new_handle(void **state)
{
    struct rig *rig = rig_new(1);
    uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_RECEIVE, 3, QE_ERR_NETWORK);
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_CREATE), 2);
    assert_int_equal(qe_log_count(QE_LOG_WARN) - warnings, 1);
    rig_destroy(rig);
}

/* A client that looks at the result of a call that has none falls over here. */
static void receive_error_without_a_result_is_survived(void **state)
{
    static const enum qe_err_code codes[] = {QE_ERR_NETWORK, QE_ERR_NOMEM, QE_ERR_PROTOCOL,
                                             QE_ERR_TIMEOUT};
    struct rig *rig = rig_new(2);

    (void)state;
    rig_start(rig);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        qe_fake_fail(rig->fake, QE_FAKE_RECEIVE, 1, codes[i]);
        qe_fake_send(rig->fake, "quick", NULL);
        QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == i + 1);
    }
    assert_int_equal(qe_counter_get(&rig->stats->received), sizeof codes / sizeof codes[0]);
    rig_destroy(rig);
}

static void messages_in_hand_are_settled_while_receiving_fails(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_fail(rig->fake, QE_FAKE_RECEIVE, 1000000, QE_ERR_NETWORK);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

/* Every third failed receive closes the handle; after the sixth, none is tried for 3.2 s at least.
 */
static void running_message_is_kept_while_receiving_fails(void **state)
{
    struct rig *rig = rig_new(2);
    size_t extended;

    (void)state;
    rig->fake->visibility_ms = 2000;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_fail(rig->fake, QE_FAKE_RECEIVE, 1000000, QE_ERR_NETWORK);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_DESTROY) == 2);
    extended = qe_fake_count_events(rig->fake, QE_FAKE_EXTEND, 0);
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_EXTEND, 0) >= extended + 3);
    qe_fake_fail(rig->fake, QE_FAKE_RECEIVE, 0, QE_OK);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 1);
    assert_int_equal(atomic_load(&rig->gate.started), 1);
    rig_destroy(rig);
}

static void failed_settlement_is_tried_again(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 2, QE_ERR_NETWORK);
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_counter_get(&rig->stats->settle_failures), 2);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 1);
    rig_destroy(rig);
}

static void message_that_cannot_be_settled_comes_back_by_its_visibility(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    rig->fake->visibility_ms = 250;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 1000000, QE_ERR_IO);
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->redeliveries) >= 1);
    assert_int_equal(qe_counter_get(&rig->stats->processed), 0);
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 0, QE_OK);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

static void group_waits_for_a_message_whose_release_was_never_taken(void **state)
{
    const struct qe_fake_message a = {.customer = "a"};
    struct rig *rig = rig_new(1);
    struct qe_fake_event first;
    struct qe_fake_event next;

    (void)state;
    rig->fake->visibility_ms = 6000;
    rig->options.order_by = "customer";
    rig->gate.retry_delay_ms = 10;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 6, QE_ERR_IO);
    qe_fake_send_like(rig->fake, "once", &a);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->settle_failures) == 6);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 0); /* given up */
    qe_fake_send_like(rig->fake, "quick", &a);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0,
                              qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 0) - 1, &first));
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 1,
                              qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 1) - 1, &next));
    assert_int_equal(first.verb, QE_SETTLE_ACK);
    assert_true(next.at_mono_ms >= first.at_mono_ms);
    rig_destroy(rig);
}

/* Where no delivery lapses, a message that is forgotten would stay in hand as long as the
 * connection lives. */
static void release_that_fails_is_tried_until_it_is_taken(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    rig->fake->visibility_ms = 0;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 6, QE_ERR_IO);
    qe_fake_send(rig->fake, "once", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_counter_get(&rig->stats->settle_failures), 6);
    rig_destroy(rig);
}

/* It has waited its five seconds for a worker. */
static void what_cannot_be_given_back_waits_for_a_worker_again(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    rig->fake->visibility_ms = 0;
    rig_start(rig);
    rig_warm_up(rig, 40);
    qe_fake_send(rig->fake, "slow", NULL);
    for (int i = 0; i < 10; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
    }
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 41);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) > 1);
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 1000000, QE_ERR_THROTTLED);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->settle_failures) >= 1);
    assert_int_equal(atomic_load(&rig->gate.started), 41);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 51); /* and nothing was settled meanwhile */
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 0, QE_OK);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 51);
    assert_int_equal(qe_counter_get(&rig->stats->released), 0);
    rig_destroy(rig);
}

static void delete_with_a_stale_receipt_is_no_success(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_steal(rig->fake, 0);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->stale_settles) == 1);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 0);
    assert_int_equal(qe_counter_get(&rig->stats->processed), 0);
    assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 0), 1);
    rig_destroy(rig);
}

static void stale_delivery_is_not_extended_again(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    rig->fake->visibility_ms = 400;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    qe_fake_steal(rig->fake, 0);
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_EXTEND, 0) == 1);
    qe_fake_pause_ms(250);
    assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_EXTEND, 0), 1);
    assert_int_equal(qe_counter_get(&rig->stats->visibility_extensions), 0);
    rig_destroy(rig);
}

static void extension_that_the_broker_will_never_grant_is_not_tried_again(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    rig->fake->visibility_ms = 2000;
    qe_fake_fail(rig->fake, QE_FAKE_EXTEND, 1000, QE_ERR_INVALID);
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_EXTEND) == 1);
    qe_fake_pause_ms(400); /* a failed one would be tried again within 250 ms */
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_EXTEND), 1);
    rig_destroy(rig);
}

static void queue_that_may_not_be_listed_is_asked_for_by_name(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_LIST, 1000, QE_ERR_AUTH);
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_CREATE), 1);
    rig_destroy(rig);
}

/* A list of thousands is no way to find one. */
static void queue_is_found_without_a_list(void **state)
{
    static const struct {
        enum qe_err_code failure; /* of the first find */
        unsigned lists;
        unsigned creates;
    } rows[] = {{QE_OK, 0, 1},
                {QE_ERR_NOT_FOUND, 0, 1}, /* the driver says so again, when it is asked for */
                {QE_ERR_AUTH, 1, 1},
                {QE_ERR_NETWORK, 0, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig *rig = rig_new(1);

        rig->fake->can_find = true;
        qe_fake_fail(rig->fake, QE_FAKE_FIND, rows[i].failure == QE_OK ? 0 : 1, rows[i].failure);
        qe_fake_send(rig->fake, "quick", NULL);
        rig_start(rig);
        QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
        assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_LIST), rows[i].lists);
        assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_CREATE), rows[i].creates);
        rig_destroy(rig);
    }
}

static void failed_extension_is_tried_again_before_the_delivery_lapses(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    rig->fake->visibility_ms = 3000;
    qe_fake_fail(rig->fake, QE_FAKE_EXTEND, 1, QE_ERR_TIMEOUT);
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->visibility_extensions) == 1);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 1);
    rig_destroy(rig);
}

static void permanent_error_without_dead_letter_queue_is_never_acknowledged(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_fake_event event;
    uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    rig->fake->has_dead_letter_queue = false;
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_DEAD_LETTER);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 1, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    assert_int_equal(event.delay_ms, rig->options.retry_max_ms);
    assert_false(qe_fake_message(rig->fake, 0).gone);
    assert_int_equal(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]), 0);
    assert_int_equal(qe_log_count(QE_LOG_WARN) - warnings, 2); /* why, and what it lacks */
    rig_destroy(rig);
}

static void broker_that_cannot_dead_letter_or_extend_gets_the_message_back(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_fake_event event;

    (void)state;
    rig->options.driver = &qe_driver_fake_poor;
    qe_fake_send(rig->fake, "reject", NULL);
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    assert_int_equal(event.delay_ms, rig->options.retry_max_ms);
    rig_destroy(rig);
}

/* What opening asks: for the queue, for the dead-letter queue, and one list for both. */
static int64_t s_deadlines[3];
static size_t s_deadlines_count;

static int slow_find(void *self, const char *name, int64_t deadline_mono_ms, struct qe_queue *out,
                     struct qe_err *err)
{
    (void)self;
    (void)name;
    (void)out;
    s_deadlines[s_deadlines_count++] = deadline_mono_ms;
    qe_fake_pause_ms(20);
    return qe_err_set(err, QE_ERR_UNSUPPORTED, "it only lists");
}

static int slow_list(void *self, int64_t deadline_mono_ms, struct qe_queue_list *out,
                     struct qe_err *err)
{
    s_deadlines[s_deadlines_count++] = deadline_mono_ms;
    qe_fake_pause_ms(20);
    return qe_driver_fake.list(self, deadline_mono_ms, out, err);
}

static void all_that_opening_asks_has_one_deadline(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_driver driver = qe_driver_fake;

    (void)state;
    driver.find = slow_find;
    driver.list = slow_list;
    rig->options.driver = &driver;
    rig->options.dead_letter_queue = "orders-dlq";
    qe_fake_send(rig->fake, "quick", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    qe_consumer_destroy(rig->consumer); /* what its thread wrote can be read */
    rig->consumer = NULL;
    assert_int_equal(s_deadlines_count, 3);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(s_deadlines[i], s_deadlines[0]);
    }
    assert_true(s_deadlines[0] <= qe_clock_mono_ms() + 10000);
    rig_destroy(rig);
}

#define SLOW_EXTENSION_MS INT64_C(350)

static int slow_extend(void *self, const struct qe_queue *queue, struct qe_extension *extensions,
                       size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    qe_fake_pause_ms(SLOW_EXTENSION_MS);
    return qe_driver_fake.extend(self, queue, extensions, count, deadline_mono_ms, err);
}

static void slow_extensions_hold_up_no_settlement(void **state)
{
    struct rig *rig = rig_new(8);
    struct qe_driver driver = qe_driver_fake;
    struct qe_fake_event event;
    int64_t opened_mono_ms;

    (void)state;
    driver.extend = slow_extend;
    rig->options.driver = &driver;
    rig->fake->visibility_ms = 8000; /* all eight are due after four seconds */
    for (int i = 0; i < 8; i++) {
        qe_fake_send(rig->fake, "slow", NULL);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_EXTEND) >= 1);
    opened_mono_ms = qe_clock_mono_ms();
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 8);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &event));
    print_message("settled after %lld ms\n", (long long)(event.at_mono_ms - opened_mono_ms));
    assert_true(event.at_mono_ms - opened_mono_ms < 4 * SLOW_EXTENSION_MS);
    assert_int_equal(qe_counter_get(&rig->stats->visibility_extensions), 8);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_EXTEND), 1); /* what is due goes together */
    rig_destroy(rig);
}

#define LETTERS 80

static int slow_send(void *self, const struct qe_queue *to, struct qe_outgoing *messages,
                     size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    qe_fake_pause_ms(50);
    return qe_driver_fake.send(self, to, messages, count, deadline_mono_ms, err);
}

/* All of one handler call: four seconds of them, and three of a visibility. */
static void letters_hold_up_no_extension(void **state)
{
    struct rig *rig = rig_new(2);
    struct qe_driver driver = qe_driver_fake;
    struct qe_fake_message like = {0};
    uint64_t extended;

    (void)state;
    driver.send = slow_send;
    rig->options.driver = &driver;
    rig->options.dead_letter_queue = "orders-dlq";
    rig->options.batch_size = LETTERS;
    rig->fake->visibility_ms = 3000;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    like.visible_from_mono_ms = qe_clock_mono_ms() + 300; /* so that they come together */
    for (int i = 0; i < LETTERS; i++) {
        qe_fake_send_like(rig->fake, "reject", &like);
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]) == LETTERS);
    assert_in_range(atomic_load(&rig->gate.largest_batch), LETTERS / 2, LETTERS);
    extended = qe_counter_get(&rig->stats->visibility_extensions);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->visibility_extensions) > extended);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 1);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_that_cannot_be_opened_is_tried_until_it_can),
        cmocka_unit_test(failing_list_is_tried_again),
        cmocka_unit_test(receive_errors_are_one_line_and_end_with_a_new_handle),
        cmocka_unit_test(receive_error_without_a_result_is_survived),
        cmocka_unit_test(messages_in_hand_are_settled_while_receiving_fails),
        cmocka_unit_test(running_message_is_kept_while_receiving_fails),
        cmocka_unit_test(failed_settlement_is_tried_again),
        cmocka_unit_test(message_that_cannot_be_settled_comes_back_by_its_visibility),
        cmocka_unit_test(group_waits_for_a_message_whose_release_was_never_taken),
        cmocka_unit_test(release_that_fails_is_tried_until_it_is_taken),
        cmocka_unit_test(what_cannot_be_given_back_waits_for_a_worker_again),
        cmocka_unit_test(delete_with_a_stale_receipt_is_no_success),
        cmocka_unit_test(stale_delivery_is_not_extended_again),
        cmocka_unit_test(extension_that_the_broker_will_never_grant_is_not_tried_again),
        cmocka_unit_test(queue_that_may_not_be_listed_is_asked_for_by_name),
        cmocka_unit_test(queue_is_found_without_a_list),
        cmocka_unit_test(all_that_opening_asks_has_one_deadline),
        cmocka_unit_test(slow_extensions_hold_up_no_settlement),
        cmocka_unit_test(letters_hold_up_no_extension),
        cmocka_unit_test(failed_extension_is_tried_again_before_the_delivery_lapses),
        cmocka_unit_test(permanent_error_without_dead_letter_queue_is_never_acknowledged),
        cmocka_unit_test(broker_that_cannot_dead_letter_or_extend_gets_the_message_back)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
