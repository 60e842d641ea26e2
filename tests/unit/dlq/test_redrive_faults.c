/* What a redrive does when something goes wrong: a duplicate at worst, never a loss, and an end. */
#include <time.h>

#include "dlq/aside.h"
#include "dlq/destination.h"
#include "dlq/look.h"
#include "model/dead_letter.h"
#include "unit/dlq/bench.h"

static void message_that_is_refused_stays_and_the_others_go(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    for (size_t i = 0; i < 40; i++) {
        bench_bury_text(bench, "orders", i % 8 == 3 ? "huge" : "b");
    }
    s_faults.refused_body = "huge";
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 35);
    assert_int_equal(bench->result.counts.stayed, 5);
    assert_int_equal(bench->result.why_stayed.code, QE_ERR_LIMIT);
    assert_non_null(strstr(bench->result.why_stayed.message, "message 4: too large"));
    bench_assert_ready(bench, "orders", 35);
    bench_assert_ready(bench, "shared-dlq", 5);
    bench_destroy(bench);
}

/* Whether the dead-letter queue keeps order itself, or its messages come all at once. */
static void refused_message_holds_those_behind_it_in_its_group(void **state)
{
    static const char *const queues[] = {"ordered-dlq", "shared-dlq"};
    char body[8];

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
        size_t ready = 0;

        for (int i = 0; i < 40; i++) { /* several lots */
            (void)snprintf(body, sizeof body, i == 22 ? "huge" : "%02d", i);
            bench_send(bench, queues[k],
                       (struct qe_outgoing){.body = body, .group = i % 2 == 0 ? "even" : "odd"});
        }
        s_faults.refused_body = "huge";
        bench->options.from = bench_queue(bench, queues[k]);
        bench->options.to = bench_queue(bench, "ordered");
        bench_run_well(bench);
        assert_int_equal(bench->result.counts.moved, 11 + 20);
        assert_int_equal(bench->result.why_stayed.code, QE_ERR_LIMIT);
        assert_int_equal(bench_count(bench, "ordered", &ready), 11 + 20);
        assert_int_equal(bench_count(bench, queues[k], &ready), 9);
        s_faults.refused_body = NULL; /* mended, and run again: all are there, in their order */
        bench_run_well(bench);
        assert_int_equal(bench_count(bench, "ordered", &ready), 40);
        bench_destroy(bench);
    }
}

static void what_cannot_be_given_back_is_told(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
    struct qe_dlq_filter filter = {0};
    struct qe_err err = {0};

    (void)state;
    for (size_t i = 0; i < 30; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    assert_ok(qe_dlq_filter_add_reason(&filter, "other", &err), err);
    bench->options.filter = &filter;
    s_faults.settle_calls_fail = 1000;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.unmatched, 30);
    assert_int_equal(bench->result.kept.left.count, 30);
    assert_int_equal(bench->result.kept.why.code, QE_ERR_NETWORK);
    qe_dlq_filter_deinit(&filter);
    bench_destroy(bench);
}

/* One message was received ahead, and a request for ten was not answered. */
static void leave_some(void *self, const struct qe_queue *queue, int64_t deadline_mono_ms,
                       struct qe_unreturned *out)
{
    (void)self;
    (void)queue;
    (void)deadline_mono_ms;
    *out = (struct qe_unreturned){.count = 1, .in_doubt = 10, .for_ms = 90000};
}

static void what_the_driver_received_ahead_is_told_too(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    bench_bury_text(bench, "orders", "b");
    bench->driver.give_back = leave_some;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 1);
    assert_int_equal(bench->result.kept.left.count, 1);
    assert_int_equal(bench->result.kept.left.in_doubt, 10);
    assert_int_equal(bench->result.kept.left.for_ms, 90000);
    assert_int_equal(bench->result.kept.why.code, QE_ERR_TIMEOUT);
    bench_destroy(bench);
}

static int visit_none(void *context, const struct qe_message *message, struct qe_err *err)
{
    (void)context;
    (void)message;
    (void)err;
    return 0;
}

static void note_kept(void *context, const struct qe_dlq_kept *kept)
{
    *(struct qe_dlq_kept *)context = *kept;
}

static bool is_stopped_with_some(void *context)
{
    (void)context;
    return s_faults.receives > 1;
}

static void stopped_look_does_not_wait_for_a_broker_that_takes_nothing(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
    struct qe_dlq_kept kept = {0};
    struct qe_err err = {0};
    struct qe_dlq_rest rest;
    size_t seen = 0;

    (void)state;
    for (unsigned i = 0; i < 250; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    bench->driver.peek = NULL;
    s_faults.settle_calls_fail = 100;
    const struct qe_dlq_look look = {.driver = &bench->driver,
                                     .handle = bench->handle,
                                     .queue = bench->options.from,
                                     .max = 1000,
                                     .call_timeout_ms = 60000,
                                     .stopped = is_stopped_with_some,
                                     .visit = visit_none,
                                     .kept = note_kept,
                                     .context = &kept};

    assert_ok(qe_dlq_look(&look, &seen, &rest, &err), err);
    assert_int_equal(seen, 200);
    assert_int_equal(s_faults.settle_calls_fail, 99); /* one was enough */
    assert_int_equal(kept.left.count, 200);
    assert_int_equal(kept.why.code, QE_ERR_NETWORK);
    assert_in_range(kept.left.for_ms, 1, BENCH_VISIBILITY_MS);
    assert_in_range(s_faults.settle_ms_most, 1, QE_DLQ_STOP_MS);
    bench_destroy(bench);
}

static void broker_that_takes_nothing_ends_it_and_gets_everything_back(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
    struct qe_err err = {0};

    (void)state;
    for (size_t i = 0; i < 30; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    s_faults.send_calls_fail = 1000;
    s_faults.send_code = QE_ERR_AUTH;
    assert_int_equal(bench_run(bench, &err), -1);
    assert_int_equal(err.code, QE_ERR_AUTH);
    assert_non_null(strstr(err.message, "send to orders"));
    assert_int_equal(bench->result.counts.moved, 0);
    bench_assert_ready(bench, "shared-dlq", 30);
    bench_destroy(bench);
}

static void passing_trouble_is_waited_out(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    bench_bury_text(bench, "orders", "b");
    s_faults.receive_calls_fail = 2;
    s_faults.send_calls_fail = 2;
    s_faults.send_code = QE_ERR_THROTTLED;
    s_faults.settle_calls_fail = 2;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 1);
    assert_int_equal(bench->result.counts.doubled, 0);
    bench_assert_ready(bench, "orders", 1);
    bench_assert_ready(bench, "shared-dlq", 0);
    bench_destroy(bench);
}

static void lasting_trouble_is_an_error(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);
    struct qe_err err = {0};

    (void)state;
    s_faults.receive_calls_fail = 3;
    assert_int_equal(bench_run(bench, &err), -1);
    assert_int_equal(err.code, QE_ERR_NETWORK);
    assert_non_null(strstr(err.message, "receive from shared-dlq"));
    bench_destroy(bench);
}

static void what_is_sent_and_not_deleted_is_told_and_not_lost(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    bench_bury_text(bench, "orders", "b");
    s_faults.settle_calls_fail = 1000;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 0);
    assert_int_equal(bench->result.counts.doubled, 1);
    assert_int_equal(bench->result.why_doubled.code, QE_ERR_NETWORK);
    size_t ready = 0;

    assert_int_equal(bench_count(bench, "shared-dlq", &ready), 1);
    bench_assert_ready(bench, "orders", 1);
    bench_destroy(bench);
}

static void what_is_sent_is_not_sent_again_when_it_comes_back(void **state)
{
    struct bench *bench = bench_new(60);

    (void)state;
    for (size_t i = 0; i < 12; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    /* The first lot's deletes fail, and so does every repetition of them: 1 call, then 2 x 10. */
    s_faults.settle_calls_fail = 21;
    bench->options.messages_per_second = 20; /* slow enough for the deliveries to lapse */
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 12);
    assert_int_equal(bench->result.counts.doubled, 0);
    assert_int_equal(s_faults.sends, 12);
    bench_assert_ready(bench, "shared-dlq", 0);
    bench_assert_ready(bench, "orders", 12);
    bench_destroy(bench);
}

static void stayed_ones_that_come_again_are_counted_once_and_end_it(void **state)
{
    struct bench *bench = bench_new(5); /* lapses while the redrive still holds it */

    (void)state;
    bench_bury_text(bench, "orders", "huge");
    s_faults.refused_body = "huge";
    bench->options.messages_per_second = 50;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.stayed, 1);
    assert_int_equal(s_faults.sends, 1);
    bench_assert_ready(bench, "shared-dlq", 1);
    bench_destroy(bench);
}

/* A consumer that fails again whatever is moved. */
static void bury_again(void *context, const struct qe_redrive_counts *counts)
{
    struct bench *bench = context;

    (void)counts;
    bench->progresses++;
    for (size_t i = 0; i < 10; i++) {
        bench_bury_text(bench, "orders", "again");
    }
}

static void what_failed_again_is_not_moved_in_circles(void **state)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    (void)state;
    for (size_t i = 0; i < 10; i++) {
        bench_bury_text(bench, "payments", "b");
    }
    bench->options.hooks.progress = bury_again;
    bench->pauses_left = 4;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 10);
    assert_true(bench->result.counts.newer >= 20);
    assert_int_equal(bench->result.counts.stayed, 0);
    size_t ready = 0;
    size_t count = bench_count(bench, "shared-dlq", &ready);

    assert_int_equal(ready, count); /* given back */
    assert_true(count >= 20);
    bench_destroy(bench);
}

/* Also the last lot, of which not all had room. */
static void with_no_room_for_more_in_hand_all_of_it_is_given_back(void **state)
{
    struct bench *bench = bench_new(600000);
    const size_t sent = QE_DLQ_ASIDE_MAX + 250;
    size_t ready = 0;

    (void)state;
    for (size_t i = 0; i < sent; i++) {
        bench_send(bench, "shared-dlq", (struct qe_outgoing){.body = "b"});
    }
    bench->options.start_unix_ms = 1; /* as if all of them had come since */
    bench_run_well(bench);
    assert_true(bench->result.is_partial);
    assert_true(bench->result.counts.newer > QE_DLQ_ASIDE_MAX);
    assert_int_equal(bench->result.counts.moved, 0);
    assert_false(qe_dlq_kept_any(&bench->result.kept));
    assert_int_equal(bench_count(bench, "shared-dlq", &ready), sent);
    assert_int_equal(ready, sent);
    bench_destroy(bench);
}

static int keep_aside(void *context, struct qe_err *err)
{
    struct qe_aside aside = {.driver = &qe_driver_embedded};
    int rc = 0;

    (void)context;
    for (size_t i = 0; i < 20 && rc == 0; i++) {
        struct qe_message message = {0};

        rc = qe_message_init(&message, err);
        if (rc == 0) {
            char id[8];

            (void)snprintf(id, sizeof id, "%zu", i);
            qe_free(message.id);
            message.id = qe_strdup(id);
            rc = message.id == NULL ? qe_err_set(err, QE_ERR_NOMEM, "id") : 0;
        }
        if (rc == 0) {
            assert_null(qe_aside_find(&aside, &message));
            rc = qe_aside_add_take(&aside, &message, QE_ASIDE_STAYED, err);
        }
        qe_message_deinit(&message);
    }
    qe_aside_deinit(&aside);
    return rc;
}

static struct qe_message of_last_delivery(bool is_last)
{
    struct qe_message message = {0};
    struct qe_err err = {0};

    assert_int_equal(qe_message_init(&message, &err), 0);
    qe_free(message.body);
    message.body = qe_strdup("body");
    message.body_bytes = 4;
    message.is_last_delivery = is_last;
    return message;
}

static void bodies_are_kept_aside_only_where_giving_back_takes_them(void **state)
{
    struct qe_aside aside = {.driver = &qe_driver_embedded};
    struct qe_message usual = of_last_delivery(false);
    struct qe_message last = of_last_delivery(true);
    struct qe_message large = of_last_delivery(true);
    struct qe_message more = of_last_delivery(true);
    struct qe_err err = {0};

    (void)state;
    assert_int_equal(qe_aside_add_take(&aside, &usual, QE_ASIDE_STAYED, &err), 0);
    assert_int_equal(qe_aside_add_take(&aside, &last, QE_ASIDE_STAYED, &err), 0);
    assert_int_equal(aside.items[0].message.body_bytes, 0);
    assert_string_equal(aside.items[1].message.body, "body");
    assert_int_equal(aside.body_bytes, 4);
    qe_aside_remove(&aside, &aside.items[1]);
    large.body_bytes = QE_DLQ_ASIDE_MAX_BYTES; /* as if: nobody reads it */
    qe_aside_renew_take(&aside, &aside.items[0], &large);
    assert_int_equal(qe_aside_check_bytes(&aside, &err), 0);
    assert_int_equal(qe_aside_add_take(&aside, &more, QE_ASIDE_STAYED, &err), 0);
    assert_int_equal(qe_aside_check_bytes(&aside, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    qe_aside_deinit(&aside);
}

static int find_origins(void *context, struct qe_err *err)
{
    struct qe_queue from = {0};
    struct qe_message message = {0};
    int rc = qe_queue_init(&from, NULL, "dlq", QE_KIND_EMBEDDED, err);
    struct qe_dlq_origins origins = {.from = &from};

    (void)context;
    rc = rc == 0 ? qe_message_init(&message, err) : rc;
    for (size_t i = 0; i < 20 && rc == 0; i++) {
        char name[8];

        (void)snprintf(name, sizeof name, "q%zu", i % 10);
        rc = qe_attributes_add(&message.attributes, QE_DEAD_LETTER_SOURCE, name, err);
        if (rc == 0) {
            const struct qe_queue *found = qe_dlq_origin_of(&origins, &message, err);

            rc = found == NULL ? -1 : 0;
        }
    }
    assert_true(rc != 0 || origins.named_count == 10);
    qe_dlq_origins_deinit(&origins);
    qe_message_deinit(&message);
    qe_queue_deinit(&from);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(keep_aside, NULL);
    qe_check_torture(find_origins, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_that_is_refused_stays_and_the_others_go),
        cmocka_unit_test(refused_message_holds_those_behind_it_in_its_group),
        cmocka_unit_test(what_cannot_be_given_back_is_told),
        cmocka_unit_test(what_the_driver_received_ahead_is_told_too),
        cmocka_unit_test(stopped_look_does_not_wait_for_a_broker_that_takes_nothing),
        cmocka_unit_test(broker_that_takes_nothing_ends_it_and_gets_everything_back),
        cmocka_unit_test(passing_trouble_is_waited_out),
        cmocka_unit_test(lasting_trouble_is_an_error),
        cmocka_unit_test(what_is_sent_and_not_deleted_is_told_and_not_lost),
        cmocka_unit_test(what_is_sent_is_not_sent_again_when_it_comes_back),
        cmocka_unit_test(stayed_ones_that_come_again_are_counted_once_and_end_it),
        cmocka_unit_test(what_failed_again_is_not_moved_in_circles),
        cmocka_unit_test(with_no_room_for_more_in_hand_all_of_it_is_given_back),
        cmocka_unit_test(bodies_are_kept_aside_only_where_giving_back_takes_them),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
