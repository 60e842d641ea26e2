#include <math.h>

#include "metrics/line_internal.h"
#include "metrics/poll_internal.h"
#include "model/derive.h"

/* What a line takes beside labels, name and tail: most values are shorter. A block that needs more
 * grows. */
#define VALUE_USUAL_BYTES 20

/* One line of queue `index`. This is what a poll of many queues spends its time on: three copies
 * and a number, no call but that for the number. */
static inline void put(struct qe_strbuf *out, const struct qe_short_text *name,
                       const struct qe_annex *annex, size_t index, const struct qe_short_text *tail,
                       double value)
{
    const char *labels = annex->labels.data + annex->offsets[index];
    size_t labels_bytes = annex->offsets[index + 1] - annex->offsets[index];
    size_t room = qe_line_room(labels_bytes);
    /* A first look saves the call; an empty buffer has no data to point into. */
    char *at = out->capacity_bytes - out->length_bytes > room ? out->data + out->length_bytes
                                                              : qe_strbuf_reserve(out, room);

    if (at == NULL) {
        return;
    }
    at = qe_line_write(at, name, labels, labels_bytes, tail);
    at += qe_number_write_double(value, at);
    *at = '\n';
    out->length_bytes = (size_t)(at + 1 - out->data);
}

/* Room for a line of every queue at once, so that a block is not moved while it grows. Untouched
 * memory costs nothing, and what is too much is given back. A buffer that has room already has it
 * from somebody who knows better: the block of the poll before. */
static void reserve_block(struct qe_strbuf *out, const struct qe_poll_view *view, size_t name_bytes)
{
    size_t count = view->snapshot->set->count;

    if (count > 0 && out->capacity_bytes == 0) {
        (void)qe_strbuf_reserve(out, view->annex->labels.length_bytes +
                                         count * (name_bytes + 3 + VALUE_USUAL_BYTES) +
                                         qe_line_room(0));
    }
}

/* --- fields of the sample --- */

static enum qe_field field_of(enum qe_family family)
{
    static const enum qe_field fields[QE_FAMILY_POLL_COUNT] = {
        [QE_FAMILY_MESSAGES_READY] = QE_FIELD_READY_MESSAGES,
        [QE_FAMILY_MESSAGES_IN_FLIGHT] = QE_FIELD_IN_FLIGHT_MESSAGES,
        [QE_FAMILY_MESSAGES_DELAYED] = QE_FIELD_DELAYED_MESSAGES,
        [QE_FAMILY_MESSAGES_IN_FLIGHT_LIMIT] = QE_FIELD_IN_FLIGHT_LIMIT_MESSAGES,
        [QE_FAMILY_OLDEST_AGE] = QE_FIELD_OLDEST_AGE_SECONDS,
        [QE_FAMILY_RETENTION] = QE_FIELD_RETENTION_SECONDS,
        [QE_FAMILY_VISIBILITY_TIMEOUT] = QE_FIELD_VISIBILITY_TIMEOUT_SECONDS,
        [QE_FAMILY_DELIVERY_DELAY] = QE_FIELD_DELIVERY_DELAY_SECONDS,
        [QE_FAMILY_MAX_LENGTH_MESSAGES] = QE_FIELD_MAX_LENGTH_MESSAGES,
        [QE_FAMILY_MAX_LENGTH_BYTES] = QE_FIELD_MAX_LENGTH_BYTES,
        [QE_FAMILY_SIZE_BYTES] = QE_FIELD_SIZE_BYTES,
        [QE_FAMILY_CONSUMERS] = QE_FIELD_CONSUMERS,
        [QE_FAMILY_MESSAGES_PUBLISHED] = QE_FIELD_PUBLISHED_TOTAL,
        [QE_FAMILY_MESSAGES_DELIVERED] = QE_FIELD_DELIVERED_TOTAL,
        [QE_FAMILY_MESSAGES_ACKNOWLEDGED] = QE_FIELD_ACKNOWLEDGED_TOTAL,
        [QE_FAMILY_MESSAGES_REDELIVERED] = QE_FIELD_REDELIVERED_TOTAL,
        [QE_FAMILY_DEAD_LETTER_MAX_RECEIVES] = QE_FIELD_MAX_RECEIVES,
        [QE_FAMILY_DEAD_LETTER_PENDING] = QE_FIELD_DEAD_LETTER_PENDING_MESSAGES,
    };

    return fields[family];
}

static void render_field(struct qe_strbuf *out, enum qe_family family,
                         const struct qe_poll_view *view)
{
    const struct qe_snapshot *snapshot = view->snapshot;
    const struct qe_short_text name = qe_line_name(family);
    const struct qe_short_text tail = qe_line_tail(NULL, NULL);
    enum qe_field field = field_of(family);

    reserve_block(out, view, name.length);
    for (size_t i = 0; i < snapshot->set->count; i++) {
        const struct qe_sample *sample = &snapshot->states[i].sample;

        if (qe_sample_has(sample, field)) {
            put(out, &name, view->annex, i, &tail, sample->values[field]);
        }
    }
}

static void render_oldest_age(struct qe_strbuf *out, enum qe_family family,
                              const struct qe_poll_view *view)
{
    const struct qe_snapshot *snapshot = view->snapshot;
    const struct qe_short_text name = qe_line_name(family);
    struct qe_short_text tails[QE_AGE_METHOD_COUNT];

    for (size_t i = 0; i < QE_AGE_METHOD_COUNT; i++) {
        tails[i] = qe_line_tail("method", qe_age_method_name((enum qe_age_method)i));
    }
    reserve_block(out, view, name.length + tails[QE_AGE_HEAD_TIMESTAMP].length);
    for (size_t i = 0; i < snapshot->set->count; i++) {
        const struct qe_sample *sample = &snapshot->states[i].sample;

        if (qe_sample_has(sample, QE_FIELD_OLDEST_AGE_SECONDS)) {
            put(out, &name, view->annex, i, &tails[sample->age_method],
                sample->values[QE_FIELD_OLDEST_AGE_SECONDS]);
        }
    }
}

/* --- facts of the listing --- */

static void begin_queue(struct qe_strbuf *out, const struct qe_short_text *name,
                        const struct qe_annex *annex, size_t index)
{
    (void)qe_strbuf_append(out, name->bytes, name->length);
    (void)qe_strbuf_append(out, annex->labels.data + annex->offsets[index],
                           annex->offsets[index + 1] - annex->offsets[index]);
}

static void render_info(struct qe_strbuf *out, enum qe_family family,
                        const struct qe_poll_view *view)
{
    const struct qe_snapshot *snapshot = view->snapshot;
    const struct qe_short_text name = qe_line_name(family);

    for (size_t i = 0; i < snapshot->set->count; i++) {
        const struct qe_queue *queue = &snapshot->set->items[i];

        begin_queue(out, &name, view->annex, i);
        qe_label_word(out, "backend", snapshot->backend);
        qe_label_word(out, "kind", qe_queue_kind_name(queue->kind));
        qe_label_add_known(out, "arn", queue->arn);
        qe_label_add_known(out, "region", queue->region);
        qe_label_add_known(out, "account_id", queue->account_id);
        for (size_t label = 0; label < queue->labels_count; label++) {
            qe_label_add_known(out, queue->labels[label].name, queue->labels[label].value);
        }
        qe_line_end_u64(out, 1);
    }
}

static void begin_link(struct qe_strbuf *out, const struct qe_short_text *name,
                       const struct qe_poll_view *view, size_t index, const char *vhost,
                       const char *dead_letter_queue)
{
    begin_queue(out, name, view->annex, index);
    qe_label_add(out, "dead_letter_queue", dead_letter_queue);
    qe_label_add_known(out, "dead_letter_vhost", vhost);
}

static void render_links(struct qe_strbuf *out, enum qe_family family,
                         const struct qe_poll_view *view)
{
    const struct qe_queue_set *set = view->snapshot->set;
    const struct qe_short_text name = qe_line_name(family);

    for (size_t i = 0; i < set->count; i++) {
        const struct qe_queue *queue = &set->items[i];
        double messages = 0;

        for (size_t link = 0; link < queue->links_count; link++) {
            const struct qe_dead_letter_link *to = &queue->links[link];

            if (family == QE_FAMILY_DEAD_LETTER_INFO) {
                begin_link(out, &name, view, i, to->vhost, to->queue);
                qe_line_end_u64(out, 1);
            } else if (qe_derive_dead_letter_messages(view->snapshot, i, link, &messages)) {
                begin_link(out, &name, view, i, to->vhost, to->queue);
                qe_line_end_double(out, messages);
            }
        }
        if (family == QE_FAMILY_DEAD_LETTER_MESSAGES &&
            qe_derive_own_dead_letter_messages(view->snapshot, i, &messages)) {
            begin_link(out, &name, view, i, queue->vhost, queue->name);
            qe_line_end_double(out, messages);
        }
    }
}

/* --- what follows from state and sample: one value per queue, or none --- */

static bool change_of(enum qe_family family, const struct qe_snapshot *snapshot, size_t index,
                      double *out)
{
    double messages = 0;
    double seconds = 0;

    if (!snapshot->judges_backlogs || !snapshot->set->is_dead_letter_queue[index] ||
        !qe_backlog_change(&snapshot->states[index].backlog, &messages, &seconds)) {
        return false;
    }
    *out = family == QE_FAMILY_DEAD_LETTER_CHANGE ? messages : seconds;
    return true;
}

static bool value_of(enum qe_family family, const struct qe_snapshot *snapshot, size_t index,
                     double *out)
{
    const struct qe_queue_state *state = &snapshot->states[index];

    if (family == QE_FAMILY_IS_DEAD_LETTER_QUEUE) {
        *out = snapshot->set->is_dead_letter_queue[index] ? 1 : 0;
        return true;
    }
    if (family == QE_FAMILY_IS_DELAY_QUEUE) {
        *out = 1;
        return snapshot->set->items[index].is_delay_queue;
    }
    if (family == QE_FAMILY_DEAD_LETTER_CHANGE || family == QE_FAMILY_DEAD_LETTER_CHANGE_SPAN) {
        return change_of(family, snapshot, index, out);
    }
    if (family == QE_FAMILY_DRAIN) {
        return snapshot->judges_backlogs && qe_backlog_drain_seconds(&state->backlog, out);
    }
    if (family == QE_FAMILY_EXPIRY_MARGIN) {
        return qe_derive_expiry_margin(snapshot, index, out);
    }
    if (family == QE_FAMILY_OBJECTIVE_OLDEST_AGE) {
        *out = state->objective_oldest_age_seconds;
        return state->objective_oldest_age_seconds >= 0;
    }
    if (family == QE_FAMILY_QUEUE_UP) {
        *out = state->up ? 1 : 0;
        return state->asked;
    }
    /* QE_FAMILY_LAST_SUCCESS */
    *out = (double)state->last_success_unix_ms / 1e3;
    return state->last_success_unix_ms != 0;
}

static void render_values(struct qe_strbuf *out, enum qe_family family,
                          const struct qe_poll_view *view)
{
    const struct qe_short_text name = qe_line_name(family);
    const struct qe_short_text tail = qe_line_tail(NULL, NULL);

    reserve_block(out, view, name.length);
    for (size_t i = 0; i < view->snapshot->set->count; i++) {
        double value = 0;

        if (value_of(family, view->snapshot, i, &value)) {
            put(out, &name, view->annex, i, &tail, value);
        }
    }
}

/* --- states --- */

static void render_states(struct qe_strbuf *out, enum qe_family family,
                          const struct qe_poll_view *view)
{
    const struct qe_snapshot *snapshot = view->snapshot;
    const struct qe_short_text name = qe_line_name(family);
    struct qe_short_text tails[QE_BACKLOG_STATE_COUNT];

    if (!snapshot->judges_backlogs) {
        return;
    }
    for (size_t i = 0; i < QE_BACKLOG_STATE_COUNT; i++) {
        tails[i] = qe_line_tail("state", qe_backlog_state_name((enum qe_backlog_state)i));
    }
    for (size_t i = 0; i < snapshot->set->count; i++) {
        const struct qe_queue_state *queue = &snapshot->states[i];

        for (size_t state = 0; queue->asked && state < QE_BACKLOG_STATE_COUNT; state++) {
            put(out, &name, view->annex, i, &tails[state], queue->backlog.state == state ? 1 : 0);
        }
    }
}

/* --- warnings --- */

/* 99 % of our own handler's runs on this queue took at most that long; -1 when there were none. */
static double handling_p99(const struct qe_consumer_stats *consumer)
{
    struct qe_histogram all;

    qe_histogram_init(&all, consumer->handling_seconds[0].layout);
    for (size_t outcome = 0; outcome < QE_OUTCOME_COUNT; outcome++) {
        for (size_t i = 0; i <= all.layout->count; i++) {
            atomic_fetch_add_explicit(
                &all.buckets[i],
                atomic_load_explicit(&consumer->handling_seconds[outcome].buckets[i],
                                     memory_order_relaxed),
                memory_order_relaxed);
        }
    }
    double bound = qe_histogram_quantile_bound(&all, 0.99);

    return isnan(bound) ? -1 : bound;
}

static void render_warnings(struct qe_strbuf *out, enum qe_family family,
                            const struct qe_poll_view *view)
{
    const struct qe_snapshot *snapshot = view->snapshot;
    const struct qe_consumer_stats *consumer =
        view->stats != NULL ? qe_stats_first_consumer(view->stats) : NULL;
    const struct qe_short_text name = qe_line_name(family);
    struct qe_short_text tails[QE_WARN_COUNT];

    for (size_t i = 0; i < QE_WARN_COUNT; i++) {
        tails[i] = qe_line_tail("check", qe_warning_name((enum qe_warning)i));
    }
    for (size_t i = 0; i < snapshot->set->count; i++) {
        const struct qe_queue *queue = &snapshot->set->items[i];
        const struct qe_consumer_stats *own =
            qe_stats_walk(&consumer, snapshot->source, queue->vhost, queue->name);
        unsigned warnings = qe_derive_warnings(snapshot, i, own != NULL ? handling_p99(own) : -1);

        for (size_t bit = 0; bit < QE_WARN_COUNT; bit++) {
            if ((warnings & 1u << bit) != 0) {
                put(out, &name, view->annex, i, &tails[bit], 1);
            }
        }
    }
}

typedef void render_fn(struct qe_strbuf *out, enum qe_family family,
                       const struct qe_poll_view *view);

/* Families that are more than a field of the sample. */
static render_fn *const s_own[QE_FAMILY_POLL_COUNT] = {
    [QE_FAMILY_QUEUE_INFO] = render_info,
    [QE_FAMILY_OLDEST_AGE] = render_oldest_age,
    [QE_FAMILY_DEAD_LETTER_INFO] = render_links,
    [QE_FAMILY_DEAD_LETTER_MESSAGES] = render_links,
    [QE_FAMILY_DEAD_LETTER_CHANGE] = render_values,
    [QE_FAMILY_DEAD_LETTER_CHANGE_SPAN] = render_values,
    [QE_FAMILY_IS_DEAD_LETTER_QUEUE] = render_values,
    [QE_FAMILY_IS_DELAY_QUEUE] = render_values,
    [QE_FAMILY_EXPIRY_MARGIN] = render_values,
    [QE_FAMILY_OBJECTIVE_OLDEST_AGE] = render_values,
    [QE_FAMILY_STATE] = render_states,
    [QE_FAMILY_DRAIN] = render_values,
    [QE_FAMILY_CONFIG_WARNING] = render_warnings,
    [QE_FAMILY_QUEUE_UP] = render_values,
    [QE_FAMILY_LAST_SUCCESS] = render_values,
};

/* --- columns --- */

bool qe_poll_is_unknown(enum qe_family family, uint32_t known)
{
    return (s_own[family] == NULL || s_own[family] == render_oldest_age) &&
           (known & (UINT32_C(1) << (unsigned)field_of(family))) == 0;
}

bool qe_poll_is_of_set(enum qe_family family)
{
    return family == QE_FAMILY_QUEUE_INFO || family == QE_FAMILY_DEAD_LETTER_INFO ||
           family == QE_FAMILY_IS_DEAD_LETTER_QUEUE || family == QE_FAMILY_IS_DELAY_QUEUE;
}

static bool number_of(enum qe_family family, const struct qe_snapshot *snapshot, size_t index,
                      double *out)
{
    const struct qe_queue_state *state = &snapshot->states[index];

    if (family == QE_FAMILY_STATE) {
        *out = state->backlog.state;
        return snapshot->judges_backlogs && state->asked;
    }
    if (family == QE_FAMILY_QUEUE_UP || family == QE_FAMILY_OBJECTIVE_OLDEST_AGE) {
        return value_of(family, snapshot, index, out);
    }
    const enum qe_field field = field_of(family);

    *out = state->sample.values[field];
    return qe_sample_has(&state->sample, field);
}

bool qe_poll_column(double *out, enum qe_family family, const struct qe_poll_view *view)
{
    const bool has_own = family == QE_FAMILY_STATE || family == QE_FAMILY_QUEUE_UP ||
                         family == QE_FAMILY_OBJECTIVE_OLDEST_AGE;

    if (!has_own && s_own[family] != NULL) {
        return false;
    }
    for (size_t i = 0; i < view->snapshot->set->count; i++) {
        if (!number_of(family, view->snapshot, i, &out[i])) {
            out[i] = (double)NAN;
        }
    }
    return true;
}

void qe_poll_render_queues(struct qe_strbuf *out, enum qe_family family,
                           const struct qe_poll_view *view)
{
    if (s_own[family] != NULL) {
        s_own[family](out, family, view);
    } else {
        render_field(out, family, view);
    }
}
