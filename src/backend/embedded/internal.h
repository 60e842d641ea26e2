/* Inside the embedded driver: one handle, its connection, and what its files share. Everything here
 * runs on the handle's own thread. */
#ifndef QE_BACKEND_EMBEDDED_INTERNAL_H
#define QE_BACKEND_EMBEDDED_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sqlite3.h>

#include "backend/backend.h"
#include "backend/embedded/embedded.h"
#include "backend/embedded/hub.h"
#include "util/clock.h"
#include "util/err.h"
#include "util/mem.h"
#include "util/strbuf.h"
#include "util/text.h"

#define QE_EMBEDDED_QUEUES_MAX 10000
/* visible_at of a message that waits behind another of its ordered group. */
#define QE_EMBEDDED_BLOCKED_MS INT64_C(9000000000000000)
/* Any delay or extension is cut to this, so that no sum comes near QE_EMBEDDED_BLOCKED_MS. */
#define QE_EMBEDDED_DELAY_MAX_MS (INT64_C(3650) * 86400000)
#define QE_EMBEDDED_RECEIPT_BYTES 16
/* A store call may overrun its deadline by this much to finish what it began; the contract allows
 * 100 ms. */
#define QE_EMBEDDED_GRACE_MS 50
/* Rows that one write transaction touches at most, so that nobody waits long for the next one. */
#define QE_EMBEDDED_BATCH_MAX 1000

/* Names in `s_operations`, for qe_api_stats. */
enum qe_embedded_operation {
    QE_EMBEDDED_LIST = 0,
    QE_EMBEDDED_SAMPLE,
    QE_EMBEDDED_SEND,
    QE_EMBEDDED_RECEIVE,
    QE_EMBEDDED_SETTLE,
    QE_EMBEDDED_EXTEND,
    QE_EMBEDDED_PEEK,
    QE_EMBEDDED_PURGE,
    QE_EMBEDDED_OPERATION_COUNT
};

/* Prepared once per connection; the texts are in statement.c. */
enum qe_embedded_statement {
    QE_SQL_BEGIN_READ = 0,
    QE_SQL_BEGIN_WRITE,
    QE_SQL_COMMIT,
    QE_SQL_DATA_VERSION,
    QE_SQL_QUEUE,
    QE_SQL_LIST,
    QE_SQL_INSERT,
    QE_SQL_DUPLICATE,
    QE_SQL_NEXT_DUE,
    QE_SQL_CANDIDATES,
    QE_SQL_DELIVER,
    QE_SQL_MOVE,
    QE_SQL_DELETE,
    QE_SQL_ACK,
    QE_SQL_RELEASE,
    QE_SQL_UNRECEIVE, /* RELEASE, and the delivery does not count as a receive */
    QE_SQL_HELD,
    QE_SQL_EXTEND,
    QE_SQL_COUNT_DELIVERED,
    QE_SQL_COUNT_ACKNOWLEDGED,
    QE_SQL_SAMPLE,
    QE_SQL_HIDDEN,
    QE_SQL_OLDEST,
    QE_SQL_CONSUMERS,
    QE_SQL_TOUCH,
    QE_SQL_UNTOUCH,
    QE_SQL_EXPIRE,
    QE_SQL_EXPIRE_DUPLICATES,
    QE_SQL_EXPIRE_RECEIVERS,
    QE_SQL_PROBE, /* changes nothing, and is written all the same */
    QE_SQL_PEEK,
    QE_SQL_MAX_ID,
    QE_SQL_NEWEST,
    QE_SQL_PURGE,
    QE_SQL_ATTRIBUTES,
    QE_SQL_SUBSCRIBERS,
    QE_SQL_SUBSCRIBE,
    QE_SQL_ABANDONED,
    QE_SQL_DROP_MESSAGES,
    QE_SQL_DROP_DUPLICATES,
    QE_SQL_DROP_RECEIVERS,
    QE_SQL_DROP_QUEUE,
    QE_SQL_COUNT
};
extern const char *const qe_embedded_sql[QE_SQL_COUNT];

/* The call that runs now. */
struct qe_embedded_call {
    enum qe_embedded_operation operation;
    int64_t started_mono_us;
    int64_t deadline_mono_ms; /* the caller's */
    int64_t give_up_mono_ms;  /* when even finished work is abandoned */
    bool interruptible;
};

/* When this handle last told the store that it receives from a queue. */
#define QE_EMBEDDED_TOUCHES 8
struct qe_embedded_touch {
    int64_t queue_id;
    int64_t mono_ms;
};

struct qe_embedded {
    const struct qe_embedded_settings *settings; /* borrowed */
    struct qe_api_stats *stats;                  /* borrowed; may be NULL */
    char *label;                                 /* owned; the file, for messages */
    char *location;                              /* owned; what SQLite opens */
    bool in_memory;
    struct qe_hub *hub; /* acquired */
    sqlite3 *db;        /* NULL: to be opened by the next call */
    sqlite3_stmt *statements[QE_SQL_COUNT];
    dev_t file_device; /* of the file behind db */
    ino_t file_inode;
    bool has_turn;
    bool is_lazy;   /* the connection commits without waiting for the disk just now */
    bool is_broken; /* the connection is closed when the call ends, so that the next one opens anew
                     */
    int64_t data_version;
    int64_t receiver_id; /* random; names this handle in the table receivers */
    struct qe_embedded_touch touches[QE_EMBEDDED_TOUCHES];
    size_t next_touch;
    atomic_bool interrupted; /* any thread sets it; the interruptible call that reports it clears */
    struct qe_embedded_call call;
};

/* A queue's row, read afresh by every call: another process may have changed it. */
struct qe_embedded_queue {
    int64_t id;
    int64_t visibility_timeout_ms;
    int64_t retention_ms;
    int64_t delay_ms;
    int64_t deduplication_window_ms;
    int64_t max_receives;
    bool ordered;
    int64_t dead_letter_id; /* 0: none */
    bool dead_letter_ordered;
};

extern const struct qe_section qe_embedded_section;

/* --- connection.c --- */

/* Opens (and creates) the store; on failure nothing stays open. */
int qe_embedded_open(struct qe_embedded *self, struct qe_err *err) QE_MUST_CHECK;
void qe_embedded_close(struct qe_embedded *self);
/* -1 when the file under the open connection was removed or replaced. */
int qe_embedded_check_file(struct qe_embedded *self, struct qe_err *err) QE_MUST_CHECK;

/* --- call.c: what every driver call begins and ends with --- */

/* Opens the store when needed; -1 also for a pending interrupt. qe_embedded_end() follows in any
 * case. */
int qe_embedded_begin(struct qe_embedded *self, enum qe_embedded_operation operation,
                      int64_t deadline_mono_ms, struct qe_err *err) QE_MUST_CHECK;
/* Rolls back what is open, gives the turn back, counts; returns rc. */
int qe_embedded_end(struct qe_embedded *self, int rc, const struct qe_err *err);
/* True when the running call must stop; the busy and progress handlers ask it too. */
bool qe_embedded_must_stop(const struct qe_embedded *self);
/* -1 with QE_ERR_CANCELLED, and the flag is down, when the running call is interruptible and was
 * interrupted. */
int qe_embedded_check_interrupt(struct qe_embedded *self, struct qe_err *err) QE_MUST_CHECK;

/* Maps a SQLite result to the closed set of errors, with the file's name and what to do. -1. */
int qe_embedded_fail(struct qe_embedded *self, int sqlite_rc, const char *doing,
                     struct qe_err *err);

/* --- statement.c --- */

/* The statement, reset and without bindings; NULL with *err. */
sqlite3_stmt *qe_embedded_statement(struct qe_embedded *self, enum qe_embedded_statement which,
                                    struct qe_err *err) QE_MUST_CHECK;
/* 1: a row, 0: done (and reset), -1: *err. */
int qe_embedded_step(struct qe_embedded *self, sqlite3_stmt *statement,
                     struct qe_err *err) QE_MUST_CHECK;
/* Runs a statement that gives no rows; binds up to 7 integers, in order. */
int qe_embedded_run(struct qe_embedded *self, enum qe_embedded_statement which,
                    const int64_t *values, size_t count, struct qe_err *err) QE_MUST_CHECK;
/* The first column of the first row as an integer; `none` without a row. */
int qe_embedded_get(struct qe_embedded *self, enum qe_embedded_statement which,
                    const int64_t *values, size_t count, int64_t *in_out,
                    struct qe_err *err) QE_MUST_CHECK;
int qe_embedded_begin_read(struct qe_embedded *self, struct qe_err *err) QE_MUST_CHECK;
int qe_embedded_begin_write(struct qe_embedded *self, struct qe_err *err) QE_MUST_CHECK;
/* The same for what nobody was promised, deliveries and housekeeping: atomic and safe from a crash,
 * but a power cut may undo it, until the next durable commit of any handle takes it along. A
 * delivery that is undone simply comes again; a third of all waiting for the disk is saved. */
int qe_embedded_begin_lazy_write(struct qe_embedded *self, struct qe_err *err) QE_MUST_CHECK;
int qe_embedded_commit(struct qe_embedded *self, struct qe_err *err) QE_MUST_CHECK;
void qe_embedded_rollback(struct qe_embedded *self);

/* QE_ERR_NOT_FOUND when there is no such queue. */
int qe_embedded_find_queue(struct qe_embedded *self, const char *name,
                           struct qe_embedded_queue *out, struct qe_err *err) QE_MUST_CHECK;

/* --- schema.c --- */

/* Creates the schema in a new file, refuses a newer one, creates and updates the configured
 * queues. */
int qe_embedded_prepare_schema(struct qe_embedded *self, struct qe_err *err) QE_MUST_CHECK;

/* --- codec.c --- */

/* JSON object of texts; "" (nothing appended) for none. QE_ERR_INVALID, QE_ERR_LIMIT, NOMEM. */
int qe_embedded_encode_attributes(const struct qe_attributes *attributes, struct qe_strbuf *out,
                                  struct qe_err *err) QE_MUST_CHECK;
/* Appends a message made of the row that QE_SQL_CANDIDATES or QE_SQL_PEEK stands on. */
struct qe_message *qe_embedded_decode_message(struct qe_embedded *self, sqlite3_stmt *row,
                                              struct qe_message_list *out,
                                              struct qe_err *err) QE_MUST_CHECK;
/* Moves all of `from` behind `out`'s items; room was made by qe_embedded_reserve(). */
void qe_embedded_append(struct qe_message_list *out, struct qe_message_list *from);
int qe_embedded_reserve(struct qe_message_list *out, size_t more, struct qe_err *err) QE_MUST_CHECK;
/* Receipt text is "<id>.<hex>". */
int qe_embedded_receipt_set(struct qe_message *message,
                            const unsigned char secret[QE_EMBEDDED_RECEIPT_BYTES],
                            struct qe_err *err) QE_MUST_CHECK;
bool qe_embedded_receipt_parse(const char *text, int64_t *out_id,
                               unsigned char out_secret[QE_EMBEDDED_RECEIPT_BYTES]);

/* --- move.c --- */

/* Of one message that goes to its queue's DLQ. All borrowed. */
struct qe_embedded_move {
    int64_t message_id;
    const struct qe_embedded_queue *queue;
    const char *queue_name;
    const char *reason;
    const struct qe_attributes *notes; /* may be NULL */
};
/* Moves it, with the facts as attributes. */
int qe_embedded_move(struct qe_embedded *self, const struct qe_embedded_move *move,
                     struct qe_err *err) QE_MUST_CHECK;
/* Inside a write transaction: removes up to `max` messages past their retention. */
int qe_embedded_expire(struct qe_embedded *self, const struct qe_embedded_queue *queue, int64_t max,
                       struct qe_err *err) QE_MUST_CHECK;

/* --- the driver's slots, one file each --- */

int qe_embedded_list(void *handle, int64_t deadline_mono_ms, struct qe_queue_list *out,
                     struct qe_err *err);
int qe_embedded_sample(void *handle, int64_t deadline_mono_ms, struct qe_batch *out,
                       struct qe_err *err);
int qe_embedded_send(void *handle, const struct qe_queue *to, struct qe_outgoing *messages,
                     size_t count, int64_t deadline_mono_ms, struct qe_err *err);
int qe_embedded_receive(void *handle, const struct qe_queue *from, size_t max,
                        int64_t deadline_mono_ms, struct qe_message_list *out, struct qe_err *err);
int qe_embedded_settle(void *handle, const struct qe_queue *queue,
                       struct qe_settlement *settlements, size_t count, int64_t deadline_mono_ms,
                       struct qe_err *err);
int qe_embedded_extend(void *handle, const struct qe_queue *queue, struct qe_extension *extensions,
                       size_t count, int64_t deadline_mono_ms, struct qe_err *err);
int qe_embedded_peek(void *handle, const struct qe_queue *queue, size_t max,
                     int64_t deadline_mono_ms, struct qe_message_list *out, struct qe_err *err);
/* topic.c: a topic's subscribers are the queues whose names begin with its own and a colon. */
int qe_embedded_publish(void *handle, const struct qe_topic *topic, struct qe_outgoing *messages,
                        size_t count, int64_t deadline_mono_ms, struct qe_err *err);
int qe_embedded_subscribe(void *handle, const struct qe_topic *topic, int64_t deadline_mono_ms,
                          struct qe_queue *out, struct qe_err *err);
int qe_embedded_unsubscribe(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                            struct qe_err *err);
int qe_embedded_purge(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                      uint64_t *out_count, struct qe_err *err);

#endif
