#include <string.h>
#include <time.h>

#include "contract/contract_internal.h"
#include "util/clock.h"
#include "util/mem.h"

#define PATIENCE_MS 5000

int64_t in_ms(int64_t ms)
{
    return qe_clock_mono_ms() + ms;
}

void sleep_ms(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL);
}

void *world_open(struct world *world)
{
    const struct qe_deps deps = {.source = "contract", .stats = world->stats};
    struct qe_err err = {0};
    void *handle = NULL;

    assert_ok(world->driver->create(world->fixture->settings(world->fixture->context), &deps,
                                    &handle, &err),
              err);
    return handle;
}

int world_setup(void **state)
{
    struct qe_contract_fixture *fixture = *state;
    struct world *world = qe_calloc(1, sizeof(*world));
    struct qe_err err = {0};

    assert_non_null(world);
    world->fixture = fixture;
    world->driver = fixture->driver;
    assert_ok(fixture->setup(fixture->context, &err), err);
    world->registry = qe_stats_new(&err);
    assert_non_null(world->registry);
    const struct qe_api_names names = {world->driver->operations, world->driver->operations_count,
                                       world->driver->services};

    world->stats = qe_stats_api(world->registry, "contract", &names, &err);
    assert_non_null(world->stats);
    for (size_t i = 0; i < QE_CONTRACT_QUEUE_COUNT; i++) {
        assert_ok(
            fixture->queue(fixture->context, (enum qe_contract_queue)i, &world->queues[i], &err),
            err);
    }
    world->handle = world_open(world);
    *state = world;
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;

    world->driver->destroy(world->handle);
    for (size_t i = 0; i < QE_CONTRACT_QUEUE_COUNT; i++) {
        qe_queue_deinit(&world->queues[i]);
    }
    qe_stats_destroy(world->registry);
    world->fixture->teardown(world->fixture->context);
    *state = world->fixture;
    qe_free(world);
    return 0;
}

void send_one(struct world *world, enum qe_contract_queue to, struct qe_outgoing *message)
{
    struct qe_err err = {0};

    assert_ok(world->driver->send(world->handle, &world->queues[to], message, 1, in_ms(PATIENCE_MS),
                                  &err),
              err);
    assert_ok(message->result.code == QE_OK ? 0 : -1, message->result);
}

void send_text(struct world *world, enum qe_contract_queue to, const char *body)
{
    struct qe_outgoing message = {.body = body, .body_bytes = strlen(body), .delay_ms = -1};

    send_one(world, to, &message);
}

struct qe_message_list receive_count(struct world *world, enum qe_contract_queue from, size_t count)
{
    const int64_t deadline = in_ms(PATIENCE_MS);
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    for (; list.count < count && qe_clock_mono_ms() < deadline;) {
        assert_ok(world->driver->receive(world->handle, &world->queues[from], count - list.count,
                                         deadline, &list, &err),
                  err);
    }
    assert_int_equal(list.count, count);
    return list;
}

struct qe_message_list receive_now(struct world *world, enum qe_contract_queue from, size_t max)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(
        world->driver->receive(world->handle, &world->queues[from], max, in_ms(0), &list, &err),
        err);
    return list;
}

struct qe_settlement settle_one(struct world *world, enum qe_contract_queue from,
                                const struct qe_message *message, enum qe_settle_verb verb,
                                int64_t delay_ms, const char *reason)
{
    struct qe_settlement settlement = {
        .message = message, .verb = verb, .delay_ms = delay_ms, .reason = reason};
    struct qe_err err = {0};

    assert_ok(world->driver->settle(world->handle, &world->queues[from], &settlement, 1,
                                    in_ms(PATIENCE_MS), &err),
              err);
    return settlement;
}

struct qe_message_list peek_all(struct world *world, enum qe_contract_queue from)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(world->driver->peek(world->handle, &world->queues[from], 1000, in_ms(PATIENCE_MS),
                                  &list, &err),
              err);
    return list;
}

struct qe_sample sample_of(struct world *world, enum qe_contract_queue which)
{
    struct qe_queue_list list = {0};
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    assert_ok(world->driver->list(world->handle, in_ms(PATIENCE_MS), &list, &err), err);
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);
    assert_non_null(set);
    const size_t index =
        qe_queue_set_find(set, world->queues[which].vhost, world->queues[which].name);
    assert_true(index < set->count);
    assert_ok(qe_batch_init(&batch, set, &err), err);
    assert_ok(world->driver->sample(world->handle, in_ms(PATIENCE_MS), &batch, &err), err);
    assert_int_equal(batch.entries[index].error, QE_OK);
    const struct qe_sample sample = batch.entries[index].sample;
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
    qe_queue_list_deinit(&list);
    return sample;
}
