/* What is sent of a message before it is settled: its letter, where the consumer has a dead-letter
 * queue of its own, and its reply. Sent first and settled after: a crash in between sends them
 * twice, and loses nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consumer/consumer_internal.h"
#include "model/dead_letter.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/text.h"

/* How much of what we know is put on a letter whose queue takes few attributes. */
enum notes {
    NOTES_ALL = 0,
    NOTES_REASON,
    NOTES_NONE
};

/* --- notes --- */

/* What XML 1.0 has no character for, and SQS refuses therefore: U+FFFE and U+FFFF. */
static bool is_noncharacter(const char *at, size_t bytes)
{
    return bytes == 3 && memcmp(at, "\xef\xbf", 2) == 0 && (unsigned char)at[2] >= 0xbe;
}

/* Brokers that take only text refuse most control characters, some others, and what is no UTF-8, as
 * a text that was cut may be: better a note with holes. Source: Amazon SQS API Reference,
 * SendMessage, the characters of a message. */
static void clean(char *text)
{
    char *to = text;

    for (size_t left = strlen(text); left > 0;) {
        size_t bytes = qe_text_char_bytes(text, left);
        size_t step = bytes == 0 ? 1 : bytes;
        bool is_control =
            (unsigned char)*text < ' ' && *text != '\t' && *text != '\n' && *text != '\r';

        if (bytes == 0 || is_control || is_noncharacter(text, bytes)) {
            *to++ = '?';
        } else {
            memmove(to, text, bytes);
            to += bytes;
        }
        text += step;
        left -= step;
    }
    *to = '\0';
}

static void error_text(const struct qe_handled *handled, char *out, size_t size_bytes)
{
    (void)snprintf(out, size_bytes, "%s%s%s", qe_verdict_reason(handled),
                   handled->detail[0] == '\0' ? "" : ": ", handled->detail);
    clean(out);
}

static void add(struct qe_attributes *notes, const char *name, const char *value)
{
    struct qe_err ignored = {0};

    if (value[0] != '\0' && qe_attributes_add(notes, name, value, &ignored) != 0) {
        return; /* a letter without it is better than none */
    }
}

void qe_forward_note(struct qe_consumer *consumer, struct qe_job *job)
{
    const char *id = job->message.id;
    const struct qe_memory_entry *first = qe_memory_find(&consumer->memory, id);
    int64_t seen_unix_ms = job->message.receives == 1 ? job->received_unix_ms : 0;
    char last[360];
    struct qe_err ignored = {0};

    last[0] = '\0';
    if (job->started_mono_ms != 0) { /* else no handler has said anything, this time */
        error_text(&job->handled, last, sizeof last);
    }
    if (first == NULL && job->message.receives == 1 &&
        qe_memory_add(&consumer->memory, id, last, job->received_unix_ms, &ignored) == 0) {
        first = qe_memory_find(&consumer->memory, id);
    }
    clean(job->verdict.text);
    /* Of what others had before us, the first error is not known. */
    const char *first_error = first != NULL ? first->error : seen_unix_ms != 0 ? last : "";

    add(&job->notes, QE_DEAD_LETTER_FIRST_ERROR, first_error);
    add(&job->notes, QE_DEAD_LETTER_LAST_ERROR, last);
    seen_unix_ms = first != NULL ? first->first_seen_unix_ms : seen_unix_ms;
    if (seen_unix_ms != 0) {
        char seen[32];

        (void)qe_text_from_unix_ms(seen_unix_ms, seen);
        add(&job->notes, QE_DEAD_LETTER_FIRST_SEEN, seen);
    }
}

/* --- letters --- */

/* The message's own attributes, without notes of an earlier time, and as many of ours as are
 * wanted and fit. */
static int letter_attributes(const struct qe_consumer *consumer, const struct qe_job *job,
                             enum notes notes, struct qe_attributes *out, struct qe_err *err)
{
    char at[32];

    for (size_t i = 0; i < job->message.attributes.count; i++) {
        const struct qe_attribute *one = &job->message.attributes.items[i];

        if (!qe_text_starts_with(one->name, QE_DEAD_LETTER_PREFIX) &&
            qe_attributes_add_typed(out, one->name, one->type, one->value, err) != 0) {
            return -1;
        }
    }
    if (notes == NOTES_NONE) {
        return 0;
    }
    add(out, QE_DEAD_LETTER_REASON, job->verdict.text);
    if (notes == NOTES_REASON) {
        return 0;
    }
    add(out, QE_DEAD_LETTER_SOURCE, consumer->queue.name);
    if (job->message.receives > 0) {
        char receives[16];

        (void)snprintf(receives, sizeof receives, "%" PRIu32, job->message.receives);
        add(out, QE_DEAD_LETTER_RECEIVES, receives);
    }
    (void)qe_text_from_unix_ms(qe_clock_unix_ms(), at);
    add(out, QE_DEAD_LETTER_AT, at);
    for (size_t i = 0; i < job->notes.count; i++) {
        add(out, job->notes.items[i].name, job->notes.items[i].value);
    }
    return 0;
}

static int send(struct qe_consumer *consumer, const struct qe_queue *to,
                struct qe_outgoing *outgoing, int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_driver *driver = consumer->options.driver;

    if (driver->send(consumer->handle, to, outgoing, 1, deadline_mono_ms, err) != 0) {
        return -1;
    }
    if (outgoing->result.code != QE_OK) {
        *err = outgoing->result;
        return -1;
    }
    return 0;
}

static int send_letter_with(struct qe_consumer *consumer, const struct qe_job *job,
                            enum notes notes, int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_message *message = &job->message;
    struct qe_attributes attributes = {0};
    /* An ordered queue takes the message's own id against a copy that is sent twice. */
    struct qe_outgoing letter = {.body = message->body,
                                 .body_bytes = message->body_bytes,
                                 .attributes = &attributes,
                                 .delay_ms = -1,
                                 .group = message->group,
                                 .deduplication_id =
                                     consumer->letters.kind == QE_KIND_FIFO ? message->id : "",
                                 .correlation_id = message->correlation_id,
                                 .reply_to = message->reply_to,
                                 .message_id = message->id};
    int rc = letter_attributes(consumer, job, notes, &attributes, err);

    if (rc == 0) {
        rc = send(consumer, &consumer->letters, &letter, deadline_mono_ms, err);
    }
    qe_attributes_deinit(&attributes);
    return rc;
}

/* A queue that takes few attributes gets the reason alone, or nothing of ours. */
static int send_letter(struct qe_consumer *consumer, const struct qe_job *job,
                       int64_t deadline_mono_ms, struct qe_err *err)
{
    int rc = -1;

    for (enum notes notes = NOTES_ALL; notes <= NOTES_NONE; notes++) {
        rc = send_letter_with(consumer, job, notes, deadline_mono_ms, err);
        if (rc == 0 || err->code != QE_ERR_LIMIT) {
            break;
        }
    }
    return rc == 0 ? 0
                   : qe_err_wrap(err, "not sent to the dead-letter queue \"%s\"",
                                 consumer->letters.name);
}

/* --- replies --- */

/* Who sends a message names the queue, and it may be any that the consumer's credentials reach. */
static bool may_reply_to(const struct qe_consumer_options *options, const char *name)
{
    bool may = options->reply_to_count == 0;

    for (size_t i = 0; !may && i < options->reply_to_count; i++) {
        may = qe_regex_matches(options->reply_to[i], name);
    }
    return may;
}

static int send_reply(struct qe_consumer *consumer, const struct qe_job *job,
                      int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct qe_message *message = &job->message;
    const char *correlation =
        message->correlation_id[0] != '\0' ? message->correlation_id : message->id;
    struct qe_outgoing reply = {.body = job->handled.reply.data,
                                .body_bytes = job->handled.reply.length_bytes,
                                .delay_ms = -1,
                                .group = message->group,
                                .correlation_id = correlation};
    struct qe_queue to = {0};
    struct qe_err why = {0};

    if (!may_reply_to(&consumer->options, message->reply_to)) {
        (void)qe_err_set(&why, QE_ERR_INVALID, "reply_to_queues does not name it");
    } else if (consumer->options.driver->send == NULL) {
        (void)qe_err_set(&why, QE_ERR_UNSUPPORTED, "driver %s cannot send",
                         consumer->options.driver->name);
    } else if (qe_queue_init(&to, consumer->queue.vhost, message->reply_to, consumer->queue.kind,
                             &why) == 0 &&
               send(consumer, &to, &reply, deadline_mono_ms, &why) == 0) {
        qe_consumer_log_recovery(consumer, &consumer->reply_trouble, "replies are sent again");
    }
    qe_queue_deinit(&to);
    if (why.code == QE_OK) {
        return 0;
    }
    (void)qe_err_wrap(&why, "message %s: reply to \"%.100s\"", message->id, message->reply_to);
    if (qe_err_is_hopeless(why.code)) {
        qe_consumer_log_trouble(consumer, &consumer->reply_trouble,
                                "a reply cannot be sent; its message is done all the same", &why);
        return 0;
    }
    *err = why;
    return -1;
}

int qe_forward(struct qe_consumer *consumer, struct qe_job *job, int64_t deadline_mono_ms,
               struct qe_err *err)
{
    if (job->letter_due) {
        if (send_letter(consumer, job, deadline_mono_ms, err) != 0) {
            return -1;
        }
        job->letter_due = false;
    }
    if (job->reply_due) {
        if (send_reply(consumer, job, deadline_mono_ms, err) != 0) {
            return -1;
        }
        job->reply_due = false;
    }
    return 0;
}
