#include <stdio.h>

#include "backend/embedded/embedded.h"
#include "consumer/handlers.h"
#include "unit/consumer/rig.h"

#define LOT ((size_t)25)

/* The real store in memory, with a handle of the test's own beside the consumer's. */
struct shop {
    struct rig *rig;
    char path[16];
    char orders[16];
    char dead[16];
    struct qe_embedded_queue_settings queues[2];
    struct qe_embedded_settings settings;
    struct qe_deps deps;
    void *handle;
    struct qe_queue queue;
    struct qe_outgoing messages[LOT];
};

static struct shop *shop_new(bool ordered, uint64_t max_receives)
{
    struct shop *shop = qe_calloc(1, sizeof *shop);
    struct qe_err err = {0};

    assert_non_null(shop);
    shop->rig = rig_new(4);
    (void)snprintf(shop->path, sizeof shop->path, ":memory:");
    (void)snprintf(shop->orders, sizeof shop->orders, "orders");
    (void)snprintf(shop->dead, sizeof shop->dead, "orders-dlq");
    shop->queues[0] = (struct qe_embedded_queue_settings){
        .name = shop->orders,
        .visibility_timeout_ms = 30000,
        .retention_ms = 3600000,
        .ordered = ordered,
        .dead_letter = {.queue = shop->dead, .max_receives = max_receives}};
    shop->queues[1] = (struct qe_embedded_queue_settings){
        .name = shop->dead, .visibility_timeout_ms = 30000, .retention_ms = 3600000};
    shop->settings = (struct qe_embedded_settings){.path = shop->path,
                                                   .queues = {.items = shop->queues, .count = 2}};
    shop->deps = (struct qe_deps){.source = "test"};
    assert_ok(qe_driver_embedded.create(&shop->settings, &shop->deps, &shop->handle, &err), err);
    assert_ok(qe_queue_init(&shop->queue, NULL, "orders", QE_KIND_EMBEDDED, &err), err);
    shop->rig->options.driver = &qe_driver_embedded;
    shop->rig->options.driver_settings = &shop->settings;
    return shop;
}

static void shop_destroy(struct shop *shop)
{
    atomic_store(&shop->rig->gate.open, true);
    qe_consumer_destroy(shop->rig->consumer); /* before the settings go */
    shop->rig->consumer = NULL;
    qe_driver_embedded.destroy(shop->handle);
    qe_queue_deinit(&shop->queue);
    rig_destroy(shop->rig);
    qe_free(shop);
}

static void send_lot(struct shop *shop, const struct qe_attributes *attributes, size_t count,
                     const char *group)
{
    struct qe_err err = {0};

    for (size_t i = 0; i < count; i++) {
        shop->messages[i] = (struct qe_outgoing){
            .body = "x", .body_bytes = 1, .delay_ms = -1, .attributes = attributes, .group = group};
    }
    assert_ok(qe_driver_embedded.send(shop->handle, &shop->queue, shop->messages, count,
                                      qe_clock_mono_ms() + 20000, &err),
              err);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(shop->messages[i].result.code, QE_OK);
    }
}

static void use_simulate(struct shop *shop, double error_rate)
{
    const struct qe_simulate_options simulate = {.seed = 1, .error_rate = error_rate};
    struct qe_err err = {0};

    shop->rig->options.handler = &qe_handler_simulate;
    shop->rig->options.handler_self = qe_handler_simulate_new(&simulate, &err);
    assert_non_null(shop->rig->options.handler_self);
}

static size_t peek_count(struct shop *shop, const char *queue, char *out_reason, size_t size_bytes)
{
    struct qe_message_list found = {0};
    struct qe_queue from = {0};
    struct qe_err err = {0};

    assert_ok(qe_queue_init(&from, NULL, queue, QE_KIND_EMBEDDED, &err), err);
    assert_ok(qe_driver_embedded.peek(shop->handle, &from, 1000, qe_clock_mono_ms() + 20000, &found,
                                      &err),
              err);
    size_t count = found.count;
    if (count > 0) {
        const char *reason = qe_attributes_get(&found.items[0].attributes, "dead-letter-reason");

        (void)snprintf(out_reason, size_bytes, "%s", reason == NULL ? "" : reason);
    }
    qe_message_list_deinit(&found);
    qe_queue_deinit(&from);
    return count;
}

static void sent_is_consumed_and_the_rejected_is_dead_lettered_with_its_reason(void **state)
{
    struct shop *shop = shop_new(false, 50);
    struct qe_consumer_stats *stats = shop->rig->stats;
    struct qe_attributes poison = {0};
    struct qe_err err = {0};
    char reason[256] = "";

    (void)state;
    assert_ok(qe_attributes_add(&poison, "simulate", "reject", &err), err);
    use_simulate(shop, 0.3);
    shop->rig->options.retry_max_ms = 20;
    rig_start(shop->rig);
    for (int i = 0; i < 8; i++) {
        send_lot(shop, NULL, LOT, NULL);
    }
    send_lot(shop, &poison, 2, NULL);
    QE_WAIT_FOR(qe_counter_get(&stats->processed) == 8 * LOT);
    QE_WAIT_FOR(qe_counter_get(&stats->dead_lettered[QE_FAIL_PERMANENT]) == 2);
    assert_int_equal(peek_count(shop, "orders", reason, sizeof reason), 0);
    assert_int_equal(peek_count(shop, "orders-dlq", reason, sizeof reason), 2);
    assert_string_equal(reason, "permanent: simulated permanent error: the message has "
                                "simulate=reject");
    uint64_t failed = qe_counter_get(&stats->failed[QE_FAIL_HANDLER_ERROR]);
    assert_true(failed > 30);
    assert_int_equal(qe_counter_get(&stats->released), failed);
    assert_int_equal(qe_counter_get(&stats->redeliveries), failed);
    assert_int_equal(qe_counter_get(&stats->received), 8 * LOT + 2 + failed);
    qe_attributes_deinit(&poison);
    shop_destroy(shop);
}

static void group_is_in_one_workers_hands_at_a_time(void **state)
{
    struct shop *shop = shop_new(true, 50);
    struct rig *rig = shop->rig;

    (void)state;
    rig->options.handler = &qe_handler_discard;
    rig->options.handler_self = NULL;
    rig_start(rig);
    for (int i = 0; i < 2; i++) {
        send_lot(shop, NULL, LOT, "a");
        send_lot(shop, NULL, LOT, "b");
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 4 * LOT);
    assert_int_equal(qe_counter_get(&rig->stats->redeliveries), 0);
    shop_destroy(shop);
}

static void stop_gives_everything_unstarted_back_to_the_store(void **state)
{
    struct shop *shop = shop_new(false, 50);
    struct rig *rig = shop->rig;
    char reason[8];

    (void)state;
    use_simulate(shop, 0);
    rig_start(rig);
    for (int i = 0; i < 20; i++) {
        send_lot(shop, NULL, LOT, NULL);
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) > 0);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 20000);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    uint64_t processed = qe_counter_get(&rig->stats->processed);
    print_message("%llu of %zu were processed\n", (unsigned long long)processed, 20 * LOT);
    assert_int_equal(peek_count(shop, "orders", reason, sizeof reason), 20 * LOT - processed);
    use_simulate(shop, 0);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 20 * LOT);
    shop_destroy(shop);
}

/* Holds every message while the gate is shut. */
static void hold(void *self, const struct qe_message *const *messages, size_t count,
                 const struct qe_handling *handling, struct qe_handled *out)
{
    (void)messages;
    (void)count;
    gate_wait(self, false, handling);
    out->outcome = QE_OUTCOME_SUCCESS;
}

static const struct qe_handler s_hold_handler = {
    .name = "hold", .handle = hold, .destroy = gate_destroy};

static size_t count_received(struct shop *shop)
{
    struct qe_message_list found = {0};
    struct qe_err err = {0};
    size_t count = 0;

    assert_ok(qe_driver_embedded.peek(shop->handle, &shop->queue, 1000, qe_clock_mono_ms() + 20000,
                                      &found, &err),
              err);
    for (size_t i = 0; i < found.count; i++) {
        count += found.items[i].receives > 0 ? 1 : 0;
    }
    qe_message_list_deinit(&found);
    return count;
}

static void stop_brings_nothing_unstarted_closer_to_the_dead_letter_queue(void **state)
{
    struct shop *shop = shop_new(false, 1);
    struct rig *rig = shop->rig;
    const size_t workers = (size_t)rig->options.workers;
    char reason[256];

    (void)state;
    rig->options.handler = &s_hold_handler;
    rig->options.max_receives = 1;
    atomic_store(&rig->gate.open, true);
    rig_start(rig);
    send_lot(shop, NULL, LOT, NULL); /* teaches the consumer to fetch ahead */
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == LOT);
    atomic_store(&rig->gate.open, false);
    send_lot(shop, NULL, LOT, NULL);
    QE_WAIT_FOR((size_t)atomic_load(&rig->stats->in_progress) > workers);
    QE_WAIT_FOR((size_t)atomic_load(&rig->stats->workers_busy) == workers);
    qe_consumer_stop(rig->consumer, qe_clock_mono_ms() + 600000);
    QE_WAIT_FOR((size_t)atomic_load(&rig->stats->in_progress) == workers);
    assert_true(qe_counter_get(&rig->stats->released) > 0);
    assert_int_equal(count_received(shop), workers); /* what runs, and nothing else */
    atomic_store(&rig->gate.open, true);
    qe_consumer_destroy(rig->consumer);
    rig->consumer = NULL;
    assert_int_equal(qe_counter_get(&rig->stats->processed), LOT + workers);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2 * LOT);
    assert_int_equal(qe_counter_get(&rig->stats->redeliveries), 0);
    assert_int_equal(peek_count(shop, "orders-dlq", reason, sizeof reason), 0);
    shop_destroy(shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sent_is_consumed_and_the_rejected_is_dead_lettered_with_its_reason),
        cmocka_unit_test(group_is_in_one_workers_hands_at_a_time),
        cmocka_unit_test(stop_gives_everything_unstarted_back_to_the_store),
        cmocka_unit_test(stop_brings_nothing_unstarted_closer_to_the_dead_letter_queue)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
