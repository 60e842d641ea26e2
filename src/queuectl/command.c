/* environ is not in POSIX. */
#define _GNU_SOURCE
#include "queuectl/command.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "queuectl/ctl.h"
#include "util/child.h"
#include "util/mem.h"

#define FACTS 3

/* Our environment, and `facts` instead of what is there of their names. NULL: out of memory. */
static char **make_environment(char *const facts[FACTS])
{
    size_t count = 0;
    size_t kept = 0;

    while (environ[count] != NULL) {
        count++;
    }
    char **out = qe_calloc(count + FACTS + 1, sizeof *out);

    for (size_t i = 0; out != NULL && i < count; i++) {
        bool is_ours = false;

        for (size_t k = 0; k < FACTS; k++) {
            is_ours = is_ours || strncmp(environ[i], facts[k], strcspn(facts[k], "=") + 1) == 0;
        }
        if (!is_ours) {
            out[kept++] = environ[i];
        }
    }
    for (size_t k = 0; out != NULL && k < FACTS; k++) {
        out[kept++] = facts[k];
    }
    return out;
}

static int judge(const struct qe_child_end *end, const struct qe_strbuf *out, struct qe_err *err)
{
    if (end->is_cancelled) {
        return qe_err_set(err, QE_ERR_CANCELLED, "it was ended, since queuectl is to stop");
    }
    if (end->is_refused) {
        return qe_err_set(err, QE_ERR_LIMIT, "its output is larger than %zu MiB",
                          out->max_bytes >> 20);
    }
    if (end->is_late) {
        return qe_err_set(err, QE_ERR_TIMEOUT, "it did not end in time");
    }
    if (end->signal != 0) {
        return qe_err_set(err, QE_ERR_IO, "it was ended by signal %d", end->signal);
    }
    return end->code == 0 ? 0 : qe_err_set(err, QE_ERR_IO, "it ended with %d", end->code);
}

/* To our own: who started queuectl reads it. */
static bool pass_on(void *self, const char *bytes, size_t count)
{
    (void)self;
    (void)fwrite(bytes, 1, count, stderr);
    return true;
}

struct tending {
    const struct ctl *ctl; /* borrowed */
    atomic_bool is_cancelled;
    sigset_t before; /* once it is cancelled: what was blocked */
};

/* The command is in a group of its own, which a terminal's Ctrl-C does not reach: a stop ends it. A
 * second one, which ends us, waits the moment that this takes: nothing is left behind. */
static void tend(void *self)
{
    struct tending *tending = self;
    sigset_t stopping;

    ctl_tend(tending->ctl);
    if (ctl_stopped != 0 && !atomic_load(&tending->is_cancelled)) {
        (void)sigemptyset(&stopping);
        (void)sigaddset(&stopping, SIGINT);
        (void)sigaddset(&stopping, SIGTERM);
        (void)pthread_sigmask(SIG_BLOCK, &stopping, &tending->before);
        atomic_store(&tending->is_cancelled, true);
    }
}

int ctl_command_run(const struct ctl *ctl, const char *command, const struct qe_message *message,
                    int64_t deadline_mono_ms, struct qe_strbuf *out, struct qe_err *err)
{
    struct qe_strbuf facts[FACTS] = {0};
    char *texts[FACTS] = {NULL};
    char *line = qe_strdup(command);
    char **environment = NULL;
    struct tending tending = {.ctl = ctl};
    int rc = -1;

    (void)qe_strbuf_printf(&facts[0], "QUEUE_MESSAGE_ID=%s", message->id);
    (void)qe_strbuf_printf(&facts[1], "QUEUE_CORRELATION_ID=%s", message->correlation_id);
    (void)qe_strbuf_printf(&facts[2], "QUEUE_REPLY_TO=%s", message->reply_to);
    for (size_t i = 0; i < FACTS; i++) {
        texts[i] = facts[i].data;
    }
    if (texts[0] != NULL && texts[1] != NULL && texts[2] != NULL) {
        environment = make_environment(texts);
    }
    if (line == NULL || environment == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "command");
    } else {
        char shell[] = "/bin/sh";
        char option[] = "-c";
        char *argv[] = {shell, option, line, NULL};
        struct qe_child_text text = {.text = out, .max_bytes = out->max_bytes, .stops = true};
        const struct qe_child_task task = {
            .program = {.argv = argv, .environment = environment, .is_fed = true},
            .input = message->body,
            .input_bytes = message->body_bytes,
            .out = {qe_child_keep, &text},
            .words = {pass_on, NULL},
            .meanwhile = tend,
            .meanwhile_self = &tending,
            .cancelled = &tending.is_cancelled,
            .deadline_mono_ms = deadline_mono_ms,
            .grace_ms = QE_CHILD_CANCEL_MS, /* of a stop: at the deadline there is no time left */
            .last_mono_ms = deadline_mono_ms};
        struct qe_child_end end;

        rc = qe_child_run(&task, &end, err);
        if (atomic_load(&tending.is_cancelled)) {
            (void)pthread_sigmask(SIG_SETMASK, &tending.before, NULL);
        }
        rc = rc == 0 ? judge(&end, out, err) : rc;
    }
    for (size_t i = 0; i < FACTS; i++) {
        qe_strbuf_deinit(&facts[i]);
    }
    qe_free(environment);
    qe_free(line);
    return rc;
}
