/* What a source's last list says, between the one who lists and those who work. */
#include <pthread.h>

#include "model/directory.h"
#include "unit/model/fixture.h"

#define READERS 3
#define PUTS 2000

static struct qe_queue_set *set_of(const char *name)
{
    const char *const names[] = {name, NULL};

    return fixture_set(names);
}

static void each_other_set_is_news_and_the_same_one_is_none(void **state)
{
    struct qe_err err = {0};
    struct qe_directory *directory = qe_directory_new(&err);
    struct qe_queue_set *sets[] = {set_of("a"), set_of("b")};
    uint64_t version = 9;

    (void)state;
    assert_non_null(directory);
    assert_int_equal(qe_directory_version(directory), 0);
    assert_null(qe_directory_get(directory, &version));
    assert_int_equal(version, 0);
    qe_directory_put(directory, NULL); /* a list has failed, which tells that much */
    assert_int_equal(qe_directory_version(directory), 1);
    qe_directory_put(directory, NULL);
    assert_int_equal(qe_directory_version(directory), 1);
    for (size_t i = 0; i < 2; i++) {
        qe_directory_put(directory, sets[i]);
        qe_directory_put(directory, sets[i]);
        qe_directory_put(directory, NULL); /* what was listed stays known */
        struct qe_queue_set *got = qe_directory_get(directory, &version);

        assert_ptr_equal(got, sets[i]);
        assert_int_equal(version, i + 2);
        assert_int_equal(qe_directory_version(directory), version);
        qe_queue_set_release(got);
        qe_queue_set_release(sets[i]);
    }
    qe_directory_release(qe_directory_acquire(directory));
    qe_directory_release(directory);
    qe_directory_release(NULL);
}

static void the_interval_is_whatever_was_said_last(void **state)
{
    struct qe_err err = {0};
    struct qe_directory *directory = qe_directory_new(&err);

    (void)state;
    assert_non_null(directory);
    assert_int_equal(qe_directory_interval_ms(directory), 0);
    qe_directory_set_interval(directory, 300000);
    assert_int_equal(qe_directory_interval_ms(directory), 300000);
    qe_directory_release(directory);
}

static void *read_often(void *context)
{
    struct qe_directory *directory = context;
    uint64_t before = 0;

    while (before < PUTS) {
        uint64_t version = 0;
        struct qe_queue_set *set = qe_directory_get(directory, &version);

        if (version < before || (set != NULL) != (version > 0) ||
            (set != NULL && set->items[0].links_count != version % 2)) {
            abort(); /* a version and a set that are not of each other */
        }
        before = version;
        qe_queue_set_release(set);
    }
    qe_directory_release(directory);
    return NULL;
}

static void readers_see_whole_sets_in_their_order(void **state)
{
    struct qe_err err = {0};
    struct qe_directory *directory = qe_directory_new(&err);
    pthread_t readers[READERS];

    (void)state;
    assert_non_null(directory);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(
            pthread_create(&readers[i], NULL, read_often, qe_directory_acquire(directory)), 0);
    }
    for (int i = 1; i <= PUTS; i++) {
        struct qe_queue_list list = {0};
        struct qe_queue *queue = fixture_add(&list, "a");

        if (i % 2 == 1) {
            assert_ok(qe_queue_add_link(queue, NULL, "dlq", &err), err);
        }
        struct qe_queue_set *set = fixture_take(&list);

        qe_directory_put(directory, set);
        qe_queue_set_release(set);
    }
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    qe_directory_release(directory);
}

static int make(void *context, struct qe_err *err)
{
    struct qe_directory *directory = qe_directory_new(err);

    (void)context;
    qe_directory_release(directory);
    return directory == NULL ? -1 : 0;
}

static void running_out_of_memory_is_told(void **state)
{
    (void)state;
    qe_check_torture(make, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_other_set_is_news_and_the_same_one_is_none),
        cmocka_unit_test(the_interval_is_whatever_was_said_last),
        cmocka_unit_test(readers_see_whole_sets_in_their_order),
        cmocka_unit_test(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
