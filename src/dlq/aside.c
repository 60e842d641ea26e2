#include "dlq/aside.h"

#include <string.h>

#include "dlq/facts.h"
#include "util/mem.h"

/* So many lots at least may bring nothing new. */
#define KNOWN_LOTS_MAX 3

void qe_aside_deinit(struct qe_aside *aside)
{
    for (size_t i = 0; i < aside->count; i++) {
        qe_message_deinit(&aside->items[i].message);
    }
    qe_free(aside->items);
    *aside = (struct qe_aside){0};
}

static struct qe_aside_item *find_by_id(struct qe_aside *aside, const char *id)
{
    for (size_t i = 0; i < aside->count && id[0] != '\0'; i++) {
        if (strcmp(aside->items[i].message.id, id) == 0) {
            return &aside->items[i];
        }
    }
    return NULL;
}

/* What is sent may be deleted, although that was not confirmed: one that was never delivered, or
 * has no id, as many have that look alike, is then another that waits to be sent. */
static bool may_be(const struct qe_aside_item *item, const struct qe_message *message)
{
    return strcmp(item->message.id, message->id) == 0 &&
           item->message.sent_unix_ms == message->sent_unix_ms &&
           item->message.enqueued_unix_ms == message->enqueued_unix_ms &&
           (item->why != QE_ASIDE_SENT || (message->id[0] != '\0' && message->receives != 1));
}

struct qe_aside_item *qe_aside_find(struct qe_aside *aside, const struct qe_message *message)
{
    const struct qe_driver *driver = aside->driver;

    if (driver->holds == NULL) {
        return find_by_id(aside, message->id);
    }
    if (!driver->holds(aside->handle, aside->queue, message)) {
        return NULL; /* one that has ended, too: it comes again, as the others do */
    }
    const uint64_t fingerprint = qe_dlq_fingerprint(message);

    for (size_t i = 0; i < aside->count; i++) {
        struct qe_aside_item *item = &aside->items[i];

        if (item->fingerprint == fingerprint && may_be(item, message) &&
            !driver->holds(aside->handle, aside->queue, &item->message)) {
            return item;
        }
    }
    return NULL;
}

bool qe_aside_goes_round(struct qe_aside *aside, size_t lot_count, size_t fresh_count)
{
    aside->known_lots = fresh_count > 0 ? 0 : aside->known_lots + 1;
    aside->known_messages = fresh_count > 0 ? 0 : aside->known_messages + lot_count;
    return aside->known_lots >= KNOWN_LOTS_MAX && aside->known_messages > aside->count;
}

/* Moves all but the body, which may be large and is mostly not needed any more. */
static struct qe_message take_without_body(struct qe_message *message)
{
    struct qe_message taken = *message;

    *message = (struct qe_message){0};
    if (taken.body != NULL && !taken.is_last_delivery) {
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
    struct qe_aside_item item = {.why = why, .fingerprint = qe_dlq_fingerprint(message)};

    if (qe_grow(&aside->items, aside->count, &aside->capacity, SIZE_MAX / sizeof item,
                sizeof item) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "message %s", message->id);
    }
    item.message = take_without_body(message);
    aside->items[aside->count] = item;
    aside->count++;
    aside->body_bytes += item.message.body_bytes;
    return 0;
}

bool qe_aside_is_full(const struct qe_aside *aside)
{
    return aside->count > QE_DLQ_ASIDE_MAX;
}

int qe_aside_check_bytes(const struct qe_aside *aside, struct qe_err *err)
{
    if (aside->body_bytes <= QE_DLQ_ASIDE_MAX_BYTES) {
        return 0;
    }
    return qe_err_set(err, QE_ERR_LIMIT,
                      "more than 256 MiB in hand of what its queue's delivery limit would drop: "
                      "ask for fewer messages at a time");
}

void qe_aside_renew_take(struct qe_aside *aside, struct qe_aside_item *item,
                         struct qe_message *message)
{
    aside->body_bytes -= item->message.body_bytes;
    qe_message_deinit(&item->message);
    item->message = take_without_body(message);
    aside->body_bytes += item->message.body_bytes;
}

void qe_aside_remove(struct qe_aside *aside, struct qe_aside_item *item)
{
    size_t index = (size_t)(item - aside->items);

    aside->body_bytes -= item->message.body_bytes;
    qe_message_deinit(&item->message);
    aside->count--;
    if (index != aside->count) {
        aside->items[index] = aside->items[aside->count];
    }
}
