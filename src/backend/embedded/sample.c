/* What the poller asks: which queues there are, and how they stand. */
#include <string.h>

#include "backend/embedded/internal.h"

/* A receiver counts as attached this long after it was last seen; receive.c says so every 10 s. */
#define RECEIVER_SEEN_MS INT64_C(30000)
/* Queues read in one read transaction: consistent with each other, and no writer of a memory store
 * waits for a thousand queues. */
#define SAMPLE_CHUNK 200
/* What is past its retention can wait; a poll that has its samples should not, for the lock. */
#define EXPIRE_LOCK_MS 20
/* Whoever cannot write for so long would not get a message in, either. */
#define PROBE_LOCK_MS 1000

struct reading {
    enum qe_err_code error;
    int64_t queue_id;
    int64_t retention_ms;
    int64_t oldest_unix_ms; /* 0: empty */
    struct qe_sample sample;
};

static int add_listed(sqlite3_stmt *row, struct qe_queue_list *found, struct qe_err *err)
{
    const char *name = (const char *)sqlite3_column_text(row, 0);
    const char *dead_letter = (const char *)sqlite3_column_text(row, 1);
    struct qe_queue *queue = qe_queue_list_add(found, err);

    if (queue == NULL ||
        qe_queue_init(queue, NULL, name == NULL ? "" : name, QE_KIND_EMBEDDED, err) != 0) {
        return -1;
    }
    queue->dead_letter_known = true;
    return dead_letter == NULL ? 0 : qe_queue_add_link(queue, NULL, dead_letter, err);
}

static int list_all(struct qe_embedded *self, struct qe_queue_list *found, struct qe_err *err)
{
    sqlite3_stmt *list = qe_embedded_statement(self, QE_SQL_LIST, err);

    if (list == NULL) {
        return -1;
    }
    int row = qe_embedded_step(self, list, err);
    for (; row == 1; row = qe_embedded_step(self, list, err)) {
        if (add_listed(list, found, err) != 0) {
            return -1;
        }
    }
    return row < 0 ? -1 : 0;
}

/* Appends the items of `from`, which keeps only its array. */
static int append_queues(struct qe_queue_list *out, struct qe_queue_list *from, struct qe_err *err)
{
    while (out->capacity - out->count < from->count) {
        if (qe_grow(&out->items, out->capacity, &out->capacity, QE_QUEUES_MAX,
                    sizeof(*out->items)) != 0) {
            return qe_err_set(err, QE_ERR_NOMEM, "list of %zu queues", out->count + from->count);
        }
    }
    if (from->count > 0) {
        memcpy(&out->items[out->count], from->items, from->count * sizeof(*from->items));
    }
    out->count += from->count;
    from->count = 0;
    return 0;
}

int qe_embedded_list(void *handle, int64_t deadline_mono_ms, struct qe_queue_list *out,
                     struct qe_err *err)
{
    struct qe_embedded *self = handle;
    struct qe_queue_list found = {0};
    int rc = qe_embedded_begin(self, QE_EMBEDDED_LIST, deadline_mono_ms, err);

    if (rc == 0) {
        rc = list_all(self, &found, err);
    }
    if (rc == 0) {
        rc = append_queues(out, &found, err);
    }
    qe_queue_list_deinit(&found);
    return qe_embedded_end(self, rc, err);
}

/* Reads one queue's row; *out_found is false when the queue is gone. */
static int read_row(struct qe_embedded *self, const char *name, struct reading *reading,
                    bool *out_found, struct qe_err *err)
{
    struct qe_sample *sample = &reading->sample;
    sqlite3_stmt *row = qe_embedded_statement(self, QE_SQL_SAMPLE, err);

    if (row == NULL) {
        return -1;
    }
    int rc = sqlite3_bind_text(row, 1, name, -1, SQLITE_STATIC);
    if (rc != SQLITE_OK) {
        return qe_embedded_fail(self, rc, "bind", err);
    }
    rc = qe_embedded_step(self, row, err);
    *out_found = rc == 1;
    if (rc != 1) {
        return rc;
    }
    reading->queue_id = sqlite3_column_int64(row, 0);
    reading->retention_ms = sqlite3_column_int64(row, 2);
    qe_sample_set(sample, QE_FIELD_VISIBILITY_TIMEOUT_SECONDS,
                  (double)sqlite3_column_int64(row, 1) / 1e3);
    qe_sample_set(sample, QE_FIELD_RETENTION_SECONDS, (double)reading->retention_ms / 1e3);
    qe_sample_set(sample, QE_FIELD_DELIVERY_DELAY_SECONDS,
                  (double)sqlite3_column_int64(row, 3) / 1e3);
    if (sqlite3_column_int(row, 5) != 0) {
        qe_sample_set(sample, QE_FIELD_MAX_RECEIVES, (double)sqlite3_column_int64(row, 4));
    }
    qe_sample_set(sample, QE_FIELD_READY_MESSAGES, (double)sqlite3_column_int64(row, 6));
    qe_sample_set(sample, QE_FIELD_SIZE_BYTES, (double)sqlite3_column_int64(row, 7));
    qe_sample_set(sample, QE_FIELD_PUBLISHED_TOTAL, (double)sqlite3_column_int64(row, 8));
    qe_sample_set(sample, QE_FIELD_DELIVERED_TOTAL, (double)sqlite3_column_int64(row, 9));
    qe_sample_set(sample, QE_FIELD_ACKNOWLEDGED_TOTAL, (double)sqlite3_column_int64(row, 10));
    qe_sample_set(sample, QE_FIELD_REDELIVERED_TOTAL, (double)sqlite3_column_int64(row, 11));
    (void)sqlite3_reset(row);
    return 0;
}

/* Splits the total, so far in READY, into ready, in flight and delayed. Only hidden messages are
 * counted one by one, in an index: a backlog of a million costs nothing. */
static int read_hidden(struct qe_embedded *self, struct reading *reading, int64_t now_unix_ms,
                       struct qe_err *err)
{
    struct qe_sample *sample = &reading->sample;
    const double total = sample->values[QE_FIELD_READY_MESSAGES];
    sqlite3_stmt *row = qe_embedded_statement(self, QE_SQL_HIDDEN, err);

    if (row == NULL) {
        return -1;
    }
    (void)sqlite3_bind_int64(row, 1, reading->queue_id);
    (void)sqlite3_bind_int64(row, 2, now_unix_ms);
    if (qe_embedded_step(self, row, err) != 1) {
        return -1;
    }
    const double hidden = (double)sqlite3_column_int64(row, 0);
    const double in_flight = (double)sqlite3_column_int64(row, 1);
    (void)sqlite3_reset(row);
    qe_sample_set(sample, QE_FIELD_READY_MESSAGES, total - hidden);
    qe_sample_set(sample, QE_FIELD_IN_FLIGHT_MESSAGES, in_flight);
    qe_sample_set(sample, QE_FIELD_DELAYED_MESSAGES, hidden - in_flight);
    return 0;
}

/* Inside a read transaction. */
static int read_one(struct qe_embedded *self, const char *name, struct reading *reading,
                    struct qe_err *err)
{
    const int64_t now_unix_ms = qe_clock_unix_ms();
    int64_t consumers = 0;
    bool is_found = false;

    *reading = (struct reading){.sample = {.age_method = QE_AGE_BROKER}};
    if (read_row(self, name, reading, &is_found, err) != 0) {
        return -1;
    }
    if (!is_found) {
        reading->error = QE_ERR_NOT_FOUND;
        return 0;
    }
    const int64_t id[] = {reading->queue_id};
    const int64_t seen[] = {reading->queue_id, now_unix_ms - RECEIVER_SEEN_MS};
    if (read_hidden(self, reading, now_unix_ms, err) != 0 ||
        qe_embedded_get(self, QE_SQL_OLDEST, id, 1, &reading->oldest_unix_ms, err) != 0 ||
        qe_embedded_get(self, QE_SQL_CONSUMERS, seen, 2, &consumers, err) != 0) {
        return -1;
    }
    const int64_t age_ms = reading->oldest_unix_ms == 0 || reading->oldest_unix_ms > now_unix_ms
                               ? 0
                               : now_unix_ms - reading->oldest_unix_ms;
    qe_sample_set(&reading->sample, QE_FIELD_OLDEST_AGE_SECONDS, (double)age_ms / 1e3);
    qe_sample_set(&reading->sample, QE_FIELD_CONSUMERS, (double)consumers);
    return 0;
}

/* Reads all queues; *out_count says how many before anything failed. */
static int read_all(struct qe_embedded *self, const struct qe_queue_set *set,
                    struct reading *readings, size_t *out_count, struct qe_err *err)
{
    size_t done = 0;
    int rc = 0;

    for (; rc == 0 && done < set->count; done += rc == 0 ? 1 : 0) {
        if (done % SAMPLE_CHUNK == 0) {
            if ((done > 0 && qe_embedded_commit(self, err) != 0) ||
                qe_embedded_check_interrupt(self, err) != 0 ||
                qe_embedded_begin_read(self, err) != 0) {
                rc = -1;
                break;
            }
        }
        rc = read_one(self, set->items[done].name, &readings[done], err);
    }
    qe_embedded_rollback(self);
    *out_count = done;
    return rc;
}

/* Waits for the lock no longer than `wait_ms`. */
static int begin_within(struct qe_embedded *self, int64_t wait_ms, struct qe_err *err)
{
    const int64_t give_up_mono_ms = self->call.give_up_mono_ms;
    const int64_t soon_mono_ms = qe_clock_mono_ms() + wait_ms;

    self->call.give_up_mono_ms = soon_mono_ms < give_up_mono_ms ? soon_mono_ms : give_up_mono_ms;
    int rc = qe_embedded_begin_lazy_write(self, err);
    self->call.give_up_mono_ms = give_up_mono_ms;
    return rc;
}

/* Reading works on a full disk and on a file that somebody has locked for good; sending and
 * receiving do not. So a poll writes, too: one page, without waiting for the disk. 0: written, or
 * said in *out_why. -1: interrupted. A disk that is nearly full may still
 * take this page, and refuse a large message. */
static int probe_write(struct qe_embedded *self, struct qe_err *out_why, struct qe_err *err)
{
    const int64_t left_ms = self->call.deadline_mono_ms - qe_clock_mono_ms();
    int64_t before = 0;
    int64_t after = 0;
    struct qe_err why = {0};

    if (self->in_memory) {
        return 0;
    }
    if (qe_embedded_get(self, QE_SQL_DATA_VERSION, NULL, 0, &before, &why) == 0 &&
        begin_within(self, left_ms / 2 < PROBE_LOCK_MS ? left_ms / 2 : PROBE_LOCK_MS, &why) == 0 &&
        qe_embedded_run(self, QE_SQL_PROBE, NULL, 0, &why) == 0 &&
        qe_embedded_commit(self, &why) == 0) {
        return 0;
    }
    qe_embedded_rollback(self);
    if (why.code == QE_ERR_CANCELLED) {
        *err = why;
        return -1;
    }
    if (why.code == QE_ERR_TIMEOUT &&
        qe_embedded_get(self, QE_SQL_DATA_VERSION, NULL, 0, &after, err) == 0 && after != before) {
        return 0; /* those who were quicker got through: the store is busy, and well */
    }
    *out_why = why;
    if (why.code == QE_ERR_LIMIT && sqlite3_get_autocommit(self->db) != 0) {
        /* Stays open: closing the last connection empties the log, and the polls that fit into the
         * room this makes would say that all is well. */
        self->is_broken = false;
    }
    return 0;
}

/* Removes some of what is past its retention, found by the reading just made. What stays, because
 * another writer has the lock, is removed next time. */
static void expire_some(struct qe_embedded *self, const struct reading *readings, size_t count)
{
    const int64_t now_unix_ms = qe_clock_unix_ms();
    int64_t budget = QE_EMBEDDED_BATCH_MAX;
    struct qe_err ignored = {0};

    self->call.interruptible = false; /* the samples are good: an interrupt is for the next call */
    for (size_t i = 0; i < count && budget > 0; i++) {
        const struct qe_embedded_queue queue = {.id = readings[i].queue_id,
                                                .retention_ms = readings[i].retention_ms};

        if (readings[i].oldest_unix_ms == 0 ||
            readings[i].oldest_unix_ms > now_unix_ms - queue.retention_ms) {
            continue;
        }
        if (begin_within(self, EXPIRE_LOCK_MS, &ignored) != 0 ||
            qe_embedded_expire(self, &queue, budget, &ignored) != 0) {
            break;
        }
        budget -= sqlite3_changes(self->db);
        if (qe_embedded_commit(self, &ignored) != 0) {
            break;
        }
        qe_hub_notify(self->hub, queue.id); /* the next of an ordered group may be free */
    }
    qe_embedded_rollback(self);
}

static void hand_over(const struct reading *readings, size_t count, const struct qe_err *why,
                      struct qe_batch *out)
{
    struct qe_err gone = {0};

    for (size_t i = 0; i < out->set->count; i++) {
        if (i >= count) {
            qe_batch_fail(out, i, why);
        } else if (readings[i].error == QE_OK) {
            qe_batch_set(out, i, &readings[i].sample);
        } else {
            qe_err_set(&gone, readings[i].error, "queue \"%s\" is gone", out->set->items[i].name);
            qe_batch_fail(out, i, &gone);
        }
    }
}

int qe_embedded_sample(void *handle, int64_t deadline_mono_ms, struct qe_batch *out,
                       struct qe_err *err)
{
    struct qe_embedded *self = handle;
    struct reading *readings = NULL;
    struct qe_err unwritable = {0};
    const size_t count = out->set->count;
    size_t done = 0;
    int rc = qe_embedded_begin(self, QE_EMBEDDED_SAMPLE, deadline_mono_ms, err);

    if (rc != 0 || count == 0) {
        goto done;
    }
    readings = qe_calloc(count, sizeof(*readings));
    if (readings == NULL) {
        rc = qe_err_set(err, QE_ERR_NOMEM, "samples of %zu queues", count);
        goto done;
    }
    rc = read_all(self, out->set, readings, &done, err);
    if (rc != 0 && (done == 0 || err->code == QE_ERR_CANCELLED)) {
        goto done;
    }
    if (rc == 0 && probe_write(self, &unwritable, err) != 0) {
        rc = -1;
        goto done;
    }
    hand_over(readings, done, err, out);
    out->source_error = unwritable;
    if (rc == 0 && unwritable.code == QE_OK) {
        expire_some(self, readings, done);
    }
    (void)qe_embedded_end(self, rc, err); /* counted as a failure when only a part was read */
    qe_free(readings);
    return 0;
done:
    qe_free(readings);
    return qe_embedded_end(self, rc, err);
}
