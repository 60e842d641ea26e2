/* A copy of a message for its dead-letter queue, with what we know of why. */
#include "model/dead_letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/sqs/letter.h"
#include "backend/sqs/settle.h"
#include "util/text.h"

#define REASON_MAX_BYTES 512

struct copy {
    struct qe_sqs_settle *settle;
    struct qe_sqs_queue *dlq;
};

/* Text that the letter's attributes point at. */
struct notes {
    char reason[REASON_MAX_BYTES + 1];
    char receives[16];
    char at[32];
};

/* SQS refuses most control characters: better a reason with a hole than none. */
static void note_reason(const char *reason, struct notes *notes)
{
    const char *text = reason == NULL || reason[0] == '\0' ? "unknown" : reason;
    size_t bytes = qe_text_cut(text, strlen(text), REASON_MAX_BYTES);

    if (!qe_text_is_utf8(text, bytes)) {
        text = "not UTF-8";
        bytes = strlen(text);
    }
    memcpy(notes->reason, text, bytes);
    notes->reason[bytes] = '\0';
    for (size_t i = 0; i < bytes; i++) {
        char c = notes->reason[i];

        if (c > 0 && c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
            notes->reason[i] = '?';
        }
    }
}

static bool is_note(const char *name)
{
    return qe_text_starts_with(name, QE_DEAD_LETTER_PREFIX);
}

static void add_note(struct qe_sqs_letter *letter, const char *name, const char *value)
{
    struct qe_err ignored = {0};

    if (value[0] != '\0' && qe_sqs_letter_add(letter, name, "", value, &ignored) == 0 &&
        qe_sqs_letter_bytes(letter) > QE_SQS_MESSAGE_MAX_BYTES) {
        letter->attributes_count--;
    }
}

/* The message's own attributes never give way to ours: as many of ours as fit, the reason first. */
static void add_notes(struct qe_sqs_letter *letter, const struct copy *copy,
                      const struct notes *notes, const struct qe_attributes *more)
{
    add_note(letter, QE_DEAD_LETTER_REASON, notes->reason);
    add_note(letter, QE_DEAD_LETTER_SOURCE, copy->settle->queue->name);
    add_note(letter, QE_DEAD_LETTER_RECEIVES, notes->receives);
    add_note(letter, QE_DEAD_LETTER_AT, notes->at);
    for (size_t i = 0; more != NULL && i < more->count; i++) {
        add_note(letter, more->items[i].name, more->items[i].value);
    }
}

static int make_letter(const struct copy *copy, size_t item, struct notes *notes,
                       struct qe_sqs_letter *out, struct qe_err *err)
{
    const struct qe_settlement *settlement = &copy->settle->settlements[item];
    const struct qe_message *message = settlement->message;

    /* A FIFO queue takes the message's own id against a copy that is sent twice. */
    *out = (struct qe_sqs_letter){.body = message->body,
                                  .body_bytes = message->body_bytes,
                                  .group = message->group,
                                  .deduplication_id = copy->dlq->is_fifo ? message->id : "",
                                  .delay_seconds = -1};
    for (size_t i = 0; i < message->attributes.count; i++) {
        const struct qe_attribute *one = &message->attributes.items[i];

        if (!is_note(one->name) &&
            qe_sqs_letter_add(out, one->name, one->type, one->value, err) != 0) {
            return -1;
        }
    }
    if (message->correlation_id[0] != '\0' &&
        qe_sqs_letter_add(out, QE_SQS_CORRELATION_ID, "", message->correlation_id, err) != 0) {
        return -1;
    }
    if (message->reply_to[0] != '\0' &&
        qe_sqs_letter_add(out, QE_SQS_REPLY_TO, "", message->reply_to, err) != 0) {
        return -1;
    }
    note_reason(settlement->reason, notes);
    (void)snprintf(notes->receives, sizeof notes->receives, "%" PRIu32, message->receives);
    (void)qe_text_from_unix_ms(qe_clock_unix_ms(), notes->at);
    add_notes(out, copy, notes, settlement->notes);
    return 0;
}

/* --- for batch.c --- */

static void append(void *context, size_t item, struct qe_strbuf *out)
{
    struct qe_sqs_letter letter;
    struct notes notes;
    struct qe_err ignored = {0};

    if (make_letter(context, item, &notes, &letter, &ignored) == 0) {
        qe_sqs_letter_append(&letter, out);
    }
}

static size_t bytes_of(void *context, size_t item)
{
    struct qe_sqs_letter letter;
    struct notes notes;
    struct qe_err ignored = {0};

    return make_letter(context, item, &notes, &letter, &ignored) == 0 ? qe_sqs_letter_bytes(&letter)
                                                                      : 0;
}

static void fail(struct copy *copy, size_t item, const struct qe_err *err)
{
    struct qe_err why = *err;

    (void)qe_err_wrap(&why, "not moved to its dead-letter queue \"%s\"", copy->dlq->name);
    qe_sqs_settle_failed(copy->settle, item, &why);
}

static void done(void *context, size_t item, const struct qe_sqs_outcome *outcome)
{
    struct copy *copy = context;
    struct qe_settlement *settlement = &copy->settle->settlements[item];
    struct qe_err err = {0};
    char md5[QE_MD5_HEX_BYTES] = "";

    if (outcome->answer == NULL) {
        fail(copy, item, outcome->err);
        return;
    }
    const char *theirs = qe_json_text(qe_json_get(outcome->answer, "MD5OfMessageBody"));

    /* Of the attributes, one says a time that is another one by now. */
    if (theirs != NULL &&
        qe_sqs_md5_body(settlement->message->body, settlement->message->body_bytes, md5, &err) ==
            0 &&
        !qe_text_equal_nocase(md5, theirs)) {
        (void)qe_err_set(&err, QE_ERR_PROTOCOL, "what arrived there has another MD5");
        fail(copy, item, &err);
        return;
    }
    qe_sqs_ring_add(&copy->settle->sqs->work->copied, qe_sqs_settle_number(copy->settle, item));
    settlement->result = QE_SETTLED; /* so far: what cannot be deleted fails after all */
}

/* --- the queue --- */

static struct qe_sqs_queue *find_dlq(struct qe_sqs_settle *settle, struct qe_err *err)
{
    struct qe_sqs_queue *queue = settle->queue;
    struct qe_sqs_queue *dlq = NULL;
    struct qe_sqs_arn arn;
    struct qe_queue target = {0};

    if (qe_sqs_queue_learn(settle->sqs, queue, false, settle->deadline_mono_ms, err) != 0) {
        return NULL;
    }
    if (queue->facts_error.code != QE_OK) {
        *err = queue->facts_error;
        (void)qe_err_wrap(err, "its dead-letter queue is not known");
        return NULL;
    }
    if (!qe_sqs_arn_parse(queue->dead_letter_arn, &arn)) {
        (void)qe_err_set(err, QE_ERR_UNSUPPORTED,
                         "queue \"%s\" has no dead-letter queue: set its RedrivePolicy",
                         queue->name);
        return NULL;
    }
    if (qe_queue_init(&target, NULL, arn.name, QE_KIND_STANDARD, err) != 0) {
        return NULL;
    }
    char *account_id = target.account_id;

    target.account_id = arn.account_id; /* borrowed for the call */
    dlq = qe_sqs_queue_find(settle->sqs, &target, settle->deadline_mono_ms, err);
    target.account_id = account_id;
    qe_queue_deinit(&target);
    return dlq;
}

static bool is_copied(const struct qe_sqs_settle *settle, size_t item)
{
    return qe_sqs_ring_has(&settle->sqs->work->copied, qe_sqs_settle_number(settle, item));
}

/* What an earlier settlement has copied moves to the front; returns how many. */
static size_t sort_copied(const struct qe_sqs_settle *settle, size_t *items, size_t count)
{
    size_t copied = 0;

    for (size_t i = 0; i < count; i++) {
        size_t item = items[i];

        if (is_copied(settle, item)) {
            items[i] = items[copied];
            items[copied++] = item;
        }
    }
    return copied;
}

void qe_sqs_settle_copy(struct qe_sqs_settle *settle, size_t *in_out_items, size_t *in_out_count)
{
    struct copy copy = {.settle = settle};
    size_t *items = in_out_items;
    size_t count = *in_out_count;
    size_t copied = sort_copied(settle, items, count);
    struct qe_err err = {0};

    *in_out_count = copied;
    if (copied == count) {
        return;
    }
    copy.dlq = find_dlq(settle, &err);
    if (copy.dlq == NULL) {
        for (size_t i = copied; i < count; i++) {
            qe_sqs_settle_failed(settle, items[i], &err);
        }
        return;
    }
    const struct qe_sqs_batch batch = {
        .operation = QE_SQS_SEND_MESSAGE_BATCH,
        .queue = copy.dlq,
        .is_ordered = copy.dlq->is_fifo,
        .has_groups = settle->settlements[items[copied]].message->group[0] != '\0',
        .items = &items[copied],
        .items_count = count - copied,
        .deadline_mono_ms = settle->deadline_mono_ms,
        .context = &copy,
        .append = append,
        .bytes = bytes_of,
        .done = done,
    };

    qe_sqs_settle_run(settle, &batch);
    for (size_t i = copied; i < count; i++) {
        if (settle->settlements[items[i]].result == QE_SETTLED) {
            items[copied++] = items[i];
        }
    }
    *in_out_count = copied;
}
