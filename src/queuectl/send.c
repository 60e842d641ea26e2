/* queuectl send */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/ctl.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/strbuf.h"
#include "util/text.h"

#define BATCH_MAX 100
#define READ_BYTES ((size_t)64 << 10)

static int take_delay(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return qe_text_to_duration_ms(value, &options->delay_ms, err);
}

int ctl_take_attribute(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return ctl_take_pair(value, &options->attributes, err);
}

static int take_count(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return qe_text_to_u64(value, UINT64_C(1) << 53, &options->count, err);
}

static const struct qe_cli_flag s_flags[] = {
    {"body", "TEXT", "the message", CTL_AT(body)},
    {"file", "FILE", "read the message from a file; \"-\" as third operand: from standard input",
     CTL_AT(file)},
    {"delay", "DURATION", "not available before that", "the queue's own", .take = take_delay},
    {"attribute", "NAME=VALUE", "repeatable", NULL, .take = ctl_take_attribute},
    {"count", "N", "send it N times; 0: until stopped", "1", .take = take_count},
    {"rate", "N", "messages per second", "as fast as it goes", .take = ctl_take_rate},
    {"group", "NAME", "ordered group", CTL_AT(group)},
    {"deduplication-id", "ID", "sent once within the queue's deduplication window",
     CTL_AT(deduplication_id)},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

static int read_stream(FILE *stream, const char *name, struct qe_strbuf *body, struct qe_err *err)
{
    size_t left = QE_MESSAGE_BODY_MAX_BYTES - body->length_bytes;
    size_t got = 1;

    for (; left > 0 && got > 0; left -= got) {
        const size_t some = left < READ_BYTES ? left : READ_BYTES;
        char *room = qe_strbuf_reserve(body, some);

        if (room == NULL) {
            return qe_strbuf_error(body, err);
        }
        got = fread(room, 1, some, stream);
        body->length_bytes += got;
    }
    if (left == 0 && fgetc(stream) != EOF) {
        return qe_err_set(err, QE_ERR_LIMIT, "%.120s: larger than %zu MiB", name,
                          QE_MESSAGE_BODY_MAX_BYTES >> 20);
    }
    return ferror(stream) == 0 ? 0 : qe_err_set_errno(err, errno, "cannot read %.120s", name);
}

/* Exactly one of --body, --file and "-". */
int ctl_read_body(const struct ctl_options *options, bool from_stdin, struct qe_strbuf *body,
                  struct qe_err *err)
{
    int given = (options->body != NULL) + (options->file != NULL) + from_stdin;

    if (given != 1) {
        return qe_err_set(
            err, QE_ERR_INVALID,
            "give the message by one of --body TEXT, --file FILE or - (standard input)");
    }
    if (options->body != NULL) {
        return qe_strbuf_append_text(body, options->body) == 0 ? 0 : qe_strbuf_error(body, err);
    }
    if (from_stdin) {
        return read_stream(stdin, "standard input", body, err);
    }
    FILE *file = fopen(options->file, "re");
    if (file == NULL) {
        return qe_err_set_errno(err, errno, "cannot open %.120s", options->file);
    }
    int rc = read_stream(file, options->file, body, err);
    (void)fclose(file);
    return rc;
}

struct outbox {
    const struct qe_topic *topic; /* NULL: the queue */
    const struct qe_outgoing *like;
    struct qe_outgoing *batch; /* owned; room for BATCH_MAX */
    uint64_t sent;             /* what the broker took */
};

/* Sends `count` copies in one call; what the broker took is counted also on failure. */
static int send_some(struct ctl *ctl, struct outbox *outbox, size_t count, struct qe_err *err)
{
    const struct qe_driver *driver = ctl->driver;
    struct qe_outgoing *batch = outbox->batch;
    int rc = 0;

    for (size_t i = 0; i < count; i++) {
        batch[i] = *outbox->like;
    }
    if (outbox->topic != NULL) {
        rc = driver->publish(ctl->handle, outbox->topic, batch, count, ctl_deadline(ctl), err);
    } else {
        rc = driver->send(ctl->handle, &ctl->queue, batch, count, ctl_deadline(ctl), err);
    }
    if (rc != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (batch[i].result.code == QE_OK) {
            outbox->sent++;
        } else {
            *err = batch[i].result;
            rc = -1;
        }
    }
    return rc;
}

/* How many are due by now, given the rate; waits until at least one is. */
static size_t wait_for_due(const struct ctl *ctl, int64_t start_mono_ms, uint64_t sent)
{
    const struct ctl_options *options = &ctl->options;

    if (options->rate <= 0) {
        return BATCH_MAX;
    }
    ctl_sleep_until(ctl, start_mono_ms + (int64_t)((double)sent * 1000.0 / options->rate));
    double elapsed_seconds = (double)(qe_clock_mono_ms() - start_mono_ms) / 1000.0;
    double due = elapsed_seconds * options->rate - (double)sent + 1;
    return due < 1 ? 1 : due > BATCH_MAX ? BATCH_MAX : (size_t)due;
}

static int send_all(struct ctl *ctl, const struct qe_topic *topic, const struct qe_outgoing *like,
                    uint64_t *out_sent, struct qe_err *err)
{
    const struct ctl_options *options = &ctl->options;
    int64_t start_mono_ms = qe_clock_mono_ms();
    struct outbox outbox = {
        .topic = topic, .like = like, .batch = qe_calloc(BATCH_MAX, sizeof *outbox.batch)};
    int rc = 0;

    if (outbox.batch == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "a batch of messages");
    }
    ctl_catch_signals();
    while (rc == 0 && ctl_stopped == 0 && (options->count == 0 || outbox.sent < options->count)) {
        size_t some = wait_for_due(ctl, start_mono_ms, outbox.sent);
        if (options->count > 0 && some > options->count - outbox.sent) {
            some = (size_t)(options->count - outbox.sent);
        }
        if (ctl_stopped == 0) {
            rc = send_some(ctl, &outbox, some, err);
        }
    }
    qe_free(outbox.batch);
    *out_sent = outbox.sent;
    return rc;
}

/* One operand is one source's queue, or its topic. */
static int open_target(struct ctl *ctl, char **operands, const struct qe_topic *topic,
                       struct qe_err *err)
{
    if (topic == NULL) {
        return ctl_open_queue(ctl, operands, QE_CAP_SEND, "send", err);
    }
    return ctl_open(ctl, operands[0], err) == 0 ? ctl_require(ctl, QE_CAP_TOPICS, "publish", err)
                                                : -1;
}

static enum qe_exit send_to(struct ctl *ctl, char **operands, const struct qe_topic *topic,
                            const struct qe_strbuf *body, struct qe_err *err)
{
    const struct ctl_options *options = &ctl->options;
    uint64_t sent = 0;
    const struct qe_outgoing message = {
        .body = qe_strbuf_text(body),
        .body_bytes = body->length_bytes,
        .attributes = &options->attributes,
        .delay_ms = options->delay_ms,
        .group = options->group,
        .deduplication_id = options->deduplication_id,
    };

    if (open_target(ctl, operands, topic, err) != 0) {
        return QE_EXIT_FAILURE;
    }
    if (send_all(ctl, topic, &message, &sent, err) != 0) {
        (void)qe_err_wrap(err, "after %llu messages", (unsigned long long)sent);
        return QE_EXIT_FAILURE;
    }
    (void)printf("%s %llu to ", topic != NULL ? "published" : "sent", (unsigned long long)sent);
    if (topic != NULL) {
        (void)ctl_write_name(stdout, topic->name);
    } else {
        char label[CTL_LABEL_BYTES];

        (void)fputs(ctl_label(ctl, &ctl->queue, label), stdout);
    }
    (void)putchar('\n');
    return sent < options->count ? QE_EXIT_FAILURE : QE_EXIT_OK; /* stopped before the end */
}

static enum qe_exit run_with(struct ctl *ctl, char **operands, size_t count,
                             const struct qe_topic *topic, struct qe_err *err)
{
    bool from_stdin = count == 3 && strcmp(operands[2], "-") == 0;
    struct qe_strbuf body;
    enum qe_exit code = QE_EXIT_FAILURE;

    if (count == 3 && !from_stdin) {
        qe_err_set(err, QE_ERR_INVALID, "unexpected \"%.60s\": give the message by --body TEXT",
                   operands[2]);
        return QE_EXIT_USAGE;
    }
    qe_strbuf_init(&body, QE_MESSAGE_BODY_MAX_BYTES);
    if (ctl_read_body(&ctl->options, from_stdin, &body, err) == 0) {
        code = send_to(ctl, operands, topic, &body, err);
    }
    qe_strbuf_deinit(&body);
    return code;
}

static enum qe_exit run_send(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    return run_with(ctl, operands, count, NULL, err);
}

static enum qe_exit run_publish(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const struct qe_topic topic = {.vhost = ctl->options.vhost != NULL ? ctl->options.vhost : "",
                                   .name = operands[1],
                                   .key = ctl->options.key != NULL ? ctl->options.key : ""};

    return run_with(ctl, operands, count, &topic, err);
}

static const struct qe_cli_flag s_publish_flags[] = {
    {"key", "KEY", "routing key, where the broker has such", NULL, CTL_AT(key)},
    {"body", "TEXT", "the message", CTL_AT(body)},
    {"file", "FILE", "read the message from a file; \"-\" as third operand: from standard input",
     CTL_AT(file)},
    {"attribute", "NAME=VALUE", "repeatable", NULL, .take = ctl_take_attribute},
    {"count", "N", "publish it N times; 0: until stopped", "1", .take = take_count},
    {"rate", "N", "messages per second", "as fast as it goes", .take = ctl_take_rate},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

const struct ctl_command ctl_publish = {
    .name = "publish",
    .operands = "SOURCE TOPIC [-]",
    .summary = "send a message to all that subscribe to a topic",
    .flags = s_publish_flags,
    .flags_count = sizeof s_publish_flags / sizeof s_publish_flags[0],
    .operands_min = 2,
    .operands_max = 3,
    .run = run_publish,
};

const struct ctl_command ctl_send = {
    .name = "send",
    .operands = "SOURCE QUEUE [-]",
    .summary = "send a message, or many",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 2,
    .operands_max = 3,
    .run = run_send,
};
