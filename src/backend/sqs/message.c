#include "backend/sqs/message.h"

#include <stdio.h>
#include <string.h>

#include "backend/sqs/checksum.h"
#include "backend/sqs/internal.h"
#include "backend/sqs/letter.h"
#include "util/mem.h"
#include "util/text.h"

#define MARGIN_BITS 16
#define MARGIN_MASK ((UINT64_C(1) << MARGIN_BITS) - 1)
#define MARGIN_FIRST_MS 1000
#define MARGIN_PER_MIB_MS 1000
#define RECEIVES_MAX 1000000000
#define UNIX_MS_MAX INT64_C(253402300799999) /* the year 9999 */

/* --- spans --- */

uint64_t qe_sqs_span_pack(const struct qe_sqs_span *span)
{
    uint64_t margin = span->margin_ms < 0 ? 0 : (uint64_t)span->margin_ms;

    return (uint64_t)span->received_mono_ms << MARGIN_BITS |
           (margin < MARGIN_MASK ? margin : MARGIN_MASK);
}

int64_t qe_sqs_span_received_mono_ms(uint64_t tag)
{
    return (int64_t)(tag >> MARGIN_BITS);
}

int64_t qe_sqs_span_margin_ms(uint64_t tag)
{
    return (int64_t)(tag & MARGIN_MASK);
}

int64_t qe_sqs_span_margin_of(int64_t asked_mono_ms, int64_t now_mono_ms, size_t answer_bytes,
                              int64_t visibility_ms)
{
    int64_t margin_ms = MARGIN_FIRST_MS + (int64_t)(answer_bytes >> 20) * MARGIN_PER_MIB_MS;

    if (margin_ms > now_mono_ms - asked_mono_ms) {
        margin_ms = now_mono_ms - asked_mono_ms;
    }
    return margin_ms < visibility_ms / 4 ? margin_ms : visibility_ms / 4;
}

/* --- one message --- */

static int replace_text(char **field, const char *text, struct qe_err *err)
{
    if (text == NULL || text[0] == '\0') {
        return 0; /* qe_message_init left "" there */
    }
    char *copy = qe_strdup(text);

    if (copy == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "message");
    }
    qe_free(*field);
    *field = copy;
    return 0;
}

/* Numbers are strings here; some emulators send fractions. What is no number is unknown: 0. */
static int64_t number_of(const struct qe_json *attributes, const char *name, double max)
{
    const char *text = qe_json_text(qe_json_get(attributes, name));
    struct qe_err ignored = {0};
    double number = 0;

    if (text == NULL || qe_text_to_double(text, &number, &ignored) != 0 || number < 0 ||
        number > max) {
        return 0;
    }
    return (int64_t)number;
}

static int take_system_attributes(struct qe_message *message, const struct qe_json *attributes,
                                  struct qe_err *err)
{
    const char *source_arn = qe_json_text(qe_json_get(attributes, "DeadLetterQueueSourceArn"));
    struct qe_sqs_arn arn;

    message->sent_unix_ms = number_of(attributes, "SentTimestamp", (double)UNIX_MS_MAX);
    message->receives = (uint32_t)number_of(attributes, "ApproximateReceiveCount", RECEIVES_MAX);
    if (replace_text(&message->group, qe_json_text(qe_json_get(attributes, "MessageGroupId")),
                     err) != 0 ||
        replace_text(&message->deduplication_id,
                     qe_json_text(qe_json_get(attributes, "MessageDeduplicationId")), err) != 0) {
        return -1;
    }
    message->enqueued_unix_ms = message->sent_unix_ms;
    if (source_arn == NULL || !qe_sqs_arn_parse(source_arn, &arn)) {
        return 0;
    }
    message->enqueued_unix_ms = 0; /* SQS moved it here, and tells only when it was first sent */
    if (qe_attributes_get(&message->attributes, "dead-letter-source") != NULL) {
        return 0;
    }
    return qe_attributes_add(&message->attributes, "dead-letter-source", arn.name, err);
}

static bool is_plain(const char *type)
{
    return strcmp(type, "String") == 0;
}

static int take_attribute(struct qe_message *message, const struct qe_sqs_attribute *attribute,
                          struct qe_err *err)
{
    bool plain = is_plain(attribute->type);

    if (plain && strcmp(attribute->name, QE_SQS_CORRELATION_ID) == 0) {
        return replace_text(&message->correlation_id, attribute->value, err);
    }
    if (plain && strcmp(attribute->name, QE_SQS_REPLY_TO) == 0) {
        return replace_text(&message->reply_to, attribute->value, err);
    }
    return qe_attributes_add_typed(&message->attributes, attribute->name,
                                   plain ? "" : attribute->type, attribute->value, err);
}

static int compare(const char *what, int rc, const char *own, const char *theirs,
                   struct qe_err *err)
{
    if (rc != 0) {
        return err->code == QE_ERR_UNSUPPORTED ? 0 : -1; /* no MD5 on this machine */
    }
    if (theirs == NULL || qe_text_equal_nocase(own, theirs)) {
        return 0;
    }
    return qe_err_set(err, QE_ERR_PROTOCOL, "its %s came with another MD5 (%.40s) than it has (%s)",
                      what, theirs, own);
}

static int take_attributes(struct qe_message *message, const struct qe_json *item,
                           struct qe_err *err)
{
    const struct qe_json *members = qe_json_get(item, "MessageAttributes");
    struct qe_sqs_attribute attributes[QE_SQS_ATTRIBUTES_MAX];
    char own[QE_MD5_HEX_BYTES] = "";
    struct qe_err why = {0};
    size_t count = 0;

    for (const struct qe_json *member = qe_json_first(members); member != NULL;
         member = qe_json_next(member)) {
        struct qe_sqs_attribute attribute = {.name = qe_json_key(member),
                                             .type = qe_json_text(qe_json_get(member, "DataType"))};

        if (count == QE_SQS_ATTRIBUTES_MAX || attribute.type == NULL) {
            return qe_err_set(err, QE_ERR_PROTOCOL, "its attributes are not as SQS has them");
        }
        attribute.value = qe_json_text(qe_json_get(
            member, qe_sqs_type_is_binary(attribute.type) ? "BinaryValue" : "StringValue"));
        if (attribute.value == NULL) {
            return qe_err_set(err, QE_ERR_PROTOCOL, "its attribute %.80s has no value",
                              attribute.name);
        }
        if (take_attribute(message, &attribute, err) != 0) {
            return -1;
        }
        attributes[count++] = attribute;
    }
    if (count == 0) {
        return 0;
    }
    int rc = qe_sqs_md5_attributes(attributes, count, own, &why);

    rc = compare("attributes", rc, own, qe_json_text(qe_json_get(item, "MD5OfMessageAttributes")),
                 &why);
    if (rc != 0) {
        *err = why;
    }
    return rc;
}

static int take_body(struct qe_message *message, const struct qe_json *item, struct qe_err *err)
{
    const char *body = qe_json_text(qe_json_get(item, "Body"));
    char own[QE_MD5_HEX_BYTES] = "";
    struct qe_err why = {0};

    if (body == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "it has no body");
    }
    message->body_bytes = strlen(body);
    if (replace_text(&message->body, body, err) != 0) {
        return -1;
    }
    int rc = qe_sqs_md5_body(body, message->body_bytes, own, &why);

    rc = compare("body", rc, own, qe_json_text(qe_json_get(item, "MD5OfBody")), &why);
    if (rc != 0) {
        *err = why;
    }
    return rc;
}

static int take_message(struct qe_message *message, const struct qe_json *item,
                        const struct qe_sqs_span *span, struct qe_err *err)
{
    const char *receipt = qe_json_text(qe_json_get(item, "ReceiptHandle"));

    if (receipt == NULL || receipt[0] == '\0') {
        return qe_err_set(err, QE_ERR_PROTOCOL, "it has no receipt handle");
    }
    if (replace_text(&message->id, qe_json_text(qe_json_get(item, "MessageId")), err) != 0 ||
        replace_text(&message->receipt, receipt, err) != 0 || take_body(message, item, err) != 0 ||
        take_attributes(message, item, err) != 0) {
        return -1;
    }
    message->visible_until_mono_ms = span->received_mono_ms - span->margin_ms + span->visibility_ms;
    message->tag = qe_sqs_span_pack(span);
    return take_system_attributes(message, qe_json_get(item, "Attributes"), err);
}

/* --- the answer --- */

static int add_message(const struct qe_json *item, const struct qe_sqs_span *span,
                       struct qe_message_list *out, struct qe_err *err)
{
    struct qe_message *message = qe_message_list_add(out, err);

    if (message == NULL) {
        return -1;
    }
    if (take_message(message, item, span, err) != 0) {
        const char *id = qe_json_text(qe_json_get(item, "MessageId"));

        qe_message_deinit(message);
        out->count--;
        return qe_err_wrap(err, "message %.80s", id == NULL ? "without an id" : id);
    }
    return 0;
}

int qe_sqs_messages_parse(const struct qe_json *answer, const struct qe_sqs_span *span,
                          struct qe_message_list *out, struct qe_err *err)
{
    const struct qe_json *items = qe_json_get(answer, "Messages");
    struct qe_err first = {0};

    if (answer != NULL &&
        (!qe_json_is_object(answer) || (items != NULL && !qe_json_is_array(items)))) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "ReceiveMessage: the answer holds no messages");
    }
    for (const struct qe_json *item = qe_json_first(items); item != NULL;
         item = qe_json_next(item)) {
        struct qe_err why = {0};

        if (add_message(item, span, out, &why) != 0 && first.code == QE_OK) {
            first = why;
        }
    }
    if (first.code != QE_OK) {
        *err = first;
        return -1;
    }
    return 0;
}
