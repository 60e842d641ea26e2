/* What a group waits for: by the part alone. */
#include <time.h>

#include "consumer/order.h"
#include "support/check.h"
#include "util/mem.h"

#define GROUP UINT64_C(7)
#define MOST UINT64_C(4096)
_Static_assert(MOST == QE_ORDER_MAX, "as many");

static struct qe_order *order_new(void)
{
    struct qe_order *order = qe_calloc(1, sizeof *order);

    assert_non_null(order);
    return order;
}

static void add(struct qe_order *order, uint64_t group, uint64_t rank, int64_t due_mono_ms,
                bool follows)
{
    const struct qe_order_entry entry = {.group_hash = group,
                                         .name = {.id = rank * 100},
                                         .rank = rank,
                                         .due_mono_ms = due_mono_ms,
                                         .follows = follows,
                                         .is_delayed = true};

    qe_order_add(order, &entry);
}

static uint64_t arrive(struct qe_order *order, uint64_t group, uint64_t id)
{
    const struct qe_order_name name = {.id = id};

    return qe_order_arrive(order, group, &name);
}

static void message_that_comes_again_has_its_old_rank(void **state)
{
    struct qe_order *order = order_new();

    (void)state;
    assert_int_equal(arrive(order, GROUP, 100), 1);
    assert_int_equal(arrive(order, GROUP, 200), 2);
    add(order, GROUP, 1, 1000, false);
    add(order, GROUP, 2, 1000, true);
    assert_int_equal(arrive(order, GROUP, 300), 3);
    assert_int_equal(arrive(order, GROUP + 1, 100), 4); /* another group's */
    assert_int_equal(arrive(order, GROUP, 200), 2);
    assert_true(qe_order_holds(order, GROUP, 3));
    assert_false(qe_order_holds(order, GROUP, 1));
    assert_false(qe_order_holds(order, GROUP + 1, 4));
    assert_false(qe_order_ahead(order, GROUP, 2, 0).backs_off == false);
    assert_int_equal(arrive(order, GROUP, 100), 1);
    assert_false(qe_order_ahead(order, GROUP, 3, 0).is_any); /* all have come... */
    assert_true(qe_order_holds(order, GROUP, 3));            /* ...and are not in line yet */
    qe_order_remove(order, GROUP, 1);
    qe_order_remove(order, GROUP, 2);
    qe_order_remove(order, GROUP, 2);
    assert_false(qe_order_holds(order, GROUP, 3));
    assert_int_equal(order->used, 0);
    qe_free(order);
}

/* Nobody can tell them apart, but there are two. */
static void two_that_are_the_same_have_two_ranks(void **state)
{
    struct qe_order *order = order_new();
    struct qe_order_entry entry = {
        .group_hash = GROUP, .name = {.id = 100}, .rank = 2, .due_mono_ms = 1000};

    (void)state;
    order->ranks = 3;
    qe_order_add(order, &entry);
    entry.rank = 1;
    qe_order_add(order, &entry);
    assert_int_equal(arrive(order, GROUP, 100), 1);
    assert_int_equal(arrive(order, GROUP, 100), 2);
    assert_int_equal(arrive(order, GROUP, 100), 4);
    qe_free(order);
}

static void message_without_an_id_is_known_also_when_a_copy_has_one(void **state)
{
    struct qe_order *order = order_new();
    const struct qe_order_entry entry = {.group_hash = GROUP, .name = {.content = 5}, .rank = 1};
    const struct qe_order_name copy = {.id = 8, .content = 5};
    const struct qe_order_name other = {.id = 8, .content = 6};

    (void)state;
    order->ranks = 1;
    qe_order_add(order, &entry);
    assert_int_equal(order->nameless, 1);
    assert_int_equal(qe_order_arrive(order, GROUP, &other), 2);
    assert_int_equal(qe_order_arrive(order, GROUP, &copy), 1);
    qe_order_remove(order, GROUP, 1);
    assert_int_equal(order->nameless, 0);
    qe_free(order);
}

static void group_waits_until_all_before_ought_to_be_back(void **state)
{
    struct qe_order *order = order_new();
    struct qe_order_ahead ahead;

    (void)state;
    add(order, GROUP, 1, 1000, false);
    add(order, GROUP, 2, 1500, true);
    add(order, GROUP, 9, 9000, true);
    ahead = qe_order_ahead(order, GROUP, 5, 700);
    assert_true(ahead.is_any);
    assert_true(ahead.backs_off);
    assert_int_equal(ahead.first_due_mono_ms, 1000);
    assert_int_equal(ahead.due_mono_ms, 1500);
    assert_false(qe_order_ahead(order, GROUP, 5, 1000 - QE_ORDER_BEHIND_MS).backs_off);
    qe_free(order);
}

static void what_does_not_come_is_waited_for_while_the_queue_may_have_it(void **state)
{
    struct qe_order *order = order_new();

    (void)state;
    add(order, GROUP, 1, 1000, false);
    assert_int_equal(qe_order_end_mono_ms(order, 500), 1000 + QE_ORDER_GRACE_MS);
    assert_false(qe_order_note_receive(order, 900, true, 4000)); /* it has more */
    assert_false(qe_order_note_receive(order, 4000, false, 5000));
    assert_int_equal(qe_order_end_mono_ms(order, 5000), 4000 + QE_ORDER_GRACE_MS);
    assert_false(qe_order_note_receive(order, 8000, false, 9000)); /* none for three seconds */
    assert_false(qe_order_note_receive(order, 9000, false, 9999));
    assert_true(qe_order_note_receive(order, 9999, false, 10000));
    assert_int_equal(order->used, 0);
    assert_true(qe_order_end_mono_ms(order, 10000) == INT64_MAX);
    qe_free(order);
}

static void what_a_later_one_overtakes_is_missing(void **state)
{
    struct qe_order *order = order_new();
    struct qe_order_entry in_place = {.group_hash = GROUP, .name = {.id = 1}, .rank = 4};
    const int64_t now = 1000 + QE_ORDER_GRACE_MS;

    (void)state;
    add(order, GROUP, 1, 1000, false);
    add(order, GROUP, 2, 1000 + QE_ORDER_GRACE_MS - 1, true);
    add(order, GROUP, 3, 1000 + QE_ORDER_GRACE_MS, true);
    add(order, GROUP, 8, 500, true);
    in_place.due_mono_ms = now;
    qe_order_add(order, &in_place);
    assert_false(qe_order_overtake(order, GROUP, 4, now)); /* it came from where it was before */
    assert_false(qe_order_overtake(order, GROUP, 2, now)); /* not so much later */
    assert_false(qe_order_overtake(order, GROUP, 99, now));
    assert_false(qe_order_overtake(order, GROUP, 3, now - 1)); /* the broker has not delayed it */
    assert_true(qe_order_overtake(order, GROUP, 3, now));
    assert_false(qe_order_holds(order, GROUP, 2));
    assert_true(qe_order_holds(order, GROUP, 3));
    assert_int_equal(order->used, 4);
    qe_free(order);
}

static void full_one_forgets_first_what_only_follows_and_is_young(void **state)
{
    struct qe_order *order = order_new();

    (void)state;
    for (uint64_t rank = 1; rank <= MOST; rank++) {
        add(order, rank % 5, rank, 1000, rank % 2 == 0);
    }
    add(order, GROUP, MOST + 2, 1000, true); /* itself the youngest that follows */
    assert_false(qe_order_holds(order, GROUP, UINT64_MAX));
    assert_int_equal(order->used, MOST);
    add(order, GROUP, MOST + 3, 1000, false);
    assert_true(qe_order_holds(order, GROUP, UINT64_MAX));
    assert_int_equal(order->used, MOST);
    assert_true(arrive(order, MOST % 5, MOST * 100) == 1);
    for (uint64_t rank = 1; rank < MOST; rank++) {
        assert_int_equal(arrive(order, rank % 5, rank * 100), rank);
    }
    qe_free(order);
}

static void next_consumer_goes_on_where_the_one_before_ended(void **state)
{
    struct qe_order *before = order_new();
    struct qe_order *next = order_new();

    (void)state;
    before->ranks = 10;
    add(before, GROUP, 3, 1000, false);
    add(before, GROUP, 4, 1000, true);
    add(next, GROUP, 3, 2000, false); /* what was known of it meanwhile */
    qe_order_move(next, before);
    assert_int_equal(before->used, 0);
    assert_int_equal(next->used, 2);
    assert_int_equal(arrive(next, GROUP, 400), 4);
    assert_int_equal(arrive(next, GROUP, 1), 11);
    qe_free(before);
    qe_free(next);
}

static void looking_costs_little_however_many_are_away(void **state)
{
    struct qe_order *order = order_new();
    clock_t began;

    (void)state;
    for (uint64_t rank = 1; rank <= MOST; rank++) { /* the worst: all of one group */
        add(order, GROUP, rank, 1000, rank > 1);
    }
    began = clock();
    for (uint64_t i = 0; i < 1000; i++) {
        (void)arrive(order, GROUP, 1);
        assert_true(qe_order_ahead(order, GROUP, MOST + 1, 0).is_any);
        add(order, GROUP, MOST + 1 + i, 1000, true);
    }
    double spent_ms = (double)(clock() - began) * 1000 / CLOCKS_PER_SEC;
    print_message("%.2f ms of CPU for a thousand messages\n", spent_ms);
    assert_true(spent_ms < 1000); /* of this process alone, however busy the machine is */
    qe_free(order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_that_comes_again_has_its_old_rank),
        cmocka_unit_test(two_that_are_the_same_have_two_ranks),
        cmocka_unit_test(message_without_an_id_is_known_also_when_a_copy_has_one),
        cmocka_unit_test(group_waits_until_all_before_ought_to_be_back),
        cmocka_unit_test(what_does_not_come_is_waited_for_while_the_queue_may_have_it),
        cmocka_unit_test(what_a_later_one_overtakes_is_missing),
        cmocka_unit_test(full_one_forgets_first_what_only_follows_and_is_young),
        cmocka_unit_test(next_consumer_goes_on_where_the_one_before_ended),
        cmocka_unit_test(looking_costs_little_however_many_are_away)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
