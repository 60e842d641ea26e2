/* Opening and closing the SQLite connection, and noticing that the file is no longer there. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/embedded/internal.h"

/* Between two asks for a lock that another process holds. */
#define BUSY_SLEEP_MIN_US 500
#define BUSY_SLEEP_MAX_US 8000
/* SQLite looks at the clock after this many steps of its machine: well under a millisecond. */
#define PROGRESS_STEPS 10000
/* The log goes back to this size after a burst. */
#define JOURNAL_LIMIT_SQL "PRAGMA journal_size_limit = 67108864"

static int on_busy(void *context, int attempts)
{
    const struct qe_embedded *self = context;
    long sleep_us = BUSY_SLEEP_MIN_US * (attempts + 1L);

    if (qe_embedded_must_stop(self)) {
        return 0;
    }
    if (sleep_us > BUSY_SLEEP_MAX_US) {
        sleep_us = BUSY_SLEEP_MAX_US;
    }
    const struct timespec pause = {.tv_nsec = sleep_us * 1000};
    (void)nanosleep(&pause, NULL); /* a signal only makes the next ask come earlier */
    return 1;
}

static int on_progress(void *context)
{
    const struct qe_embedded *self = context;

    return qe_embedded_must_stop(self) ? 1 : 0;
}

static int run_text(struct qe_embedded *self, const char *sql, struct qe_err *err)
{
    int rc = sqlite3_exec(self->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : qe_embedded_fail(self, rc, "open", err);
}

/* Why SQLite could not open the file, better than its own words. */
static int fail_open(struct qe_embedded *self, int rc, struct qe_err *err)
{
    int reason = self->db == NULL ? 0 : sqlite3_system_errno(self->db);
    struct stat status;

    if ((rc & 0xff) == SQLITE_CANTOPEN && stat(self->location, &status) == 0 &&
        S_ISDIR(status.st_mode)) {
        return qe_err_set(err, QE_ERR_INVALID, "store %s: is a directory: name a file in it",
                          self->label);
    }
    if (reason == ENOENT || reason == ENOTDIR) {
        return qe_err_set(err, QE_ERR_NOT_FOUND,
                          "store %s: its directory does not exist: create it", self->label);
    }
    if (reason == EACCES || reason == EPERM || reason == EROFS) {
        return qe_err_set(err, QE_ERR_AUTH,
                          "store %s: not allowed: give this user read and write access to the "
                          "file and its directory",
                          self->label);
    }
    return qe_embedded_fail(self, rc, "open", err);
}

/* Sets the write-ahead log, which stays with the file. Two processes that both open a new file meet
 * here, and SQLite does not always ask the busy handler then. */
static int set_wal(struct qe_embedded *self, struct qe_err *err)
{
    static const char s_mode[] = "PRAGMA journal_mode = WAL";
    int rc = sqlite3_exec(self->db, s_mode, NULL, NULL, NULL);

    for (int attempt = 0; (rc & 0xff) == SQLITE_BUSY && on_busy(self, attempt) != 0; attempt++) {
        rc = sqlite3_exec(self->db, s_mode, NULL, NULL, NULL);
    }
    return rc == SQLITE_OK ? 0 : qe_embedded_fail(self, rc, "open", err);
}

static int configure_file(struct qe_embedded *self, struct qe_err *err)
{
    struct stat status;

    if (sqlite3_db_readonly(self->db, "main") != 0) {
        return qe_err_set(err, QE_ERR_AUTH,
                          "store %s: read-only: give this user write access to the file and its "
                          "directory",
                          self->label);
    }
    if (set_wal(self, err) != 0) {
        return -1;
    }
    if (run_text(self,
                 self->settings->synchronous == QE_EMBEDDED_SYNC_FULL
                     ? "PRAGMA synchronous = FULL; " JOURNAL_LIMIT_SQL
                     : "PRAGMA synchronous = NORMAL; " JOURNAL_LIMIT_SQL,
                 err) != 0) {
        return -1;
    }
    if (stat(self->location, &status) != 0) {
        return qe_err_set_errno(err, errno, "store %s", self->label);
    }
    self->file_device = status.st_dev;
    self->file_inode = status.st_ino;
    return 0;
}

int qe_embedded_open(struct qe_embedded *self, struct qe_err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                SQLITE_OPEN_EXRESCODE | (self->in_memory ? SQLITE_OPEN_URI : 0);
    int rc = sqlite3_open_v2(self->location, &self->db, flags, NULL);

    if (rc != SQLITE_OK) {
        fail_open(self, rc, err);
        goto failed;
    }
    self->is_lazy = false;
    (void)sqlite3_busy_handler(self->db, on_busy, self);
    sqlite3_progress_handler(self->db, PROGRESS_STEPS, on_progress, self);
    /* Debian's SQLite overwrites what it deletes; a queue's file would be written twice. */
    if (run_text(self, "PRAGMA secure_delete = OFF; PRAGMA temp_store = MEMORY", err) != 0) {
        goto failed;
    }
    if (!self->in_memory && configure_file(self, err) != 0) {
        goto failed;
    }
    if (qe_embedded_prepare_schema(self, err) != 0) {
        goto failed;
    }
    self->is_broken = false;
    self->data_version = -1;
    for (size_t i = 0; i < QE_EMBEDDED_TOUCHES; i++) {
        self->touches[i] = (struct qe_embedded_touch){0};
    }
    return 0;
failed:
    qe_embedded_close(self);
    return -1;
}

void qe_embedded_close(struct qe_embedded *self)
{
    if (self->db == NULL) {
        return;
    }
    qe_embedded_rollback(self);
    for (size_t i = 0; i < QE_SQL_COUNT; i++) {
        (void)sqlite3_finalize(self->statements[i]);
        self->statements[i] = NULL;
    }
    (void)sqlite3_close_v2(self->db);
    self->db = NULL;
}

int qe_embedded_check_file(struct qe_embedded *self, struct qe_err *err)
{
    struct stat status;

    if (self->in_memory) {
        return 0;
    }
    if (stat(self->location, &status) == 0 && status.st_dev == self->file_device &&
        status.st_ino == self->file_inode) {
        return 0;
    }
    self->is_broken = true;
    return qe_err_set(err, QE_ERR_NOT_FOUND,
                      "store %s: the file was removed or replaced while in use; what is there "
                      "now is opened with the next call",
                      self->label);
}
