/* Longer visibility, and what both extend and settle know of a delivery's time. */
#include "backend/sqs/batch.h"
#include "backend/sqs/message.h"
#include "util/mem.h"

/* One receipt in a call: of the message that is asked for, or of one that waits behind it. */
struct entry {
    struct qe_message *message; /* NULL: it was not extended */
    size_t extension;           /* of which one */
    int64_t seconds;
    bool is_behind;
};

struct extending {
    struct qe_sqs_queue *queue;
    struct qe_extension *extensions;
    struct entry *entries; /* owned */
    size_t entries_count;
    size_t entries_capacity;
    int64_t asked_mono_ms;
};

bool qe_sqs_is_stale(const struct qe_sqs *sqs, const struct qe_sqs_queue *queue,
                     const struct qe_message *message, int64_t now_mono_ms)
{
    int64_t until = message->visible_until_mono_ms;

    if (message->receipt[0] == '\0' ||
        (until > 0 && until + qe_sqs_span_margin_ms(message->tag) <= now_mono_ms)) {
        return true;
    }
    return qe_sqs_ring_has(&sqs->work->settled, qe_sqs_receipt_number(queue, message->receipt));
}

int64_t qe_sqs_visibility_seconds(const struct qe_message *message, int64_t ms, int64_t now_mono_ms)
{
    int64_t received = qe_sqs_span_received_mono_ms(message->tag);
    int64_t most = QE_SQS_VISIBILITY_MAX_SECONDS;
    int64_t seconds = ms <= 0 ? 0 : (ms + 999) / 1000;

    if (received > 0 && now_mono_ms > received) {
        most -= (now_mono_ms - received + qe_sqs_span_margin_ms(message->tag)) / 1000 + 1;
    }
    most = most < 0 ? 0 : most;
    return seconds < most ? seconds : most;
}

static void tell_stale(const struct extending *extending, struct qe_extension *extension)
{
    (void)qe_err_set(&extension->err, QE_ERR_NOT_FOUND,
                     "queue \"%s\": message %s: the receipt is stale: it was settled, removed or "
                     "delivered again",
                     extending->queue->name, extension->message->id);
}

/* --- for batch.c --- */

static void append(void *context, size_t item, struct qe_strbuf *out)
{
    const struct extending *extending = context;
    const struct entry *entry = &extending->entries[item];

    qe_sqs_append_visibility(out, entry->message->receipt, entry->seconds);
}

static void done(void *context, size_t item, const struct qe_sqs_outcome *outcome)
{
    struct extending *extending = context;
    struct entry *entry = &extending->entries[item];
    struct qe_extension *extension = &extending->extensions[entry->extension];

    if (outcome->answer != NULL) {
        return;
    }
    entry->message = NULL; /* one that is behind lapses as it would have */
    if (!entry->is_behind && outcome->is_stale) {
        tell_stale(extending, extension);
    } else if (!entry->is_behind) {
        extension->err = *outcome->err;
        (void)qe_err_wrap(&extension->err, "queue \"%s\"", extending->queue->name);
    }
}

/* --- the slot --- */

static int add(struct extending *extending, const struct entry *entry)
{
    if (qe_grow(&extending->entries, extending->entries_count, &extending->entries_capacity,
                SIZE_MAX / sizeof(struct entry), sizeof(struct entry)) != 0) {
        return -1;
    }
    extending->entries[extending->entries_count++] = *entry;
    return 0;
}

/* What is to be asked; those of the same group that were received behind a message live as long as
 * it does. -1: out of memory. */
static int collect(const struct qe_sqs *sqs, struct extending *extending, size_t i)
{
    struct qe_extension *extension = &extending->extensions[i];
    struct entry entry = {.message = extension->message, .extension = i};
    int rc = 0;

    extension->err = (struct qe_err){0};
    if (qe_sqs_is_stale(sqs, extending->queue, extension->message, extending->asked_mono_ms)) {
        tell_stale(extending, extension);
        return 0;
    }
    entry.seconds =
        qe_sqs_visibility_seconds(extension->message, extension->by_ms, extending->asked_mono_ms);
    if (extension->by_ms > 0 && entry.seconds == 0) {
        (void)qe_err_set(&extension->err, QE_ERR_LIMIT,
                         "queue \"%s\": message %s: SQS keeps a delivery for 12 h at most, and "
                         "these are over",
                         extending->queue->name, extension->message->id);
        return 0;
    }
    rc = add(extending, &entry);
    entry.is_behind = true;
    for (size_t from = 0; rc == 0 && extending->queue->is_fifo;) {
        entry.message = qe_sqs_hold_behind(extending->queue, extension->message, &from);
        if (entry.message == NULL) {
            break;
        }
        rc = add(extending, &entry);
    }
    return rc;
}

static int ask(struct qe_sqs *sqs, struct extending *extending, int64_t deadline_mono_ms,
               struct qe_err *err)
{
    const size_t count = extending->entries_count;
    size_t *items = qe_calloc(count + 1, sizeof *items);

    if (items == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", extending->queue->name);
    }
    for (size_t i = 0; i < count; i++) {
        items[i] = i;
    }
    const struct qe_sqs_batch batch = {
        .operation = QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH,
        .queue = extending->queue,
        .items = items,
        .items_count = count,
        .deadline_mono_ms = deadline_mono_ms,
        .context = extending,
        .append = append,
        .done = done,
    };
    struct qe_err ignored = {0}; /* each one has it */
    int rc = qe_sqs_batch_run(sqs, &batch, &ignored);

    (void)rc;
    qe_free(items);
    return 0;
}

/* From the request on: SQS may have done it at any moment since. */
static void take_extended(const struct extending *extending)
{
    for (size_t i = 0; i < extending->entries_count; i++) {
        const struct entry *entry = &extending->entries[i];
        struct qe_message *message = entry->message;

        if (message == NULL || extending->extensions[entry->extension].err.code != QE_OK) {
            continue;
        }
        const struct qe_sqs_span span = {
            .received_mono_ms = qe_sqs_span_received_mono_ms(message->tag),
            .margin_ms = qe_clock_mono_ms() - extending->asked_mono_ms,
        };

        message->visible_until_mono_ms = extending->asked_mono_ms + entry->seconds * 1000;
        message->tag = qe_sqs_span_pack(&span);
        if (!entry->is_behind) {
            qe_sqs_hold_extended(extending->queue,
                                 qe_sqs_receipt_number(extending->queue, message->receipt),
                                 message->visible_until_mono_ms);
        }
    }
}

int qe_sqs_extend(void *self, const struct qe_queue *queue, struct qe_extension *extensions,
                  size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_sqs *sqs = self;
    struct extending extending = {.queue = qe_sqs_queue_find(sqs, queue, deadline_mono_ms, err),
                                  .extensions = extensions};
    int rc = extending.queue == NULL ? -1 : 0;

    extending.asked_mono_ms = qe_clock_mono_ms();
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = collect(sqs, &extending, i);
        if (rc != 0) {
            (void)qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", queue->name);
        }
    }
    rc = rc == 0 ? ask(sqs, &extending, deadline_mono_ms, err) : rc;
    if (rc == 0) {
        take_extended(&extending);
    }
    for (size_t i = 0; rc != 0 && i < count; i++) {
        extensions[i].err = *err;
    }
    qe_free(extending.entries);
    return rc;
}
