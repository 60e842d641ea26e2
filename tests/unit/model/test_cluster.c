/* The machines behind a source, from a poll's batch to the snapshot, until they are stale. */
#include "unit/model/fixture_store.h"
#include "util/mem.h"

static const char *const s_ab[] = {"a", "b", NULL};

static struct qe_cluster *cluster_of(const char *name, struct qe_err *err)
{
    struct qe_cluster *cluster = qe_cluster_new(err);
    char copy[32];
    const size_t bytes = strlen(name) + 1;
    const struct qe_node node = {.name = copy, .is_up = true, .details_known = true};

    assert_true(bytes <= sizeof copy);
    memcpy(copy, name, bytes);
    if (cluster != NULL && qe_cluster_add(cluster, &node, err) != 0) {
        qe_cluster_release(cluster);
        return NULL;
    }
    return cluster;
}

static void publish_cluster(struct qe_slot *slot, struct qe_queue_set *set, const char *name,
                            const char *method, int64_t now_mono_ms)
{
    struct qe_batch batch = {0};
    struct qe_err err = {0};
    const struct qe_sample sample = {.known = 1u << QE_FIELD_READY_MESSAGES};
    const struct qe_poll_report report = report_at(now_mono_ms);

    assert_ok(qe_batch_init(&batch, set, &err), err);
    qe_batch_set(&batch, 0, &sample);
    qe_batch_set(&batch, 1, &sample);
    batch.cluster = name == NULL ? NULL : cluster_of(name, &err);
    batch.method = method;
    assert_ok(qe_slot_publish(slot, &batch, &report, &err), err);
    qe_batch_deinit(&batch);
}

static void the_nodes_stay_until_they_are_told_again_or_stale(void **state)
{
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_queue_set *set = fixture_set(s_ab);
    struct qe_err err = {0};

    (void)state;
    publish_cluster(slot, set, "one", "totals", 0);
    publish_cluster(slot, set, NULL, "metrics", STALE_AFTER_MS - 1);
    struct qe_snapshot *snapshot = newest(store);

    assert_non_null(snapshot->cluster);
    assert_string_equal(snapshot->cluster->items[0].name, "one");
    assert_string_equal(snapshot->status.method, "metrics");
    qe_snapshot_release(snapshot);
    assert_ok(qe_store_expire(store, STALE_AFTER_MS, &err), err);
    snapshot = newest(store);
    assert_null(snapshot->cluster);
    assert_true(qe_sample_has(&snapshot->states[0].sample, QE_FIELD_READY_MESSAGES));
    qe_snapshot_release(snapshot);
    publish_cluster(slot, set, "two", NULL, STALE_AFTER_MS + 1);
    snapshot = newest(store);
    assert_string_equal(snapshot->cluster->items[0].name, "two");
    assert_null(snapshot->status.method);
    qe_snapshot_release(snapshot);
    qe_queue_set_release(set);
    qe_store_destroy(store);
}

static void there_is_a_limit(void **state)
{
    struct qe_err err = {0};
    struct qe_cluster *cluster = cluster_of("n", &err);
    char name[] = "n";
    const struct qe_node node = {.name = name};

    (void)state;
    for (size_t i = 1; i < QE_NODES_MAX; i++) {
        assert_ok(qe_cluster_add(cluster, &node, &err), err);
    }
    assert_int_equal(qe_cluster_add(cluster, &node, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_int_equal(cluster->count, QE_NODES_MAX);
    qe_cluster_release(cluster);
    qe_cluster_release(NULL);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_cluster *cluster = cluster_of("n", err);

    (void)context;
    if (cluster == NULL) {
        return -1;
    }
    qe_cluster_release(cluster);
    return 0;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nodes_stay_until_they_are_told_again_or_stale),
        cmocka_unit_test(there_is_a_limit),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
