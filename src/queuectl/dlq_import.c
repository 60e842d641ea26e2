/* queuectl dlq import: sends what dlq export has written. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dlq/facts.h"
#include "queuectl/dlq.h"
#include "queuectl/line.h"
#include "util/hash.h"
#include "util/mem.h"
#include "util/strbuf.h"
#include "util/text.h"

#define LOT_MAX 100
#define LOT_BYTES_MAX ((size_t)16 << 20)
/* A body of control characters, each six bytes in JSON, and its attributes. */
#define LINE_MAX_BYTES ((size_t)128 << 20)
#define ID_BYTES 160

static int take_skip(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return qe_text_to_u64(value, UINT64_C(1) << 53, &options->skip, err);
}

static const struct qe_cli_flag s_flags[] = {
    {"file", "FILE", "read it from there", "standard input", CTL_AT(file)},
    {"skip", "N", "the first N lines are in already", "0", .take = take_skip},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

struct import {
    struct ctl *ctl;
    FILE *file;
    const char *name; /* of the file, for messages */
    bool keeps_facts; /* the target holds dead letters: what made them such stays with them */
    struct qe_strbuf line;
    uint64_t line_number;
    uint64_t sent;
    uint64_t tried_through; /* the last line that was given to the broker */
    size_t lot_bytes;
    struct qe_message_list lot;
    uint64_t lot_lines[LOT_MAX];
    char ids[LOT_MAX][ID_BYTES];
    struct qe_outgoing outgoing[LOT_MAX];
};

/* 1: import->line holds the next one, 0: there is none, or it was stopped within one, -1. */
static int read_line(struct import *import, struct qe_err *err)
{
    qe_strbuf_reset(&import->line);
    for (int c = getc(import->file); c != EOF; c = getc(import->file)) {
        (void)qe_strbuf_append_char(&import->line, (char)c); /* NUL too: no text line has one */
        if (c == '\n') {
            break;
        }
    }
    if (ferror(import->file) != 0 && errno == EINTR && ctl_stopped != 0) {
        return 0; /* what was read of the line is as if it had not been */
    }
    if (ferror(import->file) != 0) {
        return qe_err_set_errno(err, errno, "cannot read %.200s", import->name);
    }
    import->line_number++;
    if (qe_strbuf_error(&import->line, err) != 0) {
        return qe_err_wrap(err, "%.200s:%" PRIu64, import->name, import->line_number);
    }
    return import->line.length_bytes > 0;
}

/* The line becomes one more message of the lot. */
static int take_line(struct import *import, struct qe_err *err)
{
    struct qe_message *message = qe_message_list_add(&import->lot, err);
    int rc = message != NULL
                 ? ctl_line_read(qe_strbuf_text(&import->line), import->line.length_bytes,
                                 import->keeps_facts, message, err)
                 : -1;

    if (rc != 0) {
        if (message != NULL) {
            qe_message_deinit(message);
            import->lot.count--;
        }
        return qe_err_wrap(err, "%.200s:%" PRIu64, import->name, import->line_number);
    }
    import->lot_lines[import->lot.count - 1] = import->line_number;
    import->lot_bytes += message->body_bytes;
    return 0;
}

/* The same for the same line, and another for another message that a second store has counted to
 * the same id. */
static uint64_t hash_line(const struct qe_message *message)
{
    const uint64_t fingerprint = qe_dlq_fingerprint(message);
    uint64_t hash = qe_hash_bytes(QE_HASH_START, &fingerprint, sizeof fingerprint);

    hash = qe_hash_bytes(hash, message->id, strlen(message->id) + 1); /* below it may be cut */
    return qe_hash_bytes(hash, message->deduplication_id, strlen(message->deduplication_id));
}

static void fill(struct import *import, size_t index)
{
    const struct qe_message *message = &import->lot.items[index];
    char *id = import->ids[index];

    (void)snprintf(id, ID_BYTES, "%.150s", message->deduplication_id);
    if (message->deduplication_id[0] != '\0' && message->id[0] != '\0') {
        /* The old one may still be in the target's window; this one keeps a second import out. */
        (void)snprintf(id, ID_BYTES, "import-%.100s-%016" PRIx64, message->id, hash_line(message));
    }
    /* An id that a store has counted out is another message's in another store. */
    import->outgoing[index] =
        (struct qe_outgoing){.body = message->body,
                             .body_bytes = message->body_bytes,
                             .attributes = &message->attributes,
                             .delay_ms = -1,
                             .group = message->group,
                             .deduplication_id = id,
                             .correlation_id = message->correlation_id,
                             .reply_to = message->reply_to,
                             .message_id = message->id_is_publishers ? message->id : NULL};
}

/* Those that the broker did not take are named, the others are in. */
static int count_sent(struct import *import, struct qe_err *err)
{
    size_t refused = 0;

    for (size_t i = 0; i < import->lot.count; i++) {
        const struct qe_err *result = &import->outgoing[i].result;

        if (result->code == QE_OK) {
            import->sent++;
            continue;
        }
        (void)fprintf(stderr, "queuectl dlq import: %s:%" PRIu64 " is not in: ", import->name,
                      import->lot_lines[i]);
        (void)ctl_write_safely(stderr, result->message, strlen(result->message));
        (void)fputc('\n', stderr);
        *err = *result;
        refused++;
    }
    return refused == 0 ? 0 : qe_err_set(err, err->code, "%zu messages were not taken", refused);
}

static int send_lot(struct import *import, struct qe_err *err)
{
    struct ctl *ctl = import->ctl;
    size_t count = import->lot.count;
    int rc = 0;

    if (count == 0) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        fill(import, i);
    }
    rc = ctl->driver->send(ctl->handle, &ctl->queue, import->outgoing, count, ctl_deadline(ctl),
                           err);
    if (rc != 0) {
        (void)qe_err_wrap(err, "%.200s:%" PRIu64, import->name, import->lot_lines[0]);
    } else {
        import->tried_through = import->lot_lines[count - 1];
        rc = count_sent(import, err);
    }
    for (size_t i = 0; i < count; i++) {
        qe_message_deinit(&import->lot.items[i]);
    }
    import->lot.count = 0;
    import->lot_bytes = 0;
    return rc;
}

static bool is_blank(const struct qe_strbuf *line)
{
    return strspn(qe_strbuf_text(line), " \t\r\n") == line->length_bytes;
}

static int import_all(struct import *import, struct qe_err *err)
{
    uint64_t skip = import->ctl->options.skip;
    int rc = 1;

    while (rc == 1 && ctl_stopped == 0) {
        rc = read_line(import, err);
        if (rc != 1 || import->line_number <= skip || is_blank(&import->line)) {
            continue;
        }
        if (take_line(import, err) != 0) {
            struct qe_err ignored = {0};

            (void)send_lot(import, &ignored); /* the lines before the bad one */
            return -1;
        }
        if (import->lot.count == LOT_MAX || import->lot_bytes >= LOT_BYTES_MAX) {
            rc = send_lot(import, err) == 0 ? 1 : -1;
        }
    }
    return rc < 0 ? -1 : send_lot(import, err);
}

static int open_target(struct import *import, char **operands, struct qe_err *err)
{
    struct ctl *ctl = import->ctl;
    struct qe_queue_list list = {0};
    bool is_listed = false;
    int rc = ctl_open(ctl, operands[0], err);

    rc = rc == 0 ? ctl_require(ctl, QE_CAP_SEND, "send", err) : rc;
    rc = rc == 0 ? ctl_list(ctl, &list, &is_listed, err) : rc;
    rc = rc == 0 ? ctl_find(ctl, &list, is_listed, operands[1], &ctl->queue, err) : rc;
    import->keeps_facts = !is_listed;
    if (rc == 0 && is_listed) {
        rc = ctl_is_dead_letter_queue(&list, &ctl->queue, &import->keeps_facts, err);
    }
    qe_queue_list_deinit(&list);
    return rc;
}

static int open_file(struct import *import, struct qe_err *err)
{
    const char *path = import->ctl->options.file;

    import->name = path != NULL ? path : "standard input";
    import->file = path != NULL ? fopen(path, "re") : stdin;
    return import->file != NULL ? 0 : qe_err_set_errno(err, errno, "cannot open %.200s", path);
}

static void say_stopped(const struct import *import)
{
    (void)fflush(stdout);
    (void)fprintf(stderr,
                  "queuectl dlq import: stopped after line %" PRIu64 "; go on with --skip %" PRIu64
                  "\n",
                  import->tried_through, import->tried_through);
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    struct import *import = qe_calloc(1, sizeof *import);
    enum qe_exit code = QE_EXIT_FAILURE;

    (void)count;
    if (import == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "a lot of %d messages", LOT_MAX);
        return QE_EXIT_FAILURE;
    }
    import->ctl = ctl;
    import->tried_through = ctl->options.skip;
    qe_strbuf_init(&import->line, LINE_MAX_BYTES);
    if (open_file(import, err) == 0 && open_target(import, operands, err) == 0) {
        ctl_catch_signals();
        int rc = import_all(import, err);

        char label[CTL_LABEL_BYTES];

        (void)printf("sent %" PRIu64 " to %s\n", import->sent, ctl_label(ctl, &ctl->queue, label));
        if (rc != 0) {
            (void)qe_err_wrap(err,
                              "not all is in, and --skip %" PRIu64 " goes on behind what was tried",
                              import->tried_through);
        } else if (ctl_stopped != 0) {
            say_stopped(import);
        } else {
            code = QE_EXIT_OK;
        }
    }
    if (import->file != NULL && import->file != stdin) {
        (void)fclose(import->file);
    }
    qe_strbuf_deinit(&import->line);
    qe_message_list_deinit(&import->lot);
    qe_free(import);
    return code;
}

const struct ctl_command ctl_dlq_import = {
    .name = "dlq import",
    .operands = "SOURCE QUEUE",
    .summary = "send what dlq export has written",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
