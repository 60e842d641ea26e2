/* What goes in comes out: bodies, attributes, batches, delay, peek, purge. */
#include <stdio.h>
#include <string.h>

#include "contract/contract_internal.h"
#include "util/clock.h"
#include "util/mem.h"

/* Every refused message has its reason, and the one between them is taken. */
static void refuse_around_a_good_one(struct world *world, const struct qe_outgoing *refused)
{
    struct qe_outgoing messages[3] = {
        *refused, {.body = "good", .body_bytes = 4, .delay_ms = -1}, *refused};
    struct qe_err err = {0};

    assert_ok(world->driver->send(world->handle, &world->queues[QE_CONTRACT_WORK], messages, 3,
                                  in_ms(5000), &err),
              err);
    assert_int_equal(messages[0].result.code, QE_ERR_INVALID);
    assert_ok(messages[1].result.code == QE_OK ? 0 : -1, messages[1].result);
    assert_int_equal(messages[2].result.code, QE_ERR_INVALID);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_string_equal(list.items[0].body, "good");
    (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    qe_message_list_deinit(&list);
}

/* Of a broker that takes only text: all of it comes back, and what is none is refused by name. */
static void a_text_comes_back_unchanged_and_other_bytes_are_refused(struct world *world)
{
    static const char text[] = "tab\t line\r\n quote\" back\\ slash/ del\x7f \xc3\xa9 \xed\x9f\xbf "
                               "\xee\x80\x80 \xef\xbf\xbd \xf0\x9f\x90\x9c";
    static const char *const s_refused[] = {"nul\0", "\x01", "\xff", "\xef\xbf\xbe",
                                            "\xed\xa0\x80"};
    struct qe_outgoing message = {.body = text, .body_bytes = sizeof(text) - 1, .delay_ms = -1};

    send_one(world, QE_CONTRACT_WORK, &message);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.items[0].body_bytes, sizeof(text) - 1);
    assert_memory_equal(list.items[0].body, text, sizeof(text)); /* the uncounted NUL behind, too */
    (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    qe_message_list_deinit(&list);
    for (size_t i = 0; i < sizeof(s_refused) / sizeof(s_refused[0]); i++) {
        const struct qe_outgoing refused = {
            .body = s_refused[i], .body_bytes = i == 0 ? 4 : strlen(s_refused[i]), .delay_ms = -1};

        refuse_around_a_good_one(world, &refused);
    }
}

static void a_body_of_any_bytes_comes_back_unchanged(void **state)
{
    struct world *world = *state;
    char bytes[256];

    if (world->fixture->takes_text_only) {
        a_text_comes_back_unchanged_and_other_bytes_are_refused(world);
        return;
    }

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

    if (world->fixture->takes_text_only) {
        refuse_around_a_good_one(world, &message);
        return;
    }
    send_one(world, QE_CONTRACT_WORK, &message);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.items[0].body_bytes, 0);
    assert_non_null(list.items[0].body);
    qe_message_list_deinit(&list);
}

struct name_and_value {
    const char *name;
    const char *value;
};

static void attributes_travel(struct world *world, const struct name_and_value *rows, size_t count)
{
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};
    const int64_t before_unix_ms = qe_clock_unix_ms();

    for (size_t i = 0; i < count; i++) {
        assert_ok(qe_attributes_add(&attributes, rows[i].name, rows[i].value, &err), err);
    }
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
    assert_int_equal(got->attributes.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(qe_attributes_get(&got->attributes, rows[i].name), rows[i].value);
    }
    assert_int_equal(got->receives, 1);
    assert_true(got->sent_unix_ms >= before_unix_ms - 1000);
    if (!world->fixture->hides_arrival) {
        assert_true(got->enqueued_unix_ms >= before_unix_ms - 1000);
    }
    if (world->fixture->never_lapses) {
        assert_int_equal(got->visible_until_mono_ms, 0);
    } else {
        assert_true(got->visible_until_mono_ms > qe_clock_mono_ms());
    }
    qe_attributes_deinit(&attributes);
    qe_message_list_deinit(&list);
}

static void attributes_are_refused(struct world *world, const struct name_and_value *row)
{
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};
    struct qe_outgoing message = {
        .body = "b", .body_bytes = 1, .attributes = &attributes, .delay_ms = -1};

    assert_ok(qe_attributes_add(&attributes, row->name, row->value, &err), err);
    refuse_around_a_good_one(world, &message);
    qe_attributes_deinit(&attributes);
}

static void attributes_and_ids_travel_with_the_message(void **state)
{
    struct world *world = *state;
    static const struct name_and_value s_any[] = {
        {"plain", "value"}, {"quo\"te\\", "line\nfeed \x01 \xc3\xa9"}, {"empty", ""}};
    static const struct name_and_value s_text[] = {{"plain", "value"},
                                                   {"na.me_-1", "line\nfeed \"quoted\""}};
    static const struct name_and_value s_refused[] = {
        {"quo\"te", "value"}, {"control", "\x01"}, {"empty", ""}};

    if (!world->fixture->takes_text_only) {
        attributes_travel(world, s_any, sizeof(s_any) / sizeof(s_any[0]));
        return;
    }
    for (size_t i = 0; i < sizeof(s_refused) / sizeof(s_refused[0]); i++) {
        attributes_are_refused(world, &s_refused[i]);
    }
    attributes_travel(world, s_text, sizeof(s_text) / sizeof(s_text[0]));
}

static void an_attribute_is_any_utf8(void **state)
{
    static const struct name_and_value s_text[] = {{"plain", "\xc3\xa9 \xf0\x9f\x90\x9c"}};

    attributes_travel(*state, s_text, 1);
}

/* What a broker calls a value's type comes back with it. */
static void a_type_travels_with_its_attribute(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *name;
        const char *type;
        const char *value;
    } s_rows[] = {{"n", "Number", "7"},
                  {"b", "Binary", "AAEC/w=="},
                  {"s", "String.json", "{}"},
                  {"p", "", "plain"}};
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};

    for (size_t i = 0; i < sizeof(s_rows) / sizeof(s_rows[0]); i++) {
        assert_ok(qe_attributes_add_typed(&attributes, s_rows[i].name, s_rows[i].type,
                                          s_rows[i].value, &err),
                  err);
    }
    struct qe_outgoing message = {
        .body = "b", .body_bytes = 1, .attributes = &attributes, .delay_ms = -1};
    send_one(world, QE_CONTRACT_WORK, &message);
    qe_attributes_deinit(&attributes);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    const struct qe_attributes *got = &list.items[0].attributes;
    assert_int_equal(got->count, sizeof(s_rows) / sizeof(s_rows[0]));
    for (size_t i = 0; i < got->count; i++) {
        for (size_t j = 0; j < got->count; j++) {
            if (strcmp(got->items[j].name, s_rows[i].name) == 0) {
                assert_string_equal(got->items[j].type, s_rows[i].type);
            }
        }
        assert_string_equal(qe_attributes_get(got, s_rows[i].name), s_rows[i].value);
    }
    qe_message_list_deinit(&list);
}

#define LONGEST_BYTES 255

/* Where it cannot be kept it spoils nothing: the broker has its own. */
static void an_id_that_is_given_is_kept_where_publishers_choose_it(void **state)
{
    struct world *world = *state;
    char longest[LONGEST_BYTES + 1] = "";
    const char *const ids[] = {"same", "same", longest};

    memset(longest, 'i', LONGEST_BYTES);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct qe_outgoing message = {
            .body = "b", .body_bytes = 1, .delay_ms = -1, .message_id = ids[i]};

        send_one(world, QE_CONTRACT_WORK, &message);
        struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
        const struct qe_message *got = &list.items[0];

        assert_string_equal(got->id, message.id);
        assert_int_equal(strcmp(got->id, ids[i]) == 0, world->fixture->keeps_ids);
        assert_int_equal(got->id_is_publishers, world->fixture->keeps_ids);
        (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_ACK, 0, NULL);
        qe_message_list_deinit(&list);
    }
}

static void an_id_that_is_too_long_is_refused_where_it_would_be_kept(void **state)
{
    struct world *world = *state;
    char longer[LONGEST_BYTES + 2] = "";
    const struct qe_outgoing refused = {
        .body = "b", .body_bytes = 1, .delay_ms = -1, .message_id = longer};

    memset(longer, 'i', LONGEST_BYTES + 1);
    if (world->fixture->keeps_ids) {
        refuse_around_a_good_one(world, &refused);
    }
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
    struct qe_message_list list = world->driver->peek != NULL
                                      ? peek_all(world, QE_CONTRACT_WORK)
                                      : receive_now(world, QE_CONTRACT_WORK, 10);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
    if (world->driver->peek != NULL) { /* who cannot look cannot know what purge took */
        assert_int_equal(
            settle_one(world, QE_CONTRACT_WORK, &held.items[0], QE_SETTLE_ACK, 0, NULL).result,
            QE_SETTLE_STALE);
    }
    qe_message_list_deinit(&held);
    list = receive_count(world, QE_CONTRACT_BRIEF, 1);
    qe_message_list_deinit(&list);
}

#define BOTH (QE_CAP_SEND | QE_CAP_RECEIVE)

const struct contract_test qe_contract_messages[] = {
    {"a body of any bytes comes back unchanged", a_body_of_any_bytes_comes_back_unchanged, BOTH},
    {"an empty body is a message too", an_empty_body_is_a_message_too, BOTH},
    {"attributes and ids travel with the message", attributes_and_ids_travel_with_the_message,
     BOTH},
    {"an attribute is any UTF-8", an_attribute_is_any_utf8, BOTH},
    {"a type travels with its attribute", a_type_travels_with_its_attribute, BOTH},
    {"an id that is given is kept where publishers choose it",
     an_id_that_is_given_is_kept_where_publishers_choose_it, BOTH},
    {"an id that is too long is refused where it would be kept",
     an_id_that_is_too_long_is_refused_where_it_would_be_kept, BOTH},
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
     BOTH | QE_CAP_PURGE | QE_CAP_DELAY},
    {NULL, NULL, 0},
};
