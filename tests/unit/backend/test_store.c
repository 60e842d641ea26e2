/* What only this store does: its settings, its schema, the outbox, its habits with time. In memory
 * where the file does not matter. */
#define _DEFAULT_SOURCE /* mkdtemp */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "backend/embedded/internal.h"
#include "support/check.h"

static char s_orders[] = "orders";
static char s_dlq[] = "orders-dlq";
static char s_memory[] = ":memory:";

struct store {
    char directory[32];
    char path[64];
    struct qe_embedded_queue_settings queue;
    struct qe_embedded_settings settings;
    struct qe_queue orders;
    struct qe_queue dlq;
    void *handle;
};

static int open_handle(const struct store *store, void **out, struct qe_err *err)
{
    const struct qe_deps deps = {.source = "unit"};

    return qe_driver_embedded.create(&store->settings, &deps, out, err);
}

static int setup_in(struct store *store, bool in_memory)
{
    struct qe_err err = {0};

    *store = (struct store){.directory = "/tmp/qe-store-XXXXXX",
                            .queue = {.name = s_orders,
                                      .visibility_timeout_ms = 30000,
                                      .retention_ms = 345600000,
                                      .deduplication_window_ms = 300000,
                                      .dead_letter = {.queue = s_dlq, .max_receives = 1}}};
    store->settings = (struct qe_embedded_settings){.path = s_memory,
                                                    .queues = {.items = &store->queue, .count = 1}};
    if (!in_memory) {
        assert_non_null(mkdtemp(store->directory));
        (void)snprintf(store->path, sizeof(store->path), "%s/q.db", store->directory);
        store->settings.path = store->path;
    }
    assert_ok(qe_queue_init(&store->orders, NULL, s_orders, QE_KIND_EMBEDDED, &err), err);
    assert_ok(qe_queue_init(&store->dlq, NULL, s_dlq, QE_KIND_EMBEDDED, &err), err);
    assert_ok(open_handle(store, &store->handle, &err), err);
    return 0;
}

static struct store s_store;

static int setup_file(void **state)
{
    *state = &s_store;
    return setup_in(&s_store, false);
}

static int setup_memory(void **state)
{
    *state = &s_store;
    return setup_in(&s_store, true);
}

static int teardown(void **state)
{
    struct store *store = *state;
    static const char *const s_endings[] = {"", "-wal", "-shm"};

    qe_driver_embedded.destroy(store->handle);
    qe_queue_deinit(&store->orders);
    qe_queue_deinit(&store->dlq);
    for (size_t i = 0; store->path[0] != '\0' && i < 3; i++) {
        char path[80];

        (void)snprintf(path, sizeof(path), "%s%s", store->path, s_endings[i]);
        (void)unlink(path);
    }
    if (store->path[0] != '\0') {
        (void)rmdir(store->directory);
    }
    return 0;
}

static int64_t soon(void)
{
    return qe_clock_mono_ms() + 5000;
}

static void send_text(struct store *store, const char *body)
{
    struct qe_outgoing message = {.body = body, .body_bytes = strlen(body), .delay_ms = -1};
    struct qe_err err = {0};

    assert_ok(qe_driver_embedded.send(store->handle, &store->orders, &message, 1, soon(), &err),
              err);
}

static struct qe_message_list receive(struct store *store, const struct qe_queue *from)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(qe_driver_embedded.receive(store->handle, from, 10, qe_clock_mono_ms(), &list, &err),
              err);
    return list;
}

static double sample_ready(struct store *store)
{
    struct qe_queue_list list = {0};
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    assert_ok(qe_driver_embedded.list(store->handle, soon(), &list, &err), err);
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);
    assert_non_null(set);
    assert_ok(qe_batch_init(&batch, set, &err), err);
    assert_ok(qe_driver_embedded.sample(store->handle, soon(), &batch, &err), err);
    const size_t index = qe_queue_set_find(set, NULL, s_orders);
    const double ready = batch.entries[index].sample.values[QE_FIELD_READY_MESSAGES];
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
    qe_queue_list_deinit(&list);
    return ready;
}

/* --- outbox --- */

/* The result code of a statement run by "another program". */
static int run_sql(const struct store *store, const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(store->path, &db), SQLITE_OK);
    const int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return rc;
}

static void another_program_enqueues_in_its_own_transaction(void **state)
{
    struct store *store = *state;

    assert_int_equal(run_sql(store, "CREATE TABLE mine (x); BEGIN; INSERT INTO mine VALUES (1);"
                                    "INSERT INTO outbox (queue, body) VALUES ('orders', 'no');"
                                    "ROLLBACK"),
                     SQLITE_OK);
    assert_int_equal(run_sql(store,
                             "BEGIN; INSERT INTO mine VALUES (1);"
                             "INSERT INTO outbox (queue, body, attributes, correlation_id) VALUES"
                             " ('orders', 'yes', '{\"a\":\"b\",\"n\":1}', 'c'); COMMIT"),
                     SQLITE_OK);
    struct qe_message_list list = receive(store, &store->orders);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].body, "yes");
    assert_string_equal(qe_attributes_get(&list.items[0].attributes, "a"), "b");
    assert_string_equal(qe_attributes_get(&list.items[0].attributes, "n"), "1");
    assert_string_equal(list.items[0].correlation_id, "c");
    qe_message_list_deinit(&list);
}

static void the_outbox_refuses_what_could_never_be_received(void **state)
{
    struct store *store = *state;
    static const struct {
        const char *sql;
        const char *why;
    } s_rows[] = {
        {"INSERT INTO outbox (queue, body) VALUES ('nowhere', 'x')", "no such queue"},
        {"INSERT INTO outbox (queue, body, attributes) VALUES ('orders', 'x', 'no json')",
         "not JSON"},
        {"INSERT INTO outbox (queue, body, attributes) VALUES ('orders', 'x', '[1]')",
         "not an object"},
        {"INSERT INTO outbox (queue, body) VALUES ('orders', zeroblob(16777217))", "too large"},
    };

    for (size_t i = 0; i < sizeof(s_rows) / sizeof(s_rows[0]); i++) {
        if (run_sql(store, s_rows[i].sql) == SQLITE_OK) {
            fail_msg("accepted: %s", s_rows[i].why);
        }
    }
    struct qe_message_list list = receive(store, &store->orders);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
}

static void the_outbox_deduplicates_as_a_send_does(void **state)
{
    struct store *store = *state;
    static const char s_sql[] =
        "INSERT INTO outbox (queue, body, deduplication_id) VALUES ('orders', 'x', 'same')";

    assert_int_equal(run_sql(store, s_sql), SQLITE_OK);
    assert_int_equal(run_sql(store, s_sql), SQLITE_OK);
    struct qe_message_list list = receive(store, &store->orders);
    assert_int_equal(list.count, 1);
    qe_message_list_deinit(&list);
}

static void an_absurd_delay_in_the_outbox_is_still_a_delay(void **state)
{
    struct store *store = *state;

    assert_int_equal(run_sql(store, "INSERT INTO outbox (queue, body, delay_ms) VALUES"
                                    " ('orders', 'x', 8999999999999999)"),
                     SQLITE_OK);
    assert_double_equal(sample_ready(store), 0);
}

/* Totals are kept by triggers; here they are compared with the rows. */
static void totals_agree_with_the_rows(void **state)
{
    struct store *store = *state;
    struct qe_err err = {0};
    uint64_t purged = 0;

    for (int i = 0; i < 10; i++) {
        send_text(store, "12345");
    }
    struct qe_message_list list = receive(store, &store->orders);
    struct qe_settlement settlements[2] = {
        {.message = &list.items[0]},
        {.message = &list.items[1], .verb = QE_SETTLE_DEAD_LETTER, .reason = "test"}};
    assert_ok(
        qe_driver_embedded.settle(store->handle, &store->orders, settlements, 2, soon(), &err),
        err);
    qe_message_list_deinit(&list);
    static const char s_check[] =
        "CREATE TEMP TABLE t (ok CHECK (ok = 1)); INSERT INTO t SELECT q.messages ="
        " (SELECT count(*) FROM messages m WHERE m.queue_id = q.id) AND q.bytes ="
        " (SELECT coalesce(sum(length(body)), 0) FROM messages m WHERE m.queue_id = q.id)"
        " FROM queues q";
    assert_int_equal(run_sql(store, s_check), SQLITE_OK);
    assert_ok(qe_driver_embedded.purge(store->handle, &store->orders, soon(), &purged, &err), err);
    assert_int_equal(purged, 8);
    assert_int_equal(run_sql(store, s_check), SQLITE_OK);
}

/* Purging goes in parts; the trigger plays a consumer that dead-letters an old message meanwhile.
 */
static void a_purge_spares_what_is_moved_in_meanwhile(void **state)
{
    struct store *store = *state;
    struct qe_err err = {0};
    uint64_t purged = 0;

    assert_int_equal(
        run_sql(store, "INSERT INTO outbox (queue, body) VALUES ('orders-dlq', 'late');"
                       "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1500)"
                       " INSERT INTO outbox (queue, body) SELECT 'orders', 'x' FROM n;"
                       "CREATE TRIGGER meanwhile AFTER DELETE ON messages BEGIN UPDATE messages"
                       " SET queue_id = old.queue_id, enqueued_at = enqueued_at + 60000"
                       " WHERE body = CAST('late' AS BLOB) AND queue_id <> old.queue_id; END"),
        SQLITE_OK);
    assert_ok(qe_driver_embedded.purge(store->handle, &store->orders, soon(), &purged, &err), err);
    assert_int_equal(purged, 1500);
    assert_double_equal(sample_ready(store), 1);
}

/* --- settings meet an existing store --- */

static void new_settings_change_the_queue_and_keep_its_messages(void **state)
{
    struct store *store = *state;
    struct qe_err err = {0};
    const char *const groups[] = {"a", "a", "b"};

    for (size_t i = 0; i < 3; i++) {
        struct qe_outgoing message = {
            .body = "x", .body_bytes = 1, .delay_ms = -1, .group = groups[i]};

        assert_ok(qe_driver_embedded.send(store->handle, &store->orders, &message, 1, soon(), &err),
                  err);
    }
    qe_driver_embedded.destroy(store->handle);
    store->handle = NULL;
    store->queue.ordered = true;
    assert_ok(open_handle(store, &store->handle, &err), err);
    struct qe_message_list list = receive(store, &store->orders);
    assert_int_equal(list.count, 2); /* one of each group */
    qe_message_list_deinit(&list);

    qe_driver_embedded.destroy(store->handle);
    store->handle = NULL;
    store->queue.ordered = false;
    assert_ok(open_handle(store, &store->handle, &err), err);
    list = receive(store, &store->orders);
    assert_int_equal(list.count, 1); /* the one that waited; two are in flight */
    qe_message_list_deinit(&list);
}

static void a_window_of_zero_switches_deduplication_off(void **state)
{
    struct store *store = *state;
    struct qe_outgoing message = {.body = "x", .delay_ms = -1, .deduplication_id = "same"};
    struct qe_err err = {0};

    for (int round = 0; round < 2; round++) {
        assert_ok(qe_driver_embedded.send(store->handle, &store->orders, &message, 1, soon(), &err),
                  err);
        qe_driver_embedded.destroy(store->handle);
        store->handle = NULL;
        store->queue.deduplication_window_ms = 0;
        assert_ok(open_handle(store, &store->handle, &err), err);
    }
    assert_int_equal(run_sql(store, "INSERT INTO outbox (queue, body, deduplication_id) VALUES"
                                    " ('orders', 'x', 'same')"),
                     SQLITE_OK);
    assert_double_equal(sample_ready(store), 3);
}

/* A square of the backlog would not end before the deadline, and the store would stay closed. */
static void a_backlog_is_put_in_order_in_time(void **state)
{
    struct store *store = *state;
    struct qe_err err = {0};

    assert_int_equal(
        run_sql(store,
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT"
                " 40000) INSERT INTO messages (queue_id, visible_at, due_at, enqueued_at,"
                " sent_at, group_id, body) SELECT 1, 1, 1, 9000000000000, 1, i % 2, x'' FROM n"),
        SQLITE_OK);
    qe_driver_embedded.destroy(store->handle);
    store->handle = NULL;
    store->queue.ordered = true;
    assert_ok(open_handle(store, &store->handle, &err), err);
    struct qe_message_list list = receive(store, &store->orders);
    assert_int_equal(list.count, 2);
    qe_message_list_deinit(&list);
}

static void what_is_past_retention_is_not_delivered(void **state)
{
    struct store *store = *state;

    send_text(store, "old");
    assert_int_equal(run_sql(store, "UPDATE messages SET enqueued_at = enqueued_at - 345600001"),
                     SQLITE_OK);
    send_text(store, "new");
    struct qe_message_list list = receive(store, &store->orders);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].body, "new");
    qe_message_list_deinit(&list);
}

static void a_sample_removes_what_nobody_receives_any_more(void **state)
{
    struct store *store = *state;

    send_text(store, "old");
    assert_int_equal(run_sql(store, "UPDATE messages SET enqueued_at = enqueued_at - 345600001"),
                     SQLITE_OK);
    assert_double_equal(sample_ready(store), 1);
    assert_double_equal(sample_ready(store), 0);
}

static void a_sample_does_not_wait_for_a_lock_to_clean_up(void **state)
{
    struct store *store = *state;
    sqlite3 *other = NULL;

    send_text(store, "old");
    assert_int_equal(sqlite3_open(store->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other,
                                  "UPDATE messages SET enqueued_at = enqueued_at - 345600001;"
                                  "BEGIN IMMEDIATE",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    const int64_t start = qe_clock_mono_ms();
    assert_double_equal(sample_ready(store), 1);
    assert_true(qe_clock_mono_ms() - start < 2000); /* its deadline is 5 s away */
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_double_equal(sample_ready(store), 1);
    assert_double_equal(sample_ready(store), 0);
}

/* --- facts of a dead-lettered message --- */

static void redrive_says_where_a_message_came_from(void **state)
{
    struct store *store = *state;
    struct qe_err err = {0};

    send_text(store, "poison");
    struct qe_message_list list = receive(store, &store->orders);
    struct qe_settlement release = {.message = &list.items[0], .verb = QE_SETTLE_RELEASE};
    assert_ok(qe_driver_embedded.settle(store->handle, &store->orders, &release, 1, soon(), &err),
              err);
    qe_message_list_deinit(&list);
    list = receive(store, &store->orders);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
    list = receive(store, &store->dlq);
    assert_int_equal(list.count, 1);
    const struct qe_attributes *attributes = &list.items[0].attributes;
    assert_string_equal(qe_attributes_get(attributes, "dead-letter-reason"), "max_receives");
    assert_string_equal(qe_attributes_get(attributes, "dead-letter-source"), "orders");
    assert_string_equal(qe_attributes_get(attributes, "dead-letter-receives"), "1");
    assert_non_null(qe_attributes_get(attributes, "dead-letter-at"));
    qe_message_list_deinit(&list);
}

/* --- allocation torture: one handle's whole life --- */

static int live(void *context, struct qe_err *err)
{
    const struct store *store = context;
    struct qe_outgoing message = {.body = "x", .body_bytes = 1, .delay_ms = -1};
    struct qe_message_list received = {0};
    struct qe_message_list peeked = {0};
    struct qe_queue_list queues = {0};
    void *handle = NULL;
    int rc = -1;

    if (open_handle(store, &handle, err) == 0 &&
        qe_driver_embedded.send(handle, &store->orders, &message, 1, soon(), err) == 0 &&
        qe_driver_embedded.receive(handle, &store->orders, 1, soon(), &received, err) == 0 &&
        qe_driver_embedded.peek(handle, &store->orders, 10, soon(), &peeked, err) == 0 &&
        qe_driver_embedded.list(handle, soon(), &queues, err) == 0) {
        struct qe_settlement ack = {.message = &received.items[0]};

        rc = qe_driver_embedded.settle(handle, &store->orders, &ack, 1, soon(), err);
    }
    qe_driver_embedded.destroy(handle);
    qe_message_list_deinit(&received);
    qe_message_list_deinit(&peeked);
    qe_queue_list_deinit(&queues);
    return rc;
}

static void a_handle_survives_every_failed_allocation(void **state)
{
    qe_check_torture(live, *state);
}

#define ON_FILE(test) cmocka_unit_test_setup_teardown(test, setup_file, teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup_memory, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_FILE(another_program_enqueues_in_its_own_transaction),
        ON_FILE(the_outbox_refuses_what_could_never_be_received),
        ON_FILE(the_outbox_deduplicates_as_a_send_does),
        ON_FILE(an_absurd_delay_in_the_outbox_is_still_a_delay),
        ON_FILE(totals_agree_with_the_rows),
        ON_FILE(a_purge_spares_what_is_moved_in_meanwhile),
        ON_FILE(new_settings_change_the_queue_and_keep_its_messages),
        ON_FILE(a_window_of_zero_switches_deduplication_off),
        ON_FILE(a_backlog_is_put_in_order_in_time),
        ON_FILE(what_is_past_retention_is_not_delivered),
        ON_FILE(a_sample_removes_what_nobody_receives_any_more),
        ON_FILE(a_sample_does_not_wait_for_a_lock_to_clean_up),
        IN_MEMORY(redrive_says_where_a_message_came_from),
        IN_MEMORY(a_handle_survives_every_failed_allocation),
    };

    return cmocka_run_group_tests_name("embedded store", tests, NULL, NULL);
}
