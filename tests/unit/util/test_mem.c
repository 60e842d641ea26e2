#include <string.h>

#include "support/check.h"
#include "util/mem.h"

static void an_overflowing_size_is_refused(void **state)
{
    (void)state;
    assert_null(qe_calloc(SIZE_MAX, 2));
    assert_null(qe_reallocarray(NULL, SIZE_MAX / 2, 4));
    assert_null(qe_memdup("", SIZE_MAX));
    assert_null(qe_calloc(0, 8)); /* NULL always means "no memory", so nothing is no object */
}

static void memory_comes_zeroed_and_copies_end_in_nul(void **state)
{
    (void)state;
    char *zeroed = qe_calloc(4, 4);
    char *copy = qe_memdup("a\0b", 3);
    char *empty = qe_memdup(NULL, 0);
    char *cut = qe_strndup("queue", 2);

    assert_non_null(zeroed);
    assert_memory_equal(zeroed, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_non_null(copy);
    assert_memory_equal(copy, "a\0b\0", 4);
    assert_non_null(empty);
    assert_string_equal(empty, "");
    assert_string_equal(cut, "qu");
    qe_free(zeroed);
    qe_free(copy);
    qe_free(empty);
    qe_free(cut);
    qe_free(NULL);
}

static void growing_doubles_and_stops_at_the_cap(void **state)
{
    (void)state;
    int *items = NULL;
    size_t capacity = 0;
    size_t count = 0;
    size_t grown = 0;

    for (; count < 100; count++) {
        size_t before = capacity;

        if (qe_grow(&items, count, &capacity, 100, sizeof *items) != 0) {
            break;
        }
        grown += capacity != before ? 1 : 0;
        items[count] = (int)count;
    }
    assert_int_equal(count, 100);
    assert_int_equal(capacity, 100); /* never past the cap */
    assert_true(grown <= 5);
    assert_int_equal(qe_grow(&items, count, &capacity, 100, sizeof *items), -1);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(items[i], i);
    }
    qe_free(items);
}

static void a_failed_growth_changes_nothing(void **state)
{
    (void)state;
    int *items = NULL;
    size_t capacity = 0;

    qe_mem_fail_at(1);
    assert_int_equal(qe_grow(&items, 0, &capacity, 10, sizeof *items), -1);
    assert_null(items);
    assert_int_equal(capacity, 0);
    assert_int_equal(qe_grow(&items, 0, &capacity, 10, sizeof *items), 0); /* fails once only */
    assert_int_equal(qe_mem_allocations(), 2);
    qe_mem_fail_at(0);
    qe_free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_overflowing_size_is_refused),
        cmocka_unit_test(memory_comes_zeroed_and_copies_end_in_nul),
        cmocka_unit_test(growing_doubles_and_stops_at_the_cap),
        cmocka_unit_test(a_failed_growth_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
