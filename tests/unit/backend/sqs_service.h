/* A made AWS, and a made clock, under the working half of the driver: this header defines what
 * aws/call.h, aws/credentials.h and util/clock.h declare, so that the linker takes none of the real
 * ones. Calls are answered by a script, in the order in which they are begun, each after its time;
 * nothing really waits.
 *
 * One test program includes it once. */
#ifndef QE_TESTS_UNIT_BACKEND_SQS_SERVICE_H
#define QE_TESTS_UNIT_BACKEND_SQS_SERVICE_H

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backend/sqs/work.h"
#include "support/check.h"
#include "util/mem.h"

#define QUEUE_URL "https://sqs.eu-west-1.amazonaws.com/111111111111/orders"
#define FIFO_URL QUEUE_URL ".fifo"
#define DLQ_URL QUEUE_URL "-dlq"
#define START_MONO_MS INT64_C(1000000)
#define START_UNIX_MS INT64_C(1795311000000)

/* --- the clock --- */

static int64_t s_now_mono_ms = START_MONO_MS;

int64_t qe_clock_mono_us(void)
{
    return s_now_mono_ms * 1000;
}

int64_t qe_clock_mono_ms(void)
{
    return s_now_mono_ms;
}

int64_t qe_clock_unix_ms(void)
{
    return START_UNIX_MS + s_now_mono_ms - START_MONO_MS;
}

int qe_clock_cond_init(pthread_cond_t *cond)
{
    return pthread_cond_init(cond, NULL);
}

bool qe_clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_mono_ms)
{
    (void)cond;
    (void)lock;
    s_now_mono_ms = deadline_mono_ms;
    return false;
}

void qe_random_init(struct qe_random *random, uint64_t seed)
{
    random->state[0] = seed + 1;
}

uint64_t qe_random_next(struct qe_random *random)
{
    return random->state[0]++;
}

double qe_random_unit(struct qe_random *random)
{
    (void)random;
    return 0.5;
}

static int s_random_failure; /* -1: the kernel gives none */

int qe_random_secret(void *out, size_t count)
{
    memset(out, 0x5a, count);
    return s_random_failure;
}

/* --- the script --- */

struct step {
    enum qe_sqs_operation operation; /* what must be called here */
    const char *answer;              /* JSON, or what is to be taken for it */
    enum qe_err_code failure;        /* QE_OK: `answer` */
    const char *code;                /* AWS's name of the failure; NULL: none */
    unsigned status;                 /* of the failure; 0: 400 */
    int64_t after_ms;                /* how long the answer takes */
};

#define CALLS_MAX 64

struct qe_aws_client {
    bool is_interrupted;
};

struct service {
    const struct step *steps; /* ended by one without answer and failure */
    size_t next;
    struct qe_aws_client clients[2]; /* of calls, of polls */
    size_t clients_count;
    struct {
        struct qe_aws_client *client;
        struct qe_aws_call *call;
        const struct step *step;
        int64_t due_mono_ms;
    } in_flight[CALLS_MAX];
    size_t in_flight_count;
    size_t in_flight_most;
    char *bodies[CALLS_MAX]; /* owned; of every call, in order */
    size_t bodies_count;
    bool no_retry[CALLS_MAX];
    double billable;
    double dollars;
    int64_t interrupt_mono_ms; /* somebody interrupts then; 0: nobody */
    bool is_aws;               /* AWS's own address, not an overridden one */
    struct qe_sqs *sqs;
};
static struct service s_service;

static bool is_end(const struct step *step)
{
    return step->answer == NULL && step->failure == QE_OK;
}

/* Frees what it recorded, and begins with this script. */
static void play(const struct step *steps)
{
    s_service.steps = steps;
    s_service.next = 0;
    for (size_t i = 0; i < s_service.bodies_count; i++) {
        qe_free(s_service.bodies[i]);
    }
    s_service.bodies_count = 0;
    s_service.billable = 0;
    s_service.dollars = 0;
    s_service.in_flight_most = s_service.in_flight_count;
}

/* Everything of the script was called for. */
static inline void expect_end(void)
{
    assert_true(is_end(&s_service.steps[s_service.next]));
    assert_int_equal(s_service.in_flight_count, 0);
}

/* The body of a call holds these words. */
static inline void expect_body(size_t index, const char *words)
{
    assert_true(index < s_service.bodies_count);
    if (strstr(s_service.bodies[index], words) == NULL) {
        fail_msg("call %zu: \"%s\" has no \"%s\"", index, s_service.bodies[index], words);
    }
}

static inline void expect_no_body(size_t index, const char *words)
{
    assert_true(index < s_service.bodies_count);
    if (strstr(s_service.bodies[index], words) != NULL) {
        fail_msg("call %zu: \"%s\" has \"%s\"", index, s_service.bodies[index], words);
    }
}

/* --- aws/call.h --- */

struct qe_aws_client *qe_aws_client_new(const struct qe_aws_client_options *options,
                                        struct qe_err *err)
{
    (void)options;
    (void)err;
    return &s_service.clients[s_service.clients_count++];
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
    qe_strbuf_reset(&call->reply_body);
}

void qe_aws_call_deinit(struct qe_aws_call *call)
{
    qe_strbuf_deinit(&call->body);
    qe_strbuf_deinit(&call->reply_body);
}

bool qe_aws_call_has_code(const struct qe_aws_call *call, const char *code)
{
    return strcmp(call->code, code) == 0;
}

int qe_aws_client_endpoint(struct qe_aws_client *client, enum qe_aws_service service,
                           int64_t deadline_mono_ms, const struct qe_aws_endpoint **out,
                           struct qe_err *err)
{
    static struct qe_aws_endpoint s_endpoint;

    (void)client;
    (void)service;
    (void)deadline_mono_ms;
    (void)err;
    s_endpoint.is_overridden = !s_service.is_aws;
    *out = &s_endpoint;
    return 0;
}

int qe_aws_start(struct qe_aws_client *client, struct qe_aws_call *call, struct qe_err *err)
{
    const struct step *step = &s_service.steps[s_service.next];
    struct qe_json *body = qe_json_parse(qe_strbuf_text(&call->body), call->body.length_bytes, err);

    if (body == NULL) {
        assert_int_equal(err->code, QE_ERR_NOMEM);
        return -1;
    }
    qe_json_destroy(body);
    if (is_end(step)) {
        fail_msg("%s: nothing more was expected", call->target);
    }
    assert_int_equal(call->operation, step->operation);
    s_service.next++;
    s_service.billable += call->billable;
    s_service.dollars += call->dollars;
    assert_true(s_service.bodies_count < CALLS_MAX && s_service.in_flight_count < CALLS_MAX);
    s_service.no_retry[s_service.bodies_count] = call->no_retry;
    s_service.bodies[s_service.bodies_count] = qe_strdup(qe_strbuf_text(&call->body));
    if (s_service.bodies[s_service.bodies_count] == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "body");
    }
    s_service.bodies_count++;
    s_service.in_flight[s_service.in_flight_count].client = client;
    s_service.in_flight[s_service.in_flight_count].call = call;
    s_service.in_flight[s_service.in_flight_count].step = step;
    s_service.in_flight[s_service.in_flight_count].due_mono_ms = s_now_mono_ms + step->after_ms;
    s_service.in_flight_count++;
    if (s_service.in_flight_count > s_service.in_flight_most) {
        s_service.in_flight_most = s_service.in_flight_count;
    }
    return 0;
}

size_t qe_aws_in_flight(const struct qe_aws_client *client)
{
    size_t count = 0;

    for (size_t i = 0; i < s_service.in_flight_count; i++) {
        count += s_service.in_flight[i].client == client ? 1 : 0;
    }
    return count;
}

static void finish(struct qe_aws_call *call, const struct step *step)
{
    call->status = step->failure == QE_OK ? 200 : step->status == 0 ? 400 : step->status;
    if (step->failure != QE_OK) {
        (void)snprintf(call->code, sizeof call->code, "%s", step->code == NULL ? "" : step->code);
        (void)qe_err_set(&call->err, step->failure, "%s: %s", call->code,
                         step->answer == NULL ? "" : step->answer);
    } else if (qe_strbuf_append_text(&call->reply_body, step->answer) != 0) {
        (void)qe_err_set(&call->err, QE_ERR_NOMEM, "answer");
    }
}

/* The first that is due, of this client; SIZE_MAX: none. */
static size_t first_due(const struct qe_aws_client *client)
{
    size_t first = SIZE_MAX;

    for (size_t i = 0; i < s_service.in_flight_count; i++) {
        if (s_service.in_flight[i].client == client &&
            (first == SIZE_MAX ||
             s_service.in_flight[i].due_mono_ms < s_service.in_flight[first].due_mono_ms)) {
            first = i;
        }
    }
    return first;
}

static struct qe_aws_call *take(size_t index)
{
    struct qe_aws_call *call = s_service.in_flight[index].call;

    finish(call, s_service.in_flight[index].step);
    memmove(&s_service.in_flight[index], &s_service.in_flight[index + 1],
            (--s_service.in_flight_count - index) * sizeof s_service.in_flight[0]);
    return call;
}

/* Somebody interrupts when the time has come. */
static void interrupt_if_due(int64_t until_mono_ms)
{
    if (s_service.interrupt_mono_ms != 0 && s_service.interrupt_mono_ms <= until_mono_ms) {
        if (s_service.interrupt_mono_ms > s_now_mono_ms) {
            s_now_mono_ms = s_service.interrupt_mono_ms;
        }
        s_service.interrupt_mono_ms = 0;
        qe_driver_sqs.interrupt(s_service.sqs);
    }
}

enum qe_http_event qe_aws_wait(struct qe_aws_client *client, int64_t until_mono_ms,
                               bool interruptible, struct qe_aws_call **out_call)
{
    size_t first = first_due(client);
    int64_t due = first == SIZE_MAX ? INT64_MAX : s_service.in_flight[first].due_mono_ms;
    int64_t next = until_mono_ms != 0 && until_mono_ms < due ? until_mono_ms : due;

    if (first == SIZE_MAX && until_mono_ms == 0) {
        return QE_HTTP_IDLE;
    }
    interrupt_if_due(next);
    if (interruptible && client->is_interrupted) {
        client->is_interrupted = false;
        return QE_HTTP_INTERRUPTED;
    }
    s_now_mono_ms = next > s_now_mono_ms ? next : s_now_mono_ms;
    if (due > s_now_mono_ms) {
        return QE_HTTP_TIME;
    }
    *out_call = take(first);
    return QE_HTTP_REPLY;
}

int qe_aws_do(struct qe_aws_client *client, struct qe_aws_call *call, struct qe_err *err)
{
    struct qe_aws_call *done = NULL;

    if (qe_aws_start(client, call, err) != 0) {
        return -1;
    }
    assert_int_equal(qe_aws_wait(client, 0, false, &done), QE_HTTP_REPLY);
    assert_ptr_equal(done, call);
    *err = call->err;
    return call->err.code == QE_OK ? 0 : -1;
}

// cppcheck-suppress constParameter ; aws/call.h declares it
void qe_aws_abort(struct qe_aws_client *client)
{
    for (size_t i = s_service.in_flight_count; i > 0; i--) {
        if (s_service.in_flight[i - 1].client == client) {
            (void)take(i - 1);
        }
    }
}

void qe_aws_client_interrupt(struct qe_aws_client *client)
{
    client->is_interrupted = true;
}

/* --- aws/credentials.h --- */

struct qe_aws_provider *qe_aws_provider_acquire(const struct qe_aws_identity *identity,
                                                const struct qe_aws_world *world,
                                                struct qe_err *err)
{
    (void)identity;
    (void)world;
    (void)err;
    return (struct qe_aws_provider *)&s_service; /* never looked into */
}

void qe_aws_provider_release(struct qe_aws_provider *provider)
{
    (void)provider;
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

/* --- a handle on it --- */

struct desk {
    struct qe_sqs_settings settings;
    struct qe_sqs *sqs;
    struct qe_queue queue; /* "orders" */
    struct qe_queue fifo;  /* "orders.fifo" */
};

static int fill_queue(struct qe_queue *queue, const char *name, const char *url, struct qe_err *err)
{
    if (qe_queue_init(queue, NULL, name, QE_KIND_STANDARD, err) != 0) {
        return -1;
    }
    qe_free(queue->address);
    queue->address = qe_strdup(url);
    return queue->address == NULL ? qe_err_set(err, QE_ERR_NOMEM, "address") : 0;
}

static int desk_init(struct desk *desk, struct qe_err *err)
{
    const struct qe_deps deps = {.source = "aws"};
    void *handle = NULL;

    *desk = (struct desk){0};
    s_now_mono_ms = START_MONO_MS;
    s_service.clients_count = 0;
    s_service.in_flight_count = 0;
    memset(s_service.clients, 0, sizeof s_service.clients);
    if (qe_section_set_defaults(&qe_sqs_section, &desk->settings, err) != 0 ||
        fill_queue(&desk->queue, "orders", QUEUE_URL, err) != 0 ||
        fill_queue(&desk->fifo, "orders.fifo", FIFO_URL, err) != 0 ||
        qe_driver_sqs.create(&desk->settings, &deps, &handle, err) != 0) {
        return -1;
    }
    desk->sqs = handle;
    s_service.sqs = handle;
    return 0;
}

static void desk_deinit(struct desk *desk)
{
    qe_driver_sqs.destroy(desk->sqs);
    qe_queue_deinit(&desk->queue);
    qe_queue_deinit(&desk->fifo);
    qe_section_deinit(&qe_sqs_section, &desk->settings);
    play(NULL);
}

static int setup(void **state)
{
    static struct desk s_desk;
    struct qe_err err = {0};

    s_service.interrupt_mono_ms = 0;
    s_service.is_aws = false;
    s_random_failure = 0;
    assert_ok(desk_init(&s_desk, &err), err);
    *state = &s_desk;
    return 0;
}

static int teardown(void **state)
{
    desk_deinit(*state);
    return 0;
}

static inline int64_t in_ms(int64_t ms)
{
    return s_now_mono_ms + ms;
}

/* What GetQueueAttributes says of a queue. */
#define FACTS(visibility, more)                                                                    \
    "{\"Attributes\":{\"ApproximateNumberOfMessages\":\"0\","                                      \
    "\"ApproximateNumberOfMessagesNotVisible\":\"0\","                                             \
    "\"ApproximateNumberOfMessagesDelayed\":\"0\",\"VisibilityTimeout\":\"" visibility             \
    "\",\"DelaySeconds\":\"0\",\"QueueArn\":\"arn:aws:sqs:eu-west-1:111111111111:orders\"" more    \
    "}}"
#define DLQ_FACT                                                                                   \
    ",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":"                                           \
    "\\\"arn:aws:sqs:eu-west-1:111111111111:orders-dlq\\\",\\\"maxReceiveCount\\\":3}\""

#endif
