/* Messages that leave a queue other than by being handled: dead-lettered, or past retention. */
#include "backend/embedded/internal.h"

int qe_embedded_move(struct qe_embedded *self, int64_t message_id,
                     const struct qe_embedded_queue *queue, const char *queue_name,
                     const char *reason, struct qe_err *err)
{
    const int64_t now_unix_ms = qe_clock_unix_ms();
    char moved_at[32];
    sqlite3_stmt *move = qe_embedded_statement(self, QE_SQL_MOVE, err);

    if (move == NULL) {
        return -1;
    }
    (void)qe_text_from_unix_ms(now_unix_ms, moved_at);
    int rc = sqlite3_bind_int64(move, 1, message_id);
    rc |= sqlite3_bind_int64(move, 2, queue->dead_letter_id);
    rc |= sqlite3_bind_int(move, 3, queue->dead_letter_ordered ? 1 : 0);
    rc |= sqlite3_bind_int64(move, 4, now_unix_ms);
    rc |= sqlite3_bind_text(move, 5, reason, -1, SQLITE_STATIC);
    rc |= sqlite3_bind_text(move, 6, queue_name, -1, SQLITE_STATIC);
    rc |= sqlite3_bind_text(move, 7, moved_at, -1, SQLITE_STATIC);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, SQLITE_NOMEM, "bind", err);
    }
    rc = qe_embedded_step(self, move, err) < 0 ? -1 : 0;
    (void)sqlite3_clear_bindings(move); /* they point into this frame */
    return rc;
}

int qe_embedded_expire(struct qe_embedded *self, const struct qe_embedded_queue *queue, int64_t max,
                       struct qe_err *err)
{
    const int64_t values[] = {queue->id, qe_clock_unix_ms() - queue->retention_ms, max};

    return qe_embedded_run(self, QE_SQL_EXPIRE, values, 3, err);
}
