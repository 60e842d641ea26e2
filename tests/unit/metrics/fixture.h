/* A store with sources made by hand, and the page it gives. */
#ifndef QE_TESTS_UNIT_METRICS_FIXTURE_H
#define QE_TESTS_UNIT_METRICS_FIXTURE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "metrics/page.h"
#include "model/stats.h"
#include "model/store.h"
#include "support/check.h"
#include "util/mem.h"
#include "util/strbuf.h"

#define FIXTURE_NOW_UNIX_MS INT64_C(1700000000500)
#define FIXTURE_NOW_MONO_MS INT64_C(50000)
#define FIXTURE_STALE_MS 60000

static const struct qe_build_info s_build = {
    .version = "0.1.0", .revision = "abc", .compiler = "gcc \"12\""};

struct world {
    struct qe_stats *stats;
    struct qe_renderer renderer;
    struct qe_store *store;
};

static inline void world_init(struct world *world)
{
    struct qe_err err = {0};

    world->stats = qe_stats_new(&err);
    assert_non_null(world->stats);
    world->renderer = qe_page_renderer(world->stats);
    world->store = qe_store_new(&world->renderer, world->stats, &err);
    assert_non_null(world->store);
}

static inline void world_deinit(struct world *world)
{
    qe_store_destroy(world->store);
    qe_stats_destroy(world->stats);
}

static inline struct qe_slot *world_open(struct world *world, const char *source,
                                         const char *backend)
{
    struct qe_err err = {0};
    struct qe_slot *slot = qe_store_open(world->store, source, backend, FIXTURE_STALE_MS, &err);

    assert_non_null(slot);
    return slot;
}

static inline struct qe_queue *world_add(struct qe_queue_list *list, const char *vhost,
                                         const char *name, enum qe_queue_kind kind)
{
    struct qe_err err = {0};
    struct qe_queue *queue = qe_queue_list_add(list, &err);

    assert_non_null(queue);
    assert_ok(qe_queue_init(queue, vhost, name, kind, &err), err);
    return queue;
}

static inline void world_link(struct qe_queue *queue, const char *vhost, const char *name)
{
    struct qe_err err = {0};

    assert_ok(qe_queue_add_link(queue, vhost, name, &err), err);
    queue->dead_letter_known = true;
}

static inline struct qe_queue_set *world_set(struct qe_queue_list *list)
{
    struct qe_err err = {0};
    struct qe_queue_set *set = qe_queue_set_new_take(list, &err);

    assert_non_null(set);
    return set;
}

static inline struct qe_poll_report world_report(size_t listed)
{
    return (struct qe_poll_report){.now_unix_ms = FIXTURE_NOW_UNIX_MS,
                                   .now_mono_ms = FIXTURE_NOW_MONO_MS,
                                   .duration_seconds = 0.004,
                                   .queues_listed = listed};
}

/* Publishes one sample for every queue of `set`, in its order; cluster (which it takes) and method
 * may be NULL. */
static inline void world_publish_of(struct qe_slot *slot, struct qe_queue_set *set,
                                    const struct qe_sample *samples, struct qe_cluster *cluster,
                                    const char *method)
{
    struct qe_err err = {0};
    struct qe_batch batch = {0};
    struct qe_poll_report report = world_report(set->count);

    assert_ok(qe_batch_init(&batch, set, &err), err);
    batch.cluster = cluster;
    batch.method = method;
    for (size_t i = 0; i < set->count; i++) {
        qe_batch_set(&batch, i, &samples[i]);
    }
    assert_ok(qe_slot_publish(slot, &batch, &report, &err), err);
    qe_batch_deinit(&batch);
}

static inline void world_publish(struct qe_slot *slot, struct qe_queue_set *set,
                                 const struct qe_sample *samples)
{
    world_publish_of(slot, set, samples, NULL, NULL);
}

/* Two nodes, of which the second is down. */
static inline struct qe_cluster *world_cluster(void)
{
    struct qe_err err = {0};
    struct qe_cluster *cluster = qe_cluster_new(&err);
    char first[] = "rabbit@a";
    char second[] = "rabbit@b";
    const struct qe_node nodes[2] = {
        {.name = first,
         .is_up = true,
         .details_known = true,
         .has_memory_alarm = true,
         .partitions_count = 1},
        {.name = second},
    };

    assert_non_null(cluster);
    assert_ok(qe_cluster_add(cluster, &nodes[0], &err), err);
    assert_ok(qe_cluster_add(cluster, &nodes[1], &err), err);
    return cluster;
}

/* The bytes of a page; the caller frees them. */
static inline char *world_bytes(const struct world *world, enum qe_format format, bool gzip,
                                size_t *out_bytes)
{
    struct qe_err err = {0};
    struct qe_page *page = NULL;

    assert_ok(qe_page_new(world->store, &s_build, format, gzip, &page, &err), err);
    char *text = qe_calloc(page->size_bytes + 1, 1);
    size_t length = 0;

    assert_non_null(text);
    for (size_t i = 0; i < page->parts_count; i++) {
        assert_true(page->parts[i].size_bytes > 0);
        memcpy(text + length, page->parts[i].data, page->parts[i].size_bytes);
        length += page->parts[i].size_bytes;
    }
    assert_int_equal(length, page->size_bytes);
    qe_page_destroy(page);
    *out_bytes = length;
    return text;
}

static inline char *world_page(const struct world *world, enum qe_format format)
{
    size_t length = 0;

    return world_bytes(world, format, false, &length);
}

/* Unpacks exactly one gzip member: anything behind its end fails the test. NUL-terminated; the
 * caller frees it. */
static inline char *gunzip(const void *bytes, size_t count, size_t *out_bytes)
{
    size_t capacity = count * 1100 + 64;
    char *out = qe_calloc(capacity, 1);
    z_stream stream = {0};

    assert_non_null(out);
    void *input = qe_memdup(bytes, count);

    assert_non_null(input);
    stream.next_in = input;
    stream.avail_in = (uInt)count;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)(capacity - 1);
    assert_int_equal(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
    /* Z_STREAM_END also says that CRC and length were right. */
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    *out_bytes = stream.total_out;
    assert_int_equal(inflateEnd(&stream), Z_OK);
    qe_free(input);
    return out;
}

#endif
