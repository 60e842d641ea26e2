/* Receiving: claim what is due, or wait for it. */
#include <string.h>

#include "backend/embedded/internal.h"

/* Other processes are noticed by asking the file this often: far below their promised 250 ms, and
 * ten such questions a second cost next to nothing. */
#define FOREIGN_TICK_MS 100
/* In memory nobody else can write; this only bounds what a stepped wall clock can hide. */
#define MEMORY_TICK_MS 1000
/* The store is told that somebody receives this often; sample.c counts who was seen lately. */
#define TOUCH_INTERVAL_MS 10000
#define RECEIVER_FORGET_MS INT64_C(60000)
#define RECEIVE_BYTES_MAX ((size_t)32 << 20)

struct receive {
    struct qe_embedded *self;
    const char *queue_name;
    struct qe_embedded_queue queue;
    size_t max;
    struct qe_message_list fresh; /* owned; what the running transaction will deliver */
};

/* --- telling the store, and cleaning up behind ourselves --- */

static struct qe_embedded_touch *find_touch(struct qe_embedded *self, int64_t queue_id)
{
    for (size_t i = 0; i < QE_EMBEDDED_TOUCHES; i++) {
        if (self->touches[i].queue_id == queue_id) {
            return &self->touches[i];
        }
    }
    struct qe_embedded_touch *oldest = &self->touches[self->next_touch];
    self->next_touch = (self->next_touch + 1) % QE_EMBEDDED_TOUCHES;
    *oldest = (struct qe_embedded_touch){.queue_id = queue_id};
    return oldest;
}

/* Inside a write transaction. */
static int write_touch(struct receive *receive, struct qe_err *err)
{
    struct qe_embedded *self = receive->self;
    const int64_t now_unix_ms = qe_clock_unix_ms();
    const int64_t seen[] = {receive->queue.id, self->receiver_id, now_unix_ms};
    const int64_t forget[] = {now_unix_ms - RECEIVER_FORGET_MS};
    const int64_t duplicates[] = {now_unix_ms, QE_EMBEDDED_BATCH_MAX};

    if (qe_embedded_run(self, QE_SQL_TOUCH, seen, 3, err) != 0 ||
        qe_embedded_run(self, QE_SQL_EXPIRE_RECEIVERS, forget, 1, err) != 0 ||
        qe_embedded_run(self, QE_SQL_EXPIRE_DUPLICATES, duplicates, 2, err) != 0) {
        return -1;
    }
    return qe_embedded_expire(self, &receive->queue, QE_EMBEDDED_BATCH_MAX, err);
}

/* At most every TOUCH_INTERVAL_MS. A store that is only locked does not fail the receive: what was
 * not written now is written at the next chance. */
static int touch(struct receive *receive, struct qe_err *err)
{
    struct qe_embedded *self = receive->self;
    const int64_t now_mono_ms = qe_clock_mono_ms();
    struct qe_embedded_touch *last = find_touch(self, receive->queue.id);

    if (last->mono_ms != 0 && now_mono_ms - last->mono_ms < TOUCH_INTERVAL_MS) {
        return 0;
    }
    last->mono_ms = now_mono_ms;
    if (qe_embedded_begin_lazy_write(self, err) == 0 && write_touch(receive, err) == 0 &&
        qe_embedded_commit(self, err) == 0) {
        return 0;
    }
    qe_embedded_rollback(self);
    last->mono_ms = 0;
    return err->code == QE_ERR_TIMEOUT ? 0 : -1;
}

/* --- claiming --- */

static int read_candidates(struct receive *receive, int64_t now_unix_ms, struct qe_err *err)
{
    struct qe_embedded *self = receive->self;
    sqlite3_stmt *find = qe_embedded_statement(self, QE_SQL_CANDIDATES, err);
    size_t bytes = 0;
    int row = -1;

    if (find == NULL) {
        return -1;
    }
    int rc = sqlite3_bind_int64(find, 1, receive->queue.id);
    rc |= sqlite3_bind_int64(find, 2, now_unix_ms);
    rc |= sqlite3_bind_int64(find, 3, (int64_t)receive->max);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, SQLITE_NOMEM, "bind", err);
    }
    for (row = qe_embedded_step(self, find, err); row == 1 && bytes < RECEIVE_BYTES_MAX;
         row = qe_embedded_step(self, find, err)) {
        const struct qe_message *message =
            qe_embedded_decode_message(self, find, &receive->fresh, err);

        if (message == NULL) {
            row = -1;
            break;
        }
        bytes += message->body_bytes;
    }
    (void)sqlite3_reset(find);
    return row < 0 ? -1 : 0;
}

static int deliver(struct receive *receive, struct qe_message *message,
                   const unsigned char secret[QE_EMBEDDED_RECEIPT_BYTES], int64_t visible_unix_ms,
                   struct qe_err *err)
{
    struct qe_embedded *self = receive->self;
    sqlite3_stmt *update = qe_embedded_statement(self, QE_SQL_DELIVER, err);

    if (update == NULL || qe_embedded_receipt_set(message, secret, err) != 0) {
        return -1;
    }
    int rc = sqlite3_bind_int64(update, 1, (int64_t)message->tag);
    rc |= sqlite3_bind_int64(update, 2, visible_unix_ms);
    rc |= sqlite3_bind_blob(update, 3, secret, QE_EMBEDDED_RECEIPT_BYTES, SQLITE_TRANSIENT);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, SQLITE_NOMEM, "bind", err);
    }
    message->receives++;
    message->visible_unix_ms = 0;
    return qe_embedded_step(self, update, err) < 0 ? -1 : 0;
}

/* What becomes of one candidate: expired, dead-lettered, or delivered (*out_delivered). */
static int claim_one(struct receive *receive, struct qe_message *message, int64_t now_unix_ms,
                     bool *out_delivered, struct qe_err *err)
{
    struct qe_embedded *self = receive->self;
    const struct qe_embedded_queue *queue = &receive->queue;
    const int64_t id[] = {(int64_t)message->tag};
    unsigned char secret[QE_EMBEDDED_RECEIPT_BYTES];

    *out_delivered = false;
    if (message->enqueued_unix_ms <= now_unix_ms - queue->retention_ms) {
        return qe_embedded_run(self, QE_SQL_DELETE, id, 1, err);
    }
    if (queue->max_receives > 0 && queue->dead_letter_id != 0 &&
        message->receives >= queue->max_receives) {
        const struct qe_embedded_move move = {.message_id = id[0],
                                              .queue = queue,
                                              .queue_name = receive->queue_name,
                                              .reason = "max_receives"};

        return qe_embedded_move(self, &move, err);
    }
    if (qe_random_secret(secret, sizeof(secret)) != 0) {
        return qe_err_set(err, QE_ERR_IO, "the kernel has no random bytes for a receipt");
    }
    *out_delivered = true;
    return deliver(receive, message, secret, now_unix_ms + queue->visibility_timeout_ms, err);
}

/* Inside a write transaction. Leaves in `fresh` what is delivered; sets *out_moved when a message
 * went to the DLQ or was removed. */
static int claim(struct receive *receive, bool *out_moved, struct qe_err *err)
{
    const int64_t now_unix_ms = qe_clock_unix_ms();
    const int64_t lapses_mono_ms = qe_clock_mono_ms() + receive->queue.visibility_timeout_ms;
    struct qe_message_list *fresh = &receive->fresh;
    int64_t redelivered = 0;
    size_t kept = 0;

    if (read_candidates(receive, now_unix_ms, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < fresh->count; i++) {
        struct qe_message *message = &fresh->items[i];
        bool is_delivered = false;

        if (claim_one(receive, message, now_unix_ms, &is_delivered, err) != 0) {
            return -1;
        }
        if (!is_delivered) {
            *out_moved = true;
            qe_message_deinit(message);
            continue;
        }
        message->visible_until_mono_ms = lapses_mono_ms;
        redelivered += message->receives > 1 ? 1 : 0;
        if (kept != i) {
            fresh->items[kept] = *message;
            *message = (struct qe_message){0};
        }
        kept++;
    }
    fresh->count = kept;
    const int64_t counts[] = {receive->queue.id, (int64_t)kept, redelivered};
    return qe_embedded_run(receive->self, QE_SQL_COUNT_DELIVERED, counts, 3, err);
}

/* One transaction that delivers what is due into *out. */
static int claim_into(struct receive *receive, struct qe_message_list *out, struct qe_err *err)
{
    struct qe_embedded *self = receive->self;
    bool is_moved = false;
    int rc = -1;

    if (qe_embedded_begin_lazy_write(self, err) == 0 &&
        qe_embedded_find_queue(self, receive->queue_name, &receive->queue, err) == 0 &&
        claim(receive, &is_moved, err) == 0 &&
        qe_embedded_reserve(out, receive->fresh.count, err) == 0) {
        rc = qe_embedded_commit(self, err);
    }
    if (rc == 0) {
        qe_embedded_append(out, &receive->fresh);
    } else {
        qe_embedded_rollback(self);
    }
    if (rc == 0 && is_moved) {
        qe_hub_notify(self->hub, receive->queue.dead_letter_id);
        qe_hub_notify(self->hub, receive->queue.id); /* the next of an ordered group is free */
    }
    qe_message_list_deinit(&receive->fresh);
    return rc;
}

/* --- waiting --- */

/* Has anybody, in any process, written since the last call? */
static int is_changed(struct qe_embedded *self, bool *out, struct qe_err *err)
{
    int64_t version = 0;

    if (qe_embedded_get(self, QE_SQL_DATA_VERSION, NULL, 0, &version, err) != 0) {
        return -1;
    }
    *out = version != self->data_version;
    self->data_version = version;
    return 0;
}

/* Returns 0 when it is time to look: a notify, a foreign write, a due message, or the deadline. */
static int wait_for_more(struct receive *receive, uint64_t generation, int64_t due_unix_ms,
                         struct qe_err *err)
{
    struct qe_embedded *self = receive->self;
    const int64_t tick_ms = self->in_memory ? MEMORY_TICK_MS : FOREIGN_TICK_MS;

    for (;;) {
        const int64_t now_mono_ms = qe_clock_mono_ms();
        const int64_t left_ms = self->call.deadline_mono_ms - now_mono_ms;
        const int64_t due_ms = due_unix_ms - qe_clock_unix_ms();
        bool has_news = false;

        if (left_ms <= 0 || due_ms <= 0) {
            return 0;
        }
        int64_t wait_ms = left_ms < tick_ms ? left_ms : tick_ms;
        wait_ms = due_ms < wait_ms ? due_ms : wait_ms;
        qe_hub_wait(self->hub, receive->queue.id, generation, now_mono_ms + wait_ms,
                    &self->interrupted);
        if (qe_embedded_check_interrupt(self, err) != 0 || qe_embedded_check_file(self, err) != 0) {
            return -1;
        }
        if (qe_hub_generation(self->hub, receive->queue.id) != generation) {
            return 0;
        }
        if (!self->in_memory && is_changed(self, &has_news, err) != 0) {
            return -1;
        }
        if (has_news) {
            return 0;
        }
    }
}

static int receive_some(struct receive *receive, struct qe_message_list *out, struct qe_err *err)
{
    struct qe_embedded *self = receive->self;
    const size_t before = out->count;
    bool unused = false;

    for (;;) {
        const int64_t id[] = {receive->queue.id};
        const uint64_t generation = qe_hub_generation(self->hub, receive->queue.id);
        int64_t due_unix_ms = INT64_MAX;

        /* Before the look, so that a write between the two is news to wait_for_more(). */
        if (!self->in_memory && is_changed(self, &unused, err) != 0) {
            return -1;
        }
        if (qe_embedded_get(self, QE_SQL_NEXT_DUE, id, 1, &due_unix_ms, err) != 0) {
            return -1;
        }
        if (due_unix_ms <= qe_clock_unix_ms() && claim_into(receive, out, err) != 0) {
            return -1;
        }
        if (out->count > before) {
            return 0;
        }
        if (qe_embedded_check_interrupt(self, err) != 0 || touch(receive, err) != 0) {
            return -1;
        }
        if (qe_clock_mono_ms() >= self->call.deadline_mono_ms) {
            return 0;
        }
        if (wait_for_more(receive, generation, due_unix_ms, err) != 0) {
            return -1;
        }
    }
}

int qe_embedded_receive(void *handle, const struct qe_queue *from, size_t max,
                        int64_t deadline_mono_ms, struct qe_message_list *out, struct qe_err *err)
{
    struct receive receive = {
        .self = handle,
        .queue_name = from->name,
        .max = max < QE_EMBEDDED_BATCH_MAX ? max : QE_EMBEDDED_BATCH_MAX,
    };
    int rc = qe_embedded_begin(handle, QE_EMBEDDED_RECEIVE, deadline_mono_ms, err);

    if (rc == 0) {
        rc = qe_embedded_find_queue(handle, from->name, &receive.queue, err);
    }
    if (rc == 0) {
        rc = touch(&receive, err);
    }
    if (rc == 0 && max > 0) {
        rc = receive_some(&receive, out, err);
    }
    return qe_embedded_end(handle, rc, err);
}
