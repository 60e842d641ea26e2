#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/check.h"
#include "support/processes.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/mem.h"

#define LONG_MS 20000

struct ran {
    struct qe_strbuf out;
    struct qe_strbuf words;
    struct qe_child_text out_text;
    struct qe_child_text words_text;
    struct qe_child_end end;
    int64_t spent_ms;
};

/* What a script is run with beside the script. */
struct how {
    const char *input;
    size_t input_bytes;
    int64_t ms;
    int64_t grace_ms;
    size_t max_bytes;
    bool stops;
    const atomic_bool *cancelled;
};

static int run_how(struct ran *ran, const char *script, const struct how *how, struct qe_err *err)
{
    char shell[] = "sh";
    char option[] = "-c";
    char *text = qe_strdup(script);
    char *argv[] = {shell, option, text, NULL};
    const int64_t started = qe_clock_mono_ms();

    *ran = (struct ran){0};
    ran->out_text =
        (struct qe_child_text){.text = &ran->out, .max_bytes = how->max_bytes, .stops = how->stops};
    ran->words_text = (struct qe_child_text){.text = &ran->words, .max_bytes = how->max_bytes};
    const struct qe_child_task task = {.program = {.argv = argv, .is_fed = how->input != NULL},
                                       .input = how->input,
                                       .input_bytes = how->input_bytes,
                                       .out = {qe_child_keep, &ran->out_text},
                                       .words = {qe_child_keep, &ran->words_text},
                                       .deadline_mono_ms = started + how->ms,
                                       .grace_ms = how->grace_ms,
                                       .cancelled = how->cancelled};
    int rc = qe_child_run(&task, &ran->end, err);

    ran->spent_ms = qe_clock_mono_ms() - started;
    qe_free(text);
    return rc;
}

static void run_fed(struct ran *ran, const char *script, const char *input, size_t input_bytes)
{
    const struct how how = {
        .input = input, .input_bytes = input_bytes, .ms = LONG_MS, .max_bytes = 1 << 20};
    struct qe_err err = {0};

    assert_ok(run_how(ran, script, &how, &err), err);
}

static void ran_deinit(struct ran *ran)
{
    qe_strbuf_deinit(&ran->out);
    qe_strbuf_deinit(&ran->words);
}

static void it_gets_its_input_and_gives_both_outputs(void **state)
{
    struct ran ran;

    (void)state;
    run_fed(&ran, "cat; echo words >&2; exit 7", "a\0b", 3);
    assert_int_equal(ran.end.code, 7);
    assert_int_equal(ran.end.signal, 0);
    assert_int_equal(ran.out.length_bytes, 3);
    assert_memory_equal(ran.out.data, "a\0b", 3);
    assert_string_equal(qe_strbuf_text(&ran.words), "words\n");
    ran_deinit(&ran);
    run_fed(&ran, "kill -SEGV $$", NULL, 0);
    assert_int_equal(ran.end.code, -1);
    assert_int_equal(ran.end.signal, SIGSEGV);
    ran_deinit(&ran);
    run_fed(&ran, "cat", "", 0); /* fed with nothing: it ends at once */
    assert_int_equal(ran.end.code, 0);
    ran_deinit(&ran);
}

static void megabytes_both_ways_do_not_hang_it(void **state)
{
    const size_t bytes = (size_t)8 << 20;
    char *input = qe_calloc(bytes, 1);
    struct ran ran;

    (void)state;
    assert_non_null(input);
    memset(input, 'x', bytes);
    run_fed(&ran, "tee /dev/stderr; head -c 4000000 /dev/zero", input, bytes);
    assert_int_equal(ran.end.code, 0);
    assert_int_equal(ran.out.length_bytes, 1 << 20);
    assert_true(ran.out_text.is_cut);
    assert_int_equal(ran.words.length_bytes, 1 << 20);
    ran_deinit(&ran);
    run_fed(&ran, "true", input, bytes); /* it never reads */
    assert_int_equal(ran.end.code, 0);
    ran_deinit(&ran);
    run_fed(&ran, "exec <&-; echo closed", input, bytes);
    assert_string_equal(qe_strbuf_text(&ran.out), "closed\n");
    ran_deinit(&ran);
    qe_free(input);
}

static void a_sink_that_wants_no_more_ends_it(void **state)
{
    const struct how how = {.ms = LONG_MS, .max_bytes = 1000, .stops = true};
    struct qe_err err = {0};
    struct ran ran;

    (void)state;
    assert_ok(run_how(&ran, "yes", &how, &err), err);
    assert_true(ran.end.is_refused);
    assert_int_equal(ran.out.length_bytes, 1000);
    assert_true(ran.spent_ms < LONG_MS / 2);
    ran_deinit(&ran);
}

static void at_its_deadline_it_is_asked_first_and_then_killed(void **state)
{
    struct how how = {.ms = 200, .grace_ms = LONG_MS, .max_bytes = 1000};
    struct qe_err err = {0};
    struct ran ran;

    (void)state;
    assert_ok(
        run_how(&ran, "trap 'echo asked; exit 3' TERM; while :; do sleep 0.05; done", &how, &err),
        err);
    assert_true(ran.end.is_late);
    assert_int_equal(ran.end.code, 3);
    assert_string_equal(qe_strbuf_text(&ran.out), "asked\n");
    assert_true(ran.spent_ms < LONG_MS / 2);
    ran_deinit(&ran);
    how.grace_ms = 100;
    assert_ok(run_how(&ran, "trap '' TERM; while :; do sleep 0.05; done", &how, &err), err);
    assert_true(ran.end.is_late);
    assert_int_equal(ran.end.signal, SIGKILL);
    assert_true(ran.spent_ms < LONG_MS / 2);
    ran_deinit(&ran);
}

static void *cancel_soon(void *argument)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    (void)nanosleep(&pause, NULL);
    atomic_store((atomic_bool *)argument, true);
    return NULL;
}

static void cancelled_it_has_a_moment(void **state)
{
    atomic_bool cancelled = false;
    const struct how how = {
        .ms = LONG_MS, .grace_ms = LONG_MS, .max_bytes = 1000, .cancelled = &cancelled};
    struct qe_err err = {0};
    struct ran ran;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancelled), 0);
    assert_ok(run_how(&ran, "trap '' TERM; while :; do sleep 0.05; done", &how, &err), err);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(ran.end.is_cancelled);
    assert_false(ran.end.is_late);
    assert_true(ran.spent_ms < LONG_MS / 2);
    ran_deinit(&ran);
}

static void grandchildren_are_not_waited_for_and_not_left(void **state)
{
    struct ran ran;

    (void)state;
    /* They hold its output open, ignore SIGTERM, and would print for ever. */
    run_fed(&ran, "(trap '' TERM; sleep 1000) & echo $!", NULL, 0);
    assert_int_equal(ran.end.code, 0);
    assert_true(ran.spent_ms < LONG_MS / 2);
    assert_true(qe_process_is_gone((pid_t)strtol(qe_strbuf_text(&ran.out), NULL, 10)));
    ran_deinit(&ran);
    run_fed(&ran, "yes & :", NULL, 0);
    assert_int_equal(ran.end.code, 0);
    ran_deinit(&ran);
}

static void one_that_left_its_group_is_ended_all_the_same(void **state)
{
    const struct how how = {.ms = 1000, .max_bytes = 1000};
    struct qe_err err = {0};
    struct ran ran;

    (void)state;
    assert_ok(run_how(&ran,
                      "exec perl -e 'setpgrp(0, getpgrp(getppid())) or die; $| = 1; "
                      "print \"left\"; sleep 1000'",
                      &how, &err),
              err);
    assert_string_equal(qe_strbuf_text(&ran.out), "left");
    assert_true(ran.end.is_late);
    assert_int_equal(ran.end.signal, SIGKILL);
    assert_true(ran.spent_ms < LONG_MS / 2);
    ran_deinit(&ran);
}

static void it_gets_no_descriptor_and_no_blocked_signal_of_ours(void **state)
{
    sigset_t blocked;
    sigset_t before;
    struct ran ran;

    (void)state;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
    assert_int_equal(dup2(STDERR_FILENO, 77), 77); /* one that nobody marked to be closed */
    run_fed(&ran,
            "test -e /proc/self/fd/77 || echo none; grep SigBlk /proc/self/status; "
            "grep SigIgn /proc/self/status | tail -c 5",
            NULL, 0);
    assert_int_equal(close(77), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_string_equal(qe_strbuf_text(&ran.out), "none\nSigBlk:\t0000000000000000\n0000\n");
    ran_deinit(&ran);
}

static void our_own_closed_streams_confuse_nothing(void **state)
{
    const int kept = dup(STDIN_FILENO);
    struct ran ran;

    (void)state;
    assert_true(kept > 2);
    assert_int_equal(close(STDIN_FILENO), 0); /* now a pipe's end could become number 0 */
    run_fed(&ran, "cat", "text", 4);
    assert_int_equal(dup2(kept, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(close(kept), 0);
    assert_string_equal(qe_strbuf_text(&ran.out), "text");
    ran_deinit(&ran);
}

static void nothing_is_left_of_many_runs(void **state)
{
    struct ran ran;

    (void)state;
    run_fed(&ran, "true", NULL, 0);
    ran_deinit(&ran);
    const size_t before = qe_count_descriptors();

    for (int i = 0; i < 50; i++) {
        run_fed(&ran, i % 2 == 0 ? "sleep 1000 & exit 1" : "cat >/dev/null", "x", 1);
        ran_deinit(&ran);
    }
    assert_int_equal(qe_count_descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, dead or alive */
}

static void what_cannot_be_started_is_named(void **state)
{
    char name[] = "qe-no-such-program";
    char *argv[] = {name, NULL};
    const struct qe_child_task task = {.program = {.argv = argv}, .deadline_mono_ms = INT64_MAX};
    struct qe_child_end end = {0};
    struct qe_err err = {0};
    char path[QE_CHILD_PATH_BYTES];

    (void)state;
    const size_t before = qe_count_descriptors();

    assert_int_equal(qe_child_run(&task, &end, &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "cannot run qe-no-such-program"));
    assert_int_equal(qe_count_descriptors(), before);
    assert_int_equal(qe_child_find("qe-no-such-program", path, &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "no program qe-no-such-program on PATH (/"));
    assert_int_equal(qe_child_find("/etc/passwd", path, &err), -1);
    assert_int_equal(err.code, QE_ERR_AUTH);
    assert_int_equal(qe_child_find("/etc", path, &err), -1);
    assert_ok(qe_child_find("sh", path, &err), err);
    assert_int_equal(path[0], '/');
    assert_ok(qe_child_find("/bin/sh", path, &err), err);
    assert_string_equal(path, "/bin/sh");
}

int main(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_gets_its_input_and_gives_both_outputs),
        cmocka_unit_test(megabytes_both_ways_do_not_hang_it),
        cmocka_unit_test(a_sink_that_wants_no_more_ends_it),
        cmocka_unit_test(at_its_deadline_it_is_asked_first_and_then_killed),
        cmocka_unit_test(cancelled_it_has_a_moment),
        cmocka_unit_test(grandchildren_are_not_waited_for_and_not_left),
        cmocka_unit_test(one_that_left_its_group_is_ended_all_the_same),
        cmocka_unit_test(it_gets_no_descriptor_and_no_blocked_signal_of_ours),
        cmocka_unit_test(our_own_closed_streams_confuse_nothing),
        cmocka_unit_test(nothing_is_left_of_many_runs),
        cmocka_unit_test(what_cannot_be_started_is_named),
    };

    (void)sigaction(SIGPIPE, &ignore, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
