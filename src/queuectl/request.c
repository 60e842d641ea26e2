/* queuectl request: a message, and the reply to it. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/ctl.h"
#include "util/clock.h"

#define LOT_MAX 10
#define RECEIVE_WAIT_MS 1000
#define ID_BYTES 33
/* A reply of others in a shared queue is left to them for a moment. */
#define PAUSE_MS 100

static const struct qe_cli_flag s_flags[] = {
    {"body", "TEXT", "the message", CTL_AT(body)},
    {"file", "FILE", "read the message from a file; \"-\" as third operand: from standard input",
     CTL_AT(file)},
    {"attribute", "NAME=VALUE", "repeatable", NULL, .take = ctl_take_attribute},
    {"group", "NAME", "ordered group", CTL_AT(group)},
    {"reply-to", "QUEUE", "where the reply is to go", "a queue of its own, where there are such",
     CTL_AT(to)},
    {"timeout", "DURATION", "for the reply, and for each call to the broker", "10s",
     .take = ctl_take_timeout},
    CTL_FLAG_JSON,
    CTL_FLAG_VHOST,
};

struct request {
    struct ctl *ctl;
    struct qe_queue replies; /* owned */
    bool is_own;             /* made for this one request */
    char id[ID_BYTES];
};

static int make_id(char out[ID_BYTES], struct qe_err *err)
{
    unsigned char bytes[(ID_BYTES - 1) / 2];

    if (qe_random_secret(bytes, sizeof bytes) != 0) {
        return qe_err_set(err, QE_ERR_IO, "the kernel gives no random bytes");
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
    return 0;
}

static int open_replies(struct request *request, struct qe_err *err)
{
    struct ctl *ctl = request->ctl;
    struct qe_queue_list list = {0};
    bool is_listed = false;

    if (ctl->options.to == NULL) {
        if ((ctl->driver->caps & QE_CAP_TOPICS) == 0) {
            return qe_err_set(err, QE_ERR_UNSUPPORTED,
                              "source %s: type %s makes no queues for replies: name one with "
                              "--reply-to",
                              ctl->source->name, ctl->driver->name);
        }
        const struct qe_topic none = {.vhost = ctl->queue.vhost, .key = ""};

        request->is_own = ctl->driver->subscribe(ctl->handle, &none, ctl_deadline(ctl),
                                                 &request->replies, err) == 0;
        return request->is_own ? 0 : -1;
    }
    int rc = ctl_list(ctl, &list, &is_listed, err);

    rc = rc == 0 ? ctl_find(ctl, &list, is_listed, ctl->options.to, &request->replies, err) : rc;
    qe_queue_list_deinit(&list);
    return rc;
}

static int send_request(const struct request *request, const struct qe_strbuf *body,
                        struct qe_err *err)
{
    struct ctl *ctl = request->ctl;
    struct qe_outgoing message = {.body = qe_strbuf_text(body),
                                  .body_bytes = body->length_bytes,
                                  .attributes = &ctl->options.attributes,
                                  .delay_ms = -1,
                                  .group = ctl->options.group,
                                  .correlation_id = request->id,
                                  .reply_to = request->replies.name};

    if (ctl->driver->send(ctl->handle, &ctl->queue, &message, 1, ctl_deadline(ctl), err) != 0) {
        return -1;
    }
    if (message.result.code != QE_OK) {
        *err = message.result;
        return -1;
    }
    return 0;
}

static int print_reply(const struct request *request, const struct qe_message *message,
                       struct qe_err *err)
{
    if (request->ctl->options.json) {
        return ctl_print_message(message, true, err) == 0 ? ctl_flush(err) : -1;
    }
    (void)ctl_write_safely(stdout, message->body, message->body_bytes);
    (void)putchar('\n');
    return ctl_flush(err);
}

/* True: the reply was among them, and is printed, or *err says why not: then it is given back, as
 * others are. */
static bool take_lot(const struct request *request, const struct qe_message_list *lot,
                     struct qe_err *err)
{
    struct ctl *ctl = request->ctl;
    bool found = false;

    for (size_t i = 0; i < lot->count; i++) {
        const struct qe_message *message = &lot->items[i];
        bool is_ours = !found && strcmp(message->correlation_id, request->id) == 0;
        bool is_printed = is_ours && print_reply(request, message, err) == 0;
        struct qe_err ignored = {0};

        found = found || is_ours;
        /* What fails comes back to whoever it is for, or to nobody. */
        (void)!ctl_settle_one(ctl, &request->replies, message,
                              is_printed ? QE_SETTLE_ACK : QE_SETTLE_RELEASE, !is_printed,
                              &ignored);
    }
    return found;
}

static int wait_for_reply(const struct request *request, struct qe_err *err)
{
    struct ctl *ctl = request->ctl;
    int64_t end = ctl_deadline(ctl);
    bool found = false;
    int rc = 0;

    for (int64_t now = qe_clock_mono_ms(); rc == 0 && !found && ctl_stopped == 0 && now < end;
         now = qe_clock_mono_ms()) {
        struct qe_message_list lot = {0};
        int64_t until = now + RECEIVE_WAIT_MS < end ? now + RECEIVE_WAIT_MS : end;

        rc = ctl->driver->receive(ctl->handle, &request->replies, LOT_MAX, until, &lot, err);
        found = rc == 0 && take_lot(request, &lot, err);
        bool is_crowded = rc == 0 && !found && lot.count > 0;

        qe_message_list_deinit(&lot);
        if (is_crowded) {
            ctl_sleep_until(ctl, qe_clock_mono_ms() + PAUSE_MS);
        }
    }
    if (rc == 0 && !found && err->code == QE_OK) {
        char label[CTL_LABEL_BYTES];

        return qe_err_set(err, QE_ERR_TIMEOUT,
                          "no reply from %.120s %s: does something work on that queue? --timeout "
                          "waits longer",
                          ctl_label(ctl, &ctl->queue, label),
                          ctl_stopped != 0 ? "before it was stopped" : "in time");
    }
    return rc == 0 && found && err->code == QE_OK ? 0 : -1;
}

static int ask(struct request *request, const struct qe_strbuf *body, struct qe_err *err)
{
    struct ctl *ctl = request->ctl;
    struct qe_err ignored = {0};
    int rc = -1;

    if (make_id(request->id, err) == 0 && open_replies(request, err) == 0 &&
        send_request(request, body, err) == 0) {
        rc = wait_for_reply(request, err);
    }
    if (request->is_own && ctl->driver->unsubscribe(ctl->handle, &request->replies,
                                                    ctl_deadline(ctl), &ignored) != 0) {
        ctl_complain("request", &ignored);
    }
    qe_queue_deinit(&request->replies);
    return rc;
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct request request = {.ctl = ctl};
    bool from_stdin = count == 3 && strcmp(operands[2], "-") == 0;
    struct qe_strbuf body;
    enum qe_exit code = QE_EXIT_FAILURE;

    if (count == 3 && !from_stdin) {
        qe_err_set(err, QE_ERR_INVALID, "unexpected \"%.60s\": give the message by --body TEXT",
                   operands[2]);
        return QE_EXIT_USAGE;
    }
    qe_strbuf_init(&body, QE_MESSAGE_BODY_MAX_BYTES);
    (void)sigaction(SIGPIPE, &ignore, NULL); /* a reader that goes away ends it like an error */
    ctl_catch_signals();
    if (ctl_read_body(&ctl->options, from_stdin, &body, err) == 0 &&
        ctl_open_queue(ctl, operands, QE_CAP_SEND | QE_CAP_RECEIVE, "send and receive", err) == 0 &&
        ask(&request, &body, err) == 0) {
        code = QE_EXIT_OK;
    }
    qe_strbuf_deinit(&body);
    return code;
}

const struct ctl_command ctl_request = {
    .name = "request",
    .operands = "SOURCE QUEUE [-]",
    .summary = "send a message and print the reply to it",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 2,
    .operands_max = 3,
    .run = run,
};
