/* What the store asks of others: objectives, rendering, memory. */
#include "unit/model/fixture_store.h"
#include "util/mem.h"

static const char *const s_ab[] = {"a", "b", NULL};

static int s_asked;

static double objective_of(const void *context, const char *source, const char *vhost,
                           const char *queue)
{
    s_asked++;
    assert_string_equal(source, "local");
    assert_string_equal(vhost, "");
    return strcmp(queue, "b") == 0 ? *(const double *)context : -1;
}

static void objectives_are_asked_for_once_per_set(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_queue_set *set = fixture_set(s_ab);
    struct qe_poll_report report = report_at(0);
    const double objectives[] = {300, 60};

    s_asked = 0;
    report.objective = objective_of;
    report.objective_context = &objectives[0];
    for (int i = 0; i < 3; i++) {
        publish(slot, set, (const double[]){1, -1}, &report);
    }
    assert_int_equal(s_asked, 2);
    struct qe_snapshot *snapshot = newest(store);

    assert_true(snapshot->states[0].objective_oldest_age_seconds < 0);
    assert_double_equal(snapshot->states[1].objective_oldest_age_seconds, 300);
    qe_snapshot_release(snapshot);
    report.objective_context = &objectives[1]; /* another configuration answers */
    publish(slot, set, (const double[]){1, 2}, &report);
    snapshot = newest(store);
    assert_double_equal(snapshot->states[1].objective_oldest_age_seconds, 60);
    assert_int_equal(s_asked, 4);
    qe_snapshot_release(snapshot);
    qe_queue_set_release(set);
    qe_store_destroy(store);
}

static int s_rendered;
static bool s_rendering_fails;

static void *render(const struct qe_snapshot *snapshot, void *context, struct qe_err *err)
{
    assert_null(context);
    assert_null(snapshot->rendered);
    if (s_rendering_fails) {
        qe_err_set(err, QE_ERR_NOMEM, "no memory to render");
        return NULL;
    }
    void *made = qe_calloc(1, 8);

    if (made == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "no memory to render");
        return NULL;
    }
    s_rendered++;
    return made;
}

static void destroy_rendered(void *rendered)
{
    s_rendered--;
    qe_free(rendered);
}

static void a_rendering_that_fails_keeps_the_old_snapshot(void **state)
{
    (void)state;
    const struct qe_renderer renderer = {render, destroy_rendered, NULL};
    struct qe_store *store = make_store(&renderer);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_queue_set *set = fixture_set(s_ab);
    struct qe_poll_report report = report_at(1000);
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    s_rendered = 1; /* the empty first snapshot is rendered too */
    publish(slot, set, (const double[]){3, 4}, &report);
    s_rendering_fails = true;
    assert_ok(qe_batch_init(&batch, set, &err), err);
    assert_int_equal(qe_slot_publish(slot, &batch, &report, &err), -1);
    assert_int_equal(err.code, QE_ERR_NOMEM);
    assert_int_equal(qe_store_expire(store, INT64_MAX - 1, &err), -1);
    struct qe_snapshot *snapshot = newest(store);

    assert_int_equal(snapshot->status.polls_total, 1);
    assert_true(has_ready(snapshot, 0));
    assert_non_null(snapshot->rendered);
    s_rendering_fails = false;
    qe_snapshot_release(snapshot);
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
    qe_store_destroy(store);
    assert_int_equal(s_rendered, 0);
}

static int build(void *context, struct qe_err *err)
{
    const struct qe_renderer renderer = {render, destroy_rendered, NULL};
    struct qe_store *store = qe_store_new(&renderer, NULL, err);
    struct qe_slot *slot =
        store == NULL ? NULL : qe_store_open(store, "local", "embedded", STALE_AFTER_MS, err);
    struct qe_poll_report report = report_at(0);
    int rc = slot == NULL ? -1 : qe_slot_publish(slot, context, &report, err);

    if (rc == 0) {
        rc = qe_store_expire(store, STALE_AFTER_MS, err);
    }
    if (rc == 0) {
        qe_store_close(store, slot);
        rc = qe_store_open(store, "local", "embedded", STALE_AFTER_MS, err) == slot ? 0 : -1;
    }
    qe_store_destroy(store);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    struct qe_queue_set *set = fixture_set(s_ab);
    struct qe_batch batch = {0};
    struct qe_err err = {0};
    struct qe_sample sample = {0};

    qe_sample_set(&sample, QE_FIELD_CONSUMERS, 1);
    assert_ok(qe_batch_init(&batch, set, &err), err);
    qe_batch_set(&batch, 0, &sample);
    s_rendered = 0;
    qe_check_torture(build, &batch);
    assert_int_equal(s_rendered, 0);
    assert_int_equal(atomic_load(&set->refs), 2);
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objectives_are_asked_for_once_per_set),
        cmocka_unit_test(a_rendering_that_fails_keeps_the_old_snapshot),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
