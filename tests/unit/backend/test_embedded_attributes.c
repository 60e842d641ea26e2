/* Attributes of other brokers have types, and this store keeps them: what is moved through it comes
 * out as it went in. */
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "backend/embedded/internal.h"
#include "support/check.h"

static char s_orders[] = "orders";
static char s_dlq[] = "orders-dlq";
static char s_memory[] = ":memory:";

struct store {
    struct qe_embedded_queue_settings queue;
    struct qe_embedded_settings settings;
    struct qe_queue orders;
    struct qe_queue dlq;
    void *handle;
};

static struct store s_store;

static int setup(void **state)
{
    const struct qe_deps deps = {.source = "unit"};
    struct qe_err err = {0};

    s_store = (struct store){.queue = {.name = s_orders,
                                       .visibility_timeout_ms = 30000,
                                       .retention_ms = 345600000,
                                       .dead_letter = {.queue = s_dlq, .max_receives = 5}}};
    s_store.settings = (struct qe_embedded_settings){
        .path = s_memory, .queues = {.items = &s_store.queue, .count = 1}};
    assert_ok(qe_queue_init(&s_store.orders, NULL, s_orders, QE_KIND_EMBEDDED, &err), err);
    assert_ok(qe_queue_init(&s_store.dlq, NULL, s_dlq, QE_KIND_EMBEDDED, &err), err);
    assert_ok(qe_driver_embedded.create(&s_store.settings, &deps, &s_store.handle, &err), err);
    *state = &s_store;
    return 0;
}

static int teardown(void **state)
{
    struct store *store = *state;

    qe_driver_embedded.destroy(store->handle);
    qe_queue_deinit(&store->orders);
    qe_queue_deinit(&store->dlq);
    return 0;
}

static int64_t soon(void)
{
    return qe_clock_mono_ms() + 5000;
}

static struct qe_message_list receive_one(struct store *store, const struct qe_queue *from)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(qe_driver_embedded.receive(store->handle, from, 1, soon(), &list, &err), err);
    assert_int_equal(list.count, 1);
    return list;
}

static const struct qe_attribute *find(const struct qe_message *message, const char *name)
{
    for (size_t i = 0; i < message->attributes.count; i++) {
        if (strcmp(message->attributes.items[i].name, name) == 0) {
            return &message->attributes.items[i];
        }
    }
    print_error("no attribute %s\n", name);
    abort();
}

static void assert_attribute(const struct qe_message *message, const char *name, const char *type,
                             const char *value)
{
    const struct qe_attribute *one = find(message, name);

    assert_string_equal(one->type, type);
    assert_string_equal(one->value, value);
}

static void types_survive_the_store_and_its_dead_letter_queue(void **state)
{
    struct store *store = *state;
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};

    assert_ok(qe_attributes_add_typed(&attributes, "n", "Number.int", "7", &err), err);
    assert_ok(qe_attributes_add_typed(&attributes, "b", "Binary.\"png\"", "iVBO\\==", &err), err);
    assert_ok(qe_attributes_add(&attributes, "t", "{\"type\":\"x\",\"value\":\"y\"}", &err), err);
    struct qe_outgoing message = {
        .body = "b", .body_bytes = 1, .attributes = &attributes, .delay_ms = -1};

    assert_ok(qe_driver_embedded.send(store->handle, &store->orders, &message, 1, soon(), &err),
              err);
    assert_ok(message.result.code == QE_OK ? 0 : -1, message.result);
    struct qe_message_list list = receive_one(store, &store->orders);
    struct qe_settlement settlement = {
        .message = &list.items[0], .verb = QE_SETTLE_DEAD_LETTER, .reason = "permanent"};

    assert_int_equal(list.items[0].attributes.count, 3);
    assert_attribute(&list.items[0], "n", "Number.int", "7");
    assert_attribute(&list.items[0], "b", "Binary.\"png\"", "iVBO\\==");
    assert_attribute(&list.items[0], "t", "", "{\"type\":\"x\",\"value\":\"y\"}");
    assert_ok(
        qe_driver_embedded.settle(store->handle, &store->orders, &settlement, 1, soon(), &err),
        err);
    qe_message_list_deinit(&list);
    list = receive_one(store, &store->dlq);
    assert_attribute(&list.items[0], "n", "Number.int", "7");
    assert_attribute(&list.items[0], "dead-letter-source", "", "orders");
    qe_message_list_deinit(&list);
    qe_attributes_deinit(&attributes);
}

static void type_that_is_not_text_is_refused(void **state)
{
    struct store *store = *state;
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};

    assert_ok(qe_attributes_add_typed(&attributes, "n", "\xff", "7", &err), err);
    struct qe_outgoing message = {
        .body = "b", .body_bytes = 1, .attributes = &attributes, .delay_ms = -1};

    assert_ok(qe_driver_embedded.send(store->handle, &store->orders, &message, 1, soon(), &err),
              err);
    assert_int_equal(message.result.code, QE_ERR_INVALID);
    qe_attributes_deinit(&attributes);
}

/* What somebody's own transaction does. */
static void execute(const struct store *store, const char *sql)
{
    const struct qe_embedded *self = store->handle;
    struct qe_err err = {0};
    struct qe_queue_list list = {0};

    assert_ok(qe_driver_embedded.list(store->handle, soon(), &list, &err), err); /* opens it */
    qe_queue_list_deinit(&list);
    assert_int_equal(sqlite3_exec(self->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* Whatever somebody's transaction put into the outbox is read as it was before types. */
static void what_only_looks_like_a_type_is_left_as_it_is(void **state)
{
    struct store *store = *state;

    execute(store, "INSERT INTO outbox (queue, body, attributes) VALUES ('orders', 'b', '{"
                   "\"typed\":{\"type\":\"Number\",\"value\":\"7\"},"
                   "\"more\":{\"type\":\"Number\",\"value\":\"7\",\"x\":1},"
                   "\"number\":{\"type\":\"Number\",\"value\":7},"
                   "\"half\":{\"type\":\"Number\"},\"null\":{\"type\":null,\"value\":\"7\"},"
                   "\"array\":[\"Number\",\"7\"],\"bare\":7,\"text\":\"not {json\"}')");
    struct qe_message_list got = receive_one(store, &store->orders);

    assert_int_equal(got.items[0].attributes.count, 8);
    assert_attribute(&got.items[0], "typed", "Number", "7");
    assert_attribute(&got.items[0], "more", "", "{\"type\":\"Number\",\"value\":\"7\",\"x\":1}");
    assert_attribute(&got.items[0], "number", "", "{\"type\":\"Number\",\"value\":7}");
    assert_attribute(&got.items[0], "half", "", "{\"type\":\"Number\"}");
    assert_attribute(&got.items[0], "null", "", "{\"type\":null,\"value\":\"7\"}");
    assert_attribute(&got.items[0], "array", "", "[\"Number\",\"7\"]");
    assert_attribute(&got.items[0], "bare", "", "7");
    assert_attribute(&got.items[0], "text", "", "not {json");
    qe_message_list_deinit(&got);
}

/* Handlers are given messages as JSON, and JSON is UTF-8. */
static void what_is_no_utf8_in_the_outbox_is_mended(void **state)
{
    struct store *store = *state;

    execute(store, "INSERT INTO outbox (queue, body, group_id, correlation_id, reply_to,"
                   " attributes) VALUES ('orders', x'ff', CAST(x'636166e9' AS TEXT),"
                   " CAST(x'c3a9c3' AS TEXT), CAST(x'ff' AS TEXT),"
                   " CAST(x'7b22636166e9223a22e9222c2268616c66223a225c7564383364227d' AS TEXT))");
    struct qe_message_list got = receive_one(store, &store->orders);
    const struct qe_message *message = &got.items[0];

    assert_string_equal(message->group, "caf?");
    assert_string_equal(message->correlation_id, "\xc3\xa9?");
    assert_string_equal(message->reply_to, "?");
    assert_attribute(message, "caf?", "", "?");
    assert_attribute(message, "half", "", "???");  /* "\ud83d" */
    assert_memory_equal(message->body, "\xff", 1); /* a body is any bytes */
    qe_message_list_deinit(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(types_survive_the_store_and_its_dead_letter_queue, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(type_that_is_not_text_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_only_looks_like_a_type_is_left_as_it_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_no_utf8_in_the_outbox_is_mended, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
