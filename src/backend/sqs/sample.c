/* One poll: which queues are due, their attributes, their ages, and what all of it may cost. */
#include <string.h>

#include "backend/sqs/watch.h"
#include "util/mem.h"

struct sampling {
    struct qe_sqs *sqs;
    struct qe_sqs_watch *watch;
    struct qe_batch *batch;
    int64_t deadline_mono_ms;
    struct qe_cadence_now now;
    size_t due_count;
    size_t good_count;
};

/* --- which record belongs to which queue of the set --- */

static int make_room(struct qe_sqs_watch *watch, size_t count, struct qe_err *err)
{
    if (count <= watch->records_capacity) {
        return 0;
    }
    struct qe_sqs_record **records = qe_calloc(count, sizeof(struct qe_sqs_record *));
    struct qe_sqs_record **due = qe_calloc(count, sizeof(struct qe_sqs_record *));
    size_t *due_indexes = qe_calloc(count, sizeof *due_indexes);

    if (records == NULL || due == NULL || due_indexes == NULL) {
        qe_free(records);
        qe_free(due);
        qe_free(due_indexes);
        return qe_err_set(err, QE_ERR_NOMEM, "sample of %zu queues", count);
    }
    qe_free(watch->records);
    qe_free(watch->due);
    qe_free(watch->due_indexes);
    watch->records = records;
    watch->due = due;
    watch->due_indexes = due_indexes;
    watch->records_capacity = count;
    return 0;
}

/* A queue that no list of this handle had: its address, or else its name, is all there is. */
static struct qe_sqs_record *adopt(struct qe_sqs_watch *watch, const struct qe_queue *queue,
                                   struct qe_err *err)
{
    struct qe_sqs_record *record =
        queue->address[0] != '\0' ? qe_sqs_registry_url(&watch->registry, queue->address, err)
                                  : qe_sqs_registry_add(&watch->registry, NULL, queue->name, err);

    if (record == NULL ||
        qe_sqs_registry_set(&watch->registry, record, QE_SQS_BY_LABEL, queue->name, err) != 0) {
        return NULL;
    }
    record->generation = watch->generation;
    return record;
}

static int map_records(struct sampling *sampling, struct qe_err *err)
{
    struct qe_sqs_watch *watch = sampling->watch;
    const struct qe_queue_set *set = sampling->batch->set;

    if (make_room(watch, set->count, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < set->count; i++) {
        watch->records[i] =
            qe_sqs_registry_find(&watch->registry, QE_SQS_BY_LABEL, set->items[i].name);
        if (watch->records[i] == NULL) {
            watch->records[i] = adopt(watch, &set->items[i], err);
        }
        if (watch->records[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* --- how often, for how much --- */

/* The driver is not told the interval: it is what lies between two polls, smoothed. */
static void note_poll(struct sampling *sampling)
{
    struct qe_sqs_watch *watch = sampling->watch;
    const int64_t now_mono_ms = qe_clock_mono_ms();
    const double passed_ms = (double)(now_mono_ms - watch->poll_mono_ms);

    if (watch->poll_mono_ms != 0) {
        watch->poll_interval_ms +=
            (passed_ms - watch->poll_interval_ms) * (watch->poll_interval_ms > 0 ? 0.25 : 1);
    }
    watch->poll_mono_ms = now_mono_ms;
    watch->poll++;
    watch->cadence.poll_interval_ms = (int64_t)watch->poll_interval_ms;
    sampling->now = (struct qe_cadence_now){.mono_ms = now_mono_ms, .poll = watch->poll};
}

static double spent_dollars(const struct qe_api_stats *stats)
{
    uint64_t nanodollars = 0;

    for (size_t i = 0; i < QE_SQS_BILLED_COUNT; i++) {
        nanodollars += qe_counter_get(&stats->cost_nanodollars[i]);
    }
    return (double)nanodollars / 1e9;
}

static void count_queues(const struct sampling *sampling, struct qe_budget_input *input)
{
    const struct qe_batch *batch = sampling->batch;

    for (size_t i = 0; i < batch->set->count; i++) {
        const struct qe_sqs_record *record = sampling->watch->records[i];

        if (record->cadence.is_busy || record->cadence.read_mono_ms == 0) {
            input->busy_queues++;
        } else {
            input->quiet_queues++;
            input->quiet_reads_per_poll +=
                1.0 / (record->cadence.period < 1 ? 1 : record->cadence.period);
        }
        input->age_queues +=
            qe_sqs_age_is_wanted(sampling->sqs, record, batch->entries[i].observed_age_seconds) ? 1
                                                                                                : 0;
    }
}

static void plan_costs(struct sampling *sampling)
{
    struct qe_sqs_watch *watch = sampling->watch;
    struct qe_api_stats *stats = sampling->sqs->stats;
    const struct qe_sqs_settings *settings = sampling->sqs->settings;
    struct qe_budget_input input = {
        .monthly_dollars = settings->cost.monthly_budget_dollars,
        .dollars_per_request = settings->cost.sqs_dollars_per_million / 1e6,
        .dollars_per_metric = settings->cost.cloudwatch_dollars_per_thousand / 1e3,
        .poll_interval_ms = watch->cadence.poll_interval_ms,
        .longest_period = qe_cadence_longest(&watch->cadence),
        .age_interval_ms = settings->oldest_age.interval_ms};
    struct qe_budget_plan plan;

    if (input.monthly_dollars <= 0 || input.poll_interval_ms <= 0) {
        return;
    }
    if (stats != NULL) {
        qe_budget_meter_note(&watch->meter, spent_dollars(stats) - sampling->sqs->watch_dollars,
                             sampling->now.mono_ms);
    }
    input.other_dollars_per_month = watch->meter.dollars_per_month;
    count_queues(sampling, &input);
    qe_budget_plan(&input, &plan);
    watch->cadence.quiet_floor = plan.quiet_floor;
    watch->cadence.busy_floor = plan.busy_floor;
    watch->age_interval_ms = plan.age_interval_ms;
    if (stats != NULL) {
        atomic_store(&stats->interval_stretch_permille[QE_SQS_BILLED_SQS],
                     plan.reads_stretch_permille);
        atomic_store(&stats->interval_stretch_permille[QE_SQS_BILLED_CLOUDWATCH],
                     plan.ages_stretch_permille);
    }
}

/* --- readings --- */

static uint64_t fingerprint_of(const struct qe_sample *sample)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ sample->known;

    for (size_t field = 0; field < QE_FIELD_COUNT; field++) {
        uint64_t bits = 0;

        if (qe_sample_has(sample, (enum qe_field)field)) {
            memcpy(&bits, &sample->values[field], sizeof bits);
            hash = (hash ^ bits ^ (bits >> 29)) * UINT64_C(1099511628211);
        }
    }
    return hash;
}

static void take_reading(struct sampling *sampling, size_t index,
                         const struct qe_sqs_attributes *read)
{
    struct qe_batch *batch = sampling->batch;
    struct qe_batch_entry *entry = &batch->entries[index];
    struct qe_sqs_record *record = sampling->watch->records[index];
    struct qe_sample sample = read->sample;
    const struct qe_cadence_reading reading = {.is_busy = !record->is_empty ||
                                                          batch->set->is_dead_letter_queue[index] ||
                                                          entry->observed_age_seconds >= 0,
                                               .fingerprint = fingerprint_of(&read->sample)};

    qe_sqs_age_apply(sampling->sqs, record, entry->observed_age_seconds, &sample);
    qe_batch_set(batch, index, &sample);
    entry->extra_wait_ms = qe_cadence_read(&record->cadence, &sampling->watch->cadence,
                                           sampling->now, reading, record->spread);
    sampling->good_count++;
}

static void read_done(void *self, size_t index, const struct qe_sqs_attributes *read,
                      const struct qe_err *why)
{
    struct sampling *sampling = self;
    const size_t in_set = sampling->watch->due_indexes[index];

    if (read != NULL) {
        take_reading(sampling, in_set, read);
    } else {
        qe_batch_fail(sampling->batch, in_set, why);
    }
}

static void add_due(struct sampling *sampling, size_t index)
{
    struct qe_sqs_watch *watch = sampling->watch;

    watch->due[sampling->due_count] = watch->records[index];
    watch->due_indexes[sampling->due_count] = index;
    sampling->due_count++;
}

/* Sorts the queues into those that list() has just read, those that are due, and the rest. Begins
 * at another one each time, so that a deadline that is too short does not always hit the same. */
static void choose(struct sampling *sampling)
{
    struct qe_sqs_watch *watch = sampling->watch;
    struct qe_batch *batch = sampling->batch;
    const size_t count = batch->set->count;
    const bool is_same_round = watch->learn_deadline_mono_ms == sampling->deadline_mono_ms;
    const size_t first = count == 0 ? 0 : (size_t)(watch->poll * UINT64_C(2654435761) % count);
    size_t probe = SIZE_MAX; /* the queue that was read longest ago, of those that can be read */
    bool has_readable = false;

    for (size_t n = 0; n < count; n++) {
        const size_t i = first + n < count ? first + n : first + n - count;
        struct qe_sqs_record *record = watch->records[i];
        const int64_t read_mono_ms = record->cadence.read_mono_ms;

        if (is_same_round && record->fresh != NULL) {
            take_reading(sampling, i, record->fresh);
            has_readable = true;
        } else if (qe_cadence_is_due(&record->cadence, &watch->cadence, sampling->now)) {
            add_due(sampling, i);
            has_readable = has_readable || read_mono_ms != 0;
        } else {
            qe_batch_skip(batch, i);
            if (probe == SIZE_MAX || read_mono_ms < watch->records[probe]->cadence.read_mono_ms) {
                probe = i;
            }
        }
        qe_free(record->fresh);
        record->fresh = NULL;
    }
    /* A poll that asks nobody, or only those that cannot be read anyway, would not see that the
     * source is down, or that it is not. */
    if (!has_readable && probe != SIZE_MAX) {
        batch->entries[probe].skipped = false;
        batch->entries[probe].error = QE_ERR_TIMEOUT;
        add_due(sampling, probe);
    }
}

/* What was not answered for has the reason that stopped everything. */
static void fail_rest(struct sampling *sampling, const struct qe_err *why)
{
    for (size_t i = 0; i < sampling->due_count; i++) {
        const size_t index = sampling->watch->due_indexes[i];

        if (sampling->batch->entries[index].error == QE_ERR_TIMEOUT) {
            qe_batch_fail(sampling->batch, index, why);
        }
    }
}

static int read_due(struct sampling *sampling, struct qe_err *err)
{
    struct qe_sqs_reader reader = {.sqs = sampling->sqs,
                                   .deadline_mono_ms = sampling->deadline_mono_ms,
                                   .until_mono_ms = sampling->deadline_mono_ms,
                                   .records = sampling->watch->due,
                                   .count = sampling->due_count,
                                   .self = sampling,
                                   .done = read_done};
    struct qe_err why = {0};

    if (qe_sqs_read_queues(&reader, &why) != 0) {
        if (why.code == QE_ERR_CANCELLED || sampling->good_count == 0) {
            *err = why;
            return -1;
        }
        fail_rest(sampling, &why);
    }
    sampling->batch->relist = sampling->batch->relist || reader.facts_changed;
    return 0;
}

int qe_sqs_sample(void *self, int64_t deadline_mono_ms, struct qe_batch *out, struct qe_err *err)
{
    struct qe_sqs *sqs = self;
    struct sampling sampling = {.sqs = sqs, .batch = out, .deadline_mono_ms = deadline_mono_ms};

    if (qe_sqs_watch_open(sqs, err) != 0) {
        return -1;
    }
    sampling.watch = sqs->watch;
    note_poll(&sampling);
    if (map_records(&sampling, err) != 0) {
        return -1;
    }
    plan_costs(&sampling);
    choose(&sampling);
    if (read_due(&sampling, err) != 0 ||
        qe_sqs_ages_ask(sqs, out, sampling.watch->records, deadline_mono_ms, err) != 0) {
        return -1;
    }
    if (qe_sqs_tags_exchange(sqs, sampling.watch->records, out->set->count)) {
        out->relist = true;
    }
    /* Every queue may be well, and still their ages are not to be had: that is worth saying. */
    if (out->first_error.code == QE_OK) {
        out->first_error = sampling.watch->age_error;
    }
    return 0;
}
