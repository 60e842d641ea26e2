/* A made RabbitMQ, and a made clock, under the watching half of the driver: this header defines
 * what net/http_client.h and util/clock.h declare, so that the linker takes none of the real ones.
 * Nothing waits, nothing is sent; requests are answered in the order in which they were begun,
 * those last whose answers come too late: the others do not wait for them.
 *
 * One test program includes it once. */
#ifndef QE_TESTS_UNIT_BACKEND_RABBITMQ_FAKE_H
#define QE_TESTS_UNIT_BACKEND_RABBITMQ_FAKE_H

#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/internal.h"
#include "support/check.h"
#include "util/mem.h"

#define FAKE_ANSWERS_MAX 40
#define FAKE_CALLS_MAX 32
#define FAKE_LOG_MAX 200
#define FAKE_URL_BYTES 400

/* What is answered to requests whose URL holds `part`: of several, the one given last. */
struct fake_answer {
    const char *part;
    unsigned status; /* 0: no answer, for the reason `error` */
    const char *body;
    size_t body_bytes; /* 0: body is a text */
    enum qe_err_code error;
    int64_t takes_ms;
};

struct fake_call {
    char url[FAKE_URL_BYTES];
    void *context;
    qe_http_take_fn *take;
    int64_t deadline_mono_ms;
    bool has_authorization;
};

static struct fake {
    struct fake_answer answers[FAKE_ANSWERS_MAX];
    size_t answers_count;
    struct fake_call in_flight[FAKE_CALLS_MAX];
    size_t in_flight_count;
    char log[FAKE_LOG_MAX][FAKE_URL_BYTES]; /* URLs in the order of requests */
    bool was_authorized[FAKE_LOG_MAX];
    size_t log_count;
    bool is_interrupted;
} s_fake;

static int64_t s_mono_ms = 1000000;
static int64_t s_unix_ms = INT64_C(1700000100000);

static inline void pass_ms(int64_t ms)
{
    s_mono_ms += ms;
    s_unix_ms += ms;
}

static inline void answer(const char *part, unsigned status, const char *body)
{
    assert_true(s_fake.answers_count < FAKE_ANSWERS_MAX);
    s_fake.answers[s_fake.answers_count++] =
        (struct fake_answer){.part = part, .status = status, .body = body};
}

/* How often a URL with `part` was asked for. */
static inline size_t asked(const char *part)
{
    size_t count = 0;

    for (size_t i = 0; i < s_fake.log_count; i++) {
        count += strstr(s_fake.log[i], part) != NULL ? 1 : 0;
    }
    return count;
}

/* --- util/clock.h --- */

int64_t qe_clock_mono_ms(void)
{
    return s_mono_ms;
}

int64_t qe_clock_mono_us(void)
{
    return s_mono_ms * 1000;
}

int64_t qe_clock_unix_ms(void)
{
    return s_unix_ms;
}

/* --- net/http_client.h --- */

struct qe_http_client {
    char nothing;
};

int qe_http_start(struct qe_http_client *client, const struct qe_http_request *request,
                  struct qe_err *err)
{
    struct fake_call *call = &s_fake.in_flight[s_fake.in_flight_count];

    (void)client;
    (void)err;
    assert_true(s_fake.in_flight_count < FAKE_CALLS_MAX);
    assert_string_equal(request->method, "GET");
    *call = (struct fake_call){.context = request->context,
                               .take = request->take,
                               .deadline_mono_ms = request->deadline_mono_ms,
                               .has_authorization = request->headers_count == 2};
    (void)snprintf(call->url, sizeof call->url, "%s", request->url);
    if (s_fake.log_count < FAKE_LOG_MAX) {
        s_fake.was_authorized[s_fake.log_count] = call->has_authorization;
        (void)snprintf(s_fake.log[s_fake.log_count++], FAKE_URL_BYTES, "%s", request->url);
    }
    s_fake.in_flight_count++;
    return 0;
}

size_t qe_http_in_flight(const struct qe_http_client *client)
{
    (void)client;
    return s_fake.in_flight_count;
}

static void hand_on(const struct fake_call *call, const char *body, size_t body_bytes,
                    struct qe_err *err)
{
    const size_t step = 37; /* pieces end anywhere */

    for (size_t at = 0; at < body_bytes; at += step) {
        if (call->take(call->context, body + at, body_bytes - at < step ? body_bytes - at : step,
                       err) != 0) {
            return;
        }
    }
}

static void fill_reply(const struct fake_call *call, const struct fake_answer *found,
                       struct qe_http_reply *out)
{
    out->context = call->context;
    out->err = (struct qe_err){0};
    out->status = 0;
    qe_strbuf_reset(&out->body);
    if (found == NULL) {
        fail_msg("nothing is known of %s", call->url);
        return;
    }
    out->duration_seconds = (double)found->takes_ms / 1e3;
    if (s_mono_ms + found->takes_ms > call->deadline_mono_ms) {
        if (s_mono_ms < call->deadline_mono_ms) {
            pass_ms(call->deadline_mono_ms - s_mono_ms);
        }
        (void)qe_err_set(&out->err, QE_ERR_TIMEOUT, "no answer in time");
        return;
    }
    pass_ms(found->takes_ms);
    if (found->status == 0) {
        (void)qe_err_set(&out->err, found->error, "no answer");
        return;
    }
    out->status = found->status;
    const size_t body_bytes = found->body_bytes != 0 ? found->body_bytes : strlen(found->body);

    if (call->take != NULL && found->status == 200) {
        hand_on(call, found->body, body_bytes, &out->err);
        return;
    }
    (void)qe_strbuf_append(&out->body, found->body, body_bytes);
    if (qe_strbuf_error(&out->body, &out->err) != 0) {
        out->status = 0;
    }
}

static const struct fake_answer *answer_to(const struct fake_call *call)
{
    const struct fake_answer *found = NULL;

    for (size_t i = 0; i < s_fake.answers_count; i++) {
        if (strstr(call->url, s_fake.answers[i].part) != NULL) {
            found = &s_fake.answers[i];
        }
    }
    return found;
}

static size_t next_in_flight(void)
{
    for (size_t i = 0; i < s_fake.in_flight_count; i++) {
        const struct fake_answer *found = answer_to(&s_fake.in_flight[i]);

        if (found == NULL || s_mono_ms + found->takes_ms <= s_fake.in_flight[i].deadline_mono_ms) {
            return i;
        }
    }
    return 0;
}

enum qe_http_event qe_http_wait(struct qe_http_client *client, int64_t until_mono_ms,
                                bool interruptible, struct qe_http_reply *out_reply)
{
    size_t next = 0;
    struct fake_call call;

    (void)client;
    (void)until_mono_ms;
    if (interruptible && s_fake.is_interrupted) {
        s_fake.is_interrupted = false;
        return QE_HTTP_INTERRUPTED;
    }
    if (s_fake.in_flight_count == 0) {
        return QE_HTTP_IDLE;
    }
    next = next_in_flight();
    call = s_fake.in_flight[next];
    memmove(s_fake.in_flight + next, s_fake.in_flight + next + 1,
            (--s_fake.in_flight_count - next) * sizeof s_fake.in_flight[0]);
    fill_reply(&call, answer_to(&call), out_reply);
    return QE_HTTP_REPLY;
}

void qe_http_abort(struct qe_http_client *client)
{
    (void)client;
    s_fake.in_flight_count = 0;
}

void qe_http_interrupt(struct qe_http_client *client)
{
    (void)client;
    s_fake.is_interrupted = true;
}

void qe_http_reply_deinit(struct qe_http_reply *reply)
{
    qe_strbuf_deinit(&reply->body);
    *reply = (struct qe_http_reply){0};
}

/* --- a driver's handle, and what it reads --- */

struct rig {
    struct qe_rmq_settings settings;
    struct qe_http_client client;
    struct qe_rmq self;
    struct qe_queue_set *set; /* of the last list */
    struct qe_batch batch;    /* of the last sample */
};

#define BASE "http://rabbit:15672"
#define POLL_TIMEOUT_MS 10000
#define OVERVIEW(more)                                                                             \
    "{\"rabbitmq_version\":\"3.10.8\",\"disable_stats\":false,\"object_totals\":{\"queues\":"      \
    "2}" more "}"
#define NODES                                                                                      \
    "[{\"name\":\"rabbit@a\",\"running\":true,\"mem_alarm\":false,\"disk_free_alarm\":false,"      \
    "\"partitions\":[],\"uptime\":600000}]"

#define QUEUE(name, more) "{\"vhost\":\"/\",\"name\":\"" name "\"" more "}"
#define CLASSIC ",\"type\":\"classic\",\"arguments\":{},\"node\":\"rabbit@a\",\"state\":\"running\""
#define QUORUM                                                                                     \
    ",\"type\":\"quorum\",\"arguments\":{},\"leader\":\"rabbit@a\",\"members\":[\"rabbit@a\"]"

/* A broker of one virtual host and no queue; tests add what they are about. */
static inline void rig_init(struct rig *rig)
{
    struct qe_err err = {0};

    memset(&s_fake, 0, sizeof s_fake);
    *rig = (struct rig){0};
    rig->settings.username = qe_strdup("watcher");
    rig->settings.statistics_max_load = 0.005;
    rig->self.settings = &rig->settings;
    rig->self.client = &rig->client;
    rig->self.base_url = qe_strdup(BASE);
    rig->self.authorization = qe_rmq_authorization("watcher", "secret", &err);
    assert_non_null(rig->self.authorization);
    answer("/api/overview", 200, OVERVIEW(""));
    answer("/api/nodes", 200, NODES);
    answer("/api/vhosts", 200, "[{\"name\":\"/\"}]");
    answer("/api/policies", 200, "[]");
    answer("/api/operator-policies", 200, "[]");
    answer("/api/exchanges/", 200, "[]");
    answer("/api/bindings/", 200, "[]");
    answer("/api/queues", 200, "[]");
}

static inline void rig_forget(struct rig *rig)
{
    qe_batch_deinit(&rig->batch);
    qe_queue_set_release(rig->set);
    rig->set = NULL;
}

static inline void rig_deinit(struct rig *rig)
{
    rig_forget(rig);
    qe_free(rig->settings.username);
    qe_free(rig->self.base_url);
    qe_secret_destroy(rig->self.authorization);
    qe_rmq_forget_places(&rig->self);
    qe_rmq_table_destroy(rig->self.table);
    qe_rmq_nodes_deinit(&rig->self.nodes);
    qe_rmq_forget_vhosts(&rig->self);
    qe_rmq_forget_endpoints(&rig->self);
}

/* 0, or -1 with *err; what was listed before is forgotten only for something new. */
static inline int list(struct rig *rig, struct qe_err *err)
{
    struct qe_queue_list queues = {0};
    struct qe_queue_set *set = NULL;
    int rc = qe_rmq_list(&rig->self, s_mono_ms + POLL_TIMEOUT_MS, &queues, err);

    if (rc == 0) {
        set = qe_queue_set_new_take(&queues, err);
        rc = set == NULL ? -1 : 0;
    }
    qe_queue_list_deinit(&queues);
    if (rc == 0) {
        rig_forget(rig);
        rig->set = set;
    }
    return rc;
}

static inline int sample(struct rig *rig, struct qe_err *err)
{
    qe_batch_deinit(&rig->batch);
    if (qe_batch_init(&rig->batch, rig->set, err) != 0) {
        return -1;
    }
    return qe_rmq_sample(&rig->self, s_mono_ms + POLL_TIMEOUT_MS, &rig->batch, err);
}

static inline const struct qe_batch_entry *entry_of(const struct rig *rig, const char *vhost,
                                                    const char *name)
{
    const size_t index = qe_queue_set_find(rig->set, vhost, name);

    assert_true(index != SIZE_MAX);
    return &rig->batch.entries[index];
}

/* < 0: not known. */
static inline double value_of(const struct rig *rig, const char *name, enum qe_field field)
{
    const struct qe_batch_entry *entry = entry_of(rig, "/", name);

    return entry->error == QE_OK && qe_sample_has(&entry->sample, field)
               ? entry->sample.values[field]
               : -1;
}

/* --- two queues --- */

#define LISTENER                                                                                   \
    ",\"listeners\":[{\"node\":\"rabbit@a\",\"protocol\":\"http/prometheus\",\"port\":15692,"      \
    "\"socket_opts\":{\"port\":15692}}]"
#define TEXT(more)                                                                                 \
    more "rabbitmq_identity_info{rabbitmq_node=\"rabbit@a\",rabbitmq_cluster=\"c\"} 1\n"
#define READY(name, count)                                                                         \
    "rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"" name "\"} " count "\n"           \
    "rabbitmq_detailed_queue_messages_unacked{vhost=\"/\",queue=\"" name "\"} 0\n"                 \
    "rabbitmq_detailed_queue_consumers{vhost=\"/\",queue=\"" name "\"} 2\n"
/* So dear that each poll cannot ask, and not too dear to ask at all. */
#define MANY_QUEUES "{\"rabbitmq_version\":\"3.10.8\",\"object_totals\":{\"queues\":1000}"

static inline void two_queues(void)
{
    answer("/api/queues/%2F?disable_stats=true&columns=", 200,
           "[" QUEUE("orders", CLASSIC) "," QUEUE("work", QUORUM) "]");
    answer("enable_queue_totals", 200,
           "[" QUEUE("orders", ",\"messages_ready\":7,\"messages_unacknowledged\":1") "," QUEUE(
               "work", ",\"messages_ready\":3,\"messages_unacknowledged\":0") "]");
    answer(
        "message_stats.publish", 200,
        "[" QUEUE("orders",
                  ",\"messages_ready\":7,\"messages_unacknowledged\":1,"
                  "\"consumers\":2,\"message_bytes\":70,"
                  "\"head_message_timestamp\":1700000000,"
                  "\"message_stats\":{\"publish\":9,\"ack\":1}") "," QUEUE("work",
                                                                           ",\"messages_ready\":3,"
                                                                           "\"messages_"
                                                                           "unacknowledged\":0,"
                                                                           "\"messages_dlx\":4,"
                                                                           "\"consumers\":0,"
                                                                           "\"message_stats\":{"
                                                                           "\"publish\":3}") "]");
}

/* So many that statistics at every poll are too dear. */
static inline void many_queues(const char *overview)
{
    two_queues();
    s_fake.answers[s_fake.answers_count - 1].takes_ms = 500;
    answer("/api/overview", 200, overview);
}

#endif
