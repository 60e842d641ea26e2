/* queuectl reply: answers the requests of a queue with what a command prints. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/command.h"
#include "queuectl/ctl.h"
#include "util/clock.h"

#define RECEIVE_WAIT_MS 1000
/* Of the delivery, for the reply and the ack; and how long a command may take where no delivery
 * ends. */
#define SETTLE_MS 1000
#define COMMAND_MS INT64_C(300000)

static const struct qe_cli_flag s_flags[] = {
    {"exec", "COMMAND",
     "for each request, by /bin/sh: the body on its standard input; what it "
     "prints is the reply, if it ends with 0; it may take as long as the queue's "
     "visibility timeout, less a second",
     NULL, CTL_AT(exec)},
    {"max", "N", "end after so many requests; 0: when stopped", "0", .take = ctl_take_count_max},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

/* A queue of one request is often not listed: then its name must do. */
static int find_replies(struct ctl *ctl, const char *name, struct qe_queue *out, struct qe_err *err)
{
    struct qe_queue_list list = {0};
    struct qe_err ignored = {0};
    bool is_listed = false;
    int rc = ctl_list(ctl, &list, &is_listed, err);

    if (rc == 0 && ctl_find(ctl, &list, is_listed, name, out, &ignored) != 0) {
        rc = qe_queue_init(out, ctl->queue.vhost, name, ctl->queue.kind, err);
    }
    qe_queue_list_deinit(&list);
    return rc;
}

static int send_reply(struct ctl *ctl, const struct qe_message *request,
                      const struct qe_strbuf *body, struct qe_err *err)
{
    struct qe_queue to = {0};
    /* As the consumer does: who sent it knows its id at least. */
    const char *correlation =
        request->correlation_id[0] != '\0' ? request->correlation_id : request->id;
    struct qe_outgoing message = {.body = qe_strbuf_text(body),
                                  .body_bytes = body->length_bytes,
                                  .delay_ms = -1,
                                  .group = request->group,
                                  .correlation_id = correlation};

    if (find_replies(ctl, request->reply_to, &to, err) != 0) {
        return -1;
    }
    int rc = ctl->driver->send(ctl->handle, &to, &message, 1, ctl_deadline(ctl), err);

    qe_queue_deinit(&to);
    if (rc == 0 && message.result.code != QE_OK) {
        *err = message.result;
        rc = -1;
    }
    return rc;
}

/* The reply is sent first, and the request deleted after: a crash in between gives two replies. */
static int answer(struct ctl *ctl, const struct qe_message *request, struct qe_err *err)
{
    struct qe_strbuf out;
    int64_t deadline = request->visible_until_mono_ms > 0
                           ? request->visible_until_mono_ms - SETTLE_MS
                           : qe_clock_mono_ms() + COMMAND_MS;

    if (ctl_stopped != 0) {
        return qe_err_set(err, QE_ERR_CANCELLED, "queuectl is to stop");
    }
    qe_strbuf_init(&out, QE_MESSAGE_BODY_MAX_BYTES);
    int rc = ctl_command_run(ctl, ctl->options.exec, request, deadline, &out, err);

    if (rc == 0 && request->reply_to[0] != '\0') {
        rc = send_reply(ctl, request, &out, err);
        if (rc != 0 && qe_err_is_hopeless(err->code)) {
            ctl_complain("reply", err); /* who asked is gone, or can never get this */
            *err = (struct qe_err){0};
            rc = 0;
        }
    }
    qe_strbuf_deinit(&out);
    return rc;
}

/* 1: a request was handled, well or not; 0: none came; -1. */
static int take_one(struct ctl *ctl, struct qe_err *err)
{
    struct qe_message_list lot = {0};
    int rc = ctl->driver->receive(ctl->handle, &ctl->queue, 1, qe_clock_mono_ms() + RECEIVE_WAIT_MS,
                                  &lot, err);

    for (size_t i = 0; rc >= 0 && i < lot.count; i++) {
        struct qe_err why = {0};
        bool well = answer(ctl, &lot.items[i], &why) == 0;
        bool is_cut = !well && why.code == QE_ERR_CANCELLED; /* which is not the request's fault */

        if (!well) {
            (void)qe_err_wrap(&why, "message %s is given back", lot.items[i].id);
            ctl_complain("reply", &why);
        }
        rc = ctl_settle_one(ctl, &ctl->queue, &lot.items[i],
                            well ? QE_SETTLE_ACK : QE_SETTLE_RELEASE, is_cut, err) == 0
                 ? 1
                 : -1;
    }
    qe_message_list_deinit(&lot);
    return rc;
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    uint64_t max = ctl->options.count_max;
    uint64_t handled = 0;
    int rc = 0;

    (void)count;
    if (ctl->options.exec == NULL) {
        qe_err_set(err, QE_ERR_INVALID, "give the command that answers: --exec COMMAND");
        return QE_EXIT_USAGE;
    }
    (void)sigaction(SIGPIPE, &ignore, NULL);
    if (ctl_open_queue(ctl, operands, QE_CAP_RECEIVE | QE_CAP_SEND, "receive and send", err) != 0) {
        return QE_EXIT_FAILURE;
    }
    ctl_catch_signals();
    while (rc >= 0 && ctl_stopped == 0 && (max == 0 || handled < max)) {
        rc = take_one(ctl, err);
        handled += rc == 1 ? 1 : 0;
    }
    return rc >= 0 ? QE_EXIT_OK : QE_EXIT_FAILURE;
}

const struct ctl_command ctl_reply = {
    .name = "reply",
    .operands = "SOURCE QUEUE",
    .summary = "answer the requests of a queue, until Ctrl-C",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
