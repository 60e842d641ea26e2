/* The rules between the embedded store's settings, and their defaults. */
#include "backend/embedded/internal.h"
#include "support/check.h"

static char s_orders[] = "orders";
static char s_memory[] = ":memory:";

static const struct qe_section *queues_section(void)
{
    for (size_t i = 0; i < qe_embedded_section.options_count; i++) {
        if (strcmp(qe_embedded_section.options[i].key, "queues") == 0) {
            return qe_embedded_section.options[i].section;
        }
    }
    fail_msg("no option \"queues\"");
    return &qe_embedded_section; /* not reached */
}

static void settings_that_cannot_be_are_refused(void **state)
{
    static char s_empty[] = "";
    static char s_control[] = "a\nb";
    struct qe_embedded_queue_settings twice[2] = {{.name = s_orders}, {.name = s_orders}};
    struct qe_embedded_settings store = {.path = s_memory, .queues = {.items = twice, .count = 2}};
    const struct qe_section *queues = queues_section();
    const char *key = NULL;
    struct qe_err err = {0};

    (void)state;
    assert_int_equal(qe_embedded_section.rules[0](&store, &key, &err), -1);
    assert_string_equal(key, "queues");
    store.queues.count = 1;
    assert_int_equal(qe_embedded_section.rules[0](&store, &key, &err), 0);
    store.path = s_empty;
    assert_int_equal(qe_embedded_section.rules[0](&store, &key, &err), -1);
    assert_string_equal(key, "path");

    char *const names[] = {s_empty, s_control};
    for (size_t i = 0; i < 2; i++) {
        twice[0].name = names[i];
        assert_int_equal(queues->rules[0](&twice[0], &key, &err), -1);
        assert_string_equal(key, "name");
    }
    twice[0].name = s_orders;
    twice[0].dead_letter.queue = s_orders; /* into itself */
    twice[0].dead_letter.max_receives = 1;
    assert_int_equal(queues->rules[0](&twice[0], &key, &err), -1);
    assert_string_equal(key, "dead_letter");
}

static void defaults_are_what_the_reference_says(void **state)
{
    struct qe_embedded_queue_settings queue = {0};
    const struct qe_section *queues = queues_section();
    struct qe_err err = {0};

    (void)state;
    assert_ok(qe_section_set_defaults(queues, &queue, &err), err);
    assert_int_equal(queue.visibility_timeout_ms, 30000);
    assert_int_equal(queue.retention_ms, INT64_C(345600000));
    assert_int_equal(queue.delay_ms, 0);
    assert_int_equal(queue.deduplication_window_ms, 300000);
    assert_false(queue.ordered);
    assert_null(queue.dead_letter.queue);
    qe_section_deinit(queues, &queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_that_cannot_be_are_refused),
        cmocka_unit_test(defaults_are_what_the_reference_says),
    };

    return cmocka_run_group_tests_name("embedded settings", tests, NULL, NULL);
}
