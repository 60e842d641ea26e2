/* What is known of one queue: the poll's own reading, what dearer ones said a while ago, and what
 * the queue is. */
#include <math.h>
#include <string.h>

#include "backend/rabbitmq/internal.h"

/* For so long after it was declared, after its node began or after another one came to lead it, the
 * broker may not tell what a queue holds, or tell 0. Source: measured on 3.10 and 4.0, where it
 * took up to 10 s; a new leader's first count comes with its tick, of 5 s. */
#define YOUNG_MS 15000
/* Whoever sent a message may have a clock ahead of ours, but hardly by more. */
#define AHEAD_SECONDS 300.0
/* 2001: no message is older, so that it is no time of day. */
#define TIMESTAMP_LEAST 1e9
/* For so many polls, and at least so long, an age stays that was read with what is dear. What is
 * dear is read every 5 minutes at least, and rules of alerts look 3 minutes back: they miss
 * nothing. */
#define AGE_POLLS 4
#define AGE_LEAST_MS 120000
/* Readings of the dear kind that do not come when they should are good for two more polls. */
#define GRACE_MS 5000

static bool is_recent(int64_t mono_ms, int64_t now_mono_ms)
{
    return mono_ms != 0 && now_mono_ms - mono_ms < YOUNG_MS;
}

/* It may just have got another leader, whether that is told yet or not. */
static bool is_unsettled(const struct qe_rmq *self, const struct qe_rmq_record *record,
                         int64_t now_mono_ms)
{
    const int64_t uptime_ms = qe_rmq_nodes_least_uptime_ms(&self->nodes);

    return is_recent(record->led_mono_ms, now_mono_ms) ||
           is_recent(self->nodes_changed_mono_ms, now_mono_ms) ||
           (uptime_ms >= 0 && uptime_ms < YOUNG_MS);
}

static bool is_young(const struct qe_rmq *self, const struct qe_rmq_record *record,
                     int64_t now_mono_ms)
{
    return now_mono_ms - record->born_mono_ms < YOUNG_MS || is_unsettled(self, record, now_mono_ms);
}

/* Another of its name may come, which has nothing of what is remembered of this one. */
static void forget(struct qe_rmq_record *record)
{
    qe_rmq_history_destroy(record->history);
    record->history = NULL;
    memset(record->held, 0, sizeof record->held);
}

/* A queue that was not told of in this poll, or said to be down. Always -1. */
static int explain(const struct qe_rmq *self, const struct qe_rmq_poll *poll,
                   struct qe_rmq_record *record, struct qe_err *err)
{
    const bool was_told = (record->told_ways & 1U << (unsigned)poll->way) != 0;
    const struct qe_rmq_definition *definition = &record->definition;
    const struct qe_rmq_node *node = qe_rmq_nodes_find(&self->nodes, definition->node);

    if (node != NULL && !node->is_running) {
        return qe_err_set(err, QE_ERR_NETWORK, "node %s is down", definition->node);
    }
    if (record->fresh_poll == self->poll || definition->is_down) {
        return qe_err_set(err, QE_ERR_NETWORK, "its node is down, or too few of its members run");
    }
    if (poll->gap.code != QE_OK) {
        *err = poll->gap;
        return -1;
    }
    if (was_told ? is_unsettled(self, record, poll->now_mono_ms)
                 : is_young(self, record, poll->now_mono_ms)) {
        return qe_err_set(err, QE_ERR_CANCELLED, "not told of yet");
    }
    if (poll->way != QE_RMQ_METRICS) { /* the API tells of every queue that there is */
        forget(record);
    }
    return qe_err_set(err, QE_ERR_NOT_FOUND, "the broker does not tell of it");
}

bool qe_rmq_is_false_zero(const struct qe_rmq *self, enum qe_rmq_method way,
                          const struct qe_rmq_record *record, const struct qe_rmq_reading *reading,
                          int64_t now_mono_ms)
{
    if (way == QE_RMQ_METRICS || record->definition.kind != QE_KIND_QUORUM ||
        !qe_rmq_has(reading, QE_RMQ_READY) || reading->values[QE_RMQ_READY] > 0 ||
        reading->values[QE_RMQ_UNACKNOWLEDGED] > 0) {
        return false;
    }
    if (way == QE_RMQ_TOTALS) {
        return is_young(self, record, now_mono_ms);
    }
    return is_unsettled(self, record, now_mono_ms) || (record->tells_state && !reading->has_state);
}

/* NULL: there is none, it is too old, or it came only to see whether it has become cheaper: shown,
 * it would be there for a minute, gone until the next such look, and so on. */
static const struct qe_rmq_held *held_of(const struct qe_rmq *self, const struct qe_rmq_poll *poll,
                                         const struct qe_rmq_record *record,
                                         enum qe_rmq_extra extra)
{
    const struct qe_rmq_held *held = &record->held[extra];
    const bool is_each_poll = extra == QE_RMQ_EXTRA_STATISTICS && poll->way == QE_RMQ_STATISTICS;
    int64_t interval_ms = qe_rmq_pace_interval_ms(
        &self->paces[extra], self->settings->statistics_max_load, self->poll_interval_ms);
    const bool is_too_dear = interval_ms < 0 && !is_each_poll;

    interval_ms = interval_ms > self->poll_interval_ms ? interval_ms : self->poll_interval_ms;
    if (held->read_mono_ms == 0 || is_too_dear ||
        poll->now_mono_ms - held->read_mono_ms > 2 * interval_ms + GRACE_MS) {
        return NULL;
    }
    return held;
}

static void take_field(const struct qe_rmq_reading *reading, enum qe_rmq_value value,
                       enum qe_field field, struct qe_sample *out)
{
    if (qe_rmq_has(reading, value) && !qe_sample_has(out, field)) {
        qe_sample_set(out, field, reading->values[value]);
    }
}

/* What was held a while ago says nothing of what is held now; but a log only grows slowly. */
static bool may_be_old(const struct qe_rmq_record *record, enum qe_rmq_value value)
{
    return record->definition.kind == QE_KIND_STREAM ||
           (value != QE_RMQ_READY && value != QE_RMQ_UNACKNOWLEDGED);
}

static void take_reading(const struct qe_rmq_record *record, const struct qe_rmq_reading *reading,
                         bool is_old, struct qe_sample *out)
{
    static const struct {
        enum qe_rmq_value value;
        enum qe_field field;
    } fields[] = {
        {QE_RMQ_READY, QE_FIELD_READY_MESSAGES},
        {QE_RMQ_UNACKNOWLEDGED, QE_FIELD_IN_FLIGHT_MESSAGES},
        {QE_RMQ_CONSUMERS, QE_FIELD_CONSUMERS},
        {QE_RMQ_BYTES, QE_FIELD_SIZE_BYTES},
        {QE_RMQ_PUBLISHED, QE_FIELD_PUBLISHED_TOTAL},
        {QE_RMQ_DELIVERED, QE_FIELD_DELIVERED_TOTAL},
        {QE_RMQ_ACKNOWLEDGED, QE_FIELD_ACKNOWLEDGED_TOTAL},
        {QE_RMQ_REDELIVERED, QE_FIELD_REDELIVERED_TOTAL},
        {QE_RMQ_PENDING, QE_FIELD_DEAD_LETTER_PENDING_MESSAGES},
    };

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!is_old || may_be_old(record, fields[i].value)) {
            take_field(reading, fields[i].value, fields[i].field, out);
        }
    }
}

static void take_definition(const struct qe_rmq_definition *definition, struct qe_sample *out)
{
    const struct qe_rmq_rules *rules = &definition->rules;

    if (rules->max_length_messages >= 0) {
        qe_sample_set(out, QE_FIELD_MAX_LENGTH_MESSAGES, rules->max_length_messages);
    }
    if (rules->max_length_bytes >= 0) {
        qe_sample_set(out, QE_FIELD_MAX_LENGTH_BYTES, rules->max_length_bytes);
    }
    /* What expires goes to the dead-letter exchange where there is one: it is not lost. */
    if (rules->message_ttl_ms > 0 && rules->dead_letter_exchange == NULL) {
        qe_sample_set(out, QE_FIELD_RETENTION_SECONDS, rules->message_ttl_ms / 1e3);
    }
    /* The limit is of returns: with 2, a message is delivered three times. */
    if (rules->delivery_limit >= 0 && isfinite(rules->delivery_limit) &&
        definition->kind == QE_KIND_QUORUM) {
        qe_sample_set(out, QE_FIELD_MAX_RECEIVES, rules->delivery_limit + 1);
    }
}

/* --- ages --- */

static bool is_none(const struct qe_sample *sample, enum qe_field field)
{
    return qe_sample_has(sample, field) && sample->values[field] <= 0;
}

/* A quorum queue may hold messages that are neither ready nor in flight: those that wait until
 * their dead-letter queue has them. What says so is the count of all, or their own. */
static bool is_known_empty(const struct qe_rmq_record *record, const struct qe_sample *sample)
{
    if (!is_none(sample, QE_FIELD_READY_MESSAGES) ||
        !is_none(sample, QE_FIELD_IN_FLIGHT_MESSAGES)) {
        return false;
    }
    if (qe_rmq_has(&record->fresh, QE_RMQ_MESSAGES)) {
        return record->fresh.values[QE_RMQ_MESSAGES] <= 0;
    }
    return record->definition.kind != QE_KIND_QUORUM ||
           (qe_rmq_has(&record->fresh, QE_RMQ_PENDING) &&
            record->fresh.values[QE_RMQ_PENDING] <= 0);
}

static void set_age(struct qe_sample *out, double age_seconds, enum qe_age_method method)
{
    qe_sample_set(out, QE_FIELD_OLDEST_AGE_SECONDS, age_seconds);
    out->age_method = method;
}

/* An age from before the queue was seen empty is of a message that is gone. */
static void take_empty(struct qe_rmq_record *record, struct qe_sample *out)
{
    for (size_t i = 0; i < QE_RMQ_EXTRA_COUNT; i++) {
        record->held[i].age_seconds = -1;
    }
    set_age(out, 0, QE_AGE_BROKER);
}

static double depth_of(const struct qe_rmq_reading *reading)
{
    return qe_rmq_has(reading, QE_RMQ_READY) && qe_rmq_has(reading, QE_RMQ_UNACKNOWLEDGED)
               ? reading->values[QE_RMQ_READY] + reading->values[QE_RMQ_UNACKNOWLEDGED]
               : -1;
}

/* Where the queue holds less than it did, the message that was the oldest may be gone. */
static void drop_ages(const struct qe_rmq *self, const struct qe_rmq_poll *poll,
                      struct qe_rmq_record *record)
{
    const double depth = depth_of(&record->fresh);
    const int64_t polls_ms = AGE_POLLS * self->poll_interval_ms;
    const int64_t longest_ms = (polls_ms > AGE_LEAST_MS ? polls_ms : AGE_LEAST_MS) + GRACE_MS;

    for (size_t i = 0; i < QE_RMQ_EXTRA_COUNT; i++) {
        struct qe_rmq_held *held = &record->held[i];

        if (held->age_depth < 0) { /* the nodes' queue_metrics have none */
            held->age_depth = depth;
        }
        if (held->read_mono_ms != poll->now_mono_ms &&
            (depth < held->age_depth || poll->now_mono_ms - held->read_mono_ms > longest_ms)) {
            held->age_seconds = -1;
        }
    }
}

static void take_age(const struct qe_rmq_held *const held[QE_RMQ_EXTRA_COUNT], int64_t now_mono_ms,
                     double observed_age_seconds, struct qe_sample *out)
{
    const struct qe_rmq_held *best = NULL;

    for (size_t i = 0; i < QE_RMQ_EXTRA_COUNT; i++) {
        const struct qe_rmq_held *at = held[i];

        if (at == NULL || at->age_seconds < 0) {
            continue;
        }
        if (best == NULL || (best->age_is_estimate && !at->age_is_estimate) ||
            (best->age_is_estimate == at->age_is_estimate &&
             at->read_mono_ms > best->read_mono_ms)) {
            best = at;
        }
    }
    /* What our own consumer saw is better than an estimate: the poller takes it where none is. */
    if (best != NULL && (!best->age_is_estimate || observed_age_seconds < 0)) {
        set_age(out, best->age_seconds,
                best->age_is_estimate ? QE_AGE_ESTIMATE : QE_AGE_HEAD_TIMESTAMP);
        out->age_lag_seconds = (double)(now_mono_ms - best->age_as_of_mono_ms) / 1e3;
    }
}

int qe_rmq_merge(const struct qe_rmq *self, const struct qe_rmq_poll *poll,
                 struct qe_rmq_record *record, double observed_age_seconds, struct qe_sample *out,
                 struct qe_err *err)
{
    const struct qe_rmq_held *held[QE_RMQ_EXTRA_COUNT] = {0};
    struct qe_sample sample = {0};

    if (record->fresh_poll != self->poll || record->fresh.is_down ||
        (record->definition.is_down && !qe_rmq_has(&record->fresh, QE_RMQ_READY))) {
        return explain(self, poll, record, err);
    }
    if (qe_rmq_is_false_zero(self, poll->way, record, &record->fresh, poll->now_mono_ms) ||
        (!qe_rmq_has(&record->fresh, QE_RMQ_READY) && is_young(self, record, poll->now_mono_ms))) {
        return qe_err_set(err, QE_ERR_CANCELLED, "its depth is not told yet");
    }
    take_reading(record, &record->fresh, false, &sample);
    for (size_t i = QE_RMQ_EXTRA_COUNT; i-- > 0;) { /* what comes more often goes first */
        held[i] = held_of(self, poll, record, (enum qe_rmq_extra)i);
        if (held[i] != NULL) {
            take_reading(record, &held[i]->reading, held[i]->read_mono_ms != poll->now_mono_ms,
                         &sample);
        }
    }
    take_definition(&record->definition, &sample);
    if (record->definition.kind != QE_KIND_STREAM) { /* a log has no oldest message that waits */
        if (is_known_empty(record, &sample)) {
            take_empty(record, &sample);
        } else {
            drop_ages(self, poll, record);
            take_age(held, poll->now_mono_ms, observed_age_seconds, &sample);
        }
    }
    *out = sample;
    return 0;
}

/* --- readings of the dear kind --- */

/* Sound only where each message comes in counted, and leaves in order. */
static bool may_estimate(const struct qe_rmq_record *record, const struct qe_rmq_reading *reading)
{
    return record->definition.kind != QE_KIND_STREAM && !record->definition.has_priorities &&
           !record->may_get_dead_letters && !qe_rmq_definition_refuses(&record->definition) &&
           qe_rmq_has(reading, QE_RMQ_READY) && qe_rmq_has(reading, QE_RMQ_UNACKNOWLEDGED);
}

/* Where no better age is known. A queue without counters has had no message yet: they are 0. */
static int estimate(struct qe_rmq_record *record, const struct qe_rmq_reading *reading,
                    struct qe_rmq_held *held, struct qe_err *err)
{
    const struct qe_rmq_history_point point = {
        .mono_ms = held->read_mono_ms,
        .published = reading->values[QE_RMQ_PUBLISHED],
        .delivered = reading->values[QE_RMQ_DELIVERED],
        .redelivered = reading->values[QE_RMQ_REDELIVERED],
        .ready = reading->values[QE_RMQ_READY],
        .in_flight = reading->values[QE_RMQ_UNACKNOWLEDGED],
    };

    if (!may_estimate(record, reading)) { /* what is in there now would be uncounted later, too */
        qe_rmq_history_destroy(record->history);
        record->history = NULL;
        return 0;
    }
    if (record->history == NULL) {
        record->history = qe_rmq_history_new(err);
        if (record->history == NULL) {
            return -1;
        }
    }
    if (qe_rmq_history_note(record->history, &point, err) != 0) {
        return -1;
    }
    if (held->age_seconds < 0) {
        held->age_is_estimate = true;
        (void)qe_rmq_history_age(record->history, &held->age_seconds, &held->age_as_of_mono_ms);
    }
    return 0;
}

/* < 0: a timestamp that cannot be true, like one in milliseconds. */
static double age_of(double timestamp, int64_t now_unix_ms)
{
    const double age_seconds = (double)now_unix_ms / 1e3 - timestamp;

    if (timestamp < TIMESTAMP_LEAST || age_seconds < -AHEAD_SECONDS) {
        return -1;
    }
    return age_seconds > 0 ? age_seconds : 0;
}

int qe_rmq_hold(struct qe_rmq_record *record, enum qe_rmq_extra extra,
                const struct qe_rmq_reading *reading, const struct qe_rmq_poll *poll,
                struct qe_err *err)
{
    struct qe_rmq_held held = {.reading = *reading,
                               .age_depth = depth_of(reading),
                               .age_seconds = -1,
                               .age_as_of_mono_ms = poll->now_mono_ms,
                               .read_mono_ms = poll->now_mono_ms};

    if (qe_rmq_has(reading, QE_RMQ_HEAD_TIMESTAMP)) {
        held.age_seconds = age_of(reading->values[QE_RMQ_HEAD_TIMESTAMP], poll->now_unix_ms);
    }
    if (extra == QE_RMQ_EXTRA_STATISTICS && estimate(record, reading, &held, err) != 0) {
        return -1;
    }
    record->held[extra] = held;
    return 0;
}
