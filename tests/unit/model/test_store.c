#include "unit/model/fixture_store.h"

static const char *const s_ab[] = {"a", "b", NULL};
static const char *const s_bc[] = {"b", "c", NULL};

static void an_opened_source_has_an_empty_snapshot(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    (void)open_source(store, "local");
    struct qe_snapshot *snapshot = newest(store);

    assert_string_equal(snapshot->source, "local");
    assert_string_equal(snapshot->backend, "embedded");
    assert_false(snapshot->status.polled);
    assert_null(snapshot->set);
    assert_int_equal(snapshot->status.polls_total, 0);
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
    qe_store_destroy(NULL);
    qe_snapshot_release(NULL);
}

static void sources_are_acquired_by_name_and_open_once(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_snapshot *snapshots[QE_SOURCES_MAX];
    struct qe_err err = {0};

    (void)open_source(store, "b");
    struct qe_slot *c = open_source(store, "c");

    (void)open_source(store, "a");
    assert_null(qe_store_open(store, "b", "embedded", 1, &err));
    assert_int_equal(err.code, QE_ERR_INVALID);
    qe_store_close(store, c);
    qe_store_close(store, c);
    assert_int_equal(qe_store_acquire_all(store, snapshots), 2);
    assert_string_equal(snapshots[0]->source, "a");
    assert_string_equal(snapshots[1]->source, "b");
    qe_snapshot_release(snapshots[0]);
    qe_snapshot_release(snapshots[1]);
    qe_store_destroy(store);
}

static void a_good_poll_shows_samples_and_status(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");

    publish_names(slot, s_ab, (const double[]){3, 4}, 1000);
    struct qe_snapshot *snapshot = newest(store);

    assert_true(snapshot->status.polled);
    assert_true(snapshot->status.up);
    assert_int_equal(snapshot->status.polls_total, 1);
    assert_int_equal(qe_histogram_count(&snapshot->status.poll_duration_seconds), 1);
    assert_int_equal(snapshot->status.queues_listed, 5);
    assert_int_equal(snapshot->status.queues_dropped, 1);
    assert_int_equal(snapshot->status.last_success_unix_ms, 1001000);
    assert_int_equal(snapshot->status.last_error.code, QE_OK);
    assert_int_equal(snapshot->set->count, 2);
    assert_true(snapshot->states[1].up && snapshot->states[1].asked);
    assert_int_equal(snapshot->states[1].last_success_unix_ms, 1001000);
    assert_double_equal(snapshot->states[1].sample.values[QE_FIELD_READY_MESSAGES], 4);
    assert_true(snapshot->states[1].objective_oldest_age_seconds < 0);
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

static void a_failed_queue_keeps_its_sample_until_stale_from_its_last_success(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");

    publish_names(slot, s_ab, (const double[]){3, 4}, 0);
    publish_names(slot, s_ab, (const double[]){5, -1}, 60000);
    struct qe_snapshot *snapshot = newest(store);

    assert_true(snapshot->status.up);
    assert_int_equal(snapshot->status.last_error.code, QE_ERR_THROTTLED); /* the first queue's */
    assert_true(snapshot->states[0].up);
    assert_false(snapshot->states[1].up);
    assert_true(has_ready(snapshot, 1));
    assert_double_equal(snapshot->states[1].sample.values[QE_FIELD_READY_MESSAGES], 4);
    assert_int_equal(snapshot->states[1].last_success_mono_ms, 0);
    qe_snapshot_release(snapshot);
    /* 90 s after the last success, not after the failure that came in between. */
    publish_names(slot, s_ab, (const double[]){6, -1}, STALE_AFTER_MS);
    snapshot = newest(store);
    assert_false(has_ready(snapshot, 1));
    assert_true(snapshot->states[1].asked);
    assert_int_equal(snapshot->states[1].last_success_unix_ms, 1000000); /* still told */
    assert_true(has_ready(snapshot, 0));
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

static void a_failed_poll_puts_every_queue_down_and_keeps_samples(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");

    publish_names(slot, s_ab, (const double[]){3, 4}, 0);
    publish_failure(slot, QE_ERR_NETWORK, 30000);
    struct qe_snapshot *snapshot = newest(store);

    assert_false(snapshot->status.up);
    assert_int_equal(snapshot->status.polls_total, 2);
    assert_int_equal(snapshot->status.poll_failures_total[QE_ERR_NETWORK], 1);
    assert_int_equal(snapshot->status.last_error.code, QE_ERR_NETWORK);
    assert_int_equal(snapshot->status.last_success_unix_ms, 1000000);
    assert_int_equal(snapshot->status.queues_listed, 5); /* of the last list */
    assert_false(snapshot->states[0].up || snapshot->states[1].up);
    assert_true(has_ready(snapshot, 0) && has_ready(snapshot, 1));
    qe_snapshot_release(snapshot);
    publish_failure(slot, QE_ERR_NETWORK, STALE_AFTER_MS + 5);
    snapshot = newest(store);
    assert_false(has_ready(snapshot, 0) || has_ready(snapshot, 1));
    assert_int_equal(snapshot->set->count, 2);
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

static void a_first_poll_that_fails_is_still_a_round(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");

    publish_failure(slot, QE_ERR_CANCELLED, 0); /* stopped on request: no round, no failure */
    struct qe_snapshot *snapshot = newest(store);

    assert_false(snapshot->status.polled);
    assert_int_equal(snapshot->status.polls_total, 0);
    qe_snapshot_release(snapshot);
    publish_failure(slot, QE_ERR_AUTH, 0);
    snapshot = newest(store);
    assert_true(snapshot->status.polled);
    assert_false(snapshot->status.up);
    assert_null(snapshot->set);
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

static void expiring_drops_stale_samples_and_nothing_else(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_err err = {0};

    publish_names(slot, s_ab, (const double[]){3, 4}, 0);
    publish_names(slot, s_ab, (const double[]){5, -1}, 1000);
    struct qe_snapshot *before = newest(store);

    assert_ok(qe_store_expire(store, STALE_AFTER_MS - 1, &err), err);
    struct qe_snapshot *same = newest(store);

    assert_ptr_equal(same, before); /* nothing stale, nothing published */
    qe_snapshot_release(same);
    assert_ok(qe_store_expire(store, STALE_AFTER_MS, &err), err);
    struct qe_snapshot *after = newest(store);

    assert_true(has_ready(before, 1)); /* a snapshot never changes */
    assert_false(has_ready(after, 1));
    assert_true(has_ready(after, 0));
    assert_true(after->states[0].up);
    assert_true(after->status.up);
    assert_int_equal(after->status.polls_total, 2);
    qe_snapshot_release(after);
    assert_ok(qe_store_expire(store, 1000 + STALE_AFTER_MS, &err), err);
    after = newest(store);
    assert_false(has_ready(after, 0));
    assert_true(after->status.up); /* stale, and the poll was good: no poll is overdue yet */
    qe_snapshot_release(before);
    qe_snapshot_release(after);
    qe_store_destroy(store);
}

static void a_source_whose_polls_stop_ending_goes_down_with_a_reason(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_err err = {0};

    publish_names(slot, s_ab, (const double[]){3, 4}, 1000);
    assert_ok(qe_store_expire(store, 1000 + 2 * STALE_AFTER_MS, &err), err);
    struct qe_snapshot *late = newest(store);

    assert_true(late->status.up);
    qe_snapshot_release(late);
    assert_ok(qe_store_expire(store, 1002 + 2 * STALE_AFTER_MS, &err), err);
    struct qe_snapshot *hanging = newest(store);

    assert_false(hanging->status.up);
    assert_false(hanging->states[0].up);
    assert_int_equal(hanging->status.last_error.code, QE_ERR_TIMEOUT);
    assert_string_equal(hanging->status.last_error.message,
                        "no poll has ended for 3m: a call to the source hangs");
    assert_int_equal(hanging->status.polls_total, 1); /* none has ended: none is counted */
    assert_string_equal(qe_store_next_hanging(store), "local");
    assert_null(qe_store_next_hanging(store));
    assert_ok(qe_store_expire(store, 5000 + 2 * STALE_AFTER_MS, &err), err);
    assert_null(qe_store_next_hanging(store));
    struct qe_snapshot *same = newest(store);

    assert_ptr_equal(same, hanging); /* said once */
    qe_snapshot_release(same);
    qe_snapshot_release(hanging);
    publish_names(slot, s_ab, (const double[]){5, 6}, 6000 + 2 * STALE_AFTER_MS);
    struct qe_snapshot *back = newest(store);

    assert_true(back->status.up);
    assert_true(back->states[0].up);
    assert_true(has_ready(back, 0));
    qe_snapshot_release(back);
    qe_store_destroy(store);
}

/* A disk that is full fails the poll, and its queues are read all the same. */
static void a_source_that_was_down_with_queues_up_takes_them_down_when_it_hangs(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_queue_set *set = fixture_set(s_ab);
    struct qe_poll_report report = report_at(1000);
    struct qe_err err = {0};

    qe_err_set(&report.error, QE_ERR_LIMIT, "disk full");
    publish(slot, set, (const double[]){3, 4}, &report);
    struct qe_snapshot *full = newest(store);

    assert_false(full->status.up);
    assert_true(full->states[0].up);
    assert_ok(qe_store_expire(store, 1002 + 2 * STALE_AFTER_MS, &err), err);
    struct qe_snapshot *hanging = newest(store);

    assert_false(hanging->states[0].up);
    assert_int_equal(hanging->status.last_error.code, QE_ERR_TIMEOUT);
    assert_ok(qe_store_expire(store, 5000 + 2 * STALE_AFTER_MS, &err), err);
    struct qe_snapshot *same = newest(store);

    assert_ptr_equal(same, hanging); /* said once */
    qe_snapshot_release(same);
    qe_snapshot_release(hanging);
    qe_snapshot_release(full);
    qe_queue_set_release(set);
    qe_store_destroy(store);
}

static void a_queue_no_longer_listed_disappears_and_a_new_one_starts_unknown(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");

    publish_names(slot, s_ab, (const double[]){3, 4}, 0);
    publish_names(slot, s_bc, (const double[]){-1, -1}, 1000);
    struct qe_snapshot *snapshot = newest(store);

    assert_int_equal(snapshot->set->count, 2);
    assert_string_equal(snapshot->set->items[0].name, "b");
    assert_double_equal(snapshot->states[0].sample.values[QE_FIELD_READY_MESSAGES],
                        4); /* carried */
    assert_false(has_ready(snapshot, 1));
    assert_int_equal(snapshot->states[1].last_success_unix_ms, 0);
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

static void a_cancelled_entry_leaves_its_queue_as_it_was(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_queue_set *set = fixture_set(s_ab);
    struct qe_poll_report report = report_at(1000);
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    publish(slot, set, (const double[]){3, 4}, &report);
    assert_ok(qe_batch_init(&batch, set, &err), err);
    batch.entries[0].error = QE_ERR_CANCELLED;
    assert_ok(qe_slot_publish(slot, &batch, &report, &err), err);
    struct qe_snapshot *snapshot = newest(store);

    assert_true(snapshot->states[0].up);
    assert_false(snapshot->states[1].up); /* not answered */
    qe_snapshot_release(snapshot);
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
    qe_store_destroy(store);
}

static void a_closed_source_publishes_nothing(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_snapshot *snapshots[QE_SOURCES_MAX];

    publish_names(slot, s_ab, (const double[]){3, 4}, 1000);
    qe_store_close(store, slot);
    publish_names(slot, s_ab, (const double[]){3, 4}, 2000);
    assert_int_equal(qe_store_acquire_all(store, snapshots), 0);
    assert_ptr_equal(open_source(store, "local"), slot);
    struct qe_snapshot *again = newest(store);

    assert_int_equal(again->status.polls_total, 1);
    qe_snapshot_release(again);
    qe_store_destroy(store);
}

static void an_equal_set_is_replaced_by_the_older_one(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_queue_set *first = fixture_set(s_ab);
    struct qe_queue_set *twin = fixture_set(s_ab);
    struct qe_queue_set *other = fixture_set(s_bc);
    struct qe_queue_set *const offered[] = {first, twin, twin, first, other, twin};
    struct qe_queue_set *const expected[] = {first, first, first, first, other, twin};
    struct qe_poll_report report = report_at(1000);

    for (size_t i = 0; i < sizeof offered / sizeof offered[0]; i++) {
        publish(slot, offered[i], (const double[]){1, 2}, &report);
        struct qe_snapshot *snapshot = newest(store);

        assert_ptr_equal(snapshot->set, expected[i]);
        assert_true(has_ready(snapshot, 0) && has_ready(snapshot, 1));
        qe_snapshot_release(snapshot);
    }
    qe_store_destroy(store);
    assert_int_equal(atomic_load(&first->refs), 1); /* the store holds nothing any more */
    assert_int_equal(atomic_load(&twin->refs), 1);
    assert_int_equal(atomic_load(&other->refs), 1);
    qe_queue_set_release(first);
    qe_queue_set_release(twin);
    qe_queue_set_release(other);
}

static void a_source_opened_again_keeps_counters_but_no_samples(void **state)
{
    (void)state;
    struct qe_store *store = make_store(NULL);
    struct qe_slot *slot = open_source(store, "local");
    struct qe_snapshot *snapshots[QE_SOURCES_MAX];

    publish_names(slot, s_ab, (const double[]){3, 4}, 0);
    publish_failure(slot, QE_ERR_TIMEOUT, 1000);
    struct qe_snapshot *held = newest(store);

    qe_store_close(store, slot);
    assert_int_equal(qe_store_acquire_all(store, snapshots), 0);
    assert_string_equal(held->source, "local"); /* outlives the close */
    qe_snapshot_release(held);
    assert_ptr_equal(open_source(store, "local"), slot);
    struct qe_snapshot *snapshot = newest(store);

    assert_int_equal(snapshot->status.polls_total, 2);
    assert_int_equal(snapshot->status.poll_failures_total[QE_ERR_TIMEOUT], 1);
    assert_int_equal(qe_histogram_count(&snapshot->status.poll_duration_seconds), 2);
    assert_false(snapshot->status.polled);
    assert_false(snapshot->status.up);
    assert_int_equal(snapshot->status.last_error.code, QE_OK);
    assert_null(snapshot->set);
    qe_snapshot_release(snapshot);
    qe_store_destroy(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_opened_source_has_an_empty_snapshot),
        cmocka_unit_test(sources_are_acquired_by_name_and_open_once),
        cmocka_unit_test(a_good_poll_shows_samples_and_status),
        cmocka_unit_test(a_failed_queue_keeps_its_sample_until_stale_from_its_last_success),
        cmocka_unit_test(a_failed_poll_puts_every_queue_down_and_keeps_samples),
        cmocka_unit_test(a_first_poll_that_fails_is_still_a_round),
        cmocka_unit_test(expiring_drops_stale_samples_and_nothing_else),
        cmocka_unit_test(a_source_whose_polls_stop_ending_goes_down_with_a_reason),
        cmocka_unit_test(a_source_that_was_down_with_queues_up_takes_them_down_when_it_hangs),
        cmocka_unit_test(a_queue_no_longer_listed_disappears_and_a_new_one_starts_unknown),
        cmocka_unit_test(a_cancelled_entry_leaves_its_queue_as_it_was),
        cmocka_unit_test(a_closed_source_publishes_nothing),
        cmocka_unit_test(an_equal_set_is_replaced_by_the_older_one),
        cmocka_unit_test(a_source_opened_again_keeps_counters_but_no_samples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
