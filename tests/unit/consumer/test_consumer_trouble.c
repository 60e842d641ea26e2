/* What cannot even be given to its handler, for a reason of our own. */
#include "unit/consumer/rig.h"

#define MANY 40

static struct rig *trouble_rig(uint64_t workers, const struct qe_driver *driver, int troubles)
{
    struct rig *rig = rig_new(workers);

    rig->options.driver = driver;
    atomic_store(&rig->gate.troubles, troubles);
    return rig;
}

/* Two tries are allowed, and both are made, whether or not the broker counts the one before. */
static void our_own_trouble_is_no_try_of_the_message(void **state)
{
    static const struct qe_driver *const drivers[] = {&qe_driver_fake, &qe_driver_fake_billed};

    (void)state;
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        struct rig *rig = trouble_rig(1, drivers[i], 1);
        struct qe_fake_event event;

        rig->fake->counts_all = (drivers[i]->caps & QE_CAP_UNRECEIVE) == 0;
        rig->options.max_receives = 2;
        qe_fake_send(rig->fake, "retry", NULL);
        rig_start(rig);
        QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
        assert_int_equal(atomic_load(&rig->gate.started), 3);
        assert_int_equal(qe_counter_get(&rig->stats->failed[QE_FAIL_INTERNAL]), 1);
        assert_int_equal(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]), 2);
        assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &event));
        assert_int_equal(event.verb, QE_SETTLE_RELEASE);
        assert_true(event.unhandled);
        assert_int_equal(event.delay_ms, 0); /* for whoever is well */
        rig_destroy(rig);
    }
}

/* The broker has dead-lettered it, and it was redriven with its id: what was not its fault then is
 * nothing that its tries of now are counted by. */
static void redriven_message_has_as_many_tries_as_any_other(void **state)
{
    struct rig *rig = trouble_rig(1, &qe_driver_fake_billed, 2);

    (void)state;
    rig->fake->counts_all = true;
    rig->options.max_receives = 2;
    rig->gate.retry_delay_ms = 600000;
    qe_fake_send(rig->fake, "retry", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 3);
    qe_fake_delete(rig->fake, 0);
    rig->gate.retry_delay_ms = 0;
    qe_fake_send(rig->fake, "retry", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
    assert_int_equal(qe_fake_message(rig->fake, 1).receives, 2);
    rig_destroy(rig);
}

static void nothing_is_received_for_a_while_and_it_is_said_once(void **state)
{
    struct rig *rig = trouble_rig(4, &qe_driver_fake, MANY);
    uint64_t warnings = qe_log_count(QE_LOG_WARN);
    const int64_t started = qe_clock_mono_ms();

    (void)state;
    rig->options.max_receives = 1;
    for (int i = 0; i < MANY; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_INTERNAL]) > 0);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 0);
    atomic_store(&rig->gate.troubles, 0); /* what was in hand has failed, and no more was taken */
    assert_true(qe_counter_get(&rig->stats->received) < MANY);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == MANY);
    assert_true(qe_clock_mono_ms() - started >= 1000);
    assert_int_equal(qe_log_count(QE_LOG_WARN) - warnings, 1);
    for (size_t reason = 0; reason < QE_FAIL_COUNT; reason++) {
        assert_int_equal(qe_counter_get(&rig->stats->dead_lettered[reason]), 0);
    }
    rig_destroy(rig);
}

/* What failed in between is counted: an outage is a handful of lines. */
static void why_a_handler_fails_is_said_now_and_then(void **state)
{
    struct rig *rig = rig_new(4);
    uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    for (int i = 0; i < MANY; i++) {
        qe_fake_send(rig->fake, i % 2 == 0 ? "reject" : "once", NULL);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_PERMANENT]) == MANY / 2);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]) == MANY / 2);
    assert_int_equal(qe_log_count(QE_LOG_WARN) - warnings, 1);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_trouble_is_no_try_of_the_message),
        cmocka_unit_test(redriven_message_has_as_many_tries_as_any_other),
        cmocka_unit_test(nothing_is_received_for_a_while_and_it_is_said_once),
        cmocka_unit_test(why_a_handler_fails_is_said_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
