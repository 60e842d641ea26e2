/* Which deliveries may be acked together. */
#include "backend/rabbitmq/amqp_ledger.h"
#include "support/check.h"

static void fill(struct qe_amqp_ledger *ledger, uint64_t count)
{
    struct qe_err err = {0};

    for (uint64_t tag = 1; tag <= count; tag++) {
        assert_ok(qe_amqp_ledger_add(ledger, tag, (uint32_t)(tag > 3 ? 2 : 1), &err), err);
    }
}

static void expect_ack(struct qe_amqp_ledger *ledger, uint64_t tag, bool is_multiple)
{
    uint64_t got = 0;
    bool got_multiple = !is_multiple;

    assert_true(qe_amqp_ledger_take_ack(ledger, &got, &got_multiple));
    assert_int_equal(got, tag);
    assert_int_equal(got_multiple, is_multiple);
}

static void nothing_that_is_not_done_is_acked_with_the_rest(void **state)
{
    static const uint64_t s_marked[] = {1, 2, 3, 5, 7, 8};
    struct qe_amqp_ledger ledger = {0};
    uint64_t tag = 0;
    bool is_multiple = false;

    (void)state;
    fill(&ledger, 8);
    for (size_t i = 0; i < sizeof s_marked / sizeof s_marked[0]; i++) {
        assert_true(qe_amqp_ledger_mark(&ledger, s_marked[i]));
    }
    expect_ack(&ledger, 3, true); /* up to the first that is not */
    expect_ack(&ledger, 5, false);
    expect_ack(&ledger, 7, false);
    expect_ack(&ledger, 8, false);
    assert_false(qe_amqp_ledger_take_ack(&ledger, &tag, &is_multiple));
    assert_int_equal(ledger.count, 2);
    assert_true(qe_amqp_ledger_has(&ledger, 4));
    assert_true(qe_amqp_ledger_has(&ledger, 6));
    qe_amqp_ledger_deinit(&ledger);
}

static void what_a_gap_held_back_is_acked_together_once_it_is_done(void **state)
{
    struct qe_amqp_ledger ledger = {0};

    (void)state;
    fill(&ledger, 4);
    for (uint64_t tag = 4; tag >= 1; tag--) {
        assert_true(qe_amqp_ledger_mark(&ledger, tag));
    }
    expect_ack(&ledger, 4, true);
    assert_int_equal(ledger.count, 0);
    qe_amqp_ledger_deinit(&ledger);
}

static void a_delivery_settles_once(void **state)
{
    struct qe_amqp_ledger ledger = {0};

    (void)state;
    fill(&ledger, 3);
    assert_false(qe_amqp_ledger_mark(&ledger, 4)); /* never delivered */
    assert_true(qe_amqp_ledger_mark(&ledger, 2));
    assert_false(qe_amqp_ledger_mark(&ledger, 2));
    assert_false(qe_amqp_ledger_has(&ledger, 2));
    expect_ack(&ledger, 2, false);
    assert_false(qe_amqp_ledger_mark(&ledger, 2));
    qe_amqp_ledger_remove(&ledger, 1); /* given back */
    assert_false(qe_amqp_ledger_mark(&ledger, 1));
    qe_amqp_ledger_remove(&ledger, 1); /* twice is harmless */
    assert_int_equal(ledger.count, 1);
    qe_amqp_ledger_deinit(&ledger);
}

static void rounds_are_told_apart(void **state)
{
    struct qe_amqp_ledger ledger = {0};

    (void)state;
    assert_int_equal(qe_amqp_ledger_count_round(&ledger, 1), 0);
    fill(&ledger, 5);
    assert_int_equal(qe_amqp_ledger_count_round(&ledger, 1), 3);
    assert_int_equal(qe_amqp_ledger_count_round(&ledger, 2), 2);
    qe_amqp_ledger_clear(&ledger);
    assert_int_equal(qe_amqp_ledger_count_round(&ledger, 2), 0);
    qe_amqp_ledger_deinit(&ledger);
    qe_amqp_ledger_deinit(&ledger);
}

static int add_some(void *context, struct qe_err *err)
{
    struct qe_amqp_ledger ledger = {0};
    int rc = 0;

    (void)context;
    for (uint64_t tag = 1; rc == 0 && tag < 100; tag++) {
        rc = qe_amqp_ledger_add(&ledger, tag, 1, err);
    }
    qe_amqp_ledger_deinit(&ledger);
    return rc;
}

static void running_out_of_memory_is_told(void **state)
{
    (void)state;
    qe_check_torture(add_some, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_is_not_done_is_acked_with_the_rest),
        cmocka_unit_test(what_a_gap_held_back_is_acked_together_once_it_is_done),
        cmocka_unit_test(a_delivery_settles_once),
        cmocka_unit_test(rounds_are_told_apart),
        cmocka_unit_test(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("rabbitmq ledger", tests, NULL, NULL);
}
