/* Any bytes as what SQS or CloudWatch answers to one kind of question while the other kinds are
 * answered well: two polls, with their lists. No crash, no hang, nothing left in flight, and what
 * is said of queues makes sense. The first byte picks the question. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "unit/backend/sqs_fake.h"
#include "util/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum qe_sqs_operation s_questions[] = {
    QE_SQS_LIST_QUEUES, QE_SQS_GET_QUEUE_URL, QE_SQS_GET_QUEUE_ATTRIBUTES, QE_SQS_GET_METRIC_DATA};
#define QUESTIONS_COUNT (sizeof s_questions / sizeof s_questions[0])

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
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

static void look_at_queues(const struct rig *rig)
{
    for (size_t i = 0; i < rig->set->count; i++) {
        const struct qe_queue *queue = &rig->set->items[i];

        require(queue->name[0] != '\0', "a queue has a name");
        require(qe_text_is_utf8(queue->name, strlen(queue->name)), "names are UTF-8");
        require(strlen(queue->address) < QE_SQS_URL_BYTES, "addresses have an end");
        require(queue->links_count <= 1, "there is one dead-letter queue at most");
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

    begin_round(rig);
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
    rig.settings.queue_name_prefix = qe_strdup("");
    add_text(&rig.settings.queue_names, "orders");
    add_text(&rig.settings.queue_urls, "https://sqs." REGION ".amazonaws.com/" OTHER "/orders");
    add_queue("orders")->dead_letter_arn = "arn:aws:sqs:" REGION ":" OWN ":dead";
    s_fake.queues[0].ready = 1;
    s_fake.queues[0].age = 5;
    add_queue("orders")->account = OTHER;
    add_queue("dead")->is_hidden = true;
    s_fake.has_raw = true;
    s_fake.raw_operation = s_questions[data[0] % QUESTIONS_COUNT];
    s_fake.raw = data + 1;
    s_fake.raw_bytes = size - 1;
    for (int i = 0; i < 2; i++) {
        poll_as_it_comes(&rig);
        require(s_fake.in_flight_count == 0, "nothing is left in flight");
        pass_ms(300000);
    }
    rig_deinit(&rig);
    return 0;
}
