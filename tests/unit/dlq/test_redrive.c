/* What a redrive moves, where to, and how it arrives. */
#include <time.h>

#include "unit/dlq/bench.h"

static void each_message_goes_back_where_it_came_from(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    for (size_t i = 0; i < 150; i++) {
        bench_bury_text(bench, i % 3 == 0 ? "payments" : "orders", "b");
    }
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 150);
    assert_int_equal(bench->result.counts.stayed, 0);
    assert_true(bench->progresses > 1);
    bench_assert_ready(bench, "orders", 100);
    bench_assert_ready(bench, "payments", 50);
    bench_assert_ready(bench, "shared-dlq", 0);
    bench_destroy(bench);
}

static void message_arrives_as_it_was_sent(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(qe_attributes_add_typed(&attributes, "n", "Number", "7", &err), err);
    assert_ok(qe_attributes_add(&attributes, "dead", "not dead-letter-", &err), err);
    const struct qe_outgoing message = {.body = "a \"body\"\n\xc3\xa9",
                                        .attributes = &attributes,
                                        .group = "g",
                                        .correlation_id = "c",
                                        .reply_to = "answers"};

    bench_bury(bench, "orders", &message);
    bench_run_well(bench);
    struct qe_message_list list = bench_receive(bench, "orders", 10);

    assert_int_equal(list.count, 1);
    const struct qe_message *got = &list.items[0];

    assert_string_equal(got->body, message.body);
    assert_string_equal(got->group, "g");
    assert_string_equal(got->correlation_id, "c");
    assert_string_equal(got->reply_to, "answers");
    assert_int_equal(got->receives, 1);
    assert_int_equal(got->attributes.count, 2); /* reason, source, receives and time are gone */
    assert_string_equal(got->attributes.items[0].type, "Number");
    assert_string_equal(got->attributes.items[0].value, "7");
    assert_string_equal(qe_attributes_get(&got->attributes, "dead"), "not dead-letter-");
    qe_message_list_deinit(&list);
    qe_attributes_deinit(&attributes);
    bench_destroy(bench);
}

static void without_a_source_the_only_link_says_where_to(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    bench_send(bench, "ordered-dlq", (struct qe_outgoing){.body = "by hand"});
    bench->options.from = bench_queue(bench, "ordered-dlq");
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 1);
    bench_assert_ready(bench, "ordered", 1);
    bench_destroy(bench);
}

static void several_links_or_none_leave_it_where_it_is(void **state)
{
    static const char *const queues[] = {"shared-dlq", "alone"};
    static const char *const whys[] = {"2 queues dead-letter into shared-dlq: say --to",
                                       "no queue is known to dead-letter into alone: say --to"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

        bench_send(bench, queues[i], (struct qe_outgoing){.body = "by hand"});
        bench->options.from = bench_queue(bench, queues[i]);
        bench_run_well(bench);
        assert_int_equal(bench->result.counts.moved, 0);
        assert_int_equal(bench->result.counts.stayed, 1);
        assert_non_null(strstr(bench->result.why_stayed.message, whys[i]));
        assert_int_equal(bench->result.why_stayed.code, QE_ERR_NOT_FOUND);
        bench_assert_ready(bench, queues[i], 1); /* given back */
        struct qe_message_list list = bench_receive(bench, queues[i], 1);

        assert_int_equal(list.items[0].receives, 1); /* as if nobody had looked */
        qe_message_list_deinit(&list);
        bench_destroy(bench);
    }
}

static void given_target_takes_them_all(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    bench_bury_text(bench, "orders", "b");
    bench_send(bench, "shared-dlq", (struct qe_outgoing){.body = "by hand"});
    bench->options.to = bench_queue(bench, "alone");
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 2);
    bench_assert_ready(bench, "alone", 2);
    bench_assert_ready(bench, "orders", 0);
    bench_destroy(bench);
}

static void queue_is_not_redriven_to_itself(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(qe_attributes_add(&attributes, "dead-letter-source", "shared-dlq", &err), err);
    bench_send(bench, "shared-dlq", (struct qe_outgoing){.body = "odd", .attributes = &attributes});
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.stayed, 1);
    bench->options.to = bench->options.from;
    assert_int_equal(bench_run(bench, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    bench_assert_ready(bench, "shared-dlq", 1);
    qe_attributes_deinit(&attributes);
    bench_destroy(bench);
}

static void source_that_is_not_listed_is_named(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(qe_attributes_add(&attributes, "dead-letter-source", "gone", &err), err);
    bench_send(bench, "shared-dlq", (struct qe_outgoing){.body = "old", .attributes = &attributes});
    bench_bury_text(bench, "orders", "b");
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 1);
    assert_int_equal(bench->result.counts.stayed, 1);
    assert_non_null(strstr(bench->result.why_stayed.message, "queue gone, which it came from"));
    /* Where nothing can be listed, the name is tried, and only its own messages stay. */
    bench_bury_text(bench, "orders", "b");
    bench->options.queues = NULL;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 1);
    assert_int_equal(bench->result.counts.stayed, 1);
    assert_int_equal(bench->result.why_stayed.code, QE_ERR_NOT_FOUND);
    bench_assert_ready(bench, "orders", 2);
    bench_assert_ready(bench, "shared-dlq", 1);
    qe_attributes_deinit(&attributes);
    bench_destroy(bench);
}

static void no_more_than_max_are_moved(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    for (size_t i = 0; i < 60; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    bench->options.max = 37;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 37);
    bench_assert_ready(bench, "orders", 37);
    bench_assert_ready(bench, "shared-dlq", 23);
    bench_destroy(bench);
}

static void rate_is_not_exceeded(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    for (size_t i = 0; i < 21; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    bench->options.messages_per_second = 100;
    int64_t start = qe_clock_mono_ms();

    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 21);
    assert_true(qe_clock_mono_ms() - start >= 199);
    bench_destroy(bench);
}

static void wish_to_stop_ends_it_with_nothing_in_hand(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    for (size_t i = 0; i < 60; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    s_faults.send_ms = 60;
    bench->pauses_left = 4; /* a lot of 10; a lot of 20, of which the first 10 are sent */
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 20);
    assert_int_equal(bench->result.counts.untried, 10);
    bench_assert_ready(bench, "orders", 20);
    bench_assert_ready(bench, "shared-dlq", 40);
    struct qe_message_list list = bench_receive(bench, "shared-dlq", 1);

    assert_int_equal(list.items[0].receives, 1); /* as if nobody had looked */
    qe_message_list_deinit(&list);
    bench_destroy(bench);
}

static void ordered_group_keeps_its_order(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
    char body[8];

    (void)state;
    for (int i = 0; i < 12; i++) {
        (void)snprintf(body, sizeof body, "%02d", i);
        const struct qe_outgoing message = {.body = body, .group = i % 2 == 0 ? "even" : "odd"};

        bench_bury(bench, "ordered", &message);
    }
    bench->options.from = bench_queue(bench, "ordered-dlq");
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 12);
    int last[2] = {-1, -1};

    for (int i = 0; i < 12; i++) {
        struct qe_message_list list = bench_receive(bench, "ordered", 1);
        struct qe_err err = {0};

        assert_int_equal(list.count, 1);
        int number = (list.items[0].body[0] - '0') * 10 + list.items[0].body[1] - '0';

        assert_true(number > last[number % 2]);
        last[number % 2] = number;
        struct qe_settlement ack = {.message = &list.items[0], .verb = QE_SETTLE_ACK};

        assert_ok(qe_driver_embedded.settle(bench->handle, bench_queue(bench, "ordered"), &ack, 1,
                                            bench_soon(), &err),
                  err);
        qe_message_list_deinit(&list);
    }
    assert_true(last[0] == 10 && last[1] == 11);
    bench_destroy(bench);
}

static void deduplication_window_of_the_target_swallows_nothing(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
    const struct qe_outgoing message = {.body = "b", .group = "g", .deduplication_id = "once"};

    (void)state;
    bench_bury(bench, "ordered", &message); /* its id is in the window of "ordered" from now on */
    bench->options.from = bench_queue(bench, "ordered-dlq");
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 1);
    bench_assert_ready(bench, "ordered", 1);
    bench_assert_ready(bench, "ordered-dlq", 0);
    bench_destroy(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_goes_back_where_it_came_from),
        cmocka_unit_test(message_arrives_as_it_was_sent),
        cmocka_unit_test(without_a_source_the_only_link_says_where_to),
        cmocka_unit_test(several_links_or_none_leave_it_where_it_is),
        cmocka_unit_test(given_target_takes_them_all),
        cmocka_unit_test(queue_is_not_redriven_to_itself),
        cmocka_unit_test(source_that_is_not_listed_is_named),
        cmocka_unit_test(no_more_than_max_are_moved),
        cmocka_unit_test(rate_is_not_exceeded),
        cmocka_unit_test(wish_to_stop_ends_it_with_nothing_in_hand),
        cmocka_unit_test(ordered_group_keeps_its_order),
        cmocka_unit_test(deduplication_window_of_the_target_swallows_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
