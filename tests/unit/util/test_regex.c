#include <pthread.h>
#include <string.h>

#include "support/check.h"
#include "util/clock.h"
#include "util/regex.h"

static bool matches(const char *pattern, const char *text)
{
    struct qe_err err = {0};
    struct qe_regex *regex = qe_regex_new(pattern, &err);

    assert_ok(regex == NULL ? -1 : 0, err);
    bool result = qe_regex_matches(regex, text);

    qe_regex_destroy(regex);
    return result;
}

static void a_pattern_matches_the_whole_text_only(void **state)
{
    (void)state;
    assert_true(matches("orders-.*", "orders-dlq"));
    assert_false(matches("orders", "orders-dlq"));
    assert_false(matches("dlq", "orders-dlq"));
    assert_true(matches("a|ab", "ab")); /* each alternative is anchored, not only the outer ones */
    assert_true(matches("", ""));
    assert_false(matches("", "x"));
    assert_false(matches("a$", "a\n"));
    assert_true(matches("a.b", "a\nb"));
    assert_true(matches("caf.", "caf\xc3\xa9")); /* one character, two bytes */
    assert_true(matches("(?i)ORDERS", "orders"));
}

static void text_that_is_not_utf8_does_not_match(void **state)
{
    (void)state;
    assert_false(matches(".*", "a\xff"));
}

static void an_error_says_what_and_at_which_character(void **state)
{
    (void)state;
    struct qe_err err = {0};

    assert_null(qe_regex_new("\xc3\xa9(a", &err));
    assert_int_equal(err.code, QE_ERR_INVALID);
    assert_non_null(strstr(err.message, "at character 4:"));
    assert_non_null(strstr(err.message, "parenthes"));
    assert_null(qe_regex_new("a\xff", &err));
    assert_int_equal(err.code, QE_ERR_INVALID);
}

static void a_pattern_has_a_longest_length(void **state)
{
    (void)state;
    static char pattern[5000];
    struct qe_err err = {0};

    memset(pattern, 'a', sizeof pattern - 1);
    assert_null(qe_regex_new(pattern, &err));
    assert_int_equal(err.code, QE_ERR_INVALID);
}

static void a_hostile_pattern_gives_up_soon(void **state)
{
    (void)state;
    int64_t begin = qe_clock_mono_ms();

    assert_false(matches("(a+)+b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    assert_false(matches("(.*)*(.*)*(.*)*x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    /* Without limits it takes centuries. */
    assert_true(qe_clock_mono_ms() - begin < 5000);
}

static void a_long_text_does_not_exhaust_the_stack(void **state)
{
    (void)state;
    static char text[20001];

    memset(text, 'a', sizeof text - 1);
    assert_true(matches("[a-z]*", text));
    (void)matches("(a|b|(c))*", text); /* may give up, must not crash */
}

struct sharing {
    const struct qe_regex *regex;
    bool right;
};

static void *match_often(void *context)
{
    struct sharing *sharing = context;

    sharing->right = true;
    for (int i = 0; i < 2000; i++) {
        if (!qe_regex_matches(sharing->regex, "orders-eu-1") ||
            qe_regex_matches(sharing->regex, "billing")) {
            sharing->right = false;
        }
    }
    return NULL;
}

static void threads_share_one_regex(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_regex *regex = qe_regex_new("orders-(eu|us)-[0-9]+", &err);
    struct sharing sharing[4];
    pthread_t threads[4];

    assert_non_null(regex);
    assert_string_equal(qe_regex_pattern(regex), "orders-(eu|us)-[0-9]+");
    for (size_t i = 0; i < 4; i++) {
        sharing[i].regex = regex;
        assert_int_equal(pthread_create(&threads[i], NULL, match_often, &sharing[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(sharing[i].right);
    }
    qe_regex_destroy(regex);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_regex *regex = qe_regex_new(context, err);

    qe_regex_destroy(regex);
    return regex == NULL ? -1 : 0;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    char pattern[] = "(?<a>x+)|[[:alpha:]]{3,9}(?:b|c)*";

    qe_check_torture(build, pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_matches_the_whole_text_only),
        cmocka_unit_test(text_that_is_not_utf8_does_not_match),
        cmocka_unit_test(an_error_says_what_and_at_which_character),
        cmocka_unit_test(a_pattern_has_a_longest_length),
        cmocka_unit_test(a_hostile_pattern_gives_up_soon),
        cmocka_unit_test(a_long_text_does_not_exhaust_the_stack),
        cmocka_unit_test(threads_share_one_regex),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
