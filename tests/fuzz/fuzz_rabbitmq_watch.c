/* Any bytes as what RabbitMQ's management API answers to one kind of question while the other kinds
 * are answered well: two polls, with their lists. No crash, no hang, nothing left in flight, and
 * what is said of queues makes sense. The first byte picks the question. */
#include <math.h>
#include <stdlib.h>

#include "unit/backend/rabbitmq_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const s_questions[] = {"/api/queues/%2F?disable_stats=true&columns",
                                          "enable_queue_totals",
                                          "message_stats.publish",
                                          "/api/overview",
                                          "/api/nodes",
                                          "/api/vhosts",
                                          "/api/policies",
                                          "/api/operator-policies",
                                          "/api/exchanges/",
                                          "/api/bindings/",
                                          "/metrics/detailed"};
#define QUESTIONS_COUNT (sizeof s_questions / sizeof s_questions[0])

#define DLX(exchange) "\"x-dead-letter-exchange\":\"" exchange "\""
static const char s_queues[] =
    "[{\"vhost\":\"/\",\"name\":\"orders\",\"type\":\"classic\",\"arguments\":{" DLX(
        "dlx") "}},"
               "{\"vhost\":\"/\",\"name\":\"work\",\"type\":\"quorum\",\"arguments\":{" DLX(
                   "") ",\"x-dead-letter-routing-key\":\"dead\"},\"leader\":\"rabbit@a\"},"
                       "{\"vhost\":\"/\",\"name\":\"dead\",\"type\":\"classic\",\"arguments\":{}},"
                       "{\"vhost\":\"/\",\"name\":\"log\",\"type\":\"stream\",\"arguments\":{}}]";
static const char s_depths[] =
    "[{\"vhost\":\"/\",\"name\":\"orders\",\"messages_ready\":4,\"messages_unacknowledged\":1,"
    "\"message_stats\":{\"publish\":9}},{\"vhost\":\"/\",\"name\":\"work\",\"messages_ready\":4,"
    "\"messages_unacknowledged\":0}]";
static const char s_overview[] =
    "{\"rabbitmq_version\":\"4.0.5\",\"object_totals\":{\"queues\":1000},\"listeners\":[{\"node\":"
    "\"rabbit@a\",\"protocol\":\"http/prometheus\",\"port\":15692,\"socket_opts\":{}}]}";
static const char s_text[] =
    "rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"orders\"} 5\n"
    "rabbitmq_identity_info{rabbitmq_node=\"rabbit@a\"} 1\n";

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static void look_at_queues(const struct rig *rig)
{
    for (size_t i = 0; i < rig->set->count; i++) {
        const struct qe_queue *queue = &rig->set->items[i];

        require(queue->links_count <= QE_LINKS_MAX, "links have an end");
        require(!queue->dead_letter_unroutable || queue->links_count == 0,
                "what reaches a queue is not lost");
        for (size_t j = 0; j < queue->links_count; j++) {
            require(rig->set->link_targets[i][j] != i, "no queue is its own dead-letter queue");
        }
    }
}

static void look_at_sample(const struct qe_sample *sample)
{
    for (size_t i = 0; i < QE_FIELD_COUNT; i++) {
        require(!qe_sample_has(sample, (enum qe_field)i) ||
                    (isfinite(sample->values[i]) && sample->values[i] >= 0),
                "what is known is a number, and not below 0");
    }
}

static void look_at_batch(const struct rig *rig)
{
    for (size_t i = 0; i < rig->set->count; i++) {
        const struct qe_batch_entry *entry = &rig->batch.entries[i];

        require(entry->error != QE_ERR_TIMEOUT, "every queue was answered for");
        if (entry->error == QE_OK) {
            look_at_sample(&entry->sample);
        }
    }
}

static void poll_as_it_comes(struct rig *rig)
{
    struct qe_err err = {0};

    if (list(rig, &err) != 0) {
        require(err.code != QE_OK && err.message[0] != '\0', "a failure says why");
    }
    if (rig->set == NULL) {
        return;
    }
    look_at_queues(rig);
    err = (struct qe_err){0};
    if (sample(rig, &err) == 0) {
        look_at_batch(rig);
    } else {
        require(err.code != QE_OK && err.message[0] != '\0', "a failure says why");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig;

    if (size == 0) {
        return 0;
    }
    rig_init(&rig);
    rig.settings.method = (int)(data[0] / QUESTIONS_COUNT % 4);
    answer("/api/overview", 200, s_overview);
    answer("/api/queues/", 200, s_queues);
    answer("enable_queue_totals", 200, s_depths);
    answer("message_stats.publish", 200, s_depths);
    answer("/metrics/detailed", 200, s_text);
    answer(s_questions[data[0] % QUESTIONS_COUNT], 200, (const char *)data + 1);
    s_fake.answers[s_fake.answers_count - 1].body_bytes = size - 1;
    if (size == 1) {
        s_fake.answers[s_fake.answers_count - 1].body = "";
    }
    for (int i = 0; i < 2; i++) {
        poll_as_it_comes(&rig);
        require(s_fake.in_flight_count == 0, "nothing is left in flight");
        pass_ms(30000);
    }
    rig_deinit(&rig);
    return 0;
}
