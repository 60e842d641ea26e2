/* What it costs to render a poll of many queues when every value changed.
 *
 * Usage: bench_render [QUEUES...]   (default: 1000 10000 100000)
 *
 * Eight fields per queue are known: six counts and a size, and the oldest age with milliseconds.
 * The base is a memcpy of the same text, into memory that is warm, in the same run. Each figure is
 * the best of several rounds: the others measure the machine's other work. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "metrics/page.h"
#include "metrics/poll_internal.h"
#include "model/store.h"
#include "util/clock.h"
#include "util/mem.h"

#define ROUNDS 15
#define FIELDS_COUNT 8

static const enum qe_field s_fields[FIELDS_COUNT] = {
    QE_FIELD_READY_MESSAGES,     QE_FIELD_IN_FLIGHT_MESSAGES, QE_FIELD_DELAYED_MESSAGES,
    QE_FIELD_OLDEST_AGE_SECONDS, QE_FIELD_SIZE_BYTES,         QE_FIELD_PUBLISHED_TOTAL,
    QE_FIELD_DELIVERED_TOTAL,    QE_FIELD_ACKNOWLEDGED_TOTAL,
};
static const enum qe_family s_families[FIELDS_COUNT] = {
    QE_FAMILY_MESSAGES_READY,     QE_FAMILY_MESSAGES_IN_FLIGHT,
    QE_FAMILY_MESSAGES_DELAYED,   QE_FAMILY_OLDEST_AGE,
    QE_FAMILY_SIZE_BYTES,         QE_FAMILY_MESSAGES_PUBLISHED,
    QE_FAMILY_MESSAGES_DELIVERED, QE_FAMILY_MESSAGES_ACKNOWLEDGED,
};

static void must(int rc, const struct qe_err *err)
{
    if (rc != 0) {
        (void)fprintf(stderr, "bench_render: %s\n", err->message);
        exit(1);
    }
}

/* CPU time of this thread: what other programs take of the machine is not ours to report. */
static double now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static struct qe_queue_set *make_set(size_t count)
{
    struct qe_err err = {0};
    struct qe_queue_list list = {0};

    for (size_t i = 0; i < count; i++) {
        char name[64];
        struct qe_queue *queue = qe_queue_list_add(&list, &err);

        (void)snprintf(name, sizeof name, "orders-%06zu-eu-west", i);
        must(queue != NULL ? 0 : -1, &err);
        must(qe_queue_init(queue, "", name, QE_KIND_STANDARD, &err), &err);
    }
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);

    must(set != NULL ? 0 : -1, &err);
    return set;
}

static double value_of(enum qe_field field, struct qe_random *random)
{
    uint64_t bits = qe_random_next(random);

    if (field == QE_FIELD_OLDEST_AGE_SECONDS) {
        return (double)(bits % 100000000) / 1e3;
    }
    if (field >= QE_FIELD_PUBLISHED_TOTAL) {
        return (double)(bits % 1000000000);
    }
    return (double)(bits % 100000);
}

static void publish(struct qe_slot *slot, struct qe_queue_set *set, struct qe_random *random)
{
    struct qe_err err = {0};
    struct qe_batch batch = {0};
    struct qe_poll_report report = {.now_unix_ms = qe_clock_unix_ms(),
                                    .now_mono_ms = qe_clock_mono_ms(),
                                    .duration_seconds = 0.01,
                                    .queues_listed = set->count};

    must(qe_batch_init(&batch, set, &err), &err);
    for (size_t i = 0; i < set->count; i++) {
        struct qe_sample sample = {0};

        for (size_t k = 0; k < FIELDS_COUNT; k++) {
            qe_sample_set(&sample, s_fields[k], value_of(s_fields[k], random));
        }
        qe_batch_set(&batch, i, &sample);
    }
    must(qe_slot_publish(slot, &batch, &report, &err), &err);
    qe_batch_deinit(&batch);
}

struct result {
    double text_us;     /* the eight blocks, allocated as the renderer does */
    double copy_us;     /* memcpy of the same text */
    double compress_us; /* of the same text */
    double publish_us;  /* everything a poll's publish does, other families and compression too */
    size_t text_bytes;
    size_t gzip_bytes; /* of those blocks */
};

static void keep_best(double *best, double candidate)
{
    *best = *best == 0 || candidate < *best ? candidate : *best;
}

/* Renders the eight blocks, copies and compresses them once. */
static void measure_text(const struct qe_snapshot *snapshot, struct qe_compressor *compressor,
                         char *copy, struct result *result)
{
    struct qe_poll_view view = {.snapshot = snapshot, .annex = snapshot->set->annex};
    struct qe_strbuf blocks[FIELDS_COUNT] = {0};
    struct qe_err err = {0};
    double start = now_us();

    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        qe_poll_render_family(&blocks[i], s_families[i], &view);
    }
    double rendered = now_us();

    result->text_bytes = 0;
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        memcpy(copy + result->text_bytes, blocks[i].data, blocks[i].length_bytes);
        result->text_bytes += blocks[i].length_bytes;
    }
    double copied = now_us();

    result->gzip_bytes = 0;
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        struct qe_segment segment = {0};

        must(
            qe_segment_compress(compressor, &segment, blocks[i].data, blocks[i].length_bytes, &err),
            &err);
        result->gzip_bytes += segment.size_bytes;
        qe_segment_deinit(&segment);
    }
    double compressed = now_us();

    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        qe_strbuf_deinit(&blocks[i]);
    }
    keep_best(&result->text_us, rendered - start);
    keep_best(&result->copy_us, copied - rendered);
    keep_best(&result->compress_us, compressed - copied);
}

static struct result measure(size_t count)
{
    struct result result = {0};
    struct qe_err err = {0};
    struct qe_stats *stats = qe_stats_new(&err);
    struct qe_renderer renderer = qe_page_renderer(stats);
    struct qe_store *store = qe_store_new(&renderer, stats, &err);
    struct qe_slot *slot = qe_store_open(store, "production", "embedded", 60000, &err);
    struct qe_compressor *compressor = qe_compressor_new(&err);
    struct qe_queue_set *set = make_set(count);
    size_t copy_bytes = count * FIELDS_COUNT * 160;
    char *copy = qe_reallocarray(NULL, copy_bytes, 1);
    struct qe_random random;

    must(slot != NULL && compressor != NULL && copy != NULL ? 0 : -1, &err);
    memset(copy, 1, copy_bytes);
    qe_random_init(&random, 1);
    for (size_t round = 0; round < ROUNDS; round++) {
        struct qe_snapshot *snapshots[QE_SOURCES_MAX];
        double start = now_us();

        publish(slot, set, &random);
        keep_best(&result.publish_us, now_us() - start);
        (void)qe_store_acquire_all(store, snapshots);
        measure_text(snapshots[0], compressor, copy, &result);
        qe_snapshot_release(snapshots[0]);
    }
    qe_free(copy);
    qe_queue_set_release(set);
    qe_compressor_destroy(compressor);
    qe_store_destroy(store);
    qe_stats_destroy(stats);
    return result;
}

static void print_row(size_t count, const struct result *result)
{
    double samples = (double)(count * FIELDS_COUNT);
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    printf("%8zu %9.0f %10.1f %10.1f %6.2f %12.1f %12.1f %10zu %10zu %9ld\n", count, samples,
           result->text_us * 1e3 / samples, result->copy_us * 1e3 / samples,
           result->text_us / result->copy_us, result->compress_us * 1e3 / samples,
           result->publish_us * 1e3 / samples, result->text_bytes, result->gzip_bytes,
           usage.ru_maxrss);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static const size_t usual[] = {1000, 10000, 100000};

    printf("%s; ns are per sample, peak is of this whole process (KiB)\n", qe_compress_library());
    printf("%8s %9s %10s %10s %6s %12s %12s %10s %10s %9s\n", "queues", "samples", "render ns",
           "memcpy ns", "ratio", "compress ns", "publish ns", "bytes", "gzip", "peak");
    for (size_t i = 0; argc < 2 && i < sizeof usual / sizeof usual[0]; i++) {
        struct result result = measure(usual[i]);

        print_row(usual[i], &result);
    }
    for (int i = 1; i < argc; i++) {
        size_t count = strtoul(argv[i], NULL, 10);

        if (count < 1 || count > QE_QUEUES_MAX) {
            (void)fprintf(stderr, "bench_render: %s: not a number of queues\n", argv[i]);
            return 2;
        }
        struct result result = measure(count);

        print_row(count, &result);
    }
    return 0;
}
