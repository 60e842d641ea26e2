#include <pthread.h>
#include <stdatomic.h>

#include "backend/embedded/hub.h"
#include "support/check.h"
#include "util/clock.h"

static void one_key_is_one_hub_while_it_is_held(void **state)
{
    struct qe_err err = {0};
    struct qe_hub *first = qe_hub_acquire("a", &err);
    struct qe_hub *same = qe_hub_acquire("a", &err);
    struct qe_hub *other = qe_hub_acquire("b", &err);

    (void)state;
    assert_ptr_equal(first, same);
    assert_ptr_not_equal(first, other);
    const uint64_t before = qe_hub_generation(first, 1);
    qe_hub_notify(same, 1);
    assert_true(qe_hub_generation(first, 1) != before);
    qe_hub_release(same);
    qe_hub_release(other);
    qe_hub_release(first);
    qe_hub_release(NULL);
}

static void a_taken_turn_is_refused_at_the_deadline(void **state)
{
    struct qe_err err = {0};
    struct qe_hub *hub = qe_hub_acquire("turn", &err);
    const int64_t start = qe_clock_mono_ms();

    (void)state;
    assert_true(qe_hub_take_turn(hub, start, NULL)); /* free: also past the deadline */
    assert_false(qe_hub_take_turn(hub, start + 30, NULL));
    assert_true(qe_clock_mono_ms() >= start + 30);
    qe_hub_give_turn(hub);
    assert_true(qe_hub_take_turn(hub, start, NULL));
    qe_hub_give_turn(hub);
    qe_hub_release(hub);
}

static void a_stop_ends_both_waits(void **state)
{
    struct qe_err err = {0};
    struct qe_hub *hub = qe_hub_acquire("stop", &err);
    atomic_bool stop = true;

    (void)state;
    assert_true(qe_hub_take_turn(hub, 0, &stop));
    assert_false(qe_hub_take_turn(hub, INT64_MAX, &stop));
    qe_hub_give_turn(hub);
    qe_hub_wait(hub, 1, qe_hub_generation(hub, 1), INT64_MAX, &stop);
    qe_hub_release(hub);
}

/* --- nobody is starved by a thread that takes the turn in a loop --- */

struct greedy {
    struct qe_hub *hub;
    atomic_bool stop;
    atomic_uint turns;
};

static void *take_turns(void *context)
{
    struct greedy *greedy = context;

    while (!atomic_load(&greedy->stop)) {
        if (qe_hub_take_turn(greedy->hub, qe_clock_mono_ms() + 1000, NULL)) {
            atomic_fetch_add(&greedy->turns, 1);
            qe_hub_give_turn(greedy->hub);
        }
    }
    return NULL;
}

static void the_turn_is_handed_to_those_who_wait(void **state)
{
    struct qe_err err = {0};
    struct greedy greedy[2] = {{.hub = qe_hub_acquire("fair", &err)}};
    pthread_t threads[2];

    (void)state;
    greedy[1].hub = greedy[0].hub;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, &greedy[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        assert_true(qe_hub_take_turn(greedy[0].hub, qe_clock_mono_ms() + 5000, NULL));
        qe_hub_give_turn(greedy[0].hub);
    }
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&greedy[i].stop, true);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    qe_hub_release(greedy[0].hub);
}

static int acquire_and_release(void *context, struct qe_err *err)
{
    (void)context;
    struct qe_hub *hub = qe_hub_acquire("torture", err);

    qe_hub_release(hub);
    return hub == NULL ? -1 : 0;
}

static void a_hub_survives_every_failed_allocation(void **state)
{
    (void)state;
    qe_check_torture(acquire_and_release, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_key_is_one_hub_while_it_is_held),
        cmocka_unit_test(a_taken_turn_is_refused_at_the_deadline),
        cmocka_unit_test(a_stop_ends_both_waits),
        cmocka_unit_test(the_turn_is_handed_to_those_who_wait),
        cmocka_unit_test(a_hub_survives_every_failed_allocation),
    };

    return cmocka_run_group_tests_name("embedded hub", tests, NULL, NULL);
}
