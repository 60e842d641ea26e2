/* Applying a configuration, when something in it does not start. */
#include "app/drivers.h"
#include "app/runtime.h"
#include "support/check.h"
#include "util/mem.h"

static const char s_config[] = "sources:\n"
                               "  - name: local\n"
                               "    type: embedded\n"
                               "    path: ':memory:'\n"
                               "    queues: [{name: one}, {name: two}]\n"
                               "consumers:\n"
                               "  - {source: local, queue: one, handler: {type: discard}}\n"
                               "  - {source: local, queue: two, handler: {type: discard}}\n";

static struct qe_generation *new_generation(void)
{
    size_t types_count = 0;
    const struct qe_source_type *types = qe_drivers_types(&types_count);
    struct qe_err err = {0};
    struct qe_strbuf errors;

    qe_strbuf_init(&errors, 4096);
    struct qe_config *config =
        qe_config_load_text("test.yml", s_config, sizeof s_config - 1, types, types_count, &errors);

    if (config == NULL) {
        fail_msg("%s", qe_strbuf_text(&errors));
    }
    qe_strbuf_deinit(&errors);
    struct qe_generation *generation = qe_generation_new_take(config, &err);

    assert_non_null(generation);
    return generation;
}

static size_t count_running(struct qe_stats *stats)
{
    struct qe_err err = {0};
    size_t count = 0;

    for (size_t i = 0; i < 2; i++) {
        const struct qe_consumer_stats *of =
            qe_stats_consumer(stats, "local", "", i == 0 ? "one" : "two", &err);

        assert_non_null(of);
        count += atomic_load(&of->active) ? 1 : 0;
    }
    return count;
}

static void what_does_not_start_keeps_nothing_else_from_starting_and_is_tried_again(void **state)
{
    struct qe_generation *generation = new_generation();
    size_t failures = 0;
    int rc = -1;

    (void)state;
    for (size_t nth = 1; rc != 0; nth++) {
        struct qe_err err = {0};
        struct qe_stats *stats = qe_stats_new(&err);
        struct qe_store *store = qe_store_new(NULL, stats, &err);
        struct qe_runtime *runtime = qe_runtime_new(store, &err);

        assert_non_null(runtime);
        qe_mem_fail_at(nth);
        rc = qe_runtime_apply(runtime, generation, &err);
        qe_mem_fail_at(0);
        failures += rc != 0 ? 1 : 0;
        assert_true(count_running(stats) >= (rc == 0 ? 2 : 1));
        if (rc != 0) {
            assert_int_equal(err.code, QE_ERR_NOMEM);
            assert_ok(qe_runtime_apply(runtime, generation, &err), err);
            assert_int_equal(count_running(stats), 2);
        }
        assert_true(qe_runtime_destroy(runtime));
        qe_store_destroy(store);
        qe_stats_destroy(stats);
    }
    print_message("%zu allocations failed\n", failures);
    assert_true(failures > 10);
    qe_generation_release(generation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_start_keeps_nothing_else_from_starting_and_is_tried_again)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
