/* One store, one source, and polls of it, for the tests of the store. */
#ifndef QE_TESTS_UNIT_MODEL_FIXTURE_STORE_H
#define QE_TESTS_UNIT_MODEL_FIXTURE_STORE_H

#include "model/store.h"
#include "unit/model/fixture.h"

#define STALE_AFTER_MS 90000
#define SET_COUNT 2 /* queues in every set of these tests */

static inline struct qe_store *make_store(const struct qe_renderer *renderer)
{
    struct qe_err err = {0};
    struct qe_store *store = qe_store_new(renderer, NULL, &err);

    assert_ok(store == NULL ? -1 : 0, err);
    return store;
}

static inline struct qe_slot *open_source(struct qe_store *store, const char *source)
{
    struct qe_err err = {0};
    struct qe_slot *slot = qe_store_open(store, source, "embedded", STALE_AFTER_MS, &err);

    assert_ok(slot == NULL ? -1 : 0, err);
    return slot;
}

/* The newest snapshot of the only source; the caller releases. */
static inline struct qe_snapshot *newest(struct qe_store *store)
{
    struct qe_snapshot *snapshots[QE_SOURCES_MAX];

    assert_int_equal(qe_store_acquire_all(store, snapshots), 1);
    return snapshots[0];
}

static inline struct qe_poll_report report_at(int64_t now_mono_ms)
{
    return (struct qe_poll_report){.now_unix_ms = 1000000 + now_mono_ms,
                                   .now_mono_ms = now_mono_ms,
                                   .duration_seconds = 0.02,
                                   .queues_listed = 5,
                                   .queues_dropped = 1};
}

/* Publishes a poll of `set` in which queue i has ready[i] messages, or failed when that is < 0. */
static inline void publish(struct qe_slot *slot, struct qe_queue_set *set,
                           const double ready[SET_COUNT], const struct qe_poll_report *report)
{
    struct qe_batch batch = {0};
    struct qe_err err = {0};
    struct qe_err why = {.code = QE_ERR_THROTTLED, .message = "slow down"};

    assert_ok(qe_batch_init(&batch, set, &err), err);
    assert_int_equal(set->count, SET_COUNT);
    for (size_t i = 0; i < SET_COUNT; i++) {
        struct qe_sample sample = {0};

        if (ready[i] < 0) {
            qe_batch_fail(&batch, i, &why);
            continue;
        }
        qe_sample_set(&sample, QE_FIELD_READY_MESSAGES, ready[i]);
        qe_batch_set(&batch, i, &sample);
    }
    assert_ok(qe_slot_publish(slot, &batch, report, &err), err);
    qe_batch_deinit(&batch);
}

static inline void publish_names(struct qe_slot *slot, const char *const *names,
                                 const double ready[SET_COUNT], int64_t now_mono_ms)
{
    struct qe_queue_set *set = fixture_set(names);
    struct qe_poll_report report = report_at(now_mono_ms);

    publish(slot, set, ready, &report);
    qe_queue_set_release(set);
}

static inline void publish_failure(struct qe_slot *slot, enum qe_err_code code, int64_t now_mono_ms)
{
    struct qe_poll_report report = report_at(now_mono_ms);
    struct qe_err err = {0};

    qe_err_set(&report.error, code, "no");
    assert_ok(qe_slot_publish(slot, NULL, &report, &err), err);
}

static inline bool has_ready(const struct qe_snapshot *snapshot, size_t index)
{
    return qe_sample_has(&snapshot->states[index].sample, QE_FIELD_READY_MESSAGES);
}

#endif
