#include <string.h>

#include "support/check.h"
#include "util/json.h"
#include "util/mem.h"

static struct qe_json *parse(const char *text)
{
    struct qe_err err = {0};
    struct qe_json *root = qe_json_parse(text, strlen(text), &err);

    assert_ok(root == NULL ? -1 : 0, err);
    return root;
}

static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    struct qe_json *root = parse(" {\"text\":\"a\\\"\\n\\u00e9\\ud83d\\ude00\xc3\xa9\","
                                 "\"n\":-1.25e2,\"zero\":0,\"yes\":true,\"no\":false,"
                                 "\"nil\":null,\"list\":[1,[2],{}],\"\":\"empty key\"} \r\n\t");
    double number = 0;
    bool yes = false;

    assert_true(qe_json_is_object(root));
    assert_int_equal(qe_json_count(root), 8);
    assert_string_equal(qe_json_text(qe_json_get(root, "text")),
                        "a\"\n\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9");
    assert_true(qe_json_number(qe_json_get(root, "n"), &number));
    assert_double_equal(number, -125);
    assert_true(qe_json_number(qe_json_get(root, "zero"), &number));
    assert_double_equal(number, 0);
    assert_true(qe_json_bool(qe_json_get(root, "yes"), &yes));
    assert_true(yes);
    assert_true(qe_json_bool(qe_json_get(root, "no"), &yes));
    assert_false(yes);
    assert_null(qe_json_get(root, "nil"));
    assert_null(qe_json_get(root, "missing"));
    assert_null(qe_json_get(root, "TEXT")); /* case counts */
    assert_string_equal(qe_json_text(qe_json_get(root, "")), "empty key");
    qe_json_destroy(root);
}

static void a_value_of_another_kind_is_a_no(void **state)
{
    (void)state;
    struct qe_json *root = parse("{\"text\":\"1\",\"n\":1,\"yes\":true,\"list\":[]}");
    double number = 7;
    bool yes = true;

    assert_false(qe_json_number(qe_json_get(root, "text"), &number));
    assert_false(qe_json_number(qe_json_get(root, "missing"), &number));
    assert_double_equal(number, 7);
    assert_false(qe_json_bool(qe_json_get(root, "n"), &yes));
    assert_true(yes);
    assert_null(qe_json_text(qe_json_get(root, "n")));
    assert_null(qe_json_get(qe_json_get(root, "list"), "a"));
    assert_null(qe_json_get(qe_json_get(root, "text"), "a"));
    assert_false(qe_json_is_object(qe_json_get(root, "list")));
    assert_true(qe_json_is_array(qe_json_get(root, "list")));
    assert_int_equal(qe_json_count(qe_json_get(root, "text")), 0);
    assert_null(qe_json_first(qe_json_get(root, "text")));
    qe_json_destroy(root);
}

static void nothing_is_no_kind_of_value(void **state)
{
    (void)state;
    double number = 0;
    bool yes = false;

    assert_false(qe_json_is_object(NULL));
    assert_false(qe_json_is_array(NULL));
    assert_null(qe_json_get(NULL, "a"));
    assert_null(qe_json_text(NULL));
    assert_false(qe_json_number(NULL, &number));
    assert_false(qe_json_bool(NULL, &yes));
    assert_null(qe_json_first(NULL));
    assert_null(qe_json_next(NULL));
    assert_string_equal(qe_json_key(NULL), "");
    assert_int_equal(qe_json_count(NULL), 0);
}

static void members_and_items_are_walked_in_order(void **state)
{
    (void)state;
    struct qe_json *root = parse("{\"b\":[\"x\",\"y\"],\"a\":null}");
    const struct qe_json *list = qe_json_first(root);
    const struct qe_json *last = qe_json_next(list);

    assert_string_equal(qe_json_key(list), "b");
    assert_string_equal(qe_json_key(last), "a");
    assert_null(qe_json_next(last));
    assert_int_equal(qe_json_count(list), 2);
    assert_string_equal(qe_json_text(qe_json_first(list)), "x");
    assert_string_equal(qe_json_key(qe_json_first(list)), "");
    assert_string_equal(qe_json_text(qe_json_next(qe_json_first(list))), "y");
    qe_json_destroy(root);
}

static void the_first_of_two_equal_keys_wins(void **state)
{
    (void)state;
    struct qe_json *root = parse("{\"a\":\"first\",\"b\":null,\"a\":\"last\",\"b\":1}");

    assert_string_equal(qe_json_text(qe_json_get(root, "a")), "first");
    assert_null(qe_json_get(root, "b"));
    qe_json_destroy(root);
}

static void what_is_not_json_is_refused_at_its_byte(void **state)
{
    static const struct {
        const char *text;
        size_t bytes; /* 0: strlen */
        const char *where;
        const char *why;
    } rows[] = {
        {"", 0, "empty", "nothing"},
        {"  ", 0, "empty", "only space"},
        {"{", 0, "byte 1", "cut after the brace"},
        {"{\"a\":1", 0, "byte 6", "cut after a value"},
        {"\"abc", 0, "byte 4", "cut inside a string"},
        {"\"abc\\", 0, "byte 5", "cut inside an escape"},
        {"{\"a\":1}}", 0, "byte 7", "one brace too many"},
        {"{} {}", 0, "byte 3", "two values"},
        {"[1,]", 0, "byte 3", "comma before the end"},
        {"{\"a\" 1}", 0, "byte", "no colon"},
        {"{a:1}", 0, "byte", "key without quotes"},
        {"[01]", 0, "byte 3", "leading zero"},
        {"[1.]", 0, "byte 3", "no digit behind the point"},
        {"[.5]", 0, "byte 1", "no digit before the point"},
        {"[1e]", 0, "byte 3", "no exponent"},
        {"[+1]", 0, "byte 1", "plus"},
        {"[-]", 0, "byte 2", "minus alone"},
        {"NaN", 0, "byte 0", "no number of JSON"},
        {"Infinity", 0, "byte 0", "no number of JSON"},
        {"nul", 0, "byte", "cut word"},
        {"\"a\nb\"", 0, "byte 2", "bare line end in a string"},
        {"\"a\0b\"", 5, "byte 2", "bare NUL in a string"},
        {"1\0", 2, "byte 1", "NUL behind the value"},
        {"\"a\\u0000b\"", 0, "byte 8", "escaped NUL would cut the text short"},
        {"\"\\ud83d\"", 0, "byte", "half a surrogate pair"},
        {"\"\\ude00\"", 0, "byte", "the other half"},
        {"\"\\x41\"", 0, "byte", "unknown escape"},
        {"\"\\u12g4\"", 0, "byte", "not hexadecimal"},
        {"\"\xff\"", 0, "byte 1", "not UTF-8"},
        {"\"\xc3\"", 0, "byte 1", "cut UTF-8"},
        {"\"\xed\xa0\x80\"", 0, "byte 1", "surrogate in UTF-8"},
        {"\xef\xbb\xbf{}", 0, "byte 0", "byte order mark"},
        {"<html>Service Unavailable</html>", 0, "byte 0", "a proxy's page"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const size_t bytes = rows[i].bytes > 0 ? rows[i].bytes : strlen(rows[i].text);
        /* An exact copy, so that AddressSanitizer sees a read past the end. */
        char *copy = bytes == 0 ? NULL : qe_calloc(1, bytes);
        struct qe_err err = {0};

        if (copy != NULL) {
            memcpy(copy, rows[i].text, bytes);
        }
        struct qe_json *root = qe_json_parse(copy, bytes, &err);

        if (root != NULL || err.code != QE_ERR_PROTOCOL ||
            strstr(err.message, rows[i].where) == NULL) {
            fail_msg("%s: %s", rows[i].why, root != NULL ? "accepted" : err.message);
        }
        qe_free(copy);
    }
}

static void a_refusal_quotes_nothing_of_the_text(void **state)
{
    static const char text[] = "{\"SecretAccessKey\": \"hunter2\" oops}";
    struct qe_err err = {0};

    (void)state;
    assert_null(qe_json_parse(text, strlen(text), &err));
    assert_string_equal(err.message, "not JSON at byte 30");
}

/* `levels` opening brackets and their closing ones. */
static struct qe_json *parse_nested(size_t levels, struct qe_err *err)
{
    char text[2 * (QE_JSON_DEPTH_MAX + 2)];

    memset(text, '[', levels);
    memset(text + levels, ']', levels);
    return qe_json_parse(text, 2 * levels, err);
}

static void depth_has_a_limit(void **state)
{
    struct qe_err err = {0};

    (void)state;
    struct qe_json *root = parse_nested(QE_JSON_DEPTH_MAX, &err);

    assert_ok(root == NULL ? -1 : 0, err);
    qe_json_destroy(root);
    assert_null(parse_nested(QE_JSON_DEPTH_MAX + 1, &err));
    assert_int_equal(err.code, QE_ERR_PROTOCOL);
    assert_string_equal(err.message, "JSON nested deeper than 64 levels at byte 64");
}

static void a_million_brackets_cost_no_stack(void **state)
{
    const size_t bytes = 1000000;
    char *text = qe_calloc(1, bytes);
    struct qe_err err = {0};

    (void)state;
    assert_non_null(text);
    memset(text, '[', bytes);
    assert_null(qe_json_parse(text, bytes, &err));
    assert_int_equal(err.code, QE_ERR_PROTOCOL);
    qe_free(text);
}

static void a_number_past_the_range_of_a_double_is_no_number(void **state)
{
    struct qe_json *root = parse("[1e999,-1e999,1e308]");
    const struct qe_json *value = qe_json_first(root);
    double number = 7;

    (void)state;
    assert_false(qe_json_number(value, &number));
    assert_false(qe_json_number(qe_json_next(value), &number));
    assert_double_equal(number, 7);
    assert_true(qe_json_number(qe_json_next(qe_json_next(value)), &number));
    qe_json_destroy(root);
}

static void the_text_needs_no_end_mark(void **state)
{
    static const char text[] = {'[', '1', '2', ']', '3', '4'};
    struct qe_err err = {0};
    double number = 0;

    (void)state;
    struct qe_json *root = qe_json_parse(text, 4, &err);

    assert_ok(root == NULL ? -1 : 0, err);
    assert_true(qe_json_number(qe_json_first(root), &number));
    assert_double_equal(number, 12);
    qe_json_destroy(root);
    root = qe_json_parse(text + 1, 1, &err);
    assert_ok(root == NULL ? -1 : 0, err);
    assert_true(qe_json_number(root, &number));
    assert_double_equal(number, 1);
    qe_json_destroy(root);
}

static int read_some(void *context, struct qe_err *err)
{
    static const char text[] = "{\"a\":[1,\"two\",{\"three\":3}],\"b\":\"\\u00e9\"}";
    struct qe_json *root = qe_json_parse(text, strlen(text), err);

    (void)context;
    qe_json_destroy(root);
    return root == NULL ? -1 : 0;
}

static void running_out_of_memory_is_not_bad_text(void **state)
{
    (void)state;
    qe_check_torture(read_some, NULL);
}

struct pointer_row {
    const char *pointer;
    const char *text; /* of what is there; NULL: nothing, or no text */
};

/* The document and most pointers of RFC 6901, section 5. */
static void pointer_finds_what_the_standard_says(void **state)
{
    static const char document[] =
        "{\"foo\":[\"bar\",\"baz\"],\"\":\"0\",\"a/b\":\"1\",\"c%d\":\"2\",\"k\\\"l\":\"6\","
        "\" \":\"7\",\"m~n\":\"8\",\"deep\":{\"x\":[{\"y\":\"z\"}]},\"n\":null}";
    static const struct pointer_row rows[] = {{"", NULL},
                                              {"/foo", NULL},
                                              {"/foo/0", "bar"},
                                              {"/foo/1", "baz"},
                                              {"/foo/2", NULL},
                                              {"/foo/01", NULL},
                                              {"/foo/-", NULL},
                                              {"/foo/-1", NULL},
                                              {"/foo/", NULL},
                                              {"/", "0"},
                                              {"/a~1b", "1"},
                                              {"/c%d", "2"},
                                              {"/k\"l", "6"},
                                              {"/ ", "7"},
                                              {"/m~0n", "8"},
                                              {"/a", NULL},
                                              {"/deep/x/0/y", "z"},
                                              {"/deep/x/0", NULL},
                                              {"/deep/x/0/y/z", NULL},
                                              {"/n", NULL},
                                              {"/foo/4294967296", NULL}};
    struct qe_err err = {0};
    struct qe_json *root = qe_json_parse(document, strlen(document), &err);

    (void)state;
    assert_non_null(root);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *text = qe_json_text(qe_json_at(root, rows[i].pointer));

        print_message("%s\n", rows[i].pointer);
        assert_true(qe_json_pointer_is_valid(rows[i].pointer));
        assert_int_equal(text == NULL, rows[i].text == NULL);
        if (text != NULL) {
            assert_string_equal(text, rows[i].text);
        }
    }
    assert_true(qe_json_at(root, "") == root);
    assert_null(qe_json_at(NULL, "/foo"));
    qe_json_destroy(root);
}

/* Exactly: what a double makes of it may be another number. */
static void pointer_finds_what_was_written(void **state)
{
    static const char document[] = " { \"a\\\"]\" : [ -1.0e+2 , {\"x\":\",}\"},[[ ]] ,\"\\\\\" ] ,"
                                   "\"n\":1.00000000000000000001,\"n\":2,\"t\":true } ";
    static const struct pointer_row rows[] = {{"/a\"]/0", "-1.0e+2"},
                                              {"/a\"]/1", "{\"x\":\",}\"}"},
                                              {"/a\"]/1/x", "\",}\""},
                                              {"/a\"]/2", "[[ ]]"},
                                              {"/a\"]/2/0", "[ ]"},
                                              {"/a\"]/3", "\"\\\\\""},
                                              {"/a\"]/4", NULL},
                                              {"/n", "1.00000000000000000001"},
                                              {"/t", "true"},
                                              {"/t/x", NULL},
                                              {"/x", NULL}};
    struct qe_err err = {0};
    struct qe_json *root = qe_json_parse(document, strlen(document), &err);
    size_t bytes = 0;

    (void)state;
    assert_non_null(root);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *written =
            qe_json_written_at(document, strlen(document), root, rows[i].pointer, &bytes);

        print_message("%s\n", rows[i].pointer);
        assert_int_equal(written == NULL, rows[i].text == NULL);
        if (written != NULL) {
            assert_int_equal(bytes, strlen(rows[i].text));
            assert_memory_equal(written, rows[i].text, bytes);
        }
    }
    assert_ptr_equal(qe_json_written_at(document, strlen(document), root, "", &bytes),
                     document + 1);
    assert_int_equal(bytes, strlen(document) - 2);
    qe_json_destroy(root);
}

static void only_pointers_of_the_standard_are_valid(void **state)
{
    (void)state;
    assert_false(qe_json_pointer_is_valid("foo"));
    assert_false(qe_json_pointer_is_valid("/a~"));
    assert_false(qe_json_pointer_is_valid("/a~2b"));
    assert_true(qe_json_pointer_is_valid("/a~01"));
}

/* Counts, and adds up numbers; a text ends the reading. */
struct seen {
    size_t count;
    double sum;
};

static int see(void *context, const struct qe_json *item, struct qe_err *err)
{
    struct seen *seen = context;
    double number = 0;

    if (qe_json_text(item) != NULL) {
        return qe_err_set(err, QE_ERR_CANCELLED, "enough");
    }
    seen->count++;
    seen->sum += qe_json_number(item, &number) ? number : 0;
    return 0;
}

static void a_list_is_read_value_by_value(void **state)
{
    static const struct {
        const char *text;
        enum qe_err_code code;
        size_t count;
        double sum;
    } rows[] = {
        {"[]", QE_OK, 0, 0},
        {" [ ] \n", QE_OK, 0, 0},
        {"[1]", QE_OK, 1, 1},
        {" [1 , 2,\n3 ] ", QE_OK, 3, 6},
        {"[{\"a\":[1,2],\"b,]\":\"],}\\\"\"},[5,6],7,null,true]", QE_OK, 5, 7},
        {"[1,\"a\",2]", QE_ERR_CANCELLED, 1, 1},
        {"", QE_ERR_PROTOCOL, 0, 0},
        {"{}", QE_ERR_PROTOCOL, 0, 0},
        {"1", QE_ERR_PROTOCOL, 0, 0},
        {"[1,2", QE_ERR_PROTOCOL, 0, 0},
        {"[1,{\"a\":1]", QE_ERR_PROTOCOL, 0, 0},
        {"[1,]", QE_ERR_PROTOCOL, 1, 1},
        {"[,1]", QE_ERR_PROTOCOL, 0, 0},
        {"[1 2]", QE_ERR_PROTOCOL, 0, 0},
        {"[1]]", QE_ERR_PROTOCOL, 0, 0},
        {"[1],[2]", QE_ERR_PROTOCOL, 1, 1},
        {"[1}[", QE_ERR_PROTOCOL, 0, 0},
        {"[{]}", QE_ERR_PROTOCOL, 0, 0},
        {"[1,\x01]", QE_ERR_PROTOCOL, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct seen seen = {0};
        struct qe_err err = {0};
        const int rc = qe_json_each(rows[i].text, strlen(rows[i].text), see, &seen, &err);

        if ((rc == 0) != (rows[i].code == QE_OK) || err.code != rows[i].code ||
            seen.count != rows[i].count || seen.sum < rows[i].sum || seen.sum > rows[i].sum) {
            fail_msg("%s: %s, %zu, %g", rows[i].text, err.message, seen.count, seen.sum);
        }
    }
}

static int read_each(void *context, struct qe_err *err)
{
    static const char text[] = "[{\"a\":[1,2]},3,{\"b\":\"c\"}]";
    struct seen seen = {0};

    (void)context;
    return qe_json_each(text, sizeof text - 1, see, &seen, err);
}

static void a_list_that_memory_does_not_suffice_for_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(read_each, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(a_value_of_another_kind_is_a_no),
        cmocka_unit_test(nothing_is_no_kind_of_value),
        cmocka_unit_test(members_and_items_are_walked_in_order),
        cmocka_unit_test(the_first_of_two_equal_keys_wins),
        cmocka_unit_test(what_is_not_json_is_refused_at_its_byte),
        cmocka_unit_test(a_refusal_quotes_nothing_of_the_text),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(a_million_brackets_cost_no_stack),
        cmocka_unit_test(a_number_past_the_range_of_a_double_is_no_number),
        cmocka_unit_test(the_text_needs_no_end_mark),
        cmocka_unit_test(running_out_of_memory_is_not_bad_text),
        cmocka_unit_test(pointer_finds_what_the_standard_says),
        cmocka_unit_test(pointer_finds_what_was_written),
        cmocka_unit_test(only_pointers_of_the_standard_are_valid),
        cmocka_unit_test(a_list_is_read_value_by_value),
        cmocka_unit_test(a_list_that_memory_does_not_suffice_for_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
