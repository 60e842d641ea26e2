/* What every call of the driver begins and ends with: deadline, interrupt, a live connection,
 * counting; and the meaning of SQLite's errors. */
#include <errno.h>

#include "backend/embedded/internal.h"

int qe_embedded_begin(struct qe_embedded *self, enum qe_embedded_operation operation,
                      int64_t deadline_mono_ms, struct qe_err *err)
{
    const int64_t now_mono_ms = qe_clock_mono_ms();
    const int64_t last_mono_ms = deadline_mono_ms > now_mono_ms ? deadline_mono_ms : now_mono_ms;

    self->call = (struct qe_embedded_call){
        .operation = operation,
        .started_mono_us = qe_clock_mono_us(),
        .deadline_mono_ms = deadline_mono_ms,
        .give_up_mono_ms = last_mono_ms > INT64_MAX - QE_EMBEDDED_GRACE_MS
                               ? INT64_MAX
                               : last_mono_ms + QE_EMBEDDED_GRACE_MS,
        .interruptible = operation == QE_EMBEDDED_LIST || operation == QE_EMBEDDED_SAMPLE ||
                         operation == QE_EMBEDDED_RECEIVE,
    };
    if (qe_embedded_check_interrupt(self, err) != 0) {
        return -1;
    }
    if (self->db == NULL) {
        return qe_embedded_open(self, err);
    }
    return qe_embedded_check_file(self, err);
}

int qe_embedded_end(struct qe_embedded *self, int rc, const struct qe_err *err)
{
    qe_embedded_rollback(self); /* nothing, after a commit */
    if (self->db != NULL && sqlite3_get_autocommit(self->db) != 0) {
        /* A statement left on a row would hold its read lock into the next call. */
        for (size_t i = 0; i < QE_SQL_COUNT; i++) {
            (void)sqlite3_reset(self->statements[i]);
        }
    }
    if (self->is_broken) {
        qe_embedded_close(self);
    }
    if (self->stats != NULL) {
        const int64_t spent_us = qe_clock_mono_us() - self->call.started_mono_us;

        qe_api_stats_count(self->stats, (size_t)self->call.operation, rc == 0 ? QE_OK : err->code,
                           (double)spent_us / 1e6);
    }
    return rc;
}

bool qe_embedded_must_stop(const struct qe_embedded *self)
{
    return (self->call.interruptible && atomic_load(&self->interrupted)) ||
           qe_clock_mono_ms() >= self->call.give_up_mono_ms;
}

int qe_embedded_check_interrupt(struct qe_embedded *self, struct qe_err *err)
{
    if (self->call.interruptible && atomic_exchange(&self->interrupted, false)) {
        return qe_err_set(err, QE_ERR_CANCELLED, "store %s: interrupted", self->label);
    }
    return 0;
}

static int fail_waiting(struct qe_embedded *self, const char *doing, struct qe_err *err)
{
    if (qe_embedded_check_interrupt(self, err) != 0) {
        return -1;
    }
    return qe_err_set(err, QE_ERR_TIMEOUT,
                      "store %s: cannot %s in time: another process or thread holds it locked: "
                      "end its transaction",
                      self->label, doing);
}

/* The errno behind an I/O error. SQLite keeps one per file, and keeps it longer than the one of the
 * connection, which later calls overwrite. */
static int last_errno(sqlite3 *db)
{
    sqlite3_file *journal = NULL;
    int reason = sqlite3_system_errno(db);

    if (reason == 0 &&
        sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &journal) == SQLITE_OK &&
        journal != NULL && journal->pMethods != NULL) {
        (void)journal->pMethods->xFileControl(journal, SQLITE_FCNTL_LAST_ERRNO, &reason);
    }
    if (reason == 0) {
        (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &reason);
    }
    return reason;
}

static int fail_io(struct qe_embedded *self, const char *doing, int reason, struct qe_err *err)
{
    self->is_broken = true;
    if (reason == ENOSPC || reason == EDQUOT || reason == EFBIG) {
        return qe_err_set(err, QE_ERR_LIMIT, "store %s: disk full: free some space", self->label);
    }
    if (reason != 0) {
        qe_err_set_errno(err, reason,
                         "store %s: cannot %s: the disk failed: look at the kernel "
                         "log",
                         self->label, doing);
    } else {
        qe_err_set(err, QE_ERR_IO, "store %s: cannot %s: %s: look at the kernel log", self->label,
                   doing, sqlite3_errmsg(self->db));
    }
    err->code = QE_ERR_IO;
    return -1;
}

/* A connection that met one of these is opened anew, so that a repaired cause is seen. */
static int fail_broken(struct qe_embedded *self, int primary, const char *doing, struct qe_err *err)
{
    self->is_broken = true;
    switch (primary) {
    case SQLITE_FULL:
        return qe_err_set(err, QE_ERR_LIMIT, "store %s: disk full: %s", self->label,
                          self->in_memory ? "a memory store ends at 1 GiB: purge a queue"
                                          : "free some space");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return qe_err_set(err, QE_ERR_AUTH,
                          "store %s: cannot %s: read-only: give this user write access to the "
                          "file and its directory",
                          self->label, doing);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return qe_err_set(err, QE_ERR_PROTOCOL,
                          "store %s: cannot %s: the file is corrupt or no SQLite file: restore it, "
                          "or move it away to start empty",
                          self->label, doing);
    default:
        return qe_err_set(err, QE_ERR_PROTOCOL, "store %s: cannot %s: %s", self->label, doing,
                          sqlite3_errmsg(self->db));
    }
}

int qe_embedded_fail(struct qe_embedded *self, int sqlite_rc, const char *doing, struct qe_err *err)
{
    const int primary = sqlite_rc & 0xff;

    switch (primary) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT:
        return fail_waiting(self, doing, err);
    case SQLITE_NOMEM:
        return qe_err_set(err, QE_ERR_NOMEM, "store %s: out of memory", self->label);
    case SQLITE_TOOBIG:
        return qe_err_set(err, QE_ERR_LIMIT, "store %s: cannot %s: too big", self->label, doing);
    case SQLITE_IOERR:
        if (sqlite_rc == SQLITE_IOERR_NOMEM) {
            return qe_err_set(err, QE_ERR_NOMEM, "store %s: out of memory", self->label);
        }
        return fail_io(self, doing, last_errno(self->db), err);
    case SQLITE_CANTOPEN:
        return fail_io(self, doing, sqlite3_system_errno(self->db), err);
    default:
        return fail_broken(self, primary, doing, err);
    }
}
