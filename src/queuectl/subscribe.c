/* queuectl subscribe: what is published to a topic, from now on. */
#include <signal.h>
#include <stdio.h>

#include "queuectl/ctl.h"
#include "util/clock.h"

#define LOT_MAX 100
#define RECEIVE_WAIT_MS 1000
#define AGAIN_MS 1000

static const struct qe_cli_flag s_flags[] = {
    {"key", "PATTERN", "only messages of such routing keys, where the broker has them", NULL,
     CTL_AT(key)},
    {"max", "N", "end after so many messages; 0: when stopped", "0", .take = ctl_take_count_max},
    CTL_FLAG_JSON,
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

/* It is printed. Where the connection that it came by is gone, so is its queue, and there is
 * nothing left to ack. */
static int ack(struct ctl *ctl, const struct qe_message *message, struct qe_err *err)
{
    struct qe_err why = {0};

    if (ctl_settle_one(ctl, &ctl->queue, message, QE_SETTLE_ACK, false, &why) == 0 ||
        why.code == QE_ERR_NOT_FOUND) {
        return 0;
    }
    *err = why;
    return -1;
}

/* Prints and acks what has come; *out_taken counts it. */
static int take_lot(struct ctl *ctl, size_t max, uint64_t *out_taken, struct qe_err *err)
{
    struct qe_message_list lot = {0};
    int rc = ctl->driver->receive(ctl->handle, &ctl->queue, max,
                                  qe_clock_mono_ms() + RECEIVE_WAIT_MS, &lot, err);

    for (size_t i = 0; rc == 0 && i < lot.count; i++) {
        rc = ctl_print_message(&lot.items[i], ctl->options.json, err);
        rc = rc == 0 ? ctl_flush(err) : rc;
        rc = rc == 0 ? ack(ctl, &lot.items[i], err) : rc;
        *out_taken += rc == 0 ? 1 : 0;
    }
    qe_message_list_deinit(&lot);
    return rc;
}

/* A broker that is away is waited for, until Ctrl-C: said once, and when it is back. False: it is
 * no such failure. */
static bool wait_for_broker(const struct ctl *ctl, const struct qe_err *err, bool *is_away)
{
    if (!qe_err_is_retryable(err->code)) {
        return false;
    }
    if (!*is_away) {
        ctl_complain("subscribe", err);
    }
    *is_away = true;
    ctl_sleep_until(ctl, qe_clock_mono_ms() + AGAIN_MS);
    return true;
}

static int take_all(struct ctl *ctl, struct qe_err *err)
{
    uint64_t max = ctl->options.count_max;
    uint64_t taken = 0;
    bool is_away = false;
    int rc = 0;

    while (rc == 0 && ctl_stopped == 0 && (max == 0 || taken < max)) {
        uint64_t left = max == 0 || max - taken > LOT_MAX ? LOT_MAX : max - taken;
        struct qe_err why = {0};

        rc = take_lot(ctl, (size_t)left, &taken, &why);
        if (rc == 0 && is_away) {
            (void)fprintf(stderr, "works again\n");
            is_away = false;
        } else if (rc != 0 && wait_for_broker(ctl, &why, &is_away)) {
            rc = 0;
        } else if (rc != 0) {
            *err = why;
        }
    }
    return rc;
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct qe_topic topic = {.vhost = ctl->options.vhost != NULL ? ctl->options.vhost : "",
                                   .name = operands[1],
                                   .key = ctl->options.key != NULL ? ctl->options.key : ""};
    struct qe_err ignored = {0};

    (void)count;
    if (ctl_open(ctl, operands[0], err) != 0 ||
        ctl_require(ctl, QE_CAP_TOPICS | QE_CAP_RECEIVE, "subscribe to topics", err) != 0) {
        return QE_EXIT_FAILURE;
    }
    (void)sigaction(SIGPIPE, &ignore, NULL); /* a reader that goes away ends it like an error */
    ctl_catch_signals();
    if (ctl->driver->subscribe(ctl->handle, &topic, ctl_deadline(ctl), &ctl->queue, err) != 0) {
        return QE_EXIT_FAILURE;
    }
    (void)fputs("subscribed as ", stderr);
    (void)ctl_write_name(stderr, ctl->queue.name);
    (void)fputc('\n', stderr);
    int rc = take_all(ctl, err);

    if (ctl->driver->unsubscribe(ctl->handle, &ctl->queue, ctl_deadline(ctl), &ignored) != 0) {
        ctl_complain("subscribe", &ignored);
    }
    return rc == 0 ? QE_EXIT_OK : QE_EXIT_FAILURE;
}

const struct ctl_command ctl_subscribe = {
    .name = "subscribe",
    .operands = "SOURCE TOPIC",
    .summary = "print what is published to a topic from now on, until Ctrl-C",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
