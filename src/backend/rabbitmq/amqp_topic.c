/* Topics are exchanges, which their owner declares. A subscription is an exclusive queue that the
 * broker names, gone with its connection, and made anew under another name with the next one; for
 * replies it is no queue at all, but RabbitMQ's direct reply-to. */
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"

#define CALL_MS 2000

static int set_text(char **text, const char *value, struct qe_err *err)
{
    char *copy = qe_strdup(value);

    if (copy == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "%s", value);
    }
    qe_free(*text);
    *text = copy;
    return 0;
}

/* A call that is not answered costs the connection, and with it what others have in hand. */
static int64_t call_deadline(int64_t deadline_mono_ms)
{
    const int64_t least = qe_clock_mono_ms() + CALL_MS;

    return deadline_mono_ms > least ? deadline_mono_ms : least;
}

/* Without a key: all of them. "#" is that to a topic exchange, and nothing to a fanout or headers
 * exchange, which give everything; of a direct exchange come the messages without a key. */
static int bind_all(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms, struct qe_err *err)
{
    const char *const keys[] = {consumer->key[0] != '\0' ? consumer->key : "#", ""};
    const size_t count = consumer->key[0] != '\0' ? 1 : 2;

    for (size_t i = 0; i < count; i++) {
        amqp_queue_bind_t bind = {.queue = qe_amqp_text(consumer->declared),
                                  .exchange = qe_amqp_text(consumer->topic),
                                  .routing_key = qe_amqp_text(keys[i])};

        if (qe_amqp_call(&consumer->channel, AMQP_QUEUE_BIND_METHOD, &bind, deadline_mono_ms,
                         err) != 0) {
            return qe_err_wrap(err, "topic %s", consumer->topic);
        }
    }
    consumer->is_bound = true;
    return 0;
}

int qe_amqp_declare_subscription(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms,
                                 struct qe_err *err)
{
    amqp_queue_declare_t queue = {.exclusive = 1};

    if (consumer->declared == NULL &&
        (qe_amqp_call(&consumer->channel, AMQP_QUEUE_DECLARE_METHOD, &queue, deadline_mono_ms,
                      err) != 0 ||
         set_text(&consumer->declared, consumer->channel.answer_name, err) != 0)) {
        return -1;
    }
    return bind_all(consumer, deadline_mono_ms, err);
}

static int open_topic(struct qe_amqp_consumer *consumer, const struct qe_topic *topic,
                      int64_t deadline_mono_ms, struct qe_err *err)
{
    consumer->is_own = true;
    return set_text(&consumer->key, topic->key, err) == 0 &&
                   set_text(&consumer->topic, topic->name, err) == 0 &&
                   qe_amqp_consumer_open(consumer, deadline_mono_ms, err) == 0 &&
                   set_text(&consumer->queue, consumer->declared, err) == 0
               ? 0
               : -1;
}

/* Requests must be published on the channel that the replies come to. */
static int open_replies(struct qe_amqp_consumer *consumer, int64_t deadline_mono_ms,
                        struct qe_err *err)
{
    if (consumer->requester == NULL) {
        consumer->requester = qe_calloc(1, sizeof *consumer->requester);
        if (consumer->requester == NULL) {
            return qe_err_set(err, QE_ERR_NOMEM, "a subscription");
        }
        qe_amqp_publisher_init(consumer->requester, consumer->rmq, consumer->channel.connection);
        consumer->requester->channel = &consumer->channel;
    }
    consumer->is_own = true;
    consumer->is_auto_acked = true;
    return qe_amqp_consume(consumer, 1, deadline_mono_ms, err);
}

static int subscribe(struct qe_rmq *rmq, const struct qe_topic *topic, int64_t deadline_mono_ms,
                     struct qe_queue *out, struct qe_err *err)
{
    const char *vhost = topic->vhost[0] != '\0' ? topic->vhost : "/";
    const bool is_for_replies = topic->name == NULL;
    struct qe_amqp_consumer *consumer = NULL;

    if (!is_for_replies && topic->name[0] == '\0') {
        return qe_err_set(err, QE_ERR_INVALID, "a topic is an exchange that has a name");
    }
    consumer = qe_amqp_consumer_get(rmq, vhost, is_for_replies ? QE_AMQP_REPLIES : "", err);
    if (consumer == NULL) {
        return -1;
    }
    if ((is_for_replies ? open_replies(consumer, deadline_mono_ms, err)
                        : open_topic(consumer, topic, deadline_mono_ms, err)) != 0 ||
        qe_queue_init(out, vhost, consumer->queue, QE_KIND_CLASSIC, err) != 0) {
        qe_amqp_consumer_remove(rmq, consumer);
        return -1;
    }
    return 0;
}

int qe_rmq_subscribe(void *handle, const struct qe_topic *topic, int64_t deadline_mono_ms,
                     struct qe_queue *out, struct qe_err *err)
{
    struct qe_rmq *rmq = handle;
    const int64_t start_us = qe_clock_mono_us();
    struct qe_err why = {0};
    const int rc = subscribe(rmq, topic, deadline_mono_ms, out, &why);

    if (rc != 0) {
        *err = why;
    }
    return qe_amqp_count(rmq, QE_RMQ_SUBSCRIBE, start_us, rc, &why);
}

int qe_rmq_unsubscribe(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                       struct qe_err *err)
{
    struct qe_rmq *rmq = handle;
    struct qe_amqp_consumer *consumer =
        qe_amqp_consumer_find(rmq, qe_amqp_vhost(queue), queue->name);
    const int64_t deadline = call_deadline(deadline_mono_ms);
    amqp_queue_delete_t delete = {0};
    int rc = 0;

    if (consumer == NULL || !consumer->is_own) {
        return qe_err_set(err, QE_ERR_NOT_FOUND, "queue %s is no subscription of this handle",
                          queue->name);
    }
    if (consumer->declared != NULL && consumer->channel.number != 0) {
        delete.queue = qe_amqp_text(consumer->declared);
        rc = qe_amqp_call(&consumer->channel, AMQP_QUEUE_DELETE_METHOD, &delete, deadline, err);
    }
    qe_amqp_consumer_remove(rmq, consumer);
    return rc;
}
