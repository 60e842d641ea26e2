/* Queues that a poll has planned not to ask: neither read nor failed. */
#include "unit/model/fixture_store.h"

static const char *const s_ab[] = {"a", "b", NULL};

/* What a poll does with one queue. */
enum fate {
    READ = 0,
    FAIL,
    SKIP
};

static void publish_fates(struct qe_slot *slot, const enum fate fates[SET_COUNT],
                          int64_t extra_wait_ms, int64_t now_mono_ms)
{
    struct qe_queue_set *set = fixture_set(s_ab);
    struct qe_poll_report report = report_at(now_mono_ms);
    struct qe_batch batch = {0};
    struct qe_sample sample = {0};
    struct qe_err err = {0};
    const struct qe_err why = {.code = QE_ERR_THROTTLED, .message = "slow down"};

    qe_sample_set(&sample, QE_FIELD_READY_MESSAGES, (double)now_mono_ms);
    assert_ok(qe_batch_init(&batch, set, &err), err);
    for (size_t i = 0; i < SET_COUNT; i++) {
        batch.entries[i].extra_wait_ms = extra_wait_ms;
        if (fates[i] == READ) {
            qe_batch_set(&batch, i, &sample);
        } else if (fates[i] == FAIL) {
            qe_batch_fail(&batch, i, &why);
        } else {
            qe_batch_skip(&batch, i);
        }
    }
    assert_ok(qe_slot_publish(slot, &batch, &report, &err), err);
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
}

static void skipped_queue_stays_as_it_was_and_the_poll_is_good(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");

    publish_fates(slot, (const enum fate[]){READ, FAIL}, 0, 1000);
    publish_fates(slot, (const enum fate[]){SKIP, SKIP}, 0, 2000);
    struct qe_snapshot *snapshot = newest(store);

    assert_true(snapshot->status.up);
    assert_int_equal(snapshot->status.polls_total, 2);
    assert_int_equal(snapshot->status.poll_failures_total[QE_ERR_CANCELLED], 0);
    assert_int_equal(snapshot->status.last_success_unix_ms, 1002000);
    assert_true(snapshot->states[0].up);
    assert_int_equal(snapshot->states[0].last_success_mono_ms, 1000);
    assert_double_equal(snapshot->states[0].sample.values[QE_FIELD_READY_MESSAGES], 1000);
    /* Nor does not asking mend what failed: the reason is still told. */
    assert_false(snapshot->states[1].up);
    assert_int_equal(snapshot->status.last_error.code, QE_ERR_THROTTLED);
    qe_snapshot_release(snapshot);
    publish_fates(slot, (const enum fate[]){SKIP, READ}, 0, 3000);
    snapshot = newest(store);
    assert_true(snapshot->states[1].up);
    assert_int_equal(snapshot->status.last_error.code, QE_OK);
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

static void never_asked_is_neither_up_nor_down(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");

    publish_fates(slot, (const enum fate[]){READ, SKIP}, 0, 1000);
    struct qe_snapshot *snapshot = newest(store);

    assert_false(snapshot->states[1].asked);
    assert_false(snapshot->states[1].up);
    assert_int_equal(snapshot->status.last_error.code, QE_OK);
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

static void sample_is_good_for_as_long_as_nobody_plans_to_ask(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_err err = {0};

    publish_fates(slot, (const enum fate[]){READ, READ}, 600000, 0);
    publish_fates(slot, (const enum fate[]){SKIP, READ}, 0, STALE_AFTER_MS + 1000);
    struct qe_snapshot *snapshot = newest(store);

    assert_true(has_ready(snapshot, 0));
    qe_snapshot_release(snapshot);
    assert_ok(qe_store_expire(store, 600000 + STALE_AFTER_MS - 1, &err), err);
    snapshot = newest(store);
    assert_true(has_ready(snapshot, 0));
    assert_false(has_ready(snapshot, 1)); /* read again, with no such plan */
    qe_snapshot_release(snapshot);
    assert_ok(qe_store_expire(store, 600000 + STALE_AFTER_MS, &err), err);
    snapshot = newest(store);
    assert_false(has_ready(snapshot, 0));
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

static void plan_that_changes_while_skipping_counts(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");

    publish_fates(slot, (const enum fate[]){READ, READ}, 10000, 0);
    publish_fates(slot, (const enum fate[]){SKIP, SKIP}, 200000, 30000);
    publish_fates(slot, (const enum fate[]){SKIP, FAIL}, 0, 150000);
    struct qe_snapshot *snapshot = newest(store);

    assert_true(has_ready(snapshot, 0));
    assert_true(has_ready(snapshot, 1)); /* failed, and its last sample is as good as before */
    assert_true(snapshot->states[0].up);
    assert_false(snapshot->states[1].up);
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

static void endless_plan_never_expires(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_err err = {0};

    publish_fates(slot, (const enum fate[]){READ, READ}, INT64_MAX, 1000);
    assert_ok(qe_store_expire(store, 1000 + STALE_AFTER_MS, &err), err);
    struct qe_snapshot *snapshot = newest(store);

    assert_true(has_ready(snapshot, 0));
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

/* One failed poll takes every queue down; the next good one must not leave those down that it did
 * not plan to ask. */
static void outage_of_the_source_does_not_outlast_itself_on_skipped_queues(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");

    publish_fates(slot, (const enum fate[]){READ, FAIL}, 600000, 0);
    publish_failure(slot, QE_ERR_NETWORK, 30000);
    struct qe_snapshot *snapshot = newest(store);

    assert_false(snapshot->states[0].up);
    qe_snapshot_release(snapshot);
    publish_fates(slot, (const enum fate[]){SKIP, SKIP}, 0, 60000);
    snapshot = newest(store);
    assert_true(snapshot->states[0].up);
    assert_false(snapshot->states[1].up); /* down by its own answer */
    qe_snapshot_release(snapshot);
    /* An outage longer than the sample is good for: nothing is known until the queue is asked. */
    publish_failure(slot, QE_ERR_NETWORK, 900000);
    publish_fates(slot, (const enum fate[]){SKIP, SKIP}, 0, 930000);
    snapshot = newest(store);
    assert_false(snapshot->states[0].up);
    assert_false(has_ready(snapshot, 0));
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(skipped_queue_stays_as_it_was_and_the_poll_is_good),
        cmocka_unit_test(never_asked_is_neither_up_nor_down),
        cmocka_unit_test(sample_is_good_for_as_long_as_nobody_plans_to_ask),
        cmocka_unit_test(plan_that_changes_while_skipping_counts),
        cmocka_unit_test(endless_plan_never_expires),
        cmocka_unit_test(outage_of_the_source_does_not_outlast_itself_on_skipped_queues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
