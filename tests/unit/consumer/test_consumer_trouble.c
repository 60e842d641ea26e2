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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_trouble_is_no_try_of_the_message),
        cmocka_unit_test(nothing_is_received_for_a_while_and_it_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
