/* Which dead-letter queues have their copy of a message already, while others have not taken
 * theirs: a next try sends only what is missing. Kept for each delivery; and, when the message goes
 * back to its queue meanwhile, in an attribute of the copy that is released. */
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"
#include "util/strbuf.h"

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

void qe_amqp_copies_list(const struct qe_amqp_copies *copies, uint64_t tag,
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
