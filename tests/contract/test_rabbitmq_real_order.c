/* What order_by builds on, on a real server: messages come in the queue's order, also to receives
 * whose deadline has passed when they begin; a release says whether the broker delays it; and what
 * is acknowledged before the end stays so. */
#include <stdio.h>
#include <string.h>

#include "contract/rabbitmq_fixture.h"
#include "support/check.h"
#include "util/clock.h"

#define MESSAGES 60
#define MANY 250
#define ROUNDS 5
#define LAST 4 /* of them are done when the others have gone back */
#define PATIENCE_MS 5000

struct world {
    struct rabbitmq_fixture server;
    struct qe_queue queue;
    void *handle;
};

static struct world s_world;

static int set_up(enum qe_queue_kind kind, void **state)
{
    struct rabbitmq_fixture *server = &s_world.server;
    const struct qe_deps deps = {.source = "order"};
    struct qe_err err = {0};

    server->kind = kind;
    assert_ok(rabbitmq_fixture_setup(server, &err), err);
    assert_ok(qe_queue_init(&s_world.queue, "/", server->names[QE_CONTRACT_BRIEF], kind, &err),
              err);
    assert_ok(qe_driver_rabbitmq.create(&server->settings, &deps, &s_world.handle, &err), err);
    *state = &s_world;
    return 0;
}

static int set_up_classic(void **state)
{
    return set_up(QE_KIND_CLASSIC, state);
}

static int set_up_quorum(void **state)
{
    return set_up(QE_KIND_QUORUM, state);
}

static int tear_down(void **state)
{
    struct world *world = *state;

    qe_driver_rabbitmq.destroy(world->handle);
    qe_queue_deinit(&world->queue);
    rabbitmq_fixture_teardown(&world->server);
    return 0;
}

/* Its body is its number. */
static void send_one(struct world *world, size_t number, const struct qe_attributes *attributes)
{
    struct qe_err err = {0};
    char body[8];

    (void)snprintf(body, sizeof body, "%zu", number);
    struct qe_outgoing message = {
        .body = body, .body_bytes = strlen(body), .delay_ms = -1, .attributes = attributes};
    assert_ok(qe_driver_rabbitmq.send(world->handle, &world->queue, &message, 1,
                                      qe_clock_mono_ms() + PATIENCE_MS, &err),
              err);
}

static void send_all(struct world *world)
{
    for (size_t i = 0; i < MESSAGES; i++) {
        send_one(world, i, NULL);
    }
}

/* One message, within so long; checks that it is this one. */
static struct qe_message_list take(struct world *world, size_t number, int64_t within_ms)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};
    char wanted[8];

    (void)snprintf(wanted, sizeof wanted, "%zu", number);
    assert_ok(qe_driver_rabbitmq.receive(world->handle, &world->queue, 1,
                                         qe_clock_mono_ms() + within_ms, &list, &err),
              err);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].body, wanted);
    return list;
}

static struct qe_settlement settle(struct world *world, const struct qe_message *message,
                                   enum qe_settle_verb verb, int64_t delay_ms)
{
    struct qe_settlement settlement = {.message = message, .verb = verb, .delay_ms = delay_ms};
    struct qe_err err = {0};

    assert_ok(qe_driver_rabbitmq.settle(world->handle, &world->queue, &settlement, 1,
                                        qe_clock_mono_ms() + PATIENCE_MS, &err),
              err);
    assert_int_equal(settlement.result, QE_SETTLED);
    assert_int_equal(settlement.err.code, QE_OK);
    return settlement;
}

/* The ack makes the queue push the next message, and what is asked for right behind it is the one
 * after that. */
static void look_behind_an_ack_takes_the_next_one(void **state)
{
    struct world *world = *state;

    send_all(world);
    for (size_t i = 0; i < MESSAGES; i++) {
        struct qe_message_list list = take(world, i, i == 0 ? PATIENCE_MS : 0);

        (void)settle(world, &list.items[0], QE_SETTLE_ACK, 0);
        qe_message_list_deinit(&list);
    }
}

/* All that may be pushed is in hand: more is to be had all the same, and in order. */
static void look_with_all_in_hand_takes_the_next_one(void **state)
{
    struct world *world = *state;
    struct qe_message_list lists[MESSAGES];

    send_all(world);
    for (size_t i = 0; i < MESSAGES; i++) {
        lists[i] = take(world, i, i == 0 ? PATIENCE_MS : 0);
    }
    for (size_t i = 0; i < MESSAGES; i++) {
        (void)settle(world, &lists[i].items[0], QE_SETTLE_ACK, 0);
        qe_message_list_deinit(&lists[i]);
    }
}

/* A message with a time to live of its own goes back in its place at once; another one does not. */
static void release_says_whether_the_broker_delays_it(void **state)
{
    struct world *world = *state;
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};

    assert_ok(qe_attributes_add_typed(&attributes, "expiration", "property", "600000", &err), err);
    send_one(world, 0, &attributes);
    send_one(world, 1, NULL);
    struct qe_message_list mortal = take(world, 0, PATIENCE_MS);
    struct qe_message_list other = take(world, 1, PATIENCE_MS);
    assert_true(settle(world, &mortal.items[0], QE_SETTLE_RELEASE, 5000).undelayed);
    assert_false(settle(world, &other.items[0], QE_SETTLE_RELEASE, 5000).undelayed);
    qe_message_list_deinit(&mortal);
    qe_message_list_deinit(&other);
    mortal = take(world, 0, PATIENCE_MS);
    assert_false(settle(world, &mortal.items[0], QE_SETTLE_RELEASE, 0).undelayed); /* none asked */
    qe_message_list_deinit(&mortal);
    qe_attributes_deinit(&attributes);
}

static void send_many(struct world *world)
{
    static struct qe_outgoing messages[MANY];
    struct qe_err err = {0};
    static char bodies[MANY][8];

    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(bodies[i], sizeof bodies[i], "%zu", i);
        messages[i] = (struct qe_outgoing){
            .body = bodies[i], .body_bytes = strlen(bodies[i]), .delay_ms = -1};
    }
    assert_ok(qe_driver_rabbitmq.send(world->handle, &world->queue, messages, MANY,
                                      qe_clock_mono_ms() + PATIENCE_MS, &err),
              err);
}

/* All there are: nothing more comes for a second. */
static void take_rest(struct world *world, struct qe_message_list *out)
{
    struct qe_err err = {0};
    size_t before = 0;

    do {
        before = out->count;
        assert_ok(qe_driver_rabbitmq.receive(world->handle, &world->queue, MANY,
                                             qe_clock_mono_ms() + 1000, out, &err),
                  err);
    } while (out->count > before);
}

static void settle_many(struct world *world, const struct qe_message_list *list, size_t first,
                        size_t end, enum qe_settle_verb verb)
{
    static struct qe_settlement settlements[MANY];
    struct qe_err err = {0};

    for (size_t i = first; i < end; i++) {
        settlements[i - first] = (struct qe_settlement){
            .message = &list->items[i], .verb = verb, .unhandled = verb == QE_SETTLE_RELEASE};
    }
    assert_ok(qe_driver_rabbitmq.settle(world->handle, &world->queue, settlements, end - first,
                                        qe_clock_mono_ms() + PATIENCE_MS, &err),
              err);
}

/* As a consumer stops: what has not begun goes back, what runs ends a moment later, and then the
 * connection does. */
static void what_is_acked_before_the_end_does_not_come_again(void **state)
{
    struct world *world = *state;
    const struct qe_deps deps = {.source = "order"};

    send_many(world);
    for (size_t round = 0; round < ROUNDS; round++) {
        struct qe_message_list list = {0};
        struct qe_err err = {0};

        take_rest(world, &list);
        assert_int_equal(list.count, MANY - round * LAST);
        settle_many(world, &list, LAST, list.count, QE_SETTLE_RELEASE);
        settle_many(world, &list, 0, LAST, QE_SETTLE_ACK);
        qe_message_list_deinit(&list);
        qe_driver_rabbitmq.destroy(world->handle);
        world->handle = NULL;
        assert_ok(qe_driver_rabbitmq.create(&world->server.settings, &deps, &world->handle, &err),
                  err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(look_behind_an_ack_takes_the_next_one, set_up_classic,
                                        tear_down),
        cmocka_unit_test_setup_teardown(look_behind_an_ack_takes_the_next_one, set_up_quorum,
                                        tear_down),
        cmocka_unit_test_setup_teardown(look_with_all_in_hand_takes_the_next_one, set_up_classic,
                                        tear_down),
        cmocka_unit_test_setup_teardown(release_says_whether_the_broker_delays_it, set_up_classic,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_acked_before_the_end_does_not_come_again,
                                        set_up_quorum, tear_down)};

    s_world.server.url = rabbitmq_fixture_need("QE_RABBITMQ_URL");
    s_world.server.amqp_url = rabbitmq_fixture_need("QE_RABBITMQ_AMQP_URL");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
