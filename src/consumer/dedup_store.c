#include "consumer/dedup_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "util/clock.h"
#include "util/mem.h"

#define BUSY_TIMEOUT_MS 2000
#define APPLICATION_ID "1902470254" /* "qedn": says that the file is ours */
#define FORMAT "1"
/* Keys past their window that one call removes: more than it can add; and one that only looks. */
#define EXPIRE_PER_KEY 2
#define EXPIRE_PER_LOOK 1000
/* What a look writes and takes back: more than a lot of claims needs. No key of a message has this
 * name: those begin with their kind and a colon. */
#define PROBE_BYTES 65536
#define PROBE_KEY "probe"
#define IN_MEMORY ":memory:"
#define MEMORY_PAGES_MAX "65536" /* 256 MiB */

enum statement {
    SQL_CLAIM = 0,
    SQL_LOOK,
    SQL_KEEP,
    SQL_FORGET,
    SQL_RENEW,
    SQL_EXPIRE,
    SQL_COUNT
};

/* ?1 scope, ?2 key, ?3 token, ?4 expires_at, ?5 now or reply */
static const char *const s_sql[SQL_COUNT] = {
    [SQL_CLAIM] = "INSERT INTO keys (scope, key, token, handled, expires_at)"
                  " VALUES (?1, ?2, ?3, 0, ?4) ON CONFLICT (scope, key) DO UPDATE"
                  " SET token = ?3, handled = 0, expires_at = ?4, reply = NULL"
                  " WHERE expires_at <= ?5",
    [SQL_LOOK] = "SELECT handled, expires_at, reply FROM keys WHERE scope = ?1 AND key = ?2",
    [SQL_KEEP] = "INSERT INTO keys (scope, key, token, handled, expires_at, reply)"
                 " VALUES (?1, ?2, ?3, 1, ?4, ?5) ON CONFLICT (scope, key) DO UPDATE"
                 " SET token = ?3, handled = 1, expires_at = ?4, reply = ?5",
    [SQL_FORGET] = "DELETE FROM keys WHERE scope = ?1 AND key = ?2 AND token = ?3 AND handled = 0",
    [SQL_RENEW] = "UPDATE keys SET expires_at = ?4"
                  " WHERE scope = ?1 AND key = ?2 AND token = ?3 AND handled = 0",
    [SQL_EXPIRE] = "DELETE FROM keys WHERE id IN"
                   " (SELECT id FROM keys WHERE expires_at <= ?1 LIMIT ?2)",
};

static const char s_schema[] = "BEGIN IMMEDIATE;"
                               "CREATE TABLE IF NOT EXISTS keys ("
                               " id INTEGER PRIMARY KEY,"
                               " scope TEXT NOT NULL,"
                               " key TEXT NOT NULL,"
                               " token INTEGER NOT NULL,"
                               " handled INTEGER NOT NULL,"
                               " expires_at INTEGER NOT NULL,"
                               " reply BLOB,"
                               " UNIQUE (scope, key)) STRICT;"
                               "CREATE INDEX IF NOT EXISTS keys_by_expiry ON keys (expires_at);"
                               "PRAGMA application_id = " APPLICATION_ID ";"
                               "PRAGMA user_version = " FORMAT ";"
                               "COMMIT";

struct qe_dedup_store {
    char *path;  /* owned */
    char *scope; /* owned */
    int64_t window_ms;
    int64_t lease_ms;
    int64_t next_token;
    sqlite3 *db; /* NULL: not open */
    sqlite3_stmt *statements[SQL_COUNT];
};

struct qe_dedup_store *qe_dedup_store_new(const char *path, const char *scope, int64_t window_ms,
                                          struct qe_err *err)
{
    struct qe_dedup_store *store = qe_calloc(1, sizeof *store);
    struct qe_random random;

    if (store != NULL) {
        store->path = qe_strdup(path);
        store->scope = qe_strdup(scope);
        store->window_ms = window_ms;
        store->lease_ms = QE_DEDUP_LEASE_MS;
        qe_random_init(&random, 0);
        store->next_token = (int64_t)(qe_random_next(&random) >> 2);
    }
    if (store == NULL || store->path == NULL || store->scope == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "deduplication store");
        qe_dedup_store_destroy(store);
        return NULL;
    }
    return store;
}

void qe_dedup_store_set_lease(struct qe_dedup_store *store, int64_t lease_ms)
{
    store->lease_ms = lease_ms;
}

static void close_db(struct qe_dedup_store *store)
{
    for (size_t i = 0; i < SQL_COUNT; i++) {
        (void)sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    (void)sqlite3_close_v2(store->db);
    store->db = NULL;
}

void qe_dedup_store_destroy(struct qe_dedup_store *store)
{
    if (store == NULL) {
        return;
    }
    close_db(store);
    qe_free(store->path);
    qe_free(store->scope);
    qe_free(store);
}

/* --- errors --- */

static int fail(const struct qe_dedup_store *store, int rc, struct qe_err *err)
{
    const char *why = store->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(store->db);

    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return qe_err_set(err, QE_ERR_TIMEOUT,
                          "deduplication store %s: another process holds it locked", store->path);
    case SQLITE_NOMEM:
        return qe_err_set(err, QE_ERR_NOMEM, "deduplication store %s: out of memory", store->path);
    case SQLITE_FULL:
        if (strcmp(store->path, IN_MEMORY) == 0) {
            return qe_err_set(err, QE_ERR_LIMIT,
                              "deduplication store %s: 256 MiB are full: name a file, or remember "
                              "for a shorter window",
                              store->path);
        }
        return qe_err_set(err, QE_ERR_LIMIT, "deduplication store %s: disk full: free some space",
                          store->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return qe_err_set(err, QE_ERR_AUTH,
                          "deduplication store %s: not allowed: give this user write access to the "
                          "file and its directory",
                          store->path);
    case SQLITE_CANTOPEN:
        return qe_err_set(err, QE_ERR_IO,
                          "deduplication store %s: cannot be opened: is its directory there, and "
                          "may this user write to it?",
                          store->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return qe_err_set(err, QE_ERR_PROTOCOL,
                          "deduplication store %s: corrupt, or no SQLite file: move it away to "
                          "start empty",
                          store->path);
    default:
        return qe_err_set(err, QE_ERR_IO, "deduplication store %s: %s", store->path, why);
    }
}

static int run_text(struct qe_dedup_store *store, const char *sql, struct qe_err *err)
{
    int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : fail(store, rc, err);
}

/* --- opening --- */

static int read_number(struct qe_dedup_store *store, const char *sql, int64_t *out,
                       struct qe_err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? 0 : fail(store, rc, err);
}

/* A queue's own file, or anybody else's, is not written to. */
static int check_owner(struct qe_dedup_store *store, struct qe_err *err)
{
    int64_t owner = 0;
    int64_t format = 0;
    int64_t tables = 0;

    if (read_number(store, "PRAGMA application_id", &owner, err) != 0 ||
        read_number(store, "PRAGMA user_version", &format, err) != 0 ||
        read_number(store, "SELECT count(*) FROM sqlite_schema", &tables, err) != 0) {
        return -1;
    }
    if (tables > 0 && owner != strtoll(APPLICATION_ID, NULL, 10)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "deduplication store %s: the file is something else: name one of its own",
                          store->path);
    }
    if (format > strtoll(FORMAT, NULL, 10)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "deduplication store %s: is of a newer version of this program",
                          store->path);
    }
    return tables > 0 ? 0 : run_text(store, s_schema, err);
}

static int prepare(struct qe_dedup_store *store, struct qe_err *err)
{
    for (size_t i = 0; i < SQL_COUNT; i++) {
        int rc = sqlite3_prepare_v3(store->db, s_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &store->statements[i], NULL);

        if (rc != SQLITE_OK) {
            return fail(store, rc, err);
        }
    }
    return 0;
}

/* The keys, and replies, are what was in the messages: a new file is for its owner only, and SQLite
 * gives its log the same mode. What is wrong with the path SQLite says better. */
static void make_private(const struct qe_dedup_store *store)
{
    int fd = strcmp(store->path, IN_MEMORY) == 0
                 ? -1
                 : open(store->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0) {
        (void)close(fd);
    }
}

static int open_db(struct qe_dedup_store *store, struct qe_err *err)
{
    int rc;

    if (store->db != NULL) {
        return 0;
    }
    make_private(store);
    rc = sqlite3_open_v2(store->path, &store->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        (void)fail(store, rc, err);
        close_db(store);
        return -1;
    }
    (void)sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
    if (run_text(store, "PRAGMA secure_delete = OFF; PRAGMA journal_mode = WAL", err) != 0 ||
        run_text(store, "PRAGMA max_page_count = 4294967294", err) != 0 ||
        (strcmp(store->path, IN_MEMORY) == 0 &&
         run_text(store, "PRAGMA max_page_count = " MEMORY_PAGES_MAX, err) != 0) ||
        check_owner(store, err) != 0 || prepare(store, err) != 0) {
        close_db(store);
        return -1;
    }
    return 0;
}

/* --- one transaction --- */

/* What a claim says is gone when the machine dies with its consumer, so it need not reach the disk.
 */
static int begin(struct qe_dedup_store *store, bool durable, struct qe_err *err)
{
    if (open_db(store, err) != 0) {
        return -1;
    }
    return run_text(store,
                    durable ? "PRAGMA synchronous = FULL; BEGIN IMMEDIATE"
                            : "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
                    err);
}

static int end(struct qe_dedup_store *store, int rc, struct qe_err *err)
{
    if (rc == 0) {
        rc = run_text(store, "COMMIT", err);
    }
    if (rc != 0 && store->db != NULL) {
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
        if (strcmp(store->path, IN_MEMORY) != 0) {
            close_db(store); /* so that a mended cause is seen */
        }
    }
    return rc;
}

/* 1: a row, 0: done, -1: failed. */
static int step(struct qe_dedup_store *store, sqlite3_stmt *statement, struct qe_err *err)
{
    int rc = sqlite3_step(statement);

    if (rc == SQLITE_ROW) {
        return 1;
    }
    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE ? 0 : fail(store, rc, err);
}

static sqlite3_stmt *bind(struct qe_dedup_store *store, enum statement which,
                          const struct qe_dedup_claim *claim, int64_t expires_unix_ms)
{
    sqlite3_stmt *statement = store->statements[which];

    (void)sqlite3_reset(statement);
    (void)sqlite3_bind_text(statement, 1, store->scope, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, claim->key, -1, SQLITE_STATIC);
    if (which != SQL_LOOK) {
        (void)sqlite3_bind_int64(statement, 3, claim->token);
    }
    if (which != SQL_LOOK && which != SQL_FORGET) {
        (void)sqlite3_bind_int64(statement, 4, expires_unix_ms);
    }
    return statement;
}

/* Who holds the key that could not be claimed. */
static int look(struct qe_dedup_store *store, struct qe_dedup_claim *claim, int64_t now_unix_ms,
                struct qe_err *err)
{
    sqlite3_stmt *statement = bind(store, SQL_LOOK, claim, 0);
    int row = step(store, statement, err);

    if (row <= 0) {
        return row < 0 ? -1 : qe_err_set(err, QE_ERR_PROTOCOL, "a key is gone while it is read");
    }
    claim->state = sqlite3_column_int(statement, 0) != 0 ? QE_DEDUP_HANDLED : QE_DEDUP_BUSY;
    claim->busy_ms = sqlite3_column_int64(statement, 1) - now_unix_ms;
    if (claim->busy_ms > store->lease_ms) { /* the clock was set back */
        claim->busy_ms = store->lease_ms;
    }
    if (claim->state == QE_DEDUP_HANDLED && sqlite3_column_bytes(statement, 2) > 0) {
        (void)qe_strbuf_append(&claim->old_reply, sqlite3_column_blob(statement, 2),
                               (size_t)sqlite3_column_bytes(statement, 2));
    }
    (void)sqlite3_reset(statement);
    return qe_strbuf_error(&claim->old_reply, err);
}

static int claim_one(struct qe_dedup_store *store, struct qe_dedup_claim *claim,
                     int64_t now_unix_ms, struct qe_err *err)
{
    claim->token = store->next_token++;
    sqlite3_stmt *statement = bind(store, SQL_CLAIM, claim, now_unix_ms + store->lease_ms);

    (void)sqlite3_bind_int64(statement, 5, now_unix_ms);
    if (step(store, statement, err) != 0) {
        return -1;
    }
    claim->state = QE_DEDUP_CLAIMED;
    return sqlite3_changes(store->db) > 0 ? 0 : look(store, claim, now_unix_ms, err);
}

static int expire(struct qe_dedup_store *store, size_t count, int64_t now_unix_ms,
                  struct qe_err *err)
{
    sqlite3_stmt *statement = store->statements[SQL_EXPIRE];

    (void)sqlite3_bind_int64(statement, 1, now_unix_ms);
    (void)sqlite3_bind_int64(statement, 2, (int64_t)count);
    return step(store, statement, err);
}

int qe_dedup_store_claim(struct qe_dedup_store *store, struct qe_dedup_claim *claims, size_t count,
                         struct qe_err *err)
{
    int64_t now_unix_ms = qe_clock_unix_ms();
    int rc = begin(store, false, err);

    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = claim_one(store, &claims[i], now_unix_ms, err);
    }
    return end(store, rc, err);
}

static int expire_some(struct qe_dedup_store *store, int64_t now_unix_ms, struct qe_err *err)
{
    int rc = begin(store, false, err);

    if (rc == 0) {
        rc = expire(store, EXPIRE_PER_LOOK, now_unix_ms, err);
    }
    return end(store, rc, err);
}

/* Past its window from the beginning, so that the next removal takes it first. */
static int put_probe(struct qe_dedup_store *store, struct qe_err *err)
{
    const struct qe_dedup_claim probe = {.key = PROBE_KEY};
    int rc = begin(store, false, err);

    if (rc == 0) {
        sqlite3_stmt *statement = bind(store, SQL_KEEP, &probe, 0);

        (void)sqlite3_bind_zeroblob(statement, 5, PROBE_BYTES);
        rc = step(store, statement, err);
        (void)sqlite3_bind_null(statement, 5);
    }
    return end(store, rc, err);
}

int qe_dedup_store_look(struct qe_dedup_store *store, struct qe_err *err)
{
    int64_t now_unix_ms = qe_clock_unix_ms();
    int rc;

    /* A full one would else stay full: nothing is finished there. */
    if (expire_some(store, now_unix_ms, err) != 0 || put_probe(store, err) != 0 ||
        expire_some(store, now_unix_ms, err) != 0) {
        return -1;
    }
    /* The log's room is free again for what comes; another one that reads may keep it. */
    rc = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY && (rc & 0xff) != SQLITE_LOCKED) {
        return end(store, fail(store, rc, err), err);
    }
    return 0;
}

static int finish_one(struct qe_dedup_store *store, const struct qe_dedup_claim *claim,
                      int64_t now_unix_ms, struct qe_err *err)
{
    sqlite3_stmt *statement =
        bind(store, claim->handled ? SQL_KEEP : SQL_FORGET, claim, now_unix_ms + store->window_ms);

    if (claim->handled && claim->reply != NULL) {
        (void)sqlite3_bind_blob(statement, 5, claim->reply, (int)claim->reply_bytes, SQLITE_STATIC);
    }
    int rc = step(store, statement, err);

    if (claim->handled) {
        (void)sqlite3_bind_null(statement, 5); /* it points at what is the caller's */
    }
    return rc;
}

int qe_dedup_store_finish(struct qe_dedup_store *store, const struct qe_dedup_claim *claims,
                          size_t count, struct qe_err *err)
{
    int64_t now_unix_ms = qe_clock_unix_ms();
    int rc = begin(store, true, err);

    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = finish_one(store, &claims[i], now_unix_ms, err);
    }
    if (rc == 0) {
        rc = expire(store, count * EXPIRE_PER_KEY, now_unix_ms, err);
    }
    return end(store, rc, err);
}

int qe_dedup_store_renew(struct qe_dedup_store *store, const struct qe_dedup_claim *claims,
                         size_t count, struct qe_err *err)
{
    int64_t expires_unix_ms = qe_clock_unix_ms() + store->lease_ms;
    int rc = begin(store, false, err);

    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = step(store, bind(store, SQL_RENEW, &claims[i], expires_unix_ms), err);
    }
    return end(store, rc, err);
}
