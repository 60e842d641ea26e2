/* What the poller tells of its lists to those who work on the queues. */
#include <stdio.h>

#include "unit/poll/fixture.h"

static struct bench *begin(void)
{
    struct bench *bench = bench_new(STALE_MS);
    struct qe_err err = {0};

    bench->options.discovery_interval_ms = 0; /* list before each sample */
    bench->options.directory = qe_directory_new(&err);
    assert_non_null(bench->options.directory);
    return bench;
}

static void end(struct bench *bench)
{
    struct qe_directory *directory = bench->options.directory;

    bench_destroy(bench);
    qe_directory_release(directory);
}

/* The link of queue "orders", as a consumer would see it; NULL: none. */
static const char *link_of(struct bench *bench, char out[32])
{
    uint64_t version = 0;
    struct qe_queue_set *set = qe_directory_get(bench->options.directory, &version);
    const size_t index = set == NULL ? SIZE_MAX : qe_queue_set_find(set, "", "orders");

    out[0] = '\0';
    if (index != SIZE_MAX && set->items[index].links_count > 0) {
        (void)snprintf(out, 32, "%s", set->items[index].links[0].queue);
    }
    qe_queue_set_release(set);
    return out;
}

static void each_list_that_differs_is_told(void **state)
{
    struct bench *bench = begin();
    char link[32];

    (void)state;
    bench_start(bench);
    QE_WAIT_FOR(strcmp(link_of(bench, link), "orders-dlq") == 0);
    const uint64_t version = qe_directory_version(bench->options.directory);
    const unsigned lists = qe_fake_calls(bench->fake, QE_FAKE_LIST);

    QE_WAIT_FOR(qe_fake_calls(bench->fake, QE_FAKE_LIST) >= lists + 3);
    assert_int_equal(qe_directory_version(bench->options.directory), version);
    pthread_mutex_lock(&bench->fake->lock);
    bench->fake->queues[0].dead_letter_queue = "other-dlq";
    pthread_mutex_unlock(&bench->fake->lock);
    QE_WAIT_FOR(strcmp(link_of(bench, link), "other-dlq") == 0);
    assert_true(qe_directory_version(bench->options.directory) > version);
    end(bench);
}

static void a_list_that_fails_is_told_and_forgets_nothing(void **state)
{
    struct bench *bench = begin();
    char link[32];

    (void)state;
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 1000000, QE_ERR_NETWORK);
    bench_start(bench);
    QE_WAIT_FOR(qe_directory_version(bench->options.directory) == 1);
    assert_string_equal(link_of(bench, link), "");
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 0, QE_OK);
    QE_WAIT_FOR(qe_directory_version(bench->options.directory) == 2);
    qe_fake_fail(bench->fake, QE_FAKE_LIST, 1000000, QE_ERR_NETWORK);
    const unsigned lists = qe_fake_calls(bench->fake, QE_FAKE_LIST);

    QE_WAIT_FOR(qe_fake_calls(bench->fake, QE_FAKE_LIST) >= lists + 3);
    assert_string_equal(link_of(bench, link), "orders-dlq");
    end(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_list_that_differs_is_told),
        cmocka_unit_test(a_list_that_fails_is_told_and_forgets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
