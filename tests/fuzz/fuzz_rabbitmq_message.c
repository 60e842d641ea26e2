/* Any bytes as a message's properties: no crash, what comes of them fits into a message, and what
 * can be sent on comes back as it was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"

#define INPUT_MAX_BYTES 4096 /* the library decodes nested tables by calling itself */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static void send_on(const struct qe_message *message)
{
    const struct qe_amqp_letter letter = {.exchange = "",
                                          .routing_key = "q",
                                          .body = "",
                                          .attributes = &message->attributes,
                                          .id = message->id,
                                          .correlation_id = message->correlation_id,
                                          .reply_to = message->reply_to,
                                          .sent_unix_ms = message->sent_unix_ms};
    amqp_basic_properties_t properties;
    amqp_pool_t pool;
    struct qe_message again = {0};
    struct qe_err err = {0};

    init_amqp_pool(&pool, 4096);
    if (qe_amqp_write(&letter, &pool, &properties, &err) == 0 &&
        qe_message_init(&again, &err) == 0) {
        require(qe_amqp_read(&properties, false, &again, &err) == 0, "what we wrote can be read");
        require(strcmp(again.id, message->id) == 0, "an id stays");
        require(again.sent_unix_ms == message->sent_unix_ms, "the time of sending stays");
        require(again.attributes.count <= message->attributes.count, "nothing is added");
    }
    qe_message_deinit(&again);
    empty_amqp_pool(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    amqp_bytes_t encoded = {.len = size};
    void *decoded = NULL;
    amqp_pool_t pool;
    struct qe_message message = {0};
    struct qe_err err = {0};

    if (size > INPUT_MAX_BYTES) {
        return 0;
    }
    memcpy(&encoded.bytes, &data, sizeof encoded.bytes);
    init_amqp_pool(&pool, 4096);
    if (amqp_decode_properties(AMQP_BASIC_CLASS, &pool, encoded, &decoded) == 0 &&
        qe_message_init(&message, &err) == 0 &&
        qe_amqp_read(decoded, size % 2 == 1, &message, &err) == 0) {
        require(message.attributes.count <= QE_MESSAGE_ATTRIBUTES_MAX, "no more than fit");
        send_on(&message);
    }
    qe_message_deinit(&message);
    empty_amqp_pool(&pool);
    return 0;
}
