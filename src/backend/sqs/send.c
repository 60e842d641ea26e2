/* Sending. A call whose answer is lost is sent again, as every SDK does: on a standard queue the
 * messages may then be there twice. A FIFO queue notices by the deduplication id. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/sqs/batch.h"
#include "backend/sqs/letter.h"
#include "util/mem.h"

#define DEDUPLICATION_ID_BYTES 64

struct send {
    struct qe_sqs *sqs;
    struct qe_sqs_queue *queue;
    struct qe_outgoing *messages;
    size_t count;
    uint64_t own_id[2]; /* with the index behind: a deduplication id that nobody has, or 0 */
    bool any_failed;    /* of a FIFO queue: what follows in its group must not go */
};

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* `own_id` is where the letter's deduplication id lives when it is of our making. */
static int make_letter(const struct send *send, size_t item, char own_id[DEDUPLICATION_ID_BYTES],
                       struct qe_sqs_letter *out, struct qe_err *err)
{
    const struct qe_outgoing *message = &send->messages[item];
    const struct qe_attributes none = {0};
    const struct qe_attributes *attributes =
        message->attributes == NULL ? &none : message->attributes;

    *out = (struct qe_sqs_letter){.body = or_empty(message->body),
                                  .body_bytes = message->body_bytes,
                                  .group = or_empty(message->group),
                                  .deduplication_id = or_empty(message->deduplication_id),
                                  .delay_seconds = -1};
    for (size_t i = 0; i < attributes->count; i++) {
        const struct qe_attribute *one = &attributes->items[i];

        if (qe_sqs_letter_add(out, one->name, one->type, one->value, err) != 0) {
            return -1;
        }
    }
    if (or_empty(message->correlation_id)[0] != '\0' &&
        qe_sqs_letter_add(out, QE_SQS_CORRELATION_ID, "", message->correlation_id, err) != 0) {
        return -1;
    }
    if (or_empty(message->reply_to)[0] != '\0' &&
        qe_sqs_letter_add(out, QE_SQS_REPLY_TO, "", message->reply_to, err) != 0) {
        return -1;
    }
    if (message->delay_ms >= 0 && !send->queue->is_fifo) {
        out->delay_seconds = (message->delay_ms + 999) / 1000; /* never earlier than asked */
    }
    if (out->deduplication_id[0] == '\0' && send->own_id[0] != 0) {
        (void)snprintf(own_id, DEDUPLICATION_ID_BYTES, "%016" PRIx64 "%016" PRIx64 "-%zu",
                       send->own_id[0], send->own_id[1], item);
        out->deduplication_id = own_id;
    }
    return 0;
}

/* What depends on the kind of queue. */
static int check_kind(const struct send *send, const struct qe_outgoing *message,
                      const struct qe_sqs_letter *letter, struct qe_err *err)
{
    const struct qe_sqs_queue *queue = send->queue;

    if (!queue->is_fifo && letter->deduplication_id[0] != '\0') {
        return qe_err_set(err, QE_ERR_INVALID,
                          "a deduplication id: only FIFO queues take one, and this is a standard "
                          "queue");
    }
    if (letter->delay_seconds > QE_SQS_DELAY_MAX_SECONDS) {
        return qe_err_set(err, QE_ERR_INVALID, "a delay of %lld s: SQS takes at most %d s",
                          (long long)letter->delay_seconds, QE_SQS_DELAY_MAX_SECONDS);
    }
    if (queue->is_fifo && letter->group[0] == '\0') {
        return qe_err_set(err, QE_ERR_INVALID, "a message of a FIFO queue needs a group");
    }
    if (queue->is_fifo && message->delay_ms >= 0 &&
        (queue->facts_error.code != QE_OK || message->delay_ms != queue->delay_ms)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "a FIFO queue delays all its messages alike: set DelaySeconds of the "
                          "queue, and send without a delay");
    }
    return 0;
}

static int check(const struct send *send, size_t item, struct qe_err *err)
{
    char own_id[DEDUPLICATION_ID_BYTES] = "";
    struct qe_sqs_letter letter;

    if (make_letter(send, item, own_id, &letter, err) != 0 ||
        check_kind(send, &send->messages[item], &letter, err) != 0) {
        return -1;
    }
    return qe_sqs_letter_check(&letter, err);
}

/* --- for batch.c: checked messages only --- */

static void append(void *context, size_t item, struct qe_strbuf *out)
{
    char own_id[DEDUPLICATION_ID_BYTES] = "";
    struct qe_sqs_letter letter;
    struct qe_err ignored = {0};

    if (make_letter(context, item, own_id, &letter, &ignored) == 0) {
        qe_sqs_letter_append(&letter, out);
    }
}

static size_t bytes(void *context, size_t item)
{
    char own_id[DEDUPLICATION_ID_BYTES] = "";
    struct qe_sqs_letter letter;
    struct qe_err ignored = {0};

    return make_letter(context, item, own_id, &letter, &ignored) == 0 ? qe_sqs_letter_bytes(&letter)
                                                                      : 0;
}

/* Nothing may overtake a message of its group that was not sent. */
static bool may_go(void *context, size_t item, struct qe_err *why)
{
    const struct send *send = context;
    const char *group = or_empty(send->messages[item].group);

    for (size_t i = 0; i < item && send->any_failed; i++) {
        const struct qe_outgoing *earlier = &send->messages[i];

        if (earlier->result.code != QE_OK && strcmp(or_empty(earlier->group), group) == 0) {
            (void)qe_err_set(why, earlier->result.code,
                             "not sent, since an earlier message of its group was not");
            return false;
        }
    }
    return true;
}

/* What failed goes again unless a later message of its group is there by now. */
static bool may_retry(void *context, size_t item)
{
    const struct send *send = context;
    const char *group = or_empty(send->messages[item].group);

    for (size_t i = item + 1; i < send->count; i++) {
        if (send->messages[i].id[0] != '\0' &&
            strcmp(or_empty(send->messages[i].group), group) == 0) {
            return false;
        }
    }
    return true;
}

static void done(void *context, size_t item, const struct qe_sqs_outcome *outcome)
{
    struct send *send = context;
    struct qe_outgoing *message = &send->messages[item];
    char own_id[DEDUPLICATION_ID_BYTES] = "";
    struct qe_sqs_letter letter;

    if (outcome->answer == NULL) {
        message->result = *outcome->err;
        (void)qe_err_wrap(&message->result, "queue \"%s\"", send->queue->name);
        send->any_failed = send->queue->is_fifo;
        return;
    }
    const char *id = qe_json_text(qe_json_get(outcome->answer, "MessageId"));

    (void)snprintf(message->id, sizeof message->id, "%s", or_empty(id));
    message->result = (struct qe_err){0};
    if (make_letter(send, item, own_id, &letter, &message->result) != 0 ||
        qe_sqs_letter_verify(&letter, outcome->answer, &message->result) != 0) {
        (void)qe_err_wrap(&message->result, "queue \"%s\": message %s", send->queue->name,
                          message->id);
    }
}

/* --- the slot --- */

static bool wants_fact(const struct qe_outgoing *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (or_empty(messages[i].deduplication_id)[0] == '\0' || messages[i].delay_ms >= 0) {
            return true;
        }
    }
    return false;
}

/* Whether a deduplication id of our own is needed is the queue's to say. */
static int prepare_fifo(struct send *send, size_t count, int64_t deadline_mono_ms,
                        struct qe_err *err)
{
    if (!send->queue->is_fifo || !wants_fact(send->messages, count)) {
        return 0;
    }
    if (qe_sqs_queue_learn(send->sqs, send->queue, false, deadline_mono_ms, err) != 0) {
        return -1;
    }
    if (send->queue->facts_error.code != QE_OK) {
        *err = send->queue->facts_error;
        return qe_err_wrap(err,
                           "queue \"%s\": its attributes say whether messages need a deduplication "
                           "id: allow sqs:GetQueueAttributes, or send with an id and without a "
                           "delay",
                           send->queue->name);
    }
    if (!send->queue->content_deduplication &&
        qe_random_secret(send->own_id, sizeof send->own_id) != 0) {
        return qe_err_set(err, QE_ERR_IO, "the kernel gives no random bytes");
    }
    send->own_id[0] |= send->queue->content_deduplication ? 0 : 1; /* 0 would say: none */
    return 0;
}

static void fail_all(struct qe_outgoing *messages, size_t count, const struct qe_err *err)
{
    for (size_t i = 0; i < count; i++) {
        messages[i].result = *err;
    }
}

/* The indexes of what can be sent; the others have their result. */
static size_t sort_out(struct send *send, size_t count, size_t *out_items)
{
    size_t items_count = 0;

    for (size_t i = 0; i < count; i++) {
        struct qe_err why = {0};

        send->messages[i].result = (struct qe_err){0};
        send->messages[i].id[0] = '\0';
        if (check(send, i, &why) == 0) {
            out_items[items_count++] = i;
        } else {
            (void)qe_err_wrap(&why, "queue \"%s\"", send->queue->name);
            send->messages[i].result = why;
            send->any_failed = send->queue->is_fifo;
        }
    }
    return items_count;
}

static bool has_groups(const struct send *send)
{
    for (size_t i = 0; i < send->count; i++) {
        if (or_empty(send->messages[i].group)[0] != '\0') {
            return true;
        }
    }
    return false;
}

static int send_all(struct send *send, size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    size_t *items = qe_calloc(count, sizeof *items);

    if (items == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "%zu messages", count);
        fail_all(send->messages, count, err);
        return -1;
    }
    const struct qe_sqs_batch batch = {
        .operation = QE_SQS_SEND_MESSAGE_BATCH,
        .queue = send->queue,
        .is_ordered = send->queue->is_fifo,
        .has_groups = has_groups(send),
        .items = items,
        .items_count = sort_out(send, count, items),
        .deadline_mono_ms = deadline_mono_ms,
        .context = send,
        .append = append,
        .bytes = bytes,
        .may_go = send->queue->is_fifo ? may_go : NULL,
        .may_retry = send->queue->is_fifo ? may_retry : NULL,
        .done = done,
    };
    int rc = qe_sqs_batch_run(send->sqs, &batch, err);

    qe_free(items);
    return rc;
}

int qe_sqs_send(void *self, const struct qe_queue *to, struct qe_outgoing *messages, size_t count,
                int64_t deadline_mono_ms, struct qe_err *err)
{
    struct send send = {.sqs = self, .messages = messages, .count = count};

    if (count == 0) {
        return 0;
    }
    send.queue = qe_sqs_queue_find(self, to, deadline_mono_ms, err);
    if (send.queue == NULL || prepare_fifo(&send, count, deadline_mono_ms, err) != 0) {
        fail_all(messages, count, err);
        return -1;
    }
    if (send_all(&send, count, deadline_mono_ms, err) != 0) {
        (void)qe_err_wrap(err, "queue \"%s\"", to->name);
        if (err->code == QE_ERR_NOT_FOUND) {
            qe_sqs_queue_forget(self, send.queue);
        }
        return -1;
    }
    return 0;
}
