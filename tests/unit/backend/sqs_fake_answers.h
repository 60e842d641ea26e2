/* What the made AWS says to each call. Part of sqs_fake.h; not for itself. */
#ifndef QE_TESTS_UNIT_BACKEND_SQS_FAKE_ANSWERS_H
#define QE_TESTS_UNIT_BACKEND_SQS_FAKE_ANSWERS_H

#include "unit/backend/sqs_fake_queues.h"

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

/* An older, higher value beside the newest, or on the page behind it: neither order nor pages may
 * matter. */
static void answer_query(struct qe_strbuf *reply, const struct qe_json *query, double end,
                         bool is_second)
{
    const struct fake_queue *queue = queue_of_query(query);
    const char *status =
        queue == NULL || queue->age_status == NULL ? "Complete" : queue->age_status;

    (void)qe_strbuf_printf(reply, "{\"Id\":\"%s\",\"StatusCode\":\"%s\"",
                           qe_json_text(qe_json_get(query, "Id")), status);
    if (queue == NULL || queue->age <= 0) {
        (void)qe_strbuf_append_text(reply, ",\"Timestamps\":[],\"Values\":[]}");
    } else if (!s_fake.ages_in_pages) {
        (void)qe_strbuf_printf(reply, ",\"Timestamps\":[%.0f,%.0f],\"Values\":[9999,%g]}",
                               end - 120, end - 60, queue->age);
    } else {
        (void)qe_strbuf_printf(reply, ",\"Timestamps\":[%.0f],\"Values\":[%g]}",
                               is_second ? end - 120 : end - 60, is_second ? 9999 : queue->age);
    }
}

static void answer_ages(struct qe_aws_call *call, const struct qe_json *body)
{
    const bool is_second = qe_json_get(body, "NextToken") != NULL;
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
        s_fake.metrics_asked += is_second ? 0 : 1;
        (void)qe_strbuf_append_text(&call->reply_body, separator);
        answer_query(&call->reply_body, query, end, is_second);
        separator = ",";
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

#endif
