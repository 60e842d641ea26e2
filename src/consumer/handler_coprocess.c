/* A long-lived process per worker. It is started when its first message comes, and anew, with
 * backoff, when it has ended or has broken the protocol; the messages that it had are tried again.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "consumer/backoff.h"
#include "consumer/exchange.h"
#include "consumer/handlers.h"
#include "consumer/output.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS 10000
/* At the end: what it has to finish once its standard input is closed, and again after SIGTERM. */
#define END_STEP_MS 1000
#define STEP_MS 50
/* For one that has closed its input or output to end: how it ended says more. */
#define END_OF_STREAM_MS 500

/* One worker's process. */
struct seat {
    struct qe_child child;
    struct qe_strbuf question;
    struct qe_strbuf answer; /* one line, and what came behind it */
    struct qe_output_lines words;
    uint64_t next_id;
    uint64_t failures_in_row;
    int64_t start_mono_ms; /* not before */
    bool cannot_start;     /* the last time it was tried, for a reason of ours */
    struct qe_random random;
};

struct coprocess {
    struct qe_handler_common common;
    struct qe_command command;
    struct qe_output output;
    struct seat *seats; /* owned; one per worker */
    size_t seats_count;
};

/* --- life --- */

static void log_end(const struct coprocess *coprocess, const char *why,
                    const struct qe_child_end *end)
{
    const struct qe_origin *origin = &coprocess->common.origin;
    char number[24];

    (void)snprintf(number, sizeof number, "%d", end->signal != 0 ? end->signal : end->code);
    qe_log(QE_LOG_WARN, "a coprocess ended", "source", origin->source, "queue", origin->queue,
           "why", why, end->signal != 0 ? "signal" : "exit_status", number, NULL);
}

static void note_failure(struct seat *seat)
{
    const struct qe_backoff backoff = {.initial_ms = RESTART_FIRST_MS, .max_ms = RESTART_MAX_MS};

    seat->failures_in_row++;
    seat->start_mono_ms =
        qe_clock_mono_ms() + qe_backoff_ms(&backoff, seat->failures_in_row, &seat->random);
}

/* Takes bytes of the answer. False: the line is too long. */
static bool take_answer(void *self, const char *bytes, size_t count)
{
    return qe_strbuf_append(self, bytes, count) == 0;
}

static struct qe_child_io make_io(struct seat *seat)
{
    return (struct qe_child_io){.out = {take_answer, &seat->answer},
                                .words = {qe_output_take, &seat->words}};
}

/* Ended by itself or by us: what it still had to say goes into the log. */
static void dispose(struct coprocess *coprocess, struct seat *seat, const char *why)
{
    struct qe_child_io io = make_io(seat);
    struct qe_child_end end = {0};

    qe_child_drain(&seat->child, &io);
    qe_output_flush(&seat->words);
    qe_child_reap(&seat->child, &end);
    qe_exchange_reset(&seat->answer);
    log_end(coprocess, why, &end);
    note_failure(seat);
}

static bool is_cancelled(const struct qe_handling *handling)
{
    return atomic_load(handling->cancelled);
}

/* Waits until it may be started: the message keeps its visibility meanwhile, and no receive is
 * spent on a program that does not live. */
static int wait_for_start(const struct seat *seat, const struct qe_handling *handling,
                          int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct timespec pause = {.tv_nsec = STEP_MS * 1000000L};

    while (qe_clock_mono_ms() < seat->start_mono_ms) {
        if (is_cancelled(handling) || qe_clock_mono_ms() >= deadline_mono_ms) {
            return qe_err_set(err, QE_ERR_TIMEOUT, "the coprocess %s",
                              seat->cannot_start ? "cannot be started" : "does not stay alive");
        }
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int launch(struct coprocess *coprocess, struct seat *seat, struct qe_err *err)
{
    char *environment[QE_FACTS_MAX + 1];
    struct qe_facts facts;
    char worker[24];

    (void)snprintf(worker, sizeof worker, "%zu", (size_t)(seat - coprocess->seats));
    qe_facts_init(&facts, &qe_facts_environment);
    qe_facts_add_base(&facts, &coprocess->command);
    qe_facts_add_origin(&facts, &coprocess->common.origin);
    qe_facts_add(&facts, "QUEUE_WORKER", worker);
    int rc = qe_facts_error(&facts, err);

    if (rc == 0) {
        qe_facts_fill_environment(&facts, environment);
        const struct qe_child_program program = {
            .argv = coprocess->command.argv, .environment = environment, .is_fed = true};

        rc = qe_child_start(&seat->child, &program, err);
    }
    qe_facts_deinit(&facts);
    seat->cannot_start = rc != 0;
    if (rc != 0) {
        note_failure(seat);
    }
    return rc;
}

/* --- one exchange --- */

static const char *find_line_end(const struct seat *seat)
{
    return seat->answer.length_bytes == 0
               ? NULL
               : memchr(seat->answer.data, '\n', seat->answer.length_bytes);
}

static int64_t earlier(int64_t a_mono_ms, int64_t b_mono_ms)
{
    return a_mono_ms < b_mono_ms ? a_mono_ms : b_mono_ms;
}

/* It has closed a stream: most likely it ends, and its last words may be the answer. */
static void see_it_end(struct seat *seat, struct qe_child_io *io, int64_t until_mono_ms)
{
    struct qe_child *child = &seat->child;

    while (!child->is_over && find_line_end(seat) == NULL && qe_clock_mono_ms() < until_mono_ms) {
        if (!qe_child_step(child, io, until_mono_ms)) {
            return;
        }
    }
}

/* One step of the conversation; -1: it is over, and there is no answer. */
static int converse_step(struct seat *seat, struct qe_child_io *io, int64_t deadline_mono_ms,
                         struct qe_err *err)
{
    struct qe_child *child = &seat->child;
    const int64_t now = qe_clock_mono_ms();
    const int64_t next = earlier(now + STEP_MS, deadline_mono_ms);

    if (now >= deadline_mono_ms) {
        return qe_err_set(err, QE_ERR_TIMEOUT, "the coprocess did not answer in time");
    }
    if (!qe_child_step(child, io, next)) {
        return seat->answer.failed == QE_ERR_LIMIT
                   ? qe_err_set(err, QE_ERR_LIMIT,
                                "the coprocess's answer is longer than %zu bytes",
                                seat->answer.max_bytes)
                   : qe_err_set(err, QE_ERR_NOMEM, "out of memory for the coprocess's answer");
    }
    if (child->in < 0 || child->out < 0) {
        see_it_end(seat, io, earlier(deadline_mono_ms, now + END_OF_STREAM_MS));
    }
    if (child->is_over) {
        qe_child_drain(child, io); /* its last words may be the answer */
    }
    if (find_line_end(seat) == NULL && (child->is_over || child->in < 0 || child->out < 0)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "the coprocess %s before it answered",
                          child->is_over   ? "ended"
                          : child->out < 0 ? "closed its output"
                                           : "closed its input");
    }
    return 0;
}

/* Writes the question and reads one line. */
static int converse(struct seat *seat, const struct qe_handling *handling, int64_t deadline_mono_ms,
                    struct qe_err *err)
{
    struct qe_child_io io = make_io(seat);

    io.input = seat->question.data;
    io.input_bytes = seat->question.length_bytes;
    while (find_line_end(seat) == NULL) {
        if (is_cancelled(handling)) {
            return qe_err_set(err, QE_ERR_CANCELLED, "the coprocess was cut short");
        }
        if (converse_step(seat, &io, deadline_mono_ms, err) != 0) {
            return -1;
        }
    }
    return io.input_bytes == 0
               ? 0
               : qe_err_set(err, QE_ERR_PROTOCOL, "the coprocess answered before it had read all");
}

/* The question and its answer: all results are in `out`. */
static int exchange_lines(struct seat *seat, const struct qe_exchange *exchange,
                          const struct qe_handling *handling, int64_t deadline_mono_ms,
                          struct qe_handled *out, struct qe_err *err)
{
    seat->words.id = exchange->count == 1 ? exchange->messages[0]->id : NULL;
    int rc = converse(seat, handling, deadline_mono_ms, err);

    seat->words.id = NULL;
    if (rc != 0) {
        return -1;
    }
    const size_t bytes = (size_t)(find_line_end(seat) - seat->answer.data);

    if (bytes + 1 < seat->answer.length_bytes) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "the coprocess printed more than one line");
    }
    if (qe_exchange_answer(exchange, seat->answer.data, bytes, out, err) != 0) {
        return qe_err_wrap(err, "the coprocess's answer was not understood");
    }
    qe_exchange_reset(&seat->answer);
    return 0;
}

/* --- the handler --- */

/* Whether it is there and waits for a question; one that does not is ended. */
static bool is_usable(struct coprocess *coprocess, struct seat *seat)
{
    struct qe_child_io io = make_io(seat);
    const char *why = NULL;

    if (seat->child.pid == 0) {
        return false;
    }
    (void)qe_child_step(&seat->child, &io, 0);
    if (seat->child.is_over) {
        why = "it ended while it had nothing to do";
    } else if (seat->answer.length_bytes > 0) {
        why = "it printed what nobody had asked for";
    } else if (seat->child.in < 0 || seat->child.out < 0) {
        why = "it closed its input or output while it had nothing to do";
    }
    if (why != NULL) {
        dispose(coprocess, seat, why);
    }
    return why == NULL;
}

/* Starts it where none runs. */
static int ensure(struct coprocess *coprocess, struct seat *seat,
                  const struct qe_handling *handling, int64_t deadline_mono_ms, struct qe_err *err)
{
    if (is_usable(coprocess, seat)) {
        return 0;
    }
    return wait_for_start(seat, handling, deadline_mono_ms, err) != 0
               ? -1
               : launch(coprocess, seat, err);
}

static void work(struct coprocess *coprocess, struct seat *seat, const struct qe_exchange *exchange,
                 const struct qe_handling *handling, struct qe_handled *out)
{
    bool by_timeout = false;
    int64_t deadline = qe_handler_deadline(&coprocess->common, handling, &by_timeout);
    struct qe_err err = {0};

    qe_exchange_reset(&seat->question);
    seat->answer.max_bytes = qe_exchange_answer_max_bytes(exchange);
    if (qe_exchange_ask(exchange, &seat->question, &err) != 0 ||
        (qe_strbuf_append_char(&seat->question, '\n') != 0 &&
         qe_strbuf_error(&seat->question, &err) != 0)) {
        qe_exchange_fail(exchange, out, qe_exchange_reason(&err), err.message);
        return;
    }
    if (ensure(coprocess, seat, handling, deadline, &err) != 0) {
        qe_exchange_fail(exchange, out,
                         seat->cannot_start ? QE_FAIL_INTERNAL : QE_FAIL_HANDLER_ERROR,
                         err.message);
        return;
    }
    if (exchange_lines(seat, exchange, handling, deadline, out, &err) == 0) {
        seat->failures_in_row = 0;
        return;
    }
    qe_exchange_fail(exchange, out, qe_exchange_reason(&err), err.message);
    dispose(coprocess, seat, err.message);
}

static void handle(void *self, const struct qe_message *const *messages, size_t count,
                   const struct qe_handling *handling, struct qe_handled *out)
{
    struct coprocess *coprocess = self;
    struct seat *seat = &coprocess->seats[handling->worker];
    const struct qe_exchange exchange = {.common = &coprocess->common,
                                         .messages = messages,
                                         .count = count,
                                         .first_id = seat->next_id};

    seat->next_id += count;
    work(coprocess, seat, &exchange, handling, out);
}

/* What it says on standard error meanwhile goes into the log, and its end is noticed. */
static void tend(void *self, uint64_t worker)
{
    struct coprocess *coprocess = self;

    (void)is_usable(coprocess, &coprocess->seats[worker]);
}

/* All at once: each step waits for the slowest only. */
static void end_all(struct coprocess *coprocess)
{
    for (int step = 0; step < 2; step++) {
        int64_t until = qe_clock_mono_ms() + END_STEP_MS;

        for (size_t i = 0; i < coprocess->seats_count; i++) {
            struct qe_child *child = &coprocess->seats[i].child;

            qe_child_close_input(child);
            if (step == 1 && !child->is_over) {
                qe_child_signal(child, SIGTERM);
            }
        }
        for (size_t i = 0; i < coprocess->seats_count; i++) {
            struct seat *seat = &coprocess->seats[i];
            struct qe_child_io io = make_io(seat);

            qe_strbuf_reset(&seat->answer); /* nobody asks any more */
            while (seat->child.pid > 0 && !seat->child.is_over && qe_clock_mono_ms() < until) {
                (void)qe_child_step(&seat->child, &io, until);
            }
        }
    }
}

static void end_seat(struct seat *seat)
{
    struct qe_child_io io = make_io(seat);
    struct qe_child_end end = {0};

    qe_child_drain(&seat->child, &io);
    qe_output_flush(&seat->words);
    qe_child_reap(&seat->child, &end);
    qe_strbuf_deinit(&seat->question);
    qe_strbuf_deinit(&seat->answer);
}

static void destroy(void *self)
{
    struct coprocess *coprocess = self;

    if (coprocess == NULL) {
        return;
    }
    end_all(coprocess);
    for (size_t i = 0; i < coprocess->seats_count; i++) {
        end_seat(&coprocess->seats[i]);
    }
    qe_output_deinit(&coprocess->output);
    qe_command_deinit(&coprocess->command);
    qe_free(coprocess->seats);
    qe_free(coprocess);
}

static void init_seats(struct coprocess *coprocess, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct seat *seat = &coprocess->seats[i];

        seat->child = (struct qe_child)QE_CHILD_NONE;
        seat->words = (struct qe_output_lines){.output = &coprocess->output, .stream = "stderr"};
        seat->next_id = 1;
        qe_random_init(&seat->random, 0);
    }
    coprocess->seats_count = count;
}

void *qe_handler_coprocess_new(const struct qe_coprocess_options *options, struct qe_err *err)
{
    struct coprocess *coprocess = qe_calloc(1, sizeof *coprocess);
    const size_t count = (size_t)options->common.workers;

    if (coprocess == NULL || (coprocess->seats = qe_calloc(count, sizeof(struct seat))) == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "coprocess handler");
        qe_free(coprocess);
        return NULL;
    }
    coprocess->common = options->common;
    if (qe_command_init(&coprocess->command, &options->program, err) == 0) {
        if (qe_output_init(&coprocess->output, &options->common.origin, "coprocess", err) == 0) {
            init_seats(coprocess, count);
            return coprocess;
        }
        qe_command_deinit(&coprocess->command);
    }
    qe_free(coprocess->seats);
    qe_free(coprocess);
    return NULL;
}

const struct qe_handler qe_handler_coprocess = {
    .name = "coprocess", .takes_batches = true, .handle = handle, .tend = tend, .destroy = destroy};
