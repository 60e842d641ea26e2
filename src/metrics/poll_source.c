#include <stdbool.h>

#include "metrics/line_internal.h"
#include "metrics/poll_internal.h"

/* The states of queue_exporter_queues. */
enum state {
    STATE_LISTED = 0,
    STATE_WATCHED,
    STATE_UP,
    STATE_STALE,
    STATE_COUNT
};
static const char *const s_state_names[STATE_COUNT] = {"listed", "watched", "up", "stale"};

static void count_states(const struct qe_snapshot *snapshot, uint64_t counts[STATE_COUNT])
{
    size_t count = snapshot->set != NULL ? snapshot->set->count : 0;

    counts[STATE_LISTED] = snapshot->status.queues_listed;
    counts[STATE_WATCHED] = count;
    for (size_t i = 0; i < count; i++) {
        const struct qe_queue_state *state = &snapshot->states[i];

        counts[STATE_UP] += state->up ? 1 : 0;
        counts[STATE_STALE] += state->asked && state->sample.known == 0 ? 1 : 0;
    }
}

/* Copy of `labels` with one more label; the caller deinits it. */
static struct qe_strbuf with_label(const struct qe_strbuf *labels, const char *name,
                                   const char *value)
{
    struct qe_strbuf more;

    qe_strbuf_init(&more, 0);
    (void)qe_strbuf_append(&more, qe_strbuf_text(labels), labels->length_bytes);
    qe_label_add(&more, name, value);
    return more;
}

static void labelled_u64(struct qe_strbuf *out, enum qe_family family,
                         const struct qe_strbuf *labels, const char *const pair[2], uint64_t value)
{
    struct qe_strbuf more = with_label(labels, pair[0], pair[1]);

    qe_line_u64(out, family, qe_strbuf_text(&more), value);
    qe_line_check(out, &more);
    qe_strbuf_deinit(&more);
}

static void render_failures(struct qe_strbuf *out, const struct qe_strbuf *labels,
                            const struct qe_source_status *status)
{
    for (int code = QE_OK + 1; code < QE_ERR_COUNT; code++) {
        if (code != QE_ERR_CANCELLED) {
            const char *const pair[2] = {"reason", qe_err_code_name((enum qe_err_code)code)};

            labelled_u64(out, QE_FAMILY_POLL_FAILURES, labels, pair,
                         status->poll_failures_total[code]);
        }
    }
}

static void render_states(struct qe_strbuf *out, const struct qe_strbuf *labels,
                          const struct qe_snapshot *snapshot)
{
    uint64_t counts[STATE_COUNT] = {0};

    count_states(snapshot, counts);
    for (size_t i = 0; i < STATE_COUNT; i++) {
        const char *const pair[2] = {"state", s_state_names[i]};

        labelled_u64(out, QE_FAMILY_QUEUES, labels, pair, counts[i]);
    }
}

/* A node that is down tells nothing but that. */
static bool node_value(const struct qe_node *node, enum qe_family family, uint64_t *out)
{
    if (family == QE_FAMILY_NODE_UP) {
        *out = node->is_up ? 1 : 0;
        return true;
    }
    if (family == QE_FAMILY_NODE_MEMORY_ALARM) {
        *out = node->has_memory_alarm ? 1 : 0;
    } else if (family == QE_FAMILY_NODE_DISK_ALARM) {
        *out = node->has_disk_alarm ? 1 : 0;
    } else {
        *out = node->partitions_count;
    }
    return node->details_known;
}

static void render_nodes(struct qe_strbuf *out, enum qe_family family,
                         const struct qe_strbuf *labels, const struct qe_cluster *cluster)
{
    for (size_t i = 0; cluster != NULL && i < cluster->count; i++) {
        const char *const pair[2] = {"node", cluster->items[i].name};
        uint64_t value = 0;

        if (node_value(&cluster->items[i], family, &value)) {
            labelled_u64(out, family, labels, pair, value);
        }
    }
}

static void render_method(struct qe_strbuf *out, const struct qe_strbuf *labels,
                          const struct qe_source_status *status)
{
    const char *const pair[2] = {"method", status->method};

    if (status->method != NULL && status->up) {
        labelled_u64(out, QE_FAMILY_SOURCE_METHOD, labels, pair, 1);
    }
}

static void render(struct qe_strbuf *out, enum qe_family family, const struct qe_strbuf *labels,
                   const struct qe_snapshot *snapshot)
{
    const struct qe_source_status *status = &snapshot->status;
    const char *text = qe_strbuf_text(labels);

    if (family == QE_FAMILY_POLLS) {
        qe_line_u64(out, family, text, status->polls_total);
    } else if (family == QE_FAMILY_POLL_FAILURES) {
        render_failures(out, labels, status);
    } else if (family == QE_FAMILY_POLL_DURATION) {
        qe_line_histogram(out, family, text, &status->poll_duration_seconds);
    } else if (family == QE_FAMILY_LAST_POLL_SUCCESS && status->last_success_unix_ms != 0) {
        qe_line_double(out, family, text, (double)status->last_success_unix_ms / 1e3);
    } else if (!status->polled) {
        return; /* before the first round has ended there is nothing else to tell */
    } else if (family == QE_FAMILY_SOURCE_UP) {
        qe_line_u64(out, family, text, status->up ? 1 : 0);
    } else if (family == QE_FAMILY_SOURCE_METHOD) {
        render_method(out, labels, status);
    } else if (family >= QE_FAMILY_NODE_UP && family <= QE_FAMILY_NODE_PARTITIONS) {
        render_nodes(out, family, labels, snapshot->cluster);
    } else if (family == QE_FAMILY_QUEUES) {
        render_states(out, labels, snapshot);
    } else if (family == QE_FAMILY_QUEUES_DROPPED) {
        qe_line_u64(out, family, text, status->queues_dropped);
    }
}

void qe_poll_render_source(struct qe_strbuf *out, enum qe_family family,
                           const struct qe_poll_view *view)
{
    struct qe_strbuf labels;

    qe_strbuf_init(&labels, 0);
    (void)qe_strbuf_append_char(&labels, '{');
    qe_label_add(&labels, "source", view->snapshot->source);
    render(out, family, &labels, view->snapshot);
    qe_line_check(out, &labels);
    qe_strbuf_deinit(&labels);
}
