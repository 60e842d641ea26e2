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
};

#define READINGS_MAX 8

/* < 0: not known. */
static double age_after(const struct reading *readings, size_t count)
{
    struct qe_err err = {0};
    struct qe_rmq_history *history = qe_rmq_history_new(&err);
    double age = -1;

    assert_non_null(history);
    for (size_t i = 0; i < count; i++) {
        const struct qe_rmq_history_point point = {.mono_ms = 1000 + readings[i].second * 1000,
                                                   .published = readings[i].published,
                                                   .redelivered = readings[i].redelivered,
                                                   .ready = readings[i].ready,
                                                   .in_flight = readings[i].in_flight};

        qe_rmq_history_note(history, &point);
        if (!qe_rmq_history_age(history, &point, &age)) {
            age = -1;
        }
    }
    qe_rmq_history_destroy(history);
    return age;
}

static void the_age_is_since_the_counter_passed_what_was_there_before(void **state)
{
    static const struct {
        struct reading readings[READINGS_MAX];
        size_t count;
        double age;
        const char *why;
    } rows[] = {
        {{{0, 10, 0, 0, 0}}, 1, 0, "empty"},
        {{{0, 10, 0, 0, 2}}, 1, -1, "in flight may be of any age"},
        {{{0, 10, 0, 5, 0}}, 1, -1, "older than what we saw"},
        {{{0, 10, 0, 0, 0}, {30, 15, 0, 5, 0}}, 2, 0, "all came since the reading before"},
        {{{0, 10, 0, 0, 0}, {30, 15, 0, 5, 0}, {60, 20, 0, 10, 0}}, 3, 30, "nothing was taken"},
        {{{0, 10, 0, 0, 0}, {30, 15, 0, 5, 0}, {60, 20, 0, 5, 0}}, 3, 0, "as much was taken"},
        {{{0, 10, 0, 0, 0}, {30, 15, 0, 5, 0}, {60, 15, 0, 5, 0}, {90, 15, 0, 5, 0}},
         4,
         60,
         "stuck"},
        {{{0, 10, 0, 0, 0}, {30, 15, 0, 5, 0}, {60, 20, 1, 10, 0}}, 3, -1, "delivered again"},
        {{{0, 10, 0, 0, 0}, {30, 15, 1, 5, 0}, {60, 20, 1, 5, 0}, {90, 25, 1, 5, 0}},
         4,
         0,
         "delivered again, but before those were published"},
        {{{0, 10, 0, 0, 0}, {30, 2, 0, 2, 0}}, 2, -1, "counters were set back"},
        {{{0, 10, 0, 0, 0}, {30, 2, 0, 2, 0}, {60, 4, 0, 2, 0}}, 3, 0, "and began again"},
        {{{0, 0, 0, 0, 0}, {30, 5, 0, 9, 0}}, 2, -1, "more than were ever counted"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const double age = age_after(rows[i].readings, rows[i].count);

        if (age < rows[i].age || age > rows[i].age) {
            fail_msg("%s: %g", rows[i].why, age);
        }
    }
}

/* A producer, a consumer that takes in order, and every reading of an hour: the estimate is never
 * above the real age, and not far below it. */
static void the_estimate_is_sound_and_not_far_off(void **state)
{
    struct qe_err err = {0};
    struct qe_rmq_history *history = qe_rmq_history_new(&err);
    double published = 0;
    double taken = 0;
    size_t known_count = 0;

    (void)state;
    assert_non_null(history);
    for (int64_t second = 0; second < 3600; second++) {
        published += 10;
        taken += second % 600 < 300 ? 4 : 16;
        taken = taken > published ? published : taken;
        if (second % 30 != 0) {
            continue;
        }
        const struct qe_rmq_history_point point = {
            .mono_ms = 1000 + second * 1000, .published = published, .ready = published - taken};
        /* Ten a second: message n came in second n / 10. */
        const double real = point.ready > 0 ? (double)second - (double)(int64_t)(taken / 10) : 0;
        double age = -1;

        qe_rmq_history_note(history, &point);
        if (qe_rmq_history_age(history, &point, &age)) {
            known_count++;
            assert_true(age <= real);
            assert_true(age >= real - 121); /* pairs lie further apart the older they are */
        }
    }
    assert_true(known_count > 100);
    qe_rmq_history_destroy(history);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_rmq_history *history = qe_rmq_history_new(err);

    (void)context;
    qe_rmq_history_destroy(history);
    return history == NULL ? -1 : 0;
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

static void the_first_answer_corrects_the_guess_and_later_ones_move_it(void **state)
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
    qe_rmq_pace_note(&pace, 3, 61000);
    assert_double_equal(pace.cost_seconds, 3); /* dearer: believed at once */
    assert_int_equal(qe_rmq_pace_interval_ms(&pace, 0.005, 30000), -1);
    qe_rmq_pace_note(&pace, 0, 700000);
    assert_true(pace.cost_seconds > 2 && pace.cost_seconds < 3);
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
        cmocka_unit_test(the_estimate_is_sound_and_not_far_off),
        cmocka_unit_test(running_out_of_memory_is_told),
        cmocka_unit_test(what_is_dear_is_asked_as_often_as_it_may_cost),
        cmocka_unit_test(the_first_answer_corrects_the_guess_and_later_ones_move_it),
        cmocka_unit_test(what_is_too_dear_is_tried_again_after_a_long_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
