/* The life of a delivery: visibility, receipts, extend, release, dead-lettering, redrive, wake-up.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "contract/contract_internal.h"
#include "model/dead_letter.h"
#include "util/clock.h"
#include "util/mem.h"

/* A broker across a network, on a machine that does more than this. */
#define AT_ONCE_MS 2000

static void a_lapsed_delivery_comes_again_and_the_old_receipt_is_stale(void **state)
{
    struct world *world = *state;

    send_text(world, QE_CONTRACT_BRIEF, "x");
    struct qe_message_list first = receive_count(world, QE_CONTRACT_BRIEF, 1);
    struct qe_message_list none = receive_now(world, QE_CONTRACT_BRIEF, 1);
    assert_int_equal(none.count, 0);
    qe_message_list_deinit(&none);
    struct qe_message_list second = receive_count(world, QE_CONTRACT_BRIEF, 1); /* waits for it */
    assert_string_equal(second.items[0].id, first.items[0].id);
    assert_int_equal(second.items[0].receives, 2);
    assert_string_not_equal(second.items[0].receipt, first.items[0].receipt);

    struct qe_extension extension = {.message = &second.items[0], .by_ms = 60000};
    struct qe_err err = {0};
    assert_ok(world->driver->extend(world->handle, &world->queues[QE_CONTRACT_BRIEF], &extension, 1,
                                    in_ms(5000), &err),
              err); /* or it would lapse, too, on a slow machine */

    const enum qe_settle_verb verbs[] = {QE_SETTLE_ACK, QE_SETTLE_RELEASE};
    for (size_t i = 0; i < 2; i++) {
        struct qe_settlement stale =
            settle_one(world, QE_CONTRACT_BRIEF, &first.items[0], verbs[i], 0, NULL);

        assert_int_equal(stale.result, QE_SETTLE_STALE);
        assert_int_equal(stale.err.code, QE_ERR_NOT_FOUND);
    }
    assert_int_equal(
        settle_one(world, QE_CONTRACT_BRIEF, &second.items[0], QE_SETTLE_ACK, 0, NULL).result,
        QE_SETTLED);
    qe_message_list_deinit(&first);
    qe_message_list_deinit(&second);
}

static void a_receipt_settles_once(void **state)
{
    struct world *world = *state;

    send_text(world, QE_CONTRACT_WORK, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    assert_int_equal(
        settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_ACK, 0, NULL).result,
        QE_SETTLE_STALE);
    qe_message_list_deinit(&list);
}

static void a_receipt_that_nobody_gave_settles_nothing(void **state)
{
    struct world *world = *state;
    static const char *const s_forged[] = {"",
                                           "1",
                                           "1.",
                                           "nonsense",
                                           "1.00000000000000000000000000000000",
                                           "99999999999999999999.00",
                                           "-1.zz"};

    send_text(world, QE_CONTRACT_WORK, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    for (size_t i = 0; i < sizeof(s_forged) / sizeof(s_forged[0]); i++) {
        char text[64];
        struct qe_message forged = list.items[0];

        (void)snprintf(text, sizeof(text), "%s", s_forged[i]);
        forged.receipt = text;
        assert_int_not_equal(
            settle_one(world, QE_CONTRACT_WORK, &forged, QE_SETTLE_ACK, 0, NULL).result,
            QE_SETTLED);
    }
    assert_int_equal(
        settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_ACK, 0, NULL).result,
        QE_SETTLED);
    qe_message_list_deinit(&list);
}

static void an_extended_delivery_stays_hidden(void **state)
{
    struct world *world = *state;
    struct qe_err err = {0};

    send_text(world, QE_CONTRACT_BRIEF, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_BRIEF, 1);
    const int64_t until = qe_clock_mono_ms() + 60000;
    struct qe_extension extension = {.message = &list.items[0], .by_ms = 60000};
    assert_ok(world->driver->extend(world->handle, &world->queues[QE_CONTRACT_BRIEF], &extension, 1,
                                    in_ms(5000), &err),
              err);
    assert_int_equal(extension.err.code, QE_OK);
    assert_true(list.items[0].visible_until_mono_ms >= until);
    sleep_ms(world->fixture->brief_visibility_ms + 50);
    struct qe_message_list none = receive_now(world, QE_CONTRACT_BRIEF, 1);
    assert_int_equal(none.count, 0);
    qe_message_list_deinit(&none);

    (void)settle_one(world, QE_CONTRACT_BRIEF, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    const int64_t kept = list.items[0].visible_until_mono_ms;
    extension.by_ms = 1000;
    assert_ok(world->driver->extend(world->handle, &world->queues[QE_CONTRACT_BRIEF], &extension, 1,
                                    in_ms(5000), &err),
              err);
    assert_int_equal(extension.err.code, QE_ERR_NOT_FOUND);
    assert_int_equal(list.items[0].visible_until_mono_ms, kept);
    qe_message_list_deinit(&list);
}

/* More than one call of SQS takes; one of them is settled, which spoils nothing for the others. */
static void many_deliveries_are_extended_at_once(void **state)
{
    enum {
        MANY = 12,
        SETTLED = 5
    };
    struct world *world = *state;
    struct qe_extension extensions[MANY];
    struct qe_err err = {0};

    for (size_t i = 0; i < MANY; i++) {
        send_text(world, QE_CONTRACT_WORK, "x");
    }
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, MANY);
    const int64_t until = qe_clock_mono_ms() + 120000;
    for (size_t i = 0; i < MANY; i++) {
        assert_true(list.items[i].visible_until_mono_ms < until);
        extensions[i] = (struct qe_extension){.message = &list.items[i], .by_ms = 120000};
    }
    (void)settle_one(world, QE_CONTRACT_WORK, &list.items[SETTLED], QE_SETTLE_ACK, 0, NULL);
    assert_ok(world->driver->extend(world->handle, &world->queues[QE_CONTRACT_WORK], extensions,
                                    MANY, in_ms(5000), &err),
              err);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(extensions[i].err.code, i == SETTLED ? QE_ERR_NOT_FOUND : QE_OK);
        assert_int_equal(list.items[i].visible_until_mono_ms >= until, i != SETTLED);
    }
    for (size_t i = 0; i < MANY; i++) {
        (void)settle_one(world, QE_CONTRACT_WORK, &list.items[i], QE_SETTLE_ACK, 0, NULL);
    }
    qe_message_list_deinit(&list);
}

static void a_released_message_is_there_at_once_or_after_its_delay(void **state)
{
    struct world *world = *state;

    send_text(world, QE_CONTRACT_WORK, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_RELEASE, 0, NULL);
    qe_message_list_deinit(&list);
    const int64_t released = qe_clock_mono_ms();
    list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_true(qe_clock_mono_ms() - released < AT_ONCE_MS);
    assert_int_equal(list.items[0].receives, 2);

    if ((world->driver->caps & QE_CAP_DELAY) != 0) {
        const int64_t start = qe_clock_mono_ms();

        (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_RELEASE, 300, NULL);
        qe_message_list_deinit(&list);
        list = receive_now(world, QE_CONTRACT_WORK, 1);
        assert_int_equal(list.count, 0);
        qe_message_list_deinit(&list);
        list = receive_count(world, QE_CONTRACT_WORK, 1);
        assert_true(qe_clock_mono_ms() - start >= 299);
    }
    qe_message_list_deinit(&list);
}

static enum qe_settle_result give_back_unhandled(struct world *world, enum qe_contract_queue from,
                                                 const struct qe_message *message)
{
    struct qe_settlement settlement = {
        .message = message, .verb = QE_SETTLE_RELEASE, .unhandled = true};
    struct qe_err err = {0};

    assert_ok(world->driver->settle(world->handle, &world->queues[from], &settlement, 1,
                                    in_ms(5000), &err),
              err);
    return settlement.result;
}

/* Of every driver: those that cannot take the receive back release it like any other. */
static void an_unhandled_message_is_there_at_once(void **state)
{
    struct world *world = *state;

    send_text(world, QE_CONTRACT_WORK, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(give_back_unhandled(world, QE_CONTRACT_WORK, &list.items[0]), QE_SETTLED);
    assert_int_equal(give_back_unhandled(world, QE_CONTRACT_WORK, &list.items[0]), QE_SETTLE_STALE);
    qe_message_list_deinit(&list);
    list = receive_now(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.count, 1);
    qe_message_list_deinit(&list);
}

static void an_unhandled_receive_does_not_count(void **state)
{
    struct world *world = *state;

    send_text(world, QE_CONTRACT_WORK, "x");
    for (uint32_t handled = 0; handled < 3; handled++) {
        struct qe_message_list list = {0};

        for (int i = 0; i < 4; i++) { /* with the other receives far more than the 3 allowed */
            list = receive_count(world, QE_CONTRACT_WORK, 1);
            assert_int_equal(list.items[0].receives, handled + 1);
            assert_int_equal(give_back_unhandled(world, QE_CONTRACT_WORK, &list.items[0]),
                             QE_SETTLED);
            qe_message_list_deinit(&list);
        }
        list = receive_count(world, QE_CONTRACT_WORK, 1);
        assert_int_equal(list.items[0].receives, handled + 1);
        (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_RELEASE, 0, NULL);
        qe_message_list_deinit(&list);
    }
    struct qe_message_list none = receive_now(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(none.count, 0); /* those that were handled did count */
    qe_message_list_deinit(&none);
}

static void a_stale_unhandled_release_leaves_the_count_alone(void **state)
{
    struct world *world = *state;

    send_text(world, QE_CONTRACT_BRIEF, "x");
    struct qe_message_list first = receive_count(world, QE_CONTRACT_BRIEF, 1);
    struct qe_message_list second = receive_count(world, QE_CONTRACT_BRIEF, 1); /* waits for it */
    assert_int_equal(second.items[0].receives, 2);
    assert_int_equal(give_back_unhandled(world, QE_CONTRACT_BRIEF, &first.items[0]),
                     QE_SETTLE_STALE);
    (void)settle_one(world, QE_CONTRACT_BRIEF, &second.items[0], QE_SETTLE_RELEASE, 0, NULL);
    qe_message_list_deinit(&first);
    qe_message_list_deinit(&second);
    second = receive_count(world, QE_CONTRACT_BRIEF, 1);
    assert_int_equal(second.items[0].receives, 3);
    qe_message_list_deinit(&second);
}

static void dead_lettering_moves_the_message_with_its_reason(void **state)
{
    struct world *world = *state;
    struct qe_attributes attributes = {0};
    struct qe_err err = {0};

    assert_ok(qe_attributes_add(&attributes, "mine", "kept", &err), err);
    struct qe_outgoing message = {
        .body = "poison", .body_bytes = 6, .attributes = &attributes, .delay_ms = -1};
    send_one(world, QE_CONTRACT_WORK, &message);
    qe_attributes_deinit(&attributes);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    const int64_t sent_unix_ms = list.items[0].sent_unix_ms;
    assert_int_equal(
        settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_DEAD_LETTER, 0, "permanent")
            .result,
        QE_SETTLED);
    assert_int_equal(
        settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_DEAD_LETTER, 0, "permanent")
            .result,
        QE_SETTLE_STALE);
    qe_message_list_deinit(&list);
    list = receive_now(world, QE_CONTRACT_WORK, 1);
    assert_int_equal(list.count, 0);
    qe_message_list_deinit(&list);
    list = receive_count(world, QE_CONTRACT_WORK_DLQ, 1);
    assert_string_equal(list.items[0].body, "poison");
    assert_string_equal(qe_attributes_get(&list.items[0].attributes, "mine"), "kept");
    assert_string_equal(qe_attributes_get(&list.items[0].attributes, "dead-letter-reason"),
                        "permanent");
    assert_int_equal(list.items[0].receives, 1); /* counted anew */
    if (!world->fixture->sent_time_restarts) {
        assert_int_equal(list.items[0].sent_unix_ms, sent_unix_ms);
    }
    qe_message_list_deinit(&list);
}

static void dead_lettering_keeps_the_notes_that_come_with_it(void **state)
{
    struct world *world = *state;
    struct qe_attributes notes = {0};
    struct qe_err err = {0};

    assert_ok(qe_attributes_add(&notes, QE_DEAD_LETTER_FIRST_ERROR, "timeout: \"a\" it's", &err),
              err);
    assert_ok(qe_attributes_add(&notes, QE_DEAD_LETTER_FIRST_SEEN, "2026-01-02T03:04:05Z", &err),
              err);
    send_text(world, QE_CONTRACT_WORK, "poison");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    struct qe_settlement settlement = {.message = &list.items[0],
                                       .verb = QE_SETTLE_DEAD_LETTER,
                                       .reason = "permanent: why",
                                       .notes = &notes};
    assert_ok(world->driver->settle(world->handle, &world->queues[QE_CONTRACT_WORK], &settlement, 1,
                                    in_ms(20000), &err),
              err);
    assert_int_equal(settlement.result, QE_SETTLED);
    qe_message_list_deinit(&list);
    list = receive_count(world, QE_CONTRACT_WORK_DLQ, 1);
    const struct qe_attributes *kept = &list.items[0].attributes;

    assert_string_equal(qe_attributes_get(kept, QE_DEAD_LETTER_REASON), "permanent: why");
    assert_string_equal(qe_attributes_get(kept, QE_DEAD_LETTER_FIRST_ERROR), "timeout: \"a\" it's");
    assert_string_equal(qe_attributes_get(kept, QE_DEAD_LETTER_FIRST_SEEN), "2026-01-02T03:04:05Z");
    assert_string_equal(qe_attributes_get(kept, QE_DEAD_LETTER_RECEIVES), "1");
    assert_non_null(qe_attributes_get(kept, QE_DEAD_LETTER_AT));
    assert_non_null(qe_attributes_get(kept, QE_DEAD_LETTER_SOURCE));
    qe_message_list_deinit(&list);
    qe_attributes_deinit(&notes);
}

static void without_a_dead_letter_queue_dead_lettering_fails_and_keeps(void **state)
{
    struct world *world = *state;

    send_text(world, QE_CONTRACT_BRIEF, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_BRIEF, 1);
    struct qe_settlement settlement =
        settle_one(world, QE_CONTRACT_BRIEF, &list.items[0], QE_SETTLE_DEAD_LETTER, 0, "reason");
    assert_int_equal(settlement.result, QE_SETTLE_FAILED);
    assert_non_null(strstr(settlement.err.message, world->queues[QE_CONTRACT_BRIEF].name));
    assert_int_equal(
        settle_one(world, QE_CONTRACT_BRIEF, &list.items[0], QE_SETTLE_ACK, 0, NULL).result,
        QE_SETTLED);
    qe_message_list_deinit(&list);
}

static void a_message_received_too_often_goes_to_the_dead_letter_queue(void **state)
{
    struct world *world = *state;
    struct qe_message_list list = {0};

    send_text(world, QE_CONTRACT_WORK, "poison");
    for (uint32_t receives = 1; receives <= 3; receives++) {
        list = receive_count(world, QE_CONTRACT_WORK, 1);
        assert_int_equal(list.items[0].receives, receives);
        (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_RELEASE, 0, NULL);
        qe_message_list_deinit(&list);
    }
    send_text(world, QE_CONTRACT_WORK, "healthy"); /* does not wait behind it */
    list = receive_count(world, QE_CONTRACT_WORK, 1);
    assert_string_equal(list.items[0].body, "healthy");
    qe_message_list_deinit(&list);
    list = receive_count(world, QE_CONTRACT_WORK_DLQ, 1);
    assert_string_equal(list.items[0].body, "poison");
    qe_message_list_deinit(&list);
}

static void one_stale_settlement_does_not_spoil_its_batch(void **state)
{
    struct world *world = *state;
    struct qe_err err = {0};

    send_text(world, QE_CONTRACT_WORK, "1");
    send_text(world, QE_CONTRACT_WORK, "2");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 2);
    (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    struct qe_settlement both[2] = {{.message = &list.items[0]}, {.message = &list.items[1]}};
    assert_ok(world->driver->settle(world->handle, &world->queues[QE_CONTRACT_WORK], both, 2,
                                    in_ms(5000), &err),
              err);
    assert_int_equal(both[0].result, QE_SETTLE_STALE);
    assert_int_equal(both[1].result, QE_SETTLED);
    qe_message_list_deinit(&list);
}

/* --- wake-up --- */

struct sender {
    struct world *world;
    atomic_int_least64_t sent_mono_ms;
};

/* Own handle, as the interface demands: each belongs to one thread. */
static void *send_later(void *context)
{
    struct sender *sender = context;
    struct world *world = sender->world;
    const struct qe_deps deps = {.source = "contract"};
    struct qe_outgoing message = {.body = "wake", .body_bytes = 4, .delay_ms = -1};
    struct qe_err err = {0};
    void *handle = NULL;

    if (world->driver->create(world->fixture->settings(world->fixture->context), &deps, &handle,
                              &err) != 0) {
        return NULL; /* the receive then times out and fails the test */
    }
    sleep_ms(150);
    if (world->driver->send(handle, &world->queues[QE_CONTRACT_WORK], &message, 1, in_ms(5000),
                            &err) == 0) {
        atomic_store(&sender->sent_mono_ms, qe_clock_mono_ms());
    }
    world->driver->destroy(handle);
    return NULL;
}

static void a_long_poll_wakes_for_a_message_sent_meanwhile(void **state)
{
    struct world *world = *state;
    struct sender sender = {.world = world};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, send_later, &sender), 0);
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    const int64_t woken = qe_clock_mono_ms();
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(woken - atomic_load(&sender.sent_mono_ms) <= world->fixture->wake_ms);
    qe_message_list_deinit(&list);
}

#define BOTH (QE_CAP_SEND | QE_CAP_RECEIVE)

const struct contract_test qe_contract_deliveries[] = {
    {"a lapsed delivery comes again and the old receipt is stale",
     a_lapsed_delivery_comes_again_and_the_old_receipt_is_stale, BOTH},
    {"a receipt settles once", a_receipt_settles_once, BOTH},
    {"a receipt that nobody gave settles nothing", a_receipt_that_nobody_gave_settles_nothing,
     BOTH},
    {"an extended delivery stays hidden", an_extended_delivery_stays_hidden, BOTH | QE_CAP_EXTEND},
    {"many deliveries are extended at once", many_deliveries_are_extended_at_once,
     BOTH | QE_CAP_EXTEND},
    {"a released message is there at once or after its delay",
     a_released_message_is_there_at_once_or_after_its_delay, BOTH},
    {"an unhandled message is there at once", an_unhandled_message_is_there_at_once, BOTH},
    {"an unhandled receive does not count", an_unhandled_receive_does_not_count,
     BOTH | QE_CAP_UNRECEIVE | QE_CAP_DLQ_LINK},
    {"a stale unhandled release leaves the count alone",
     a_stale_unhandled_release_leaves_the_count_alone, BOTH | QE_CAP_UNRECEIVE},
    {"dead-lettering moves the message with its reason",
     dead_lettering_moves_the_message_with_its_reason, BOTH | QE_CAP_DEAD_LETTER},
    {"dead-lettering keeps the notes that come with it",
     dead_lettering_keeps_the_notes_that_come_with_it, BOTH | QE_CAP_DEAD_LETTER},
    {"without a dead-letter queue dead-lettering fails and keeps",
     without_a_dead_letter_queue_dead_lettering_fails_and_keeps, BOTH | QE_CAP_DEAD_LETTER},
    {"a message received too often goes to the dead-letter queue",
     a_message_received_too_often_goes_to_the_dead_letter_queue, BOTH | QE_CAP_DLQ_LINK},
    {"one stale settlement does not spoil its batch", one_stale_settlement_does_not_spoil_its_batch,
     BOTH},
    {"a long poll wakes for a message sent meanwhile",
     a_long_poll_wakes_for_a_message_sent_meanwhile, BOTH},
    {NULL, NULL, 0},
};
