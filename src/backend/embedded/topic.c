/* Topics, without a table of their own: "news" is whatever the queues "news:..." get a copy of.
 * Those that are configured so are lasting subscribers, like any queue; subscribe() makes one for a
 * while, "news:~" and 16 hexadecimal digits, the first eight of them the second it was made in. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/embedded/internal.h"
#include "util/mem.h"

#define TOPIC_MAX_BYTES 200
#define NAME_BYTES (TOPIC_MAX_BYTES + 32)
#define SUBSCRIBERS_MAX 10000
/* Of a queue for a while: who looks in so rarely is gone. */
#define SUBSCRIPTION_RETENTION_MS INT64_C(3600000)
#define ABANDONED_SECONDS 86400
#define REPLIES "reply"

static int check_topic(const struct qe_topic *topic, struct qe_err *err)
{
    size_t bytes = strnlen(topic->name, TOPIC_MAX_BYTES + 1);

    if (topic->key[0] != '\0') {
        return qe_err_set(err, QE_ERR_UNSUPPORTED,
                          "the embedded store knows no routing keys: use one topic for each");
    }
    if (bytes == 0 || bytes > TOPIC_MAX_BYTES || !qe_text_is_utf8(topic->name, bytes)) {
        return qe_err_set(err, QE_ERR_INVALID, "a topic has 1 to %d bytes of UTF-8",
                          TOPIC_MAX_BYTES);
    }
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)topic->name[i] < 0x20 || topic->name[i] == ':') {
            return qe_err_set(err, QE_ERR_INVALID,
                              "topic \"%.80s\": no colons and no control characters", topic->name);
        }
    }
    return 0;
}

/* --- publish --- */

struct subscribers {
    char **names; /* owned, and what they point at */
    size_t count;
    size_t capacity;
};

static void deinit_subscribers(struct subscribers *subscribers)
{
    for (size_t i = 0; i < subscribers->count; i++) {
        qe_free(subscribers->names[i]);
    }
    qe_free(subscribers->names);
}

static int read_subscribers(struct qe_embedded *self, const char *prefix, struct subscribers *out,
                            struct qe_err *err)
{
    sqlite3_stmt *find = qe_embedded_statement(self, QE_SQL_SUBSCRIBERS, err);

    if (find == NULL) {
        return -1;
    }
    (void)sqlite3_bind_text(find, 1, prefix, -1, SQLITE_STATIC);
    int row = qe_embedded_step(self, find, err);

    for (; row == 1; row = qe_embedded_step(self, find, err)) {
        char *name = qe_strdup((const char *)sqlite3_column_text(find, 0));

        if (name == NULL || qe_grow(&out->names, out->count, &out->capacity, SUBSCRIBERS_MAX,
                                    sizeof(char *)) != 0) {
            qe_free(name);
            (void)sqlite3_reset(find);
            (void)sqlite3_clear_bindings(find);
            return qe_err_set(err, QE_ERR_NOMEM, "%zu subscribers", out->count);
        }
        out->names[out->count++] = name;
    }
    (void)sqlite3_clear_bindings(find);
    return row < 0 ? -1 : 0;
}

struct publication {
    struct qe_outgoing *messages; /* the caller's */
    struct qe_outgoing *copies;   /* owned; for one subscriber at a time */
    size_t count;
    int64_t deadline_mono_ms;
};

/* What one subscriber did not get counts as not published. */
static int send_to(struct qe_embedded *self, const char *name, const struct publication *what,
                   struct qe_err *err)
{
    struct qe_outgoing *messages = what->messages;
    struct qe_outgoing *copies = what->copies;
    struct qe_queue queue = {0};

    if (qe_queue_init(&queue, "", name, QE_KIND_EMBEDDED, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < what->count; i++) {
        copies[i] = messages[i];
    }
    int rc = qe_embedded_send(self, &queue, copies, what->count, what->deadline_mono_ms, err);

    qe_queue_deinit(&queue);
    if (rc != 0 && err->code == QE_ERR_NOT_FOUND) {
        *err = (struct qe_err){0};
        return 0; /* it has unsubscribed just now */
    }
    for (size_t i = 0; rc == 0 && i < what->count; i++) {
        if (messages[i].result.code == QE_OK) {
            messages[i].result = copies[i].result;
            memcpy(messages[i].id, copies[i].id, sizeof messages[i].id);
        }
    }
    return rc;
}

int qe_embedded_publish(void *handle, const struct qe_topic *topic, struct qe_outgoing *messages,
                        size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_embedded *self = handle;
    struct subscribers subscribers = {0};
    const struct qe_err none = {0};
    struct publication what = {
        .messages = messages, .count = count, .deadline_mono_ms = deadline_mono_ms};
    char prefix[NAME_BYTES];
    int rc = check_topic(topic, err);

    if (rc != 0 || count == 0) {
        return rc;
    }
    (void)snprintf(prefix, sizeof prefix, "%s:", topic->name);
    rc = qe_embedded_begin(self, QE_EMBEDDED_SEND, deadline_mono_ms, err);
    rc = rc == 0 ? read_subscribers(self, prefix, &subscribers, err) : rc;
    rc = qe_embedded_end(self, rc, err);
    if (rc == 0) {
        what.copies = qe_calloc(count, sizeof *what.copies);
        if (what.copies == NULL) {
            (void)qe_err_set(err, QE_ERR_NOMEM, "%zu messages", count);
            rc = -1;
        }
    }
    for (size_t i = 0; i < count; i++) {
        messages[i].result = rc == 0 ? none : *err;
        messages[i].id[0] = '\0';
    }
    for (size_t i = 0; rc == 0 && i < subscribers.count; i++) {
        rc = send_to(self, subscribers.names[i], &what, err);
    }
    qe_free(what.copies);
    deinit_subscribers(&subscribers);
    return rc;
}

/* --- subscribe --- */

static int drop(struct qe_embedded *self, int64_t queue_id, struct qe_err *err)
{
    static const enum qe_embedded_statement drops[] = {QE_SQL_DROP_MESSAGES, QE_SQL_DROP_DUPLICATES,
                                                       QE_SQL_DROP_RECEIVERS, QE_SQL_DROP_QUEUE};

    for (size_t i = 0; i < sizeof drops / sizeof drops[0]; i++) {
        if (qe_embedded_run(self, drops[i], &queue_id, 1, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* One of those whose makers were killed: each subscription takes along what one has left. */
static int drop_abandoned(struct qe_embedded *self, struct qe_err *err)
{
    sqlite3_stmt *find = qe_embedded_statement(self, QE_SQL_ABANDONED, err);
    char before[16];
    int64_t id = 0;

    if (find == NULL) {
        return -1;
    }
    (void)snprintf(before, sizeof before, "%08" PRIx64,
                   (uint64_t)(qe_clock_unix_ms() / 1000 - ABANDONED_SECONDS));
    (void)sqlite3_bind_text(find, 1, before, -1, SQLITE_STATIC);
    int row = qe_embedded_step(self, find, err);

    if (row == 1) {
        id = sqlite3_column_int64(find, 0);
    }
    (void)sqlite3_reset(find);
    (void)sqlite3_clear_bindings(find);
    return row == 1 ? drop(self, id, err) : row;
}

static int insert_queue(struct qe_embedded *self, const char *name, struct qe_err *err)
{
    sqlite3_stmt *add = qe_embedded_statement(self, QE_SQL_SUBSCRIBE, err);

    if (add == NULL) {
        return -1;
    }
    (void)sqlite3_bind_text(add, 1, name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(add, 2, SUBSCRIPTION_RETENTION_MS);
    int row = qe_embedded_step(self, add, err);

    (void)sqlite3_clear_bindings(add);
    return row < 0 ? -1 : 0;
}

static int make_name(const char *topic, char out[NAME_BYTES], struct qe_err *err)
{
    uint32_t random = 0;

    if (qe_random_secret(&random, sizeof random) != 0) {
        return qe_err_set(err, QE_ERR_IO, "the kernel gives no random bytes");
    }
    (void)snprintf(out, NAME_BYTES, "%s:~%08" PRIx32 "%08" PRIx32, topic,
                   (uint32_t)(qe_clock_unix_ms() / 1000), random);
    return 0;
}

int qe_embedded_subscribe(void *handle, const struct qe_topic *topic, int64_t deadline_mono_ms,
                          struct qe_queue *out, struct qe_err *err)
{
    struct qe_embedded *self = handle;
    struct qe_queue made = {0};
    char name[NAME_BYTES];

    if ((topic->name != NULL && check_topic(topic, err) != 0) ||
        make_name(topic->name != NULL ? topic->name : REPLIES, name, err) != 0 ||
        qe_queue_init(&made, "", name, QE_KIND_EMBEDDED, err) != 0) {
        return -1;
    }
    int rc = qe_embedded_begin(self, QE_EMBEDDED_SEND, deadline_mono_ms, err);

    if (rc == 0 && (qe_embedded_begin_write(self, err) != 0 || drop_abandoned(self, err) != 0 ||
                    insert_queue(self, name, err) != 0 || qe_embedded_commit(self, err) != 0)) {
        rc = -1;
    }
    rc = qe_embedded_end(self, rc, err);
    if (rc != 0) {
        qe_queue_deinit(&made);
        return -1;
    }
    *out = made;
    return 0;
}

int qe_embedded_unsubscribe(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                            struct qe_err *err)
{
    struct qe_embedded *self = handle;
    struct qe_embedded_queue row;
    int rc = qe_embedded_begin(self, QE_EMBEDDED_SEND, deadline_mono_ms, err);

    if (rc == 0 && (qe_embedded_begin_write(self, err) != 0 ||
                    qe_embedded_find_queue(self, queue->name, &row, err) != 0 ||
                    drop(self, row.id, err) != 0 || qe_embedded_commit(self, err) != 0)) {
        rc = -1;
    }
    return qe_embedded_end(self, rc, err);
}
