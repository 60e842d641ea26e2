#include <stdio.h>
#include <string.h>

#include "model/message.h"
#include "support/check.h"

static void a_new_message_has_text_everywhere(void **state)
{
    (void)state;
    struct qe_message message = {0};
    struct qe_err err = {0};

    assert_ok(qe_message_init(&message, &err), err);
    assert_string_equal(message.id, "");
    assert_string_equal(message.receipt, "");
    assert_string_equal(message.body, "");
    assert_string_equal(message.group, "");
    assert_string_equal(message.deduplication_id, "");
    assert_string_equal(message.correlation_id, "");
    assert_string_equal(message.reply_to, "");
    qe_message_deinit(&message);
    qe_message_deinit(&message);
}

static void an_attribute_added_again_has_the_new_value(void **state)
{
    (void)state;
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};

    assert_ok(qe_attributes_add(&attributes, "a", "1", &err), err);
    assert_ok(qe_attributes_add(&attributes, "b", "2", &err), err);
    assert_ok(qe_attributes_add(&attributes, "a", "3", &err), err);
    assert_int_equal(attributes.count, 2);
    assert_string_equal(qe_attributes_get(&attributes, "a"), "3");
    assert_string_equal(qe_attributes_get(&attributes, "b"), "2");
    assert_null(qe_attributes_get(&attributes, "c"));
    qe_attributes_deinit(&attributes);
}

static void a_type_travels_with_the_value(void **state)
{
    (void)state;
    struct qe_attributes attributes = {0};
    struct qe_attributes copy = {0};
    struct qe_err err = {0};

    assert_ok(qe_attributes_add_typed(&attributes, "n", "Number.int", "7", &err), err);
    assert_ok(qe_attributes_add(&attributes, "t", "x", &err), err);
    assert_ok(qe_attributes_copy(&copy, &attributes, &err), err);
    assert_string_equal(copy.items[0].type, "Number.int");
    assert_string_equal(copy.items[0].value, "7");
    assert_string_equal(copy.items[1].type, "");
    assert_ok(qe_attributes_add(&copy, "n", "seven", &err), err); /* plain text from now on */
    assert_ok(qe_attributes_add_typed(&copy, "t", "String.json", "{}", &err), err);
    assert_int_equal(copy.count, 2);
    assert_string_equal(copy.items[0].type, "");
    assert_string_equal(copy.items[1].type, "String.json");
    qe_attributes_deinit(&copy);
    qe_attributes_deinit(&attributes);
}

static void attributes_have_a_limit(void **state)
{
    (void)state;
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};
    char name[16];

    for (int i = 0; i < QE_MESSAGE_ATTRIBUTES_MAX; i++) {
        (void)snprintf(name, sizeof name, "a%d", i);
        assert_ok(qe_attributes_add(&attributes, name, "x", &err), err);
    }
    assert_int_equal(qe_attributes_add(&attributes, "one more", "x", &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_ok(qe_attributes_add(&attributes, "a0", "changed", &err), err);
    qe_attributes_deinit(&attributes);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_message_list list = {0};
    struct qe_attributes copy = {0};
    int rc = 0;

    (void)context;
    for (int i = 0; i < 10 && rc == 0; i++) {
        struct qe_message *message = qe_message_list_add(&list, err);

        rc = message == NULL ? -1 : qe_attributes_add(&message->attributes, "a", "1", err);
        if (rc == 0) {
            rc = qe_attributes_add_typed(&message->attributes, "a", "String.x", "2", err);
        }
    }
    if (rc == 0) {
        rc = qe_attributes_copy(&copy, &list.items[9].attributes, err);
    }
    if (rc == 0) {
        assert_string_equal(qe_attributes_get(&copy, "a"), "2");
    }
    qe_attributes_deinit(&copy);
    qe_message_list_deinit(&list);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_message_has_text_everywhere),
        cmocka_unit_test(an_attribute_added_again_has_the_new_value),
        cmocka_unit_test(a_type_travels_with_the_value),
        cmocka_unit_test(attributes_have_a_limit),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
