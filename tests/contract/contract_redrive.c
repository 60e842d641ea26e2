/* What only some brokers do by themselves: moving a DLQ's messages. */
#include <string.h>

#include "contract/contract_internal.h"
#include "util/clock.h"

#define PATIENCE_MS 10000

static void dead_letter_one(struct world *world, const char *body)
{
    send_text(world, QE_CONTRACT_WORK, body);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(
        settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_DEAD_LETTER, 0, "permanent")
            .result,
        QE_SETTLED);
    qe_message_list_deinit(&list);
}

static struct qe_redrive_task status(struct world *world)
{
    struct qe_redrive_task task;
    struct qe_err err = {0};

    assert_ok(world->driver->redrive_status(world->handle, &world->queues[QE_CONTRACT_WORK_DLQ],
                                            in_ms(5000), &task, &err),
              err);
    return task;
}

static void a_redrive_moves_the_messages_and_tells_how_far(void **state)
{
    struct world *world = *state;
    const int64_t deadline = in_ms(PATIENCE_MS);
    struct qe_err err = {0};

    assert_int_equal(status(world).state, QE_REDRIVE_NONE);
    dead_letter_one(world, "again");
    assert_ok(world->driver->redrive_start(world->handle, &world->queues[QE_CONTRACT_WORK_DLQ],
                                           &world->queues[QE_CONTRACT_WORK], 0, in_ms(5000), &err),
              err);
    struct qe_redrive_task task = status(world);
    while (task.state == QE_REDRIVE_RUNNING && qe_clock_mono_ms() < deadline) {
        sleep_ms(50);
        task = status(world);
    }
    assert_int_equal(task.state, QE_REDRIVE_COMPLETED);
    assert_int_equal(task.moved_messages, 1);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_string_equal(list.items[0].body, "again");
    qe_message_list_deinit(&list);
}

static void without_a_running_redrive_there_is_nothing_to_cancel(void **state)
{
    struct world *world = *state;
    struct qe_err err = {0};

    assert_int_equal(world->driver->redrive_cancel(
                         world->handle, &world->queues[QE_CONTRACT_WORK_DLQ], in_ms(5000), &err),
                     -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, world->queues[QE_CONTRACT_WORK_DLQ].name));
}

#define ALL (QE_CAP_SEND | QE_CAP_RECEIVE | QE_CAP_DEAD_LETTER | QE_CAP_REDRIVE)

const struct contract_test qe_contract_redrive[] = {
    {"a redrive moves the messages and tells how far",
     a_redrive_moves_the_messages_and_tells_how_far, ALL},
    {"without a running redrive there is nothing to cancel",
     without_a_running_redrive_there_is_nothing_to_cancel, QE_CAP_REDRIVE},
    {NULL, NULL, 0},
};
