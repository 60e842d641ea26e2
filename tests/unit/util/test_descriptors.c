#include <sys/resource.h>

#include "support/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/descriptors.h"

#define SOFT 300

/* What a child says of its own limit once it has run for a moment. */
static void expect_childs_limit(const char *expected)
{
    char shell[] = "sh";
    char option[] = "-c";
    char script[] = "sleep 0.2; ulimit -Sn";
    char *argv[] = {shell, option, script, NULL};
    struct qe_strbuf out = {0};
    struct qe_strbuf words = {0};
    struct qe_child_text out_text = {.text = &out, .max_bytes = 100};
    struct qe_child_text words_text = {.text = &words, .max_bytes = 100};
    const struct qe_child_task task = {.program = {.argv = argv},
                                       .out = {qe_child_keep, &out_text},
                                       .words = {qe_child_keep, &words_text},
                                       .deadline_mono_ms = qe_clock_mono_ms() + 20000};
    struct qe_child_end end;
    struct qe_err err = {0};

    assert_ok(qe_child_run(&task, &end, &err), err);
    assert_string_equal(qe_strbuf_text(&out), expected);
    qe_strbuf_deinit(&out);
    qe_strbuf_deinit(&words);
}

static void all_that_is_allowed_is_taken_and_children_are_left_out_of_it(void **state)
{
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max <= SOFT) {
        print_message("skipped: no more than %d descriptors are allowed here\n", SOFT);
        skip();
    }
    limit.rlim_cur = SOFT;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect_childs_limit("300\n");
    assert_int_equal(qe_descriptors_max(), SOFT);
    qe_descriptors_raise();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_cur == limit.rlim_max);
    assert_true(qe_descriptors_max() > SOFT);
    expect_childs_limit("300\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_allowed_is_taken_and_children_are_left_out_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
