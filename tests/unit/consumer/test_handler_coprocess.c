#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/consumer/handler_case.h"

/* For each line: its id in $id, and what the rest of a script prints. */
#define EACH_LINE "while read -r line; do id=${line#*'\"id\":'}; id=${id%%,*}; "
#define ACK "echo '{\"id\":'$id',\"result\":\"ack\"}'; "

static void *make(const char *script, const struct qe_handler_common *common, struct qe_err *err)
{
    static char s_words[3][4096];
    static char *const words[] = {s_words[0], s_words[1], s_words[2]};

    (void)snprintf(s_words[0], sizeof s_words[0], "sh");
    (void)snprintf(s_words[1], sizeof s_words[1], "-c");
    (void)snprintf(s_words[2], sizeof s_words[2], "%s", script);
    const struct qe_coprocess_options options = {.common = *common,
                                                 .program = {.words = words, .words_count = 3}};

    return qe_handler_coprocess_new(&options, err);
}

static void start(struct handler_case *at, const char *script, int64_t timeout_ms)
{
    const struct qe_handler_common common = case_common(timeout_ms);
    struct qe_err err = {0};

    case_init(at, &qe_handler_coprocess, make(script, &common, &err));
    at->asks = true;
}

static void one_process_answers_many_messages(void **state)
{
    struct handler_case at;
    char first[64];

    (void)state;
    start(&at,
          EACH_LINE "printf '{\"id\":\"%s\",\"result\":\"ack\",\"reply\":\"%s\"}\\n' $id $$; done",
          0);
    case_expect(case_one(&at, "a"), QE_OUTCOME_SUCCESS, 0, NULL, "");
    (void)snprintf(first, sizeof first, "%s", qe_strbuf_text(&at.handled[0].reply));
    assert_true(strlen(first) > 0);
    for (int i = 0; i < 100; i++) {
        case_expect(case_one(&at, "a"), QE_OUTCOME_SUCCESS, 0, NULL, "");
        assert_string_equal(qe_strbuf_text(&at.handled[0].reply), first);
    }
    case_deinit(&at);
    assert_true(qe_process_is_gone((pid_t)strtol(first, NULL, 10)));
}

static void the_answer_decides(void **state)
{
    static const struct {
        const char *answer; /* behind the id */
        enum qe_outcome outcome;
        enum qe_fail_reason reason;
        const char *label;
        const char *detail;
        int64_t delay_ms;
        bool is_asked; /* for a reply */
    } rows[] = {
        {"\"result\":\"ack\"", QE_OUTCOME_SUCCESS, 0, NULL, "", -1, false},
        {"\"result\":\"retry\"", QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
         "the handler gave no reason", -1, false},
        {"\"result\":\"retry\",\"reason\":\"downstream\",\"delay\":1.5", QE_OUTCOME_RETRY,
         QE_FAIL_HANDLER_ERROR, "downstream", "", 1500, false},
        {"\"result\":\"retry\",\"delay\":1e300", QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
         "the handler gave no reason", 43200000, false},
        {"\"result\":\"retry\",\"delay\":-1", QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
         "the handler gave no reason", -1, false},
        {"\"result\":\"reject\",\"reason\":\"bad_address: no such street\"", QE_OUTCOME_REJECT,
         QE_FAIL_PERMANENT, "bad_address", "no such street", -1, false},
        {"\"result\":\"reject\",\"reason\":\"free words\"", QE_OUTCOME_REJECT, QE_FAIL_PERMANENT,
         NULL, "free words", -1, false},
        {"\"result\":\"done\"", QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
         "the answer's result is \"done\", not ack, retry or reject", -1, false},
        {"\"x\":1", QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
         "the answer has no result: ack, retry or reject", -1, false},
        {"\"result\":\"ack\",\"reply\":7", QE_OUTCOME_REJECT, QE_FAIL_PERMANENT, NULL,
         "the answer's reply is no text", -1, true},
        {"\"result\":\"ack\",\"reply_base64\":\"=\"", QE_OUTCOME_REJECT, QE_FAIL_PERMANENT, NULL,
         "the answer's reply_base64 is no base64", -1, true},
        {"\"result\":\"ack\",\"reply\":\"'$LONG'\"", QE_OUTCOME_REJECT, QE_FAIL_PERMANENT, NULL,
         "the answer's reply is longer than max_reply", -1, true},
        /* Who has not asked gets none, so what is wrong with it is no matter. */
        {"\"result\":\"ack\",\"reply\":7", QE_OUTCOME_SUCCESS, 0, NULL, "", -1, false},
        {"\"result\":\"ack\",\"reply_base64\":\"=\"", QE_OUTCOME_SUCCESS, 0, NULL, "", -1, false},
        {"\"result\":\"ack\",\"reply\":\"'$LONG'\"", QE_OUTCOME_SUCCESS, 0, NULL, "", -1, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct handler_case at;
        char script[1024];

        (void)snprintf(script, sizeof script,
                       "LONG=$(printf %%01001d 1); %secho '{\"id\":'$id',%s}'; done", EACH_LINE,
                       rows[i].answer);
        start(&at, script, 0);
        at.asks = rows[i].is_asked;
        case_expect(case_one(&at, "body"), rows[i].outcome, rows[i].reason, rows[i].label,
                    rows[i].detail);
        assert_int_equal(at.handled[0].retry_delay_ms, rows[i].delay_ms);
        case_deinit(&at);
    }
}

static void what_it_is_asked_is_the_whole_message(void **state)
{
    struct handler_case at;
    struct qe_err err = {0};

    (void)state;
    /* Its first line comes back as the reason. */
    start(&at,
          "read -r line; printf '%s' \"$line\" | sed 's/[\\\\\"]/\\\\&/g' | "
          "{ printf '{\"id\":1,\"result\":\"retry\",\"reason\":\"'; cat; echo '\"}'; }; cat",
          0);
    at.asks = false;
    struct qe_message *message = case_message(&at, "m", "b\"y");
    message->receives = 2;
    assert_ok(qe_attributes_add(&message->attributes, "k", "v", &err), err);
    case_handle(&at);
    assert_string_equal(at.handled[0].detail,
                        "{\"id\":1,\"source\":\"local\",\"queue\":\"orders\",\"message\":{\"id\":"
                        "\"m\",\"receives\":2,\"attributes\":{\"k\":\"v\"},\"body\":\"b\\\"y\"}}");
    case_deinit(&at);
    start(&at, EACH_LINE "case $line in *'\"body_base64\":\"/wA=\"'*) " ACK ";; esac; done", 0);
    (void)case_message(&at, "m", "");
    qe_free(at.messages[0].body);
    at.messages[0].body = qe_memdup("\xff\0", 2);
    at.messages[0].body_bytes = 2;
    case_handle(&at);
    case_expect(&at.handled[0], QE_OUTCOME_SUCCESS, 0, NULL, "");
    case_deinit(&at);
}

static void a_broken_one_costs_a_retry_and_is_replaced(void **state)
{
    /* What its first message is answered with; the next process does well. */
    static const struct {
        const char *first;
        enum qe_fail_reason reason;
        const char *detail;
    } rows[] = {
        {"exit 3", QE_FAIL_HANDLER_ERROR, "the coprocess ended before it answered"},
        {"kill -KILL $$", QE_FAIL_HANDLER_ERROR, "the coprocess ended before it answered"},
        {"exec >&-; sleep 1000", QE_FAIL_HANDLER_ERROR,
         "the coprocess closed its output before it answered"},
        {"exec <&-; sleep 1000", QE_FAIL_HANDLER_ERROR,
         "the coprocess closed its input before it answered"},
        {"sleep 1000", QE_FAIL_TIMEOUT, "the coprocess did not answer in time"},
        {"trap '' TERM; while :; do sleep 0.05; done", QE_FAIL_TIMEOUT,
         "the coprocess did not answer in time"},
        {"echo garbage", QE_FAIL_HANDLER_ERROR,
         "the coprocess's answer was not understood: not JSON at byte 0"},
        {"echo", QE_FAIL_HANDLER_ERROR,
         "the coprocess's answer was not understood: not JSON: empty"},
        {"echo '[]'", QE_FAIL_HANDLER_ERROR,
         "the coprocess's answer was not understood: the answer is no JSON object"},
        {"echo '{\"id\":99,\"result\":\"ack\"}'", QE_FAIL_HANDLER_ERROR,
         "the coprocess's answer was not understood: the answer's id is not the question's (1)"},
        {"echo '{\"result\":\"ack\"}'", QE_FAIL_HANDLER_ERROR,
         "the coprocess's answer was not understood: the answer's id is not the question's (1)"},
        {ACK "echo more", QE_FAIL_HANDLER_ERROR, NULL}, /* told of then, or with the next message */
        {"yes | tr -d '\\n'", QE_FAIL_HANDLER_ERROR,
         "the coprocess's answer is longer than 71536 bytes"},
        {"printf '{\"id\":1,'; exit 0", QE_FAIL_HANDLER_ERROR,
         "the coprocess ended before it answered"},
    };
    const size_t before = qe_count_descriptors();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char mark[] = "/tmp/qe-coprocess-XXXXXX";
        char script[1024];
        struct handler_case at;
        int fd = mkstemp(mark); /* there: the first process */

        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
        (void)snprintf(script, sizeof script,
                       "%sif test -e %s; then rm %s; %s; continue; fi; " ACK "done", EACH_LINE,
                       mark, mark, rows[i].first);
        start(&at, script, 2000);
        const struct qe_handled *handled = case_one(&at, "first");
        if (rows[i].detail != NULL) {
            case_expect(handled, QE_OUTCOME_RETRY, rows[i].reason, NULL, rows[i].detail);
        } else if (handled->outcome == QE_OUTCOME_SUCCESS) {
            (void)case_one(&at,
                           "the line too many comes before this one's answer, or in its place");
        }
        case_expect(case_one(&at, "second"), QE_OUTCOME_SUCCESS, 0, NULL, "");
        case_deinit(&at);
        (void)remove(mark);
    }
    assert_int_equal(qe_count_descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, dead or alive */
}

/* Neither waits for the next message to be noticed. */
static void one_that_ends_or_stops_reading_while_idle_is_reaped_then(void **state)
{
    static const char *const lasts[] = {"exit 0", "exec <&-; sleep 1000"};
    static const char answer[] =
        "printf '{\"id\":\"%s\",\"result\":\"ack\",\"reply\":\"%s\"}\\n' $id $$";

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const int64_t until = qe_clock_mono_ms() + CASE_PATIENCE_MS;
        struct handler_case at;
        char script[512];
        pid_t pid;

        (void)snprintf(script, sizeof script, "%s%s; %s; done", EACH_LINE, answer, lasts[i]);
        start(&at, script, 0);
        case_expect(case_one(&at, "a"), QE_OUTCOME_SUCCESS, 0, NULL, "");
        pid = (pid_t)strtol(qe_strbuf_text(&at.handled[0].reply), NULL, 10);
        assert_true(pid > 0);
        while (kill(pid, 0) == 0 && qe_clock_mono_ms() < until) { /* a zombie counts */
            qe_handler_coprocess.tend(at.self, 1);
        }
        assert_int_equal(kill(pid, 0), -1);
        case_expect(case_one(&at, "b"), QE_OUTCOME_SUCCESS, 0, NULL, ""); /* costs no message */
        case_deinit(&at);
    }
}

static void one_that_cannot_live_is_started_less_and_less_often(void **state)
{
    struct handler_case at;
    char mark[] = "/tmp/qe-coprocess-XXXXXX";
    char script[256];
    int fd = mkstemp(mark);

    (void)state;
    assert_true(fd >= 0);
    (void)snprintf(script, sizeof script, "echo >>%s; exit 1", mark);
    start(&at, script, 0);
    const int64_t until = qe_clock_mono_ms() + 1500;
    while (qe_clock_mono_ms() < until) {
        at.max_ms = 300;
        assert_int_equal(case_one(&at, "x")->outcome, QE_OUTCOME_RETRY);
        assert_true(at.spent_ms < CASE_PATIENCE_MS / 2);
    }
    const off_t starts = lseek(fd, 0, SEEK_END);
    assert_in_range(starts, 2, 60); /* thousands, without a pause */
    assert_int_equal(close(fd), 0);
    (void)remove(mark);
    case_deinit(&at);
}

static void one_that_cannot_be_started_is_our_own_trouble(void **state)
{
    struct handler_case at;
    const struct qe_handled *handled;

    (void)state;
    start(&at, "while read -r line; do echo '{\"id\":2,\"result\":\"ack\"}'; done", 0);
    qe_allow_descriptors(false);
    handled = case_one(&at, "a");
    qe_allow_descriptors(true);
    case_expect(handled, QE_OUTCOME_RETRY, QE_FAIL_INTERNAL, NULL,
                "cannot make a pipe for the program: Too many open files");
    case_expect(case_one(&at, "b"), QE_OUTCOME_SUCCESS, 0, NULL, "");
    case_deinit(&at);
}

static void a_slow_reader_of_much_is_waited_for(void **state)
{
    const size_t bytes = 3000000;
    char *body = qe_calloc(bytes + 1, 1);
    struct handler_case at;

    (void)state;
    assert_non_null(body);
    memset(body, 'b', bytes);
    start(&at, "sleep 0.3; head -n 1 >/dev/null; echo '{\"id\":1,\"result\":\"ack\"}'; cat", 0);
    case_expect(case_one(&at, body), QE_OUTCOME_SUCCESS, 0, NULL, "");
    case_deinit(&at);
    start(&at, "sleep 1000", 300); /* it never reads */
    case_expect(case_one(&at, body), QE_OUTCOME_RETRY, QE_FAIL_TIMEOUT, NULL,
                "the coprocess did not answer in time");
    case_deinit(&at);
    start(&at, "echo '{\"id\":1,\"result\":\"ack\"}'; sleep 1000", 2000);
    case_expect(case_one(&at, body), QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
                "the coprocess answered before it had read all");
    case_deinit(&at);
    qe_free(body);
}

static void a_batch_is_a_list_each_way(void **state)
{
    struct qe_handler_common common = case_common(0);
    struct qe_err err = {0};
    struct handler_case at;

    (void)state;
    common.in_batches = true;
    case_init(&at, &qe_handler_coprocess,
              make("read -r line; case $line in '[{\"id\":1,'*'{\"id\":4,'*) echo '["
                   "{\"id\":3,\"result\":\"reject\",\"reason\":\"bad_address\"},"
                   "{\"id\":1,\"result\":\"ack\",\"reply\":\"r\"},"
                   "{\"id\":1,\"result\":\"reject\"},{\"id\":77,\"result\":\"ack\"},7,"
                   "{\"id\":4,\"result\":\"retry\",\"delay\":2}]';; esac; "
                   "read -r line; echo '[{\"id\":5,\"result\":\"ack\"}]'; "
                   "read -r line; echo '{\"id\":6,\"result\":\"ack\"}'; cat",
                   &common, &err));
    at.asks = true;
    for (int i = 0; i < 4; i++) {
        (void)case_message(&at, "m", "b");
    }
    case_handle(&at);
    case_expect(&at.handled[0], QE_OUTCOME_SUCCESS, 0, NULL, "");
    assert_string_equal(qe_strbuf_text(&at.handled[0].reply), "r");
    case_expect(&at.handled[1], QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
                "the batch's answer has no result for this message");
    case_expect(&at.handled[2], QE_OUTCOME_REJECT, QE_FAIL_PERMANENT, "bad_address", "");
    case_expect(&at.handled[3], QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
                "the handler gave no reason");
    assert_int_equal(at.handled[3].retry_delay_ms, 2000);
    case_expect(case_one(&at, "alone, and a list all the same"), QE_OUTCOME_SUCCESS, 0, NULL, "");
    case_expect(case_one(&at, "no list"), QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, NULL,
                "the coprocess's answer was not understood: no JSON array");
    case_deinit(&at);
}

/* Each of the eight might take 71536 bytes. */
static void the_answer_to_a_batch_is_bounded_as_a_whole(void **state)
{
    static const struct {
        const char *blanks; /* beside 200 bytes */
        size_t most_bytes;
        const char *detail; /* NULL: all is well */
    } rows[] = {
        {"100000", 120000, NULL},
        {"130000", 120000, "the coprocess's answer is longer than 120000 bytes"},
        {"70000", 1, NULL}, /* as one alone may be long */
        {"80000", 1, "the coprocess's answer is longer than 71536 bytes"},
        {"500000", 1000000, NULL},
        {"600000", 1000000, "the coprocess's answer is longer than 572288 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_handler_common common = case_common(0);
        struct qe_err err = {0};
        struct handler_case at;
        char script[512];

        (void)snprintf(script, sizeof script,
                       "read -r line; printf '[%%%ss' ' '; for id in 1 2 3 4 5 6 7; do printf "
                       "'{\"id\":%%s,\"result\":\"ack\"},' $id; done; "
                       "echo '{\"id\":8,\"result\":\"ack\"}]'; cat",
                       rows[i].blanks);
        print_message("%s of %zu\n", rows[i].blanks, rows[i].most_bytes);
        common.in_batches = true;
        common.batch_answer_max_bytes = rows[i].most_bytes;
        case_init(&at, &qe_handler_coprocess, make(script, &common, &err));
        for (int j = 0; j < CASE_BATCH_MAX; j++) {
            (void)case_message(&at, "m", "b");
        }
        case_handle(&at);
        for (int j = 0; j < CASE_BATCH_MAX; j++) {
            case_expect(&at.handled[j],
                        rows[i].detail == NULL ? QE_OUTCOME_SUCCESS : QE_OUTCOME_RETRY,
                        QE_FAIL_HANDLER_ERROR, NULL, rows[i].detail);
        }
        case_deinit(&at);
    }
}

/* What was read before its fault is as if it had not been. */
static void an_answer_to_a_batch_that_is_broken_in_the_middle_counts_for_nothing(void **state)
{
    struct qe_handler_common common = case_common(0);
    struct qe_err err = {0};
    struct handler_case at;

    (void)state;
    common.in_batches = true;
    case_init(&at, &qe_handler_coprocess,
              make("read -r line; echo '[{\"id\":1,\"result\":\"ack\",\"reply\":\"r\"},"
                   "{\"id\":2,\"result\":\"retry\",\"delay\":2},{\"id\" 3}]'; cat",
                   &common, &err));
    at.asks = true;
    for (int i = 0; i < 3; i++) {
        (void)case_message(&at, "m", "b");
    }
    case_handle(&at);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(at.handled[i].outcome, QE_OUTCOME_RETRY);
        assert_int_equal(at.handled[i].reason, QE_FAIL_HANDLER_ERROR);
        assert_non_null(strstr(at.handled[i].detail, "not JSON at byte"));
        assert_int_equal(at.handled[i].retry_delay_ms, -1);
        assert_int_equal(at.handled[i].reply.length_bytes, 0);
    }
    case_deinit(&at);
}

static void a_stop_closes_its_input_then_asks_then_kills(void **state)
{
    static const struct {
        const char *script;
        int64_t most_ms;
    } rows[] = {
        {EACH_LINE ACK "done", 900},                               /* ends with its input */
        {EACH_LINE ACK "done; exec sleep 1000", 1900},             /* ends by SIGTERM */
        {"trap '' TERM; " EACH_LINE ACK "done; sleep 1000", 6000}, /* does not even heed that */
    };
    const size_t before = qe_count_descriptors();

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct handler_case at;

        start(&at, rows[i].script, 0);
        case_expect(case_one(&at, "x"), QE_OUTCOME_SUCCESS, 0, NULL, "");
        const int64_t started = qe_clock_mono_ms();
        case_deinit(&at);
        print_message("ended within %lld ms\n", (long long)(qe_clock_mono_ms() - started));
        assert_true(qe_clock_mono_ms() - started < rows[i].most_ms + CASE_PATIENCE_MS / 4);
    }
    assert_int_equal(qe_count_descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void *make_any(struct qe_err *err)
{
    const struct qe_handler_common common = case_common(0);

    return make("true", &common, err);
}

static void construction_survives_failed_allocations(void **state)
{
    (void)state;
    case_torture(&qe_handler_coprocess, make_any);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_answers_many_messages),
        cmocka_unit_test(the_answer_decides),
        cmocka_unit_test(what_it_is_asked_is_the_whole_message),
        cmocka_unit_test(a_broken_one_costs_a_retry_and_is_replaced),
        cmocka_unit_test(one_that_ends_or_stops_reading_while_idle_is_reaped_then),
        cmocka_unit_test(one_that_cannot_live_is_started_less_and_less_often),
        cmocka_unit_test(one_that_cannot_be_started_is_our_own_trouble),
        cmocka_unit_test(a_slow_reader_of_much_is_waited_for),
        cmocka_unit_test(a_batch_is_a_list_each_way),
        cmocka_unit_test(the_answer_to_a_batch_is_bounded_as_a_whole),
        cmocka_unit_test(an_answer_to_a_batch_that_is_broken_in_the_middle_counts_for_nothing),
        cmocka_unit_test(a_stop_closes_its_input_then_asks_then_kills),
        cmocka_unit_test(construction_survives_failed_allocations),
    };

    case_ignore_sigpipe();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
