/* order_by: what came first goes first, also after failures, and whatever the broker's order is. */
#include "unit/consumer/book.h"

static void what_came_first_goes_first_also_after_failures(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 4);

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        send_one(rig, 0, i, i == 2 ? 2 : 0); /* 0, 2, 4...: a; 4 is the one that fails */
        send_one(rig, 1, i, 0);
    }
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]) == 1);
    send_one(rig, 0, 10, 0); /* in its backoff */
    send_one(rig, 1, 10, 0);
    QE_WAIT_FOR(book_find(book, "b10") != SIZE_MAX);
    assert_true(book_find(book, "a02!2") == SIZE_MAX); /* others go on */
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, 4) == 2);
    send_one(rig, 0, 11, 0); /* when it is back, and the others are not */
    QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, 4) == 3);
    send_one(rig, 0, 12, 0);
    QE_WAIT_FOR(book_find(book, "a02!2") != SIZE_MAX);
    send_one(rig, 0, 13, 0);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 25);
    book_check(book, 2);
    for (size_t i = 23; i < 25; i++) { /* they waited here: nothing is received again for them */
        assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, i), 1);
    }
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 0);
    rig_destroy(rig);
    book_free(book);
}

/* Amazon SQS promises nothing of the order in which what was given back comes. */
static void order_is_that_of_the_first_time_even_where_the_broker_turns_it_round(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 16);

    (void)state;
    book->pause_ms = 5;
    rig->fake->newest_first = true;
    rig_start(rig);
    for (unsigned i = 0; i < 14; i++) {
        send_one(rig, 0, i, i == 0 ? 3 : i == 6 ? 1 : 0);
        QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, i) > 0);
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 14);
    book_check(book, 1);
    rig_destroy(rig);
    book_free(book);
}

struct setting {
    const char *why;
    uint64_t workers;
    size_t batch_size;
    size_t max_in_hand_bytes;
    const struct qe_driver *driver;
    double per_second;
    bool ids_by_copies;
};

#define SETTINGS ((size_t)11)

static struct rig *rig_set(struct book *book, const struct setting *setting)
{
    struct rig *rig = rig_in_order(book, setting->workers);

    rig->options.batch_size = setting->batch_size;
    rig->options.batch_wait_ms = 5;
    rig->options.max_in_hand_bytes = setting->max_in_hand_bytes;
    rig->options.driver = setting->driver;
    rig->options.messages_per_second = setting->per_second;
    rig->fake->ids_by_copies = setting->ids_by_copies;
    return rig;
}

/* All at the same time, for they mostly wait. */
static void run_settings(const struct setting *settings)
{
    struct book *books[SETTINGS];
    struct rig *rigs[SETTINGS];

    for (size_t i = 0; i < SETTINGS; i++) {
        books[i] = book_new();
        rigs[i] = rig_set(books[i], &settings[i]);
        rig_start(rigs[i]);
    }
    for (unsigned number = 0; number < 12; number++) {
        for (size_t at = 0; at < SETTINGS * 4; at++) {
            const size_t group = at % 4;
            const bool fails = group != 1 && number % 4 == group;

            send_one(rigs[at / 4], group, number, fails ? 1 + number % 2 : 0);
        }
        qe_fake_pause_ms(40); /* goes on while some fail, and when they are back */
    }
    for (size_t i = 0; i < SETTINGS; i++) {
        print_message("%s\n", settings[i].why);
        QE_WAIT_FOR(qe_counter_get(&rigs[i]->stats->processed) == 48);
        book_check(books[i], 4);
        QE_WAIT_FOR(atomic_load(&rigs[i]->stats->in_progress) == 0);
        rig_destroy(rigs[i]);
        book_free(books[i]);
    }
}

static void order_is_kept_however_little_may_be_in_hand(void **state)
{
    struct qe_driver counts = qe_driver_fake;
    const struct setting settings[SETTINGS] = {
        {"one worker", 1, 1, 0, &qe_driver_fake, 0, false},
        {"one message in hand", 1, 1, 1, &qe_driver_fake, 0, false},
        {"many workers, one message in hand", 8, 1, 1, &qe_driver_fake, 0, false},
        {"many workers", 16, 1, 0, &qe_driver_fake, 0, false},
        {"batches", 2, 8, 0, &qe_driver_fake, 0, false},
        {"batches, little in hand", 2, 8, 3, &qe_driver_fake, 0, false},
        {"a broker that counts what is given back", 4, 1, 0, &counts, 0, false},
        {"a broker that can do little", 4, 1, 0, &qe_driver_fake_poor, 0, false},
        {"a broker whose owner sends a bill", 4, 1, 0, &qe_driver_fake_billed, 0, false},
        {"a rate", 4, 1, 0, &qe_driver_fake, 30, false},
        {"no ids but those of copies", 8, 1, 0, &qe_driver_fake, 0, true},
    };

    (void)state;
    counts.caps &= ~(uint32_t)QE_CAP_UNRECEIVE;
    run_settings(settings);
}

static void one_that_never_comes_back_is_waited_for_only_a_while(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 2);

    (void)state;
    send_one(rig, 0, 0, 1);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    const int64_t released_mono_ms = qe_clock_mono_ms();
    qe_fake_delete(rig->fake, 0); /* by somebody else */
    qe_fake_pause_ms(350);        /* past its delay: what comes now waits here */
    send_one(rig, 0, 1, 0);
    send_one(rig, 1, 0, 0);
    QE_WAIT_FOR(book_find(book, "b00") != SIZE_MAX);
    assert_true(book_find(book, "a01") == SIZE_MAX);
    QE_WAIT_FOR(book_find(book, "a01") != SIZE_MAX);
    const int64_t waited_ms = qe_clock_mono_ms() - released_mono_ms;
    print_message("after %lld ms\n", (long long)waited_ms);
    assert_in_range(waited_ms, 2300, 9000);
    assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, 1), 1);
    rig_destroy(rig);
    book_free(book);
}

/* What waits aside goes back at once, as all that waits. */
static void stop_gives_back_what_waits_for_one_that_is_not_here(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 2);

    (void)state;
    send_one(rig, 0, 0, 1);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    qe_fake_delete(rig->fake, 0);
    qe_fake_pause_ms(350);
    send_one(rig, 0, 1, 0);
    QE_WAIT_FOR(atomic_load(&rig->stats->in_progress) == 1);
    const int64_t began = qe_clock_mono_ms();
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_true(qe_clock_mono_ms() - began < 1500);
    assert_int_equal(book_count(book), 0);
    assert_int_equal(qe_fake_message(rig->fake, 1).receives, 0);
    assert_true(qe_fake_message(rig->fake, 1).visible_from_mono_ms <= qe_clock_mono_ms());
    rig_destroy(rig);
    book_free(book);
}

/* Those that wait aside leave room for those of other groups. */
static void group_that_waits_starves_no_other(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 1);

    (void)state;
    send_one(rig, 0, 0, 1);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    qe_fake_delete(rig->fake, 0);
    qe_fake_pause_ms(350);
    for (unsigned i = 1; i < 60; i++) {
        send_one(rig, 0, i, 0);
    }
    send_one(rig, 1, 0, 0);
    const int64_t began = qe_clock_mono_ms();
    QE_WAIT_FOR(book_find(book, "b00") != SIZE_MAX);
    print_message("after %lld ms\n", (long long)(qe_clock_mono_ms() - began));
    assert_true(book_find(book, "a01") == SIZE_MAX);
    QE_WAIT_FOR(book_count(book) == 60);
    assert_true(book_find(book, "a01") < book_find(book, "a59"));
    for (size_t i = 1; i < 60; i++) { /* some went back for want of room, but not again and again */
        assert_true(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, i) <= 6);
    }
    rig_destroy(rig);
    book_free(book);
}

static void order_is_kept_across_a_reload(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 4);
    struct qe_err err = {0};
    struct qe_turns *turns = qe_turns_new(&err);

    (void)state;
    assert_non_null(turns);
    rig->options.turns = turns;
    book->retry_delay_ms = 500;
    for (unsigned i = 0; i < 8; i++) {
        send_one(rig, 0, i, i == 1 ? 3 : 0);
    }
    rig_start(rig);
    for (unsigned i = 0; i < 3; i++) { /* once in each of its backoffs */
        QE_WAIT_FOR(qe_counter_get(&rig->stats->failed[QE_FAIL_HANDLER_ERROR]) == i + 1);
        struct qe_consumer *before = rig->consumer;

        qe_consumer_stop(before, qe_clock_mono_ms() + 600000);
        rig_start(rig);
        qe_consumer_destroy(before);
        send_one(rig, 0, 8 + i, 0);
    }
    QE_WAIT_FOR(book_find(book, "a01!3") != SIZE_MAX);
    send_one(rig, 0, 11, 0);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 12);
    book_check(book, 1);
    rig_destroy(rig);
    qe_turns_destroy(turns);
    book_free(book);
}

static void order_is_kept_where_keys_are_claimed(void **state)
{
    struct book *book = book_new();
    struct rig *rig = rig_in_order(book, 4);

    (void)state;
    rig->options.delivery = QE_DELIVERY_EFFECTIVELY_ONCE;
    rig->options.once = (struct qe_once_options){.store = ":memory:", .window_ms = 60000};
    for (unsigned i = 0; i < 10; i++) {
        send_one(rig, 0, i, i == 3 ? 2 : 0);
    }
    rig_start(rig);
    QE_WAIT_FOR(book_find(book, "a02") != SIZE_MAX);
    send_one(rig, 0, 0, 0); /* a duplicate, which is not handled, holds nobody */
    for (size_t again = 2; again <= 3; again++) {
        QE_WAIT_FOR(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, 3) == again);
        send_one(rig, 0, 8 + (unsigned)again, 0);
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 12);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->duplicates_skipped) == 1);
    book_check(book, 1);
    rig_destroy(rig);
    book_free(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_first_goes_first_also_after_failures),
        cmocka_unit_test(order_is_that_of_the_first_time_even_where_the_broker_turns_it_round),
        cmocka_unit_test(order_is_kept_however_little_may_be_in_hand),
        cmocka_unit_test(one_that_never_comes_back_is_waited_for_only_a_while),
        cmocka_unit_test(stop_gives_back_what_waits_for_one_that_is_not_here),
        cmocka_unit_test(group_that_waits_starves_no_other),
        cmocka_unit_test(order_is_kept_across_a_reload),
        cmocka_unit_test(order_is_kept_where_keys_are_claimed)};

    qe_log_setup(QE_LOG_ERROR, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
