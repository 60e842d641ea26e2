/* order_by, where what went back comes late: behind a long queue, or when nothing was received. */
#include "unit/consumer/book.h"

/* What failed comes again behind all that was sent before its delay had ended, however long that
 * takes. */
static void order_is_kept_in_a_long_queue(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 1);

    (void)state;
    book->pause_ms = 30;
    for (unsigned i = 0; i < 60; i++) {
        send_one(rig, 0, i, i == 1 ? 1 : 0);
        send_one(rig, 1, i, 0);
        send_one(rig, 2, i, 0);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 180);
    book_check(book, 3);
    assert_true(book_find(book, "c59") < book_find(book, "a01!1")); /* after more than 2 s */
    for (size_t i = 6; i < 180; i += 3) {
        assert_true(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, i) <= 6);
    }
    rig_destroy(rig);
    book_free(book);
}

/* Nothing counts as missing while nothing is received. */
static void order_is_kept_over_an_open_circuit(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 1);

    (void)state;
    rig->options.circuit_failures = 1;
    rig->options.circuit_pause_ms = 3000;
    for (unsigned i = 0; i < 4; i++) {
        send_one(rig, 0, i, i == 1 ? 1 : 0);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]) == 1);
    send_one(rig, 0, 4, 0); /* comes before the one that failed, as those behind that do */
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 5);
    book_check(book, 1);
    rig_destroy(rig);
    book_free(book);
}

/* As RabbitMQ's, where this much is rounded up. */
static int64_t in_large_steps(int64_t asked_ms)
{
    return asked_ms <= 300 ? asked_ms : 2600;
}

/* A broker that takes the delay of what has failed, and not of what only follows. */
static int settle_without_room(void *self, const struct qe_queue *queue,
                               struct qe_settlement *settlements, size_t count,
                               int64_t deadline_mono_ms, struct qe_err *err)
{
    for (size_t i = 0; i < count; i++) {
        settlements[i].undelayed = settlements[i].unhandled && settlements[i].delay_ms > 0;
        settlements[i].delay_ms = settlements[i].undelayed ? 0 : settlements[i].delay_ms;
    }
    return qe_driver_fake.settle(self, queue, settlements, count, deadline_mono_ms, err);
}

/* It comes when it ought to, but from where it went at once: before one that was delayed. */
static void order_is_kept_where_a_delay_was_not_taken(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 1);
    struct qe_driver no_room = qe_driver_fake;

    (void)state;
    no_room.settle = settle_without_room;
    no_room.delay_ms = in_large_steps;
    rig->options.driver = &no_room;
    book->pause_ms = 30;
    send_one(rig, 0, 0, 1);
    send_one(rig, 0, 1, 0);
    for (unsigned i = 0; i < 95; i++) {
        send_one(rig, 1, i, 0);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_SETTLE, 1) == 1); /* to the end, at once */
    for (unsigned i = 0; i < 20; i++) {                                   /* between the two */
        send_one(rig, 2, i, 0);
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 117);
    book_check(book, 3);
    assert_true(book_find(book, "b94") < book_find(book, "a00!1"));
    rig_destroy(rig);
    book_free(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(order_is_kept_in_a_long_queue),
                                       cmocka_unit_test(order_is_kept_over_an_open_circuit),
                                       cmocka_unit_test(order_is_kept_where_a_delay_was_not_taken)};

    qe_log_setup(QE_LOG_ERROR, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
