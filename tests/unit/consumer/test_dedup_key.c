#include <string.h>

#include "consumer/dedup_key.h"
#include "support/check.h"

struct row {
    const char *why;
    const char *attribute; /* to look at; the message has tenant=7 and empty= */
    const char *pointer;
    const char *id;
    const char *body;
    const char *key; /* NULL: none */
    bool fell_back;
};

static const struct row s_rows[] = {
    {"the id, when nothing else is named", NULL, NULL, "m1", "x", "id:m1", false},
    {"no id, no key", NULL, NULL, "", "x", NULL, false},
    {"an attribute's value", "tenant", NULL, "m1", "x", "text:7", false},
    {"an attribute that is not there falls back to the id", "colour", NULL, "m1", "x", "id:m1",
     true},
    {"so does an empty one", "empty", NULL, "m1", "x", "id:m1", true},
    {"text in the body", "", "/order/id", "m1", "{\"order\":{\"id\":\"a-1\"}}", "text:a-1", false},
    {"a number is not the same as its text", "", "/id", "m1", "{\"id\":17}", "number:17", false},
    {"nor is a bool", "", "/id", "m1", "{\"id\":true}", "bool:true", false},
    {"a large whole number", "", "/id", "m1", "{\"id\":9007199254740991}",
     "number:9007199254740991", false},
    {"a number where two ids may look like one", "", "/id", "m1", "{\"id\":12345678901234567890}",
     "id:m1", true},
    {"the first such", "", "/id", "m1", "{\"id\":9007199254740993}", "id:m1", true},
    {"and a negative one", "", "/id", "m1", "{\"id\":-9007199254740993}", "id:m1", true},
    {"a number with a fraction", "", "/id", "m1", "{\"id\":1700000000.1234567}", "id:m1", true},
    {"a fraction that a double cannot tell", "", "/id", "m1", "{\"id\":4503599627370497.4}",
     "id:m1", true},
    {"one that is lost on it", "", "/id", "m1", "{\"id\":1.00000000000000000001}", "id:m1", true},
    {"a number too small for it", "", "/id", "m1", "{\"id\":1e-400}", "id:m1", true},
    {"whole numbers in other words", "", "/id", "m1", "{\"id\": 12.50e2 }", "number:1250", false},
    {"none at all", "", "/id", "m1", "{\"id\":0.0e-7}", "number:0", false},
    {"an element of an array", "", "/0/a~1b", "m1", "[{\"a/b\":\"c\"}]", "text:c", false},
    {"null is nothing", "", "/id", "m1", "{\"id\":null}", "id:m1", true},
    {"an object is no key", "", "/id", "m1", "{\"id\":{}}", "id:m1", true},
    {"nothing there", "", "/id", "m1", "{}", "id:m1", true},
    {"a body that is no JSON", "", "/id", "m1", "id=7", "id:m1", true},
    {"neither there, nor an id", "", "/id", "", "{}", NULL, true},
};

static void key_is_what_the_table_says(void **state)
{
    char tenant[] = "tenant";
    char seven[] = "7";
    char empty_name[] = "empty";
    char empty[] = "";
    struct qe_attribute attributes[] = {{.name = tenant, .value = seven, .type = empty},
                                        {.name = empty_name, .value = empty, .type = empty}};

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        const struct row *row = &s_rows[i];
        const struct qe_dedup_by by = {.attribute = row->attribute, .pointer = row->pointer};
        char id[16];
        char body[64];
        struct qe_message message = {
            .id = id,
            .body = body,
            .body_bytes = strlen(row->body),
            .attributes = {.items = attributes, .count = 2},
        };
        struct qe_strbuf key;
        bool fell_back;

        print_message("%s\n", row->why);
        memcpy(id, row->id, strlen(row->id) + 1);
        memcpy(body, row->body, strlen(row->body) + 1);
        qe_strbuf_init(&key, 0);
        assert_int_equal(qe_dedup_key(&by, &message, &key, &fell_back), row->key != NULL);
        assert_string_equal(qe_strbuf_text(&key), row->key == NULL ? "" : row->key);
        assert_int_equal(fell_back, row->fell_back);
        qe_strbuf_deinit(&key);
    }
}

static void very_long_value_is_no_key(void **state)
{
    static char value[4096];
    char name[] = "a";
    char empty[] = "";
    char id[] = "m1";
    struct qe_attribute attribute = {.name = name, .value = value, .type = empty};
    struct qe_message message = {
        .id = id, .body = empty, .attributes = {.items = &attribute, .count = 1}};
    const struct qe_dedup_by by = {.attribute = "a"};
    struct qe_strbuf key;
    bool fell_back = false;

    (void)state;
    memset(value, 'x', sizeof value - 1);
    qe_strbuf_init(&key, 0);
    assert_true(qe_dedup_key(&by, &message, &key, &fell_back));
    assert_string_equal(qe_strbuf_text(&key), "id:m1");
    assert_true(fell_back);
    qe_strbuf_deinit(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(key_is_what_the_table_says),
                                       cmocka_unit_test(very_long_value_is_no_key)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
