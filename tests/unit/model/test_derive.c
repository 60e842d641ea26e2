#include <math.h>

#include "model/derive.h"
#include "unit/model/fixture.h"

/* orders and payments dead-letter into dlq; alone into nothing; dlq comes first by name. */
enum {
    ALONE,
    DLQ,
    ORDERS,
    PAYMENTS,
    QUEUES_COUNT
};

struct scene {
    struct qe_snapshot snapshot;
    struct qe_queue_state states[QUEUES_COUNT];
};

static void make_scene(struct scene *scene, bool from_first_send)
{
    struct qe_queue_list list = {0};
    struct qe_err err = {0};

    memset(scene, 0, sizeof *scene);
    fixture_add(&list, "alone")->dead_letter_known = true;
    struct qe_queue *dlq = fixture_add(&list, "dlq");

    dlq->dead_letter_known = true;
    dlq->retention_from_first_send = from_first_send;
    struct qe_queue *orders = fixture_add(&list, "orders");

    assert_ok(qe_queue_add_link(orders, "", "dlq", &err), err);
    assert_ok(qe_queue_add_link(orders, "", "unwatched", &err), err);
    assert_ok(qe_queue_add_link(fixture_add(&list, "payments"), "", "dlq", &err), err);
    scene->snapshot.set = fixture_take(&list);
    scene->snapshot.states = scene->states;
}

static void set_field(struct scene *scene, size_t queue, enum qe_field field, double value)
{
    qe_sample_set(&scene->states[queue].sample, field, value);
}

/* Without the one that holds for ORDERS all the time, since it links to what is not watched. */
static unsigned warnings(const struct scene *scene, size_t queue, double p99)
{
    return qe_derive_warnings(&scene->snapshot, queue, p99) &
           ~(queue == ORDERS ? 1u << QE_WARN_DEAD_LETTER_QUEUE_UNREADABLE : 0u);
}

static void nothing_known_warns_of_nothing(void **state)
{
    (void)state;
    struct scene scene;

    make_scene(&scene, true);
    assert_int_equal(warnings(&scene, ORDERS, 10), 0);
    assert_int_equal(warnings(&scene, PAYMENTS, (double)INFINITY), 0);
    assert_int_equal(warnings(&scene, DLQ, -1), 0); /* a DLQ needs no DLQ */
    scene.snapshot.set->items[ALONE].dead_letter_known = false;
    assert_int_equal(warnings(&scene, ALONE, -1), 0);
    qe_queue_set_release(scene.snapshot.set);
}

static void each_setting_is_warned_of_by_itself(void **state)
{
    (void)state;
    struct scene scene;

    make_scene(&scene, true);
    assert_int_equal(warnings(&scene, ALONE, -1), 1u << QE_WARN_NO_DEAD_LETTER_QUEUE);
    set_field(&scene, PAYMENTS, QE_FIELD_MAX_RECEIVES, 2);
    assert_int_equal(warnings(&scene, PAYMENTS, -1), 0);
    set_field(&scene, PAYMENTS, QE_FIELD_MAX_RECEIVES, 1);
    assert_int_equal(warnings(&scene, PAYMENTS, -1), 1u << QE_WARN_MAX_RECEIVES_TOO_LOW);
    set_field(&scene, ORDERS, QE_FIELD_RETENTION_SECONDS, 100);
    set_field(&scene, DLQ, QE_FIELD_RETENTION_SECONDS, 101);
    assert_int_equal(warnings(&scene, ORDERS, -1), 0);
    set_field(&scene, DLQ, QE_FIELD_RETENTION_SECONDS, 100);
    assert_int_equal(warnings(&scene, ORDERS, -1), 1u << QE_WARN_DEAD_LETTER_RETENTION_TOO_SHORT);
    qe_queue_set_release(scene.snapshot.set);
}

static void retention_that_restarts_is_never_too_short(void **state)
{
    (void)state;
    struct scene scene;

    make_scene(&scene, false);
    set_field(&scene, ORDERS, QE_FIELD_RETENTION_SECONDS, 100);
    set_field(&scene, DLQ, QE_FIELD_RETENTION_SECONDS, 1);
    assert_int_equal(warnings(&scene, ORDERS, -1), 0);
    qe_queue_set_release(scene.snapshot.set);
}

static void visibility_is_compared_with_what_handling_takes(void **state)
{
    (void)state;
    struct scene scene;
    const unsigned slow = 1u << QE_WARN_VISIBILITY_BELOW_HANDLING_TIME;

    make_scene(&scene, false);
    set_field(&scene, PAYMENTS, QE_FIELD_VISIBILITY_TIMEOUT_SECONDS, 30);
    assert_int_equal(warnings(&scene, PAYMENTS, -1), 0); /* no consumer of ours */
    assert_int_equal(warnings(&scene, PAYMENTS, (double)NAN), 0);
    assert_int_equal(warnings(&scene, PAYMENTS, 30), 0);
    assert_int_equal(warnings(&scene, PAYMENTS, 60), slow);
    assert_int_equal(warnings(&scene, PAYMENTS, (double)INFINITY), slow);
    /* Longer than five minutes is all that is known of it: a timeout of an hour may do. */
    set_field(&scene, PAYMENTS, QE_FIELD_VISIBILITY_TIMEOUT_SECONDS, 3600);
    assert_int_equal(warnings(&scene, PAYMENTS, (double)INFINITY), 0);
    qe_queue_set_release(scene.snapshot.set);
}

static void dead_letter_queue_that_cannot_be_read_is_said_so(void **state)
{
    (void)state;
    struct scene scene;

    make_scene(&scene, true);
    assert_int_equal(qe_derive_warnings(&scene.snapshot, ORDERS, -1),
                     1u << QE_WARN_DEAD_LETTER_QUEUE_UNREADABLE);
    assert_int_equal(qe_derive_warnings(&scene.snapshot, PAYMENTS, -1), 0);
    qe_queue_set_release(scene.snapshot.set);
}

/* Not "it has none": it has one, and everything sent there is lost. */
static void dead_letters_that_reach_no_queue_are_said_so(void **state)
{
    (void)state;
    struct scene scene;

    make_scene(&scene, true);
    scene.snapshot.set->items[PAYMENTS].dead_letter_unroutable = true;
    scene.snapshot.set->items[PAYMENTS].dead_letter_known = true;
    assert_int_equal(warnings(&scene, PAYMENTS, -1), 1u << QE_WARN_DEAD_LETTER_UNROUTABLE);
    qe_queue_set_release(scene.snapshot.set);
}

/* A consumer sends anew, whatever the types are, and its letters live as long as any. */
static void what_a_consumer_sends_there_itself_may_be_of_any_type(void **state)
{
    struct scene scene;

    (void)state;
    make_scene(&scene, true);
    scene.snapshot.set->items[PAYMENTS].kind = QE_KIND_FIFO;
    scene.snapshot.set->items[DLQ].kind = QE_KIND_STANDARD;
    set_field(&scene, PAYMENTS, QE_FIELD_RETENTION_SECONDS, 100);
    set_field(&scene, DLQ, QE_FIELD_RETENTION_SECONDS, 100);
    assert_int_not_equal(warnings(&scene, PAYMENTS, -1), 0);
    scene.snapshot.set->items[PAYMENTS].links[0].by_consumer = true;
    assert_int_equal(warnings(&scene, PAYMENTS, -1), 0);
    qe_queue_set_release(scene.snapshot.set);
}

static void dead_letter_queue_must_be_of_the_same_type(void **state)
{
    static const struct {
        enum qe_queue_kind from, to;
        bool is_wrong;
    } rows[] = {
        {QE_KIND_STANDARD, QE_KIND_STANDARD, false}, {QE_KIND_STANDARD, QE_KIND_FIFO, true},
        {QE_KIND_FIFO, QE_KIND_STANDARD, true},      {QE_KIND_FIFO, QE_KIND_FIFO, false},
        {QE_KIND_EMBEDDED, QE_KIND_FIFO, false},     {QE_KIND_QUORUM, QE_KIND_CLASSIC, false},
        {QE_KIND_STANDARD, QE_KIND_STREAM, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene scene;

        make_scene(&scene, true);
        scene.snapshot.set->items[PAYMENTS].kind = rows[i].from;
        scene.snapshot.set->items[DLQ].kind = rows[i].to;
        if (warnings(&scene, PAYMENTS, -1) !=
            (rows[i].is_wrong ? 1u << QE_WARN_DEAD_LETTER_WRONG_TYPE : 0u)) {
            fail_msg("row %zu", i);
        }
        assert_int_equal(warnings(&scene, DLQ, -1), 0);
        qe_queue_set_release(scene.snapshot.set);
    }
}

static void in_flight_is_near_its_limit_above_four_fifths(void **state)
{
    static const struct {
        double in_flight, limit;
        bool is_near;
    } rows[] = {
        {96000, 120000, false}, {96001, 120000, true},  {0, 120000, false},
        {120000, 120000, true}, {130000, 120000, true}, {5, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene scene;

        make_scene(&scene, true);
        set_field(&scene, PAYMENTS, QE_FIELD_IN_FLIGHT_MESSAGES, rows[i].in_flight);
        assert_int_equal(warnings(&scene, PAYMENTS, -1), 0); /* without a limit */
        set_field(&scene, PAYMENTS, QE_FIELD_IN_FLIGHT_LIMIT_MESSAGES, rows[i].limit);
        if (warnings(&scene, PAYMENTS, -1) !=
            (rows[i].is_near ? 1u << QE_WARN_IN_FLIGHT_NEAR_LIMIT : 0u)) {
            fail_msg("row %zu", i);
        }
        qe_queue_set_release(scene.snapshot.set);
    }
}

static void the_margin_is_retention_less_age(void **state)
{
    (void)state;
    struct scene scene;
    double margin = -1;

    make_scene(&scene, false);
    assert_false(qe_derive_expiry_margin(&scene.snapshot, ORDERS, &margin));
    set_field(&scene, ORDERS, QE_FIELD_RETENTION_SECONDS, 100);
    assert_false(qe_derive_expiry_margin(&scene.snapshot, ORDERS, &margin)); /* age unknown */
    set_field(&scene, ORDERS, QE_FIELD_OLDEST_AGE_SECONDS, 30);
    assert_true(qe_derive_expiry_margin(&scene.snapshot, ORDERS, &margin));
    assert_double_equal(margin, 70);
    scene.states[ORDERS].sample.age_lag_seconds = 25; /* it is 25 s older by now */
    assert_true(qe_derive_expiry_margin(&scene.snapshot, ORDERS, &margin));
    assert_double_equal(margin, 45);
    set_field(&scene, ORDERS, QE_FIELD_OLDEST_AGE_SECONDS, 130);
    assert_true(qe_derive_expiry_margin(&scene.snapshot, ORDERS, &margin));
    assert_double_equal(margin, 0);
    qe_queue_set_release(scene.snapshot.set);
}

static void an_empty_queue_has_nothing_to_lose(void **state)
{
    (void)state;
    struct scene scene;
    double margin = -1;

    make_scene(&scene, false);
    set_field(&scene, ORDERS, QE_FIELD_RETENTION_SECONDS, 100);
    set_field(&scene, ORDERS, QE_FIELD_OLDEST_AGE_SECONDS, 0);
    set_field(&scene, ORDERS, QE_FIELD_READY_MESSAGES, 0);
    assert_true(qe_derive_expiry_margin(&scene.snapshot, ORDERS, &margin)); /* in flight: ? */
    set_field(&scene, ORDERS, QE_FIELD_IN_FLIGHT_MESSAGES, 0);
    assert_false(qe_derive_expiry_margin(&scene.snapshot, ORDERS, &margin));
    set_field(&scene, ORDERS, QE_FIELD_DELAYED_MESSAGES, 1);
    assert_true(qe_derive_expiry_margin(&scene.snapshot, ORDERS, &margin));
    set_field(&scene, ORDERS, QE_FIELD_DELAYED_MESSAGES, 0);
    assert_false(qe_derive_expiry_margin(&scene.snapshot, ORDERS, &margin));
    qe_queue_set_release(scene.snapshot.set);
}

static void where_retention_counts_from_the_first_send_the_longest_way_is_taken(void **state)
{
    (void)state;
    struct scene scene;
    double margin = -1;

    make_scene(&scene, true);
    set_field(&scene, DLQ, QE_FIELD_RETENTION_SECONDS, 1000);
    set_field(&scene, DLQ, QE_FIELD_OLDEST_AGE_SECONDS, 50);
    set_field(&scene, ORDERS, QE_FIELD_RETENTION_SECONDS, 100);
    assert_false(qe_derive_expiry_margin(&scene.snapshot, DLQ, &margin)); /* payments: unknown */
    set_field(&scene, PAYMENTS, QE_FIELD_RETENTION_SECONDS, 400);
    assert_true(qe_derive_expiry_margin(&scene.snapshot, DLQ, &margin));
    assert_double_equal(margin, 550);
    scene.snapshot.set->items[DLQ].retention_from_first_send = false;
    assert_true(qe_derive_expiry_margin(&scene.snapshot, DLQ, &margin));
    assert_double_equal(margin, 950);
    /* Nobody links here: as far as is known it is an ordinary queue. */
    scene.snapshot.set->items[ALONE].retention_from_first_send = true;
    set_field(&scene, ALONE, QE_FIELD_RETENTION_SECONDS, 10);
    set_field(&scene, ALONE, QE_FIELD_OLDEST_AGE_SECONDS, 4);
    assert_true(qe_derive_expiry_margin(&scene.snapshot, ALONE, &margin));
    assert_double_equal(margin, 6);
    scene.snapshot.set->items[ALONE].is_dead_letter_elsewhere = true; /* of a queue not watched */
    assert_false(qe_derive_expiry_margin(&scene.snapshot, ALONE, &margin));
    qe_queue_set_release(scene.snapshot.set);
}

static void the_depth_of_a_dlq_is_all_that_waits_in_it(void **state)
{
    (void)state;
    struct scene scene;
    double depth = -1;

    make_scene(&scene, false);
    assert_false(qe_derive_dead_letter_messages(&scene.snapshot, ORDERS, 0, &depth));
    set_field(&scene, DLQ, QE_FIELD_IN_FLIGHT_MESSAGES, 2);
    assert_false(qe_derive_dead_letter_messages(&scene.snapshot, ORDERS, 0, &depth));
    set_field(&scene, DLQ, QE_FIELD_READY_MESSAGES, 5);
    assert_true(qe_derive_dead_letter_messages(&scene.snapshot, ORDERS, 0, &depth));
    assert_double_equal(depth, 7);
    set_field(&scene, DLQ, QE_FIELD_DELAYED_MESSAGES, 1);
    assert_true(qe_derive_dead_letter_messages(&scene.snapshot, PAYMENTS, 0, &depth));
    assert_double_equal(depth, 8);
    assert_false(qe_derive_dead_letter_messages(&scene.snapshot, ORDERS, 1, &depth));
    qe_queue_set_release(scene.snapshot.set);
}

static void warnings_have_names(void **state)
{
    (void)state;
    assert_string_equal(qe_warning_name(QE_WARN_NO_DEAD_LETTER_QUEUE), "no_dead_letter_queue");
    assert_string_equal(qe_warning_name(QE_WARN_VISIBILITY_BELOW_HANDLING_TIME),
                        "visibility_below_handling_time");
    assert_string_equal(qe_warning_name(QE_WARN_IN_FLIGHT_NEAR_LIMIT), "in_flight_near_limit");
    assert_string_equal(qe_warning_name(QE_WARN_DEAD_LETTER_UNROUTABLE), "dead_letter_unroutable");
}

static void a_dead_letter_queue_that_is_watched_alone_has_its_own_depth(void **state)
{
    (void)state;
    struct scene scene;
    double messages = -1;

    make_scene(&scene, true);
    set_field(&scene, ALONE, QE_FIELD_READY_MESSAGES, 3);
    set_field(&scene, DLQ, QE_FIELD_READY_MESSAGES, 4);
    assert_false(qe_derive_own_dead_letter_messages(&scene.snapshot, ALONE, &messages));
    assert_false(qe_derive_own_dead_letter_messages(&scene.snapshot, DLQ, &messages));
    scene.snapshot.set->is_dead_letter_queue[ALONE] = true; /* as configured */
    assert_true(qe_derive_own_dead_letter_messages(&scene.snapshot, ALONE, &messages));
    assert_double_equal(messages, 3);
    qe_queue_set_release(scene.snapshot.set);
}

static void what_waits_in_a_retry_loop_is_no_dead_letter(void **state)
{
    (void)state;
    struct scene scene;
    double messages = -1;

    make_scene(&scene, true);
    set_field(&scene, DLQ, QE_FIELD_READY_MESSAGES, 4);
    assert_true(qe_derive_dead_letter_messages(&scene.snapshot, PAYMENTS, 0, &messages));
    scene.snapshot.set->is_dead_letter_queue[DLQ] = false;
    assert_false(qe_derive_dead_letter_messages(&scene.snapshot, PAYMENTS, 0, &messages));
    qe_queue_set_release(scene.snapshot.set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_letter_queue_that_is_watched_alone_has_its_own_depth),
        cmocka_unit_test(what_waits_in_a_retry_loop_is_no_dead_letter),
        cmocka_unit_test(nothing_known_warns_of_nothing),
        cmocka_unit_test(each_setting_is_warned_of_by_itself),
        cmocka_unit_test(retention_that_restarts_is_never_too_short),
        cmocka_unit_test(visibility_is_compared_with_what_handling_takes),
        cmocka_unit_test(dead_letter_queue_that_cannot_be_read_is_said_so),
        cmocka_unit_test(dead_letters_that_reach_no_queue_are_said_so),
        cmocka_unit_test(dead_letter_queue_must_be_of_the_same_type),
        cmocka_unit_test(what_a_consumer_sends_there_itself_may_be_of_any_type),
        cmocka_unit_test(in_flight_is_near_its_limit_above_four_fifths),
        cmocka_unit_test(the_margin_is_retention_less_age),
        cmocka_unit_test(an_empty_queue_has_nothing_to_lose),
        cmocka_unit_test(where_retention_counts_from_the_first_send_the_longest_way_is_taken),
        cmocka_unit_test(the_depth_of_a_dlq_is_all_that_waits_in_it),
        cmocka_unit_test(warnings_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
