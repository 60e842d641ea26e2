/* The real world: files and programs as they are. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "aws/world.h"
#include "support/check.h"
#include "support/processes.h"
#include "util/clock.h"

static char s_folder[] = "/tmp/qe-world-XXXXXX";
static char s_path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(s_folder) == NULL) {
        return -1;
    }
    (void)snprintf(s_path, sizeof s_path, "%s/file", s_folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(s_path);
    return rmdir(s_folder);
}

static void write_file(size_t count)
{
    FILE *file = fopen(s_path, "we");

    assert_non_null(file);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(fputc('a' + (int)(i % 26), file), 'a' + (int)(i % 26));
    }
    assert_int_equal(fclose(file), 0);
}

static int read_file(size_t max_bytes, struct qe_strbuf *out, struct qe_err *err)
{
    const struct qe_aws_world *world = qe_aws_real_world();

    return world->read_file(world->self, s_path, max_bytes, out, err);
}

static void a_file_is_read_whole_or_not_at_all(void **state)
{
    static const size_t s_sizes[] = {0, 1, 4095, 4096, 4097, 100000};

    (void)state;
    for (size_t i = 0; i < sizeof s_sizes / sizeof s_sizes[0]; i++) {
        struct qe_err err = {0};
        struct qe_strbuf out = {.is_secret = true};

        write_file(s_sizes[i]);
        assert_ok(read_file(s_sizes[i], &out, &err), err);
        assert_int_equal(out.length_bytes, s_sizes[i]);
        assert_int_equal(strlen(qe_strbuf_text(&out)), s_sizes[i]);
        if (s_sizes[i] > 0) {
            qe_strbuf_reset(&out);
            assert_int_equal(read_file(s_sizes[i] - 1, &out, &err), -1);
            assert_int_equal(err.code, QE_ERR_LIMIT);
        }
        qe_strbuf_deinit(&out);
    }
}

static void what_is_no_file_is_refused_without_waiting(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_strbuf out = {0};
    const struct qe_aws_world *world = qe_aws_real_world();

    (void)unlink(s_path);
    assert_int_equal(read_file(10, &out, &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_int_equal(world->read_file(world->self, s_folder, 10, &out, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_int_equal(mkfifo(s_path, 0600), 0);
    assert_int_equal(read_file(10, &out, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_int_equal(unlink(s_path), 0);
    qe_strbuf_deinit(&out);
}

static int run(const char *script, int64_t ms, size_t max_bytes, struct qe_strbuf *out,
               struct qe_err *err)
{
    const struct qe_aws_world *world = qe_aws_real_world();
    char shell[] = "/bin/sh";
    char option[] = "-c";
    char text[512];
    char *const argv[] = {shell, option, text, NULL};

    (void)snprintf(text, sizeof text, "%s", script);
    return world->run(world->self, argv, qe_clock_mono_ms() + ms, max_bytes, out, err);
}

static void a_program_gives_what_it_prints(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_strbuf out = {.is_secret = true};

    assert_ok(run("printf 'one two'; echo noise >&2; cat", 20000, 100, &out, &err), err);
    assert_string_equal(qe_strbuf_text(&out), "one two"); /* and nothing to read for `cat` */
    qe_strbuf_deinit(&out);
}

static void a_program_that_fails_gives_its_complaint(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_strbuf out = {0};

    assert_int_equal(run("echo half; echo 'no session' >&2; exit 3", 20000, 100, &out, &err), -1);
    assert_int_equal(err.code, QE_ERR_AUTH);
    assert_string_equal(err.message, "the program ended with code 3: no session\n");
    assert_int_equal(run("kill -9 $$", 20000, 100, &out, &err), -1);
    assert_non_null(strstr(err.message, "ended by signal 9"));
    qe_strbuf_deinit(&out);
}

static void a_program_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_strbuf out = {0};
    const struct qe_aws_world *world = qe_aws_real_world();
    char name[] = "qe-no-such-program";
    char *const argv[] = {name, NULL};

    assert_int_equal(world->run(world->self, argv, qe_clock_mono_ms() + 20000, 100, &out, &err),
                     -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "cannot run qe-no-such-program"));
    qe_strbuf_deinit(&out);
}

static void more_than_allowed_is_an_error_but_no_hang(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_strbuf out = {0};

    assert_int_equal(
        run("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2", 20000, 1000, &out, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_int_equal(out.length_bytes, 1000);
    qe_strbuf_deinit(&out);
}

static void at_its_deadline_it_is_killed_with_all_it_started(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_strbuf out = {0};
    const int64_t started = qe_clock_mono_ms();

    assert_int_equal(run("sleep 1000 & echo $!; wait", 300, 100, &out, &err), -1);
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    assert_true(qe_clock_mono_ms() - started < 20000);
    const long grandchild = strtol(qe_strbuf_text(&out), NULL, 10);

    assert_true(grandchild > 1);
    assert_true(qe_process_is_gone((pid_t)grandchild));
    qe_strbuf_deinit(&out);
}

static void a_pause_ends_when_it_should(void **state)
{
    (void)state;
    const struct qe_aws_world *world = qe_aws_real_world();
    const int64_t until = world->now_mono_ms(world->self) + 20;

    world->pause(world->self, until);
    assert_true(world->now_mono_ms(world->self) >= until);
    world->pause(world->self, until); /* passed: at once */
    assert_true(world->now_unix_ms(world->self) > INT64_C(1600000000000));
    assert_null(world->get(world->self, "QE_SURELY_NOT_SET"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_whole_or_not_at_all),
        cmocka_unit_test(what_is_no_file_is_refused_without_waiting),
        cmocka_unit_test(a_program_gives_what_it_prints),
        cmocka_unit_test(a_program_that_fails_gives_its_complaint),
        cmocka_unit_test(a_program_that_is_not_there_is_named),
        cmocka_unit_test(more_than_allowed_is_an_error_but_no_hang),
        cmocka_unit_test(at_its_deadline_it_is_killed_with_all_it_started),
        cmocka_unit_test(a_pause_ends_when_it_should),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
