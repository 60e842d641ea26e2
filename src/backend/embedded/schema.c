/* Brings a file to the schema this program knows, and the queues to what the settings say. */
#include <string.h>

#include "backend/embedded/internal.h"
#include "backend/embedded/schema_text.h"

#define DEAD_LETTER_RETENTION_MS (INT64_C(14) * 86400000)
/* Turning `ordered` on or off rewrites a whole backlog, in one transaction. Cut off at a caller's
 * deadline it would start again with every call, and the store would stay closed for good. */
#define REWRITE_MS 60000

/* For the few statements that run once per connection; NULL with *err. */
static sqlite3_stmt *prepare(struct qe_embedded *self, const char *sql, struct qe_err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(self->db, sql, -1, &statement, NULL);

    if (rc != SQLITE_OK) {
        qe_embedded_fail(self, rc, "open", err);
        return NULL;
    }
    return statement;
}

static int read_version(struct qe_embedded *self, int64_t *out, struct qe_err *err)
{
    sqlite3_stmt *statement = prepare(self, "PRAGMA user_version", err);

    if (statement == NULL) {
        return -1;
    }
    int row = qe_embedded_step(self, statement, err);
    if (row == 1) {
        *out = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return row < 0 ? -1 : 0;
}

static int check_version(const struct qe_embedded *self, int64_t version, struct qe_err *err)
{
    if (version >= 0 && version <= QE_EMBEDDED_SCHEMA_VERSION) {
        return 0;
    }
    return qe_err_set(err, QE_ERR_UNSUPPORTED,
                      "store %s: has schema version %lld and this program knows up to %d: use a "
                      "newer program, or another file",
                      self->label, (long long)version, QE_EMBEDDED_SCHEMA_VERSION);
}

static int run_text(struct qe_embedded *self, const char *sql, struct qe_err *err)
{
    int rc = sqlite3_exec(self->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : qe_embedded_fail(self, rc, "create the schema", err);
}

/* Inside a write transaction. */
static int create_schema(struct qe_embedded *self, struct qe_err *err)
{
    for (size_t i = 0; qe_embedded_schema_text[i] != NULL; i++) {
        if (run_text(self, qe_embedded_schema_text[i], err) != 0) {
            return -1;
        }
    }
    return run_text(self, "PRAGMA user_version = " QE_EMBEDDED_SCHEMA_VERSION_TEXT, err);
}

/* The statements here use some of ?1 to ?8 each; binding one that a statement lacks is no error. */
static int bind_queue(sqlite3_stmt *statement, const struct qe_embedded_queue_settings *queue)
{
    const char *dead_letter = queue->dead_letter.queue; /* NULL binds NULL */
    const int64_t max_receives = dead_letter == NULL ? 0 : (int64_t)queue->dead_letter.max_receives;
    const int results[] = {
        sqlite3_bind_text(statement, 1, queue->name, -1, SQLITE_STATIC),
        sqlite3_bind_int64(statement, 2, queue->visibility_timeout_ms),
        sqlite3_bind_int64(statement, 3, queue->retention_ms),
        sqlite3_bind_int64(statement, 4, queue->delay_ms),
        sqlite3_bind_int(statement, 5, queue->ordered ? 1 : 0),
        sqlite3_bind_int64(statement, 6, queue->deduplication_window_ms),
        sqlite3_bind_text(statement, 7, dead_letter, -1, SQLITE_STATIC),
        sqlite3_bind_int64(statement, 8, max_receives),
    };

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        if (results[i] != SQLITE_OK && (results[i] & 0xff) != SQLITE_RANGE) {
            return results[i];
        }
    }
    return SQLITE_OK;
}

/* Runs `sql` with the queue's settings bound; *out_row tells whether it gave a row. */
static int run_queue(struct qe_embedded *self, const char *sql,
                     const struct qe_embedded_queue_settings *queue, bool *out_row,
                     struct qe_err *err)
{
    sqlite3_stmt *statement = prepare(self, sql, err);

    if (statement == NULL) {
        return -1;
    }
    int rc = bind_queue(statement, queue);
    int row = rc == SQLITE_OK ? qe_embedded_step(self, statement, err)
                              : qe_embedded_fail(self, rc, "bind", err);
    (void)sqlite3_finalize(statement);
    if (row < 0) {
        return -1;
    }
    *out_row = row == 1;
    return 0;
}

#define SETTINGS_COLUMNS                                                                           \
    "name, visibility_timeout_ms, retention_ms, delay_ms, ordered, deduplication_window_ms,"       \
    " dead_letter_queue, max_receives"

static const char s_is_as_configured[] =
    "SELECT 1 FROM queues WHERE (" SETTINGS_COLUMNS ") IS (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    " AND (?7 IS NULL OR EXISTS (SELECT 1 FROM queues WHERE name = ?7))";

#define CHANGED_QUEUE "(SELECT id FROM queues WHERE name = ?1 AND ordered <> ?5)"

/* Changing `ordered` rewrites the queue's messages: all are free, and then within a group all but
 * the oldest wait. In two statements, since the index by group holds ordered messages only: without
 * it every message would look through all others. */
static const char *const s_configure[] = {
    "UPDATE messages SET in_order = ?5, visible_at = CASE visible_at WHEN 9000000000000000"
    " THEN due_at ELSE visible_at END WHERE queue_id = " CHANGED_QUEUE,
    "UPDATE messages SET visible_at = 9000000000000000 WHERE ?5 = 1"
    " AND queue_id = " CHANGED_QUEUE " AND id NOT IN (SELECT min(id) FROM messages"
    " WHERE in_order = 1 AND queue_id = " CHANGED_QUEUE " GROUP BY group_id)",
    "INSERT INTO queues (" SETTINGS_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    " ON CONFLICT (name) DO UPDATE SET visibility_timeout_ms = ?2, retention_ms = ?3,"
    " delay_ms = ?4, ordered = ?5, deduplication_window_ms = ?6, dead_letter_queue = ?7,"
    " max_receives = ?8",
};

static int configure_queue(struct qe_embedded *self, const struct qe_embedded_queue_settings *queue,
                           struct qe_err *err)
{
    bool row = false;

    for (size_t i = 0; i < sizeof(s_configure) / sizeof(s_configure[0]); i++) {
        if (run_queue(self, s_configure[i], queue, &row, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* A DLQ that is only named keeps its messages longer than other queues: they wait for a person. */
static int create_dead_letter_queues(struct qe_embedded *self, struct qe_err *err)
{
    static const char s_create[] =
        "INSERT INTO queues (name, retention_ms) SELECT DISTINCT dead_letter_queue, ?1 FROM queues"
        " WHERE dead_letter_queue IS NOT NULL AND dead_letter_queue NOT IN"
        " (SELECT name FROM queues)";
    sqlite3_stmt *statement = prepare(self, s_create, err);

    if (statement == NULL) {
        return -1;
    }
    (void)sqlite3_bind_int64(statement, 1, DEAD_LETTER_RETENTION_MS);
    int row = qe_embedded_step(self, statement, err);
    (void)sqlite3_finalize(statement);
    return row < 0 ? -1 : 0;
}

/* Without a write where nothing differs, so that many handles may open one store at once. */
static int are_queues_configured(struct qe_embedded *self, bool *out, struct qe_err *err)
{
    const struct qe_embedded_queue_settings *queues = self->settings->queues.items;
    bool same = true;

    for (size_t i = 0; same && i < self->settings->queues.count; i++) {
        if (run_queue(self, s_is_as_configured, &queues[i], &same, err) != 0) {
            return -1;
        }
    }
    *out = same;
    return 0;
}

/* Inside a write transaction. */
static int write_schema(struct qe_embedded *self, struct qe_err *err)
{
    const struct qe_embedded_queue_settings *queues = self->settings->queues.items;
    int64_t version = 0;

    if (read_version(self, &version, err) != 0 || check_version(self, version, err) != 0) {
        return -1;
    }
    if (version == 0 && create_schema(self, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < self->settings->queues.count; i++) {
        if (configure_queue(self, &queues[i], err) != 0) {
            return -1;
        }
    }
    if (create_dead_letter_queues(self, err) != 0) {
        return -1;
    }
    return qe_embedded_commit(self, err);
}

static int update_schema(struct qe_embedded *self, struct qe_err *err)
{
    const int64_t give_up_mono_ms = self->call.give_up_mono_ms;
    const int64_t rewritten_mono_ms = qe_clock_mono_ms() + REWRITE_MS;

    if (qe_embedded_begin_write(self, err) != 0) {
        return -1;
    }
    if (give_up_mono_ms < rewritten_mono_ms) {
        self->call.give_up_mono_ms = rewritten_mono_ms;
    }
    int rc = write_schema(self, err);
    self->call.give_up_mono_ms = give_up_mono_ms;
    return rc;
}

int qe_embedded_prepare_schema(struct qe_embedded *self, struct qe_err *err)
{
    int64_t version = 0;
    bool is_ready = false;

    if (read_version(self, &version, err) != 0 || check_version(self, version, err) != 0) {
        return -1;
    }
    if (version == QE_EMBEDDED_SCHEMA_VERSION && are_queues_configured(self, &is_ready, err) != 0) {
        return -1;
    }
    return is_ready ? 0 : update_schema(self, err);
}
