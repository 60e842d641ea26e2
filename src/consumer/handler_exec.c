/* A process per message. Source: sysexits.h of BSD for the exit statuses. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "consumer/facts.h"
#include "consumer/handled.h"
#include "consumer/handlers.h"
#include "consumer/output.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

#define EXIT_PERMANENT 65 /* EX_DATAERR */
#define EXIT_TEMPORARY 75 /* EX_TEMPFAIL */
/* Between SIGTERM and SIGKILL, when its own timeout has come. */
#define GRACE_MS 5000

struct exec {
    struct qe_handler_common common;
    struct qe_command command;
    struct qe_output output;
};

/* One run's ends. */
struct run {
    const struct exec *exec;
    const struct qe_message *message;
    struct qe_handled *out;
    struct qe_output_lines words;
    struct qe_output_lines lines; /* of standard output, when nobody wants a reply */
    struct qe_child_text reply;
    bool wants_reply;
    bool by_timeout; /* its own `timeout`, not the consumer's */
};

static void judge_exit(const struct run *run, const struct qe_child_end *end)
{
    const struct qe_reason_words *reasons = &run->exec->common.reasons;
    const char *said = run->words.last;
    char lead[64];

    if (end->code == 0 && run->reply.is_cut) {
        qe_handled_fail(run->out, QE_OUTCOME_REJECT, QE_FAIL_PERMANENT,
                        "its reply is longer than max_reply (%zu bytes)", run->reply.max_bytes);
    } else if (end->code == 0) {
        run->out->outcome = QE_OUTCOME_SUCCESS;
    } else if (end->code == EXIT_PERMANENT || end->code == EXIT_TEMPORARY) {
        qe_handled_fail_saying(run->out,
                               end->code == EXIT_PERMANENT ? QE_OUTCOME_REJECT : QE_OUTCOME_RETRY,
                               reasons, *said == '\0' ? "the command gave no reason" : "", said);
    } else {
        (void)snprintf(lead, sizeof lead, end->code >= 0 ? "exit status %d" : "ended by signal %d",
                       end->code >= 0 ? end->code : end->signal);
        qe_handled_fail_saying(run->out, QE_OUTCOME_RETRY, reasons, lead, said);
    }
}

static void judge(const struct run *run, const struct qe_child_end *end)
{
    char timeout[32];

    if (end->is_refused) {
        qe_handled_fail(run->out, QE_OUTCOME_RETRY, QE_FAIL_INTERNAL, "out of memory");
    } else if (end->is_cancelled) {
        qe_handled_fail(run->out, QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR,
                        "the command was cut short");
    } else if (end->is_late) {
        qe_handled_fail(
            run->out, QE_OUTCOME_RETRY, QE_FAIL_TIMEOUT, "the command took longer than %s",
            run->by_timeout ? qe_text_from_duration(run->exec->common.timeout_ms, timeout)
                            : "max_handling_time");
    } else {
        judge_exit(run, end);
    }
    if (run->out->outcome != QE_OUTCOME_SUCCESS) {
        qe_strbuf_deinit(&run->out->reply);
    }
}

static void start(struct run *run, struct qe_facts *facts, const struct qe_handling *handling)
{
    const struct qe_handler_common *common = &run->exec->common;
    const int64_t own = qe_handler_deadline(common, handling, &run->by_timeout);
    char *environment[QE_FACTS_MAX + 1];
    struct qe_err err = {0};
    struct qe_child_end end;

    qe_facts_add_base(facts, &run->exec->command);
    qe_facts_add_origin(facts, &common->origin);
    qe_facts_add_message(facts, run->message);
    if (qe_facts_error(facts, &err) != 0) {
        qe_handled_fail(run->out, QE_OUTCOME_RETRY, QE_FAIL_INTERNAL, "%s", err.message);
        return;
    }
    qe_facts_fill_environment(facts, environment);
    const struct qe_child_task task = {
        .program = {.argv = run->exec->command.argv, .environment = environment, .is_fed = true},
        .input = run->message->body,
        .input_bytes = run->message->body_bytes,
        .out = {run->wants_reply ? qe_child_keep : qe_output_take,
                run->wants_reply ? (void *)&run->reply : (void *)&run->lines},
        .words = {qe_output_take, &run->words},
        .deadline_mono_ms = own,
        .grace_ms = run->by_timeout ? GRACE_MS : QE_CHILD_CANCEL_MS,
        .last_mono_ms = handling->deadline_mono_ms < INT64_MAX - QE_CHILD_CANCEL_MS
                            ? handling->deadline_mono_ms + QE_CHILD_CANCEL_MS
                            : 0,
        .cancelled = handling->cancelled};

    if (qe_child_run(&task, &end, &err) != 0) {
        /* Only what a message brings along makes an environment too long for one and not for all.
         */
        qe_handled_fail(run->out, QE_OUTCOME_RETRY,
                        err.sys_errno == E2BIG ? QE_FAIL_HANDLER_ERROR : QE_FAIL_INTERNAL, "%s",
                        err.message);
        return;
    }
    qe_output_flush(&run->words);
    qe_output_flush(&run->lines);
    judge(run, &end);
}

static void handle(void *self, const struct qe_message *const *messages, size_t count,
                   const struct qe_handling *handling, struct qe_handled *out)
{
    struct exec *exec = self;
    struct qe_facts facts;
    struct run run = {.exec = exec,
                      .message = messages[0],
                      .out = out,
                      .words = {.output = &exec->output, .stream = "stderr", .id = messages[0]->id},
                      .lines = {.output = &exec->output, .stream = "stdout", .id = messages[0]->id},
                      .reply = {.text = &out->reply, .max_bytes = exec->common.reply_max_bytes},
                      .wants_reply = messages[0]->reply_to[0] != '\0'};

    (void)count; /* always 1 */
    qe_facts_init(&facts, &qe_facts_environment);
    start(&run, &facts, handling);
    qe_facts_deinit(&facts);
}

void *qe_handler_exec_new(const struct qe_exec_options *options, struct qe_err *err)
{
    struct exec *exec = qe_calloc(1, sizeof *exec);

    if (exec == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "exec handler");
        return NULL;
    }
    exec->common = options->common;
    if (qe_command_init(&exec->command, &options->program, err) == 0) {
        if (qe_output_init(&exec->output, &options->common.origin, "exec", err) == 0) {
            return exec;
        }
        qe_command_deinit(&exec->command);
    }
    qe_free(exec);
    return NULL;
}

static void destroy(void *self)
{
    struct exec *exec = self;

    if (exec != NULL) {
        qe_output_deinit(&exec->output);
        qe_command_deinit(&exec->command);
        qe_free(exec);
    }
}

const struct qe_handler qe_handler_exec = {.name = "exec", .handle = handle, .destroy = destroy};
