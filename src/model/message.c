#include "model/message.h"

#include <string.h>

#include "util/mem.h"

#define MESSAGES_MAX 100000 /* one receive or peek; nobody can want more in memory at once */

static int out_of_memory(struct qe_err *err)
{
    return qe_err_set(err, QE_ERR_NOMEM, "out of memory for a message");
}

static struct qe_attribute *find(const struct qe_attributes *attributes, const char *name)
{
    for (size_t i = 0; i < attributes->count; i++) {
        if (strcmp(attributes->items[i].name, name) == 0) {
            return &attributes->items[i];
        }
    }
    return NULL;
}

static void free_attribute(const struct qe_attribute *attribute)
{
    qe_free(attribute->name);
    qe_free(attribute->value);
    qe_free(attribute->type);
}

static int replace(struct qe_attribute *attribute, const char *type, const char *value,
                   struct qe_err *err)
{
    const struct qe_attribute made = {.value = qe_strdup(value), .type = qe_strdup(type)};

    if (made.value == NULL || made.type == NULL) {
        free_attribute(&made);
        return out_of_memory(err);
    }
    qe_free(attribute->value);
    qe_free(attribute->type);
    attribute->value = made.value;
    attribute->type = made.type;
    return 0;
}

int qe_attributes_add(struct qe_attributes *attributes, const char *name, const char *value,
                      struct qe_err *err)
{
    return qe_attributes_add_typed(attributes, name, "", value, err);
}

int qe_attributes_add_typed(struct qe_attributes *attributes, const char *name, const char *type,
                            const char *value, struct qe_err *err)
{
    struct qe_attribute *old = find(attributes, name);

    if (old != NULL) {
        return replace(old, type, value, err);
    }
    if (attributes->count >= QE_MESSAGE_ATTRIBUTES_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "a message has at most %d attributes",
                          QE_MESSAGE_ATTRIBUTES_MAX);
    }
    const struct qe_attribute made = {
        .name = qe_strdup(name), .value = qe_strdup(value), .type = qe_strdup(type)};

    if (made.name == NULL || made.value == NULL || made.type == NULL ||
        qe_grow(&attributes->items, attributes->count, &attributes->capacity,
                QE_MESSAGE_ATTRIBUTES_MAX, sizeof made) != 0) {
        free_attribute(&made);
        return out_of_memory(err);
    }
    attributes->items[attributes->count] = made;
    attributes->count++;
    return 0;
}

const char *qe_attributes_get(const struct qe_attributes *attributes, const char *name)
{
    const struct qe_attribute *found = find(attributes, name);

    return found == NULL ? NULL : found->value;
}

int qe_attributes_copy(struct qe_attributes *out, const struct qe_attributes *from,
                       struct qe_err *err)
{
    struct qe_attributes made = {0};

    for (size_t i = 0; i < from->count; i++) {
        const struct qe_attribute *one = &from->items[i];

        if (qe_attributes_add_typed(&made, one->name, one->type, one->value, err) != 0) {
            qe_attributes_deinit(&made);
            return -1;
        }
    }
    *out = made;
    return 0;
}

void qe_attributes_deinit(struct qe_attributes *attributes)
{
    for (size_t i = 0; i < attributes->count; i++) {
        free_attribute(&attributes->items[i]);
    }
    qe_free(attributes->items);
    *attributes = (struct qe_attributes){0};
}

const char *qe_message_name(const struct qe_message *message)
{
    return message->id != NULL && message->id[0] != '\0' ? message->id : "(no id)";
}

int qe_message_copy(struct qe_message *out, const struct qe_message *from, struct qe_err *err)
{
    struct qe_message made = *from;

    made.id = qe_strdup(from->id);
    made.receipt = qe_strdup(from->receipt);
    made.body = qe_calloc(1, from->body_bytes + 1);
    made.group = qe_strdup(from->group);
    made.deduplication_id = qe_strdup(from->deduplication_id);
    made.correlation_id = qe_strdup(from->correlation_id);
    made.reply_to = qe_strdup(from->reply_to);
    made.attributes = (struct qe_attributes){0};
    if (made.id == NULL || made.receipt == NULL || made.body == NULL || made.group == NULL ||
        made.deduplication_id == NULL || made.correlation_id == NULL || made.reply_to == NULL) {
        qe_message_deinit(&made);
        return out_of_memory(err);
    }
    memcpy(made.body, from->body, from->body_bytes);
    if (qe_attributes_copy(&made.attributes, &from->attributes, err) != 0) {
        qe_message_deinit(&made);
        return -1;
    }
    *out = made;
    return 0;
}

int qe_message_init(struct qe_message *message, struct qe_err *err)
{
    struct qe_message made = {
        .id = qe_strdup(""),
        .receipt = qe_strdup(""),
        .body = qe_strdup(""),
        .group = qe_strdup(""),
        .deduplication_id = qe_strdup(""),
        .correlation_id = qe_strdup(""),
        .reply_to = qe_strdup(""),
    };

    if (made.id == NULL || made.receipt == NULL || made.body == NULL || made.group == NULL ||
        made.deduplication_id == NULL || made.correlation_id == NULL || made.reply_to == NULL) {
        qe_message_deinit(&made);
        return out_of_memory(err);
    }
    *message = made;
    return 0;
}

void qe_message_deinit(struct qe_message *message)
{
    qe_free(message->id);
    qe_free(message->receipt);
    qe_free(message->body);
    qe_free(message->group);
    qe_free(message->deduplication_id);
    qe_free(message->correlation_id);
    qe_free(message->reply_to);
    qe_attributes_deinit(&message->attributes);
    *message = (struct qe_message){0};
}

void qe_message_list_deinit(struct qe_message_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        qe_message_deinit(&list->items[i]);
    }
    qe_free(list->items);
    *list = (struct qe_message_list){0};
}

struct qe_message *qe_message_list_add(struct qe_message_list *list, struct qe_err *err)
{
    if (list->count >= MESSAGES_MAX) {
        qe_err_set(err, QE_ERR_LIMIT, "more than %d messages at once", MESSAGES_MAX);
        return NULL;
    }
    if (qe_grow(&list->items, list->count, &list->capacity, MESSAGES_MAX, sizeof *list->items) !=
        0) {
        out_of_memory(err);
        return NULL;
    }
    struct qe_message *message = &list->items[list->count];

    if (qe_message_init(message, err) != 0) {
        return NULL;
    }
    list->count++;
    return message;
}
