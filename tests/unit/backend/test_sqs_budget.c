/* What watching costs, against the list prices of us-east-1, and who gives way to a budget first.
 */
#include <math.h>

#include "backend/sqs/budget.h"
#include "support/check.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)

/* 100 busy queues every 30 s, half of them with ages every 5 minutes; 900 quiet ones. */
static struct qe_budget_input fleet(double monthly_dollars)
{
    return (struct qe_budget_input){.monthly_dollars = monthly_dollars,
                                    .dollars_per_request = 0.40e-6,
                                    .dollars_per_metric = 0.01e-3,
                                    .poll_interval_ms = 30 * SECOND,
                                    .longest_period = 4,
                                    .busy_queues = 100,
                                    .quiet_queues = 900,
                                    .quiet_reads_per_poll = 450,
                                    .age_queues = 50,
                                    .age_interval_ms = 5 * MINUTE};
}

static struct qe_budget_plan plan_of(struct qe_budget_input input)
{
    struct qe_budget_plan plan = {0};

    qe_budget_plan(&input, &plan);
    return plan;
}

static void assert_cents(double dollars, double expected)
{
    if (fabs(dollars - expected) > 0.006) {
        fail_msg("$%.4f, not $%.2f", dollars, expected);
    }
}

/* Dollars as published tables have them: the account's first million requests are free. */
static void the_cost_table_holds(void **state)
{
    static const struct {
        size_t queues;
        double depth_60s;
        double depth_15s;
        double age_60s;
        double age_300s;
    } rows[] = {{10, 0, 0.30, 4.38, 0.88},
                {100, 1.35, 6.61, 43.80, 8.76},
                {1000, 17.12, 69.68, 438, 87.60}};
    const double free_dollars = 1e6 * 0.40e-6;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_budget_input input = {.dollars_per_request = 0.40e-6,
                                        .dollars_per_metric = 0.01e-3,
                                        .longest_period = 1,
                                        .busy_queues = rows[i].queues,
                                        .age_interval_ms = MINUTE};

        input.poll_interval_ms = 60 * SECOND;
        assert_cents(fmax(0, plan_of(input).dollars_per_month - free_dollars), rows[i].depth_60s);
        input.poll_interval_ms = 15 * SECOND;
        assert_cents(fmax(0, plan_of(input).dollars_per_month - free_dollars), rows[i].depth_15s);
        input.busy_queues = 0;
        input.age_queues = rows[i].queues;
        assert_cents(plan_of(input).dollars_per_month, rows[i].age_60s);
        input.age_interval_ms = 5 * MINUTE;
        assert_cents(plan_of(input).dollars_per_month, rows[i].age_300s);
    }
}

static void without_a_budget_nothing_is_stretched(void **state)
{
    struct qe_budget_plan plan = plan_of(fleet(0));

    (void)state;
    assert_int_equal(plan.age_interval_ms, 5 * MINUTE);
    assert_int_equal(plan.quiet_floor, 1);
    assert_int_equal(plan.busy_floor, 1);
    assert_int_equal(plan.reads_stretch_permille, 1000);
    assert_int_equal(plan.ages_stretch_permille, 1000);
}

/* The fleet's natural cost: ages 4.38, quiet 15.77, busy 3.50 = 23.65 dollars. */
static void who_gives_way_first(void **state)
{
    static const struct {
        const char *why;
        double budget;
        int64_t age_interval_ms;
        uint32_t quiet_floor;
        uint32_t busy_floor;
    } rows[] = {
        {"it fits", 24, 5 * MINUTE, 1, 1},
        {"the ages alone give way", 21.46, 600 * SECOND, 1, 1},
        {"ages to an hour, and then quiet queues: 900 every 3rd poll", 15, 60 * MINUTE, 3, 1},
        {"quiet queues at their longest", 11.8, 60 * MINUTE, 4, 1},
        {"then busy ones too", 10.1, 60 * MINUTE, 4, 2},
        {"it cannot be done: everything at its longest", 1, 60 * MINUTE, 4, 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_budget_plan plan = plan_of(fleet(rows[i].budget));

        print_message("%s: ages every %lld s, quiet %u, busy %u: $%.2f of $%.2f\n", rows[i].why,
                      (long long)plan.age_interval_ms / 1000, plan.quiet_floor, plan.busy_floor,
                      plan.dollars_per_month, rows[i].budget);
        assert_in_range(plan.age_interval_ms, rows[i].age_interval_ms * 99 / 100,
                        rows[i].age_interval_ms * 101 / 100);
        assert_int_equal(plan.quiet_floor, rows[i].quiet_floor);
        assert_int_equal(plan.busy_floor, rows[i].busy_floor);
        if (rows[i].budget >= 10) {
            assert_true(plan.dollars_per_month <= rows[i].budget);
        }
    }
}

static void what_consumers_spend_leaves_less_for_watching(void **state)
{
    struct qe_budget_input input = fleet(24);

    (void)state;
    input.other_dollars_per_month = 3;
    assert_true(plan_of(input).age_interval_ms > 5 * MINUTE);
    assert_true(plan_of(input).dollars_per_month <= 24);
    input.other_dollars_per_month = 1000;
    assert_int_equal(plan_of(input).busy_floor, 4);
    assert_int_equal(plan_of(input).age_interval_ms, 60 * MINUTE);
}

static void the_stretch_says_how_much_less_is_asked(void **state)
{
    struct qe_budget_plan plan = plan_of(fleet(1));

    (void)state;
    assert_int_equal(plan.ages_stretch_permille, 12000);
    /* 450 + 100 readings a poll have become 225 + 25 */
    assert_int_equal(plan.reads_stretch_permille, 2200);
}

static void no_queue_is_stretched_beyond_the_longest_period(void **state)
{
    struct qe_budget_input input = fleet(0.01);

    (void)state;
    input.longest_period = 1; /* max_interval is the poll interval */
    assert_int_equal(plan_of(input).quiet_floor, 1);
    assert_int_equal(plan_of(input).busy_floor, 1);
    assert_int_equal(plan_of(input).reads_stretch_permille, 1000);
}

static void an_age_interval_above_an_hour_is_kept(void **state)
{
    struct qe_budget_input input = fleet(0.01);

    (void)state;
    input.age_interval_ms = 120 * MINUTE;
    assert_int_equal(plan_of(input).age_interval_ms, 120 * MINUTE);
    assert_int_equal(plan_of(input).ages_stretch_permille, 1000);
}

static void nothing_to_watch_costs_nothing(void **state)
{
    struct qe_budget_input input = {.monthly_dollars = 5,
                                    .poll_interval_ms = SECOND,
                                    .longest_period = 1,
                                    .age_interval_ms = MINUTE};

    (void)state;
    assert_double_equal(plan_of(input).dollars_per_month, 0);
    assert_int_equal(plan_of(input).reads_stretch_permille, 1000);
    assert_int_equal(plan_of(input).ages_stretch_permille, 1000);
}

static void the_meter_knows_the_rate_after_a_minute_and_follows_it(void **state)
{
    struct qe_budget_meter meter = {0};
    const double month_per_minute = (double)QE_BUDGET_MONTH_MS / (double)MINUTE;
    int64_t now = 5000;
    double total = 100; /* spent before: not ours to extrapolate */

    (void)state;
    qe_budget_meter_note(&meter, total, now);
    qe_budget_meter_note(&meter, total + 0.5, now + 59 * SECOND);
    assert_double_equal(meter.dollars_per_month, 0);
    total += 1;
    now += MINUTE;
    qe_budget_meter_note(&meter, total, now);
    assert_cents(meter.dollars_per_month / month_per_minute, 1);
    for (int i = 0; i < 120; i++) {
        total += 2;
        now += MINUTE;
        qe_budget_meter_note(&meter, total, now);
    }
    assert_cents(meter.dollars_per_month / month_per_minute, 2);
    qe_budget_meter_note(&meter, 0, now + 60 * MINUTE); /* a total never shrinks; were it to, */
    assert_double_equal(meter.dollars_per_month, 0);    /* nobody earns by it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cost_table_holds),
        cmocka_unit_test(without_a_budget_nothing_is_stretched),
        cmocka_unit_test(who_gives_way_first),
        cmocka_unit_test(what_consumers_spend_leaves_less_for_watching),
        cmocka_unit_test(the_stretch_says_how_much_less_is_asked),
        cmocka_unit_test(no_queue_is_stretched_beyond_the_longest_period),
        cmocka_unit_test(an_age_interval_above_an_hour_is_kept),
        cmocka_unit_test(nothing_to_watch_costs_nothing),
        cmocka_unit_test(the_meter_knows_the_rate_after_a_minute_and_follows_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
