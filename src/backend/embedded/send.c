#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/embedded/internal.h"

/* A transaction takes no more than this many bytes of bodies, or QE_EMBEDDED_BATCH_MAX messages. */
#define SEND_BYTES_MAX ((size_t)32 << 20)
#define SEND_ATTRIBUTES_MAX_BYTES ((size_t)1 << 20)

static int check_text(const char *what, const char *text, struct qe_err *err)
{
    if (text == NULL) {
        return 0;
    }
    const size_t length = strlen(text);
    if (length > 1024) {
        return qe_err_set(err, QE_ERR_LIMIT, "%s has %zu bytes: at most 1024", what, length);
    }
    return qe_text_is_utf8(text, length) ? 0
                                         : qe_err_set(err, QE_ERR_INVALID, "%s is not UTF-8", what);
}

static int check_outgoing(const struct qe_outgoing *message, struct qe_err *err)
{
    if (message->body_bytes > QE_MESSAGE_BODY_MAX_BYTES) {
        return qe_err_set(err, QE_ERR_LIMIT, "body has %zu bytes: at most 16 MiB",
                          message->body_bytes);
    }
    if (check_text("group", message->group, err) != 0 ||
        check_text("deduplication id", message->deduplication_id, err) != 0 ||
        check_text("correlation id", message->correlation_id, err) != 0) {
        return -1;
    }
    return check_text("reply-to", message->reply_to, err);
}

/* *in_out_id becomes the first message's id when the window still holds this deduplication id. */
static int find_duplicate(struct qe_embedded *self, const struct qe_embedded_queue *queue,
                          const struct qe_outgoing *message, int64_t now_unix_ms,
                          int64_t *in_out_id, struct qe_err *err)
{
    if (message->deduplication_id == NULL || message->deduplication_id[0] == '\0' ||
        queue->deduplication_window_ms == 0) {
        return 0; /* no window: what is remembered is from an earlier setting */
    }
    sqlite3_stmt *find = qe_embedded_statement(self, QE_SQL_DUPLICATE, err);
    if (find == NULL) {
        return -1;
    }
    int rc = sqlite3_bind_int64(find, 1, queue->id);
    rc |= sqlite3_bind_text(find, 2, message->deduplication_id, -1, SQLITE_STATIC);
    rc |= sqlite3_bind_int64(find, 3, now_unix_ms);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, SQLITE_NOMEM, "bind", err);
    }
    int row = qe_embedded_step(self, find, err);
    if (row == 1) {
        *in_out_id = sqlite3_column_int64(find, 0);
    }
    (void)sqlite3_reset(find);
    (void)sqlite3_clear_bindings(find);
    return row < 0 ? -1 : 0;
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static int insert(struct qe_embedded *self, const struct qe_embedded_queue *queue,
                  const struct qe_outgoing *message, const struct qe_strbuf *attributes,
                  int64_t now_unix_ms, struct qe_err *err)
{
    int64_t delay_ms = message->delay_ms < 0 ? queue->delay_ms : message->delay_ms;
    sqlite3_stmt *add = qe_embedded_statement(self, QE_SQL_INSERT, err);

    if (add == NULL) {
        return -1;
    }
    if (delay_ms > QE_EMBEDDED_DELAY_MAX_MS) {
        delay_ms = QE_EMBEDDED_DELAY_MAX_MS;
    }
    int rc = sqlite3_bind_int64(add, 1, queue->id);
    rc |= sqlite3_bind_int64(add, 2, now_unix_ms + delay_ms);
    rc |= sqlite3_bind_int64(add, 3, now_unix_ms);
    rc |= sqlite3_bind_int(add, 4, queue->ordered ? 1 : 0);
    rc |= sqlite3_bind_text(add, 5, or_empty(message->group), -1, SQLITE_STATIC);
    rc |= sqlite3_bind_text(add, 6, or_empty(message->deduplication_id), -1, SQLITE_STATIC);
    rc |= sqlite3_bind_text(add, 7, or_empty(message->correlation_id), -1, SQLITE_STATIC);
    rc |= sqlite3_bind_text(add, 8, or_empty(message->reply_to), -1, SQLITE_STATIC);
    if (attributes->length_bytes > 0) {
        rc |= sqlite3_bind_text(add, 9, attributes->data, (int)attributes->length_bytes,
                                SQLITE_STATIC);
    }
    rc |= sqlite3_bind_blob(add, 10, message->body_bytes == 0 ? "" : message->body,
                            (int)message->body_bytes, SQLITE_STATIC);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, SQLITE_NOMEM, "bind", err);
    }
    rc = qe_embedded_step(self, add, err) < 0 ? -1 : 0;
    (void)sqlite3_clear_bindings(add); /* they point into the caller's message */
    return rc;
}

/* What is wrong with this one message goes to its result; -1 is for what ends the transaction. */
static int send_one(struct qe_embedded *self, const struct qe_embedded_queue *queue,
                    struct qe_outgoing *message, struct qe_strbuf *attributes, struct qe_err *err)
{
    const int64_t now_unix_ms = qe_clock_unix_ms();
    int64_t id = 0;

    message->id[0] = '\0';
    message->result = (struct qe_err){0};
    qe_strbuf_reset(attributes);
    if (check_outgoing(message, &message->result) != 0 ||
        qe_embedded_encode_attributes(message->attributes, attributes, &message->result) != 0) {
        return 0;
    }
    if (find_duplicate(self, queue, message, now_unix_ms, &id, err) != 0) {
        return -1;
    }
    if (id == 0) {
        if (insert(self, queue, message, attributes, now_unix_ms, err) != 0) {
            return -1;
        }
        id = sqlite3_last_insert_rowid(self->db);
    }
    (void)snprintf(message->id, sizeof(message->id), "%" PRId64, id);
    return 0;
}

/* One transaction with as many of the messages as fit; *out_done is set in any case. */
static int send_some(struct qe_embedded *self, const char *queue_name, struct qe_outgoing *messages,
                     size_t count, size_t *out_done, struct qe_err *err)
{
    struct qe_embedded_queue queue;
    struct qe_strbuf attributes;
    size_t bytes = 0;
    size_t done = 0;
    int rc = -1;

    qe_strbuf_init(&attributes, SEND_ATTRIBUTES_MAX_BYTES);
    if (qe_embedded_begin_write(self, err) != 0 ||
        qe_embedded_find_queue(self, queue_name, &queue, err) != 0) {
        goto done;
    }
    for (done = 0; done < count && done < QE_EMBEDDED_BATCH_MAX && bytes < SEND_BYTES_MAX; done++) {
        if (send_one(self, &queue, &messages[done], &attributes, err) != 0) {
            goto done;
        }
        bytes += messages[done].body_bytes;
    }
    rc = qe_embedded_commit(self, err);
    if (rc == 0) {
        qe_hub_notify(self->hub, queue.id);
    }
done:
    *out_done = done;
    qe_strbuf_deinit(&attributes);
    return rc;
}

static void fail_all(struct qe_outgoing *messages, size_t count, const struct qe_err *why)
{
    for (size_t i = 0; i < count; i++) {
        messages[i].result = *why;
        messages[i].id[0] = '\0';
    }
}

int qe_embedded_send(void *handle, const struct qe_queue *to, struct qe_outgoing *messages,
                     size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_embedded *self = handle;
    int rc = qe_embedded_begin(self, QE_EMBEDDED_SEND, deadline_mono_ms, err);
    size_t sent = 0;

    while (rc == 0 && sent < count) {
        size_t done = 0;

        rc = send_some(self, to->name, &messages[sent], count - sent, &done, err);
        sent += rc == 0 ? done : 0;
    }
    if (rc != 0) {
        /* A transaction is all or nothing, so its whole part was not accepted. */
        fail_all(&messages[sent], count - sent, err);
    }
    rc = qe_embedded_end(self, rc, err);
    return sent > 0 ? 0 : rc;
}
