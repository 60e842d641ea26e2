#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/handlers.h"
#include "support/check.h"
#include "util/clock.h"
#include "util/mem.h"

static struct qe_message make_message(const char *id, uint32_t receives, const char *wish)
{
    struct qe_message message = {0};
    struct qe_err err = {0};

    assert_ok(qe_message_init(&message, &err), err);
    qe_free(message.id);
    message.id = qe_strdup(id);
    message.receives = receives;
    if (wish != NULL) {
        assert_ok(qe_attributes_add(&message.attributes, "simulate", wish, &err), err);
    }
    return message;
}

static struct qe_handled run(void *self, const char *id, uint32_t receives, const char *wish)
{
    struct qe_message message = make_message(id, receives, wish);
    const struct qe_message *const messages = &message;
    const atomic_bool cancelled = false;
    const struct qe_handling handling = {.deadline_mono_ms = INT64_MAX, .cancelled = &cancelled};
    struct qe_handled handled = {.retry_delay_ms = -1};

    qe_handler_simulate.handle(self, &messages, 1, &handling, &handled);
    qe_message_deinit(&message);
    return handled;
}

static void *make(int64_t p50_ms, int64_t p99_ms, double error_rate)
{
    const struct qe_simulate_options options = {
        .latency_p50_ms = p50_ms, .latency_p99_ms = p99_ms, .error_rate = error_rate, .seed = 11};
    struct qe_err err = {0};
    void *self = qe_handler_simulate_new(&options, &err);

    assert_non_null(self);
    return self;
}

static void discard_succeeds(void **state)
{
    const atomic_bool cancelled = false;
    const struct qe_handling handling = {.deadline_mono_ms = INT64_MAX, .cancelled = &cancelled};
    const struct qe_message message = {0};
    const struct qe_message *const messages[2] = {&message, &message};
    struct qe_handled handled[2] = {{.outcome = QE_OUTCOME_RETRY}, {.outcome = QE_OUTCOME_RETRY}};

    (void)state;
    assert_true(qe_handler_discard.takes_batches);
    qe_handler_discard.handle(NULL, messages, 2, &handling, handled);
    assert_int_equal(handled[0].outcome, QE_OUTCOME_SUCCESS);
    assert_int_equal(handled[1].outcome, QE_OUTCOME_SUCCESS);
    qe_handler_discard.destroy(NULL);
}

static void errors_come_at_the_rate_and_the_same_each_run(void **state)
{
    void *first = make(0, 0, 0.2);
    void *second = make(0, 0, 0.2);
    unsigned failed = 0;

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        char id[32];

        (void)snprintf(id, sizeof id, "message-%u", i);
        struct qe_handled a = run(first, id, 1, NULL);
        struct qe_handled b = run(second, id, 1, NULL);

        assert_int_equal(a.outcome, b.outcome);
        failed += a.outcome == QE_OUTCOME_RETRY ? 1 : 0;
    }
    assert_in_range(failed, 900, 1100);
    qe_handler_simulate.destroy(first);
    qe_handler_simulate.destroy(second);
}

static void second_delivery_draws_anew(void **state)
{
    void *self = make(0, 0, 0.5);
    unsigned differing = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        char id[32];

        (void)snprintf(id, sizeof id, "%u", i);
        differing += run(self, id, 1, NULL).outcome != run(self, id, 2, NULL).outcome ? 1 : 0;
    }
    assert_in_range(differing, 400, 600);
    qe_handler_simulate.destroy(self);
}

static void attribute_makes_poison(void **state)
{
    void *self = make(0, 0, 0);
    struct qe_handled handled = run(self, "a", 1, "retry");

    (void)state;
    assert_int_equal(handled.outcome, QE_OUTCOME_RETRY);
    assert_int_equal(handled.reason, QE_FAIL_HANDLER_ERROR);
    assert_non_null(strstr(handled.detail, "simulate=retry"));
    handled = run(self, "a", 1, "reject");
    assert_int_equal(handled.outcome, QE_OUTCOME_REJECT);
    assert_int_equal(handled.reason, QE_FAIL_PERMANENT);
    assert_non_null(strstr(handled.detail, "simulate=reject"));
    assert_int_equal(run(self, "a", 1, "nonsense").outcome, QE_OUTCOME_SUCCESS);
    qe_handler_simulate.destroy(self);
}

static int compare_times(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

static void latency_takes_about_its_median(void **state)
{
    void *self = make(4, 8, 0);
    int64_t spent_us[41];

    (void)state;
    for (unsigned i = 0; i < 41; i++) {
        char id[32];
        int64_t start_us = qe_clock_mono_us();

        (void)snprintf(id, sizeof id, "%u", i);
        (void)run(self, id, 1, NULL);
        spent_us[i] = qe_clock_mono_us() - start_us;
    }
    qsort(spent_us, 41, sizeof spent_us[0], compare_times);
    assert_in_range(spent_us[20], 1500, 500000); /* a loaded machine only adds */
    qe_handler_simulate.destroy(self);
}

static void cancellation_and_deadline_end_the_work(void **state)
{
    void *self = make(600000, 600000, 0);
    struct qe_message message = make_message("a", 1, NULL);
    const struct qe_message *const messages = &message;
    const atomic_bool cancelled = true;
    const atomic_bool running = false;
    struct qe_handling handling = {.deadline_mono_ms = INT64_MAX, .cancelled = &cancelled};
    struct qe_handled handled = {0};

    (void)state;
    qe_handler_simulate.handle(self, &messages, 1, &handling, &handled);
    assert_int_equal(handled.outcome, QE_OUTCOME_RETRY);
    assert_non_null(strstr(handled.detail, "cancelled"));
    handling.cancelled = &running;
    handling.deadline_mono_ms = qe_clock_mono_ms() + 30;
    qe_handler_simulate.handle(self, &messages, 1, &handling, &handled);
    assert_int_equal(handled.outcome, QE_OUTCOME_RETRY);
    assert_int_equal(handled.reason, QE_FAIL_TIMEOUT);
    qe_message_deinit(&message);
    qe_handler_simulate.destroy(self);
}

static int make_once(void *context, struct qe_err *err)
{
    const struct qe_simulate_options options = {.latency_p50_ms = 5, .latency_p99_ms = 1};
    void *self = qe_handler_simulate_new(&options, err);

    (void)context;
    if (self == NULL) {
        return -1;
    }
    qe_handler_simulate.destroy(self);
    return 0;
}

static void construction_survives_failed_allocations(void **state)
{
    (void)state;
    qe_check_torture(make_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(discard_succeeds),
        cmocka_unit_test(errors_come_at_the_rate_and_the_same_each_run),
        cmocka_unit_test(second_delivery_draws_anew),
        cmocka_unit_test(attribute_makes_poison),
        cmocka_unit_test(latency_takes_about_its_median),
        cmocka_unit_test(cancellation_and_deadline_end_the_work),
        cmocka_unit_test(construction_survives_failed_allocations)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
