#include <stdbool.h>

#include "metrics/line_internal.h"
#include "metrics/live_internal.h"
#include "model/stats.h"
#include "util/mem.h"

#define CONSUMERS_MAX 100000 /* far above what the registry keeps: a net, not a limit */

/* Consumers that run, with their labels: gathered once per scrape, so that every family shows the
 * same ones. */
struct consumer {
    const struct qe_consumer_stats *stats;
    size_t labels_offset;
};

struct consumers {
    struct consumer *items; /* owned */
    size_t count;
    size_t capacity;
    struct qe_strbuf labels; /* {source="a",queue="b" with a NUL behind each */
};

static int gather(struct consumers *consumers, const struct qe_stats *stats)
{
    for (const struct qe_consumer_stats *at = qe_stats_first_consumer(stats); at != NULL;
         at = at->next) {
        if (!atomic_load(&at->active)) {
            continue;
        }
        if (qe_grow(&consumers->items, consumers->count, &consumers->capacity, CONSUMERS_MAX,
                    sizeof *consumers->items) != 0) {
            return -1;
        }
        consumers->items[consumers->count] =
            (struct consumer){.stats = at, .labels_offset = consumers->labels.length_bytes};
        consumers->count++;
        qe_label_queue(&consumers->labels, at->source, at->vhost, at->queue);
        (void)qe_strbuf_append_char(&consumers->labels, '\0');
    }
    return 0;
}

/* The plain counters and gauges; NULL for families that are more. */
static const qe_counter *counter_of(enum qe_family family, const struct qe_consumer_stats *stats)
{
    const qe_counter *const counters[QE_FAMILY_CONSUMER_SETTLE_FAILURES + 1] = {
        [QE_FAMILY_CONSUMER_RECEIVED] = &stats->received,
        [QE_FAMILY_CONSUMER_PROCESSED] = &stats->processed,
        [QE_FAMILY_CONSUMER_RELEASED] = &stats->released,
        [QE_FAMILY_CONSUMER_REDELIVERIES] = &stats->redeliveries,
        [QE_FAMILY_CONSUMER_DUPLICATES_SKIPPED] = &stats->duplicates_skipped,
        [QE_FAMILY_CONSUMER_EMPTY_RECEIVES] = &stats->empty_receives,
        [QE_FAMILY_CONSUMER_STALE_SETTLES] = &stats->stale_settles,
        [QE_FAMILY_CONSUMER_VISIBILITY_EXTENSIONS] = &stats->visibility_extensions,
        [QE_FAMILY_CONSUMER_SETTLE_FAILURES] = &stats->settle_failures,
    };

    return family <= QE_FAMILY_CONSUMER_SETTLE_FAILURES ? counters[family] : NULL;
}

static void labelled_number(struct qe_strbuf *out, enum qe_family family, const char *labels,
                            const char *const pair[2], uint64_t value)
{
    qe_line_begin(out, family, labels);
    qe_label_word(out, pair[0], pair[1]);
    qe_line_end_u64(out, value);
}

static void render_reasons(struct qe_strbuf *out, enum qe_family family, const char *labels,
                           const struct qe_consumer_stats *stats)
{
    bool dead_lettered = family == QE_FAMILY_CONSUMER_DEAD_LETTERED;

    for (size_t i = 0; i < QE_FAIL_COUNT; i++) {
        const char *const pair[2] = {"reason", qe_fail_reason_name((enum qe_fail_reason)i)};

        /* Why a message is dead-lettered, never why its handler failed. */
        if (dead_lettered || i != QE_FAIL_MAX_RECEIVES) {
            labelled_number(
                out, family, labels, pair,
                qe_counter_get(dead_lettered ? &stats->dead_lettered[i] : &stats->failed[i]));
        }
    }
    for (const struct qe_reason_stats *at = atomic_load(&stats->reasons); at != NULL;
         at = atomic_load(&at->next)) {
        const char *const pair[2] = {"reason", at->name};

        labelled_number(out, family, labels, pair,
                        qe_counter_get(dead_lettered ? &at->dead_lettered : &at->failed));
    }
}

static void render_circuit(struct qe_strbuf *out, const char *labels,
                           const struct qe_consumer_stats *stats)
{
    int64_t state = atomic_load(&stats->circuit);

    for (int i = 0; i < QE_CIRCUIT_COUNT && atomic_load(&stats->has_circuit); i++) {
        const char *const pair[2] = {"state", qe_circuit_name((enum qe_circuit)i)};

        labelled_number(out, QE_FAMILY_CONSUMER_CIRCUIT_STATE, labels, pair, state == i ? 1 : 0);
    }
}

static void render_handling(struct qe_strbuf *out, const char *labels,
                            const struct qe_consumer_stats *stats)
{
    struct qe_strbuf more;

    qe_strbuf_init(&more, 0);
    for (size_t i = 0; i < QE_OUTCOME_COUNT; i++) {
        qe_line_check(out, &more);
        qe_strbuf_reset(&more);
        (void)qe_strbuf_append_text(&more, labels);
        qe_label_word(&more, "outcome", qe_outcome_name((enum qe_outcome)i));
        qe_line_histogram(out, QE_FAMILY_CONSUMER_HANDLING_DURATION, qe_strbuf_text(&more),
                          &stats->handling_seconds[i]);
    }
    qe_line_check(out, &more);
    qe_strbuf_deinit(&more);
}

static void render_gauge(struct qe_strbuf *out, enum qe_family family, const char *labels,
                         const struct qe_consumer_stats *stats)
{
    const atomic_int_least64_t *gauge = &stats->in_progress;

    if (family == QE_FAMILY_CONSUMER_WORKERS) {
        gauge = &stats->workers;
    } else if (family == QE_FAMILY_CONSUMER_WORKERS_BUSY) {
        gauge = &stats->workers_busy;
    }
    qe_line_double(out, family, labels, (double)atomic_load(gauge));
}

static void render_consumer(struct qe_strbuf *out, enum qe_family family, const char *labels,
                            const struct qe_consumer_stats *stats)
{
    const qe_counter *counter = counter_of(family, stats);

    if (counter != NULL) {
        qe_line_u64(out, family, labels, qe_counter_get(counter));
    } else if (family == QE_FAMILY_CONSUMER_FAILED || family == QE_FAMILY_CONSUMER_DEAD_LETTERED) {
        render_reasons(out, family, labels, stats);
    } else if (family == QE_FAMILY_CONSUMER_HANDLING_DURATION) {
        render_handling(out, labels, stats);
    } else if (family == QE_FAMILY_CONSUMER_MESSAGE_WAIT) {
        qe_line_histogram(out, family, labels, &stats->wait_seconds);
    } else if (family == QE_FAMILY_CONSUMER_MESSAGE_RECEIVES) {
        qe_line_histogram(out, family, labels, &stats->receives);
    } else if (family == QE_FAMILY_CONSUMER_CIRCUIT_STATE) {
        render_circuit(out, labels, stats);
    } else if (family == QE_FAMILY_CONSUMER_LAST_SUCCESS) {
        int64_t unix_ms = atomic_load(&stats->last_success_unix_ms);

        if (unix_ms != 0) {
            qe_line_double(out, family, labels, (double)unix_ms / 1e3);
        }
    } else {
        render_gauge(out, family, labels, stats);
    }
}

static void render_families(struct qe_strbuf *out, const struct consumers *consumers,
                            enum qe_format format)
{
    for (int i = QE_FAMILY_CONSUMER_RECEIVED; i <= QE_FAMILY_CONSUMER_LAST_SUCCESS; i++) {
        size_t before = out->length_bytes;

        qe_catalogue_header(out, (enum qe_family)i, format);
        size_t header_end = out->length_bytes;

        for (size_t k = 0; k < consumers->count; k++) {
            render_consumer(out, (enum qe_family)i,
                            consumers->labels.data + consumers->items[k].labels_offset,
                            consumers->items[k].stats);
        }
        if (out->length_bytes == header_end) {
            out->length_bytes = before; /* no sample, no header */
        }
    }
}

void qe_live_render_consumers(struct qe_strbuf *out, const struct qe_stats *stats,
                              enum qe_format format)
{
    struct consumers consumers = {0};

    qe_strbuf_init(&consumers.labels, 0);
    if (gather(&consumers, stats) != 0 || consumers.labels.failed != QE_OK) {
        out->failed = QE_ERR_NOMEM;
    } else {
        render_families(out, &consumers, format);
    }
    qe_strbuf_deinit(&consumers.labels);
    qe_free(consumers.items);
}
