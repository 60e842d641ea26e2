/* Ages from counters, and how often what is dear is asked for: both pure. */
#include "backend/rabbitmq/history.h"
#include "backend/rabbitmq/pace.h"
#include "support/check.h"

struct reading {
    int64_t second;
    double published;
    double redelivered;
    double ready;
    double in_flight;
    double delivered;
};

#define READINGS_MAX 8

/* < 0: not known. */
static double age_after(const struct reading *readings, size_t count)
{
    struct qe_err err = {0};
    struct qe_rmq_history *history = qe_rmq_history_new(&err);
    double age = -1;
    int64_t as_of_mono_ms = 0;

    assert_non_null(history);
    for (size_t i = 0; i < count; i++) {
        const struct qe_rmq_history_point point = {.mono_ms = 1000 + readings[i].second * 1000,
                                                   .published = readings[i].published,
                                                   .delivered = readings[i].delivered,
                                                   .redelivered = readings[i].redelivered,
                                                   .ready = readings[i].ready,
                                                   .in_flight = readings[i].in_flight};

        assert_int_equal(qe_rmq_history_note(history, &point, &err), 0);
        if (!qe_rmq_history_age(history, &age, &as_of_mono_ms)) {
            age = -1;
        }
    }
    qe_rmq_history_destroy(history);
    return age;
}

static const struct {
    struct reading readings[READINGS_MAX];
    size_t count;
    double age;
    const char *why;
} s_ages[] = {
    {{{0, 10, 0, 0, 0, 0}}, 1, -1, "one reading"},
    {{{0, 10, 0, 0, 2, 0}, {30, 10, 0, 0, 2, 0}}, 2, -1, "in flight may be of any age"},
    {{{0, 10, 0, 5, 0, 0}, {30, 10, 0, 5, 0, 0}}, 2, -1, "older than what we saw"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 5, 0, 0}}, 2, -1, "the counter may not know of all five"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 5, 0, 0}, {40, 15, 0, 5, 0, 0}}, 3, -1, "nor so soon after"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 5, 0, 0}, {60, 15, 0, 5, 0, 0}}, 3, 0, "now it does"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 5, 0, 0}, {60, 15, 0, 5, 0, 0}, {90, 15, 0, 5, 0, 0}},
     4,
     30,
     "stuck: as of the reading before"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 5, 0, 0}, {60, 20, 0, 10, 0, 0}, {90, 20, 0, 10, 0, 0}},
     4,
     30,
     "nothing was taken"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 5, 0, 0}, {60, 20, 0, 5, 0, 0}, {90, 20, 0, 5, 0, 0}},
     4,
     0,
     "as much was taken"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 0, 0, 0}, {60, 15, 0, 5, 0, 0}},
     3,
     -1,
     "a burst that is not counted yet is not as old as what was counted"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 0, 0, 0}, {60, 15, 0, 5, 0, 0}, {90, 20, 0, 5, 0, 0}},
     4,
     0,
     "nor when it is"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 5, 0, 0}, {60, 15, 0, 5, 0, 0}, {90, 15, 0, 0, 0, 0}},
     4,
     -1,
     "emptied"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 5, 0, 0}, {60, 15, 0, 5, 0, 0}, {90, 17, 0, 2, 0, 0}},
     4,
     0,
     "purged, and filled again: no older than what came since"},
    {{{0, 10, 0, 0, 0, 0}, {30, 15, 0, 5, 0, 0}, {60, 20, 1, 10, 0, 0}, {90, 20, 1, 10, 0, 0}},
     4,
     -1,
     "delivered again"},
    {{{0, 10, 0, 0, 0, 0},
      {30, 15, 1, 5, 0, 0},
      {60, 20, 1, 5, 0, 0},
      {90, 25, 1, 5, 0, 0},
      {120, 25, 1, 5, 0, 0}},
     5,
     0,
     "delivered again, but before those were published"},
    {{{0, 10, 0, 0, 0, 0}, {30, 2, 0, 2, 0, 0}, {60, 2, 0, 2, 0, 0}},
     3,
     -1,
     "counters were set back"},
    {{{0, 10, 0, 0, 0, 0}, {30, 2, 0, 2, 0, 0}, {60, 4, 0, 2, 0, 0}, {90, 4, 0, 2, 0, 0}},
     4,
     0,
     "and began again"},
    {{{0, 10, 0, 0, 0, 10}, {30, 15, 0, 5, 0, 9}, {60, 15, 0, 5, 0, 9}},
     3,
     -1,
     "set back, as only deliveries tell"},
    {{{0, 0, 0, 0, 0, 0}, {30, 5, 0, 9, 0, 0}, {60, 5, 0, 9, 0, 0}},
     3,
     -1,
     "more than were counted"},
    {{{0, 10, 0, 0, 0, 0},
      {30, 10, 0, 3, 0, 0},
      {60, 10, 0, 6, 0, 0},
      {90, 10, 0, 9, 0, 0},
      {120, 60, 0, 59, 0, 0},
      {150, 60, 0, 20, 0, 0},
      {180, 60, 0, 20, 0, 0}},
     7,
     -1,
     "dead letters came in once: what is left of them is not known"},
};

static void the_age_is_since_the_counter_passed_what_was_there_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_ages / sizeof s_ages[0]; i++) {
        const double age = age_after(s_ages[i].readings, s_ages[i].count);

        if (age < s_ages[i].age || age > s_ages[i].age) {
            fail_msg("%s: %g", s_ages[i].why, age);
        }
    }
}

#define SIMULATED_SECONDS 7200
#define MESSAGES_MAX 200000

struct simulation {
    int64_t came[MESSAGES_MAX]; /* second in which each message came in */
    double published[SIMULATED_SECONDS];
    double taken[SIMULATED_SECONDS];
    double oldest_came[SIMULATED_SECONDS]; /* of the depth that was read then; < 0: none */
    uint32_t random;
};

static uint32_t some(struct simulation *simulation, uint32_t below)
{
    simulation->random = simulation->random * 1664525u + 1013904223u;
    return (simulation->random >> 8) % below;
}

/* Quiet, steady and sudden by turns; the consumer takes in order, pauses, and catches up. */
static void simulate(struct simulation *simulation)
{
    size_t published = 0;
    size_t taken = 0;

    for (int64_t second = 0; second < SIMULATED_SECONDS; second++) {
        const int64_t phase = second / 600 % 3;
        const uint32_t sudden = some(simulation, 50) == 0 ? 300 : 0;
        const uint32_t count = phase == 0 ? 0 : phase == 1 ? 10 : sudden;
        const uint32_t pace = second / 400 % 2 == 0 ? some(simulation, 40) : some(simulation, 3);

        for (uint32_t i = 0; i < count && published < MESSAGES_MAX; i++) {
            simulation->came[published++] = second;
        }
        taken = taken + pace < published ? taken + pace : published;
        simulation->published[second] = (double)published;
        simulation->taken[second] = (double)taken;
    }
}

/* The counter is up to 5 s old when it is read, the depth up to 10 s, each by itself. */
static void judge(struct simulation *simulation, int64_t interval)
{
    struct qe_err err = {0};
    struct qe_rmq_history *history = qe_rmq_history_new(&err);
    double *const oldest_came = simulation->oldest_came;
    size_t known_count = 0;
    size_t near_count = 0;

    assert_non_null(history);
    for (int64_t second = 20; second < SIMULATED_SECONDS; second += interval) {
        const int64_t depth_at = second - some(simulation, 11);
        const double taken = simulation->taken[depth_at];
        const struct qe_rmq_history_point point = {
            .mono_ms = second * 1000,
            .published = simulation->published[second - some(simulation, 6)],
            .ready = simulation->published[depth_at] - taken};
        double age = -1;
        int64_t as_of_mono_ms = 0;

        oldest_came[second] = point.ready > 0 ? (double)simulation->came[(size_t)taken] : -1;
        assert_int_equal(qe_rmq_history_note(history, &point, &err), 0);
        if (!qe_rmq_history_age(history, &age, &as_of_mono_ms)) {
            continue;
        }
        /* It is the age as of the last reading that was old enough, or of one since then. */
        bool is_sound = false;
        bool is_near = false;

        for (int64_t then = second; then >= second - 60 && then >= 20; then -= interval) {
            const double real = (double)then - oldest_came[then];

            is_sound = is_sound || (oldest_came[then] >= 0 && age <= real);
            is_near = is_near || (oldest_came[then] >= 0 && age >= real - 240);
        }
        assert_true(is_sound);
        known_count++;
        near_count += is_near ? 1 : 0;
    }
    assert_true(known_count > 3000 / (size_t)interval);
    assert_true(near_count * 10 >= known_count * 9);
    qe_rmq_history_destroy(history);
}

static void the_estimate_is_never_above_the_age_however_late_the_broker_counts(void **state)
{
    static const int64_t intervals[] = {5, 10, 15, 30};
    static struct simulation simulation;

    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        simulation.random = seed;
        simulate(&simulation);
        for (size_t i = 0; i < sizeof intervals / sizeof intervals[0]; i++) {
            judge(&simulation, intervals[i]);
        }
    }
}

static int build(void *context, struct qe_err *err)
{
    static const struct qe_rmq_history_point point = {.mono_ms = 1000, .published = 3, .ready = 3};
    struct qe_rmq_history *history = qe_rmq_history_new(err);
    const int rc = history == NULL ? -1 : qe_rmq_history_note(history, &point, err);

    (void)context;
    qe_rmq_history_destroy(history);
    return rc;
}

static void running_out_of_memory_is_told(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
}

/* --- pace --- */

static void what_is_dear_is_asked_as_often_as_it_may_cost(void **state)
{
    static const struct {
        double cost_seconds;
        double max_load;
        int64_t interval_ms;
    } rows[] = {
        {0.1, 0.005, 0},  {0.15, 0.005, 0}, {0.3, 0.005, 60000}, {1.5, 0.005, 300000},
        {1.6, 0.005, -1}, {0.0001, 0, -1},  {2, 1, 0},           {40, 1, 40000},
        {0, 0.005, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct qe_rmq_pace pace = {.cost_seconds = rows[i].cost_seconds, .asked_mono_ms = 1};

        if (qe_rmq_pace_interval_ms(&pace, rows[i].max_load, 30000) != rows[i].interval_ms) {
            fail_msg("row %zu", i);
        }
    }
}

static void the_first_answer_corrects_the_guess_and_three_that_are_dearer_move_it(void **state)
{
    struct qe_rmq_pace pace = {0};

    (void)state;
    qe_rmq_pace_expect(&pace, 0.6);
    assert_true(qe_rmq_pace_is_due(&pace, 0.005, 30000, 1000));
    qe_rmq_pace_note(&pace, 0.3, 1000);
    assert_double_equal(pace.cost_seconds, 0.3);
    qe_rmq_pace_expect(&pace, 99); /* measured is better */
    assert_double_equal(pace.cost_seconds, 0.3);
    assert_false(qe_rmq_pace_is_due(&pace, 0.005, 30000, 31000));
    assert_true(qe_rmq_pace_is_due(&pace, 0.005, 30000, 1000 + 54000)); /* jitter */
    qe_rmq_pace_note(&pace, 3, 61000); /* once: somebody was busy */
    assert_double_equal(pace.cost_seconds, 0.3);
    qe_rmq_pace_note(&pace, 4, 91000);
    qe_rmq_pace_note(&pace, 5, 121000); /* thrice: it is so dear */
    assert_double_equal(pace.cost_seconds, 3);
    assert_int_equal(qe_rmq_pace_interval_ms(&pace, 0.005, 30000), -1);
    qe_rmq_pace_note(&pace, 0.1, 700000);
    assert_double_equal(pace.cost_seconds, 0.1);
}

static void what_is_too_dear_is_tried_again_after_a_long_time(void **state)
{
    const struct qe_rmq_pace pace = {.cost_seconds = 6, .asked_mono_ms = 1000};
    const struct qe_rmq_pace never = {.cost_seconds = 6};

    (void)state;
    assert_false(qe_rmq_pace_is_due(&pace, 0.005, 30000, 1000 + 600000));
    assert_true(qe_rmq_pace_is_due(&pace, 0.005, 30000, 1000 + 1200000));
    assert_false(qe_rmq_pace_is_due(&never, 0.005, 30000, 1000));
    assert_false(qe_rmq_pace_is_due(&pace, 0, 30000, INT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_age_is_since_the_counter_passed_what_was_there_before),
        cmocka_unit_test(the_estimate_is_never_above_the_age_however_late_the_broker_counts),
        cmocka_unit_test(running_out_of_memory_is_told),
        cmocka_unit_test(what_is_dear_is_asked_as_often_as_it_may_cost),
        cmocka_unit_test(the_first_answer_corrects_the_guess_and_three_that_are_dearer_move_it),
        cmocka_unit_test(what_is_too_dear_is_tried_again_after_a_long_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
