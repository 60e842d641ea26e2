
#include "unit/consumer/rig.h"

static void every_message_is_handled_acknowledged_and_counted_once(void **state)
{
    struct rig *rig = rig_new(4);
    const uint64_t count = 300;

    (void)state;
    for (uint64_t i = 0; i < count; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == count);
    assert_int_equal(qe_fake_count_gone(rig->fake), count);
    assert_int_equal(qe_counter_get(&rig->stats->received), count);
    assert_int_equal(qe_counter_get(&rig->stats->redeliveries), 0);
    assert_int_equal(qe_counter_get(&rig->stats->released), 0);
    assert_int_equal(qe_histogram_count(&rig->stats->handling_seconds[QE_OUTCOME_SUCCESS]), count);
    assert_int_equal(qe_histogram_count(&rig->stats->wait_seconds), count);
    assert_int_equal(qe_histogram_count(&rig->stats->receives), count);
    assert_true(atomic_load(&rig->stats->last_success_unix_ms) > 0);
    assert_true(atomic_load(&rig->stats->active));
    assert_int_equal(atomic_load(&rig->stats->workers), 4);
    assert_true(rig->fake->largest_settle > 1); /* settled in lots */
    rig_destroy(rig);
}

static void outcome_is_settled_at_once_though_a_long_poll_runs(void **state)
{
    struct rig *rig = rig_new(2);
    struct qe_fake_event settled = {0};

    (void)state;
    rig->options.receive_wait_ms = 600000;
    rig_start(rig);
    qe_fake_send(rig->fake, "slow", NULL);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_RECEIVE) >= 2); /* the next long poll */
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &settled));
    int64_t late_ms = settled.at_mono_ms - atomic_load(&rig->gate.ended_mono_ms);
    print_message("settled %lld ms after the handler\n", (long long)late_ms);
    assert_in_range(late_ms, 0, 5000);
    rig_destroy(rig);
}

static void one_slow_message_does_not_hold_back_the_others(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    rig_start(rig);
    rig_warm_up(rig, 40);
    qe_fake_send(rig->fake, "slow", NULL);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 41);
    for (int i = 0; i < 200; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 240);
    assert_false(qe_fake_message(rig->fake, 40).gone);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 241);
    rig_destroy(rig);
}

static void messages_behind_a_stuck_worker_are_given_back_for_others(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_fake_event event;
    size_t received;

    (void)state;
    rig->fake->visibility_ms = 1000;
    rig_start(rig);
    rig_warm_up(rig, 40);
    qe_fake_send(rig->fake, "slow", NULL);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 41);
    qe_fake_send(rig->fake, "quick", NULL); /* fetched ahead, or (on a slow machine) left alone */
    QE_WAIT_FOR(qe_counter_get(&rig->stats->visibility_extensions) >= 2);
    received = qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, 41);
    assert_in_range(received, 0, 1); /* given back, it is not fetched again meanwhile */
    assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 41), received);
    if (qe_fake_event(rig->fake, QE_FAKE_SETTLE, 41, 0, &event)) {
        assert_true(event.unhandled);
    }
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 42);
    assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_EXTEND, 41), 0);
    assert_int_equal(qe_fake_message(rig->fake, 41).receives, 1);
    rig_destroy(rig);
}

static void slow_handlers_fetch_nothing_ahead(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    for (int i = 0; i < 10; i++) {
        qe_fake_send(rig->fake, "slow", NULL);
    }
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 2);
    qe_fake_pause_ms(30);
    assert_int_equal(qe_counter_get(&rig->stats->received), 2);
    assert_int_equal(atomic_load(&rig->stats->in_progress), 2);
    assert_int_equal(atomic_load(&rig->stats->workers_busy), 2);
    rig_destroy(rig);
}

static void retry_is_released_with_backoff_and_delivered_again(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_fake_event event;

    (void)state;
    rig->options.retry_initial_ms = 4;
    rig->options.retry_max_ms = 8;
    qe_fake_send(rig->fake, "retry", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 0) >= 6);
    for (size_t i = 0; i < 6; i++) {
        assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, i, &event));
        assert_int_equal(event.verb, QE_SETTLE_RELEASE);
        assert_in_range(event.delay_ms, 0, i == 0 ? 4 : 8);
    }
    assert_true(qe_counter_get(&rig->stats->redeliveries) >= 4);
    assert_true(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]) >= 6);
    assert_int_equal(qe_counter_get(&rig->stats->processed), 0);
    assert_int_equal(qe_histogram_count(&rig->stats->wait_seconds), 1); /* the first handling */
    rig_destroy(rig);
}

static void last_receive_goes_to_the_dead_letter_queue(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    rig->options.max_receives = 3;
    rig->gate.retry_delay_ms = 0;
    qe_fake_send(rig->fake, "retry", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
    assert_true(qe_fake_message(rig->fake, 0).dead);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 3);
    assert_string_equal(qe_fake_message(rig->fake, 0).dead_reason, "max_receives: try 3");
    assert_int_equal(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]), 3);
    assert_int_equal(qe_counter_get(&rig->stats->released), 2);
    rig_destroy(rig);
}

static void the_handlers_own_reason_is_counted_and_kept(void **state)
{
    struct rig *rig = rig_new(2);
    struct qe_err err = {0};

    (void)state;
    assert_ok(qe_stats_add_reasons(rig->stats, (const char *const[]){"bad_address"}, 1, &err), err);
    rig->gate.label = "bad_address";
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    struct qe_reason_stats *reason = qe_consumer_stats_reason(rig->stats, "bad_address");
    QE_WAIT_FOR(qe_counter_get(&reason->dead_lettered) == 1);
    assert_int_equal(qe_counter_get(&reason->failed), 1);
    assert_int_equal(qe_counter_get(&rig->stats->failed[QE_FAIL_PERMANENT]), 0);
    assert_int_equal(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]), 0);
    assert_string_equal(qe_fake_message(rig->fake, 0).dead_reason, "bad_address: told so");
    rig_destroy(rig);
}

static void permanent_error_is_dead_lettered_at_once_with_its_reason(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]) == 1);
    assert_string_equal(qe_fake_message(rig->fake, 0).dead_reason, "permanent: told so");
    assert_int_equal(qe_counter_get(&rig->stats->failed[QE_FAIL_PERMANENT]), 1);
    rig_destroy(rig);
}

static void running_message_is_extended_and_delivered_once(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    rig->fake->visibility_ms = 1000;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->visibility_extensions) >= 3);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 1);
    rig_destroy(rig);
}

/* One message's story: no extension between a settlement and the next delivery. Returns the
 * settlement that was the last word, or NULL. */
static const struct qe_fake_event *check_story(const struct qe_fake *fake, size_t index)
{
    const struct qe_fake_event *settled = NULL;

    for (size_t i = 0; i < fake->events_count; i++) {
        const struct qe_fake_event *event = &fake->events[i];

        if (event->message != index) {
            continue;
        }
        assert_false(settled != NULL && event->call == QE_FAKE_EXTEND);
        if (event->call == QE_FAKE_SETTLE && event->result == QE_SETTLED) {
            settled = event;
        } else if (event->call == QE_FAKE_RECEIVE) {
            settled = NULL;
        }
    }
    return settled;
}

#define HALFWAY_COUNT ((size_t)80)

/* Handlers that end just when their visibility is half over: where a late extension would slip in,
 * and where it would shorten a backoff. */
static struct rig *run_halfway(const char *id)
{
    struct rig *rig = rig_new(4);

    rig->fake->visibility_ms = 90;
    rig->gate.retry_delay_ms = 3600000;
    for (size_t i = 0; i < HALFWAY_COUNT; i++) {
        qe_fake_send(rig->fake, id, NULL);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) + qe_counter_get(&rig->stats->released) >=
                HALFWAY_COUNT);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    print_message("%llu extensions\n",
                  (unsigned long long)qe_counter_get(&rig->stats->visibility_extensions));
    return rig;
}

static void late_extension_never_follows_a_settlement(void **state)
{
    struct rig *rig = run_halfway("nap");

    (void)state;
    for (size_t i = 0; i < HALFWAY_COUNT; i++) {
        (void)check_story(rig->fake, i);
    }
    rig_destroy(rig);
}

static void extension_never_overwrites_a_backoff(void **state)
{
    struct rig *rig = run_halfway("nap-retry");

    (void)state;
    for (size_t i = 0; i < HALFWAY_COUNT; i++) {
        const struct qe_fake_event *released = check_story(rig->fake, i);

        assert_true(released == NULL || rig->fake->messages[i].visible_from_mono_ms >=
                                            released->at_mono_ms + released->delay_ms);
    }
    rig_destroy(rig);
}

static void handler_that_takes_too_long_is_cancelled_and_the_message_retried(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_fake_event event;
    struct qe_fake_event received;

    (void)state;
    rig->options.max_handling_time_ms = 40;
    rig->options.max_receives = 0;
    rig->gate.retry_delay_ms = 3600000;
    qe_fake_send(rig->fake, "slow", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    /* Seen in time even when the worker began while the receiver was already in its long poll. */
    assert_true(qe_fake_event(rig->fake, QE_FAKE_RECEIVE, 0, 0, &received));
    assert_in_range(event.at_mono_ms - received.at_mono_ms, 40, 3000);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    assert_int_equal(qe_counter_get(&rig->stats->failed[QE_FAIL_TIMEOUT]), 1);
    assert_int_equal(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]), 0);
    rig_destroy(rig);
}

static void counters_survive_a_restart(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    rig_start(rig);
    rig_warm_up(rig, 10);
    qe_consumer_destroy(rig->consumer);
    assert_false(atomic_load(&rig->stats->active));
    rig_start(rig);
    assert_true(atomic_load(&rig->stats->active));
    qe_fake_send(rig->fake, "quick", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 11);
    rig_destroy(rig);
}

static void successor_stays_visible_when_the_old_consumer_ends(void **state)
{
    struct rig *rig = rig_new(2);
    struct qe_consumer *old;

    (void)state;
    rig_start(rig);
    old = rig->consumer;
    rig_start(rig);
    assert_int_equal(atomic_load(&rig->stats->workers), 4);
    qe_consumer_destroy(old);
    assert_int_equal(atomic_load(&rig->stats->workers), 2);
    assert_true(atomic_load(&rig->stats->active));
    rig_destroy(rig);
}

static int new_once(void *context, struct qe_err *err)
{
    struct rig *rig = context;

    rig->consumer = qe_consumer_new(&rig->options, err);
    if (rig->consumer == NULL) {
        return -1;
    }
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    return 0;
}

static void construction_survives_failed_allocations(void **state)
{
    struct rig *rig = rig_new(2);

    (void)state;
    qe_check_torture(new_once, rig);
    rig_destroy(rig);
}

static void bad_options_are_refused(void **state)
{
    struct rig *rig = rig_new(0);
    struct qe_driver deaf = qe_driver_fake;
    struct qe_err err = {0};

    (void)state;
    assert_null(qe_consumer_new(&rig->options, &err));
    assert_int_equal(err.code, QE_ERR_INVALID);
    deaf.receive = NULL;
    rig->options.workers = 1;
    rig->options.driver = &deaf;
    assert_null(qe_consumer_new(&rig->options, &err));
    assert_int_equal(err.code, QE_ERR_UNSUPPORTED);
    rig_destroy(rig);
}

static atomic_uint s_tended;

static void note_tended(void *self, uint64_t worker)
{
    (void)self;
    assert_int_equal(worker, 0);
    (void)atomic_fetch_add(&s_tended, 1);
}

static void idle_worker_sees_to_its_handler(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_handler handler = s_gate_handler;

    (void)state;
    handler.tend = note_tended;
    rig->options.handler = &handler;
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&s_tended) >= 2);
    qe_fake_send(rig->fake, "quick", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_handled_acknowledged_and_counted_once),
        cmocka_unit_test(outcome_is_settled_at_once_though_a_long_poll_runs),
        cmocka_unit_test(one_slow_message_does_not_hold_back_the_others),
        cmocka_unit_test(messages_behind_a_stuck_worker_are_given_back_for_others),
        cmocka_unit_test(slow_handlers_fetch_nothing_ahead),
        cmocka_unit_test(retry_is_released_with_backoff_and_delivered_again),
        cmocka_unit_test(last_receive_goes_to_the_dead_letter_queue),
        cmocka_unit_test(the_handlers_own_reason_is_counted_and_kept),
        cmocka_unit_test(permanent_error_is_dead_lettered_at_once_with_its_reason),
        cmocka_unit_test(running_message_is_extended_and_delivered_once),
        cmocka_unit_test(late_extension_never_follows_a_settlement),
        cmocka_unit_test(extension_never_overwrites_a_backoff),
        cmocka_unit_test(handler_that_takes_too_long_is_cancelled_and_the_message_retried),
        cmocka_unit_test(counters_survive_a_restart),
        cmocka_unit_test(successor_stays_visible_when_the_old_consumer_ends),
        cmocka_unit_test(construction_survives_failed_allocations),
        cmocka_unit_test(idle_worker_sees_to_its_handler),
        cmocka_unit_test(bad_options_are_refused)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
