#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "unit/consumer/handler_case.h"

/* A handler that runs `script` by sh; texts live until the next call. */
static void *make(const char *script, int64_t timeout_ms, struct qe_err *err)
{
    static char s_words[3][4096];
    static char *const words[] = {s_words[0], s_words[1], s_words[2]};
    static const struct qe_pair environment[] = {{"GREETING", "hello"}, {"LANG", "C"}};

    (void)snprintf(s_words[0], sizeof s_words[0], "sh");
    (void)snprintf(s_words[1], sizeof s_words[1], "-c");
    (void)snprintf(s_words[2], sizeof s_words[2], "%s", script);
    const struct qe_exec_options options = {
        .common = case_common(timeout_ms),
        .program = {
            .words = words, .words_count = 3, .environment = environment, .environment_count = 2}};
    return qe_handler_exec_new(&options, err);
}

static void start(struct handler_case *at, const char *script, int64_t timeout_ms)
{
    struct qe_err err = {0};

    case_init(at, &qe_handler_exec, make(script, timeout_ms, &err));
}

static void the_exit_status_decides(void **state)
{
    static const struct {
        const char *script;
        enum qe_outcome outcome;
        const char *label;
        const char *detail;
    } rows[] = {
        {"exit 0", QE_OUTCOME_SUCCESS, NULL, ""},
        {"echo noise >&2; exit 0", QE_OUTCOME_SUCCESS, NULL, ""},
        {"exit 75", QE_OUTCOME_RETRY, NULL, "the command gave no reason"},
        {"echo one >&2; echo two >&2; exit 75", QE_OUTCOME_RETRY, NULL, "two"},
        {"exit 65", QE_OUTCOME_REJECT, NULL, "the command gave no reason"},
        {"echo bad_address: no such street >&2; exit 65", QE_OUTCOME_REJECT, "bad_address",
         "no such street"},
        {"printf downstream >&2; exit 75", QE_OUTCOME_RETRY, "downstream", ""},
        {"echo bad_addresses: x >&2; exit 65", QE_OUTCOME_REJECT, NULL, "bad_addresses: x"},
        {"exit 1", QE_OUTCOME_RETRY, NULL, "exit status 1"},
        {"printf 'oh\\tno\\377 \\n\\n' >&2; exit 3", QE_OUTCOME_RETRY, NULL,
         "exit status 3: oh no?"},
        {"echo downstream: gone >&2; exit 99", QE_OUTCOME_RETRY, "downstream", "gone"},
        {"kill -SEGV $$", QE_OUTCOME_RETRY, NULL, "ended by signal 11"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct handler_case at;

        start(&at, rows[i].script, 0);
        case_expect(case_one(&at, "body"), rows[i].outcome,
                    rows[i].outcome == QE_OUTCOME_REJECT ? QE_FAIL_PERMANENT
                                                         : QE_FAIL_HANDLER_ERROR,
                    rows[i].label, rows[i].detail);
        assert_int_equal(at.handled[0].retry_delay_ms, -1);
        case_deinit(&at);
    }
}

/* What the handler prints comes back as the reply, when somebody wants one. */
static const char *printed(struct handler_case *at)
{
    case_text(&at->messages[0].reply_to, "answers");
    case_handle(at);
    assert_int_equal(at->handled[0].outcome, QE_OUTCOME_SUCCESS);
    return qe_strbuf_text(&at->handled[0].reply);
}

static void the_body_is_its_input_and_its_output_the_reply(void **state)
{
    struct handler_case at;

    (void)state;
    start(&at, "cat; printf ' %s' \"$QUEUE_REPLY_TO\"", 0);
    struct qe_message *message = case_message(&at, "m", "");
    qe_free(message->body);
    message->body = qe_memdup("a\0b", 3);
    message->body_bytes = 3;
    (void)printed(&at);
    assert_int_equal(at.handled[0].reply.length_bytes, 11);
    assert_memory_equal(at.handled[0].reply.data, "a\0b answers", 11);
    (void)case_one(&at, "nobody asks");
    assert_int_equal(at.handled[0].outcome, QE_OUTCOME_SUCCESS);
    assert_int_equal(at.handled[0].reply.length_bytes, 0);
    case_deinit(&at);
}

static void a_reply_that_is_too_long_is_never_cut(void **state)
{
    struct handler_case at;

    (void)state;
    start(&at, "head -c 1001 /dev/zero", 0);
    (void)case_message(&at, "m", "");
    case_text(&at.messages[0].reply_to, "answers");
    case_handle(&at);
    case_expect(&at.handled[0], QE_OUTCOME_REJECT, QE_FAIL_PERMANENT, NULL,
                "its reply is longer than max_reply (1000 bytes)");
    assert_int_equal(at.handled[0].reply.length_bytes, 0);
    case_deinit(&at);
}

static void facts_are_in_its_environment_and_nothing_of_ours(void **state)
{
    struct handler_case at;
    struct qe_err err = {0};
    char *large = qe_calloc(40000, 1);

    (void)state;
    assert_non_null(large);
    memset(large, 'x', 39999);
    assert_int_equal(setenv("QE_TEST_PASSWORD", "hunter2", 1), 0);
    start(&at, "env | grep -E '^(QUEUE|GREETING|LANG|QE|x)' | LC_ALL=C sort", 0);
    struct qe_message *message = case_message(&at, "m 1\nx=1", "");
    message->receives = 3;
    message->sent_unix_ms = 1700000000125;
    case_text(&message->group, "g");
    case_text(&message->correlation_id, "c");
    assert_ok(qe_attributes_add(&message->attributes, "trace-id", "a b", &err), err);
    assert_ok(qe_attributes_add(&message->attributes, "trace.id", "second of its name", &err), err);
    assert_ok(qe_attributes_add(&message->attributes, "\xc3\xa4=1", "u", &err), err);
    assert_ok(qe_attributes_add(&message->attributes, "large", large, &err), err);
    assert_string_equal(printed(&at), "GREETING=hello\n"
                                      "LANG=C\n"
                                      "QUEUE_ATTRIBUTE_TRACE_ID=a b\n"
                                      "QUEUE_ATTRIBUTE____1=u\n"
                                      "QUEUE_CORRELATION_ID=c\n"
                                      "QUEUE_GROUP=g\n"
                                      "QUEUE_LEFT_OUT=2\n"
                                      "QUEUE_MESSAGE_ID=m 1\n"
                                      "QUEUE_NAME=orders\n"
                                      "QUEUE_RECEIVES=3\n"
                                      "QUEUE_REPLY_TO=answers\n"
                                      "QUEUE_SENT=2023-11-14T22:13:20.125Z\n"
                                      "QUEUE_SOURCE=local\n"
                                      "x=1\n"); /* the second line of the id: no variable */
    case_deinit(&at);
    assert_int_equal(unsetenv("QE_TEST_PASSWORD"), 0);
    qe_free(large);
}

static void a_command_that_takes_too_long_is_ended(void **state)
{
    struct handler_case at;

    (void)state;
    start(&at, "exec sleep 1000", 100);
    case_expect(case_one(&at, ""), QE_OUTCOME_RETRY, QE_FAIL_TIMEOUT, NULL,
                "the command took longer than 100ms");
    assert_in_range(at.spent_ms, 100, CASE_PATIENCE_MS / 2);
    at.max_ms = 50; /* the sooner of the two */
    case_expect(case_one(&at, ""), QE_OUTCOME_RETRY, QE_FAIL_TIMEOUT, NULL,
                "the command took longer than max_handling_time");
    case_deinit(&at);
    start(&at, "trap '' TERM; while :; do sleep 0.05; done", 0);
    at.max_ms = 100; /* deaf: it is killed a moment after the consumer's own limit */
    case_expect(case_one(&at, ""), QE_OUTCOME_RETRY, QE_FAIL_TIMEOUT, NULL,
                "the command took longer than max_handling_time");
    assert_in_range(at.spent_ms, 100, 3000);
    case_deinit(&at);
    start(&at, "trap 'exit 0' TERM; while :; do sleep 0.05; done", 100);
    case_expect(case_one(&at, ""), QE_OUTCOME_RETRY, QE_FAIL_TIMEOUT, NULL,
                "the command took longer than 100ms"); /* told to stop is not done */
    case_deinit(&at);
}

static void *cancel_soon(void *argument)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    (void)nanosleep(&pause, NULL);
    atomic_store((atomic_bool *)argument, true);
    return NULL;
}

static void a_stop_cuts_it_short(void **state)
{
    static const char *const scripts[] = {"exec sleep 1000",
                                          "trap '' TERM; while :; do sleep 0.05; done"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct handler_case at;
        pthread_t thread;

        start(&at, scripts[i], 0);
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &at.cancelled), 0);
        case_expect(case_one(&at, ""), QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
                    "the command was cut short");
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(at.spent_ms < 3000);
        case_deinit(&at);
    }
}

static void whatever_it_does_nothing_hangs_and_nothing_is_left(void **state)
{
    static const char *const scripts[] = {
        "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2", /* megabytes */
        "yes | head -c 3000000",                                    /* a million lines */
        "exec <&-; sleep 0.01",                                     /* never reads */
        "sleep 1000 & exit 0",                                      /* leaves a child */
        "(trap '' TERM HUP; sleep 1000) & exit 0",                  /* a deaf one */
        "exec >&- 2>&-",                                            /* closes everything */
    };
    const size_t body_bytes = 4000000;
    char *body = qe_calloc(body_bytes + 1, 1);
    const size_t before = qe_count_descriptors();

    (void)state;
    assert_non_null(body);
    memset(body, 'b', body_bytes);
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        struct handler_case at;

        start(&at, scripts[i], 0);
        case_expect(case_one(&at, body), QE_OUTCOME_SUCCESS, QE_FAIL_INTERNAL, NULL, "");
        case_deinit(&at);
    }
    assert_int_equal(qe_count_descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, dead or alive */
    qe_free(body);
}

static void a_command_that_has_gone_is_our_own_trouble(void **state)
{
    static char s_name[] = "/qe/no/such/program";
    static char *const words[] = {s_name};
    const struct qe_exec_options options = {.common = case_common(0),
                                            .program = {.words = words, .words_count = 1}};
    struct qe_err err = {0};
    struct handler_case at;

    (void)state;
    case_init(&at, &qe_handler_exec, qe_handler_exec_new(&options, &err));
    case_expect(case_one(&at, ""), QE_OUTCOME_RETRY, QE_FAIL_INTERNAL, NULL,
                "cannot run /qe/no/such/program: No such file or directory");
    case_deinit(&at);
}

static void *make_any(struct qe_err *err)
{
    return make("true", 0, err);
}

static void construction_survives_failed_allocations(void **state)
{
    (void)state;
    case_torture(&qe_handler_exec, make_any);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exit_status_decides),
        cmocka_unit_test(the_body_is_its_input_and_its_output_the_reply),
        cmocka_unit_test(a_reply_that_is_too_long_is_never_cut),
        cmocka_unit_test(facts_are_in_its_environment_and_nothing_of_ours),
        cmocka_unit_test(a_command_that_takes_too_long_is_ended),
        cmocka_unit_test(a_stop_cuts_it_short),
        cmocka_unit_test(whatever_it_does_nothing_hangs_and_nothing_is_left),
        cmocka_unit_test(a_command_that_has_gone_is_our_own_trouble),
        cmocka_unit_test(construction_survives_failed_allocations),
    };

    case_ignore_sigpipe();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
