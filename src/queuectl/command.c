/* environ is not in POSIX. */
#define _GNU_SOURCE
#include "queuectl/command.h"

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

static void tend(void *self)
{
    ctl_tend(*(const struct ctl **)self);
}

int ctl_command_run(const struct ctl *ctl, const char *command, const struct qe_message *message,
                    int64_t deadline_mono_ms, struct qe_strbuf *out, struct qe_err *err)
{
    struct qe_strbuf facts[FACTS] = {0};
    char *texts[FACTS] = {NULL};
    char *line = qe_strdup(command);
    char **environment = NULL;
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
            .meanwhile_self = &ctl,
            .deadline_mono_ms = deadline_mono_ms};
        struct qe_child_end end;

        rc = qe_child_run(&task, &end, err);
        rc = rc == 0 ? judge(&end, out, err) : rc;
    }
    for (size_t i = 0; i < FACTS; i++) {
        qe_strbuf_deinit(&facts[i]);
    }
    qe_free(environment);
    qe_free(line);
    return rc;
}
