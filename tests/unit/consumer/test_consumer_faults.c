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
    assert_int_equal(qe_log_count(QE_LOG_WARN) - warnings, 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_that_cannot_be_opened_is_tried_until_it_can),
        cmocka_unit_test(failing_list_is_tried_again),
        cmocka_unit_test(receive_errors_are_one_line_and_end_with_a_new_handle),
        cmocka_unit_test(receive_error_without_a_result_is_survived),
        cmocka_unit_test(messages_in_hand_are_settled_while_receiving_fails),
        cmocka_unit_test(failed_settlement_is_tried_again),
        cmocka_unit_test(message_that_cannot_be_settled_comes_back_by_its_visibility),
        cmocka_unit_test(delete_with_a_stale_receipt_is_no_success),
        cmocka_unit_test(stale_delivery_is_not_extended_again),
        cmocka_unit_test(extension_that_the_broker_will_never_grant_is_not_tried_again),
        cmocka_unit_test(queue_that_may_not_be_listed_is_asked_for_by_name),
        cmocka_unit_test(queue_is_found_without_a_list),
        cmocka_unit_test(failed_extension_is_tried_again_before_the_delivery_lapses),
        cmocka_unit_test(permanent_error_without_dead_letter_queue_is_never_acknowledged),
        cmocka_unit_test(broker_that_cannot_dead_letter_or_extend_gets_the_message_back)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
