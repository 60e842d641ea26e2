/* Messages that leave a queue other than by being handled: dead-lettered, or past retention. */
#include "backend/embedded/internal.h"

#define NOTES_MAX_BYTES ((size_t)16 << 10)

static int bind_move(sqlite3_stmt *statement, const struct qe_embedded_move *move,
                     const struct qe_strbuf *notes)
{
    const int64_t now_unix_ms = qe_clock_unix_ms();
    char moved_at[32];

    (void)qe_text_from_unix_ms(now_unix_ms, moved_at);
    int rc = sqlite3_bind_int64(statement, 1, move->message_id);
    rc |= sqlite3_bind_int64(statement, 2, move->queue->dead_letter_id);
    rc |= sqlite3_bind_int(statement, 3, move->queue->dead_letter_ordered ? 1 : 0);
    rc |= sqlite3_bind_int64(statement, 4, now_unix_ms);
    rc |= sqlite3_bind_text(statement, 5, move->reason, -1, SQLITE_STATIC);
    rc |= sqlite3_bind_text(statement, 6, move->queue_name, -1, SQLITE_STATIC);
    rc |= sqlite3_bind_text(statement, 7, moved_at, -1, SQLITE_TRANSIENT);
    rc |= sqlite3_bind_text(statement, 8, notes->length_bytes > 0 ? notes->data : "{}", -1,
                            SQLITE_STATIC);
    return rc;
}

int qe_embedded_move(struct qe_embedded *self, const struct qe_embedded_move *move,
                     struct qe_err *err)
{
    sqlite3_stmt *statement = qe_embedded_statement(self, QE_SQL_MOVE, err);
    struct qe_strbuf notes;
    struct qe_err ignored = {0};

    if (statement == NULL) {
        return -1;
    }
    qe_strbuf_init(&notes, NOTES_MAX_BYTES);
    if (qe_embedded_encode_attributes(move->notes, &notes, &ignored) != 0) {
        qe_strbuf_reset(&notes); /* better without them than not moved */
    }
    int rc = bind_move(statement, move, &notes);

    if (rc == SQLITE_OK) {
        rc = qe_embedded_step(self, statement, err) < 0 ? -1 : 0;
    } else {
        rc = qe_embedded_fail(self, SQLITE_NOMEM, "bind", err);
    }
    (void)sqlite3_clear_bindings(statement); /* they point into this frame */
    qe_strbuf_deinit(&notes);
    return rc;
}

int qe_embedded_expire(struct qe_embedded *self, const struct qe_embedded_queue *queue, int64_t max,
                       struct qe_err *err)
{
    const int64_t values[] = {queue->id, qe_clock_unix_ms() - queue->retention_ms, max};

    return qe_embedded_run(self, QE_SQL_EXPIRE, values, 3, err);
}
