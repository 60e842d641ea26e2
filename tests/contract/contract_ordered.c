/* Queues with ordered groups and a deduplication window. */
#include <stdio.h>
#include <string.h>

#include "contract/contract_internal.h"

static void send_group(struct world *world, const char *group, const char *body)
{
    struct qe_outgoing message = {
        .body = body, .body_bytes = strlen(body), .delay_ms = -1, .group = group};

    send_one(world, QE_CONTRACT_ORDERED, &message);
}

static void a_group_has_one_message_in_flight_and_keeps_its_order(void **state)
{
    struct world *world = *state;

    send_group(world, "a", "a1");
    send_group(world, "a", "a2");
    send_group(world, "b", "b1");
    send_group(world, "a", "a3");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_ORDERED, 2);
    assert_string_equal(list.items[0].body, "a1");
    assert_string_equal(list.items[0].group, "a");
    assert_string_equal(list.items[1].body, "b1");
    struct qe_message_list none = receive_now(world, QE_CONTRACT_ORDERED, 10);
    assert_int_equal(none.count, 0); /* both groups wait for what is in flight */
    qe_message_list_deinit(&none);

    (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_RELEASE, 0, NULL);
    qe_message_list_deinit(&list);
    for (int i = 1; i <= 3; i++) {
        char body[4];

        (void)snprintf(body, sizeof(body), "a%d", i); /* released first, so again a1 before a2 */
        list = receive_count(world, QE_CONTRACT_ORDERED, 1);
        assert_string_equal(list.items[0].body, body);
        (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_ACK, 0, NULL);
        qe_message_list_deinit(&list);
    }
}

static void a_released_message_holds_its_group_back_for_its_delay(void **state)
{
    struct world *world = *state;

    send_group(world, "a", "a1");
    send_group(world, "a", "a2");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_ORDERED, 1);
    (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_RELEASE, 200, NULL);
    qe_message_list_deinit(&list);
    list = receive_now(world, QE_CONTRACT_ORDERED, 10);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
    list = receive_count(world, QE_CONTRACT_ORDERED, 1);
    assert_string_equal(list.items[0].body, "a1");
    qe_message_list_deinit(&list);
}

static void a_deduplication_id_is_added_once_within_its_window(void **state)
{
    struct world *world = *state;
    struct qe_outgoing first = {
        .body = "1", .body_bytes = 1, .delay_ms = -1, .group = "g", .deduplication_id = "same"};
    struct qe_outgoing second = first;

    send_one(world, QE_CONTRACT_ORDERED, &first);
    send_one(world, QE_CONTRACT_ORDERED, &second); /* succeeds, and adds nothing */
    struct qe_message_list list = receive_count(world, QE_CONTRACT_ORDERED, 1);
    assert_string_equal(list.items[0].deduplication_id, "same");
    (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    qe_message_list_deinit(&list);
    list = receive_now(world, QE_CONTRACT_ORDERED, 1);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
}

static void a_duplicate_is_none_when_the_first_is_long_handled(void **state)
{
    struct world *world = *state;
    struct qe_outgoing message = {
        .body = "1", .body_bytes = 1, .delay_ms = -1, .group = "g", .deduplication_id = "same"};

    send_one(world, QE_CONTRACT_ORDERED, &message);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_ORDERED, 1);
    (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    qe_message_list_deinit(&list);
    send_one(world, QE_CONTRACT_ORDERED, &message);
    list = receive_now(world, QE_CONTRACT_ORDERED, 1);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
}

static void a_duplicate_is_answered_with_the_id_of_the_first(void **state)
{
    struct world *world = *state;
    struct qe_outgoing first = {
        .body = "1", .body_bytes = 1, .delay_ms = -1, .group = "g", .deduplication_id = "same"};
    struct qe_outgoing second = first;

    send_one(world, QE_CONTRACT_ORDERED, &first);
    send_one(world, QE_CONTRACT_ORDERED, &second);
    assert_string_equal(first.id, second.id);
}

/* Without an id, and without a queue that makes one of the body, equal messages are two. */
static void equal_messages_without_an_id_are_two(void **state)
{
    struct world *world = *state;

    send_group(world, "a", "same");
    send_group(world, "b", "same");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_ORDERED, 2);
    qe_message_list_deinit(&list);
}

/* However many of a group the broker delivers at once, one is in hand; what was received behind a
 * message that failed comes behind it again. */
static void a_failed_message_stops_its_group(void **state)
{
    struct world *world = *state;
    static const char *const s_bodies[] = {"a1", "a2", "a3", "a4"};

    for (size_t i = 0; i < 4; i++) {
        send_group(world, "a", s_bodies[i]);
    }
    struct qe_message_list list = receive_count(world, QE_CONTRACT_ORDERED, 1);
    (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    qe_message_list_deinit(&list);
    for (int failures = 0; failures < 2; failures++) {
        list = receive_now(world, QE_CONTRACT_ORDERED, 10);
        assert_int_equal(list.count, 1);
        assert_string_equal(list.items[0].body, "a2");
        (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_RELEASE, 0, NULL);
        qe_message_list_deinit(&list);
    }
    for (size_t i = 1; i < 4; i++) {
        list = receive_now(world, QE_CONTRACT_ORDERED, 10);
        assert_int_equal(list.count, 1);
        assert_string_equal(list.items[0].body, s_bodies[i]);
        (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_ACK, 0, NULL);
        qe_message_list_deinit(&list);
    }
}

#define BATCH 12

static void a_batch_of_a_group_keeps_its_order(void **state)
{
    struct world *world = *state;
    static struct qe_outgoing messages[BATCH];
    char bodies[BATCH][8];
    struct qe_err err = {0};

    for (size_t i = 0; i < BATCH; i++) {
        (void)snprintf(bodies[i], sizeof(bodies[i]), "%zu", i);
        messages[i] = (struct qe_outgoing){
            .body = bodies[i], .body_bytes = strlen(bodies[i]), .delay_ms = -1, .group = "g"};
    }
    assert_ok(world->driver->send(world->handle, &world->queues[QE_CONTRACT_ORDERED], messages,
                                  BATCH, in_ms(5000), &err),
              err);
    for (size_t i = 0; i < BATCH; i++) {
        struct qe_message_list list = receive_count(world, QE_CONTRACT_ORDERED, 1);

        assert_string_equal(list.items[0].body, bodies[i]);
        (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_ACK, 0, NULL);
        qe_message_list_deinit(&list);
    }
}

#define BOTH (QE_CAP_SEND | QE_CAP_RECEIVE)

const struct contract_test qe_contract_ordered[] = {
    {"a group has one message in flight and keeps its order",
     a_group_has_one_message_in_flight_and_keeps_its_order, BOTH | QE_CAP_ORDERED},
    {"a released message holds its group back for its delay",
     a_released_message_holds_its_group_back_for_its_delay, BOTH | QE_CAP_ORDERED | QE_CAP_DELAY},
    {"a deduplication id is added once within its window",
     a_deduplication_id_is_added_once_within_its_window, BOTH | QE_CAP_ORDERED},
    {"a duplicate is none when the first is long handled",
     a_duplicate_is_none_when_the_first_is_long_handled, BOTH | QE_CAP_ORDERED},
    {"a duplicate is answered with the id of the first",
     a_duplicate_is_answered_with_the_id_of_the_first, BOTH | QE_CAP_ORDERED},
    {"equal messages without an id are two", equal_messages_without_an_id_are_two,
     BOTH | QE_CAP_ORDERED},
    {"a batch of a group keeps its order", a_batch_of_a_group_keeps_its_order,
     BOTH | QE_CAP_ORDERED},
    {"a failed message stops its group", a_failed_message_stops_its_group, BOTH | QE_CAP_ORDERED},
    {NULL, NULL, 0},
};
