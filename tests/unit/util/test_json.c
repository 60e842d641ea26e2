#include <math.h>

#include "support/check.h"
#include "util/json.h"
#include "util/mem.h"

static void a_document_has_every_kind_of_value_in_order(void **state)
{
    (void)state;
    struct qe_json *root = qe_json_new_object();
    struct qe_json *list = qe_json_new_array();
    struct qe_json *inner = qe_json_new_object();

    assert_int_equal(qe_json_add_text(root, "name", "a \"b\"\n\x01\xc3\xa9"), 0);
    assert_int_equal(qe_json_add_number(root, "big", 9007199254740992), 0);
    assert_int_equal(qe_json_add_number(root, "small", 0.1), 0);
    assert_int_equal(qe_json_add_number(root, "nan", (double)NAN), 0);
    assert_int_equal(qe_json_add_bool(root, "yes", true), 0);
    assert_int_equal(qe_json_add_null(root, "none"), 0);
    assert_int_equal(qe_json_add_take(list, NULL, inner), 0);
    assert_int_equal(qe_json_add_take(root, "list", list), 0);
    char *text = qe_json_print(root);

    assert_string_equal(text, "{\"name\":\"a \\\"b\\\"\\n\\u0001\xc3\xa9\","
                              "\"big\":9007199254740992,\"small\":0.1,\"nan\":null,"
                              "\"yes\":true,\"none\":null,\"list\":[{}]}");
    qe_free(text);
    qe_json_destroy(root);
}

static void what_is_indented_stays_as_it_was_written(void **state)
{
    static const char text[] =
        " {\"id\":9007199254740993, \"p\" :19.90,\"s\":\"a, {\\\"}\\\\\",\"e\":[ ],\"o\":{},"
        "\"l\":[1,[true]]}\n";
    struct qe_strbuf out;

    (void)state;
    qe_strbuf_init(&out, 0);
    qe_json_indent(text, sizeof text - 1, &out);
    assert_string_equal(qe_strbuf_text(&out), "{\n"
                                              "  \"id\": 9007199254740993,\n"
                                              "  \"p\": 19.90,\n"
                                              "  \"s\": \"a, {\\\"}\\\\\",\n"
                                              "  \"e\": [],\n"
                                              "  \"o\": {},\n"
                                              "  \"l\": [\n"
                                              "    1,\n"
                                              "    [\n"
                                              "      true\n"
                                              "    ]\n"
                                              "  ]\n"
                                              "}");
    qe_strbuf_deinit(&out);
}

static void adding_to_nothing_fails_and_frees_the_child(void **state)
{
    (void)state;
    assert_int_equal(qe_json_add_text(NULL, "a", "b"), -1);
    assert_int_equal(qe_json_add_number(NULL, "a", 1), -1);
    assert_int_equal(qe_json_add_bool(NULL, "a", true), -1);
    assert_int_equal(qe_json_add_null(NULL, "a"), -1);
    assert_int_equal(qe_json_add_take(NULL, "a", qe_json_new_object()), -1);
    assert_null(qe_json_print(NULL));
    qe_json_destroy(NULL);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_json *root = qe_json_new_object();
    struct qe_json *list = qe_json_new_array();
    int failed = 0;
    char *text = NULL;

    (void)context;
    failed |= qe_json_add_text(list, NULL, "x");
    failed |= qe_json_add_take(root, "list", list);
    failed |= qe_json_add_number(root, "n", 1.5);
    failed |= qe_json_add_bool(root, "b", false);
    if (failed == 0) {
        text = qe_json_print(root);
        qe_free(text);
    }
    qe_json_destroy(root);
    return text != NULL ? 0 : qe_err_set(err, QE_ERR_NOMEM, "no memory");
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_has_every_kind_of_value_in_order),
        cmocka_unit_test(what_is_indented_stays_as_it_was_written),
        cmocka_unit_test(adding_to_nothing_fails_and_frees_the_child),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
