#include "model/derive.h"

#include <math.h>

/* The share of its limit from which a number in flight is worth a warning. */
#define IN_FLIGHT_NEAR 0.8

static const char *const s_warning_names[QE_WARN_COUNT] = {
    "no_dead_letter_queue",   "dead_letter_retention_too_short",
    "max_receives_too_low",   "visibility_below_handling_time",
    "dead_letter_wrong_type", "dead_letter_queue_unreadable",
    "in_flight_near_limit",   "dead_letter_unroutable"};

const char *qe_warning_name(enum qe_warning warning)
{
    return (unsigned)warning < QE_WARN_COUNT ? s_warning_names[warning] : "unknown";
}

static const struct qe_sample *sample_of(const struct qe_snapshot *snapshot, size_t index)
{
    return &snapshot->states[index].sample;
}

static bool get(const struct qe_sample *sample, enum qe_field field, double *out)
{
    if (!qe_sample_has(sample, field)) {
        return false;
    }
    *out = sample->values[field];
    return true;
}

/* A DLQ whose retention counts from the first send loses its messages before anybody looks, when
 * they may have spent that time in this queue already. What our own consumer sends there is sent
 * anew. */
static bool dead_letter_retention_is_short(const struct qe_snapshot *snapshot, size_t index)
{
    const struct qe_queue_set *set = snapshot->set;
    double own = 0;

    if (!get(sample_of(snapshot, index), QE_FIELD_RETENTION_SECONDS, &own)) {
        return false;
    }
    for (size_t i = 0; i < set->items[index].links_count; i++) {
        size_t target = set->link_targets[index][i];
        double there = 0;

        if (target != SIZE_MAX && !set->items[index].links[i].by_consumer &&
            set->items[target].retention_from_first_send &&
            get(sample_of(snapshot, target), QE_FIELD_RETENTION_SECONDS, &there) && there <= own) {
            return true;
        }
    }
    return false;
}

/* Brokers with these kinds do not dead-letter from one into the other; a consumer may. */
static bool is_wrong_type(const struct qe_queue *from, const struct qe_queue *to)
{
    return (from->kind == QE_KIND_FIFO && to->kind == QE_KIND_STANDARD) ||
           (from->kind == QE_KIND_STANDARD && to->kind == QE_KIND_FIFO);
}

/* What the queue's links say of themselves: bits of enum qe_warning. */
static unsigned link_warnings(const struct qe_queue_set *set, size_t index)
{
    const struct qe_queue *queue = &set->items[index];
    unsigned warnings = 0;

    for (size_t i = 0; i < queue->links_count; i++) {
        size_t target = set->link_targets[index][i];

        if (target == SIZE_MAX) {
            warnings |= 1u << QE_WARN_DEAD_LETTER_QUEUE_UNREADABLE;
        } else if (!queue->links[i].by_consumer && is_wrong_type(queue, &set->items[target])) {
            warnings |= 1u << QE_WARN_DEAD_LETTER_WRONG_TYPE;
        }
    }
    return warnings;
}

unsigned qe_derive_warnings(const struct qe_snapshot *snapshot, size_t index,
                            double handling_p99_seconds)
{
    const struct qe_queue *queue = &snapshot->set->items[index];
    const struct qe_sample *sample = sample_of(snapshot, index);
    unsigned warnings = link_warnings(snapshot->set, index);
    double value = 0;
    double limit = 0;

    if (queue->dead_letter_unroutable) {
        warnings |= 1u << QE_WARN_DEAD_LETTER_UNROUTABLE;
    } else if (queue->dead_letter_known && queue->links_count == 0 &&
               !snapshot->set->is_dead_letter_queue[index]) {
        warnings |= 1u << QE_WARN_NO_DEAD_LETTER_QUEUE;
    }
    if (dead_letter_retention_is_short(snapshot, index)) {
        warnings |= 1u << QE_WARN_DEAD_LETTER_RETENTION_TOO_SHORT;
    }
    /* One receive: the first crash of a consumer buries a healthy message. */
    if (get(sample, QE_FIELD_MAX_RECEIVES, &value) && value == 1) {
        warnings |= 1u << QE_WARN_MAX_RECEIVES_TOO_LOW;
    }
    if (get(sample, QE_FIELD_IN_FLIGHT_MESSAGES, &value) &&
        get(sample, QE_FIELD_IN_FLIGHT_LIMIT_MESSAGES, &limit) && limit > 0 &&
        value > IN_FLIGHT_NEAR * limit) {
        warnings |= 1u << QE_WARN_IN_FLIGHT_NEAR_LIMIT;
    }
    /* Past the last bound all that is known is that it is longer than that bound. */
    if (isinf(handling_p99_seconds)) {
        handling_p99_seconds = qe_histogram_durations.bounds[qe_histogram_durations.count - 1];
    }
    if (get(sample, QE_FIELD_VISIBILITY_TIMEOUT_SECONDS, &value) && handling_p99_seconds >= 0 &&
        value < handling_p99_seconds) {
        warnings |= 1u << QE_WARN_VISIBILITY_BELOW_HANDLING_TIME;
    }
    return warnings;
}

static bool is_known_empty(const struct qe_sample *sample)
{
    double ready = 0;
    double in_flight = 0;
    double delayed = 0;

    if (!get(sample, QE_FIELD_READY_MESSAGES, &ready) ||
        !get(sample, QE_FIELD_IN_FLIGHT_MESSAGES, &in_flight)) {
        return false;
    }
    /* Brokers without delays do not report any. */
    return ready == 0 && in_flight == 0 &&
           (!get(sample, QE_FIELD_DELAYED_MESSAGES, &delayed) || delayed == 0);
}

/* The longest a message of DLQ `index` may have lived in a queue that links to it. False when one
 * of them does not tell, or is not watched. 0 when nothing links here: then it is no DLQ as far as
 * is known. */
static bool longest_time_before(const struct qe_snapshot *snapshot, size_t index,
                                double *out_seconds)
{
    const struct qe_queue_set *set = snapshot->set;
    double longest = 0;

    if (set->items[index].is_dead_letter_elsewhere) {
        return false;
    }
    for (size_t i = set->link_source_starts[index]; i < set->link_source_starts[index + 1]; i++) {
        double retention = 0;

        if (!get(sample_of(snapshot, set->link_sources[i]), QE_FIELD_RETENTION_SECONDS,
                 &retention)) {
            return false;
        }
        longest = retention > longest ? retention : longest;
    }
    *out_seconds = longest;
    return true;
}

bool qe_derive_expiry_margin(const struct qe_snapshot *snapshot, size_t index, double *out_seconds)
{
    const struct qe_sample *sample = sample_of(snapshot, index);
    double retention = 0;
    double age = 0;
    double before = 0;

    if (!get(sample, QE_FIELD_RETENTION_SECONDS, &retention) ||
        !get(sample, QE_FIELD_OLDEST_AGE_SECONDS, &age) || is_known_empty(sample)) {
        return false;
    }
    if (snapshot->set->items[index].retention_from_first_send &&
        !longest_time_before(snapshot, index, &before)) {
        return false;
    }
    /* An age that was true a while ago is that much more by now, if the message is still there. */
    double margin = retention - before - age - sample->age_lag_seconds;

    /* The message is still there: 0 is a bound as safe as any below it, and says the same. */
    *out_seconds = margin > 0 ? margin : 0;
    return true;
}

static bool depth_of(const struct qe_sample *sample, double *out_messages)
{
    static const enum qe_field fields[] = {QE_FIELD_READY_MESSAGES, QE_FIELD_IN_FLIGHT_MESSAGES,
                                           QE_FIELD_DELAYED_MESSAGES};
    double messages = 0;

    if (!qe_sample_has(sample, QE_FIELD_READY_MESSAGES)) {
        return false; /* without the largest part a sum would be a wrong number, not a lower one */
    }
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        double part = 0;

        messages += get(sample, fields[i], &part) ? part : 0;
    }
    *out_messages = messages;
    return true;
}

bool qe_derive_dead_letter_messages(const struct qe_snapshot *snapshot, size_t index, size_t link,
                                    double *out_messages)
{
    size_t target = snapshot->set->link_targets[index][link];

    return target != SIZE_MAX && snapshot->set->is_dead_letter_queue[target] &&
           depth_of(sample_of(snapshot, target), out_messages);
}

bool qe_derive_own_dead_letter_messages(const struct qe_snapshot *snapshot, size_t index,
                                        double *out_messages)
{
    const struct qe_queue_set *set = snapshot->set;

    return set->is_dead_letter_queue[index] &&
           set->link_source_starts[index] == set->link_source_starts[index + 1] &&
           depth_of(sample_of(snapshot, index), out_messages);
}
