/* What the copy of a message carries; and which dead-letter queues have theirs already, while
 * others have not: a next try sends only what is missing. Kept for each delivery; and, when the
 * message goes back to its queue meanwhile, in an attribute of the copy that is released. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "model/dead_letter.h"
#include "util/mem.h"
#include "util/strbuf.h"
#include "util/text.h"

#define COPIES_MAX 10000
#define LIST_MAX_BYTES 16384

void qe_amqp_copies_deinit(struct qe_amqp_copies *copies)
{
    qe_free(copies->items);
    *copies = (struct qe_amqp_copies){0};
}

static uint64_t key_of(const char *queue)
{
    return qe_amqp_publish_key(amqp_empty_bytes, qe_amqp_text(queue), amqp_empty_bytes);
}

/* A list of lines: no queue's name holds their end. */
static bool is_listed(const char *list, const char *queue)
{
    const size_t bytes = strlen(queue);

    for (const char *line = list; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        if (strncmp(line, queue, bytes) == 0 && (line[bytes] == '\0' || line[bytes] == '\n')) {
            return true;
        }
    }
    return false;
}

bool qe_amqp_copies_has(const struct qe_amqp_copies *copies, uint64_t tag,
                        const struct qe_message *message, const char *queue)
{
    const uint64_t key = key_of(queue);

    for (size_t i = 0; i < copies->count; i++) {
        if (copies->items[i].tag == tag && copies->items[i].key == key) {
            return true;
        }
    }
    return is_listed(qe_attributes_get(&message->attributes, QE_AMQP_COPIED), queue);
}

void qe_amqp_copies_add(struct qe_amqp_copies *copies, uint64_t tag, const char *queue)
{
    if (qe_grow(&copies->items, copies->count, &copies->capacity, COPIES_MAX,
                sizeof *copies->items) == 0) {
        copies->items[copies->count++] = (struct qe_amqp_copy){.tag = tag, .key = key_of(queue)};
    }
}

void qe_amqp_copies_forget(struct qe_amqp_copies *copies, uint64_t tag)
{
    size_t kept = 0;

    for (size_t i = 0; i < copies->count; i++) {
        if (copies->items[i].tag != tag) {
            copies->items[kept++] = copies->items[i];
        }
    }
    copies->count = kept;
}

int qe_amqp_copies_have_place(const struct qe_queue *queue, struct qe_err *err)
{
    if (!queue->dead_letter_known) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED,
                          "queue %s: whether it has a dead-letter queue is not known: the "
                          "management API says so, to a user with the tag monitoring",
                          queue->name);
    }
    if (queue->links_count == 0) {
        return qe_err_set(err, queue->dead_letter_unroutable ? QE_ERR_NOT_FOUND : QE_ERR_INVALID,
                          queue->dead_letter_unroutable
                              ? "queue %s: its dead-letter exchange leads to no queue"
                              : "queue %s has no dead-letter queue",
                          queue->name);
    }
    return 0;
}

static void add_list(const struct qe_amqp_copies *copies, uint64_t tag,
                     const struct qe_message *message, const struct qe_queue *queue,
                     struct qe_attributes *out)
{
    struct qe_strbuf list;
    struct qe_err ignored = {0};

    qe_strbuf_init(&list, LIST_MAX_BYTES);
    for (size_t i = 0; i < queue->links_count; i++) {
        if (qe_amqp_copies_has(copies, tag, message, queue->links[i].queue)) {
            (void)qe_strbuf_printf(&list, "%s%s", list.length_bytes == 0 ? "" : "\n",
                                   queue->links[i].queue);
        }
    }
    if (list.length_bytes > 0 && qe_strbuf_error(&list, &ignored) == 0) {
        (void)!qe_attributes_add(out, QE_AMQP_COPIED, qe_strbuf_text(&list), &ignored);
    }
    qe_strbuf_deinit(&list);
}

/* --- what a copy carries --- */

/* `is_raw`: what headers say is copied as it came. */
static int copy_attributes(const struct qe_message *message, bool is_raw, struct qe_attributes *out,
                           struct qe_err *err)
{
    for (size_t i = 0; i < message->attributes.count; i++) {
        const struct qe_attribute *one = &message->attributes.items[i];

        if ((strcmp(one->type, QE_AMQP_PROPERTY) == 0 && strcmp(one->name, "expiration") == 0) ||
            strcmp(one->name, QE_AMQP_COPIED) == 0 ||
            (is_raw && strcmp(one->type, QE_AMQP_PROPERTY) != 0 &&
             !qe_text_starts_with(one->name, QE_DEAD_LETTER_PREFIX))) {
            continue; /* the first as the broker does: it would expire again where it is looked at
                       */
        }
        if (qe_attributes_add_typed(out, one->name, one->type, one->value, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static void add_facts(const struct qe_queue *queue, const struct qe_settlement *settlement,
                      struct qe_attributes *out)
{
    const struct qe_message *message = settlement->message;
    struct qe_err ignored = {0};
    char number[16];
    char time[32];

    (void)snprintf(number, sizeof number, "%" PRIu32, message->receives);
    (void)!qe_attributes_add(out, QE_DEAD_LETTER_REASON,
                             settlement->verb == QE_SETTLE_RELEASE ? "max_receives"
                             : settlement->reason != NULL          ? settlement->reason
                                                                   : "",
                             &ignored);
    (void)!qe_attributes_add(out, QE_DEAD_LETTER_SOURCE, queue->name, &ignored);
    if (message->receives > 0) {
        (void)!qe_attributes_add(out, QE_DEAD_LETTER_RECEIVES, number, &ignored);
    }
    (void)!qe_attributes_add(out, QE_DEAD_LETTER_AT, qe_text_from_unix_ms(qe_clock_unix_ms(), time),
                             &ignored);
    for (size_t i = 0; settlement->notes != NULL && i < settlement->notes->count; i++) {
        const struct qe_attribute *note = &settlement->notes->items[i];

        (void)!qe_attributes_add(out, note->name, note->value, &ignored);
    }
}

bool qe_amqp_has_expiration(const struct qe_message *message)
{
    for (size_t i = 0; i < message->attributes.count; i++) {
        const struct qe_attribute *one = &message->attributes.items[i];

        if (strcmp(one->name, "expiration") == 0 && strcmp(one->type, QE_AMQP_PROPERTY) == 0) {
            return true;
        }
    }
    return false;
}

void qe_amqp_copy_deinit(struct qe_amqp_copy_parts *parts)
{
    qe_attributes_deinit(&parts->attributes);
    qe_amqp_raw_deinit(&parts->raw);
}

/* Facts last, so that they are left out where there is no room beside 64 others. */
int qe_amqp_copy_make(const struct qe_amqp_consumer *consumer, const struct qe_queue *queue,
                      const struct qe_settlement *settlement, bool is_dead,
                      struct qe_amqp_copy_parts *out, struct qe_err *err)
{
    const struct qe_message *message = settlement->message;
    const uint64_t tag = qe_amqp_receipt_tag(consumer, message->receipt);

    qe_amqp_copy_deinit(out);
    if (qe_amqp_raws_copy(&consumer->raws, tag, &out->raw, err) != 0 ||
        copy_attributes(message, out->raw.bytes != NULL, &out->attributes, err) != 0) {
        return -1;
    }
    if (is_dead) {
        add_facts(queue, settlement, &out->attributes);
    } else {
        add_list(&consumer->copies, tag, message, queue, &out->attributes);
    }
    return 0;
}

void qe_amqp_copy_letter(const struct qe_amqp_copy_parts *parts, const struct qe_message *message,
                         bool is_dead, struct qe_amqp_letter *out)
{
    *out = (struct qe_amqp_letter){
        .is_copy = true,
        .body = message->body,
        .body_bytes = message->body_bytes,
        .attributes = &parts->attributes,
        .raw = parts->raw.bytes != NULL ? &parts->raw : NULL,
        .correlation_id = message->correlation_id,
        .reply_to = message->reply_to,
        .sent_unix_ms = message->sent_unix_ms,
    };
    if (is_dead) {
        out->enqueued_unix_ms = qe_clock_unix_ms();
        return;
    }
    out->enqueued_unix_ms = message->enqueued_unix_ms;
    out->receives = message->receives;
    out->receives_least = message->receives_least;
}
