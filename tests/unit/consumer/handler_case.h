/* One handler and messages by hand, without a consumer around them. */
#ifndef QE_TESTS_UNIT_CONSUMER_HANDLER_CASE_H
#define QE_TESTS_UNIT_CONSUMER_HANDLER_CASE_H

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "consumer/handlers.h"
#include "support/check.h"
#include "support/processes.h"
#include "util/clock.h"
#include "util/mem.h"

#define CASE_PATIENCE_MS 20000
#define CASE_BATCH_MAX 8

struct handler_case {
    const struct qe_handler *handler;
    void *self;
    struct qe_message messages[CASE_BATCH_MAX];
    size_t count;
    struct qe_handled handled[CASE_BATCH_MAX];
    atomic_bool cancelled;
    int64_t max_ms; /* max_handling_time */
    bool asks;      /* each message, for a reply */
    int64_t spent_ms;
};

static inline struct qe_handler_common case_common(int64_t timeout_ms)
{
    static const char *const s_words[] = {"bad_address", "downstream"};

    return (struct qe_handler_common){
        .origin = {.source = "local", .vhost = "", .queue = "orders"},
        .reasons = {.items = s_words, .count = sizeof s_words / sizeof s_words[0]},
        .timeout_ms = timeout_ms,
        .reply_max_bytes = 1000,
        .workers = 2};
}

static inline void case_text(char **text, const char *to)
{
    qe_free(*text);
    *text = qe_strdup(to);
    assert_non_null(*text);
}

static inline struct qe_message *case_message(struct handler_case *at, const char *id,
                                              const char *body)
{
    struct qe_message *message = &at->messages[at->count++];
    struct qe_err err = {0};

    assert_ok(qe_message_init(message, &err), err);
    case_text(&message->id, id);
    case_text(&message->body, body);
    case_text(&message->reply_to, at->asks ? "answers" : "");
    message->body_bytes = strlen(body);
    message->receives = 1;
    return message;
}

static inline void case_init(struct handler_case *at, const struct qe_handler *handler, void *self)
{
    *at = (struct handler_case){.handler = handler, .self = self, .max_ms = CASE_PATIENCE_MS};
    assert_non_null(self);
}

static inline void case_forget(struct handler_case *at)
{
    for (size_t i = 0; i < at->count; i++) {
        qe_message_deinit(&at->messages[i]);
        qe_strbuf_deinit(&at->handled[i].reply);
    }
    at->count = 0;
}

/* All messages at once, as the consumer's worker 1 does it; results in at->handled. */
static inline void case_handle(struct handler_case *at)
{
    const struct qe_message *messages[CASE_BATCH_MAX];
    const int64_t started = qe_clock_mono_ms();
    const struct qe_handling handling = {
        .deadline_mono_ms = started + at->max_ms, .cancelled = &at->cancelled, .worker = 1};

    for (size_t i = 0; i < at->count; i++) {
        messages[i] = &at->messages[i];
        qe_strbuf_deinit(&at->handled[i].reply);
        at->handled[i] = (struct qe_handled){
            .outcome = QE_OUTCOME_RETRY, .reason = QE_FAIL_INTERNAL, .retry_delay_ms = -1};
    }
    at->handler->handle(at->self, messages, at->count, &handling, at->handled);
    at->spent_ms = qe_clock_mono_ms() - started;
}

/* One message of that body; the result is valid until the next. */
static inline const struct qe_handled *case_one(struct handler_case *at, const char *body)
{
    case_forget(at);
    (void)case_message(at, "m-1", body);
    case_handle(at);
    return &at->handled[0];
}

static inline void case_deinit(struct handler_case *at)
{
    case_forget(at);
    at->handler->destroy(at->self);
}

/* label NULL: the closed reason is the label. */
static inline void case_expect(const struct qe_handled *handled, enum qe_outcome outcome,
                               enum qe_fail_reason reason, const char *label, const char *detail)
{
    if (handled->outcome != outcome ||
        (outcome != QE_OUTCOME_SUCCESS && strcmp(handled->detail, detail) != 0)) {
        fail_msg("%s: %s", qe_outcome_name(handled->outcome), handled->detail);
    }
    if (outcome != QE_OUTCOME_SUCCESS) {
        assert_int_equal(handled->reason, reason);
        assert_int_equal(handled->label != NULL, label != NULL);
        if (label != NULL) {
            assert_string_equal(handled->label, label);
        }
    }
}

typedef void *case_make_fn(struct qe_err *err);
struct case_making {
    const struct qe_handler *handler;
    case_make_fn *make;
};

static inline int case_make_once(void *context, struct qe_err *err)
{
    const struct case_making *making = context;
    void *self = making->make(err);

    making->handler->destroy(self);
    return self == NULL ? -1 : 0;
}

/* Every allocation that making one needs fails once. */
static inline void case_torture(const struct qe_handler *handler, case_make_fn *make)
{
    struct case_making making = {.handler = handler, .make = make};

    qe_check_torture(case_make_once, &making);
}

/* As the program does. */
static inline void case_ignore_sigpipe(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGPIPE, &ignore, NULL);
}

#endif
