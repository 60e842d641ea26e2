/* A made AWS, and a made clock, under the watching half of the driver: this header defines what
 * aws/call.h, aws/credentials.h and util/clock.h declare, so that the linker takes none of the real
 * ones. Nothing waits, nothing is sent; calls are answered in the order in which they were begun.
 *
 * One test program includes it once. */
#ifndef QE_TESTS_UNIT_BACKEND_SQS_FAKE_H
#define QE_TESTS_UNIT_BACKEND_SQS_FAKE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/sqs/watch.h"
#include "support/check.h"
#include "util/mem.h"

#define REGION "eu-west-1"
#define OWN "111111111111"
#define OTHER "222222222222"
#define START_MONO_MS INT64_C(1000000)
#define START_UNIX_MS INT64_C(1795311000000) /* a whole minute */

/* --- the clock --- */

static _Atomic int64_t s_mono_us = START_MONO_MS * 1000;

int64_t qe_clock_mono_us(void)
{
    return s_mono_us;
}

int64_t qe_clock_mono_ms(void)
{
    return s_mono_us / 1000;
}

int64_t qe_clock_unix_ms(void)
{
    return START_UNIX_MS + s_mono_us / 1000 - START_MONO_MS;
}

int qe_clock_cond_init(pthread_cond_t *cond)
{
    return pthread_cond_init(cond, NULL);
}

/* Short pauses pass at once; a wait for work really waits, but looks up now and then. */
bool qe_clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_mono_ms)
{
    struct timespec until = {0};

    if (deadline_mono_ms - qe_clock_mono_ms() <= 1000) {
        s_mono_us = deadline_mono_ms * 1000;
        return false;
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += until.tv_nsec < 980000000 ? 20000000 : 0;
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}

static inline void pass_ms(int64_t ms)
{
    s_mono_us += ms * 1000;
}

/* --- the queues --- */

struct fake_queue {
    const char *name;
    const char *account; /* NULL: OWN */
    unsigned ready;
    unsigned in_flight;
    unsigned delayed;
    unsigned retention;          /* 0: four days */
    const char *dead_letter_arn; /* NULL: none */
    bool is_hidden;              /* not listed */
    bool is_gone;
    enum qe_err_code refusal; /* of GetQueueAttributes; QE_OK: none */
    const char *refusal_code;
    const char *garbage;    /* the answer, when not NULL */
    const char *tags;       /* a JSON object; NULL: not allowed */
    double age;             /* CloudWatch's; 0: no value */
    const char *age_status; /* NULL: "Complete" */
};

#define FAKE_QUEUES_MAX 2000
#define FAKE_CALLS_MAX 64

struct fake {
    struct fake_queue queues[FAKE_QUEUES_MAX];
    size_t queues_count;
    size_t page_size; /* of ListQueues; 0: 1000 */
    bool has_endless_pages;
    const char *unknown_attribute; /* refused with InvalidAttributeName; "*": whatever is named */
    bool is_silent_about_it;       /* and does not say which */
    enum qe_err_code credentials;  /* why nothing can be begun */
    enum qe_err_code everything;   /* why every call fails; with: */
    const char *everything_code;
    enum qe_err_code ages;    /* why GetMetricData fails */
    const char *ages_garbage; /* GetMetricData's answer, when not NULL */
    bool ages_in_pages;       /* each value of a query on a page of its own */
    bool has_raw;             /* every answer to raw_operation is these bytes */
    enum qe_sqs_operation raw_operation;
    const void *raw;
    size_t raw_bytes;
    int64_t call_us;        /* what one call takes */
    size_t interrupt_after; /* so many answers; 0: never */

    struct qe_aws_observer observer;
    struct qe_aws_call *in_flight[FAKE_CALLS_MAX];
    size_t in_flight_count;
    size_t in_flight_most;
    size_t calls[QE_SQS_OPERATION_COUNT];
    size_t answers;
    size_t metrics_asked;
    bool is_interrupted;
    char last_list_body[512];
    char last_attributes_body[1024];
};
static struct fake s_fake;
/* Guards s_fake where the tagger's thread asks. */
static pthread_mutex_t s_fake_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *account_of(const struct fake_queue *queue)
{
    return queue->account == NULL ? OWN : queue->account;
}

static struct fake_queue *add_queue(const char *name)
{
    struct fake_queue *queue = &s_fake.queues[s_fake.queues_count++];

    *queue = (struct fake_queue){.name = name};
    return queue;
}

static void print_url(const struct fake_queue *queue, char *out, size_t out_bytes)
{
    (void)snprintf(out, out_bytes, "https://sqs." REGION ".amazonaws.com/%s/%s", account_of(queue),
                   queue->name);
}

static struct fake_queue *queue_of_url(const char *url)
{
    char own[256];

    for (size_t i = 0; i < s_fake.queues_count; i++) {
        print_url(&s_fake.queues[i], own, sizeof own);
        if (strcmp(own, url) == 0) {
            return &s_fake.queues[i];
        }
    }
    return NULL;
}

/* --- answers --- */

static void answer_error(struct qe_aws_call *call, enum qe_err_code why, const char *code,
                         const char *message)
{
    (void)snprintf(call->code, sizeof call->code, "%s", code == NULL ? "" : code);
    (void)qe_err_set(&call->err, why, "%s: %s: %s", call->target, call->code, message);
    call->status = 400;
}

static void answer_list(struct qe_aws_call *call, const struct qe_json *body)
{
    const char *prefix = qe_json_text(qe_json_get(body, "QueueNamePrefix"));
    const char *token = qe_json_text(qe_json_get(body, "NextToken"));
    const size_t page = s_fake.page_size == 0 ? 1000 : s_fake.page_size;
    size_t at = token == NULL ? 0 : (size_t)strtoul(token, NULL, 10);
    size_t shown = 0;
    char url[256];

    (void)snprintf(s_fake.last_list_body, sizeof s_fake.last_list_body, "%s",
                   qe_strbuf_text(&call->body));
    (void)qe_strbuf_append_text(&call->reply_body, "{\"QueueUrls\":[");
    for (; at < s_fake.queues_count && shown < page; at++) {
        const struct fake_queue *queue = &s_fake.queues[at];

        if (queue->is_hidden || queue->account != NULL ||
            (prefix != NULL && strncmp(queue->name, prefix, strlen(prefix)) != 0)) {
            continue;
        }
        print_url(queue, url, sizeof url);
        (void)qe_strbuf_printf(&call->reply_body, "%s\"%s\"", shown++ == 0 ? "" : ",", url);
    }
    (void)qe_strbuf_append_char(&call->reply_body, ']');
    if (s_fake.has_endless_pages) {
        at = 0;
    }
    if (at < s_fake.queues_count) {
        (void)qe_strbuf_printf(&call->reply_body, ",\"NextToken\":\"%zu\"", at);
    }
    (void)qe_strbuf_append_char(&call->reply_body, '}');
}

static void answer_url(struct qe_aws_call *call, const struct qe_json *body)
{
    const char *name = qe_json_text(qe_json_get(body, "QueueName"));
    char url[256];

    for (size_t i = 0; i < s_fake.queues_count; i++) {
        const struct fake_queue *queue = &s_fake.queues[i];

        if (queue->account == NULL && !queue->is_gone && strcmp(queue->name, name) == 0) {
            print_url(queue, url, sizeof url);
            (void)qe_strbuf_printf(&call->reply_body, "{\"QueueUrl\":\"%s\"}", url);
            return;
        }
    }
    answer_error(call, QE_ERR_NOT_FOUND, "QueueDoesNotExist", "no such queue");
}

static bool refuses_attribute(struct qe_aws_call *call)
{
    const char *body = qe_strbuf_text(&call->body);
    const char *unknown = s_fake.unknown_attribute;
    char message[128] = "Unknown Attribute.";

    if (unknown == NULL || strstr(body, "[\"All\"]") != NULL ||
        (unknown[0] != '*' && strstr(body, unknown) == NULL)) {
        return false;
    }
    if (!s_fake.is_silent_about_it) {
        (void)snprintf(message, sizeof message, "Unknown Attribute %s.", unknown);
    }
    answer_error(call, QE_ERR_INVALID, "InvalidAttributeName", message);
    return true;
}

static void answer_attributes(struct qe_aws_call *call, const struct qe_json *body)
{
    const struct fake_queue *queue = queue_of_url(qe_json_text(qe_json_get(body, "QueueUrl")));
    struct qe_strbuf *reply = &call->reply_body;
    const size_t name_bytes = queue == NULL ? 0 : strlen(queue->name);

    (void)snprintf(s_fake.last_attributes_body, sizeof s_fake.last_attributes_body, "%s",
                   qe_strbuf_text(&call->body));
    if (queue == NULL || queue->is_gone) {
        answer_error(call, QE_ERR_NOT_FOUND, "QueueDoesNotExist", "no such queue");
        return;
    }
    if (queue->refusal != QE_OK) {
        answer_error(call, queue->refusal, queue->refusal_code, "no");
        return;
    }
    if (queue->garbage != NULL) {
        (void)qe_strbuf_append_text(reply, queue->garbage);
        return;
    }
    if (refuses_attribute(call)) {
        return;
    }
    (void)qe_strbuf_printf(
        reply,
        "{\"Attributes\":{\"ApproximateNumberOfMessages\":\"%u\","
        "\"ApproximateNumberOfMessagesNotVisible\":\"%u\","
        "\"ApproximateNumberOfMessagesDelayed\":\"%u\",\"VisibilityTimeout\":\"30\","
        "\"MessageRetentionPeriod\":\"%u\",\"DelaySeconds\":\"0\","
        "\"QueueArn\":\"arn:aws:sqs:" REGION ":%s:%s\"",
        queue->ready, queue->in_flight, queue->delayed,
        queue->retention == 0 ? 345600 : queue->retention, account_of(queue), queue->name);
    if (name_bytes > 5 && strcmp(queue->name + name_bytes - 5, ".fifo") == 0) {
        (void)qe_strbuf_append_text(reply, ",\"FifoQueue\":\"true\"");
    }
    if (queue->dead_letter_arn != NULL) {
        (void)qe_strbuf_printf(reply,
                               ",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"%s\\\","
                               "\\\"maxReceiveCount\\\":5}\"",
                               queue->dead_letter_arn);
    }
    (void)qe_strbuf_append_text(reply, "}}");
}

static const struct fake_queue *queue_of_query(const struct qe_json *query)
{
    const struct qe_json *metric = qe_json_get(qe_json_get(query, "MetricStat"), "Metric");
    const struct qe_json *dimension = qe_json_first(qe_json_get(metric, "Dimensions"));
    const char *name = qe_json_text(qe_json_get(dimension, "Value"));

    assert_string_equal(qe_json_text(qe_json_get(metric, "Namespace")), "AWS/SQS");
    assert_string_equal(qe_json_text(qe_json_get(dimension, "Name")), "QueueName");
    for (size_t i = 0; i < s_fake.queues_count; i++) {
        /* an account's own queues are all that CloudWatch knows */
        if (s_fake.queues[i].account == NULL && strcmp(s_fake.queues[i].name, name) == 0) {
            return &s_fake.queues[i];
        }
    }
    return NULL;
}

/* An older, higher value on the page before the newest: order and pages must not matter. */
static void answer_ages(struct qe_aws_call *call, const struct qe_json *body)
{
    const bool is_second = qe_json_get(body, "NextToken") != NULL;
    const bool has_both = !s_fake.ages_in_pages;
    const char *separator = "";
    double start = 0;
    double end = 0;

    if (s_fake.ages != QE_OK) {
        answer_error(call, s_fake.ages, "AccessDenied", "no cloudwatch:GetMetricData");
        return;
    }
    if (s_fake.ages_garbage != NULL) {
        (void)qe_strbuf_append_text(&call->reply_body, s_fake.ages_garbage);
        return;
    }
    assert_true(qe_json_number(qe_json_get(body, "StartTime"), &start));
    assert_true(qe_json_number(qe_json_get(body, "EndTime"), &end));
    assert_double_equal(end - start, 900);
    assert_true((int64_t)end % 60 == 0 && (int64_t)end <= qe_clock_unix_ms() / 1000);
    (void)qe_strbuf_append_text(&call->reply_body, "{\"MetricDataResults\":[");
    for (const struct qe_json *query = qe_json_first(qe_json_get(body, "MetricDataQueries"));
         query != NULL; query = qe_json_next(query)) {
        const struct fake_queue *queue = queue_of_query(query);

        s_fake.metrics_asked += is_second ? 0 : 1;
        (void)qe_strbuf_printf(&call->reply_body, "%s{\"Id\":\"%s\",\"StatusCode\":\"%s\"",
                               separator, qe_json_text(qe_json_get(query, "Id")),
                               queue == NULL || queue->age_status == NULL ? "Complete"
                                                                          : queue->age_status);
        separator = ",";
        if (queue == NULL || queue->age <= 0) {
            (void)qe_strbuf_append_text(&call->reply_body, ",\"Timestamps\":[],\"Values\":[]}");
        } else if (has_both) {
            (void)qe_strbuf_printf(&call->reply_body,
                                   ",\"Timestamps\":[%.0f,%.0f],\"Values\":[9999,%g]}", end - 120,
                                   end - 60, queue->age);
        } else {
            (void)qe_strbuf_printf(&call->reply_body, ",\"Timestamps\":[%.0f],\"Values\":[%g]}",
                                   is_second ? end - 120 : end - 60, is_second ? 9999 : queue->age);
        }
    }
    (void)qe_strbuf_append_char(&call->reply_body, ']');
    if (s_fake.ages_in_pages && !is_second) {
        (void)qe_strbuf_append_text(&call->reply_body, ",\"NextToken\":\"more\"");
    }
    (void)qe_strbuf_append_char(&call->reply_body, '}');
}

static void answer_tags(struct qe_aws_call *call, const struct qe_json *body)
{
    const struct fake_queue *queue = queue_of_url(qe_json_text(qe_json_get(body, "QueueUrl")));

    if (queue == NULL || queue->tags == NULL) {
        answer_error(call, QE_ERR_AUTH, "AccessDenied", "no sqs:ListQueueTags");
        return;
    }
    (void)qe_strbuf_printf(&call->reply_body, "{\"Tags\":%s}", queue->tags);
}

static void answer(struct qe_aws_call *call)
{
    struct qe_err err = {0};
    struct qe_json *body = NULL;

    call->status = 200;
    if (s_fake.everything != QE_OK) {
        answer_error(call, s_fake.everything, s_fake.everything_code, "no");
        return;
    }
    if (s_fake.has_raw && call->operation == s_fake.raw_operation) {
        (void)qe_strbuf_append(&call->reply_body, s_fake.raw, s_fake.raw_bytes);
        return;
    }
    body = qe_json_parse(qe_strbuf_text(&call->body), call->body.length_bytes, &err);
    if (body == NULL) {
        assert_int_equal(err.code, QE_ERR_NOMEM);
        call->err = err;
        return;
    }
    if (call->operation == QE_SQS_LIST_QUEUES) {
        answer_list(call, body);
    } else if (call->operation == QE_SQS_GET_QUEUE_URL) {
        answer_url(call, body);
    } else if (call->operation == QE_SQS_GET_QUEUE_ATTRIBUTES) {
        answer_attributes(call, body);
    } else if (call->operation == QE_SQS_LIST_QUEUE_TAGS) {
        answer_tags(call, body);
    } else {
        answer_ages(call, body);
    }
    qe_json_destroy(body);
    if (call->err.code == QE_OK) {
        (void)!qe_strbuf_error(&call->reply_body, &call->err);
    }
}

/* --- aws/call.h --- */

struct qe_aws_client {
    char nothing;
};
static struct qe_aws_client s_client;

struct qe_aws_client *qe_aws_client_new(const struct qe_aws_client_options *options,
                                        struct qe_err *err)
{
    (void)err;
    s_fake.observer = options->observer;
    return &s_client;
}

void qe_aws_client_destroy(struct qe_aws_client *client)
{
    (void)client;
}

void qe_aws_call_reset(struct qe_aws_call *call)
{
    call->err = (struct qe_err){0};
    call->status = 0;
    call->code[0] = '\0';
    call->legacy_code[0] = '\0';
    qe_strbuf_reset(&call->reply_body);
}

void qe_aws_call_deinit(struct qe_aws_call *call)
{
    qe_strbuf_deinit(&call->body);
    qe_strbuf_deinit(&call->reply_body);
    *call = (struct qe_aws_call){0};
}

bool qe_aws_call_has_code(const struct qe_aws_call *call, const char *code)
{
    return strcmp(call->code, code) == 0;
}

int qe_aws_start(struct qe_aws_client *client, struct qe_aws_call *call, struct qe_err *err)
{
    (void)client;
    if (s_fake.credentials != QE_OK) {
        return qe_err_set(err, s_fake.credentials, "no credentials");
    }
    pthread_mutex_lock(&s_fake_lock);
    assert_true(s_fake.in_flight_count < FAKE_CALLS_MAX);
    s_fake.in_flight[s_fake.in_flight_count++] = call;
    if (s_fake.in_flight_count > s_fake.in_flight_most) {
        s_fake.in_flight_most = s_fake.in_flight_count;
    }
    pthread_mutex_unlock(&s_fake_lock);
    return 0;
}

static enum qe_http_event wait_locked(int64_t until_mono_ms, bool interruptible,
                                      struct qe_aws_call **out_call)
{
    if (interruptible && s_fake.is_interrupted) {
        s_fake.is_interrupted = false;
        return QE_HTTP_INTERRUPTED;
    }
    if (s_fake.in_flight_count == 0) {
        if (until_mono_ms == 0) {
            return QE_HTTP_IDLE;
        }
        if (until_mono_ms > qe_clock_mono_ms()) {
            s_mono_us = until_mono_ms * 1000;
        }
        return QE_HTTP_TIME;
    }
    struct qe_aws_call *call = s_fake.in_flight[0];

    memmove(s_fake.in_flight, s_fake.in_flight + 1,
            --s_fake.in_flight_count * sizeof(struct qe_aws_call *));
    s_mono_us += s_fake.call_us;
    s_fake.calls[call->operation]++;
    s_fake.answers++;
    if (qe_clock_mono_ms() > call->deadline_mono_ms) {
        answer_error(call, QE_ERR_TIMEOUT, "", "no answer in time");
    } else {
        answer(call);
    }
    s_fake.observer.billed(s_fake.observer.self, call);
    s_fake.observer.attempt(s_fake.observer.self, call, call->err.code, 0.01);
    if (s_fake.interrupt_after != 0 && s_fake.answers == s_fake.interrupt_after) {
        atomic_store(&((struct qe_sqs *)s_fake.observer.self)->interrupted, true);
        s_fake.is_interrupted = true;
    }
    *out_call = call;
    return QE_HTTP_REPLY;
}

enum qe_http_event qe_aws_wait(struct qe_aws_client *client, int64_t until_mono_ms,
                               bool interruptible, struct qe_aws_call **out_call)
{
    (void)client;
    pthread_mutex_lock(&s_fake_lock);
    const enum qe_http_event event = wait_locked(until_mono_ms, interruptible, out_call);
    pthread_mutex_unlock(&s_fake_lock);
    return event;
}

void qe_aws_abort(struct qe_aws_client *client)
{
    (void)client;
    s_fake.in_flight_count = 0;
}

void qe_aws_client_interrupt(struct qe_aws_client *client)
{
    (void)client;
    pthread_mutex_lock(&s_fake_lock);
    s_fake.is_interrupted = true;
    pthread_mutex_unlock(&s_fake_lock);
}

int qe_aws_do(struct qe_aws_client *client, struct qe_aws_call *call, struct qe_err *err)
{
    (void)client;
    (void)call;
    return qe_err_set(err, QE_ERR_UNSUPPORTED, "watching must be interruptible");
}

int64_t qe_aws_provider_expires_unix_ms(struct qe_aws_provider *provider)
{
    (void)provider;
    return 0;
}

uint64_t qe_aws_provider_refresh_failures(struct qe_aws_provider *provider)
{
    (void)provider;
    return 0;
}

/* --- a handle --- */

struct rig {
    struct qe_sqs_settings settings;
    struct qe_sqs sqs;
    struct qe_stats *registry;
    struct qe_queue_set *set;
    struct qe_batch batch;
    int64_t deadline_mono_ms;
};

static const char *const s_fake_operations[QE_SQS_OPERATION_COUNT] = {
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"};
static const char *const s_fake_services[] = {"sqs", "cloudwatch", NULL};

static void rig_init(struct rig *rig)
{
    const struct qe_api_names names = {s_fake_operations, QE_SQS_OPERATION_COUNT, s_fake_services};
    struct qe_err err = {0};

    memset(&s_fake, 0, sizeof s_fake);
    s_mono_us = START_MONO_MS * 1000;
    *rig = (struct rig){0};
    assert_ok(qe_section_set_defaults(&qe_sqs_section, &rig->settings, &err), err);
    rig->registry = qe_stats_new(&err);
    assert_non_null(rig->registry);
    rig->sqs.settings = &rig->settings;
    rig->sqs.stats = qe_stats_api(rig->registry, "test", &names, &err);
    assert_non_null(rig->sqs.stats);
    rig->sqs.client = qe_sqs_client_new(&rig->sqs, &err);
}

static void rig_deinit(struct rig *rig)
{
    qe_batch_deinit(&rig->batch);
    qe_queue_set_release(rig->set);
    qe_sqs_watch_destroy(rig->sqs.watch);
    qe_section_deinit(&qe_sqs_section, &rig->settings);
    qe_stats_destroy(rig->registry);
}

/* Adds one item to a list of the settings. */
static inline void add_text(struct qe_text_list *list, const char *text)
{
    char **items = qe_reallocarray(list->items, list->count + 1, sizeof *items);

    assert_non_null(items);
    list->items = items;
    list->items[list->count] = qe_strdup(text);
    assert_non_null(list->items[list->count++]);
}

static inline int list(struct rig *rig, struct qe_err *err)
{
    struct qe_queue_list queues = {0};

    if (qe_sqs_list(&rig->sqs, rig->deadline_mono_ms, &queues, err) != 0) {
        assert_int_equal(queues.count, 0);
        qe_queue_list_deinit(&queues);
        return -1;
    }
    struct qe_queue_set *set = qe_queue_set_new_take(&queues, err);

    qe_queue_list_deinit(&queues);
    if (set == NULL) {
        return -1;
    }
    qe_queue_set_release(rig->set);
    rig->set = set;
    return 0;
}

static inline int sample(struct rig *rig, struct qe_err *err)
{
    qe_batch_deinit(&rig->batch);
    return qe_batch_init(&rig->batch, rig->set, err) == 0
               ? qe_sqs_sample(&rig->sqs, rig->deadline_mono_ms, &rig->batch, err)
               : -1;
}

static inline void begin_round(struct rig *rig)
{
    rig->deadline_mono_ms = qe_clock_mono_ms() + 10000;
}

/* One poll as the poller does it. */
static inline void poll_once(struct rig *rig)
{
    struct qe_err err = {0};

    begin_round(rig);
    if (rig->set == NULL || rig->batch.relist) {
        assert_ok(list(rig, &err), err);
    }
    assert_ok(sample(rig, &err), err);
}

static inline const struct qe_queue *queue_named(const struct rig *rig, const char *name)
{
    const size_t index = qe_queue_set_find(rig->set, NULL, name);

    return index == SIZE_MAX ? NULL : &rig->set->items[index];
}

static inline const struct qe_batch_entry *entry_of(const struct rig *rig, const char *name)
{
    const size_t index = qe_queue_set_find(rig->set, NULL, name);

    assert_true(index != SIZE_MAX);
    return &rig->batch.entries[index];
}

/* -1: not known. */
static inline double field(const struct rig *rig, const char *name, enum qe_field which)
{
    const struct qe_batch_entry *entry = entry_of(rig, name);

    assert_int_equal(entry->error, QE_OK);
    return qe_sample_has(&entry->sample, which) ? entry->sample.values[which] : -1;
}

static inline double age(const struct rig *rig, const char *name)
{
    return field(rig, name, QE_FIELD_OLDEST_AGE_SECONDS);
}

#endif
