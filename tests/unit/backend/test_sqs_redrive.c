/* The broker's own redrive, and purging. */
#include "sqs_service.h"

#define ARN "arn:aws:sqs:eu-west-1:111111111111:orders"

static int start(const struct desk *desk, const struct qe_queue *to, uint64_t rate,
                 struct qe_err *err)
{
    return qe_driver_sqs.redrive_start(desk->sqs, &desk->queue, to, rate, in_ms(5000), err);
}

static void a_redrive_goes_by_arn_and_is_begun_once(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", "")},
        {QE_SQS_START_MESSAGE_MOVE_TASK, .answer = "{\"TaskHandle\":\"t\"}"},
        {QE_SQS_START_MESSAGE_MOVE_TASK, .answer = "{\"TaskHandle\":\"t\"}"},
        {.answer = NULL}};
    struct desk *desk = *state;
    struct qe_err err = {0};

    play(steps);
    assert_ok(start(desk, NULL, 0, &err), err);
    expect_body(1, "{\"SourceArn\":\"" ARN "\"}");
    assert_true(s_service.no_retry[1]);
    qe_free(desk->fifo.arn);
    desk->fifo.arn = qe_strdup(ARN "-other"); /* as listed: not asked for */
    assert_ok(start(desk, &desk->fifo, 7, &err), err);
    expect_body(2, "{\"SourceArn\":\"" ARN "\",\"DestinationArn\":\"" ARN
                   "-other\",\"MaxNumberOfMessagesPerSecond\":7}");
    assert_int_equal(start(desk, NULL, 501, &err), -1);
    assert_int_equal(err.code, QE_ERR_UNSUPPORTED);
    expect_end();
}

static void what_cannot_be_is_told_apart(void **state)
{
    static const struct {
        struct step step;
        enum qe_err_code code;
        const char *word;
    } s_rows[] = {
        {{QE_SQS_START_MESSAGE_MOVE_TASK, .failure = QE_ERR_NETWORK, .status = 500,
          .answer = "<html>"},
         QE_ERR_UNSUPPORTED,
         "does not know message move tasks"},
        {{QE_SQS_START_MESSAGE_MOVE_TASK, .failure = QE_ERR_UNSUPPORTED, .code = "InvalidAction"},
         QE_ERR_UNSUPPORTED,
         "does not know message move tasks"},
        {{QE_SQS_START_MESSAGE_MOVE_TASK, .failure = QE_ERR_UNSUPPORTED,
          .code = "UnsupportedOperation",
          .answer = "There is already a task running. Only one active task is allowed"},
         QE_ERR_INVALID,
         "already"},
        {{QE_SQS_START_MESSAGE_MOVE_TASK, .failure = QE_ERR_UNSUPPORTED,
          .code = "UnsupportedOperation", .answer = "Source queue must be a dead-letter queue"},
         QE_ERR_UNSUPPORTED,
         "dead-letter queue"},
        {{QE_SQS_START_MESSAGE_MOVE_TASK, .failure = QE_ERR_NETWORK, .status = 500,
          .code = "InternalFailure"},
         QE_ERR_NETWORK,
         "InternalFailure"},
        {{QE_SQS_START_MESSAGE_MOVE_TASK, .failure = QE_ERR_NOT_FOUND, .status = 404,
          .code = "ResourceNotFoundException"},
         QE_ERR_NOT_FOUND,
         "ResourceNotFoundException"},
        {{QE_SQS_START_MESSAGE_MOVE_TASK, .failure = QE_ERR_AUTH, .status = 403,
          .code = "AccessDenied"},
         QE_ERR_AUTH,
         "AccessDenied"},
    };
    struct desk *desk = *state;

    qe_free(desk->queue.arn);
    desk->queue.arn = qe_strdup(ARN);
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        const struct step steps[] = {s_rows[i].step, {.answer = NULL}};
        struct qe_err err = {0};

        play(steps);
        assert_int_equal(start(desk, NULL, 0, &err), -1);
        assert_int_equal(err.code, s_rows[i].code);
        assert_non_null(strstr(err.message, s_rows[i].word));
        assert_non_null(strstr(err.message, "\"orders\""));
        play(NULL);
    }
}

static void the_newest_task_is_told(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_LIST_MESSAGE_MOVE_TASKS,
         .answer = "{\"Results\":[{\"TaskHandle\":\"t\",\"Status\":\"RUNNING\","
                   "\"FailureReason\":\"none yet\",\"ApproximateNumberOfMessagesMoved\":5,"
                   "\"ApproximateNumberOfMessagesToMove\":9,\"StartedTimestamp\":1795311000123}]}"},
        {QE_SQS_LIST_MESSAGE_MOVE_TASKS,
         .answer = "{\"Results\":[{\"Status\":\"FAILED\",\"FailureReason\":\"no room\","
                   "\"ApproximateNumberOfMessagesMoved\":-3,\"StartedTimestamp\":1795311000}]}"},
        {QE_SQS_LIST_MESSAGE_MOVE_TASKS, .answer = "{}"},
        {.answer = NULL}};
    struct desk *desk = *state;
    struct qe_redrive_task task;
    struct qe_err err = {0};

    qe_free(desk->queue.arn);
    desk->queue.arn = qe_strdup(ARN);
    play(steps);
    assert_ok(qe_driver_sqs.redrive_status(desk->sqs, &desk->queue, in_ms(5000), &task, &err), err);
    expect_body(0, "{\"SourceArn\":\"" ARN "\",\"MaxResults\":1}");
    assert_int_equal(task.state, QE_REDRIVE_RUNNING);
    assert_string_equal(task.reason, "");
    assert_int_equal(task.moved_messages, 5);
    assert_int_equal(task.to_move_messages, 9);
    assert_int_equal(task.started_unix_ms, 1795311000123);
    assert_ok(qe_driver_sqs.redrive_status(desk->sqs, &desk->queue, in_ms(5000), &task, &err), err);
    assert_int_equal(task.state, QE_REDRIVE_FAILED);
    assert_string_equal(task.reason, "no room");
    assert_int_equal(task.moved_messages, 0);
    assert_true(task.to_move_messages == UINT64_MAX);
    assert_int_equal(task.started_unix_ms, 1795311000000); /* seconds */
    assert_ok(qe_driver_sqs.redrive_status(desk->sqs, &desk->queue, in_ms(5000), &task, &err), err);
    assert_int_equal(task.state, QE_REDRIVE_NONE);
    expect_end();
}

static void only_what_runs_can_be_cancelled(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_LIST_MESSAGE_MOVE_TASKS,
         .answer = "{\"Results\":[{\"TaskHandle\":\"han\\\"dle\",\"Status\":\"RUNNING\"}]}"},
        {QE_SQS_CANCEL_MESSAGE_MOVE_TASK, .answer = "{\"ApproximateNumberOfMessagesMoved\":1}"},
        {QE_SQS_LIST_MESSAGE_MOVE_TASKS, .answer = "{\"Results\":[{\"Status\":\"COMPLETED\"}]}"},
        {.answer = NULL}};
    struct desk *desk = *state;
    struct qe_err err = {0};

    qe_free(desk->queue.arn);
    desk->queue.arn = qe_strdup(ARN);
    play(steps);
    assert_ok(qe_driver_sqs.redrive_cancel(desk->sqs, &desk->queue, in_ms(5000), &err), err);
    expect_body(1, "{\"TaskHandle\":\"han\\\"dle\"}");
    assert_int_equal(qe_driver_sqs.redrive_cancel(desk->sqs, &desk->queue, in_ms(5000), &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    expect_end();
}

static void a_purge_too_soon_after_another_says_when(void **state)
{
    static const struct step steps[] = {{QE_SQS_PURGE_QUEUE, .answer = ""},
                                        {QE_SQS_PURGE_QUEUE, .failure = QE_ERR_LIMIT, .status = 403,
                                         .code = "PurgeQueueInProgress"},
                                        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_err err = {0};
    uint64_t count = 7;

    play(steps);
    assert_ok(qe_driver_sqs.purge(desk->sqs, &desk->queue, in_ms(5000), &count, &err), err);
    assert_true(count == UINT64_MAX); /* SQS does not tell */
    count = 7;
    assert_int_equal(qe_driver_sqs.purge(desk->sqs, &desk->queue, in_ms(5000), &count, &err), -1);
    assert_int_equal(err.code, QE_ERR_THROTTLED);
    assert_non_null(strstr(err.message, "60 s"));
    assert_int_equal(count, 7);
    expect_end();
}

/* As listed, when two accounts have a queue of one name. */
static void a_name_with_an_account_is_asked_for_there(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" QUEUE_URL "\"}"},
        {QE_SQS_PURGE_QUEUE, .answer = ""},
        {.answer = NULL}};
    struct desk *desk = *state;
    struct qe_err err = {0};
    uint64_t count = 0;

    play(steps);
    qe_free(desk->queue.name);
    desk->queue.name = qe_strdup("222222222222/orders");
    desk->queue.address[0] = '\0';
    assert_ok(qe_driver_sqs.purge(desk->sqs, &desk->queue, in_ms(5000), &count, &err), err);
    expect_body(0, "{\"QueueName\":\"orders\",\"QueueOwnerAWSAccountId\":\"222222222222\"}");
    expect_end();
}

static int scenario(void *context, struct qe_err *err)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_URL, .answer = "{\"QueueUrl\":\"" QUEUE_URL "\"}"},
        {QE_SQS_GET_QUEUE_ATTRIBUTES, .answer = FACTS("30", "")},
        {QE_SQS_START_MESSAGE_MOVE_TASK, .answer = "{\"TaskHandle\":\"t\"}"},
        {QE_SQS_LIST_MESSAGE_MOVE_TASKS,
         .answer = "{\"Results\":[{\"TaskHandle\":\"t\",\"Status\":\"RUNNING\"}]}"},
        {QE_SQS_CANCEL_MESSAGE_MOVE_TASK, .answer = "{}"},
        {QE_SQS_PURGE_QUEUE, .answer = ""},
        {.answer = NULL}};
    static struct desk s_desk;
    uint64_t count = 0;

    (void)context;
    play(steps);
    int rc = desk_init(&s_desk, err);

    if (rc == 0) {
        s_desk.queue.address[0] = '\0';
        rc = start(&s_desk, NULL, 0, err);
    }
    if (rc == 0) {
        rc = qe_driver_sqs.redrive_cancel(s_desk.sqs, &s_desk.queue, in_ms(5000), err);
    }
    if (rc == 0) {
        rc = qe_driver_sqs.purge(s_desk.sqs, &s_desk.queue, in_ms(5000), &count, err);
    }
    desk_deinit(&s_desk);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(scenario, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_redrive_goes_by_arn_and_is_begun_once),
        TEST(what_cannot_be_is_told_apart),
        TEST(the_newest_task_is_told),
        TEST(only_what_runs_can_be_cancelled),
        TEST(a_purge_too_soon_after_another_says_when),
        TEST(a_name_with_an_account_is_asked_for_there),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests_name("sqs redrive", tests, NULL, NULL);
}
