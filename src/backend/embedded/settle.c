/* Settling and extending: both act only on the delivery that the receipt belongs to. */
#include <string.h>

#include "backend/embedded/internal.h"

struct settle {
    struct qe_embedded *self;
    const char *queue_name;
    struct qe_embedded_queue queue;
    int64_t acknowledged;
    bool is_released; /* somebody may be waiting for what came back */
    bool is_moved;
};

/* Binds id, queue and receipt to ?1, ?2, ?3. False with err->code QE_OK: no receipt of ours. */
static bool bind_delivery(struct qe_embedded *self, sqlite3_stmt *statement, int64_t queue_id,
                          const char *receipt, struct qe_err *err)
{
    unsigned char secret[QE_EMBEDDED_RECEIPT_BYTES];
    int64_t id = 0;

    if (!qe_embedded_receipt_parse(receipt, &id, secret)) {
        return false;
    }
    int rc = sqlite3_bind_int64(statement, 1, id);
    rc |= sqlite3_bind_int64(statement, 2, queue_id);
    rc |= sqlite3_bind_blob(statement, 3, secret, sizeof(secret), SQLITE_TRANSIENT);
    if (rc != SQLITE_OK) {
        qe_embedded_fail(self, SQLITE_NOMEM, "bind", err);
        return false;
    }
    return true;
}

/* Runs a statement on one delivery. 1: it is still current, 0: stale, -1: *err. */
static int run_on_delivery(struct settle *settle, enum qe_embedded_statement which,
                           const char *receipt, int64_t until_unix_ms, struct qe_err *err)
{
    struct qe_embedded *self = settle->self;
    sqlite3_stmt *statement = qe_embedded_statement(self, which, err);

    if (statement == NULL) {
        return -1;
    }
    err->code = QE_OK;
    if (!bind_delivery(self, statement, settle->queue.id, receipt, err)) {
        return err->code == QE_OK ? 0 : -1;
    }
    if (sqlite3_bind_parameter_count(statement) > 3) {
        (void)sqlite3_bind_int64(statement, 4, until_unix_ms);
    }
    int row = qe_embedded_step(self, statement, err);
    (void)sqlite3_reset(statement);
    if (row < 0) {
        return -1;
    }
    return which == QE_SQL_HELD ? row : sqlite3_changes(self->db) > 0;
}

static int64_t later_unix_ms(int64_t by_ms)
{
    return qe_clock_unix_ms() +
           (by_ms < QE_EMBEDDED_DELAY_MAX_MS ? by_ms : QE_EMBEDDED_DELAY_MAX_MS);
}

static int dead_letter(struct settle *settle, struct qe_settlement *settlement, struct qe_err *err)
{
    const char *receipt = settlement->message->receipt;
    const char *reason = settlement->reason == NULL ? "" : settlement->reason;
    unsigned char secret[QE_EMBEDDED_RECEIPT_BYTES];
    int64_t id = 0;
    int current = run_on_delivery(settle, QE_SQL_HELD, receipt, 0, err);

    if (current <= 0 || !qe_embedded_receipt_parse(receipt, &id, secret)) {
        return current;
    }
    if (settle->queue.dead_letter_id == 0) {
        settlement->result = QE_SETTLE_FAILED;
        qe_err_set(&settlement->err, QE_ERR_UNSUPPORTED,
                   "queue \"%s\" has no dead-letter queue: configure \"dead_letter\" for it",
                   settle->queue_name);
        return 1;
    }
    if (!qe_text_is_utf8(reason, strlen(reason))) {
        reason = "not UTF-8";
    }
    const struct qe_embedded_move move = {.message_id = id,
                                          .queue = &settle->queue,
                                          .queue_name = settle->queue_name,
                                          .reason = reason,
                                          .notes = settlement->notes};

    settle->is_moved = true;
    return qe_embedded_move(settle->self, &move, err) == 0 ? 1 : -1;
}

/* 1: done (or failed on its own), 0: stale, -1: the transaction is over. */
static int settle_one(struct settle *settle, struct qe_settlement *settlement, struct qe_err *err)
{
    const char *receipt = settlement->message->receipt;
    int current = -1;

    settlement->result = QE_SETTLED;
    settlement->err = (struct qe_err){0};
    switch (settlement->verb) {
    case QE_SETTLE_ACK:
        current = run_on_delivery(settle, QE_SQL_ACK, receipt, 0, err);
        settle->acknowledged += current == 1 ? 1 : 0;
        break;
    case QE_SETTLE_RELEASE:
        current = run_on_delivery(
            settle, settlement->unhandled ? QE_SQL_UNRECEIVE : QE_SQL_RELEASE, receipt,
            settlement->delay_ms > 0 ? later_unix_ms(settlement->delay_ms) : 0, err);
        settle->is_released = settle->is_released || current == 1;
        break;
    case QE_SETTLE_DEAD_LETTER:
        current = dead_letter(settle, settlement, err);
        break;
    }
    if (current == 0) {
        settlement->result = QE_SETTLE_STALE;
        qe_err_set(&settlement->err, QE_ERR_NOT_FOUND,
                   "queue \"%s\": message %s: the receipt is stale: it was settled, removed or "
                   "delivered again",
                   settle->queue_name, settlement->message->id);
    }
    return current;
}

static void notify(const struct settle *settle)
{
    /* An acknowledged message may free the next of its group. */
    if (settle->is_released || (settle->queue.ordered && settle->acknowledged > 0) ||
        (settle->queue.ordered && settle->is_moved)) {
        qe_hub_notify(settle->self->hub, settle->queue.id);
    }
    if (settle->is_moved && settle->queue.dead_letter_id != 0) {
        qe_hub_notify(settle->self->hub, settle->queue.dead_letter_id);
    }
}

/* One transaction. */
static int settle_some(struct settle *settle, struct qe_settlement *settlements, size_t count,
                       struct qe_err *err)
{
    struct qe_embedded *self = settle->self;

    settle->acknowledged = 0;
    settle->is_released = false;
    settle->is_moved = false;
    if (qe_embedded_begin_write(self, err) != 0 ||
        qe_embedded_find_queue(self, settle->queue_name, &settle->queue, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (settle_one(settle, &settlements[i], err) < 0) {
            return -1;
        }
    }
    const int64_t counts[] = {settle->queue.id, settle->acknowledged};
    if (settle->acknowledged > 0 &&
        qe_embedded_run(self, QE_SQL_COUNT_ACKNOWLEDGED, counts, 2, err) != 0) {
        return -1;
    }
    if (qe_embedded_commit(self, err) != 0) {
        return -1;
    }
    notify(settle);
    return 0;
}

int qe_embedded_settle(void *handle, const struct qe_queue *queue,
                       struct qe_settlement *settlements, size_t count, int64_t deadline_mono_ms,
                       struct qe_err *err)
{
    struct qe_embedded *self = handle;
    struct settle settle = {.self = self, .queue_name = queue->name};
    int rc = qe_embedded_begin(self, QE_EMBEDDED_SETTLE, deadline_mono_ms, err);
    size_t settled = 0;

    while (rc == 0 && settled < count) {
        const size_t left = count - settled;
        const size_t some = left < QE_EMBEDDED_BATCH_MAX ? left : QE_EMBEDDED_BATCH_MAX;

        rc = settle_some(&settle, &settlements[settled], some, err);
        settled += rc == 0 ? some : 0;
    }
    for (size_t i = settled; rc != 0 && i < count; i++) {
        settlements[i].result = QE_SETTLE_FAILED;
        settlements[i].err = *err;
    }
    rc = qe_embedded_end(self, rc, err);
    return settled > 0 ? 0 : rc;
}

/* --- extending --- */

/* 0: done, or this one is stale. */
static int extend_one(struct settle *settle, struct qe_extension *extension, struct qe_err *err)
{
    const struct qe_message *message = extension->message;
    int current = run_on_delivery(settle, QE_SQL_EXTEND, message->receipt,
                                  later_unix_ms(extension->by_ms), err);

    extension->err = (struct qe_err){0};
    if (current == 0) {
        (void)qe_err_set(&extension->err, QE_ERR_NOT_FOUND,
                         "queue \"%s\": message %s: the receipt is stale: it was settled, removed "
                         "or delivered again",
                         settle->queue_name, message->id);
    }
    return current < 0 ? -1 : 0;
}

static int extend_some(struct settle *settle, struct qe_extension *extensions, size_t count,
                       struct qe_err *err)
{
    struct qe_embedded *self = settle->self;
    const int64_t now = qe_clock_mono_ms();

    if (qe_embedded_begin_write(self, err) != 0 ||
        qe_embedded_find_queue(self, settle->queue_name, &settle->queue, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t by_ms = extensions[i].by_ms < 0 ? 0 : extensions[i].by_ms;

        extensions[i].by_ms = by_ms < QE_EMBEDDED_DELAY_MAX_MS ? by_ms : QE_EMBEDDED_DELAY_MAX_MS;
        if (extend_one(settle, &extensions[i], err) != 0) {
            return -1;
        }
    }
    /* Who has its hands full receives nothing, and is there all the same. */
    const int64_t seen[] = {settle->queue.id, self->receiver_id, qe_clock_unix_ms()};

    if (qe_embedded_run(self, QE_SQL_TOUCH, seen, 3, err) != 0 ||
        qe_embedded_commit(self, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (extensions[i].err.code == QE_OK) {
            extensions[i].message->visible_until_mono_ms = now + extensions[i].by_ms;
        }
    }
    qe_hub_notify(self->hub, settle->queue.id); /* one may be due earlier now */
    return 0;
}

int qe_embedded_extend(void *handle, const struct qe_queue *queue, struct qe_extension *extensions,
                       size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_embedded *self = handle;
    struct settle settle = {.self = self, .queue_name = queue->name};
    int rc = qe_embedded_begin(self, QE_EMBEDDED_EXTEND, deadline_mono_ms, err);

    rc = rc == 0 ? extend_some(&settle, extensions, count, err) : rc;
    for (size_t i = 0; rc != 0 && i < count; i++) {
        extensions[i].err = *err;
    }
    return qe_embedded_end(self, rc, err);
}
