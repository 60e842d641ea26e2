/* A queue is empty when its broker says so: what is late is waited for, and what does not come is
 * told. */
#include "dlq/look.h"
#include "unit/dlq/bench.h"

#define PATIENCE_MS 400

/* What the broker over the store does. */
static struct {
    unsigned hidden;   /* so many receives more bring nothing */
    unsigned awaited;  /* so many receives more until a request is answered */
    uint64_t lag;      /* so many count as ready that are not */
    bool is_silent;    /* does not tell its depth */
    unsigned receives; /* that asked for some */
} s_broker;

static int late_receive(void *self, const struct qe_queue *from, size_t max,
                        int64_t deadline_mono_ms, struct qe_message_list *out, struct qe_err *err)
{
    const struct timespec a_while = {.tv_nsec = 1000000L};

    (void)deadline_mono_ms; /* the store says at once what it has */
    (void)nanosleep(&a_while, NULL);
    s_broker.receives += max > 0 ? 1 : 0;
    if (max > 0 && s_broker.awaited > 0 && --s_broker.awaited > 0) {
        return 0;
    }
    if (max > 0 && s_broker.hidden > 0) {
        s_broker.hidden--;
        return 0;
    }
    return qe_driver_embedded.receive(self, from, max, qe_clock_mono_ms(), out, err);
}

static bool awaits(const void *self, const struct qe_queue *queue)
{
    (void)self;
    (void)queue;
    return s_broker.awaited > 0;
}

static int late_sample(void *self, int64_t deadline_mono_ms, struct qe_batch *out,
                       struct qe_err *err)
{
    if (s_broker.is_silent) {
        return qe_err_set(err, QE_ERR_NETWORK, "told to fail");
    }
    const int rc = qe_driver_embedded.sample(self, deadline_mono_ms, out, err);

    if (rc == 0) {
        out->entries[0].sample.values[QE_FIELD_READY_MESSAGES] += (double)s_broker.lag;
    }
    return rc;
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static int visit_none(void *context, const struct qe_message *message, struct qe_err *err)
{
    (void)context;
    (void)message;
    (void)err;
    return 0;
}

static struct bench *begin(void)
{
    struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

    memset(&s_broker, 0, sizeof s_broker);
    bench->driver.peek = NULL;
    bench->driver.receive = late_receive;
    bench->driver.awaits = awaits;
    bench->driver.sample = late_sample;
    bench->options.call_timeout_ms = PATIENCE_MS;
    return bench;
}

typedef int visit_function(void *context, const struct qe_message *message, struct qe_err *err);

static void look_with(struct bench *bench, visit_function *visit, int wanted_rc, size_t wanted_seen,
                      struct qe_dlq_rest *out_rest, struct qe_err *err)
{
    const struct qe_dlq_look how = {.driver = &bench->driver,
                                    .handle = bench->handle,
                                    .queue = bench->options.from,
                                    .max = 1000,
                                    .call_timeout_ms = PATIENCE_MS,
                                    .stopped = never,
                                    .visit = visit};
    size_t seen = 0;

    assert_int_equal(qe_dlq_look(&how, &seen, out_rest, err), wanted_rc);
    assert_int_equal(seen, wanted_seen);
}

/* Returns how long it took. */
static int64_t look(struct bench *bench, int wanted_rc, size_t wanted_seen,
                    struct qe_dlq_rest *out_rest, struct qe_err *err)
{
    const int64_t start = qe_clock_mono_ms();

    look_with(bench, visit_none, wanted_rc, wanted_seen, out_rest, err);
    return qe_clock_mono_ms() - start;
}

static void expect_rest(const struct qe_dlq_rest *rest, uint64_t ready, uint64_t in_flight)
{
    assert_int_equal(rest->ready, ready);
    assert_int_equal(rest->in_flight, in_flight);
}

static void a_request_that_is_not_answered_yet_is_waited_for(void **state)
{
    struct bench *bench = begin();
    struct qe_dlq_rest rest;
    struct qe_err err = {0};

    (void)state;
    bench_bury_text(bench, "orders", "b");
    s_broker.is_silent = true;
    s_broker.awaited = 10;
    (void)look(bench, 0, 1, &rest, &err);
    expect_rest(&rest, 0, 0);
    bench_destroy(bench);
}

static void one_that_is_never_answered_is_an_error(void **state)
{
    struct bench *bench = begin();
    struct qe_dlq_rest rest;
    struct qe_err err = {0};

    (void)state;
    bench_bury_text(bench, "orders", "b");
    s_broker.awaited = UINT32_MAX;
    assert_in_range(look(bench, -1, 0, &rest, &err), PATIENCE_MS, 5000);
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    assert_int_equal(bench_run(bench, &err), -1);
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    bench_destroy(bench);
}

static void what_counts_as_ready_is_asked_for_again(void **state)
{
    struct bench *bench = begin();
    struct qe_dlq_rest rest;
    struct qe_err err = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    s_broker.hidden = 9;
    (void)look(bench, 0, 3, &rest, &err);
    expect_rest(&rest, 0, 0);
    s_broker.hidden = 9;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 3);
    expect_rest(&bench->result.rest, 0, 0);
    bench_destroy(bench);
}

static void what_counts_as_ready_and_never_comes_is_told(void **state)
{
    struct bench *bench = begin();
    struct qe_dlq_rest rest;
    struct qe_err err = {0};

    (void)state;
    bench_bury_text(bench, "orders", "b");
    s_broker.lag = 4;
    assert_in_range(look(bench, 0, 1, &rest, &err), PATIENCE_MS, 5000);
    expect_rest(&rest, 4, 0);
    assert_false(rest.is_behind);
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 1);
    expect_rest(&bench->result.rest, 4, 0);
    bench_destroy(bench);
}

static void what_others_hold_is_told_and_not_waited_for(void **state)
{
    struct bench *bench = begin();
    struct qe_dlq_rest rest;
    struct qe_err err = {0};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    struct qe_message_list held = bench_receive(bench, "shared-dlq", 2);

    assert_in_range(look(bench, 0, 3, &rest, &err), 0, PATIENCE_MS - 1);
    expect_rest(&rest, 0, 2);
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 3);
    expect_rest(&bench->result.rest, 0, 2);
    qe_message_list_deinit(&held);
    bench_destroy(bench);
}

/* The count of before knows no more than came, whatever the one of after says: what is in hand, or
 * was moved, may still count as ready there. */
static int lag_from_now_on(void *context, const struct qe_message *message, struct qe_err *err)
{
    (void)context;
    (void)message;
    (void)err;
    s_broker.lag = 3;
    return 0;
}

static void counts_that_lag_are_no_messages(void **state)
{
    struct bench *bench = begin();
    struct qe_dlq_rest rest;
    struct qe_err err = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        bench_bury_text(bench, "orders", "b");
    }
    look_with(bench, lag_from_now_on, 0, 3, &rest, &err);
    expect_rest(&rest, 0, 0);
    assert_int_equal(s_broker.receives, 3);
    bench_destroy(bench);
}

static void a_depth_that_is_not_told_says_nothing(void **state)
{
    struct bench *bench = begin();
    struct qe_dlq_rest rest;
    struct qe_err err = {0};

    (void)state;
    s_broker.is_silent = true;
    assert_in_range(look(bench, 0, 0, &rest, &err), 0, PATIENCE_MS - 1);
    expect_rest(&rest, 0, 0);
    assert_int_equal(s_broker.receives, 2);
    bench_destroy(bench);
}

static void those_behind_others_of_their_group_are_told_and_not_waited_for(void **state)
{
    struct bench *bench = begin();
    struct qe_dlq_rest rest;
    struct qe_err err = {0};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        bench_send(bench, "ordered-dlq",
                   (struct qe_outgoing){.body = "b", .group = i == 4 ? "two" : "one"});
    }
    bench->options.from = bench_queue(bench, "ordered-dlq");
    assert_in_range(look(bench, 0, 2, &rest, &err), 0, PATIENCE_MS - 1);
    expect_rest(&rest, 3, 0);
    assert_true(rest.is_behind);
    bench_destroy(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_that_is_not_answered_yet_is_waited_for),
        cmocka_unit_test(one_that_is_never_answered_is_an_error),
        cmocka_unit_test(what_counts_as_ready_is_asked_for_again),
        cmocka_unit_test(what_counts_as_ready_and_never_comes_is_told),
        cmocka_unit_test(what_others_hold_is_told_and_not_waited_for),
        cmocka_unit_test(counts_that_lag_are_no_messages),
        cmocka_unit_test(a_depth_that_is_not_told_says_nothing),
        cmocka_unit_test(those_behind_others_of_their_group_are_told_and_not_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
