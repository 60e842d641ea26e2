/* What goes in comes out: bodies, attributes, batches, delay, peek, purge, order. */
#include <stdio.h>
#include <string.h>

#include "contract/contract_internal.h"
#include "util/clock.h"
#include "util/mem.h"

static void a_body_of_any_bytes_comes_back_unchanged(void **state)
{
    struct world *world = *state;
    char bytes[256];

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)i; /* NUL first, invalid UTF-8 after */
    }
    struct qe_outgoing message = {.body = bytes, .body_bytes = sizeof(bytes), .delay_ms = -1};
    send_one(world, QE_CONTRACT_WORK, &message);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.items[0].body_bytes, sizeof(bytes));
    assert_memory_equal(list.items[0].body, bytes, sizeof(bytes));
    assert_int_equal(list.items[0].body[sizeof(bytes)], 0); /* the uncounted NUL behind */
    qe_message_list_deinit(&list);
}

static void an_empty_body_is_a_message_too(void **state)
{
    struct world *world = *state;
    struct qe_outgoing message = {.body = NULL, .body_bytes = 0, .delay_ms = -1};

    send_one(world, QE_CONTRACT_WORK, &message);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.items[0].body_bytes, 0);
    assert_non_null(list.items[0].body);
    qe_message_list_deinit(&list);
}

static void attributes_and_ids_travel_with_the_message(void **state)
{
    struct world *world = *state;
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};
    const int64_t before_unix_ms = qe_clock_unix_ms();

    assert_ok(qe_attributes_add(&attributes, "plain", "value", &err), err);
    assert_ok(qe_attributes_add(&attributes, "quo\"te\\", "line\nfeed \x01 \xc3\xa9", &err), err);
    assert_ok(qe_attributes_add(&attributes, "empty", "", &err), err);
    struct qe_outgoing message = {.body = "b",
                                  .body_bytes = 1,
                                  .attributes = &attributes,
                                  .delay_ms = -1,
                                  .correlation_id = "c-1",
                                  .reply_to = "answers"};
    send_one(world, QE_CONTRACT_WORK, &message);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    const struct qe_message *got = &list.items[0];
    assert_string_equal(got->id, message.id);
    assert_true(strlen(got->receipt) >= 16);
    assert_string_equal(got->correlation_id, "c-1");
    assert_string_equal(got->reply_to, "answers");
    assert_int_equal(got->attributes.count, 3);
    assert_string_equal(qe_attributes_get(&got->attributes, "plain"), "value");
    assert_string_equal(qe_attributes_get(&got->attributes, "quo\"te\\"),
                        "line\nfeed \x01 \xc3\xa9");
    assert_string_equal(qe_attributes_get(&got->attributes, "empty"), "");
    assert_int_equal(got->receives, 1);
    assert_true(got->sent_unix_ms >= before_unix_ms - 1000);
    assert_true(got->enqueued_unix_ms >= before_unix_ms - 1000);
    assert_true(got->visible_until_mono_ms > qe_clock_mono_ms());
    qe_attributes_deinit(&attributes);
    qe_message_list_deinit(&list);
}

#define BATCH 12

static void a_batch_of_any_size_is_sent_received_and_settled(void **state)
{
    struct world *world = *state;
    static struct qe_outgoing messages[BATCH]; /* with an error each: too much for a stack */
    static struct qe_settlement settlements[BATCH];
    char bodies[BATCH][8];
    bool seen[BATCH] = {false};
    struct qe_err err = {0};

    for (size_t i = 0; i < BATCH; i++) {
        (void)snprintf(bodies[i], sizeof(bodies[i]), "%zu", i);
        messages[i] = (struct qe_outgoing){
            .body = bodies[i], .body_bytes = strlen(bodies[i]), .delay_ms = -1};
    }
    assert_ok(world->driver->send(world->handle, &world->queues[QE_CONTRACT_WORK], messages, BATCH,
                                  in_ms(5000), &err),
              err);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, BATCH);
    for (size_t i = 0; i < BATCH; i++) {
        const int number = list.items[i].body[1] == '\0'
                               ? list.items[i].body[0] - '0'
                               : (list.items[i].body[0] - '0') * 10 + list.items[i].body[1] - '0';

        assert_int_equal(messages[i].result.code, QE_OK);
        assert_in_range(number, 0, BATCH - 1);
        assert_false(seen[number]); /* none twice */
        seen[number] = true;
        settlements[i] = (struct qe_settlement){.message = &list.items[i]};
    }
    assert_ok(world->driver->settle(world->handle, &world->queues[QE_CONTRACT_WORK], settlements,
                                    BATCH, in_ms(5000), &err),
              err);
    for (size_t i = 0; i < BATCH; i++) {
        assert_int_equal(settlements[i].result, QE_SETTLED);
    }
    qe_message_list_deinit(&list);
    list = receive_now(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
}

static void one_bad_message_does_not_spoil_its_batch(void **state)
{
    struct world *world = *state;
    struct qe_outgoing messages[3] = {
        {.body = "first", .body_bytes = 5, .delay_ms = -1},
        {.body = "x", .body_bytes = QE_MESSAGE_BODY_MAX_BYTES + 1, .delay_ms = -1},
        {.body = "third", .body_bytes = 5, .delay_ms = -1},
    };
    struct qe_err err = {0};

    assert_ok(world->driver->send(world->handle, &world->queues[QE_CONTRACT_WORK], messages, 3,
                                  in_ms(5000), &err),
              err);
    assert_int_equal(messages[0].result.code, QE_OK);
    assert_int_equal(messages[1].result.code, QE_ERR_LIMIT); /* never read: only its size is */
    assert_int_equal(messages[2].result.code, QE_OK);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 2);
    qe_message_list_deinit(&list);
    list = receive_now(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
}

static void received_messages_are_appended_behind_what_is_there(void **state)
{
    struct world *world = *state;
    struct qe_err err = {0};

    send_text(world, QE_CONTRACT_WORK, "one");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    send_text(world, QE_CONTRACT_WORK, "two");
    assert_ok(world->driver->receive(world->handle, &world->queues[QE_CONTRACT_WORK], 1,
                                     in_ms(5000), &list, &err),
              err);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].body, "one");
    assert_string_equal(list.items[1].body, "two");
    qe_message_list_deinit(&list);
}

static void a_delayed_message_comes_when_it_is_due(void **state)
{
    struct world *world = *state;
    struct qe_outgoing message = {.body = "later", .body_bytes = 5, .delay_ms = 300};
    const int64_t start = qe_clock_mono_ms();

    send_one(world, QE_CONTRACT_WORK, &message);
    struct qe_message_list list = receive_now(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
    list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_true(qe_clock_mono_ms() - start >= 299); /* the broker's clock may round */
    assert_true(qe_clock_mono_ms() - start < 300 + world->fixture->wake_ms + 300);
    qe_message_list_deinit(&list);
}

static void peek_shows_everything_and_touches_nothing(void **state)
{
    struct world *world = *state;
    struct qe_outgoing later = {.body = "later", .body_bytes = 5, .delay_ms = 60000};

    send_text(world, QE_CONTRACT_WORK, "held");
    struct qe_message_list held = receive_count(world, QE_CONTRACT_WORK, 1);
    send_text(world, QE_CONTRACT_WORK, "ready");
    send_one(world, QE_CONTRACT_WORK, &later);
    for (int round = 0; round < 2; round++) { /* the second look sees what the first saw */
        struct qe_message_list list = peek_all(world, QE_CONTRACT_WORK);

        assert_int_equal(list.count, 3);
        assert_string_equal(list.items[0].body, "ready"); /* in the order of delivery */
        assert_int_equal(list.items[0].visible_unix_ms, 0);
        assert_int_equal(list.items[0].receives, 0);
        assert_string_equal(list.items[1].body, "held");
        assert_int_equal(list.items[1].receives, 1);
        assert_true(list.items[1].visible_unix_ms > qe_clock_unix_ms());
        assert_string_equal(list.items[2].body, "later");
        for (size_t i = 0; i < list.count; i++) {
            assert_string_equal(list.items[i].receipt, "");
        }
        qe_message_list_deinit(&list);
    }
    assert_int_equal(
        settle_one(world, QE_CONTRACT_WORK, &held.items[0], QE_SETTLE_ACK, 0, NULL).result,
        QE_SETTLED);
    qe_message_list_deinit(&held);
}

static void purge_deletes_everything_and_says_how_much(void **state)
{
    struct world *world = *state;
    struct qe_outgoing later = {.body = "later", .body_bytes = 5, .delay_ms = 60000};
    struct qe_err err = {0};
    uint64_t count = 0;

    send_text(world, QE_CONTRACT_WORK, "held");
    struct qe_message_list held = receive_count(world, QE_CONTRACT_WORK, 1);
    send_text(world, QE_CONTRACT_WORK, "ready");
    send_one(world, QE_CONTRACT_WORK, &later);
    send_text(world, QE_CONTRACT_BRIEF, "other queue");
    assert_ok(world->driver->purge(world->handle, &world->queues[QE_CONTRACT_WORK], in_ms(5000),
                                   &count, &err),
              err);
    assert_true(count == 3 || count == UINT64_MAX);
    struct qe_message_list list = peek_all(world, QE_CONTRACT_WORK);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
    assert_int_equal(
        settle_one(world, QE_CONTRACT_WORK, &held.items[0], QE_SETTLE_ACK, 0, NULL).result,
        QE_SETTLE_STALE);
    qe_message_list_deinit(&held);
    list = receive_count(world, QE_CONTRACT_BRIEF, 1);
    qe_message_list_deinit(&list);
}

/* --- ordered queues --- */

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
    assert_string_equal(first.id, second.id);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_ORDERED, 1);
    assert_string_equal(list.items[0].deduplication_id, "same");
    (void)settle_one(world, QE_CONTRACT_ORDERED, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    qe_message_list_deinit(&list);
    send_one(world, QE_CONTRACT_ORDERED, &second); /* also when the first is long handled */
    list = receive_now(world, QE_CONTRACT_ORDERED, 1);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
}

#define BOTH (QE_CAP_SEND | QE_CAP_RECEIVE)

const struct contract_test qe_contract_messages[] = {
    {"a body of any bytes comes back unchanged", a_body_of_any_bytes_comes_back_unchanged, BOTH},
    {"an empty body is a message too", an_empty_body_is_a_message_too, BOTH},
    {"attributes and ids travel with the message", attributes_and_ids_travel_with_the_message,
     BOTH},
    {"a batch of any size is sent, received and settled",
     a_batch_of_any_size_is_sent_received_and_settled, BOTH},
    {"one bad message does not spoil its batch", one_bad_message_does_not_spoil_its_batch, BOTH},
    {"received messages are appended behind what is there",
     received_messages_are_appended_behind_what_is_there, BOTH},
    {"a delayed message comes when it is due", a_delayed_message_comes_when_it_is_due,
     BOTH | QE_CAP_DELAY},
    {"peek shows everything and touches nothing", peek_shows_everything_and_touches_nothing,
     BOTH | QE_CAP_PEEK | QE_CAP_DELAY},
    {"purge deletes everything and says how much", purge_deletes_everything_and_says_how_much,
     BOTH | QE_CAP_PURGE | QE_CAP_PEEK | QE_CAP_DELAY},
    {"a group has one message in flight and keeps its order",
     a_group_has_one_message_in_flight_and_keeps_its_order, BOTH | QE_CAP_ORDERED},
    {"a released message holds its group back for its delay",
     a_released_message_holds_its_group_back_for_its_delay, BOTH | QE_CAP_ORDERED | QE_CAP_DELAY},
    {"a deduplication id is added once within its window",
     a_deduplication_id_is_added_once_within_its_window, BOTH | QE_CAP_ORDERED},
    {NULL, NULL, 0},
};
