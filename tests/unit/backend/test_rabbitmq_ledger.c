/* Which deliveries may be acked together. */
#include "backend/rabbitmq/amqp_internal.h"
#include "support/check.h"
#include "util/mem.h"

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

static void deliver(struct qe_amqp_consumer *consumer, uint64_t tag, enum qe_err_code code)
{
    struct qe_amqp_content content = {.kind = QE_AMQP_DELIVERY, .tag = tag, .round = 1};
    struct qe_err err = {0};

    assert_ok(qe_message_init(&content.message, &err), err);
    if (code != QE_OK) {
        (void)qe_err_set(&content.err, code, "it cannot be kept");
    }
    consumer->channel.events->delivered(consumer, &content);
    qe_amqp_content_reset(&content);
}

/* An ack of all up to 3 would settle 2, which nobody has seen. */
static void what_could_not_be_kept_is_not_acked_with_the_rest(void **state)
{
    struct qe_rmq rmq = {0};
    struct qe_amqp_connection connection = {.rmq = &rmq};
    struct qe_err err = {0};
    struct qe_amqp_consumer *consumer = qe_amqp_consumer_new(&rmq, &connection, "/", "q", &err);

    (void)state;
    assert_non_null(consumer);
    deliver(consumer, 1, QE_OK);
    deliver(consumer, 2, QE_ERR_NOMEM);
    deliver(consumer, 3, QE_OK);
    assert_int_equal(qe_amqp_held_count(consumer), 2);
    assert_true(consumer->must_reset);
    assert_true(qe_amqp_ledger_mark(&consumer->ledger, 1));
    assert_true(qe_amqp_ledger_mark(&consumer->ledger, 3));
    expect_ack(&consumer->ledger, 1, false);
    expect_ack(&consumer->ledger, 3, false);
    qe_amqp_consumer_destroy(consumer);
}

/* What nothing settles, no settlement forgets. */
static void headers_of_replies_are_not_kept_for_copies(void **state)
{
    struct qe_rmq rmq = {0};
    struct qe_amqp_connection connection = {.rmq = &rmq};
    struct qe_err err = {0};
    struct qe_amqp_consumer *consumer = qe_amqp_consumer_new(&rmq, &connection, "/", "q", &err);

    (void)state;
    assert_non_null(consumer);
    for (uint64_t tag = 1; tag <= 2; tag++) {
        struct qe_amqp_content content = {.kind = QE_AMQP_DELIVERY, .tag = tag, .round = 1};

        consumer->is_auto_acked = tag == 2;
        content.raw = (struct qe_amqp_raw){.bytes = qe_memdup("raw", 3), .count = 3};
        assert_non_null(content.raw.bytes);
        assert_ok(qe_message_init(&content.message, &err), err);
        consumer->channel.events->delivered(consumer, &content);
        qe_amqp_content_reset(&content);
    }
    assert_int_equal(qe_amqp_held_count(consumer), 2);
    assert_int_equal(consumer->raws.count, 1);
    qe_amqp_consumer_destroy(consumer);
}

/* A copy is written after others were read, or the connection was lost: see amqp_publisher.c. */
static void headers_of_a_copy_outlast_their_delivery(void **state)
{
    struct qe_amqp_raws raws = {0};
    struct qe_amqp_raw copy = {0};
    struct qe_err err = {0};

    (void)state;
    for (uint64_t tag = 1; tag <= 100; tag++) {
        struct qe_amqp_raw raw = {.bytes = qe_memdup("raw", 3), .count = 3};

        assert_non_null(raw.bytes);
        assert_ok(qe_amqp_raws_put(&raws, tag, &raw, &err), err);
        if (tag == 1) {
            assert_ok(qe_amqp_raws_copy(&raws, 1, &copy, &err), err);
        }
    }
    qe_amqp_raws_clear(&raws);
    assert_int_equal(copy.count, 3);
    assert_memory_equal(copy.bytes, "raw", 3);
    assert_ok(qe_amqp_raws_copy(&raws, 1, &copy, &err), err);
    assert_null(copy.bytes);
    qe_amqp_raws_deinit(&raws);
}

static void what_is_postponed_is_counted_apart(void **state)
{
    struct qe_amqp_ledger ledger = {0};
    size_t of_round = 9;

    (void)state;
    fill(&ledger, 5);
    assert_int_equal(qe_amqp_ledger_count_postponed(&ledger, 2, &of_round), 0);
    assert_int_equal(of_round, 0);
    qe_amqp_ledger_postpone(&ledger, 1);
    qe_amqp_ledger_postpone(&ledger, 4);
    qe_amqp_ledger_postpone(&ledger, 6); /* is not there */
    assert_int_equal(qe_amqp_ledger_count_postponed(&ledger, 2, &of_round), 2);
    assert_int_equal(of_round, 1);
    assert_true(qe_amqp_ledger_mark(&ledger, 4)); /* its time has come */
    expect_ack(&ledger, 4, false);
    assert_int_equal(qe_amqp_ledger_count_postponed(&ledger, 2, &of_round), 1);
    assert_int_equal(of_round, 0);
    qe_amqp_ledger_deinit(&ledger);
}

static void beside_a_delivery_that_it_could_not_note_each_is_acked_alone(void **state)
{
    struct qe_amqp_ledger ledger = {0};
    struct qe_err err = {0};

    (void)state;
    qe_mem_fail_at(1);
    assert_int_equal(qe_amqp_ledger_add(&ledger, 1, 1, &err), -1);
    qe_mem_fail_at(0);
    for (uint64_t tag = 2; tag <= 3; tag++) {
        assert_ok(qe_amqp_ledger_add(&ledger, tag, 1, &err), err);
        assert_true(qe_amqp_ledger_mark(&ledger, tag));
    }
    expect_ack(&ledger, 2, false);
    expect_ack(&ledger, 3, false);
    qe_amqp_ledger_clear(&ledger); /* the channel is another */
    fill(&ledger, 2);
    assert_true(qe_amqp_ledger_mark(&ledger, 1));
    assert_true(qe_amqp_ledger_mark(&ledger, 2));
    expect_ack(&ledger, 2, true);
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
        cmocka_unit_test(what_could_not_be_kept_is_not_acked_with_the_rest),
        cmocka_unit_test(headers_of_replies_are_not_kept_for_copies),
        cmocka_unit_test(headers_of_a_copy_outlast_their_delivery),
        cmocka_unit_test(what_is_postponed_is_counted_apart),
        cmocka_unit_test(beside_a_delivery_that_it_could_not_note_each_is_acked_alone),
        cmocka_unit_test(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("rabbitmq ledger", tests, NULL, NULL);
}
