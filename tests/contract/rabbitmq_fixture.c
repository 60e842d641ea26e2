#include "contract/rabbitmq_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/http_client.h"
#include "util/clock.h"
#include "util/mem.h"

#define CALL_MS 20000
#define SKIPPED 77
#define GUEST "Basic Z3Vlc3Q6Z3Vlc3Q="
#define BRIEF_MS 200
#define WORK_MS 30000
/* A delay is rounded up to the next one there is: 300 ms to 500. */
#define WAKE_MS 1000

const char *rabbitmq_fixture_need(const char *variable)
{
    const char *value = getenv(variable); /* NOLINT(concurrency-mt-unsafe): before any thread */

    if (value == NULL || value[0] == '\0') {
        (void)printf("skipped: %s is not set; ctest starts the server and sets it\n", variable);
        exit(SKIPPED); /* NOLINT(concurrency-mt-unsafe): before any thread */
    }
    return value;
}

int rabbitmq_fixture_ask(const struct rabbitmq_fixture *fixture, const char *method,
                         const char *path, const char *body, struct qe_err *err)
{
    struct qe_http_client *client = qe_http_client_new(NULL, err);
    const struct qe_http_header headers[] = {{"Authorization", GUEST},
                                             {"Content-Type", "application/json"}};
    struct qe_http_reply reply = {0};
    char url[512];
    int rc = client == NULL ? -1 : 0;

    (void)snprintf(url, sizeof url, "%s%s", fixture->url, path);
    const struct qe_http_request request = {.method = method,
                                            .url = url,
                                            .headers = headers,
                                            .headers_count = 2,
                                            .body = body,
                                            .body_bytes = body == NULL ? 0 : strlen(body),
                                            .deadline_mono_ms = qe_clock_mono_ms() + CALL_MS};

    rc = rc == 0 ? qe_http_fetch(client, &request, &reply, err) : rc;
    if (rc == 0 && reply.status / 100 != 2 && reply.status != 404) {
        rc = qe_err_set(err, QE_ERR_PROTOCOL, "%s %s: %u %s", method, path, reply.status,
                        qe_strbuf_text(&reply.body));
    }
    qe_http_reply_deinit(&reply);
    qe_http_client_destroy(client);
    return rc;
}

static int put(const struct rabbitmq_fixture *fixture, const char *kind, const char *name,
               const char *body, struct qe_err *err)
{
    char path[128];

    (void)snprintf(path, sizeof path, "/api/%s/%%2F/%s", kind, name);
    return rabbitmq_fixture_ask(fixture, "PUT", path, body, err);
}

static int create_all(struct rabbitmq_fixture *fixture, struct qe_err *err)
{
    const bool is_quorum = fixture->kind == QE_KIND_QUORUM;
    char plain[160];
    char work[400];

    (void)snprintf(plain, sizeof plain,
                   "{\"durable\":true,\"arguments\":{\"x-queue-type\":\"%s\"}}",
                   qe_queue_kind_name(fixture->kind));
    (void)snprintf(work, sizeof work,
                   "{\"durable\":true,\"arguments\":{\"x-queue-type\":\"%s\",%s"
                   "\"x-dead-letter-exchange\":\"\",\"x-dead-letter-routing-key\":\"%s\"}}",
                   qe_queue_kind_name(fixture->kind), is_quorum ? "\"x-delivery-limit\":2," : "",
                   fixture->names[QE_CONTRACT_WORK_DLQ]);
    return put(fixture, "queues", fixture->names[QE_CONTRACT_WORK_DLQ], plain, err) == 0 &&
                   put(fixture, "queues", fixture->names[QE_CONTRACT_WORK], work, err) == 0 &&
                   put(fixture, "queues", fixture->names[QE_CONTRACT_BRIEF], plain, err) == 0 &&
                   put(fixture, "exchanges", fixture->topic,
                       "{\"type\":\"fanout\",\"durable\":true}", err) == 0 &&
                   put(fixture, "exchanges", fixture->keyed_topic,
                       "{\"type\":\"topic\",\"durable\":true}", err) == 0
               ? 0
               : -1;
}

int rabbitmq_fixture_setup(void *context, struct qe_err *err)
{
    static const char *const names[QE_CONTRACT_QUEUE_COUNT] = {
        [QE_CONTRACT_WORK] = "work",     [QE_CONTRACT_WORK_DLQ] = "work-dlq",
        [QE_CONTRACT_BRIEF] = "brief",   [QE_CONTRACT_ORDERED] = "ordered",
        [QE_CONTRACT_ABSENT] = "absent",
    };
    struct rabbitmq_fixture *fixture = context;
    struct qe_rmq_settings *settings = &fixture->settings;

    fixture->rounds++;
    (void)snprintf(fixture->prefix, sizeof fixture->prefix, "c%ld-%u-", (long)getpid(),
                   fixture->rounds);
    for (size_t i = 0; i < QE_CONTRACT_QUEUE_COUNT; i++) {
        (void)snprintf(fixture->names[i], sizeof fixture->names[i], "%s%s", fixture->prefix,
                       names[i]);
    }
    (void)snprintf(fixture->topic, sizeof fixture->topic, "%snews", fixture->prefix);
    (void)snprintf(fixture->keyed_topic, sizeof fixture->keyed_topic, "%skeyed", fixture->prefix);
    if (qe_section_set_defaults(&qe_rmq_section, settings, err) != 0) {
        return -1;
    }
    qe_free(settings->management_url);
    settings->management_url = qe_strdup(fixture->url);
    settings->amqp_url = qe_strdup(fixture->amqp_url);
    settings->method = QE_RMQ_TOTALS; /* as of now, and not of the last statistics */
    return create_all(fixture, err);
}

void rabbitmq_fixture_teardown(void *context)
{
    struct rabbitmq_fixture *fixture = context;
    struct qe_err err = {0};
    char path[128];

    for (size_t i = 0; i < QE_CONTRACT_QUEUE_COUNT; i++) {
        (void)snprintf(path, sizeof path, "/api/queues/%%2F/%s", fixture->names[i]);
        (void)rabbitmq_fixture_ask(fixture, "DELETE", path, NULL, &err);
    }
    (void)snprintf(path, sizeof path, "/api/exchanges/%%2F/%s", fixture->topic);
    (void)rabbitmq_fixture_ask(fixture, "DELETE", path, NULL, &err);
    (void)snprintf(path, sizeof path, "/api/exchanges/%%2F/%s", fixture->keyed_topic);
    (void)rabbitmq_fixture_ask(fixture, "DELETE", path, NULL, &err);
    qe_section_deinit(&qe_rmq_section, &fixture->settings);
}

static const void *settings_of(void *context)
{
    return &((struct rabbitmq_fixture *)context)->settings;
}

static int queue_of(void *context, enum qe_contract_queue which, struct qe_queue *out,
                    struct qe_err *err)
{
    const struct rabbitmq_fixture *fixture = context;

    if (qe_queue_init(out, "/", fixture->names[which], fixture->kind, err) != 0) {
        return -1;
    }
    out->dead_letter_known = true;
    return which == QE_CONTRACT_WORK
               ? qe_queue_add_link(out, "/", fixture->names[QE_CONTRACT_WORK_DLQ], err)
               : 0;
}

struct qe_contract_fixture rabbitmq_fixture_contract(struct rabbitmq_fixture *fixture,
                                                     const char *name)
{
    return (struct qe_contract_fixture){
        .name = name,
        .driver = &qe_driver_rabbitmq,
        .context = fixture,
        .brief_visibility_ms = BRIEF_MS,
        .work_visibility_ms = WORK_MS,
        .wake_ms = WAKE_MS,
        .never_lapses = true,
        .keeps_ids = true,
        .hides_arrival = true,
        .topic = fixture->topic,
        .keyed_topic = fixture->keyed_topic,
        .setup = rabbitmq_fixture_setup,
        .teardown = rabbitmq_fixture_teardown,
        .settings = settings_of,
        .queue = queue_of,
    };
}
