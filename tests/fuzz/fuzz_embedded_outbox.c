/* Any bytes as what somebody's own transaction puts into the outbox of the embedded store, one
 * column per line: attributes, group, correlation id, where to reply, body. What the store takes is
 * received, holds what a message may hold, and sent on it comes out the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "backend/embedded/internal.h"
#include "util/text.h"

#define COLUMNS 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what, const struct qe_err *err)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s: %s\n", what, err->message);
        abort();
    }
}

struct store {
    void *handle; /* for all inputs: what one leaves behind is acknowledged */
    struct qe_queue queue;
    sqlite3_stmt *insert;
};
static struct store s_store;

static int64_t soon(void)
{
    return qe_clock_mono_ms() + 5000;
}

static void open_store(struct store *store)
{
    static char name[] = "orders";
    static char path[] = ":memory:";
    static struct qe_embedded_queue_settings queue = {
        .name = name, .visibility_timeout_ms = 30000, .retention_ms = 345600000};
    static struct qe_embedded_settings settings = {.path = path,
                                                   .queues = {.items = &queue, .count = 1}};
    static const struct qe_deps deps = {.source = "fuzz"};
    struct qe_queue_list list = {0};
    struct qe_err err = {0};

    require(qe_queue_init(&store->queue, NULL, name, QE_KIND_EMBEDDED, &err) == 0, "queue", &err);
    require(qe_driver_embedded.create(&settings, &deps, &store->handle, &err) == 0, "store", &err);
    require(qe_driver_embedded.list(store->handle, soon(), &list, &err) == 0, "opens it", &err);
    qe_queue_list_deinit(&list);
    const struct qe_embedded *self = store->handle;

    require(sqlite3_prepare_v3(self->db,
                               "INSERT INTO outbox (queue, attributes, group_id, correlation_id,"
                               " reply_to, body) VALUES ('orders', ?1, ?2, ?3, ?4, ?5)",
                               -1, SQLITE_PREPARE_PERSISTENT, &store->insert, NULL) == SQLITE_OK,
            "statement", &err);
}

static bool put(struct store *store, const char *text, size_t size)
{
    for (int i = 1; i <= COLUMNS; i++) {
        const char *end = i < COLUMNS && size > 0 ? memchr(text, '\n', size) : NULL;
        const size_t bytes = end != NULL ? (size_t)(end - text) : size;
        const struct qe_err none = {0};

        require((bytes == 0 ? sqlite3_bind_null(store->insert, i)
                            : sqlite3_bind_text(store->insert, i, text, (int)bytes,
                                                SQLITE_TRANSIENT)) == SQLITE_OK,
                "bind", &none);
        text += end != NULL ? bytes + 1 : bytes;
        size -= end != NULL ? bytes + 1 : bytes;
    }
    const int rc = sqlite3_step(store->insert);

    (void)sqlite3_reset(store->insert);
    return rc == SQLITE_DONE;
}

static struct qe_message_list receive(struct store *store)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    require(qe_driver_embedded.receive(store->handle, &store->queue, 1, soon(), &list, &err) == 0,
            "what is in the store can be received", &err);
    require(list.count == 1, "one message is received", &err);
    return list;
}

static void finish(struct store *store, struct qe_message_list *list)
{
    struct qe_settlement settlement = {.message = &list->items[0], .verb = QE_SETTLE_ACK};
    struct qe_err err = {0};

    require(qe_driver_embedded.settle(store->handle, &store->queue, &settlement, 1, soon(), &err) ==
                    0 &&
                settlement.result == QE_SETTLED,
            "a message can be acknowledged", &settlement.err);
    qe_message_list_deinit(list);
}

static bool is_utf8(const char *text)
{
    return qe_text_is_utf8(text, strlen(text));
}

static void check_message(const struct qe_message *message)
{
    const struct qe_err none = {0};

    require(message->attributes.count <= QE_EMBEDDED_ATTRIBUTES_MAX, "attributes have a limit",
            &none);
    require(is_utf8(message->group) && is_utf8(message->correlation_id) &&
                is_utf8(message->reply_to),
            "what goes with a message is UTF-8", &none);
    for (size_t i = 0; i < message->attributes.count; i++) {
        const struct qe_attribute *one = &message->attributes.items[i];

        require(is_utf8(one->name) && is_utf8(one->type) && is_utf8(one->value),
                "attributes are UTF-8", &none);
    }
}

static void send_on(struct store *store, const struct qe_message *message)
{
    struct qe_outgoing outgoing = {.body = message->body,
                                   .body_bytes = message->body_bytes,
                                   .attributes = &message->attributes,
                                   .delay_ms = -1,
                                   .group = message->group,
                                   .correlation_id = message->correlation_id,
                                   .reply_to = message->reply_to};
    struct qe_err err = {0};

    require(qe_driver_embedded.send(store->handle, &store->queue, &outgoing, 1, soon(), &err) == 0,
            "it can be sent on", &err);
    if (outgoing.result.code == QE_ERR_LIMIT) {
        return; /* the outbox takes longer names */
    }
    require(outgoing.result.code == QE_OK, "it is taken", &outgoing.result);
    struct qe_message_list list = receive(store);
    const struct qe_message *again = &list.items[0];

    require(strcmp(again->group, message->group) == 0 &&
                strcmp(again->correlation_id, message->correlation_id) == 0 &&
                strcmp(again->reply_to, message->reply_to) == 0,
            "what goes with it stays", &err);
    require(again->body_bytes == message->body_bytes &&
                memcmp(again->body, message->body, message->body_bytes) == 0,
            "the body stays", &err);
    require(again->attributes.count == message->attributes.count, "so do attributes", &err);
    for (size_t i = 0; i < message->attributes.count; i++) {
        const struct qe_attribute *one = &message->attributes.items[i];
        const struct qe_attribute *other = &again->attributes.items[i];

        require(strcmp(one->name, other->name) == 0 && strcmp(one->type, other->type) == 0 &&
                    strcmp(one->value, other->value) == 0,
                "as they were", &err);
    }
    finish(store, &list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (s_store.handle == NULL) {
        open_store(&s_store);
    }
    if (put(&s_store, (const char *)data, size)) {
        struct qe_message_list list = receive(&s_store);

        check_message(&list.items[0]);
        send_on(&s_store, &list.items[0]);
        finish(&s_store, &list);
    }
    return 0;
}
