/* Any bytes as the answer of ReceiveMessage: no crash, no half messages; and whatever SQS could
 * have sent, we can send on: the entry reads back to the same body and attributes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/sqs/letter.h"
#include "backend/sqs/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static const struct qe_sqs_span s_span = {
    .received_mono_ms = 1000000, .margin_ms = 1000, .visibility_ms = 30000};

static void check_message(const struct qe_message *message)
{
    require(message->receipt[0] != '\0', "a message has a receipt");
    require(message->body_bytes == strlen(message->body), "a body is text");
    require(message->visible_until_mono_ms == 1029000, "a delivery lapses when it may");
    require(message->sent_unix_ms >= 0 && message->enqueued_unix_ms >= 0, "times are times");
    require(message->attributes.count <= QE_SQS_ATTRIBUTES_MAX + 1, "attributes have a limit");
}

/* What stands in the entry is what stands in the letter. */
static void check_entry(const struct qe_sqs_letter *letter, const struct qe_json *entry)
{
    const struct qe_json *attributes = qe_json_get(entry, "MessageAttributes");
    const char *body = qe_json_text(qe_json_get(entry, "MessageBody"));

    require(body != NULL && strcmp(body, letter->body) == 0, "the body is sent as it is");
    for (size_t i = 0; i < letter->attributes_count; i++) {
        const struct qe_sqs_attribute *own = &letter->attributes[i];
        const struct qe_json *sent = qe_json_get(attributes, own->name);
        const char *type = qe_json_text(qe_json_get(sent, "DataType"));
        const char *value = qe_json_text(
            qe_json_get(sent, qe_sqs_type_is_binary(own->type) ? "BinaryValue" : "StringValue"));

        require(type != NULL && strcmp(type, own->type) == 0, "the type is sent as it is");
        require(value != NULL && strcmp(value, own->value) == 0, "the value is sent as it is");
    }
}

static void send_on(const struct qe_message *message)
{
    struct qe_sqs_letter letter = {.body = message->body,
                                   .body_bytes = message->body_bytes,
                                   .group = message->group,
                                   .deduplication_id = message->deduplication_id,
                                   .delay_seconds = -1};
    struct qe_strbuf out = {0};
    struct qe_err err = {0};
    int rc = 0;

    for (size_t i = 0; i < message->attributes.count && rc == 0; i++) {
        const struct qe_attribute *one = &message->attributes.items[i];

        rc = qe_sqs_letter_add(&letter, one->name, one->type, one->value, &err);
    }
    if (rc != 0 || qe_sqs_letter_check(&letter, &err) != 0) {
        require(err.message[0] != '\0', "a refusal says why");
        return;
    }
    (void)qe_strbuf_append_text(&out, "{\"Id\":\"0\"");
    qe_sqs_letter_append(&letter, &out);
    (void)qe_strbuf_append_char(&out, '}');
    struct qe_json *entry = qe_json_parse(qe_strbuf_text(&out), out.length_bytes, &err);

    require(entry != NULL, "an entry is JSON");
    check_entry(&letter, entry);
    require(qe_sqs_letter_verify(&letter, entry, &err) == 0, "no checksum, no difference");
    qe_json_destroy(entry);
    qe_strbuf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};
    struct qe_json *answer = qe_json_parse((const char *)data, size, &err);

    if (answer == NULL) {
        return 0;
    }
    int rc = qe_sqs_messages_parse(answer, &s_span, &list, &err);

    qe_json_destroy(answer);
    require(rc == 0 || (err.code == QE_ERR_PROTOCOL && err.message[0] != '\0'),
            "what is not whole is said");
    for (size_t i = 0; i < list.count; i++) {
        check_message(&list.items[i]);
        send_on(&list.items[i]);
    }
    qe_message_list_deinit(&list);
    return 0;
}
