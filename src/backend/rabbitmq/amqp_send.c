/* Sending to a queue, through the default exchange. */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "backend/rabbitmq/work.h"
#include "util/text.h"

struct sending {
    struct qe_rmq *rmq;
    struct qe_amqp_space *space;
    struct qe_amqp_publisher *publisher;
    const struct qe_queue *queue; /* NULL: to a topic */
    const struct qe_topic *topic;
    struct qe_outgoing *messages;
    int64_t deadline_mono_ms;
};

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* Where a direct reply goes is no queue, to the mandatory flag: everything would be returned. */
static bool is_direct_reply(const struct qe_queue *queue)
{
    return qe_text_starts_with(queue->name, QE_AMQP_REPLIES ".");
}

/* The one that it is to keep, or a new one. */
static const char *choose_id(const struct sending *sending, struct qe_outgoing *message)
{
    const char *given = or_empty(message->message_id);

    if (given[0] == '\0') {
        qe_amqp_make_id(sending->rmq->work, message->id);
        return message->id;
    }
    (void)snprintf(message->id, sizeof message->id, "%s", given);
    return given; /* uncut: one that is too long is refused */
}

static int fill(void *context, size_t index, struct qe_amqp_letter *out, struct qe_err *err)
{
    struct sending *sending = context;
    struct qe_outgoing *message = &sending->messages[index];

    if (message->result.code != QE_OK) {
        *err = message->result; /* of its delay */
        return -1;
    }
    if (or_empty(message->group)[0] != '\0') {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "RabbitMQ has no ordered groups");
    }
    *out = (struct qe_amqp_letter){
        .exchange = "",
        .routing_key = sending->queue != NULL ? sending->queue->name : sending->topic->key,
        .is_mandatory = sending->queue != NULL && !is_direct_reply(sending->queue),
        .body = message->body,
        .body_bytes = message->body_bytes,
        .attributes = message->attributes,
        .id = choose_id(sending, message),
        .correlation_id = or_empty(message->correlation_id),
        .reply_to = or_empty(message->reply_to),
        .sent_unix_ms = qe_clock_unix_ms(),
    };
    if (sending->queue == NULL) {
        out->exchange = sending->topic->name;
        return 0;
    }
    if (message->delay_ms > 0) {
        const struct qe_amqp_delay_way way =
            qe_amqp_delays_way(&sending->space->delays, sending->queue->name, message->delay_ms);

        out->exchange = way.exchange;
        out->delay_ms = way.header_ms;
        out->is_mandatory = way.header_ms == 0;
    }
    return 0;
}

static void done(void *context, size_t index, const struct qe_err *result)
{
    struct sending *sending = context;
    struct qe_outgoing *message = &sending->messages[index];

    message->result = *result;
    if (result->code != QE_OK) {
        qe_amqp_delays_forget(&sending->space->delays, result);
        message->id[0] = '\0';
        (void)qe_err_wrap(&message->result, "%s %s", sending->queue != NULL ? "queue" : "topic",
                          sending->queue != NULL ? sending->queue->name : sending->topic->name);
    }
}

/* A queue that is not there is not there for any of them. */
static int judge(const struct qe_outgoing *messages, size_t count, struct qe_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (messages[i].result.code != QE_ERR_NOT_FOUND) {
            return 0;
        }
    }
    *err = messages[0].result;
    return -1;
}

static void fail_all(struct qe_outgoing *messages, size_t count, const struct qe_err *err)
{
    for (size_t i = 0; i < count; i++) {
        messages[i].result = *err;
        messages[i].id[0] = '\0';
    }
}

/* Whether who asked is still there is told by a passive declare. */
static int check_asker(struct sending *sending, struct qe_err *err)
{
    amqp_queue_declare_t declare = {.queue = qe_amqp_text(sending->queue->name), .passive = 1};

    return qe_amqp_publisher_open(sending->publisher, sending->deadline_mono_ms, err) == 0 &&
                   qe_amqp_call(sending->publisher->channel, AMQP_QUEUE_DECLARE_METHOD, &declare,
                                sending->deadline_mono_ms, err) == 0
               ? 0
               : qe_err_wrap(err, "queue %s", sending->queue->name);
}

/* Before anything is under way, which a connection without an answer would take with it. What fails
 * for one of them fails for each of the same delay: the queue is the same. */
static void prepare_delays(struct sending *sending, size_t count)
{
    int64_t failed_ms = -1;
    struct qe_err why = {0};

    for (size_t i = 0; i < count; i++) {
        struct qe_outgoing *message = &sending->messages[i];
        const int64_t delay_ms = qe_rmq_delay_ms(message->delay_ms);

        message->result = (struct qe_err){0};
        if (sending->queue == NULL || delay_ms <= 0) {
            continue;
        }
        if (is_direct_reply(sending->queue)) {
            (void)qe_err_set(&message->result, QE_ERR_UNSUPPORTED,
                             "a reply cannot be delayed on RabbitMQ");
        } else if (delay_ms == failed_ms) {
            message->result = why;
        } else if (qe_amqp_delays_prepare(&sending->space->delays, sending->queue->name,
                                          message->delay_ms, sending->deadline_mono_ms,
                                          &message->result) != 0) {
            failed_ms = delay_ms;
            why = message->result;
        }
    }
}

static int send_all(struct sending *sending, size_t count, struct qe_err *err)
{
    const struct qe_amqp_batch batch = {
        .context = sending, .count = count, .fill = fill, .done = done};

    if (sending->queue != NULL && is_direct_reply(sending->queue) &&
        check_asker(sending, err) != 0) {
        fail_all(sending->messages, count, err);
        return -1;
    }
    prepare_delays(sending, count);
    if (qe_amqp_publish_all(sending->publisher, &batch, sending->deadline_mono_ms, err) != 0) {
        return -1;
    }
    return count == 0 ? 0 : judge(sending->messages, count, err);
}

/* Requests go out where their direct replies come in. */
static struct qe_amqp_publisher *publisher_of(struct qe_rmq *rmq, struct qe_amqp_space *space,
                                              const struct qe_outgoing *messages, size_t count)
{
    const struct qe_amqp_consumer *replies =
        count == 0 || strcmp(or_empty(messages[0].reply_to), QE_AMQP_REPLIES) != 0
            ? NULL
            : qe_amqp_consumer_find(rmq, space->vhost, QE_AMQP_REPLIES);

    return replies != NULL && replies->requester != NULL ? replies->requester : &space->publisher;
}

int qe_rmq_send(void *handle, const struct qe_queue *to, struct qe_outgoing *messages, size_t count,
                int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_rmq *rmq = handle;
    const int64_t start_us = qe_clock_mono_us();
    struct qe_err why = {0};
    struct qe_amqp_space *space = qe_amqp_space_find(rmq, qe_amqp_vhost(to), &why);
    int rc = -1;

    if (space == NULL) {
        fail_all(messages, count, &why);
    } else {
        struct sending sending = {.rmq = rmq,
                                  .space = space,
                                  .publisher = publisher_of(rmq, space, messages, count),
                                  .queue = to,
                                  .messages = messages,
                                  .deadline_mono_ms = deadline_mono_ms};

        rc = send_all(&sending, count, &why);
    }
    if (rc != 0) {
        *err = why;
    }
    return qe_amqp_count(rmq, QE_RMQ_SEND, start_us, rc, &why);
}

int qe_rmq_publish(void *handle, const struct qe_topic *topic, struct qe_outgoing *messages,
                   size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_rmq *rmq = handle;
    const int64_t start_us = qe_clock_mono_us();
    const char *vhost = topic->vhost[0] != '\0' ? topic->vhost : "/";
    struct qe_err why = {0};
    struct qe_amqp_space *space = qe_amqp_space_find(rmq, vhost, &why);
    int rc = -1;

    if (topic->name[0] == '\0') {
        (void)qe_err_set(&why, QE_ERR_INVALID, "a topic is an exchange that has a name");
        space = NULL;
    }
    if (space == NULL) {
        fail_all(messages, count, &why);
    } else {
        struct sending sending = {.rmq = rmq,
                                  .space = space,
                                  .publisher = &space->publisher,
                                  .topic = topic,
                                  .messages = messages,
                                  .deadline_mono_ms = deadline_mono_ms};

        rc = send_all(&sending, count, &why);
    }
    if (rc != 0) {
        *err = why;
    }
    return qe_amqp_count(rmq, QE_RMQ_PUBLISH, start_us, rc, &why);
}
