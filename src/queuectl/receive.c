/* queuectl receive, peek and purge: one queue's messages, seen, taken or thrown away. */
#include <inttypes.h>
#include <stdio.h>

#include "queuectl/ctl.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

int ctl_take_wait(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return ctl_take_span(value, &options->wait_ms, err);
}

static int print_all(const struct ctl *ctl, const struct qe_message_list *messages,
                     struct qe_err *err)
{
    for (size_t i = 0; i < messages->count; i++) {
        if (ctl_print_message(&messages->items[i], ctl->options.json, err) != 0) {
            return -1;
        }
    }
    return ctl_flush(err);
}

/* Acks, or gives back at once what was only looked at, as if it had not been received where the
 * driver can do that. */
static int settle_all(struct ctl *ctl, const struct qe_message_list *messages, bool ack,
                      struct qe_err *err)
{
    struct qe_settlement *settlements = qe_calloc(messages->count, sizeof *settlements);
    int rc = 0;

    if (settlements == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "%zu settlements", messages->count);
    }
    for (size_t i = 0; i < messages->count; i++) {
        settlements[i].message = &messages->items[i];
        settlements[i].verb = ack ? QE_SETTLE_ACK : QE_SETTLE_RELEASE;
        settlements[i].unhandled = !ack;
    }
    rc = ctl->driver->settle(ctl->handle, &ctl->queue, settlements, messages->count,
                             ctl_deadline(ctl), err);
    for (size_t i = 0; rc == 0 && i < messages->count; i++) {
        if (settlements[i].result != QE_SETTLED) {
            rc = qe_err_set(err, settlements[i].err.code, "message %s was printed but not %s: %s",
                            messages->items[i].id, ack ? "acked" : "given back",
                            settlements[i].err.message);
        }
    }
    qe_free(settlements);
    return rc;
}

static enum qe_exit run_receive(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct qe_message_list messages = {0};

    (void)count;
    /* A reader that goes away is an error like any other: what it did not get is given back. */
    (void)sigaction(SIGPIPE, &ignore, NULL);
    if (ctl_open_queue(ctl, operands, QE_CAP_RECEIVE, "receive", err) != 0) {
        return QE_EXIT_FAILURE;
    }
    int64_t deadline = qe_clock_mono_ms() + ctl->options.wait_ms;
    int rc = ctl->driver->receive(ctl->handle, &ctl->queue, (size_t)ctl->options.max, deadline,
                                  &messages, err);
    if (rc == 0 && messages.count == 0) {
        char label[CTL_LABEL_BYTES];

        (void)fprintf(stderr, "no message available in %s\n", ctl_label(ctl, &ctl->queue, label));
    } else if (rc == 0) {
        rc = print_all(ctl, &messages, err);
        if (rc != 0) {
            (void)qe_err_wrap(err, "nothing was acked");
        }
        struct qe_err settle_err = {0};
        /* What could not be printed is given back. */
        if (settle_all(ctl, &messages, ctl->options.ack && rc == 0, &settle_err) != 0 && rc == 0) {
            *err = settle_err;
        }
    }
    qe_message_list_deinit(&messages);
    return QE_EXIT_OK;
}

static enum qe_exit run_peek(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    struct qe_message_list messages = {0};

    (void)count;
    if (ctl_open_queue(ctl, operands, QE_CAP_PEEK,
                       "peek without side effects: use receive, which counts as a delivery",
                       err) != 0) {
        return QE_EXIT_FAILURE;
    }
    int rc = ctl->driver->peek(ctl->handle, &ctl->queue, (size_t)ctl->options.max,
                               ctl_deadline(ctl), &messages, err);
    if (rc == 0 && messages.count == 0) {
        char label[CTL_LABEL_BYTES];

        (void)fprintf(stderr, "%s is empty\n", ctl_label(ctl, &ctl->queue, label));
    } else if (rc == 0) {
        (void)print_all(ctl, &messages, err);
    }
    qe_message_list_deinit(&messages);
    return QE_EXIT_OK;
}

int ctl_purge_queue(struct ctl *ctl, struct qe_err *err)
{
    uint64_t purged = 0;
    char label[CTL_LABEL_BYTES];

    if (ctl->driver->purge(ctl->handle, &ctl->queue, ctl_deadline(ctl), &purged, err) != 0) {
        return -1;
    }
    if (purged == UINT64_MAX) {
        (void)printf("purged %s\n", ctl_label(ctl, &ctl->queue, label));
    } else {
        (void)printf("purged %" PRIu64 " from %s\n", purged, ctl_label(ctl, &ctl->queue, label));
    }
    return 0;
}

static enum qe_exit run_purge(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    (void)count;
    if (!ctl->options.yes) {
        qe_err_set(err, QE_ERR_INVALID, "this deletes every message of %.80s for good: say --yes",
                   operands[1]);
        return QE_EXIT_USAGE;
    }
    return ctl_open_queue(ctl, operands, QE_CAP_PURGE, "purge", err) == 0 &&
                   ctl_purge_queue(ctl, err) == 0
               ? QE_EXIT_OK
               : QE_EXIT_FAILURE;
}

static const struct qe_cli_flag s_receive_flags[] = {
    {"wait", "DURATION", "for the first message", "0s", .take = ctl_take_wait},
    {"ack", NULL,
     "delete what was printed; without it, it is given back, and its receive count with it where "
     "the broker can do that",
     CTL_AT(ack)},
    CTL_FLAG_MAX,
    CTL_FLAG_JSON,
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

static const struct qe_cli_flag s_peek_flags[] = {CTL_FLAG_MAX, CTL_FLAG_JSON, CTL_FLAG_VHOST,
                                                  CTL_FLAG_TIMEOUT};

static const struct qe_cli_flag s_purge_flags[] = {
    {"yes", NULL, "yes, delete them all", CTL_AT(yes)},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

const struct ctl_command ctl_receive = {
    .name = "receive",
    .operands = "SOURCE QUEUE",
    .summary = "take messages and print them; --ack deletes them",
    .flags = s_receive_flags,
    .flags_count = sizeof s_receive_flags / sizeof s_receive_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run_receive,
};

const struct ctl_command ctl_peek = {
    .name = "peek",
    .operands = "SOURCE QUEUE",
    .summary = "look at messages without touching them",
    .flags = s_peek_flags,
    .flags_count = sizeof s_peek_flags / sizeof s_peek_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run_peek,
};

const struct ctl_command ctl_purge = {
    .name = "purge",
    .operands = "SOURCE QUEUE",
    .summary = "delete every message of a queue",
    .flags = s_purge_flags,
    .flags_count = sizeof s_purge_flags / sizeof s_purge_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run_purge,
};
