/* Topics: a copy for each subscriber, from its subscription to its end; and queues for replies. */
#include <stdio.h>
#include <string.h>

#include "contract/contract_internal.h"
#include "util/clock.h"

static struct qe_topic topic_of(const struct world *world, const char *key)
{
    return (struct qe_topic){.vhost = world->queues[QE_CONTRACT_WORK].vhost,
                             .name = world->fixture->topic != NULL ? world->fixture->topic : "news",
                             .key = key};
}

static struct qe_queue subscribe(struct world *world, const struct qe_topic *topic)
{
    struct qe_queue queue = {0};
    struct qe_err err = {0};

    assert_ok(world->driver->subscribe(world->handle, topic, in_ms(5000), &queue, &err), err);
    return queue;
}

static void unsubscribe(struct world *world, struct qe_queue *queue)
{
    struct qe_err err = {0};

    assert_ok(world->driver->unsubscribe(world->handle, queue, in_ms(5000), &err), err);
    qe_queue_deinit(queue);
}

static void publish(struct world *world, const struct qe_topic *topic, const char *body)
{
    struct qe_outgoing message = {.body = body, .body_bytes = strlen(body), .delay_ms = -1};
    struct qe_err err = {0};

    assert_ok(world->driver->publish(world->handle, topic, &message, 1, in_ms(5000), &err), err);
    assert_ok(message.result.code == QE_OK ? 0 : -1, message.result);
}

/* The one message that is there within 5 s, acked. */
static void take(struct world *world, const struct qe_queue *queue, const char *body)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(world->driver->receive(world->handle, queue, 1, in_ms(5000), &list, &err), err);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].body, body);
    struct qe_settlement settlement = {.message = &list.items[0], .verb = QE_SETTLE_ACK};

    assert_ok(world->driver->settle(world->handle, queue, &settlement, 1, in_ms(5000), &err), err);
    assert_int_equal(settlement.result, QE_SETTLED);
    qe_message_list_deinit(&list);
}

static void take_none(struct world *world, const struct qe_queue *queue)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(world->driver->receive(world->handle, queue, 1, in_ms(0), &list, &err), err);
    assert_int_equal(list.count, 0);
}

static void each_subscriber_gets_a_copy(void **state)
{
    struct world *world = *state;
    const struct qe_topic topic = topic_of(world, "");

    publish(world, &topic, "before anybody listens: accepted, and gone");
    struct qe_queue first = subscribe(world, &topic);
    struct qe_queue second = subscribe(world, &topic);

    assert_string_not_equal(first.name, second.name);
    publish(world, &topic, "one");
    publish(world, &topic, "two");
    take(world, &first, "one");
    take(world, &second, "one");
    take(world, &second, "two");
    take(world, &first, "two");
    take_none(world, &first);
    unsubscribe(world, &second);
    publish(world, &topic, "three");
    take(world, &first, "three");
    unsubscribe(world, &first);
}

static void an_ended_subscription_is_no_queue_any_more(void **state)
{
    struct world *world = *state;
    const struct qe_topic topic = topic_of(world, "");
    struct qe_queue queue = subscribe(world, &topic);
    struct qe_queue kept = {0};
    struct qe_outgoing message = {.body = "x", .body_bytes = 1, .delay_ms = -1};
    struct qe_err err = {0};

    assert_ok(qe_queue_copy(&kept, &queue, &err), err);
    unsubscribe(world, &queue);
    assert_int_equal(world->driver->unsubscribe(world->handle, &kept, in_ms(5000), &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_int_equal(world->driver->send(world->handle, &kept, &message, 1, in_ms(5000), &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    qe_queue_deinit(&kept);
}

static void attributes_and_ids_reach_subscribers(void **state)
{
    struct world *world = *state;
    const struct qe_topic topic = topic_of(world, "");
    struct qe_queue queue = subscribe(world, &topic);
    struct qe_attributes attributes = {0};
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(qe_attributes_add(&attributes, "kind", "flood", &err), err);
    struct qe_outgoing message = {.body = "b",
                                  .body_bytes = 1,
                                  .attributes = &attributes,
                                  .delay_ms = -1,
                                  .correlation_id = "c-1",
                                  .reply_to = "answers"};

    assert_ok(world->driver->publish(world->handle, &topic, &message, 1, in_ms(5000), &err), err);
    assert_ok(world->driver->receive(world->handle, &queue, 1, in_ms(5000), &list, &err), err);
    assert_int_equal(list.count, 1);
    assert_string_equal(qe_attributes_get(&list.items[0].attributes, "kind"), "flood");
    assert_string_equal(list.items[0].correlation_id, "c-1");
    assert_string_equal(list.items[0].reply_to, "answers");
    qe_attributes_deinit(&attributes);
    qe_message_list_deinit(&list);
    unsubscribe(world, &queue);
}

/* What is requested elsewhere is answered to a queue that only this handle has. */
static void a_reply_finds_who_asked(void **state)
{
    struct world *world = *state;
    const struct qe_topic none = {.vhost = world->queues[QE_CONTRACT_WORK].vhost, .key = ""};
    struct qe_queue replies = subscribe(world, &none);
    void *server = world_open(world);
    struct qe_outgoing request = {.body = "2+2",
                                  .body_bytes = 3,
                                  .delay_ms = -1,
                                  .correlation_id = "r-1",
                                  .reply_to = replies.name};
    struct qe_outgoing reply = {
        .body = "4", .body_bytes = 1, .delay_ms = -1, .correlation_id = "r-1"};
    struct qe_message_list list = {0};
    struct qe_queue to = {0};
    struct qe_err err = {0};

    send_one(world, QE_CONTRACT_WORK, &request);
    assert_ok(world->driver->receive(server, &world->queues[QE_CONTRACT_WORK], 1, in_ms(5000),
                                     &list, &err),
              err);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].correlation_id, "r-1");
    assert_ok(qe_queue_init(&to, replies.vhost, list.items[0].reply_to, replies.kind, &err), err);
    assert_ok(world->driver->send(server, &to, &reply, 1, in_ms(5000), &err), err);
    assert_ok(reply.result.code == QE_OK ? 0 : -1, reply.result);
    struct qe_settlement settlement = {.message = &list.items[0], .verb = QE_SETTLE_ACK};

    assert_ok(world->driver->settle(server, &world->queues[QE_CONTRACT_WORK], &settlement, 1,
                                    in_ms(5000), &err),
              err);
    qe_message_list_deinit(&list);
    assert_ok(world->driver->receive(world->handle, &replies, 1, in_ms(5000), &list, &err), err);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].body, "4");
    assert_string_equal(list.items[0].correlation_id, "r-1");
    settlement = (struct qe_settlement){.message = &list.items[0], .verb = QE_SETTLE_RELEASE};
    assert_ok(world->driver->settle(world->handle, &replies, &settlement, 1, in_ms(5000), &err),
              err);
    qe_message_list_deinit(&list);
    take(world, &replies, "4"); /* given back is not lost */
    unsubscribe(world, &replies);
    assert_int_equal(world->driver->send(server, &to, &reply, 1, in_ms(5000), &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND); /* who asked is gone */
    qe_queue_deinit(&to);
    world->driver->destroy(server);
}

static void subscribers_choose_by_key_where_there_are_keys(void **state)
{
    struct world *world = *state;

    if (world->fixture->keyed_topic == NULL) {
        struct qe_topic topic = topic_of(world, "some.key");
        struct qe_queue queue = {0};
        struct qe_err err = {0};

        assert_int_equal(world->driver->subscribe(world->handle, &topic, in_ms(5000), &queue, &err),
                         -1);
        assert_int_equal(err.code, QE_ERR_UNSUPPORTED);
        return;
    }
    struct qe_topic topic = topic_of(world, "");

    topic.name = world->fixture->keyed_topic;
    struct qe_queue all = subscribe(world, &topic);

    topic.key = "eu.*";
    struct qe_queue some = subscribe(world, &topic);

    topic.key = "us.orders";
    publish(world, &topic, "us");
    topic.key = "eu.orders";
    publish(world, &topic, "eu");
    take(world, &some, "eu");
    take_none(world, &some);
    take(world, &all, "us");
    take(world, &all, "eu");
    unsubscribe(world, &all);
    unsubscribe(world, &some);
}

static void a_topic_that_has_to_be_made_before_is_not_found(void **state)
{
    struct world *world = *state;
    struct qe_topic topic = topic_of(world, "");
    struct qe_outgoing message = {.body = "x", .body_bytes = 1, .delay_ms = -1};
    struct qe_queue queue = {0};
    struct qe_err err = {0};

    if (world->fixture->topic == NULL) {
        print_message("skipped: here any name is a topic\n");
        skip();
    }
    topic.name = "no-such-topic";
    assert_int_equal(world->driver->subscribe(world->handle, &topic, in_ms(5000), &queue, &err),
                     -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_int_equal(world->driver->publish(world->handle, &topic, &message, 1, in_ms(5000), &err),
                     -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_int_equal(message.result.code, QE_ERR_NOT_FOUND);
    topic.name = world->fixture->topic; /* and what is there still works */
    publish(world, &topic, "x");
}

#define ALL (QE_CAP_SEND | QE_CAP_RECEIVE | QE_CAP_TOPICS)

const struct contract_test qe_contract_topics[] = {
    {"each subscriber gets a copy", each_subscriber_gets_a_copy, ALL},
    {"an ended subscription is no queue any more", an_ended_subscription_is_no_queue_any_more, ALL},
    {"attributes and ids reach subscribers", attributes_and_ids_reach_subscribers, ALL},
    {"a reply finds who asked", a_reply_finds_who_asked, ALL},
    {"subscribers choose by key where there are keys",
     subscribers_choose_by_key_where_there_are_keys, ALL},
    {"a topic that has to be made before is not found",
     a_topic_that_has_to_be_made_before_is_not_found, ALL},
    {NULL, NULL, 0},
};
