/* Any text as what SQS answers to every call of one kind of work; the first byte picks it: sending,
 * acknowledging, giving back, or asking for a redrive. Nothing is left in flight, calls have an
 * end, every message has a result, and none is taken for done that SQS has not named. */
#include <stdint.h>
#include <stdlib.h>

#include "unit/backend/sqs_service.h"

#define MESSAGES 3
#define STEPS 48
#define RECEIPT_BYTES 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum qe_sqs_operation s_questions[] = {
    QE_SQS_SEND_MESSAGE_BATCH, QE_SQS_DELETE_MESSAGE_BATCH, QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH,
    QE_SQS_LIST_MESSAGE_MOVE_TASKS};
#define QUESTIONS_COUNT (sizeof s_questions / sizeof s_questions[0])

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static void check_result(const struct qe_err *result, const struct qe_err *err, int rc,
                         const char *answer)
{
    const struct qe_err *why = rc == 0 ? result : err;

    require(rc == 0 || rc == -1, "it is done, or it has failed");
    if (why->code != QE_OK) {
        require(why->message[0] != '\0', "a failure says why");
    } else {
        require(strstr(answer, "\"Successful\"") != NULL || strchr(answer, '\\') != NULL,
                "done is what SQS has named");
    }
}

static void send_some(const struct desk *desk, const char *answer)
{
    struct qe_outgoing messages[MESSAGES];
    struct qe_err err = {0};

    for (size_t i = 0; i < MESSAGES; i++) {
        messages[i] = (struct qe_outgoing){.body = "x", .body_bytes = 1, .delay_ms = -1};
    }
    const int rc =
        qe_driver_sqs.send(desk->sqs, &desk->queue, messages, MESSAGES, in_ms(10000), &err);

    for (size_t i = 0; i < MESSAGES; i++) {
        check_result(&messages[i].result, &err, rc, answer);
        require(memchr(messages[i].id, '\0', sizeof messages[i].id) != NULL, "an id has an end");
    }
}

static void settle_some(const struct desk *desk, enum qe_settle_verb verb, const char *answer)
{
    static char empty[] = "";
    char receipts[MESSAGES][RECEIPT_BYTES];
    struct qe_message messages[MESSAGES];
    struct qe_settlement settlements[MESSAGES];
    struct qe_err err = {0};

    for (size_t i = 0; i < MESSAGES; i++) {
        (void)snprintf(receipts[i], sizeof receipts[i], "receipt-%u", (unsigned)i);
        messages[i] = (struct qe_message){.id = receipts[i],
                                          .receipt = receipts[i],
                                          .body = empty,
                                          .group = empty,
                                          .deduplication_id = empty,
                                          .correlation_id = empty,
                                          .reply_to = empty,
                                          .visible_until_mono_ms = in_ms(30000)};
        settlements[i] =
            (struct qe_settlement){.message = &messages[i], .verb = verb, .delay_ms = 1000};
    }
    const int rc =
        qe_driver_sqs.settle(desk->sqs, &desk->queue, settlements, MESSAGES, in_ms(10000), &err);

    for (size_t i = 0; i < MESSAGES; i++) {
        const bool is_done = settlements[i].result == QE_SETTLED;

        require(settlements[i].result <= QE_SETTLE_FAILED, "a result is one");
        require(rc != 0 || is_done || settlements[i].err.message[0] != '\0', "a failure says why");
        if (rc != 0 || is_done) {
            check_result(&settlements[i].err, &err, rc, answer);
        }
    }
}

static void ask_for_redrive(struct desk *desk)
{
    struct qe_redrive_task task = {0};
    struct qe_err err = {0};

    qe_free(desk->queue.arn);
    desk->queue.arn = qe_strdup("arn:aws:sqs:eu-west-1:111111111111:orders");
    if (qe_driver_sqs.redrive_status(desk->sqs, &desk->queue, in_ms(10000), &task, &err) != 0) {
        require(err.code != QE_OK && err.message[0] != '\0', "a failure says why");
        return;
    }
    require(task.state <= QE_REDRIVE_FAILED && task.started_unix_ms >= 0, "a task is one");
    require(memchr(task.reason, '\0', sizeof task.reason) != NULL, "a reason has an end");
    require(task.state == QE_REDRIVE_FAILED || task.reason[0] == '\0', "and is a failure's");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct step steps[STEPS + 1] = {0};
    struct desk *desk = NULL;
    void *state = NULL;

    if (size == 0) {
        return 0;
    }
    const enum qe_sqs_operation operation = s_questions[data[0] % QUESTIONS_COUNT];
    char *answer = qe_memdup(data + 1, size - 1); /* ended by a NUL */

    require(answer != NULL && setup(&state) == 0, "a handle");
    desk = state;
    for (size_t i = 0; i < STEPS; i++) { /* more than any work may take */
        steps[i] = (struct step){.operation = operation, .answer = answer};
    }
    play(steps);
    if (operation == QE_SQS_SEND_MESSAGE_BATCH) {
        send_some(desk, answer);
    } else if (operation == QE_SQS_LIST_MESSAGE_MOVE_TASKS) {
        ask_for_redrive(desk);
    } else {
        settle_some(desk,
                    operation == QE_SQS_DELETE_MESSAGE_BATCH ? QE_SETTLE_ACK : QE_SETTLE_RELEASE,
                    answer);
    }
    require(s_service.in_flight_count == 0, "nothing is left in flight");
    (void)teardown(&state);
    qe_free(answer);
    return 0;
}
