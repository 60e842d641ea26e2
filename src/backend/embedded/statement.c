/* The prepared statements: their texts, and running them. */
#include <string.h>

#include "backend/embedded/internal.h"
#include "backend/embedded/schema_text.h"
#include "model/dead_letter.h"

/* What a message is read as; codec.c names the columns. */
#define MESSAGE_COLUMNS                                                                            \
    "id, receives, sent_at, enqueued_at, visible_at, due_at, group_id, deduplication_id,"          \
    " correlation_id, reply_to, attributes, body"
#define BLOCKED "9000000000000000" /* QE_EMBEDDED_BLOCKED_MS */
#define IS_THIS_DELIVERY "id = ?1 AND queue_id = ?2 AND held = 1 AND receipt = ?3"
#define GIVEN_BACK                                                                                 \
    " held = 0, receipt = zeroblob(16), visible_at = CASE WHEN ?4 > 0 THEN ?4 ELSE due_at END"

const char *const qe_embedded_sql[QE_SQL_COUNT] = {
    [QE_SQL_BEGIN_READ] = "BEGIN",
    [QE_SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [QE_SQL_COMMIT] = "COMMIT",
    [QE_SQL_DATA_VERSION] = "PRAGMA data_version",
    [QE_SQL_QUEUE] =
        "SELECT q.id, q.visibility_timeout_ms, q.retention_ms, q.delay_ms,"
        " q.deduplication_window_ms, q.max_receives, q.ordered, d.id, d.ordered"
        " FROM queues q LEFT JOIN queues d ON d.name = q.dead_letter_queue WHERE q.name = ?1",
    [QE_SQL_LIST] = "SELECT name, dead_letter_queue FROM queues ORDER BY name",
    [QE_SQL_INSERT] =
        "INSERT INTO messages (queue_id, visible_at, due_at, enqueued_at, sent_at, in_order,"
        " group_id, deduplication_id, correlation_id, reply_to, attributes, body)"
        " VALUES (?1, ?2, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [QE_SQL_DUPLICATE] = "SELECT message_id FROM deduplication"
                         " WHERE queue_id = ?1 AND deduplication_id = ?2 AND expires_at > ?3",
    [QE_SQL_NEXT_DUE] = "SELECT visible_at FROM messages WHERE queue_id = ?1"
                        " AND visible_at < " BLOCKED " ORDER BY visible_at LIMIT 1",
    [QE_SQL_CANDIDATES] =
        "SELECT " MESSAGE_COLUMNS " FROM messages WHERE queue_id = ?1 AND visible_at <= ?2"
        " ORDER BY visible_at, held, id LIMIT ?3",
    [QE_SQL_DELIVER] = "UPDATE messages SET held = 1, receives = receives + 1, receipt = ?3,"
                       " visible_at = ?2 WHERE id = ?1",
    [QE_SQL_MOVE] =
        "UPDATE messages SET queue_id = ?2, in_order = ?3, visible_at = ?4, due_at = ?4,"
        " enqueued_at = ?4, held = 0, receives = 0, receipt = zeroblob(16), attributes ="
        " json_patch(json_set(coalesce(attributes, '{}'), '$.\"" QE_DEAD_LETTER_REASON "\"', ?5,"
        " '$.\"" QE_DEAD_LETTER_SOURCE "\"', ?6,"
        " '$.\"" QE_DEAD_LETTER_RECEIVES "\"', CAST(receives AS TEXT),"
        " '$.\"" QE_DEAD_LETTER_AT "\"', ?7), ?8) WHERE id = ?1",
    [QE_SQL_DELETE] = "DELETE FROM messages WHERE id = ?1",
    [QE_SQL_ACK] = "DELETE FROM messages WHERE " IS_THIS_DELIVERY,
    [QE_SQL_RELEASE] = "UPDATE messages SET " GIVEN_BACK " WHERE " IS_THIS_DELIVERY,
    [QE_SQL_UNRECEIVE] = "UPDATE messages SET receives = max(receives - 1, 0)," GIVEN_BACK
                         " WHERE " IS_THIS_DELIVERY,
    [QE_SQL_HELD] = "SELECT 1 FROM messages WHERE " IS_THIS_DELIVERY,
    [QE_SQL_EXTEND] = "UPDATE messages SET visible_at = ?4 WHERE " IS_THIS_DELIVERY,
    [QE_SQL_COUNT_DELIVERED] = "UPDATE queues SET delivered = delivered + ?2,"
                               " redelivered = redelivered + ?3 WHERE id = ?1",
    [QE_SQL_COUNT_ACKNOWLEDGED] =
        "UPDATE queues SET acknowledged = acknowledged + ?2 WHERE id = ?1",
    [QE_SQL_SAMPLE] =
        "SELECT id, visibility_timeout_ms, retention_ms, delay_ms, max_receives,"
        " dead_letter_queue IS NOT NULL, messages, bytes, published, delivered, acknowledged,"
        " redelivered FROM queues WHERE name = ?1",
    [QE_SQL_HIDDEN] = "SELECT count(*), coalesce(sum(held), 0) FROM messages"
                      " WHERE queue_id = ?1 AND visible_at > ?2 AND visible_at < " BLOCKED,
    [QE_SQL_OLDEST] = "SELECT enqueued_at FROM messages WHERE queue_id = ?1"
                      " ORDER BY enqueued_at LIMIT 1",
    [QE_SQL_CONSUMERS] = "SELECT count(*) FROM receivers WHERE queue_id = ?1 AND seen_at > ?2",
    [QE_SQL_TOUCH] = "INSERT OR REPLACE INTO receivers (queue_id, receiver_id, seen_at)"
                     " VALUES (?1, ?2, ?3)",
    [QE_SQL_UNTOUCH] = "DELETE FROM receivers WHERE receiver_id = ?1",
    [QE_SQL_EXPIRE] = "DELETE FROM messages WHERE id IN (SELECT id FROM messages"
                      " WHERE queue_id = ?1 AND enqueued_at <= ?2 ORDER BY enqueued_at LIMIT ?3)",
    [QE_SQL_EXPIRE_DUPLICATES] =
        "DELETE FROM deduplication WHERE (queue_id, deduplication_id) IN (SELECT queue_id,"
        " deduplication_id FROM deduplication WHERE expires_at <= ?1 LIMIT ?2)",
    [QE_SQL_EXPIRE_RECEIVERS] = "DELETE FROM receivers WHERE seen_at <= ?1",
    [QE_SQL_PROBE] = "PRAGMA user_version = " QE_EMBEDDED_SCHEMA_VERSION_TEXT,
    [QE_SQL_PEEK] = "SELECT " MESSAGE_COLUMNS " FROM messages WHERE queue_id = ?1"
                    " AND enqueued_at > ?2 ORDER BY visible_at, held, id LIMIT ?3",
    [QE_SQL_MAX_ID] = "SELECT coalesce(max(id), 0) FROM messages",
    [QE_SQL_NEWEST] = "SELECT enqueued_at FROM messages WHERE queue_id = ?1"
                      " ORDER BY enqueued_at DESC LIMIT 1",
    [QE_SQL_PURGE] = "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE queue_id = ?1"
                     " AND id <= ?2 AND enqueued_at <= ?3 ORDER BY enqueued_at LIMIT ?4)",
    /* Name, type, value. An object of exactly the texts "type" and "value" is a value with a type;
     * anything else an outbox may hold is its own text. */
    [QE_SQL_ATTRIBUTES] =
        "SELECT key, CASE is_typed WHEN 1 THEN json_extract(value, '$.type') ELSE '' END,"
        " CASE is_typed WHEN 1 THEN json_extract(value, '$.value') ELSE value END"
        " FROM (SELECT key, value, CASE type WHEN 'object' THEN"
        " coalesce(json_type(value, '$.type') = 'text' AND json_type(value, '$.value') = 'text'"
        " AND json_remove(value, '$.type', '$.value') = '{}', 0) ELSE 0 END AS is_typed"
        " FROM json_each(?1))",
    [QE_SQL_SUBSCRIBERS] = "SELECT name FROM queues WHERE substr(name, 1, length(?1)) = ?1",
    [QE_SQL_SUBSCRIBE] = "INSERT INTO queues (name, retention_ms) VALUES (?1, ?2)",
    /* Made before ?1 (hexadecimal seconds, as in their names), and nobody receives from them. */
    [QE_SQL_ABANDONED] = "SELECT id FROM queues WHERE substr(name, -18, 2) = ':~'"
                         " AND substr(name, -16, 8) < ?1"
                         " AND id NOT IN (SELECT queue_id FROM receivers) LIMIT 1",
    [QE_SQL_DROP_MESSAGES] = "DELETE FROM messages WHERE queue_id = ?1",
    [QE_SQL_DROP_DUPLICATES] = "DELETE FROM deduplication WHERE queue_id = ?1",
    [QE_SQL_DROP_RECEIVERS] = "DELETE FROM receivers WHERE queue_id = ?1",
    [QE_SQL_DROP_QUEUE] = "DELETE FROM queues WHERE id = ?1",
};

sqlite3_stmt *qe_embedded_statement(struct qe_embedded *self, enum qe_embedded_statement which,
                                    struct qe_err *err)
{
    sqlite3_stmt *statement = self->statements[which];

    if (statement != NULL) {
        (void)sqlite3_reset(statement); /* its result is the last step's, reported then */
        (void)sqlite3_clear_bindings(statement);
        return statement;
    }
    int rc = sqlite3_prepare_v3(self->db, qe_embedded_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                &self->statements[which], NULL);
    if (rc != SQLITE_OK) {
        qe_embedded_fail(self, rc, "prepare", err);
        return NULL;
    }
    return self->statements[which];
}

int qe_embedded_step(struct qe_embedded *self, sqlite3_stmt *statement, struct qe_err *err)
{
    int rc = sqlite3_step(statement);

    if (rc == SQLITE_ROW) {
        return 1;
    }
    if (rc != SQLITE_DONE) {
        qe_embedded_fail(self, rc, "use", err);
        (void)sqlite3_reset(statement);
        return -1;
    }
    /* A statement left at its end keeps no lock, but would keep its bindings' memory in mind. */
    (void)sqlite3_reset(statement);
    return 0;
}

static sqlite3_stmt *statement_with(struct qe_embedded *self, enum qe_embedded_statement which,
                                    const int64_t *values, size_t count, struct qe_err *err)
{
    sqlite3_stmt *statement = qe_embedded_statement(self, which, err);

    for (size_t i = 0; statement != NULL && i < count; i++) {
        int rc = sqlite3_bind_int64(statement, (int)i + 1, values[i]);

        if (rc != SQLITE_OK) {
            qe_embedded_fail(self, rc, "bind", err);
            return NULL;
        }
    }
    return statement;
}

int qe_embedded_run(struct qe_embedded *self, enum qe_embedded_statement which,
                    const int64_t *values, size_t count, struct qe_err *err)
{
    sqlite3_stmt *statement = statement_with(self, which, values, count, err);

    if (statement == NULL) {
        return -1;
    }
    return qe_embedded_step(self, statement, err) < 0 ? -1 : 0;
}

int qe_embedded_get(struct qe_embedded *self, enum qe_embedded_statement which,
                    const int64_t *values, size_t count, int64_t *in_out, struct qe_err *err)
{
    sqlite3_stmt *statement = statement_with(self, which, values, count, err);

    if (statement == NULL) {
        return -1;
    }
    int row = qe_embedded_step(self, statement, err);
    if (row == 1) {
        *in_out = sqlite3_column_int64(statement, 0);
        (void)sqlite3_reset(statement);
    }
    return row < 0 ? -1 : 0;
}

int qe_embedded_begin_read(struct qe_embedded *self, struct qe_err *err)
{
    return qe_embedded_run(self, QE_SQL_BEGIN_READ, NULL, 0, err);
}

/* SQLite sets this when the text is compiled, so it cannot be a prepared statement. */
static int set_lazy(struct qe_embedded *self, bool lazy, struct qe_err *err)
{
    if (self->is_lazy == lazy || self->in_memory ||
        self->settings->synchronous != QE_EMBEDDED_SYNC_FULL) {
        return 0;
    }
    int rc = sqlite3_exec(self->db, lazy ? "PRAGMA synchronous = 1" : "PRAGMA synchronous = 2",
                          NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, rc, "write", err);
    }
    self->is_lazy = lazy;
    return 0;
}

static int begin_write(struct qe_embedded *self, bool lazy, struct qe_err *err)
{
    const atomic_bool *stop = self->call.interruptible ? &self->interrupted : NULL;

    if (!qe_hub_take_turn(self->hub, self->call.give_up_mono_ms, stop)) {
        return qe_embedded_fail(self, SQLITE_BUSY, "write", err);
    }
    self->has_turn = true;
    if (set_lazy(self, lazy, err) != 0 ||
        qe_embedded_run(self, QE_SQL_BEGIN_WRITE, NULL, 0, err) != 0) {
        qe_embedded_rollback(self);
        return -1;
    }
    return 0;
}

int qe_embedded_begin_write(struct qe_embedded *self, struct qe_err *err)
{
    return begin_write(self, false, err);
}

int qe_embedded_begin_lazy_write(struct qe_embedded *self, struct qe_err *err)
{
    return begin_write(self, true, err);
}

int qe_embedded_commit(struct qe_embedded *self, struct qe_err *err)
{
    if (qe_embedded_run(self, QE_SQL_COMMIT, NULL, 0, err) != 0) {
        qe_embedded_rollback(self);
        return -1;
    }
    if (self->has_turn) {
        self->has_turn = false;
        qe_hub_give_turn(self->hub);
    }
    return 0;
}

void qe_embedded_rollback(struct qe_embedded *self)
{
    if (self->db != NULL && sqlite3_get_autocommit(self->db) == 0) {
        /* Statements that stand on a row would keep the transaction from ending cleanly. */
        for (size_t i = 0; i < QE_SQL_COUNT; i++) {
            (void)sqlite3_reset(self->statements[i]);
        }
        if (sqlite3_exec(self->db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK) {
            self->is_broken = true; /* closing the connection rolls back in any case */
        }
    }
    if (self->has_turn) {
        self->has_turn = false;
        qe_hub_give_turn(self->hub);
    }
}

int qe_embedded_find_queue(struct qe_embedded *self, const char *name,
                           struct qe_embedded_queue *out, struct qe_err *err)
{
    sqlite3_stmt *statement = qe_embedded_statement(self, QE_SQL_QUEUE, err);

    if (statement == NULL) {
        return -1;
    }
    int rc = sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, rc, "bind", err);
    }
    int row = qe_embedded_step(self, statement, err);
    if (row < 0) {
        return -1;
    }
    if (row == 0) {
        return qe_err_set(err, QE_ERR_NOT_FOUND,
                          "store %s: there is no queue \"%s\": add it under \"queues\"",
                          self->label, name);
    }
    *out = (struct qe_embedded_queue){
        .id = sqlite3_column_int64(statement, 0),
        .visibility_timeout_ms = sqlite3_column_int64(statement, 1),
        .retention_ms = sqlite3_column_int64(statement, 2),
        .delay_ms = sqlite3_column_int64(statement, 3),
        .deduplication_window_ms = sqlite3_column_int64(statement, 4),
        .max_receives = sqlite3_column_int64(statement, 5),
        .ordered = sqlite3_column_int(statement, 6) != 0,
        .dead_letter_id = sqlite3_column_int64(statement, 7),
        .dead_letter_ordered = sqlite3_column_int(statement, 8) != 0,
    };
    (void)sqlite3_reset(statement);
    return 0;
}
