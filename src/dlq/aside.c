#include "dlq/aside.h"

#include <string.h>

#include "util/mem.h"

void qe_aside_deinit(struct qe_aside *aside)
{
    for (size_t i = 0; i < aside->count; i++) {
        qe_message_deinit(&aside->items[i].message);
    }
    qe_free(aside->items);
    *aside = (struct qe_aside){0};
}

struct qe_aside_item *qe_aside_find(struct qe_aside *aside, const struct qe_message *message)
{
    for (size_t i = 0; i < aside->count && message->id[0] != '\0'; i++) {
        if (strcmp(aside->items[i].message.id, message->id) == 0) {
            return &aside->items[i];
        }
    }
    return NULL;
}

/* Moves all but the body, which may be large and is not needed any more. */
static struct qe_message take_without_body(struct qe_message *message)
{
    struct qe_message taken = *message;

    *message = (struct qe_message){0};
    if (taken.body != NULL) {
        taken.body[0] = '\0'; /* one NUL is always there */
        char *shrunk = qe_reallocarray(taken.body, 1, 1);

        taken.body = shrunk != NULL ? shrunk : taken.body;
        taken.body_bytes = 0;
    }
    return taken;
}

int qe_aside_add_take(struct qe_aside *aside, struct qe_message *message, enum qe_aside_why why,
                      struct qe_err *err)
{
    struct qe_aside_item item = {.message = take_without_body(message), .why = why};
    int rc = 0;

    if (aside->count >= QE_DLQ_ASIDE_MAX) {
        rc = qe_err_set(err, QE_ERR_LIMIT, "more than %d messages cannot be moved",
                        QE_DLQ_ASIDE_MAX);
    } else if (qe_grow(&aside->items, aside->count, &aside->capacity, QE_DLQ_ASIDE_MAX,
                       sizeof item) != 0) {
        rc = qe_err_set(err, QE_ERR_NOMEM, "message %s", item.message.id);
    }
    if (rc != 0) {
        qe_message_deinit(&item.message);
        return -1;
    }
    aside->items[aside->count] = item;
    aside->count++;
    return 0;
}

void qe_aside_renew_take(struct qe_aside_item *item, struct qe_message *message)
{
    qe_message_deinit(&item->message);
    item->message = take_without_body(message);
}

void qe_aside_remove(struct qe_aside *aside, struct qe_aside_item *item)
{
    size_t index = (size_t)(item - aside->items);

    qe_message_deinit(&item->message);
    aside->count--;
    if (index != aside->count) {
        aside->items[index] = aside->items[aside->count];
    }
}
