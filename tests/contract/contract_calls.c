/* Of every call: deadlines, interrupts, errors, capabilities, life and death of a handle. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "contract/contract_internal.h"
#include "util/clock.h"

/* backend.h: a call may overrun its deadline by this, an interrupt may take as long. */
#define PROMISED_MS 100
/* A busy machine (sanitizers, parallel tests) stops the clock for nobody. */
#define SLACK_MS 150

static void a_slot_is_there_exactly_with_its_capability(void **state)
{
    const struct qe_driver *driver = ((struct world *)*state)->driver;
    const uint32_t caps = driver->caps;

    assert_non_null(driver->name);
    assert_non_null(driver->section);
    assert_true(driver->operations_count <= QE_API_OPERATIONS_MAX);
    assert_non_null(driver->create);
    assert_non_null(driver->interrupt);
    assert_non_null(driver->destroy);
    assert_int_equal(driver->list != NULL, (caps & QE_CAP_LIST) != 0);
    assert_int_equal(driver->sample != NULL, (caps & QE_CAP_DEPTH) != 0);
    assert_int_equal(driver->send != NULL, (caps & QE_CAP_SEND) != 0);
    assert_int_equal(driver->receive != NULL, (caps & QE_CAP_RECEIVE) != 0);
    assert_int_equal(driver->settle != NULL, (caps & QE_CAP_RECEIVE) != 0);
    assert_int_equal(driver->extend != NULL, (caps & QE_CAP_EXTEND) != 0);
    assert_int_equal(driver->peek != NULL, (caps & QE_CAP_PEEK) != 0);
    assert_int_equal(driver->purge != NULL, (caps & QE_CAP_PURGE) != 0);
    assert_int_equal(driver->redrive_start != NULL, (caps & QE_CAP_REDRIVE) != 0);
    assert_int_equal(driver->redrive_status != NULL, (caps & QE_CAP_REDRIVE) != 0);
    assert_int_equal(driver->redrive_cancel != NULL, (caps & QE_CAP_REDRIVE) != 0);
    assert_int_equal(driver->publish != NULL, (caps & QE_CAP_TOPICS) != 0);
    assert_int_equal(driver->subscribe != NULL, (caps & QE_CAP_TOPICS) != 0);
    assert_int_equal(driver->unsubscribe != NULL, (caps & QE_CAP_TOPICS) != 0);
}

static void destroy_accepts_null(void **state)
{
    ((struct world *)*state)->driver->destroy(NULL);
}

static void a_handle_that_did_nothing_can_be_destroyed(void **state)
{
    struct world *world = *state;

    world->driver->destroy(world_open(world));
}

static void an_empty_receive_returns_nothing_at_its_deadline(void **state)
{
    struct world *world = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};
    const int64_t start = qe_clock_mono_ms();

    assert_ok(world->driver->receive(world->handle, &world->queues[QE_CONTRACT_WORK], 10,
                                     start + 200, &list, &err),
              err);
    const int64_t spent = qe_clock_mono_ms() - start;
    assert_int_equal(list.count, 0);
    assert_true(spent >= 200);
    assert_true(spent < 200 + PROMISED_MS + SLACK_MS);
}

static void a_receive_whose_deadline_has_passed_still_takes_what_is_there(void **state)
{
    struct world *world = *state;

    send_text(world, QE_CONTRACT_WORK, "there");
    struct qe_message_list list = receive_now(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.count, 1);
    qe_message_list_deinit(&list);
}

/* --- interrupt --- */

struct interrupter {
    struct world *world;
    int64_t after_ms;
    atomic_int_least64_t at_mono_ms;
};

static void *interrupt_later(void *context)
{
    struct interrupter *interrupter = context;

    sleep_ms(interrupter->after_ms);
    atomic_store(&interrupter->at_mono_ms, qe_clock_mono_ms());
    interrupter->world->driver->interrupt(interrupter->world->handle);
    return NULL;
}

static void who_wants_no_message_gets_none_at_once(void **state)
{
    struct world *world = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};
    const int64_t start = qe_clock_mono_ms();

    send_text(world, QE_CONTRACT_WORK, "kept");
    assert_ok(world->driver->receive(world->handle, &world->queues[QE_CONTRACT_WORK], 0,
                                     in_ms(10000), &list, &err),
              err);
    assert_int_equal(list.count, 0);
    assert_in_range(qe_clock_mono_ms() - start, 0, 5000);
    list = receive_count(world, QE_CONTRACT_WORK, 1);
    qe_message_list_deinit(&list);
}

static void an_interrupt_ends_a_waiting_receive(void **state)
{
    struct world *world = *state;
    struct interrupter interrupter = {.world = world, .after_ms = 100};
    struct qe_message_list list = {0};
    struct qe_err err = {0};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, interrupt_later, &interrupter), 0);
    int rc = world->driver->receive(world->handle, &world->queues[QE_CONTRACT_WORK], 1,
                                    in_ms(10000), &list, &err);
    const int64_t end = qe_clock_mono_ms();
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(rc, -1);
    assert_int_equal(err.code, QE_ERR_CANCELLED);
    assert_int_equal(list.count, 0);
    assert_true(end - atomic_load(&interrupter.at_mono_ms) < PROMISED_MS + SLACK_MS);
}

static void an_interrupt_waits_for_the_next_call_and_ends_only_that(void **state)
{
    struct world *world = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    world->driver->interrupt(world->handle);
    world->driver->interrupt(world->handle);    /* two before one call are one */
    send_text(world, QE_CONTRACT_WORK, "kept"); /* never interrupted, and does not use it up */
    assert_int_equal(world->driver->receive(world->handle, &world->queues[QE_CONTRACT_WORK], 1,
                                            in_ms(1000), &list, &err),
                     -1);
    assert_int_equal(err.code, QE_ERR_CANCELLED);
    assert_int_equal(list.count, 0);
    list = receive_count(world, QE_CONTRACT_WORK, 1); /* not lost, and not interrupted again */
    assert_string_equal(list.items[0].body, "kept");
    qe_message_list_deinit(&list);
}

static void an_interrupt_ends_list_and_sample_too(void **state)
{
    struct world *world = *state;
    struct qe_queue_list list = {0};
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    world->driver->interrupt(world->handle);
    assert_int_equal(world->driver->list(world->handle, in_ms(1000), &list, &err), -1);
    assert_int_equal(err.code, QE_ERR_CANCELLED);
    assert_int_equal(list.count, 0);

    assert_ok(world->driver->list(world->handle, in_ms(1000), &list, &err), err);
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);
    assert_non_null(set);
    assert_ok(qe_batch_init(&batch, set, &err), err);
    world->driver->interrupt(world->handle);
    assert_int_equal(world->driver->sample(world->handle, in_ms(1000), &batch, &err), -1);
    assert_int_equal(err.code, QE_ERR_CANCELLED);
    for (size_t i = 0; i < set->count; i++) {
        assert_int_equal(batch.entries[i].error, QE_ERR_TIMEOUT); /* as qe_batch_init left it */
    }
    assert_int_equal(batch.failed_count, 0);
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
    qe_queue_list_deinit(&list);
}

/* --- errors --- */

static void an_unknown_queue_is_not_found_and_outputs_stay_untouched(void **state)
{
    struct world *world = *state;
    const struct qe_queue *absent = &world->queues[QE_CONTRACT_ABSENT];
    struct qe_outgoing message = {.body = "x", .body_bytes = 1, .delay_ms = -1};
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_int_equal(world->driver->send(world->handle, absent, &message, 1, in_ms(1000), &err),
                     -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_int_equal(message.result.code, QE_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, absent->name)); /* the message names it */
    if ((world->driver->caps & QE_CAP_DELAY) != 0) {
        message.delay_ms = 1000; /* said now, and not after the delay */
        assert_int_equal(world->driver->send(world->handle, absent, &message, 1, in_ms(5000), &err),
                         -1);
        assert_int_equal(err.code, QE_ERR_NOT_FOUND);
        assert_int_equal(message.result.code, QE_ERR_NOT_FOUND);
        assert_non_null(strstr(err.message, absent->name));
    }
    assert_int_equal(world->driver->receive(world->handle, absent, 1, in_ms(1000), &list, &err),
                     -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_null(list.items);
    if (world->driver->peek != NULL) {
        assert_int_equal(world->driver->peek(world->handle, absent, 1, in_ms(1000), &list, &err),
                         -1);
        assert_int_equal(err.code, QE_ERR_NOT_FOUND);
        assert_null(list.items);
    }
    if (world->driver->purge != NULL) {
        uint64_t count = 77;

        assert_int_equal(world->driver->purge(world->handle, absent, in_ms(1000), &count, &err),
                         -1);
        assert_int_equal(err.code, QE_ERR_NOT_FOUND);
        assert_int_equal(count, 77);
    }
}

static void settling_on_an_unknown_queue_fails_each_settlement(void **state)
{
    struct world *world = *state;
    struct qe_err err = {0};

    send_text(world, QE_CONTRACT_WORK, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    struct qe_settlement settlement = {.message = &list.items[0], .verb = QE_SETTLE_ACK};
    assert_int_equal(world->driver->settle(world->handle, &world->queues[QE_CONTRACT_ABSENT],
                                           &settlement, 1, in_ms(1000), &err),
                     -1);
    assert_int_equal(settlement.result, QE_SETTLE_FAILED);
    assert_int_equal(settlement.err.code, QE_ERR_NOT_FOUND);
    qe_message_list_deinit(&list);
}

/* Callers may judge by *err alone. */
static void a_call_that_succeeds_leaves_the_error_alone(void **state)
{
    struct world *world = *state;
    const struct qe_queue *queue = &world->queues[QE_CONTRACT_WORK];
    struct qe_outgoing outgoing = {.body = "x", .body_bytes = 1, .delay_ms = -1};
    struct qe_message_list list = {0};
    struct qe_err err = {0};
    void *handle = NULL;

    const struct qe_deps deps = {.source = "contract"};
    assert_int_equal(world->driver->create(world->fixture->settings(world->fixture->context), &deps,
                                           &handle, &err),
                     0);
    assert_int_equal(err.code, QE_OK);
    assert_int_equal(world->driver->send(handle, queue, &outgoing, 1, in_ms(5000), &err), 0);
    assert_int_equal(err.code, QE_OK);
    assert_int_equal(outgoing.result.code, QE_OK);
    assert_int_equal(world->driver->receive(handle, queue, 1, in_ms(5000), &list, &err), 0);
    assert_int_equal(err.code, QE_OK);
    assert_int_equal(list.count, 1);
    struct qe_settlement settlement = {.message = &list.items[0]};
    assert_int_equal(world->driver->settle(handle, queue, &settlement, 1, in_ms(5000), &err), 0);
    assert_int_equal(err.code, QE_OK);
    assert_int_equal(settlement.err.code, QE_OK);
    qe_message_list_deinit(&list);
    world->driver->destroy(handle);
}

static void every_operation_is_counted_by_its_outcome(void **state)
{
    struct world *world = *state;
    const struct qe_api_stats *stats = world->stats;
    uint64_t requests = 0;
    uint64_t failures = 0;
    struct qe_err err = {0};
    struct qe_outgoing message = {.body = "x", .body_bytes = 1, .delay_ms = -1};

    send_text(world, QE_CONTRACT_WORK, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    qe_message_list_deinit(&list);
    assert_int_equal(world->driver->send(world->handle, &world->queues[QE_CONTRACT_ABSENT],
                                         &message, 1, in_ms(1000), &err),
                     -1);
    for (size_t i = 0; i < world->driver->operations_count; i++) {
        requests += qe_counter_get(&stats->requests[i]);
        failures += qe_counter_get(&stats->failures[i][QE_ERR_NOT_FOUND]);
        assert_int_equal(qe_counter_get(&stats->requests[i]),
                         qe_histogram_count(&stats->duration_seconds[i]));
    }
    assert_true(requests >= 4);
    assert_true(failures >= 1);
}

const struct contract_test qe_contract_calls[] = {
    {"a slot is there exactly with its capability", a_slot_is_there_exactly_with_its_capability, 0},
    {"destroy accepts NULL", destroy_accepts_null, 0},
    {"a handle that did nothing can be destroyed", a_handle_that_did_nothing_can_be_destroyed, 0},
    {"an empty receive returns nothing at its deadline",
     an_empty_receive_returns_nothing_at_its_deadline, QE_CAP_RECEIVE},
    {"a receive whose deadline has passed still takes what is there",
     a_receive_whose_deadline_has_passed_still_takes_what_is_there, QE_CAP_SEND | QE_CAP_RECEIVE},
    {"who wants no message gets none, at once", who_wants_no_message_gets_none_at_once,
     QE_CAP_SEND | QE_CAP_RECEIVE},
    {"an interrupt ends a waiting receive", an_interrupt_ends_a_waiting_receive, QE_CAP_RECEIVE},
    {"an interrupt waits for the next call and ends only that",
     an_interrupt_waits_for_the_next_call_and_ends_only_that, QE_CAP_SEND | QE_CAP_RECEIVE},
    {"an interrupt ends list and sample too", an_interrupt_ends_list_and_sample_too,
     QE_CAP_LIST | QE_CAP_DEPTH},
    {"an unknown queue is not found and outputs stay untouched",
     an_unknown_queue_is_not_found_and_outputs_stay_untouched, QE_CAP_SEND | QE_CAP_RECEIVE},
    {"a call that succeeds leaves the error alone", a_call_that_succeeds_leaves_the_error_alone,
     QE_CAP_SEND | QE_CAP_RECEIVE},
    {"settling on an unknown queue fails each settlement",
     settling_on_an_unknown_queue_fails_each_settlement, QE_CAP_SEND | QE_CAP_RECEIVE},
    {"every operation is counted by its outcome", every_operation_is_counted_by_its_outcome,
     QE_CAP_SEND | QE_CAP_RECEIVE},
    {NULL, NULL, 0},
};
