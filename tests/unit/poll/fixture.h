/* One source on the fake broker, and what a scrape would see of it. */
#ifndef QE_TESTS_UNIT_POLL_FIXTURE_H
#define QE_TESTS_UNIT_POLL_FIXTURE_H

#include <string.h>

#include "poll/poller.h"
#include "support/check.h"
#include "support/fake_driver.h"
#include "util/clock.h"
#include "util/mem.h"

#define STALE_MS 60000

/* One source on the fake broker, polled every 20 ms. */
struct bench {
    struct qe_fake *fake;
    struct qe_stats *stats;
    struct qe_store *store;
    struct qe_slot *slot;
    struct qe_poller_options options;
    struct qe_poller *poller;
};

static inline struct bench *bench_new(int64_t stale_after_ms)
{
    struct bench *bench = qe_calloc(1, sizeof *bench);
    struct qe_err err = {0};

    assert_non_null(bench);
    bench->fake = qe_fake_new();
    qe_fake_add_queue(bench->fake, "orders", "orders-dlq");
    qe_fake_add_queue(bench->fake, "orders-dlq", NULL);
    bench->stats = qe_stats_new(&err);
    bench->store = qe_store_new(NULL, bench->stats, &err);
    assert_non_null(bench->store);
    bench->slot = qe_store_open(bench->store, "test", "fake", stale_after_ms, &err);
    assert_non_null(bench->slot);
    bench->options = (struct qe_poller_options){.source = "test",
                                                .driver = &qe_driver_fake,
                                                .driver_settings = bench->fake,
                                                .poll_interval_ms = 20,
                                                .poll_timeout_ms = 2000,
                                                .discovery_interval_ms = 3600000,
                                                .max_queues = 100,
                                                .jitter_seed = 1};
    return bench;
}

static inline void bench_start(struct bench *bench)
{
    struct qe_err err = {0};

    bench->poller = qe_poller_new(&bench->options, bench->slot, &err);
    assert_non_null(bench->poller);
}

static inline void bench_destroy(struct bench *bench)
{
    qe_poller_destroy(bench->poller);
    qe_store_destroy(bench->store);
    qe_stats_destroy(bench->stats);
    qe_fake_destroy(bench->fake);
    qe_free(bench);
}

/* What a scrape would see: a copy of the status, and one queue's state. */
struct seen {
    struct qe_source_status status;
    size_t queues;
    struct qe_queue_state queue;
    const struct qe_queue_set *set; /* for comparing only */
};

static inline struct seen look(struct bench *bench, const char *queue)
{
    struct qe_snapshot *all[QE_SOURCES_MAX];
    struct seen seen = {0};

    assert_int_equal(qe_store_acquire_all(bench->store, all), 1);
    seen.status.polled = all[0]->status.polled;
    seen.status.up = all[0]->status.up;
    seen.status.polls_total = all[0]->status.polls_total;
    memcpy(seen.status.poll_failures_total, all[0]->status.poll_failures_total,
           sizeof seen.status.poll_failures_total);
    seen.status.queues_listed = all[0]->status.queues_listed;
    seen.status.queues_dropped = all[0]->status.queues_dropped;
    seen.status.last_error.code = all[0]->status.last_error.code;
    seen.set = all[0]->set;
    if (all[0]->set != NULL) {
        size_t index = qe_queue_set_find(all[0]->set, "", queue);

        seen.queues = all[0]->set->count;
        if (index != SIZE_MAX) {
            seen.queue = all[0]->states[index];
        }
    }
    qe_snapshot_release(all[0]);
    return seen;
}

static inline uint64_t polls(struct bench *bench)
{
    return look(bench, "orders").status.polls_total;
}

static inline uint64_t failures(struct bench *bench, enum qe_err_code code)
{
    return look(bench, "orders").status.poll_failures_total[code];
}

static inline bool is_up(struct bench *bench)
{
    return look(bench, "orders").status.up;
}

#endif
