#include <stdio.h>

#include "consumer/memory.h"
#include "support/check.h"

static void add(struct qe_memory *memory, const char *id, const char *error, int64_t seen)
{
    struct qe_err err = {0};

    assert_ok(qe_memory_add(memory, id, error, seen, &err), err);
}

static void first_error_stays_whatever_comes_later(void **state)
{
    struct qe_memory memory = {0};
    const struct qe_memory_entry *entry;

    (void)state;
    add(&memory, "a", "handler_error: first", 7);
    add(&memory, "a", "timeout: second", 8);
    entry = qe_memory_find(&memory, "a");
    assert_non_null(entry);
    assert_string_equal(entry->error, "handler_error: first");
    assert_int_equal(entry->first_seen_unix_ms, 7);
    assert_null(qe_memory_find(&memory, "b"));
    qe_memory_forget(&memory, "a");
    qe_memory_forget(&memory, "a");
    assert_null(qe_memory_find(&memory, "a"));
    qe_memory_deinit(&memory);
    qe_memory_deinit(&memory);
}

static void receives_that_came_to_no_handler_are_counted_beside_the_error(void **state)
{
    struct qe_memory memory = {0};
    struct qe_err err = {0};

    (void)state;
    assert_int_equal(qe_memory_unhandled(&memory, "a"), 0);
    assert_ok(qe_memory_add_unhandled(&memory, "a", &err), err);
    assert_null(qe_memory_find(&memory, "a"));
    add(&memory, "a", "timeout: first", 7);
    assert_ok(qe_memory_add_unhandled(&memory, "a", &err), err);
    assert_ok(qe_memory_add_unhandled(&memory, "", &err), err);
    assert_int_equal(qe_memory_unhandled(&memory, "a"), 2);
    assert_string_equal(qe_memory_find(&memory, "a")->error, "timeout: first");
    assert_int_equal(memory.count, 1);
    qe_memory_reset_unhandled(&memory, "a");
    qe_memory_reset_unhandled(&memory, "b");
    assert_int_equal(qe_memory_unhandled(&memory, "a"), 0);
    assert_string_equal(qe_memory_find(&memory, "a")->error, "timeout: first");
    assert_ok(qe_memory_add_unhandled(&memory, "a", &err), err);
    qe_memory_forget(&memory, "a");
    assert_int_equal(qe_memory_unhandled(&memory, "a"), 0);
    qe_memory_deinit(&memory);
}

static void message_without_an_id_is_not_kept(void **state)
{
    struct qe_memory memory = {0};

    (void)state;
    add(&memory, "", "handler_error", 7);
    assert_null(qe_memory_find(&memory, ""));
    qe_memory_forget(&memory, "");
    assert_int_equal(memory.count, 0);
}

static void past_its_bound_the_oldest_is_forgotten(void **state)
{
    struct qe_memory memory = {0};
    const int more = 1000;
    char id[24];

    (void)state;
    for (int i = 0; i < QE_MEMORY_MESSAGES_MAX + more; i++) {
        (void)snprintf(id, sizeof id, "message-%d", i);
        add(&memory, id, "handler_error", i);
        if (i % 7 == 0) {
            qe_memory_forget(&memory, id); /* leaves holes that are used again */
            add(&memory, id, "handler_error", i);
        }
    }
    assert_int_equal(memory.count, QE_MEMORY_MESSAGES_MAX);
    for (int i = 0; i < QE_MEMORY_MESSAGES_MAX + more; i++) {
        (void)snprintf(id, sizeof id, "message-%d", i);
        const struct qe_memory_entry *entry = qe_memory_find(&memory, id);

        assert_int_equal(entry != NULL, i >= more);
        assert_true(entry == NULL || entry->first_seen_unix_ms == i);
    }
    qe_memory_deinit(&memory);
}

static int fill(void *context, struct qe_err *err)
{
    struct qe_memory memory = {0};
    int rc = 0;
    char id[24];

    (void)context;
    for (int i = 0; i < 40 && rc == 0; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        rc = qe_memory_add(&memory, id, "handler_error", i, err);
    }
    qe_memory_deinit(&memory);
    return rc;
}

static void it_survives_failed_allocations(void **state)
{
    (void)state;
    qe_check_torture(fill, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_error_stays_whatever_comes_later),
        cmocka_unit_test(receives_that_came_to_no_handler_are_counted_beside_the_error),
        cmocka_unit_test(message_without_an_id_is_not_kept),
        cmocka_unit_test(past_its_bound_the_oldest_is_forgotten),
        cmocka_unit_test(it_survives_failed_allocations)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
