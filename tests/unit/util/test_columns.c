#include "support/check.h"
#include "util/columns.h"

/* What is written of `text`. */
static const char *safe_of(struct qe_strbuf *out, const char *text)
{
    qe_strbuf_reset(out);
    qe_columns_append(out, text, strlen(text));
    return qe_strbuf_text(out);
}

static void nothing_that_drives_a_terminal_gets_through(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *safe;
        const char *why;
    } cases[] = {
        {"orders", "orders", "plain"},
        {"", "", "empty"},
        {"a\033[31mb", "a\\x1b[31mb", "an escape sequence"},
        {"a\nb\tc\rd\x7f", "a\\x0ab\\x09c\\x0dd\\x7f", "lines, tabs and DEL"},
        {"a\xc2\x9b"
         "1mb",
         "a\\xc2\\x9b1mb", "U+009B is ESC [ in one character"},
        {"a\xff\xfe", "a\\xff\\xfe", "not UTF-8"},
        {"a\xe2\x82", "a\\xe2\\x82", "a character cut off"},
        {"a\xe2\x80\xae"
         "b",
         "a\\xe2\\x80\\xaeb", "U+202E turns the order of what follows"},
        {"caf\xc3\xa9 e\xcc\x81", "caf\xc3\xa9 e\xcc\x81", "letters, and a mark that joins one"},
        {"\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x97\xa5\xe6\x9c\xac", "wide letters"},
    };
    struct qe_strbuf out;

    qe_strbuf_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("%s\n", cases[i].why);
        assert_string_equal(safe_of(&out, cases[i].text), cases[i].safe);
    }
    qe_strbuf_deinit(&out);
}

static void columns_are_those_of_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(qe_columns_of(""), 0);
    assert_int_equal(qe_columns_of("orders"), 6);
    assert_int_equal(qe_columns_of("caf\xc3\xa9"), 4);
    assert_int_equal(qe_columns_of("e\xcc\x81"), 1);
    assert_int_equal(qe_columns_of("\xe6\x97\xa5\xe6\x9c\xac"), 4);
}

static void what_is_too_wide_keeps_both_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t columns;
        const char *cut;
        size_t taken;
    } cases[] = {
        {"orders-dlq", 10, "orders-dlq", 10},
        {"orders-dlq", 9, "orde\xe2\x80\xa6-dlq", 9},
        {"orders-dlq", 2, "o\xe2\x80\xa6", 2},
        {"orders-dlq", 1, "\xe2\x80\xa6", 1},
        {"orders-dlq", 0, "", 0},
        /* Four wide ones: half of one never shows. */
        {"\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac", 7,
         "\xe6\x97\xa5\xe2\x80\xa6\xe6\x9c\xac", 5},
        {"\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac", 8,
         "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac", 8},
        {"a\xe6\x97\xa5\xe6\x9c\xac"
         "b",
         4,
         "a\xe2\x80\xa6"
         "b",
         3},
    };
    struct qe_strbuf out;

    qe_strbuf_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qe_strbuf_reset(&out);
        print_message("%s in %zu\n", cases[i].text, cases[i].columns);
        assert_int_equal(qe_columns_append_cut(&out, cases[i].text, cases[i].columns),
                         cases[i].taken);
        assert_string_equal(qe_strbuf_text(&out), cases[i].cut);
        assert_int_equal(qe_columns_of(qe_strbuf_text(&out)), cases[i].taken);
    }
    qe_strbuf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_drives_a_terminal_gets_through),
        cmocka_unit_test(columns_are_those_of_a_terminal),
        cmocka_unit_test(what_is_too_wide_keeps_both_ends),
    };

    qe_columns_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
