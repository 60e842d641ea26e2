/* The age of the oldest message, bought from CloudWatch: GetMetricData, 500 queues per call.
 *
 * An age is asked for again after its interval, and forgotten when that has failed twice: what is
 * stale disappears. A queue that held nothing needs no age: it is 0.
 * Source: Amazon CloudWatch API Reference, GetMetricData (2010-08-01); Amazon SQS Developer Guide,
 * "Available CloudWatch metrics". */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/sqs/watch.h"
#include "util/mem.h"

#define QUERIES_PER_CALL 500
#define PAGES_MAX 5 /* each may cost as much as the first; one holds all that we ask for */
/* CloudWatch has one value a minute, late by up to a few: the newest of these is taken. */
#define WINDOW_SECONDS 900
/* A queue that has just got its first message: CloudWatch still shows it as it was. */
#define SETTLE_MS INT64_C(120000)
#define STALE_INTERVALS 2
#define STALE_SLACK_MS INT64_C(60000)
#define RETRY_MS INT64_C(60000)
#define LEAST_TIME_MS 250 /* with less than this left, the next poll asks */
#define SKEW_LEAST_MS 2000

/* One queue that is asked for. */
struct query {
    size_t index; /* in the set */
    double at_unix_s;
    double age_seconds;
    bool is_answered;
    bool has_value;
    size_t pages; /* of the call that it is the first of */
};

struct ages {
    struct qe_sqs *sqs;
    struct qe_batch *batch;
    struct qe_sqs_record **records;
    int64_t deadline_mono_ms;
    int64_t now_unix_s;
    struct query *queries; /* owned */
    size_t count;
    size_t next;
    struct qe_err err; /* the first thing that went wrong */
};

/* --- what is known of a queue's age --- */

bool qe_sqs_age_is_wanted(const struct qe_sqs *sqs, const struct qe_sqs_record *record,
                          double observed_age_seconds)
{
    const struct qe_sqs_age_settings *settings = &sqs->settings->oldest_age;

    return settings->method == QE_SQS_AGE_CLOUDWATCH && observed_age_seconds < 0 &&
           record->is_known && (!record->is_empty || settings->empty_queues) &&
           qe_sqs_is_own(sqs->watch, record);
}

void qe_sqs_age_note(const struct qe_sqs *sqs, struct qe_sqs_record *record, bool is_empty)
{
    const int64_t interval_ms = sqs->watch->age_interval_ms;

    if (!sqs->settings->oldest_age.empty_queues && is_empty) {
        record->age_mono_ms = 0;
    }
    if (record->is_known && record->is_empty && !is_empty) {
        record->age_mono_ms = 0;
        record->age_due_mono_ms =
            qe_clock_mono_ms() + (interval_ms < SETTLE_MS ? interval_ms : SETTLE_MS);
    }
}

void qe_sqs_age_apply(const struct qe_sqs *sqs, const struct qe_sqs_record *record,
                      double observed_age_seconds, struct qe_sample *sample)
{
    const int64_t longest_ms = STALE_INTERVALS * sqs->watch->age_interval_ms + STALE_SLACK_MS;
    const int64_t since_ms = qe_clock_mono_ms() - record->age_mono_ms;

    qe_sample_unset(sample, QE_FIELD_OLDEST_AGE_SECONDS);
    sample->age_lag_seconds = 0;
    if (observed_age_seconds >= 0) {
        return; /* our consumer's word, which the poller puts in, is better than any other */
    }
    if (record->age_mono_ms != 0 && since_ms <= longest_ms) {
        qe_sample_set(sample, QE_FIELD_OLDEST_AGE_SECONDS, record->age_seconds);
        sample->age_lag_seconds = (double)(since_ms + record->age_lag_ms) / 1e3;
        sample->age_method = QE_AGE_CLOUDWATCH;
    } else if (record->is_empty) {
        qe_sample_set(sample, QE_FIELD_OLDEST_AGE_SECONDS, 0);
        sample->age_method = QE_AGE_BROKER;
    }
}

/* --- asking --- */

static size_t queries_of_call(const struct ages *ages, size_t first)
{
    return ages->count - first < QUERIES_PER_CALL ? ages->count - first : QUERIES_PER_CALL;
}

static void fill_call(const struct ages *ages, struct qe_aws_call *call, size_t first,
                      const char *token)
{
    struct qe_strbuf *body = &call->body;
    const int64_t end = ages->now_unix_s - ages->now_unix_s % 60;
    const size_t count = queries_of_call(ages, first);

    qe_sqs_call_init(ages->sqs, call, QE_SQS_GET_METRIC_DATA, ages->deadline_mono_ms);
    qe_sqs_call_price(ages->sqs, call, (double)count);
    (void)qe_strbuf_printf(body,
                           "{\"StartTime\":%" PRId64 ",\"EndTime\":%" PRId64
                           ",\"ScanBy\":\"TimestampDescending\",",
                           end - WINDOW_SECONDS, end);
    if (token != NULL) {
        (void)qe_strbuf_append_text(body, "\"NextToken\":");
        qe_sqs_append_text(body, token, strlen(token));
        (void)qe_strbuf_append_char(body, ',');
    }
    (void)qe_strbuf_append_text(body, "\"MetricDataQueries\":[");
    for (size_t i = 0; i < count; i++) {
        const char *name = ages->records[ages->queries[first + i].index]->name;

        (void)qe_strbuf_printf(body,
                               "%s{\"Id\":\"m%zu\",\"MetricStat\":{\"Metric\":{\"Namespace\":"
                               "\"AWS/SQS\",\"MetricName\":\"ApproximateAgeOfOldestMessage\","
                               "\"Dimensions\":[{\"Name\":\"QueueName\",\"Value\":",
                               i == 0 ? "" : ",", i);
        qe_sqs_append_text(body, name, strlen(name));
        (void)qe_strbuf_append_text(body,
                                    "}]},\"Period\":60,\"Stat\":\"Maximum\"},\"ReturnData\":true}");
    }
    (void)qe_strbuf_append_text(body, "]}");
}

static bool next(void *self, struct qe_aws_call *call)
{
    struct ages *ages = self;

    if (ages->next >= ages->count) {
        return false;
    }
    fill_call(ages, call, ages->next, NULL);
    call->context = &ages->queries[ages->next];
    ages->next += queries_of_call(ages, ages->next);
    return true;
}

/* --- answers --- */

/* "m17" among `count`; SIZE_MAX: none of ours. */
static size_t parse_id(const char *id, size_t count)
{
    size_t number = 0;

    if (id == NULL || id[0] != 'm' || id[1] == '\0') {
        return SIZE_MAX;
    }
    for (const char *at = id + 1; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || number >= QUERIES_PER_CALL) {
            return SIZE_MAX;
        }
        number = number * 10 + (size_t)(*at - '0');
    }
    return number < count ? number : SIZE_MAX;
}

/* Keeps the newest value; results of one query may lie on several pages. */
static int take_values(struct query *query, const struct qe_json *result, struct qe_err *err)
{
    const struct qe_json *time = qe_json_first(qe_json_get(result, "Timestamps"));
    const struct qe_json *value = qe_json_first(qe_json_get(result, "Values"));

    for (; time != NULL && value != NULL; time = qe_json_next(time), value = qe_json_next(value)) {
        double at_unix_s = 0;
        double age_seconds = 0;

        if (!qe_json_number(time, &at_unix_s) || !qe_json_number(value, &age_seconds) ||
            age_seconds < 0) {
            return qe_err_set(err, QE_ERR_PROTOCOL, "GetMetricData: a value that is no age");
        }
        if (!query->has_value || at_unix_s > query->at_unix_s) {
            query->has_value = true;
            query->at_unix_s = at_unix_s;
            query->age_seconds = age_seconds;
        }
    }
    return 0;
}

static int take_result(struct ages *ages, struct query *queries, size_t count,
                       const struct qe_json *result, struct qe_err *err)
{
    const char *status = qe_json_text(qe_json_get(result, "StatusCode"));
    const size_t index = parse_id(qe_json_text(qe_json_get(result, "Id")), count);

    if (index == SIZE_MAX) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "GetMetricData: an answer nobody asked for");
    }
    if (status != NULL &&
        (strcmp(status, "Forbidden") == 0 || strcmp(status, "InternalError") == 0)) {
        if (ages->err.code == QE_OK) {
            (void)qe_err_set(&ages->err, status[0] == 'F' ? QE_ERR_AUTH : QE_ERR_NETWORK,
                             "GetMetricData: %s for queue %s", status,
                             ages->records[queries[index].index]->name);
        }
        return 0; /* what was known stays */
    }
    queries[index].is_answered = true;
    return take_values(&queries[index], result, err);
}

static void note_error(struct ages *ages, const struct qe_err *why)
{
    if (ages->err.code == QE_OK) {
        ages->err = *why;
    }
}

/* 1: there is another page, and the call is filled for it. */
static int take_page(struct ages *ages, struct qe_aws_call *call, const struct qe_json *page,
                     struct qe_err *err)
{
    struct query *queries = call->context;
    const size_t first = (size_t)(queries - ages->queries);
    const size_t count = queries_of_call(ages, first);
    const struct qe_json *results = qe_json_get(page, "MetricDataResults");
    const char *token = qe_json_text(qe_json_get(page, "NextToken"));

    if (!qe_json_is_array(results)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "GetMetricData: no results in the answer");
    }
    for (const struct qe_json *at = qe_json_first(results); at != NULL; at = qe_json_next(at)) {
        if (take_result(ages, queries, count, at, err) != 0) {
            return -1;
        }
    }
    if (token == NULL || token[0] == '\0') {
        return 0;
    }
    if (++queries->pages >= PAGES_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "GetMetricData: more than %d pages", PAGES_MAX);
    }
    fill_call(ages, call, first, token);
    return 1;
}

/* A failure here never stops the others, nor the poll: only ages are missing. */
static enum qe_sqs_flow_verdict finished(void *self, struct qe_aws_call *call, struct qe_err *err)
{
    struct ages *ages = self;
    struct qe_json *page = NULL;
    struct qe_err why = {0};

    (void)err;
    if (call->err.code != QE_OK) {
        note_error(ages, &call->err);
        return QE_SQS_FLOW_DONE;
    }
    int rc = qe_sqs_parse(ages->sqs, call, &page, &why);
    if (rc == 0) {
        rc = take_page(ages, call, page, &why);
        if (rc < 0) {
            qe_sqs_count_nonsense(ages->sqs, call, why.code);
        }
    }
    qe_json_destroy(page);
    if (rc < 0) {
        note_error(ages, &why);
    }
    return rc > 0 ? QE_SQS_FLOW_AGAIN : QE_SQS_FLOW_DONE;
}

/* --- a round --- */

static int choose(struct ages *ages, int64_t now_mono_ms, struct qe_err *err)
{
    const size_t count = ages->batch->set->count;

    for (size_t i = 0; i < count; i++) {
        const struct qe_sqs_record *record = ages->records[i];

        if (record->age_due_mono_ms > now_mono_ms ||
            !qe_sqs_age_is_wanted(ages->sqs, record,
                                  ages->batch->entries[i].observed_age_seconds)) {
            continue;
        }
        if (ages->queries == NULL &&
            (ages->queries = qe_calloc(count - i, sizeof *ages->queries)) == NULL) {
            return qe_err_set(err, QE_ERR_NOMEM, "ages of %zu queues", count);
        }
        ages->queries[ages->count++].index = i;
    }
    return 0;
}

/* A value has the time at which its minute began. */
static int64_t lag_ms(const struct ages *ages, const struct query *query)
{
    const double lag_s = (double)ages->now_unix_s - query->at_unix_s;

    return lag_s > 0 ? (int64_t)(fmin(lag_s, 2 * WINDOW_SECONDS) * 1e3) : 0;
}

static void take_ages(struct ages *ages, int64_t now_mono_ms)
{
    const struct qe_sqs_watch *watch = ages->sqs->watch;
    const int64_t due_mono_ms =
        now_mono_ms + watch->age_interval_ms - watch->cadence.poll_interval_ms / 2;

    for (size_t i = 0; i < ages->count; i++) {
        const struct query *query = &ages->queries[i];
        struct qe_sqs_record *record = ages->records[query->index];
        struct qe_batch_entry *entry = &ages->batch->entries[query->index];

        if (!query->is_answered) {
            continue;
        }
        record->age_due_mono_ms = due_mono_ms;
        record->age_mono_ms = query->has_value ? now_mono_ms : 0;
        record->age_seconds = query->age_seconds;
        record->age_lag_ms = lag_ms(ages, query);
        if (entry->error == QE_OK) {
            qe_sqs_age_apply(ages->sqs, record, entry->observed_age_seconds, &entry->sample);
        }
    }
}

static void note_round(struct qe_sqs_watch *watch, const struct qe_err *why, int64_t now_mono_ms)
{
    const int64_t interval_ms = watch->age_interval_ms;

    watch->age_error = *why;
    if (why->code == QE_OK) {
        return;
    }
    (void)qe_err_wrap(&watch->age_error, "ages of the oldest messages");
    watch->ages_pause_mono_ms =
        now_mono_ms + (interval_ms < RETRY_MS || why->code == QE_ERR_AUTH ? interval_ms : RETRY_MS);
}

int qe_sqs_ages_ask(struct qe_sqs *sqs, struct qe_batch *batch, struct qe_sqs_record **records,
                    int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_sqs_watch *watch = sqs->watch;
    const int64_t now_mono_ms = qe_clock_mono_ms();
    const int64_t skew_ms = llabs(sqs->clock_skew_ms) < SKEW_LEAST_MS ? 0 : sqs->clock_skew_ms;
    struct ages ages = {.sqs = sqs,
                        .batch = batch,
                        .records = records,
                        .deadline_mono_ms = deadline_mono_ms,
                        .now_unix_s = (qe_clock_unix_ms() + skew_ms) / 1000};
    const struct qe_sqs_flow flow = {
        .until_mono_ms = deadline_mono_ms, .self = &ages, .next = next, .finished = finished};
    struct qe_err why = {0};

    if (now_mono_ms < watch->ages_pause_mono_ms || deadline_mono_ms - now_mono_ms < LEAST_TIME_MS) {
        return 0;
    }
    if (choose(&ages, now_mono_ms, err) != 0) {
        return -1;
    }
    if (ages.count == 0) {
        watch->age_error = (struct qe_err){0};
        return 0;
    }
    if (qe_sqs_flow_run(sqs, &flow, &why) != 0) {
        note_error(&ages, &why);
    }
    const bool is_cancelled = why.code == QE_ERR_CANCELLED;

    if (!is_cancelled) {
        take_ages(&ages, now_mono_ms);
        note_round(watch, &ages.err, now_mono_ms);
    }
    qe_free(ages.queries);
    if (is_cancelled) {
        *err = why;
        return -1;
    }
    return 0;
}
