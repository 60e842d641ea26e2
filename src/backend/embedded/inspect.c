/* Peek and purge: an operator's look, and an operator's broom. */
#include "backend/embedded/internal.h"

static int peek_some(struct qe_embedded *self, const struct qe_embedded_queue *queue, size_t max,
                     struct qe_message_list *found, struct qe_err *err)
{
    const int64_t now_unix_ms = qe_clock_unix_ms();
    sqlite3_stmt *peek = qe_embedded_statement(self, QE_SQL_PEEK, err);

    if (peek == NULL) {
        return -1;
    }
    int rc = sqlite3_bind_int64(peek, 1, queue->id);
    rc |= sqlite3_bind_int64(peek, 2, now_unix_ms - queue->retention_ms);
    rc |= sqlite3_bind_int64(peek, 3, max < INT32_MAX ? (int64_t)max : INT32_MAX);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, SQLITE_NOMEM, "bind", err);
    }
    int row = qe_embedded_step(self, peek, err);
    for (; row == 1; row = qe_embedded_step(self, peek, err)) {
        struct qe_message *message = qe_embedded_decode_message(self, peek, found, err);

        if (message == NULL) {
            return -1;
        }
        if (message->visible_unix_ms <= now_unix_ms) {
            message->visible_unix_ms = 0;
        }
    }
    return row < 0 ? -1 : 0;
}

int qe_embedded_peek(void *handle, const struct qe_queue *queue, size_t max,
                     int64_t deadline_mono_ms, struct qe_message_list *out, struct qe_err *err)
{
    struct qe_embedded *self = handle;
    struct qe_embedded_queue row;
    struct qe_message_list found = {0};
    int rc = qe_embedded_begin(self, QE_EMBEDDED_PEEK, deadline_mono_ms, err);

    if (rc == 0 && (qe_embedded_find_queue(self, queue->name, &row, err) != 0 ||
                    peek_some(self, &row, max, &found, err) != 0 ||
                    qe_embedded_reserve(out, found.count, err) != 0)) {
        rc = -1;
    }
    if (rc == 0) {
        qe_embedded_append(out, &found);
    }
    qe_message_list_deinit(&found);
    return qe_embedded_end(self, rc, err);
}

/* What was in the queue when the purge began. A message that is dead-lettered into it meanwhile has
 * an old id, and one that is sent meanwhile may have an old time, so both are asked. */
struct purge {
    int64_t queue_id;
    int64_t last_id;
    int64_t newest_unix_ms;
};

static int begin_purge(struct qe_embedded *self, const char *name, struct purge *purge,
                       struct qe_err *err)
{
    struct qe_embedded_queue queue;

    *purge = (struct purge){0};
    if (qe_embedded_find_queue(self, name, &queue, err) != 0) {
        return -1;
    }
    purge->queue_id = queue.id;
    if (qe_embedded_get(self, QE_SQL_NEWEST, &queue.id, 1, &purge->newest_unix_ms, err) != 0) {
        return -1;
    }
    return qe_embedded_get(self, QE_SQL_MAX_ID, NULL, 0, &purge->last_id, err);
}

/* One transaction; *out_count says how many messages went. */
static int purge_some(struct qe_embedded *self, const struct purge *purge, int64_t *out_count,
                      struct qe_err *err)
{
    const int64_t values[] = {purge->queue_id, purge->last_id, purge->newest_unix_ms,
                              QE_EMBEDDED_BATCH_MAX};

    if (qe_embedded_begin_write(self, err) != 0 ||
        qe_embedded_run(self, QE_SQL_PURGE, values, 4, err) != 0) {
        return -1;
    }
    *out_count = sqlite3_changes(self->db);
    return qe_embedded_commit(self, err);
}

int qe_embedded_purge(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                      uint64_t *out_count, struct qe_err *err)
{
    struct qe_embedded *self = handle;
    struct purge purge;
    int64_t purged = 0;
    int64_t some = 1;
    int rc = qe_embedded_begin(self, QE_EMBEDDED_PURGE, deadline_mono_ms, err);

    if (rc == 0) {
        rc = begin_purge(self, queue->name, &purge, err);
    }
    /* In parts, so that senders get their turn; what arrives meanwhile stays. */
    for (; rc == 0 && some > 0; purged += some) {
        some = 0;
        rc = purge_some(self, &purge, &some, err);
        some = rc == 0 ? some : 0;
    }
    if (rc == 0) {
        *out_count = (uint64_t)purged;
    } else if (purged > 0) {
        qe_err_wrap(err, "%lld messages purged, then", (long long)purged);
    }
    return qe_embedded_end(self, rc, err);
}
