/* A made AWS, and a made clock, under the watching half of the driver: this header defines what
 * aws/call.h, aws/credentials.h and util/clock.h declare, so that the linker takes none of the real
 * ones. Nothing waits, nothing is sent; calls are answered in the order in which they were begun.
 *
 * One test program includes it once. */
#ifndef QE_TESTS_UNIT_BACKEND_SQS_FAKE_H
#define QE_TESTS_UNIT_BACKEND_SQS_FAKE_H

#include "unit/backend/sqs_fake_answers.h"

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

/* The same for one that must be there. */
static inline const struct qe_queue *queue_here(const struct rig *rig, const char *name)
{
    const struct qe_queue *queue = queue_named(rig, name);

    if (queue == NULL) {
        print_error("queue %s is not listed\n", name);
        abort();
    }
    return queue;
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
